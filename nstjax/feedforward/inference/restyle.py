"""Restyling pictures with a trained network: by name or by painting, mixed or weak.

A style is what a network takes beside the photo: weights of its styles, or for
arbitrary style the mean and deviation of a painting's code. Both mix linearly.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from nstjax.errors import InputError
from nstjax.feedforward.inference.tiling import restyle_code_in_tiles, restyle_in_tiles
from nstjax.feedforward.networks.adain import (
    EPSILON,
    adaptive_instance_normalization,
    make_encoder,
)
from nstjax.feedforward.networks.model_file import StyleModel
from nstjax.feedforward.networks.networks import AdaINDecoder, check_sides
from nstjax.feedforward.networks.normalization import instance_statistics
from nstjax.io.weights import LoadedParams
from nstjax.network.layer_scales import scale_layers
from nstjax.network.vgg import Params, Pool, PoolPadding

# Pictures are reflected to multiples of this, so that a few compilations serve all.
BUCKET = 64
# The encoder pads with zeros, which would show along the border.
ENCODER_MARGIN = 32
POOL_PADDING: PoolPadding = "same"

Style = Any  # a pytree of arrays: [styles], or (mean, deviation), [channels] each


@dataclasses.dataclass(frozen=True)
class Restyler:
    """A model that is ready to restyle.

    Attributes:
      model: from ``nstjax.feedforward.networks.model_file``.
      encoder: params of the arbitrary style's encoder, scaled; else None.
    """

    model: StyleModel
    encoder: Params | None = None

    @property
    def arbitrary(self) -> bool:
        """Whether styles are paintings, not names."""
        return isinstance(self.model.network, AdaINDecoder)

    def named_style(self, shares: Mapping[str, float]) -> Array:
        """A style that the network knows, or a mixture: [styles], of sum 1.

        Args:
          shares: {name: share}.

        Raises:
          InputError: an unknown name, or shares that make no mixture.
        """
        names = self.model.styles
        for name in shares:
            if name not in names:
                raise InputError(
                    f"unknown style {name!r}: known are {', '.join(names)}"
                )
        weights = normalized_shares(list(shares.values()))
        result = np.zeros(len(names), np.float32)
        result[[names.index(name) for name in shares]] = weights
        return jnp.asarray(result)

    def style_of(
        self, paintings: Sequence[np.ndarray], shares: Sequence[float] | None = None
    ) -> tuple[Array, Array]:
        """The style of paintings, for arbitrary style: mean and deviation, [channels].

        Args:
          paintings: sRGB in 0..1, [height, width, 3] each, of any size.
          shares: of each; equal where not given.

        Raises:
          InputError: a painting that is too small, or shares that make no mixture.
        """
        assert self.encoder is not None and self.model.encoder is not None
        weights = normalized_shares(shares or [1.0] * len(paintings))
        codes = []
        for painting in paintings:
            check_sides(
                painting.shape[0], painting.shape[1], self.model.network.architecture
            )
            code = _encode(
                self.encoder, jnp.asarray(painting)[None], self.model.encoder.pool
            )
            mean, variance = instance_statistics(code)
            codes.append((mean[0], jnp.sqrt(variance[0] + EPSILON)))
        return mix_styles(codes, weights)

    def __call__(
        self,
        images: Sequence[np.ndarray],
        style: Style,
        strength: float = 1.0,
        *,
        batch_size: int | None = None,
    ) -> list[np.ndarray]:
        """Restyle pictures of one bucket, see ``bucket_of``.

        Args:
          images: sRGB in 0..1, [height, width, 3] each.
          style: of all of them.
          strength: 0 leaves the photo (arbitrary style: decoded), 1 is the style.
          batch_size: how many are computed: fewer images need no compilation of their
            own.

        Returns:
          sRGB in 0..1, float32, of the same shapes.

        Raises:
          InputError: pictures that are too small for the network.
        """
        network, encoder = self.model.network, self.model.encoder
        for image in images:
            check_sides(image.shape[0], image.shape[1], network.architecture)
        margin = ENCODER_MARGIN if self.arbitrary else 0
        padded = [_pad_to_bucket(image, margin) for image in images]
        padded += padded[-1:] * ((batch_size or len(images)) - len(images))
        batch = jnp.asarray(np.stack(padded))
        graph, state = nnx.split(network)
        if encoder is not None:
            result = _restyle_code(
                graph, state, self.encoder, batch, style, strength, encoder.pool
            )
        else:
            result = _restyle(graph, state, batch, style, strength)
        return [
            _unpad(np.asarray(restyled), image, margin)
            for restyled, image in zip(result, images, strict=False)
        ]

    def in_tiles(
        self,
        image: np.ndarray,
        style: Style,
        strength: float = 1.0,
        *,
        tile: int,
        progress: Callable[[int, int], None] | None = None,
    ) -> np.ndarray:
        """Restyle one picture that is too large for memory: the same, tile by tile.

        Args:
          image: sRGB in 0..1, [height, width, 3].
          style: likewise.
          strength: likewise.
          tile: pixels on a side.
          progress: called with how many tiles are done, and how many there are.
        """
        network, encoder = self.model.network, self.model.encoder
        check_sides(image.shape[0], image.shape[1], network.architecture)
        margin = ENCODER_MARGIN if self.arbitrary else 0
        padded = _pad_to_bucket(image, margin)
        if isinstance(network, AdaINDecoder):
            assert encoder is not None and self.encoder is not None
            mean, deviation = style
            result = restyle_code_in_tiles(
                network,
                self.encoder,
                padded,
                (mean, jnp.square(deviation) - EPSILON),
                strength=strength,
                pool=encoder.pool,
                pool_padding=POOL_PADDING,
                tile=tile,
                progress=progress,
            )
        else:
            result = restyle_in_tiles(
                network, padded, np.asarray(style), tile=tile, progress=progress
            )
            result = strength * result + (1 - strength) * padded
        return _unpad(result, image, margin).clip(0, 1)


def make_restyler(
    model: StyleModel, load_encoder: Callable[[], LoadedParams]
) -> Restyler:
    """A restyler, with the encoder that the model was trained with.

    Args:
      model: of either kind.
      load_encoder: reads the encoder's params; called for arbitrary style only.

    Raises:
      InputError: the params are another network's.
    """
    if model.encoder is None:
        return Restyler(model)
    network = load_encoder()
    if network.sha256 != model.encoder.sha256:
        raise InputError(
            f"the model was trained on another encoder than {network.source}: give "
            "its file with --weights"
        )
    return Restyler(model, scale_layers(network.params, model.encoder.scales))


def mix_styles(styles: Sequence[Style], shares: Sequence[float]) -> Style:
    """Σ_i b_i s_i of styles from one restyler, with shares of sum 1."""
    return jax.tree.map(
        lambda *leaves: sum(
            share * leaf for share, leaf in zip(shares, leaves, strict=True)
        ),
        *styles,
    )


def normalized_shares(shares: Sequence[float]) -> list[float]:
    """Shares divided by their sum.

    Raises:
      InputError: a share that is negative or not finite, or a sum of 0.
    """
    written = ", ".join(f"{share:g}" for share in shares)
    if not all(math.isfinite(share) and share >= 0 for share in shares):
        raise InputError(f"shares of styles must be 0 or more, got {written}")
    total = sum(shares)
    if not (math.isfinite(total) and total > 0):
        raise InputError(f"shares of styles sum to {total:g} ({written}): nothing left")
    return [share / total for share in shares]


def bucket_of(height: int, width: int) -> tuple[int, int]:
    """The size that a picture is computed at."""
    return -(-height // BUCKET) * BUCKET, -(-width // BUCKET) * BUCKET


def _pad_to_bucket(image: np.ndarray, margin: int) -> np.ndarray:
    height, width, _ = image.shape
    rows, columns = bucket_of(height, width)
    below, right = rows - height, columns - width
    sides = [(margin, margin + below), (margin, margin + right), (0, 0)]
    return np.pad(image, sides, mode="reflect")


def _unpad(padded: np.ndarray, image: np.ndarray, margin: int) -> np.ndarray:
    height, width, _ = image.shape
    return padded[margin : margin + height, margin : margin + width]


@jax.jit(static_argnames="graph")
def _restyle(
    graph: Any, state: nnx.State, images: Array, style: Array, strength: Array
) -> Array:
    network = nnx.merge(graph, state)
    styles = jnp.broadcast_to(style[None, :], (len(images), len(style)))
    result = network(images, styles)
    return jnp.clip(strength * result + (1 - strength) * images, 0, 1)


@jax.jit(static_argnames=("graph", "pool"))
def _restyle_code(
    graph: Any,
    state: nnx.State,
    encoder: Params,
    images: Array,
    style: tuple[Array, Array],
    strength: Array,
    pool: Pool,
) -> Array:
    decoder = nnx.merge(graph, state)
    code = make_encoder(encoder, pool, POOL_PADDING)(images)
    mean, deviation = (
        jnp.broadcast_to(part[None, :], (len(images), len(part))) for part in style
    )
    restyled = adaptive_instance_normalization(
        code, instance_statistics(code), (mean, jnp.square(deviation) - EPSILON)
    )
    result = decoder(strength * restyled + (1 - strength) * code)
    return jnp.clip(result[:, : images.shape[1], : images.shape[2]], 0, 1)


@jax.jit(static_argnames="pool")
def _encode(encoder: Params, images: Array, pool: Pool) -> Array:
    return make_encoder(encoder, pool, POOL_PADDING)(images)
