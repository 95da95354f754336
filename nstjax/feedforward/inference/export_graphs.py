"""What is exported of a trained network: a function of pictures of any size.

Written with what both jax2onnx and ``jax.export`` take where sizes are not known.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.export
import jax.numpy as jnp
from jax import Array

from nstjax.feedforward.inference.restyle import (
    DESCENT_MARGIN,
    ENCODER_MARGIN,
    Restyler,
)
from nstjax.feedforward.inference.tiling import CODE_PIXELS
from nstjax.feedforward.networks import adain, descent, networks
from nstjax.feedforward.networks.convolution import convolve, crop
from nstjax.feedforward.networks.normalization import instance_statistics
from nstjax.network.architecture import LAYERS
from nstjax.network.vgg import Params, Pool

IMAGE = ("batch", "height", "width", 3)

Encode = Callable[[Array], dict[str, Array]]  # {layer: activation} of a batch


class Graph(NamedTuple):
    """What one file computes of inputs in their order, {name: shape}.

    "batch", "height" and "width" stand for any number; ``least_side`` is of the sides.
    """

    function: Callable[..., tuple[Array, ...]]
    inputs: Mapping[str, tuple[str | int, ...]]
    outputs: tuple[str, ...]
    least_side: int

    def shapes(self, batch: Any, height: Any, width: Any) -> list[tuple[Any, ...]]:
        """Of the inputs."""
        sizes: dict[Any, Any] = {"batch": batch, "height": height, "width": width}
        shapes = self.inputs.values()
        return [tuple(sizes.get(side, side) for side in shape) for shape in shapes]

    def symbolic_inputs(self) -> list[jax.ShapeDtypeStruct]:
        """The inputs for tracing, for every size at once."""
        least = [f"{side} >= {self.least_side}" for side in ("height", "width")]
        sizes = jax.export.symbolic_shape("batch, height, width", constraints=least)
        return [
            jax.ShapeDtypeStruct(shape, jnp.float32) for shape in self.shapes(*sizes)
        ]


def make_graphs(restyler: Restyler) -> dict[str, Graph]:
    """What is exported, by what each file's name ends with."""
    network = restyler.model.network
    if isinstance(network, networks.TransformNet):
        return {"": _named_styles(network)}
    encoder = restyler.model.encoder
    assert encoder is not None and restyler.encoder is not None
    encode = make_plain_encoder(restyler.encoder, encoder.pool)
    if isinstance(network, networks.AdaINDecoder):
        return {"": _decoder(network, encode), "_style": _code_style(network, encode)}
    paintings = restyler.model.paintings
    if paintings is not None:
        return {"": _named_paintings(network, encode, paintings)}
    return {"": _descent(network, encode), "_style": _painting_style(network, encode)}


def _named_styles(network: networks.TransformNet) -> Graph:
    def restyle(image: Array, *weights: Array) -> tuple[Array]:
        result = network(_reflected(image, 0, network.architecture.stride), *weights)
        return (jnp.clip(crop(result, 0, *image.shape[1:3]), 0, 1),)

    architecture = network.architecture
    inputs: dict[str, tuple[str | int, ...]] = {"image": IMAGE}
    if architecture.styles > 1:
        inputs["style_weights"] = ("batch", architecture.styles)
    return Graph(restyle, inputs, ("restyled",), architecture.least_side)


def _decoder(decoder: networks.AdaINDecoder, encode: Encode) -> Graph:
    def restyle(image: Array, mean: Array, deviation: Array) -> tuple[Array]:
        code = encode_code(_reflected(image, ENCODER_MARGIN, CODE_PIXELS))
        restyled = adain.adaptive_instance_normalization(code, (mean, deviation))
        result = crop(decoder(restyled), ENCODER_MARGIN, *image.shape[1:3])
        return (jnp.clip(result, 0, 1),)

    def encode_code(image: Array) -> Array:
        return encode(image)[adain.CODE_LAYER]

    moment = ("batch", decoder.architecture.encoder_channels)
    inputs = {"image": IMAGE, "style_mean": moment, "style_deviation": moment}
    return Graph(restyle, inputs, ("restyled",), ENCODER_MARGIN + CODE_PIXELS)


