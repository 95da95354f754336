"""Restyling pictures with a trained network: by name or by painting, mixed or weak.

A style is what a network takes beside the photo: weights of its styles, or statistics
of a painting. They mix linearly.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jax.typing import ArrayLike

from nstjax.errors import InputError
from nstjax.feedforward.inference.descend import descend, describe_painting
from nstjax.feedforward.inference.refine import refine
from nstjax.feedforward.inference.tiles import Progress
from nstjax.feedforward.inference.tiling import (
    decode_restyled,
    restyle_code_in_tiles,
    restyle_in_tiles,
)
from nstjax.feedforward.networks import adain
from nstjax.feedforward.networks.architecture import DescentArchitecture
from nstjax.feedforward.networks.descent import DescentNet, PaintingStyle
from nstjax.feedforward.networks.model_file import StyleModel
from nstjax.feedforward.networks.networks import AdaINDecoder, TransformNet, check_sides
from nstjax.io.weights import LoadedParams
from nstjax.network.layer_scales import scale_layers
from nstjax.network.vgg import Params, Pool
from nstjax.runtime.compilation import memory_saving_jit

# Pictures are reflected to multiples of this, so that a few compilations serve all.
BUCKET = 64
# Encoders pad with zeros, which would show along the border.
ENCODER_MARGIN = 32
DESCENT_MARGIN = 8
MOST_REFINEMENTS = 1000
TILE_MULTIPLE = 16

Style = Any  # [styles]; (mean, deviation), [channels] each; or a PaintingStyle


@dataclasses.dataclass(frozen=True)
class Restyler:
    """A model that is ready to restyle, with its encoder, if it has one.

    ``refine`` and ``detail`` are of learned descent, see the modules ``refine`` and
    ``descend``.
    """

    model: StyleModel
    encoder: Params | None = None
    refine: int = 0
    detail: float = 1.0

    @property
    def arbitrary(self) -> bool:
        """Whether styles are paintings, not names."""
        return not self.model.styles

    @property
    def _pool(self) -> Pool:
        encoder = self.model.encoder
        return "max" if encoder is None else encoder.pool

    def named_style(self, name: str) -> Style:
        """A style that the model knows by name."""
        names = self.model.styles
        if name not in names:
            raise InputError(f"unknown style {name!r}: known are {', '.join(names)}")
        index, paintings = names.index(name), self.model.paintings
        if paintings is not None:
            return jax.tree.map(lambda leaf: jnp.asarray(leaf[index]), paintings)
        return jnp.asarray(np.eye(len(names), dtype=np.float32)[index])

    def style_of(self, painting: np.ndarray) -> tuple[Array, Array] | PaintingStyle:
        """The style of a painting of any size."""
        assert self.encoder is not None
        network, (height, width, _) = self.model.network, painting.shape
        if isinstance(network, DescentNet):
            architecture = network.architecture
            scales, least = len(architecture.steps), architecture.least_side
            missing = [max(0, least - side) for side in (height, width)]
            borders = [(0, missing[0]), (0, missing[1]), (0, 0)]
            painting = np.pad(painting, borders, mode="reflect")
            return describe_painting(self.encoder, painting, self._pool, scales)
        check_sides(height, width, network.architecture)
        return _style_of(self.encoder, painting, self._pool)

    def check_photo(self, photo: np.ndarray) -> None:
        """Raise ``InputError`` for a photo that is too small for the network.

        None is for learned descent: what it takes is reflected as far as it needs.
        """
        architecture, (height, width, _) = self.model.network.architecture, photo.shape
        if not isinstance(architecture, DescentArchitecture):
            check_sides(height, width, architecture)

    def __call__(
        self,
        images: Sequence[np.ndarray],
        style: Style,
        strength: float = 1.0,
        *,
        batch_size: int | None = None,
    ) -> list[np.ndarray]:
        """Restyle pictures that have one ``padded_size``.

        Images are sRGB in 0..1, [height, width, 3] each, as are the results. A strength
        of 0 leaves the photo (of a decoder: decoded), 1 is the style. With a batch
        size, fewer images need no compilation of their own.
        """
        padded = list(map(self._pad_to_bucket, images))
        padded += padded[-1:] * ((batch_size or len(images)) - len(images))
        network, batch = self.model.network, np.stack(padded)
        if isinstance(network, DescentNet):
            restyled = self._descend(network, batch, style)
            result = _blend(restyled, batch, strength)
        else:
            graph, state = nnx.split(network)
            of_style = self.encoder, batch, style, strength, self._pool
            result = _restyle(graph, state, *of_style)
        pairs = zip(np.asarray(result), images, strict=False)
        return [self._unpad(restyled, image) for restyled, image in pairs]

    def in_tiles(
        self,
        image: np.ndarray,
        style: Style,
        strength: float = 1.0,
        *,
        tile: int,
        progress: Progress | None = None,
    ) -> np.ndarray:
        """Restyle one picture that is too large for memory: the same, tile by tile."""
        network, padded = self.model.network, self._pad_to_bucket(image)
        options: Any = {"tile": tile, "progress": progress}
        if isinstance(network, TransformNet):
            result = restyle_in_tiles(network, padded, np.asarray(style), **options)
            result = strength * result + (1 - strength) * padded
        elif isinstance(network, DescentNet):
            restyled = self._descend(network, padded[None], style, **options)
            result = np.asarray(_blend(restyled, padded[None], strength)[0])
        else:
            assert self.encoder is not None
            options |= {"strength": strength, "pool": self._pool}
            result = restyle_code_in_tiles(
                network, self.encoder, padded, style, **options
            )
        return self._unpad(result, image).clip(0, 1)

    def _descend(
        self, network: DescentNet, photos: np.ndarray, style: Style, **options: Any
    ) -> ArrayLike:
        encoder, model = self.encoder, self.model
        assert encoder is not None and model.encoder is not None
        options["pool"] = self._pool
        images = descend(network, encoder, photos, style, detail=self.detail, **options)
        if not self.refine:
            return images
        if "tile" in options:
            options["tile"] = -(-options["tile"] // TILE_MULTIPLE) * TILE_MULTIPLE
        fixed = encoder, model.encoder.scales
        pairs = zip(photos, np.clip(images, 0, 1), strict=True)
        return np.stack(
            [refine(*fixed, *pair, style, self.refine, **options) for pair in pairs]
        )

    def padded_size(self, height: int, width: int) -> tuple[int, int]:
        """The size that a picture is computed at."""
        architecture, margin = self.model.network.architecture, self._margin
        bucket = math.lcm(BUCKET, getattr(architecture, "multiple", 1))
        rows, columns = (
            max(architecture.least_side, -(-(side + 2 * margin) // bucket) * bucket)
            for side in (height, width)
        )
        return rows, columns

    @property
    def _margin(self) -> int:
        network = self.model.network
        if isinstance(network, DescentNet):
            return DESCENT_MARGIN
        return ENCODER_MARGIN if isinstance(network, AdaINDecoder) else 0

    def _pad_to_bucket(self, image: np.ndarray) -> np.ndarray:
        self.check_photo(image)
        margin, sides = self._margin, image.shape[:2]
        borders = [
            (margin, padded - margin - side)
            for padded, side in zip(self.padded_size(*sides), sides, strict=True)
        ]
        return np.pad(image, [*borders, (0, 0)], mode="reflect")

    def _unpad(self, padded: np.ndarray, image: np.ndarray) -> np.ndarray:
        margin, (height, width, _) = self._margin, image.shape
        return padded[margin : margin + height, margin : margin + width]


def make_restyler(
    model: StyleModel,
    load_encoder: Callable[[], LoadedParams],
    *,
    refine: int = 0,
    detail: float = 1.0,
) -> Restyler:
    """A restyler, with the encoder that the model was trained with, if with one.

    It is loaded for a decoder only: learned descent has its own.
    """
    if not 0 <= refine <= MOST_REFINEMENTS:
        raise InputError(f"refine must lie in 0..{MOST_REFINEMENTS}, got {refine}")
    if not 0 <= detail <= 1:
        raise InputError(f"detail must lie in 0..1, got {detail}")
    if (refine, detail) != (0, 1) and not isinstance(model.network, DescentNet):
        raise InputError(
            "refine and detail are for models of learned descent, such as arbitrary: "
            "leave them out, or give another model"
        )
    if isinstance(model.network, DescentNet):
        return Restyler(model, model.network.encoder_params(), refine, detail)
    if model.encoder is None:
        return Restyler(model)
    network = load_encoder()
    if network.sha256 != model.encoder.sha256:
        raise InputError(
            f"the model was trained on another encoder than {network.source}: give "
            "its file with --weights"
        )
    return Restyler(model, scale_layers(network.params, model.encoder.scales))


def mixture(styles: Sequence[Style], shares: Sequence[float]) -> Style:
    """Σ_i b_i s_i of styles from one restyler, with shares of sum 1."""

    def mixed(*leaves: Array) -> Any:
        return sum(share * leaf for share, leaf in zip(shares, leaves, strict=True))

    return jax.tree.map(mixed, *styles)


def normalized_shares(shares: Sequence[float]) -> list[float]:
    """Shares divided by their sum."""
    written = ", ".join(f"{share:g}" for share in shares)
    if not all(math.isfinite(share) and share >= 0 for share in shares):
        raise InputError(f"shares of styles must be 0 or more, got {written}")
    total = sum(shares)
    if not (math.isfinite(total) and total > 0):
        raise InputError(f"shares of styles sum to {total:g} ({written}): nothing left")
    return [share / total for share in shares]


@memory_saving_jit
def _blend(restyled: ArrayLike, photos: ArrayLike, strength: ArrayLike) -> Array:
    strength, restyled = jnp.asarray(strength), jnp.clip(jnp.asarray(restyled), 0, 1)
    return strength * restyled + (1 - strength) * jnp.asarray(photos)


@functools.partial(memory_saving_jit, static_argnames=("graph", "pool"))
def _restyle(
    graph: Any,
    state: nnx.State,
    encoder: Params | None,
    images: ArrayLike,
    style: Style,
    strength: ArrayLike,
    pool: Pool,
) -> Array:
    network, images = nnx.merge(graph, state), jnp.asarray(images)
    if encoder is None:
        styles = jnp.broadcast_to(style[None, :], (len(images), len(style)))
        result = strength * network(images, styles) + (1 - strength) * images
        return jnp.clip(result, 0, 1)
    assert isinstance(network, AdaINDecoder)
    code = adain.make_encoder(encoder, pool)(images)
    mean, deviation = style
    result = decode_restyled(
        network, (mean[None, :], deviation[None, :]), strength, None, code
    )
    return jnp.clip(result[:, : images.shape[1], : images.shape[2]], 0, 1)


@functools.partial(memory_saving_jit, static_argnames="pool")
def _style_of(encoder: Params, painting: ArrayLike, pool: Pool) -> tuple[Array, Array]:
    code = adain.make_encoder(encoder, pool)(jnp.asarray(painting)[None])
    mean, deviation = adain.style_of_code(code)
    return mean[0], deviation[0]
