"""What a narrow network is trained on: rounds of batches of random pictures.

An optimizer that paints passes through pictures that no camera makes, hence blends,
noise and odd colors. After the first round half of the batches are on-policy samples:
pictures on the way of an optimizer that follows the network as trained so far.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from experiments.distillation.on_policy import on_policy_samples
from experiments.distillation.teacher_features import (
    Batch,
    Teacher,
    sample_positions,
    with_teacher_features,
)
from nstjax.images.resizing import resize
from nstjax.network.vgg import Params, Pool

POOLS: tuple[Pool, Pool] = ("avg", "max")
SAMPLES_PER_BLOCK = 64
PHOTO_SHARE = 0.55
BLEND_SHARE = 0.2
NOISY_SHARE = 0.2
NOISE_SHARE = 0.05


class Sources(NamedTuple):
    """Pictures to learn from, sRGB in 0..1, each [height, width, 3]."""

    photos: Sequence[np.ndarray]
    paintings: Sequence[np.ndarray]


def pool_of(batch: int) -> Pool:
    """A round's batches take turns in pooling, so that one network serves both."""
    return POOLS[batch % 2]


def is_on_policy(round_: int, batch: int) -> bool:
    """Whether a batch is of on-policy samples; both poolings get as many of them."""
    return round_ > 0 and batch // 2 % 2 == 1


class Batches(NamedTuple):
    """How batches are made."""

    sources: Sources
    teacher: Teacher
    size: int  # of each picture
    batch_size: int  # an even number
    steps: int  # the longest way to an on-policy sample

    def make(
        self, rng: np.random.Generator, pool: Pool, student: Params | None = None
    ) -> Batch:
        """Random pictures, or on-policy samples of a student in VGG-19's units.

        The second half of these are the crops of paintings that led to the first.
        """
        if student is None:
            drawn = [
                random_picture(rng, self.sources, self.size)
                for _ in range(self.batch_size)
            ]
            pictures = np.stack(drawn)
        else:
            crops = random_crops(rng, self.sources, self.size, self.batch_size // 2)
            samples = on_policy_samples(student, rng, *crops, pool, self.steps)
            pictures = np.concatenate([samples, crops[1]])
        positions = sample_positions(rng, pictures.shape, SAMPLES_PER_BLOCK)
        return with_teacher_features(self.teacher, pictures, positions, pool)


def random_crops(
    rng: np.random.Generator, sources: Sources, size: int, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Crops of photos, and of paintings, float32 [count, size, size, 3] each."""

    def crops(images: Sequence[np.ndarray]) -> np.ndarray:
        drawn = (images[int(rng.integers(len(images)))] for _ in range(count))
        return np.stack([random_crop(rng, image, size) for image in drawn])

    return crops(sources.photos), crops(sources.paintings)


def batch_of_step(
    rng: np.random.Generator, round_: int, batches_per_round: int
) -> tuple[int, int]:
    """The (round, batch) to train on: every other time one of the newest round."""
    chosen = round_ if rng.random() < 0.5 else int(rng.integers(round_ + 1))
    return chosen, int(rng.integers(batches_per_round))


def random_picture(rng: np.random.Generator, sources: Sources, size: int) -> np.ndarray:
    """A crop, a blend of two, a crop with noise, or noise alone.

    sRGB, float32 [size, size, 3], where noise is not cut to 0..1.
    """

    def crop() -> np.ndarray:
        is_photo = rng.random() < PHOTO_SHARE
        source = sources.photos if is_photo else sources.paintings
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