def _code_style(decoder: networks.AdaINDecoder, encode: Encode) -> Graph:
    def style(painting: Array) -> tuple[Array, Array]:
        code = encode(_cropped(painting, CODE_PIXELS))[adain.CODE_LAYER]
        return adain.style_of_code(code)

    outputs = ("style_mean", "style_deviation")
    return Graph(style, {"painting": IMAGE}, outputs, decoder.architecture.least_side)


def _descent(network: descent.DescentNet, encode: Encode) -> Graph:
    architecture = network.architecture

    def restyle(image: Array, *described: Array) -> tuple[Array]:
        style = _from_arrays(described, len(architecture.steps))
        whole = _reflected(image, DESCENT_MARGIN, architecture.multiple)
        photos = descent.pyramid(whole, len(architecture.steps))

        def advance(made: Array, scale: int) -> Array:
            gradient = _normalized_gradient(encode, made, style.grams[scale])
            return network(made, photos[scale], gradient)

        first, enlarge = descent.first_image(photos[0], style), descent.enlarged_image
        way = (architecture.schedule, photos, first, advance, enlarge)
        *_, made = descent.take_steps(*way)
        result = crop(made, DESCENT_MARGIN, *image.shape[1:3])
        return (jnp.clip(result, 0, 1),)

    inputs = {"image": IMAGE, **_style_shapes(network, encode)}
    return Graph(restyle, inputs, ("restyled",), architecture.least_side)


def _named_paintings(
    network: descent.DescentNet, encode: Encode, paintings: descent.PaintingStyle
) -> Graph:
    graph, count = _descent(network, encode), len(paintings.mean)

    def restyle(image: Array, *weights: Array) -> tuple[Array, ...]:
        # One for all pictures, or a mixture for each.
        described = list(map(jnp.asarray, jax.tree.leaves(paintings)))
        for shares in weights:
            described = [
                (shares @ leaf.reshape(count, -1)).reshape(-1, *leaf.shape[1:])
                for leaf in described
            ]
        return graph.function(image, *described)

    inputs: dict[str, tuple[str | int, ...]] = {"image": IMAGE}
    if count > 1:
        inputs["style_weights"] = ("batch", count)
    return graph._replace(function=restyle, inputs=inputs)


def _painting_style(network: descent.DescentNet, encode: Encode) -> Graph:
    scales, multiple = len(network.architecture.steps), network.architecture.multiple

    def style(painting: Array) -> tuple[Array, ...]:
        pictures = descent.pyramid(_cropped(painting, multiple), scales)
        mean, variance = instance_statistics(pictures[0])
        grams = [gram for each in pictures for gram in _grams(encode, each).values()]
        return mean, jnp.sqrt(variance + descent.EPSILON), *grams

    outputs = tuple(_style_shapes(network, encode))
    return Graph(style, {"painting": IMAGE}, outputs, network.architecture.least_side)


def _style_shapes(
    network: descent.DescentNet, encode: Encode
) -> dict[str, tuple[str | int, ...]]:
    """The arrays of a ``PaintingStyle`` by name."""
    layers = jax.eval_shape(encode, jax.ShapeDtypeStruct((1, 16, 16, 3), jnp.float32))
    return {
        "style_mean": ("batch", 3),
        "style_deviation": ("batch", 3),
        **{
            f"style_gram_{scale}_{layer}": ("batch", *(layers[layer].shape[-1],) * 2)
            for scale in range(len(network.architecture.steps))
            for layer in descent.STYLE_LAYERS
        },
    }


