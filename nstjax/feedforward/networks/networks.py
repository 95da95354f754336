"""Networks that restyle a picture in one pass."""

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import ArrayLike

from nstjax.errors import InputError
from nstjax.feedforward.networks.architecture import (
    AdaINArchitecture,
    Architecture,
    DescentArchitecture,
    Pixels,
    TransformArchitecture,
)
from nstjax.feedforward.networks.convolution import (
    Padding,
    convolve_folded,
    crop,
    enlarge,
    make_convolution,
)
from nstjax.feedforward.networks.descent import DescentNet
from nstjax.feedforward.networks.normalization import InstanceNorm, Moments
from nstjax.network.vgg import MEAN_RGB

# Of a transposed convolution: what is cropped of the 2·side + 1 rows and columns.
TRANSPOSE_PADDING: dict[str, Padding] = {
    "transpose-torch": ((1, 2), (1, 2)),
    "transpose-tensorflow": "SAME",
}


class NormalizedConvolution(nnx.Module):
    """A convolution, which pads, too, and its normalization, without the ReLU."""

    def __init__(
        self,
        architecture: TransformArchitecture,
        rngs: nnx.Rngs,
        channels_in: int,
        channels_out: int,
        size: int = 3,
        *,
        stride: int = 1,
        upsample: bool = False,
        normalized: bool = True,
        in_residual: bool = False,
    ):
        self.upsampling = architecture.upsampling if upsample else None
        padding: Padding = size // 2
        transpose = self.upsampling in TRANSPOSE_PADDING
        if transpose:
            padding, stride = TRANSPOSE_PADDING[architecture.upsampling], 2
        elif architecture.padding == "reflect":
            padding = "REFLECT"
        elif architecture.padding == "zero" and stride == 2:
            # TensorFlow's SAME puts the one row that a stride of 2 needs at the end.
            padding = ((0, 1), (0, 1))
        elif architecture.padding == "reflect-start" and in_residual:
            padding = "VALID"
        self.convolution = make_convolution(
            channels_in,
            channels_out,
            size,
            padding,
            stride=stride,
            transpose=transpose,
            bias=architecture.bias,
            initialization=architecture.initialization,
            rngs=rngs,
        )
        norm: InstanceNorm | nnx.BatchNorm | None = None
        epsilon = architecture.epsilon
        if normalized and architecture.normalization == "batch":
            options: Any = {"momentum": 0.9, "use_fast_variance": False}
            norm = nnx.BatchNorm(
                channels_out, epsilon=epsilon, **options, rngs=nnx.Rngs(0)
            )
        elif normalized:
            norm = InstanceNorm(channels_out, architecture.styles, epsilon)
        self.norm = norm

    def convolve(self, activation: Array) -> Array:
        """What is normalized, from [batch, height, width, in]."""
        if self.upsampling is None or self.upsampling in TRANSPOSE_PADDING:
            return self.convolution(activation)
        if self.convolution.padding == "REFLECT":
            return convolve_folded(self.convolution, activation, self.upsampling)
        return self.convolution(enlarge(activation, self.upsampling))

    def normalize(
        self, activation: Array, style: Array, moments: Moments | None = None
    ) -> Array:
        """Normalize with an activation's own moments or, of a tile, the whole's."""
        if self.norm is None:
            return activation
        if isinstance(self.norm, InstanceNorm):
            return self.norm(activation, style, moments)
        return self.norm(activation, use_running_average=True if moments else None)


