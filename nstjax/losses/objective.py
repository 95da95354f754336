"""The loss that a run lowers, as a function of the image and of what else it takes."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax import Array

from nstjax.losses.total import LossTerms, Targets, Weights, total_loss
from nstjax.network.vgg import Params

LossFunction = Callable[..., tuple[Array, LossTerms]]


class Kept(NamedTuple):
    """What of the photo stays: the loss sees mask · image + (1 - mask) · photo.

    Attributes:
      mask: [height, width, 1] in 0..1.
      photo: in the network's units, shape [height, width, 3].
    """

    mask: Array
    photo: Array


class TransferData(NamedTuple):
    """What the loss takes beside the image.

    Attributes:
      params: the network.
      targets: photo's activations and paintings' statistics.
      weights: alpha, beta, tv and per-layer weights.
      key: of the sampled style losses, folded with the step.
      kept: the photo's part that stays, or None.
    """

    params: Params
    targets: Targets
    weights: Weights
    key: Array
    kept: Kept | None


def seen_image(image: Array, kept: Kept | None) -> Array:
    """What the loss sees of an image."""
    if kept is None:
        return image
    return kept.mask * image + (1.0 - kept.mask) * kept.photo


def loss_function(**structure: Any) -> LossFunction:
    """The loss that a run lowers: (image, step, *data) -> (total, LossTerms).

    ``data`` are the fields of ``TransferData``; outside ``kept.mask`` the loss sees the
    photo, and the sampled style losses draw anew at every step.

    Args:
      **structure: keyword arguments of ``nstjax.total_loss``, such as
        ``loss_structure`` gives.
    """

    def loss_fn(
        image: Array,
        step: Array,
        params: Params,
        targets: Targets,
        weights: Weights,
        key: Array,
        kept: Kept | None,
    ) -> tuple[Array, LossTerms]:
        image, key = seen_image(image, kept), jax.random.fold_in(key, step)
        return total_loss(params, image, targets, weights, key=key, **structure)

    return loss_fn
