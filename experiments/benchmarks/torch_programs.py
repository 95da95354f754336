"""The programs of the benchmarks as PyTorch writes them.

Eager and channels-last, with the same weights.
"""

import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from jax import tree
from torch import Tensor
from torch.nn import functional

from experiments.benchmarks import step_programs
from experiments.benchmarks.benchmark import Program
from experiments.benchmarks.feedforward_programs import (
    FIRST_STEPS,
    LEARNING_RATE,
    LOSS,
    Task,
    reflected,
)
from experiments.benchmarks.step_programs import CONTENT_WEIGHTS, STYLE_WEIGHTS
from nstjax.feedforward.networks.adain import CODE_LAYER, EPSILON
from nstjax.feedforward.networks.architecture import (
    AdaINArchitecture,
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
from nstjax.runtime.memory import keep_freed_memory

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
MEAN = torch.tensor(MEAN_RGB, device=DEVICE)[None, :, None, None]
MAX_POOL = partial(functional.max_pool2d, ceil_mode=True)  # keeps odd borders
Weights = dict[str, Tensor]


def torch_step(implementation: str, task: step_programs.Task) -> Program:
    """A step of style transfer, with its loss and gradient."""
    words = implementation.split("-")
    if "stock" not in words:
        keep_freed_memory()
    use_device()
    vgg = tensors_of(task.params, torch.float32)
    layers = (*CONTENT_WEIGHTS, *STYLE_WEIGHTS)

    def activations_of(x: Tensor) -> dict[str, Tensor]:
        with torch.autocast(DEVICE, torch.bfloat16, enabled="bfloat16" in words):
            activations = features(vgg, x, layers, functional.avg_pool2d)
        return {layer: found.float() for layer, found in activations.items()}

    if "compiled" in words:
        activations_of = torch.compile(activations_of)

    def gram(activation: Tensor) -> Tensor:
        F = activation[0].permute(1, 2, 0).flatten(0, 1)
        return F.T @ F / len(F)

    images = 255 * task.pictures - MEAN_RGB
    content, style, image = (from_nhwc(each[None]) for each in images)
    with torch.no_grad():
        found, styled = activations_of(content), activations_of(style)
        contents = {layer: found[layer] for layer in CONTENT_WEIGHTS}
        grams = {layer: gram(styled[layer]) for layer in STYLE_WEIGHTS}
        del found, styled

    def loss_of() -> Tensor:
        activations = activations_of(image)
        loss = torch.zeros((), device=DEVICE)
        for layer, weight in CONTENT_WEIGHTS.items():
            error = activations[layer] - contents[layer]
            loss = loss + weight * 0.5 * error.square().sum()
        for layer, weight in STYLE_WEIGHTS.items():
            error = gram(activations[layer]) - grams[layer]
            loss = loss + weight * 0.25 * error.square().mean()
        return loss

    step = adam_step([image], step_programs.PRESET.adam_learning_rate, loss_of)
    loss = step().item()
    gradient = image.grad[0].permute(1, 2, 0).cpu().numpy()
    peak = torch.cuda.max_memory_allocated if DEVICE == "cuda" else lambda: 0
    first = (loss, gradient)
    return Program(DEVICE, first, partial(repeat, step), device_peak=peak)


def adam_step(
    parameters: Sequence[Tensor], learning_rate: float, loss_of: Callable[[], Tensor]
) -> Callable[[], Tensor]:
    """What makes the next update, and gives the loss before it."""
    for parameter in parameters:
        parameter.requires_grad_()
    optimizer = torch.optim.Adam(parameters, lr=learning_rate)

    def step() -> Tensor:
        optimizer.zero_grad()
        loss = loss_of()
        loss.backward()
        optimizer.step()
        return loss

    return step


def torch_feedforward(_: str, task: Task) -> Program:
    """Pictures, or the losses of the first steps of training."""
    keep_freed_memory()
    return (torch_inference if task.paintings is None else torch_training)(task)


def torch_inference(task: Task) -> Program:
    """The forward pass without a graph for gradients."""
    use_device(allow_tf32=task.precision != "float32")
    dtype = getattr(torch, task.precision)
    weights, vgg = (tensors_of(arrays, dtype) for arrays in (task.tensors, task.vgg))
    images = from_nhwc(task.images).to(dtype)
    mode: Callable[..., Any] = torch.inference_mode
    if isinstance(task.architecture, DescentArchitecture):
        mode = torch.no_grad
        padded = from_nhwc(reflected(task.images, task.architecture.multiple))
        style = tree.map(lambda part: torch.tensor(part, device=DEVICE), task.style)
        forward = partial(descent, weights, vgg, padded, style, task.architecture)
    elif isinstance(task.architecture, AdaINArchitecture):
        moments = [torch.tensor(part, device=DEVICE) for part in task.style]
        upsampling = task.architecture.upsampling
        forward = partial(arbitrary, weights, vgg, images, moments, upsampling)
    else:
        assert isinstance(task.architecture, TransformArchitecture)
        style_weights = torch.tensor(task.style[None], device=DEVICE, dtype=dtype)
        forward = partial(transform, weights, images, style_weights, task.architecture)
    with mode():
        result = forward().permute(0, 2, 3, 1).float().cpu().numpy()
    run = mode()(partial(repeat, forward))
    return Program(DEVICE, result, run)


def torch_training(task: Task) -> Program:
    """Forward, backward and Adam, with the losses of ``LOSS``."""
    use_device(allow_tf32=False)
    assert task.paintings is not None
    architecture: Any = task.architecture
    weights = tensors_of(task.tensors, torch.float32)
    vgg = tensors_of(task.vgg, torch.float32)
    images, paintings = from_nhwc(task.images), from_nhwc(task.paintings)
    style = torch.arange(len(images), device=DEVICE) % len(paintings)
    style_weights = functional.one_hot(style, len(paintings)).float()
    with torch.no_grad():
        painted = features(vgg, preprocess(paintings), LOSS.style_layers)
        targets = {layer: gram(layer, painted[layer])[style] for layer in painted}
        del painted

    def loss_of() -> Tensor:
        output = transform(weights, images, style_weights, architecture)
        with torch.no_grad():
            contents = features(vgg, preprocess(images), LOSS.content_layers)
        layers = (*LOSS.content_layers, *LOSS.style_layers)
        activations = features(vgg, preprocess(output), layers)
        changes = (output.diff(dim=axis) for axis in (2, 3))
        loss = LOSS.tv * sum((255 * change).square().mean() for change in changes)
        for layer, content in contents.items():
            share = content.shape[1] / layer_channels(layer)
            error = functional.mse_loss(activations[layer], content)
            loss = loss + LOSS.alpha * share * error
        for layer, target in targets.items():
            share = (target.shape[1] / layer_channels(layer)) ** 2
            error = functional.mse_loss(gram(layer, activations[layer]), target)
            loss = loss + LOSS.beta * share * error
        return loss

    step = adam_step(list(weights.values()), LEARNING_RATE, loss_of)
    losses = [step().item() for _ in range(FIRST_STEPS)]
    return Program(DEVICE, np.array(losses), partial(repeat, step))


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


def use_device(allow_tf32: bool = True) -> None:
    """Set what PyTorch keeps for the whole process."""
    linux = hasattr(os, "sched_getaffinity")
    processors = len(os.sched_getaffinity(0)) if linux else os.cpu_count()
    torch.set_num_threads(processors or 1)
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = allow_tf32


def repeat(work: Callable[[], Tensor], count: int) -> None:
    """Do it so many times, until the GPU has done it, too."""
    for _ in range(count):
        work()
    if DEVICE == "cuda":
        torch.cuda.synchronize()


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
