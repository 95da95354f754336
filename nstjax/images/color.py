"""Color of the result: a photo that keeps its own, or a painting that takes them on.

Images are sRGB in 0..1, [height, width, 3]; luminances are in 0..1, [height, width].
All is computed in float64 and handed back in float32.

Source: Gatys et al. (2017), "Controlling Perceptual Factors in Neural Style Transfer",
section 5, and its released code.
"""

import warnings
from typing import Any, Literal, get_args

import numpy as np
import skimage

from nstjax.errors import InputError
from nstjax.images.options import ColorMatch, ColorSpace, LuminanceMatch

LinearMatch = Literal["cholesky", "pca", "symmetric"]
# Added to the variances, as published: greys alone have a singular covariance.
COVARIANCE_REGULARIZATION = 1e-5

# Of L*, a* and b*, in which about 1 can be seen; a conversion there and back changes
# white by 0.005 and other colors by less than 0.001.
GAMUT_TOLERANCE = 0.01


def luminance(image: np.ndarray, space: ColorSpace) -> np.ndarray:
    """Brightness of every pixel.

    yiq: Y = 0.299 R + 0.587 G + 0.114 B, of the gamma-encoded values, as in the
      released code
    lab, hcl: L*/100 of CIELAB, in which equal steps look equal
    """
    _check_known("color space", space, ColorSpace)
    image = np.asarray(image, np.float64)
    if space == "yiq":
        return skimage.color.rgb2yiq(image)[..., 0].astype(np.float32)
    return (skimage.color.rgb2lab(image)[..., 0] / 100).astype(np.float32)


def with_luminance(
    image: np.ndarray, luminance: np.ndarray, space: ColorSpace
) -> np.ndarray:
    """The image's colors with another luminance, which is that of the color space.

    The spaces also differ in what becomes of a color that sRGB does not have at its new
    luminance:

    yiq, lab: its R, G and B are clipped, which also changes luminance and hue
    hcl: lab in polar coordinates: its chroma is lowered until it fits, so that
      luminance and hue stay; very bright or dark colors turn greyer than in lab.
      This is the package's own
    """
    _check_known("color space", space, ColorSpace)
    image = np.asarray(image, np.float64)
    if space == "yiq":
        yiq = skimage.color.rgb2yiq(image)
        yiq[..., 0] = luminance
        return skimage.color.yiq2rgb(yiq).clip(0, 1).astype(np.float32)
    lab = skimage.color.rgb2lab(image)
    lab[..., 0] = 100 * np.asarray(luminance, np.float64)
    if space == "hcl":
        lab = _lower_chroma(lab)
    return _lab_to_rgb(lab).astype(np.float32)


def match_luminance(
    luminance: np.ndarray,
    reference: np.ndarray,
    moments: LuminanceMatch = "mean_std",
) -> np.ndarray:
    """A luminance with the moments of another of any size, clipped to 0..1.

    mean_std: L' = σ_ref/σ (L - μ) + μ_ref
    mean: L' = L - μ + μ_ref, as in the released code
    """
    _check_known("luminance match", moments, LuminanceMatch)
    luminance = np.asarray(luminance, np.float64)
    reference = np.asarray(reference, np.float64)
    gain = 1.0
    if moments == "mean_std":
        # The limit keeps a flat luminance flat, whose deviation is rounding or 0.
        gain = reference.std() / max(luminance.std(), 1e-6)
    matched = gain * (luminance - luminance.mean()) + reference.mean()
    return matched.clip(0, 1).astype(np.float32)


def match_color(
    image: np.ndarray, reference: np.ndarray, method: ColorMatch
) -> np.ndarray:
    """An image in the colors of another of any size, clipped to 0..1.

    cholesky, pca, symmetric: x' = A (x - μ) + μ_ref has the reference's mean and
      covariance, see ``covariance_transform`` for A
    histogram: R, G and B each take on the reference's histogram; how they go together
      is the image's own
    """
    _check_known("color match", method, ColorMatch)
    image = np.asarray(image, np.float64)
    reference = np.asarray(reference, np.float64)
    if method == "histogram":
        matched = skimage.exposure.match_histograms(image, reference, channel_axis=-1)
        return matched.astype(np.float32)
    both = [each.reshape(-1, 3) for each in (image, reference)]
    mean, reference_mean = (pixels.mean(axis=0) for pixels in both)
    C, C_ref = (np.cov(pixels, rowvar=False, bias=True) for pixels in both)
    A = covariance_transform(C, C_ref, method)
    return ((image - mean) @ A.T + reference_mean).clip(0, 1).astype(np.float32)


def covariance_transform(
    covariance: np.ndarray, reference: np.ndarray, method: LinearMatch
) -> np.ndarray:
    """The matrix A, [3, 3], that turns one covariance into another: A C Aᵀ = C_ref.

    cholesky: A = L_ref L⁻¹, with C = L Lᵀ; depends on the order of the channels
    pca: A = C_ref^½ C^-½
    symmetric: A = Q⁻¹ (Q C_ref Q)^½ Q⁻¹, with Q = C^½; of all A, the one that changes
      the pixels least (Monge-Kantorovich)

    1e-5 is added to the diagonals of C and C_ref first.
    """
    _check_known("color match", method, LinearMatch)
    regularization = COVARIANCE_REGULARIZATION * np.eye(3)
    C, C_ref = covariance + regularization, reference + regularization
    if method == "cholesky":
        return np.linalg.cholesky(C_ref) @ np.linalg.inv(np.linalg.cholesky(C))
    Q = _square_root(C)
    Q_inverse = np.linalg.inv(Q)
    if method == "pca":
        return _square_root(C_ref) @ Q_inverse
    return Q_inverse @ _square_root(Q @ C_ref @ Q) @ Q_inverse


def _check_known(what: str, name: str, choices: Any) -> None:
    if name not in get_args(choices):
        known = ", ".join(get_args(choices))
        raise InputError(f"unknown {what} {name!r}: known are {known}")


def _square_root(S: np.ndarray) -> np.ndarray:
    eigenvalues, V = np.linalg.eigh(S)
    # Rounding can leave an eigenvalue of 0 negative.
    return V * np.sqrt(eigenvalues.clip(0)) @ V.T


def _lower_chroma(lab: np.ndarray) -> np.ndarray:
    """Colors that sRGB has: the others' chroma is lowered, by bisection."""
    outside = ~_in_gamut(lab)
    lch = skimage.color.lab2lch(lab[outside])
    too_much = lch[:, 1].copy()
    fits = np.zeros_like(too_much)
    for _ in range(16):
        lch[:, 1] = (fits + too_much) / 2
        inside = _in_gamut(skimage.color.lch2lab(lch))
        fits = np.where(inside, lch[:, 1], fits)
        too_much = np.where(inside, too_much, lch[:, 1])
    lch[:, 1] = fits
    lab = lab.copy()
    lab[outside] = skimage.color.lch2lab(lch)
    return lab


def _in_gamut(lab: np.ndarray) -> np.ndarray:
    # skimage clips to sRGB without a word, so that only the way back tells.
    error = np.abs(skimage.color.rgb2lab(_lab_to_rgb(lab)) - lab)
    return error.max(axis=-1) < GAMUT_TOLERANCE


def _lab_to_rgb(lab: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        # Of a negative Z, which is one way to be outside sRGB.
        warnings.filterwarnings("ignore", "Conversion from CIE-LAB", UserWarning)
        return skimage.color.lab2rgb(lab)