def _from_arrays(arrays: Sequence[Array], scales: int) -> descent.PaintingStyle:
    mean, deviation, *grams = arrays
    layers, count = list(descent.STYLE_LAYERS), len(descent.STYLE_LAYERS)
    by_scale = (grams[count * scale : count * (scale + 1)] for scale in range(scales))
    named = (dict(zip(layers, each, strict=True)) for each in by_scale)
    return descent.PaintingStyle(mean, deviation, tuple(named))


def _grams(encode: Encode, images: Array) -> dict[str, Array]:
    """Gram matrices over hw of a batch."""
    grams = {}
    for layer, found in encode(images).items():
        if layer in descent.STYLE_LAYERS:
            batch, height, width, channels = found.shape
            flat = found.reshape(batch, height * width, channels)
            product = jnp.matmul(flat.transpose(0, 2, 1), flat, precision="highest")
            grams[layer] = product / (height * width)
    return grams


def _normalized_gradient(
    encode: Encode, images: Array, targets: descent.Grams
) -> Array:
    """``nstjax.feedforward.networks.descent.normalized_gradient``."""

    def distances(images: Array) -> tuple[Array, Array]:
        grams = _grams(encode, images)
        found = []
        for layer, weight in descent.STYLE_LAYERS.items():
            change = jnp.square(grams[layer] - targets[layer]).sum((1, 2))
            share = change / jnp.square(targets[layer]).sum((1, 2))
            found.append(weight * jnp.sqrt(share + 1e-8))
        total = functools.reduce(jnp.add, found)
        return total.sum(), total

    (_, found), gradients = jax.value_and_grad(distances, has_aux=True)(images)
    return jax.vmap(descent.normalized)(found, gradients)


def make_plain_encoder(params: Params, pool: Pool) -> Encode:
    """Layers as plain convolutions of a batch, whose sides 8 divides."""

    def encode(image: Array) -> dict[str, Array]:
        found = {}
        activation = networks.to_network_units(image, "0..255 minus mean")
        for name in LAYERS[: LAYERS.index(adain.CODE_LAYER) + 1]:
            if name.startswith("conv"):
                kernel, bias = params[name]["kernel"], params[name]["bias"]
                activation = _convolve_fixed(activation, kernel)
                activation += bias[None, None, None, :]
            elif name.startswith("relu"):
                activation = jax.nn.relu(activation)
            else:
                # jax2onnx makes no pooling of unknown size that ONNX Runtime takes.
                batch, height, width, channels = activation.shape
                sides = (height // 2, 2, width // 2, 2)
                windows = activation.reshape(batch, *sides, channels)
                reduced = windows.max if pool == "max" else windows.mean
                activation = reduced((2, 4))
            found[name] = activation
        return found

    return encode


@jax.custom_vjp
def _convolve_fixed(image: Array, kernel: Array) -> Array:
    """With a gradient, of the image only, that is a convolution as well.

    jax2onnx does not know the one that JAX makes.
    """
    return convolve(image, kernel, (1, 1), [(1, 1)] * 2)


def _convolve_fixed_forward(image: Array, kernel: Array) -> tuple[Array, Array]:
    return _convolve_fixed(image, kernel), kernel


def _convolve_fixed_backward(kernel: Array, change: Array) -> tuple[Array, None]:
    turned = kernel[::-1, ::-1].transpose(0, 1, 3, 2)
    return convolve(change, turned, (1, 1), [(1, 1)] * 2), None


_convolve_fixed.defvjp(_convolve_fixed_forward, _convolve_fixed_backward)


def _cropped(image: Array, multiple: int) -> Array:
    """The part, from the first pixel on, whose sides ``multiple`` divides."""
    return crop(image, 0, *(side // multiple * multiple for side in image.shape[1:3]))


def _reflected(image: Array, margin: int, multiple: int) -> Array:
    """Reflect on all sides, and further to sides that ``multiple`` divides."""
    # Made so that the sides may be unknown.
    borders = [(margin, margin + multiple - 1)] * 2
    padded = jnp.pad(image, [(0, 0), *borders, (0, 0)], mode="reflect")
    return _cropped(padded, multiple)
