"""Random pictures to train on: crops of photos and paintings, their blends, noise.

An optimizer that paints passes through pictures that no camera makes, hence the blends,
the noise and the odd colors.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from nstjax.images.resizing import resize

PHOTO_SHARE = 0.55
BLEND_SHARE = 0.2
NOISY_SHARE = 0.2
NOISE_SHARE = 0.05


def random_picture(
    rng: np.random.Generator,
    photos: Sequence[np.ndarray],
    paintings: Sequence[np.ndarray],
    size: int,
) -> np.ndarray:
    """A crop, a blend of two, a crop with noise, or noise alone.

    Of sRGB in 0..1, each [height, width, 3]: float32 [size, size, 3], where noise is
    not cut to 0..1.
    """

    def crop() -> np.ndarray:
        source = photos if rng.random() < PHOTO_SHARE else paintings
        return random_crop(rng, source[int(rng.integers(len(source)))], size)

    kind = rng.random()
    if kind < BLEND_SHARE:
        share = rng.uniform(0.2, 0.8)
        picture = share * crop() + (1 - share) * crop()
    elif kind < BLEND_SHARE + NOISY_SHARE:
        picture = crop() + rng.uniform(0.02, 0.4) * random_noise(rng, size)
    elif kind < BLEND_SHARE + NOISY_SHARE + NOISE_SHARE:
        picture = 0.5 + rng.uniform(0.02, 0.5) * random_noise(rng, size)
    else:
        picture = crop()
    return np.asarray(picture, np.float32)


def random_crop(rng: np.random.Generator, image: np.ndarray, size: int) -> np.ndarray:
    """A square of random place and scale, some of them mirrored, turned or recolored.

    It has 0.8·size pixels of the image or more where there are so many, and at most
    its shorter side; sRGB in 0..1, float32 [size, size, 3].
    """
    height, width = image.shape[:2]
    longest = min(height, width)
    side = int(np.exp(rng.uniform(np.log(min(0.8 * size, longest)), np.log(longest))))
    top, left = rng.integers(0, height - side + 1), rng.integers(0, width - side + 1)
    crop = resize(image[top : top + side, left : left + side], size, size)
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    if rng.random() < 0.15:
        crop = np.rot90(crop, int(rng.integers(4)))
    if rng.random() < 0.35:
        crop = crop[..., rng.permutation(3)]
    if rng.random() < 0.35:
        contrast, brightness = rng.uniform(0.5, 1.6), rng.uniform(-0.2, 0.2)
        crop = np.clip((crop - 0.5) * contrast + 0.5 + brightness, 0, 1)
    return np.ascontiguousarray(crop, np.float32)


def random_noise(rng: np.random.Generator, size: int) -> np.ndarray:
    """Normal noise of a random grain, in blocks or smooth, colored or grey."""
    grain = 2 ** int(rng.integers(0, 4))
    cells = -(-size // grain)
    noise = rng.standard_normal((cells, cells, 3)).astype(np.float32)
    if rng.random() < 0.3:
        noise = noise.mean(-1, keepdims=True).repeat(3, axis=-1)
    method = rng.choice([Image.Resampling.NEAREST, Image.Resampling.BICUBIC])
    channels = [
        Image.fromarray(channel.copy()) for channel in np.moveaxis(noise, -1, 0)
    ]
    resized = [np.asarray(channel.resize((size, size), method)) for channel in channels]
    return np.stack(resized, axis=-1)
