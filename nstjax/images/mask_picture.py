"""What somebody painted who gives a picture as a mask: its alpha, numbers or greys."""

import numpy as np

from nstjax.errors import InputError
from nstjax.images.color_map import FLAT_RANGE, LEAST_SHARE, SAME_COLOR

# Numbers up to this are labels: as levels of grey nobody could tell them from black.
MAX_LABEL = 31
# Mean difference of the channels in a picture that is grey, but for JPEG's noise.
GREY = 0.05
BLACK = 0.1


def labels_of(
    color: np.ndarray, most: int, name: str, advice: str
) -> np.ndarray | None:
    """The small numbers that a picture of 8 or 16 bits holds, uint8 [height, width].

    None if it holds greys or colors; more than ``most`` numbers are refused.
    """
    top = color.max()
    grey = color[:, :, 0]
    if not 0 < top <= (MAX_LABEL + 0.5) / 255 or (color != grey[:, :, None]).any():
        return None
    levels = 65535 if top <= (MAX_LABEL + 0.5) / 65535 else 255
    labels = np.rint(grey * levels)
    if np.abs(labels - grey * levels).max() > 0.01:
        return None
    count = len(np.unique(labels))
    if count > most:
        range_of = f"from {labels.min():g} to {labels.max():g}"
        raise InputError(f"{name} holds {count} numbers {range_of}: {advice}")
    return labels.astype(np.uint8)


def painted_map(color: np.ndarray, alpha: np.ndarray | None, name: str) -> np.ndarray:
    """The colors of a map, with a color of its own where nothing was painted.

    That is black; white where black is painted, and grey where both are. A picture that
    is transparent everywhere is refused.
    """
    if alpha is None or not _varies(alpha, name):
        return color
    paint = color[alpha >= alpha.max() / 2]
    for level in np.array([0.0, 1.0, 0.5], np.float32):
        near = np.linalg.norm(paint - level, axis=1) < SAME_COLOR / 255
        if near.mean() <= LEAST_SHARE:
            break
    else:
        level = np.float32(0)
    return level + (color - level) * alpha[:, :, None]


def painted_mask(color: np.ndarray, alpha: np.ndarray | None, name: str) -> np.ndarray:
    """The membership that a mask of one region means, [height, width] in 0..1.

    On an opaque picture that is its grey, or a number other than 0; on a transparent
    one it is the alpha, times the grey if what is painted is grey. A picture that is
    colored, black, or transparent everywhere is refused.
    """
    transparent = alpha is not None and _varies(alpha, name)
    if alpha is None or not transparent:
        advice = "the mask of one region has 0 outside and 1 inside"
        labels = labels_of(color, 2, name, advice)
        if labels is not None:
            return (labels > 0).astype(np.float32)
        alpha = np.ones(color.shape[:2], np.float32)
    paint = color[alpha >= alpha.max() / 2]
    is_grey = np.ptp(paint, axis=1).mean() <= GREY
    if transparent and is_grey and paint.max() < BLACK:
        raise InputError(
            f"{name} is black on transparent: paint the inside of its region white"
        )
    if (
        transparent
        and not is_grey
        and (np.ptp(paint, axis=0) * 255 <= FLAT_RANGE).all()
    ):
        return alpha
    if not is_grey:
        raise InputError(
            f"{name} is colored: the mask of one region is grey, white inside and "
            "black outside"
        )
    return alpha * color.mean(axis=2)


def _varies(alpha: np.ndarray, name: str) -> bool:
    if alpha.max() == 0:
        raise InputError(f"{name} is transparent everywhere: paint its regions")
    return bool(np.ptp(alpha) > 0)
