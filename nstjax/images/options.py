"""What options of the images may be; apart, since ``color`` takes long to import."""

from typing import Literal

ColorSpace = Literal["yiq", "lab", "hcl"]
ColorMatch = Literal["cholesky", "pca", "symmetric", "histogram"]
LuminanceMatch = Literal["mean_std", "mean"]
