"""The loss that a run lowers, as a function of the image and of what else it takes."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax import Array

from nstjax.losses.terms import LossTerms, Targets, Weights
from nstjax.losses.total import LossOptions, loss_of_image
from nstjax.network.vgg import Params

LossFunction = Callable[..., tuple[Array, LossTerms]]


class StylizeMask(NamedTuple):
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
      stylize_mask: the photo's part that stays, or None.
    """

    params: Params
    targets: Targets
    weights: Weights
    key: Array
    stylize_mask: StylizeMask | None


def seen_image(image: Array, stylize_mask: StylizeMask | None) -> Array:
    """What the loss sees of an image."""
    if stylize_mask is None:
        return image
    mask, photo = stylize_mask
    return mask * image + (1.0 - mask) * photo


def loss_function(options: LossOptions, row_devices: int = 1) -> LossFunction:
    """The loss that a run lowers: (image, step, *data) -> (total, LossTerms).

    ``data`` are the fields of ``TransferData``; outside the mask the loss sees the
    photo, and the sampled style losses draw anew at every step. The image's rows are
    split over ``row_devices``.
    """

    def loss_fn(image: Array, step: Array, *fields: Any) -> tuple[Array, LossTerms]:
        params, targets, weights, key, stylize_mask = TransferData(*fields)
        image, key = seen_image(image, stylize_mask), jax.random.fold_in(key, step)
        return loss_of_image(params, image, targets, weights, options, key, row_devices)

    return loss_fn