class TransformNet(nnx.Module):
    """Johnson's image transformation network and its published variants.

    c9s1-32, c3s2-64, c3s2-128, 5 residual blocks of 128, up-64, up-32, c9s1-3: each
    convolution normalized and rectified but for the second of a block, which is not
    rectified, and the last.

    Source:
      Johnson, Alahi and Fei-Fei (2016), supplementary material, and the programs that
      ``nstjax.feedforward.training.presets`` names; Dumoulin et al. (2017) for several
      styles.
    """

    def __init__(self, architecture: TransformArchitecture, *, rngs: nnx.Rngs):
        self.architecture = architecture
        layer = partial(NormalizedConvolution, architecture, rngs)
        strided, enlarged = partial(layer, stride=2), partial(layer, upsample=True)
        inner = partial(layer, in_residual=True)
        channels = architecture.widened_channels
        first, deepest = channels[0], channels[-1]
        pairs = list(itertools.pairwise(channels))
        self.contract = nnx.List(
            [layer(3, first, 9), *(strided(*pair) for pair in pairs)]
        )
        self.residual = nnx.List(
            [
                nnx.List([inner(deepest, deepest), inner(deepest, deepest)])
                for _ in range(architecture.residual_blocks)
            ]
        )
        self.expand = nnx.List([enlarged(*pair[::-1]) for pair in reversed(pairs)])
        self.last = layer(first, 3, 9, normalized=architecture.normalize_output)

    def __call__(self, image: Array, style: Array | None = None) -> Array:
        """Restyle pictures [batch, height, width, 3], sRGB in 0..1, not cut off there.

        The weights of the styles, [batch, styles], are needed where there are several.
        """
        batch, height, width, _ = image.shape
        check_sides(height, width, self.architecture)
        style = check_style(style, batch, self.architecture.styles)
        for borders in self.reflections(height, width):
            image = jnp.pad(image, [(0, 0), *borders], mode="reflect")

        def apply(layer: NormalizedConvolution, values: Array, rectify: bool) -> Array:
            values = layer.normalize(layer.convolve(values), style)
            return jax.nn.relu(values) if rectify else values

        def add(change: Array, activation: Array) -> Array:
            border = (activation.shape[1] - change.shape[1]) // 2
            return change + crop(activation, border, *change.shape[1:3])

        image = to_network_units(image, self.architecture.pixels)
        activation = self.compute(image, apply, add)
        return self.to_picture(activation)[:, :height, :width]

    def reflections(self, height: int, width: int) -> list[list[tuple[int, int]]]:
        """What a picture is reflected by, first to a multiple of the stride."""
        stride = self.architecture.stride
        found = [[(0, -height % stride), (0, -width % stride), (0, 0)]]
        if self.architecture.padding == "reflect-start":
            start = (self.architecture.start_reflection,) * 2
            found.append([start, start, (0, 0)])
        return found

    def compute(
        self, values: Any, apply: Callable[..., Any], add: Callable[..., Any]
    ) -> Any:
        """All layers, of a whole activation or of tiles.

        ``apply(layer, values, rectify)`` is one of them; ``add(change, values)`` adds
        what a residual block computed to the middle of what it was given.
        """
        for layer in self.contract:
            values = apply(layer, values, True)
        for first, second in self.residual:
            values = add(apply(second, apply(first, values, True), False), values)
        for layer in self.expand:
            values = apply(layer, values, True)
        return apply(self.last, values, False)

    def to_picture(self, activation: Array) -> Array:
        """What the last layer gives as sRGB in 0..1."""
        output, pixels = self.architecture.output, self.architecture.pixels
        if output == "sigmoid":
            return jax.nn.sigmoid(activation)
        if output == "tanh":
            activation = 150.0 * jnp.tanh(activation)
            activation = activation + (127.5 if pixels == "0..255" else 0.0)
        scale, mean = _units(pixels)
        return (activation + mean) / scale


class AdaINDecoder(nnx.Module):
    """From relu4_1 of a VGG-19 back to a picture: the encoder mirrored.

    Each convolution is 3×3 after reflection, rectified but for the last; each pooling
    becomes an enlargement: to the nearest neighbor as published, or bilinear.

    Source:
      Huang and Belongie (2017).
    """

    def __init__(self, architecture: AdaINArchitecture, *, rngs: nnx.Rngs):
        deep, middle, shallow = architecture.channels
        blocks = [
            [architecture.encoder_channels, deep],
            [deep, deep, deep, deep, middle],
            [middle, middle, shallow],
            [shallow, shallow, 3],
        ]
        self.architecture = architecture
        options: Any = {"size": 3, "padding": "REFLECT", "rngs": rngs}
        options["initialization"] = architecture.initialization
        self.blocks = nnx.List(
            nnx.List(
                make_convolution(*pair, **options) for pair in itertools.pairwise(block)
            )
            for block in blocks
        )

    def __call__(self, activation: Array) -> Array:
        """Pictures in 0..1, not cut off there, from [batch, height/8, width/8, c]."""
        upsampling = self.architecture.upsampling
        for number, block in enumerate(self.blocks):
            for place, convolution in enumerate(block):
                if number and not place:
                    activation = convolve_folded(convolution, activation, upsampling)
                else:
                    activation = convolution(activation)
                if convolution is not self.blocks[-1][-1]:
                    activation = jax.nn.relu(activation)
        return activation


Network = TransformNet | AdaINDecoder | DescentNet


def make_network(architecture: Architecture, seed: int = 0) -> Network:
    """A network of that architecture with weights drawn from ``seed``."""
    rngs = nnx.Rngs(seed)
    if isinstance(architecture, AdaINArchitecture):
        return AdaINDecoder(architecture, rngs=rngs)
    if isinstance(architecture, DescentArchitecture):
        return DescentNet(architecture, rngs=rngs)
    return TransformNet(architecture, rngs=rngs)


def to_network_units(image: Array, pixels: Pixels) -> Array:
    """From sRGB in 0..1 to what a network takes."""
    scale, mean = _units(pixels)
    return scale * image - mean


def _units(pixels: Pixels) -> tuple[float, ArrayLike]:
    """What pixels in 0..1 are multiplied by, and then lowered by."""
    mean = MEAN_RGB[None, None, None, :] if pixels == "0..255 minus mean" else 0.0
    return 1.0 if pixels == "0..1" else 255.0, mean


def check_sides(height: int, width: int, architecture: Architecture) -> None:
    """Raise ``InputError`` for a picture that the network's reflections exceed."""
    least = architecture.least_side
    if height < least or width < least:
        raise InputError(
            f"a picture of {width}x{height} pixels is too small for this network: it "
            f"needs at least {least} on each side; choose a larger one"
        )


def check_style(style: Array | None, batch: int, styles: int) -> Array:
    """Style weights of shape [batch, styles], ones where the network has one style."""
    if style is None and styles == 1:
        return jnp.ones((batch, 1))
    if style is None or style.shape != (batch, styles):
        raise InputError(
            f"style weights have shape {None if style is None else style.shape}: give "
            f"({batch}, {styles}), one for each picture and style"
        )
    return style
