"""What a narrow network is trained on: rounds of batches.

The first round's batches are random pictures. Each later round takes half of its
batches from on-policy samples: pictures on the way of an optimizer that follows the
network as trained so far.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from experiments.distillation.on_policy import on_policy_samples
from experiments.distillation.pictures import random_crop, random_picture
from experiments.distillation.teacher_features import (
    Batch,
    Teacher,
    sample_positions,
    with_teacher_features,
)
from nstjax.network.vgg import Params, Pool

POOLS: tuple[Pool, Pool] = ("avg", "max")
SAMPLES_PER_BLOCK = 64


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
            pictures = np.stack(
                [
                    random_picture(rng, *self.sources, self.size)
                    for _ in range(self.batch_size)
                ]
            )
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
