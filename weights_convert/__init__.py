"""VGG weight files as others publish them, converted to this project's params."""

from weights_convert.convert import convert_file

__all__ = ["convert_file"]
