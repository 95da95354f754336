"""What a narrow network is shown, and when: rounds of batches.

The first round's batches are random pictures. Each later round takes half of its
batches from pictures that an optimizer visits when it follows the network as trained
so far.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from experiments.distillation.labels import Batch, Scales, label, sample_positions
from experiments.distillation.pictures import random_crop, random_picture
from experiments.distillation.visits import visit
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


def is_visit(round_: int, batch: int) -> bool:
    """Whether a batch is of visited pictures; both poolings get as many of them."""
    return round_ > 0 and batch // 2 % 2 == 1


def make_batch(
    rng: np.random.Generator,
    sources: Sources,
    teacher: Params,
    scales: Scales,
    pool: Pool,
    *,
    size: int,
    count: int,
    student: Params | None,
    visit_steps: int,
) -> Batch:
    """Random pictures with VGG-19's activations, or visited ones.

    Args:
      rng: what decides.
      sources: where crops come from.
      teacher: VGG-19's params.
      scales: from ``experiments.distillation.labels.layer_scales``.
      pool: of the network.
      size: of each picture.
      count: of pictures; even.
      student: in VGG-19's units, to give ``count``/2 pictures that it leads to and the
        crops of paintings that it was led by; None for random pictures.
      visit_steps: the longest way to a visited picture.

    Returns:
      The batch.
    """
    if student is None:
        pictures = [random_picture(rng, *sources, size) for _ in range(count)]
        batch_pictures = np.stack(pictures)
    else:
        contents, styles = random_crops(rng, sources, size, count // 2)
        visited = visit(student, rng, contents, styles, pool, visit_steps)
        batch_pictures = np.concatenate([visited, styles])
    positions = sample_positions(rng, batch_pictures.shape, SAMPLES_PER_BLOCK)
    return label(teacher, scales, batch_pictures, positions, pool)


def random_crops(
    rng: np.random.Generator, sources: Sources, size: int, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Crops of photos, and of paintings, float32 [count, size, size, 3] each."""
    photos, paintings = (
        np.stack(
            [
                random_crop(rng, images[int(rng.integers(len(images)))], size)
                for _ in range(count)
            ]
        )
        for images in sources
    )
    return photos, paintings


def batch_of_step(
    rng: np.random.Generator, round_: int, batches_per_round: int
) -> tuple[int, int]:
    """The (round, batch) to train on: every other time one of the newest round."""
    chosen = round_ if rng.random() < 0.5 else int(rng.integers(round_ + 1))
    return chosen, int(rng.integers(batches_per_round))
