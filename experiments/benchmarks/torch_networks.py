"""The networks as PyTorch writes them: eager and channels-last."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from jax import tree
from torch import Tensor
from torch.nn import functional

from nstjax.feedforward.networks.adain import CODE_LAYER, EPSILON
from nstjax.feedforward.networks.architecture import (
    DescentArchitecture,
    TransformArchitecture,
)
from nstjax.feedforward.networks.descent import (
    SMALL_DISTANCE,
    STEP,
    STYLE_LAYERS,
    PaintingStyle,
)
from nstjax.network.architecture import LAYERS, layer_channels
from nstjax.network.vgg import MEAN_RGB

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
MEAN = torch.tensor(MEAN_RGB, device=DEVICE)[None, :, None, None]
MAX_POOL = partial(functional.max_pool2d, ceil_mode=True)  # keeps odd borders
Weights = dict[str, Tensor]


def transform(
    weights: Weights, images: Tensor, style: Tensor, architecture: TransformArchitecture
) -> Tensor:
    """``TransformNet`` with reflection, nearest or bilinear upsampling, and a sigmoid.

    Images are [batch, 3, height, width] in 0..1, style [batch, styles] or [1, styles].
    """

    def layer(name: str, x: Tensor, **options: Any) -> Tensor:
        x = convolution(weights, f"{name}/convolution", x, **options)
        if f"{name}/norm/gamma" not in weights:
            return x
        gamma = style @ weights[f"{name}/norm/gamma"]
        beta = style @ weights[f"{name}/norm/beta"]
        return instance_norm(x, gamma, beta, architecture.epsilon)

    height, width = images.shape[2:]
    x = functional.pad(images, [0, -width % 4, 0, -height % 4], "reflect")
    for index in range(3):
        x = layer(f"contract/{index}", x, stride=2 if index else 1).relu_()
    blocks = {name.split("/")[1] for name in weights if name.startswith("residual")}
    for block in range(len(blocks)):
        change = layer(f"residual/{block}/0", x).relu_()
        x = x + layer(f"residual/{block}/1", change)
    for index in range(2):
        x = layer(f"expand/{index}", x, upsampling=architecture.upsampling).relu_()
    return layer("last", x).sigmoid()[:, :, :height, :width]


def convolution(
    weights: Weights,
    name: str,
    x: Tensor,
    stride: int = 1,
    upsampling: str | None = None,
) -> Tensor:
    """With reflection at the border; where enlarged first, the border is repeated."""
    kernel, bias = weights[f"{name}/kernel"], weights.get(f"{name}/bias")
    if upsampling:
        x = functional.interpolate(x, scale_factor=2, mode=upsampling)
    border = "replicate" if upsampling else "reflect"
    x = functional.pad(x, [kernel.shape[-1] // 2] * 4, border)
    return functional.conv2d(x, kernel, bias, stride)


def instance_norm(x: Tensor, gamma: Tensor, beta: Tensor, epsilon: float) -> Tensor:
    """In two passes over the picture, with statistics in float32.

    PyTorch's own leaves channels-last and takes longer. Its group normalization of one
    channel each takes 5% less, but is off by 1% of a picture of 1024x1024.
    """
    deviation = x - x.mean((2, 3), keepdim=True, dtype=torch.float32)
    variance = deviation.square().mean((2, 3), keepdim=True)
    scale = gamma[:, :, None, None] * torch.rsqrt(variance + epsilon)
    return torch.addcmul(beta[:, :, None, None], deviation, scale).to(x.dtype)


def arbitrary(
    weights: Weights,
    vgg: dict[str, Any],
    images: Tensor,
    style: Sequence[Tensor],
    upsampling: str,
) -> Tensor:
    """Encoder, AdaIN to a style's mean and deviation [channels], ``AdaINDecoder``."""
    code = features(vgg, preprocess(images), [CODE_LAYER])[CODE_LAYER].float()
    mean, deviation = (part[None, :, None, None] for part in style)
    own_variance, own_mean = torch.var_mean(code, (2, 3), correction=0, keepdim=True)
    scale = deviation / torch.sqrt(own_variance + EPSILON)
    x = torch.addcmul(mean - own_mean * scale, code, scale).to(images.dtype)
    names = sorted({name.rpartition("/")[0] for name in weights})
    block = "0"
    for name in names:
        begins = name.split("/")[1] != block
        block = name.split("/")[1]
        x = convolution(weights, name, x, upsampling=upsampling if begins else None)
        if name != names[-1]:
            x = x.relu_()
    return x[:, :, : images.shape[2], : images.shape[3]]


