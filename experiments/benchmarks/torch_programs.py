"""The programs of the benchmarks as PyTorch writes them.

Eager and channels-last, with the same weights.
"""

import os
from collections.abc import Callable, Sequence
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
from experiments.benchmarks.torch_networks import (
    DEVICE,
    arbitrary,
    descent,
    features,
    from_nhwc,
    gram,
    preprocess,
    tensors_of,
    transform,
)
from nstjax.feedforward.networks.architecture import (
    AdaINArchitecture,
    DescentArchitecture,
    TransformArchitecture,
)
from nstjax.network.architecture import layer_channels
from nstjax.network.vgg import MEAN_RGB
from nstjax.runtime.memory import keep_freed_memory


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
