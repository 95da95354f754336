"""What a map of regions shows: its colors, however noisy, and whose each pixel is."""

import numpy as np
from scipy import ndimage
from scipy.spatial.distance import cdist

MAX_COLORS = 16
# What two maps may mean by the same color, in 8-bit RGB.
SAME_COLOR = 64.0

# Colors are 8-bit RGB and their distances Euclidean. A pixel is flat if no channel
# varies by more than this among its neighbors: JPEG's noise does not, an edge does.
FLAT_RANGE = 24
# A region's color is a peak among the flat pixels: of those within WIDE, the share
# PEAKED lies within NARROW. The slopes of soft masks and of photos have no such peaks.
NARROW, WIDE, PEAKED = 16.0, 40.0, 0.6
LEAST_SHARE = 0.002
# In a map at least half is flat, and 90 % of that has the regions' colors; of the 500
# photos of BSDS500, one is taken for a map. More must be flat where there is less to
# tell by: one color, or anything between two.
LEAST_FLAT, LEAST_EXPLAINED = 0.5, 0.9
LEAST_FLAT_IF_EVEN = 0.95
# Memberships this near to 0 or 1 are JPEG's noise.
SNAP = 0.05


def read_color_map(image: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Colors and memberships of a map's regions, the brightest color first.

    With two colors, membership is the position between them, so that a feathered mask
    stays soft; with more, every pixel belongs to one region. Gives 8-bit colors
    [regions, 3] and float32 masks [regions, height, width]; None of what is no map.
    """
    pixels = np.rint(image * 255).astype(np.uint8)
    varying = ndimage.morphological_gradient(pixels, (3, 3, 1))
    flat = (varying <= FLAT_RANGE).all(axis=2)
    packed = pixels.astype(np.int32) @ np.array([65536, 256, 1], np.int32)
    present, index = np.unique(packed.reshape(-1), return_inverse=True)
    palette = np.stack([present >> 16, present >> 8 & 255, present & 255], axis=1)
    index = index.reshape(flat.shape)
    counts = np.bincount(index[flat], minlength=len(palette))
    colors = _peaks(palette, counts)
    if not _is_map(palette, counts, colors, float(flat.mean())):
        return None
    colors = colors[np.argsort(-colors @ np.array([0.299, 0.587, 0.114]))]
    if len(colors) == 2:
        bright = snap(_position(palette, colors))[index]
        return colors, np.stack([bright, 1 - bright])
    distance = cdist(palette, colors)
    labels = _spread_labels(
        distance.argmin(axis=1).astype(np.uint8)[index],
        (distance.min(axis=1) < NARROW)[index],
        flat,
    )
    masks = [labels == label for label in range(len(colors))]
    return colors, np.array(masks, np.float32)


def snap(mask: np.ndarray) -> np.ndarray:
    """Memberships in float32 without JPEG's noise at 0 and 1."""
    mask = np.where(mask < SNAP, 0.0, mask)
    return np.where(mask > 1 - SNAP, 1.0, mask).astype(np.float32)


def _peaks(palette: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The colors at a histogram's peaks, shape [peaks, 3]."""
    least = LEAST_SHARE * counts.sum()
    cells = (palette >> 3) @ np.array([1024, 32, 1])
    left = counts.copy()
    colors: list[np.ndarray] = []
    while True:
        here = np.where(cells == np.bincount(cells, left).argmax(), left, 0)
        # A peak at the corner of a cell is spread over eight of them.
        if here.sum() <= least / 8:
            return np.array(colors, np.int64).reshape(-1, 3)
        color = palette[here.argmax()]
        distance = cdist(palette, color[None])[:, 0]
        peak = counts[distance < NARROW].sum()
        if peak >= max(least, PEAKED * counts[distance < WIDE].sum()):
            colors.append(color)
        left[distance < WIDE] = 0


def _is_map(
    palette: np.ndarray, counts: np.ndarray, colors: np.ndarray, flat_share: float
) -> bool:
    if not 1 <= len(colors) <= MAX_COLORS:
        return False
    near = cdist(palette, colors).min(axis=1) < NARROW
    least_flat = LEAST_FLAT if len(colors) > 1 else LEAST_FLAT_IF_EVEN
    if len(colors) == 2 and flat_share >= LEAST_FLAT_IF_EVEN:
        # The slopes of a feathered mask are flat too.
        bright, dark = colors
        between = dark + _position(palette, colors)[:, None] * (bright - dark)
        near = ((palette - between) ** 2).sum(axis=1) < NARROW**2
    explained = counts[near].sum() / counts.sum()
    return flat_share >= least_flat and explained >= LEAST_EXPLAINED


def _position(palette: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """Where each color is on the way from the second, 0, to the first, 1."""
    way = colors[0] - colors[1]
    return ((palette - colors[1]) @ way / (way @ way)).clip(0, 1)


def _spread_labels(
    labels: np.ndarray, near: np.ndarray, flat: np.ndarray
) -> np.ndarray:
    """Labels where those on edges, whose mixed color may be a third region's, are new.

    Sure are the pixels near their region's color that are flat or connected with such;
    every other pixel takes the label of the nearest sure one.
    """
    sure = np.zeros_like(near)
    for label in range(labels.max() + 1):
        inside = near & (labels == label)
        sure |= ndimage.binary_propagation(inside & flat, np.ones((3, 3)), inside)
    nearest = ndimage.distance_transform_edt(
        ~sure, return_distances=False, return_indices=True
    )
    return labels[tuple(nearest)]