def descent(
    weights: Weights,
    vgg: dict[str, Any],
    photos: Tensor,
    style: PaintingStyle,
    architecture: DescentArchitecture,
) -> Tensor:
    """``nstjax.feedforward.inference.descend.descend``."""
    by_scale = [photos]
    for _ in architecture.steps[1:]:
        by_scale.insert(0, functional.avg_pool2d(by_scale[0], 2))
    enlarge = partial(functional.interpolate, scale_factor=2, mode="bilinear")
    x = by_scale[0]
    variance, mean = torch.var_mean(x, (2, 3), correction=0, keepdim=True)
    x = (x - mean) / torch.sqrt(variance + EPSILON) * style.deviation[:, None, None]
    x = (x + style.mean[:, None, None]).clamp(0, 1)
    for before, scale in itertools.pairwise([0, *architecture.schedule]):
        photo = by_scale[scale]
        if scale > before:
            x = enlarge(x) + photo - enlarge(by_scale[before])
        gradient = style_gradient(vgg, x, style.grams[scale])
        x = next_image(weights, x, photo, gradient, architecture)
    return x


def style_gradient(
    vgg: dict[str, Any], images: Tensor, targets: Mapping[str, Tensor]
) -> Tensor:
    """``nstjax.feedforward.networks.descent.normalized_gradient``."""
    with torch.enable_grad():
        x = preprocess(images).requires_grad_()
        found = features(vgg, x, list(STYLE_LAYERS))
        distance = torch.zeros(len(x), device=DEVICE)
        for layer, weight in STYLE_LAYERS.items():
            # Of VGG's channels there, of the network's own here.
            G = gram(layer, found[layer]) * layer_channels(layer)
            change = (G - targets[layer]).square().sum((1, 2))
            share = change / targets[layer].square().sum()
            distance = distance + weight * torch.sqrt(share + 1e-8)
        (gradient,) = torch.autograd.grad(distance.sum(), x)
    size = gradient.square().mean((1, 2, 3), keepdim=True).sqrt()
    distance = distance.detach()[:, None, None, None]
    compressed = torch.arcsinh(8 * gradient / size) / 3
    return compressed * (distance / (distance + SMALL_DISTANCE))


def next_image(
    weights: Weights,
    image: Tensor,
    photo: Tensor,
    gradient: Tensor,
    architecture: DescentArchitecture,
) -> Tensor:
    """``DescentNet``."""
    layer = partial(convolution, weights)
    x = torch.cat([2 * image - 1, 2 * photo - 1, gradient], 1)
    contracted = []
    for index in range(len(architecture.channels)):
        x = layer(f"contract/{index}", x, stride=2 if index else 1).relu_()
        contracted.append(x)
    for block in range(architecture.residual_blocks):
        x = x + layer(f"residual/{block}/1", layer(f"residual/{block}/0", x).relu_())
    for index, skipped in enumerate(contracted[-2::-1]):
        x = layer(f"expand/{index}", x, upsampling="bilinear").relu_() + skipped
        x = layer(f"merge/{index}", x).relu_()
    return image + STEP * layer("last", x)


def features(
    vgg: dict[str, Any],
    x: Tensor,
    layers: Sequence[str],
    pool: Callable[..., Tensor] = MAX_POOL,
) -> dict[str, Tensor]:
    """Activations of VGG-19's layers."""
    activations = {}
    for name in LAYERS[: max(map(LAYERS.index, layers)) + 1]:
        if name.startswith("conv"):
            x = functional.conv2d(x, vgg[name]["kernel"], vgg[name]["bias"], padding=1)
        elif name.startswith("relu"):
            x = x.relu_()
        else:
            x = pool(x, 2)
        if name in layers:
            activations[name] = x
    return activations


def preprocess(images: Tensor) -> Tensor:
    """Pictures in 0..1 in the network's units."""
    return (255 * images - MEAN).to(images.dtype)


def gram(layer: str, activation: Tensor) -> Tensor:
    """Gram matrices over positions and VGG-19's channels: [batch, own, own]."""
    F = activation.permute(0, 2, 3, 1).flatten(1, 2)
    return F.transpose(1, 2) @ F / (layer_channels(layer) * F.shape[1])


def tensors_of(arrays: Mapping[str, Any], dtype: torch.dtype) -> dict[str, Any]:
    """Biases as they are, and kernels in PyTorch's order: OIHW."""
    return tree.map(
        lambda array: (
            torch.tensor(array, device=DEVICE, dtype=dtype)
            if array.ndim < 4
            else from_nhwc(array.transpose(3, 0, 1, 2)).to(dtype)
        ),
        arrays,
    )


def from_nhwc(array: np.ndarray) -> Tensor:
    """[batch, channels, height, width], channels last in memory."""
    tensor = torch.tensor(np.ascontiguousarray(array), device=DEVICE)
    return tensor.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
