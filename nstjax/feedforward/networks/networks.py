"""Networks that restyle a picture in one pass."""

import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from nstjax.errors import InputError
from nstjax.feedforward.networks.architecture import (
    AdaINArchitecture,
    Architecture,
    Pixels,
    TransformArchitecture,
)
from nstjax.feedforward.networks.convolution import (
    Convolution,
    cut,
    enlarge,
    enlarge_bilinear,
    reflect,
    transposed,
)
from nstjax.feedforward.networks.normalization import InstanceNorm
from nstjax.network.vgg import MEAN_RGB

STRIDE = 4


class NormalizedConvolution(nnx.Module):
    """A convolution and its normalization, without the ReLU.

    Attributes:
      convolution: the convolution.
      norm: ``InstanceNorm``, ``nnx.BatchNorm`` or None.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        size: int,
        architecture: TransformArchitecture,
        *,
        stride: int = 1,
        upsample: bool = False,
        normalized: bool = True,
        in_residual: bool = False,
        rngs: nnx.Rngs,
    ):
        self.convolution = Convolution(
            channels_in,
            channels_out,
            size,
            stride=stride,
            bias=architecture.bias,
            initialization=architecture.initialization,
            rngs=rngs,
        )
        self.upsampling = architecture.upsampling if upsample else None
        self.reflection, self.zeros = 0, 0
        if architecture.padding == "reflect":
            self.reflection = size // 2
        elif architecture.padding == "zero" or not in_residual:
            self.zeros = size // 2
        # TensorFlow's SAME puts the one row that a stride of 2 needs at the end.
        self.last_only = architecture.padding == "zero" and stride == 2
        self.norm = _normalization(channels_out, architecture) if normalized else None

    def convolve(self, activation: Array) -> Array:
        """What is normalized, from [batch, height, width, in]."""
        if self.upsampling in ("transpose-torch", "transpose-tensorflow"):
            crop_first = self.upsampling == "transpose-torch"
            kernel = self.convolution.kernel[...]
            return self.convolution.biased(transposed(activation, kernel, crop_first))
        if self.upsampling == "nearest":
            activation = enlarge(activation)
        if self.upsampling == "bilinear":
            activation = enlarge_bilinear(activation)
        if self.reflection:
            activation = reflect(activation, self.reflection)
        if self.last_only:
            activation = jnp.pad(activation, [(0, 0), (0, 1), (0, 1), (0, 0)])
            return self.convolution(activation)
        return self.convolution(activation, self.zeros)

    def __call__(self, activation: Array, style: Array) -> Array:
        """Convolve and normalize."""
        activation = self.convolve(activation)
        if isinstance(self.norm, InstanceNorm):
            return self.norm(activation, style)
        return activation if self.norm is None else self.norm(activation)


def _normalization(
    channels: int, architecture: TransformArchitecture
) -> InstanceNorm | nnx.BatchNorm:
    if architecture.normalization == "batch":
        return nnx.BatchNorm(
            channels,
            momentum=0.9,
            epsilon=architecture.epsilon,
            use_fast_variance=False,
            rngs=nnx.Rngs(0),
        )
    return InstanceNorm(channels, architecture.styles, architecture.epsilon)


class TransformNet(nnx.Module):
    """Johnson's image transformation network and its published variants.

    c9s1-32, c3s2-64, c3s2-128, 5 residual blocks of 128, up-64, up-32, c9s1-3: each
    convolution normalized and rectified but for the second of a block, which is not
    rectified, and the last.

    Attributes:
      contract: three convolutions, the last two of stride 2.
      residual: pairs of convolutions, x + f(x).
      expand: two upsampling convolutions.
      last: to the picture's colors.

    Source:
      Johnson, Alahi and Fei-Fei (2016), supplementary material, and the programs that
      ``nstjax.feedforward.training.presets`` names; Dumoulin et al. (2017) for several
      styles.
    """

    def __init__(self, architecture: TransformArchitecture, *, rngs: nnx.Rngs):
        def layer(
            channels_in: int, channels_out: int, size: int = 3, **options: Any
        ) -> NormalizedConvolution:
            return NormalizedConvolution(
                channels_in, channels_out, size, architecture, rngs=rngs, **options
            )

        self.architecture = architecture
        first, second, third = architecture.widened_channels
        self.contract = nnx.List(
            [
                layer(3, first, 9),
                layer(first, second, stride=2),
                layer(second, third, stride=2),
            ]
        )
        self.residual = nnx.List(
            [
                nnx.List([layer(third, third, in_residual=True) for _ in range(2)])
                for _ in range(architecture.residual_blocks)
            ]
        )
        self.expand = nnx.List(
            [layer(third, second, upsample=True), layer(second, first, upsample=True)]
        )
        self.last = layer(first, 3, 9, normalized=architecture.normalize_output)

    def __call__(self, image: Array, style: Array | None = None) -> Array:
        """Restyle pictures.

        Args:
          image: sRGB in 0..1, shape [batch, height, width, 3], any height and width
            from the architecture's ``least_side``.
          style: weight of each style, shape [batch, styles]; needed where there are
            several.

        Returns:
          sRGB of the same shape; what lies outside 0..1 is not cut off.

        Raises:
          InputError: a picture that is too small, or weights of another shape.
        """
        batch, height, width, _ = image.shape
        check_sides(height, width, self.architecture)
        style = check_style(style, batch, self.architecture.styles)
        image = pad_to_multiple(image, STRIDE)
        activation = to_network_units(image, self.architecture.pixels)
        if self.architecture.padding == "reflect-start":
            activation = reflect(activation, self.architecture.start_reflection)
        for layer in self.contract:
            activation = jax.nn.relu(layer(activation, style))
        for first, second in self.residual:
            change = second(jax.nn.relu(first(activation, style)), style)
            border = (activation.shape[1] - change.shape[1]) // 2
            activation = change + shave(activation, border)
        for layer in self.expand:
            activation = jax.nn.relu(layer(activation, style))
        image = self.to_picture(self.last(activation, style))
        return image[:, :height, :width]

    def to_picture(self, activation: Array) -> Array:
        """What the last layer gives as sRGB in 0..1."""
        output, pixels = self.architecture.output, self.architecture.pixels
        if output == "sigmoid":
            return jax.nn.sigmoid(activation)
        if output == "tanh":
            activation = 150.0 * jnp.tanh(activation)
            activation = activation + (127.5 if pixels == "0..255" else 0.0)
        return from_network_units(activation, pixels)


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
        self.blocks = nnx.List(
            [
                nnx.List(
                    [
                        Convolution(
                            channels_in,
                            channels_out,
                            3,
                            initialization=architecture.initialization,
                            rngs=rngs,
                        )
                        for channels_in, channels_out in itertools.pairwise(channels)
                    ]
                )
                for channels in blocks
            ]
        )

    def __call__(self, activation: Array) -> Array:
        """Decode.

        Args:
          activation: [batch, height/8, width/8, encoder_channels].

        Returns:
          sRGB, shape [batch, height, width, 3]; what lies outside 0..1 is not cut off.
        """
        bilinear = self.architecture.upsampling == "bilinear"
        for number, block in enumerate(self.blocks):
            if number:
                upsample = enlarge_bilinear if bilinear else enlarge
                activation = upsample(activation)
            for convolution in block:
                activation = convolution(reflect(activation, 1))
                if convolution is not self.blocks[-1][-1]:
                    activation = jax.nn.relu(activation)
        return activation


def make_network(
    architecture: Architecture, seed: int = 0
) -> TransformNet | AdaINDecoder:
    """A network of that architecture with weights drawn from ``seed``."""
    rngs = nnx.Rngs(seed)
    if isinstance(architecture, AdaINArchitecture):
        return AdaINDecoder(architecture, rngs=rngs)
    return TransformNet(architecture, rngs=rngs)


def count_parameters(network: nnx.Module) -> int:
    """How many numbers are trained."""
    leaves = jax.tree.leaves(nnx.state(network, nnx.Param))
    return sum(math.prod(leaf.shape) for leaf in leaves)


def pad_to_multiple(image: Array, multiple: int) -> Array:
    """Reflect [batch, height, width, 3] past its last row and column.

    Returns:
      The picture with a height and width that ``multiple`` divides.
    """
    below, right = (-side % multiple for side in image.shape[1:3])
    borders = [(0, 0), (0, below), (0, right), (0, 0)]
    return jnp.pad(image, borders, mode="reflect")


def shave(activation: Array, border: int) -> Array:
    """Cut ``border`` rows and columns off each side."""
    _, height, width, _ = activation.shape
    return cut(activation, border, height - 2 * border, width - 2 * border)


def to_network_units(image: Array, pixels: Pixels) -> Array:
    """From sRGB in 0..1 to what a network takes."""
    if pixels == "0..1":
        return image
    mean = MEAN_RGB if pixels == "0..255 minus mean" else jnp.zeros(3)
    return 255.0 * image - mean[None, None, None, :]


def from_network_units(image: Array, pixels: Pixels) -> Array:
    """From what a network gives to sRGB in 0..1."""
    if pixels == "0..1":
        return image
    mean = MEAN_RGB if pixels == "0..255 minus mean" else jnp.zeros(3)
    return (image + mean[None, None, None, :]) / 255.0


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
