"""What ``experiments.benchmarks.step`` times: a step of nstjax and one of PyTorch.

jax, nstjax and torch are imported where they are used: what a worker imports without
need would count as its memory.
"""

import os
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

ADAM_BETA_1 = 0.9
# One step on a GPU is too short to be timed alone: as many as one dispatch of nstjax.
GPU_STEPS_PER_ROUND = 25


class Task(NamedTuple):
    """What every worker is given, as plain data.

    Attributes:
      trunk: layer names in forward order, down to the deepest one of the loss.
      params: {conv layer: {"kernel": [3, 3, in, out], "bias": [out]}}.
      pictures: photo, painting and initial image, sRGB in 0..1, [3, height, width, 3].
      mean: what the network subtracts, RGB in 0..255, [3].
      content_weights: {layer: α·w_l}.
      style_weights: {layer: β·w_l}.
      learning_rate: of Adam.
    """

    trunk: tuple[str, ...]
    params: dict[str, dict[str, np.ndarray]]
    pictures: np.ndarray
    mean: np.ndarray
    content_weights: dict[str, float]
    style_weights: dict[str, float]
    learning_rate: float


class FirstStep(NamedTuple):
    """Loss and image gradient [height, width, 3] at the initial image."""

    device: str
    steps_per_round: int
    loss: float
    gradient: np.ndarray


# What an implementation yields: its first step, then, after each round of steps, the
# GPU's peak memory in bytes, 0 on CPU.
Rounds = Iterator[Any]


def nstjax_rounds(task: Task, precision: str) -> Rounds:
    """The product's own step, as its command runs it."""
    # The workers share one GPU, of which JAX would take most at its start.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import jax
    import optax

    from nstjax.images.resizing import Size
    from nstjax.optimization.steps import run
    from nstjax.presets.preset import customize
    from nstjax.presets.published import get_preset
    from nstjax.problem.problem import prepare
    from nstjax.runtime.memory import free_before_next_step, keep_freed_memory

    keep_freed_memory()
    free_before_next_step()
    content, style, image = task.pictures
    preset = customize(
        get_preset("gatys2016"),
        optimizer="adam",
        size=Size("exact", content.shape[:2]),
        pyramid="none",
        precision=precision,
    )
    params = jax.tree.map(jax.numpy.asarray, task.params)
    problem = prepare(content, [style], params, preset, init_image=image)
    steps = problem.steps
    # The first dispatch is one step everywhere, the later ones as long as they can be.
    updates = run(steps, problem.state, problem.data, sys.maxsize, stops=[1])
    state, info = next(updates)
    # Adam's first moment is now (1 - β₁)·gradient: the gradient of the very step that
    # is timed, not of another compilation.
    moment = np.asarray(optax.tree.get(state.opt_state, "mu"))
    gradient = moment / (1 - ADAM_BETA_1)
    yield FirstStep(jax.default_backend(), steps.longest, float(info.loss[0]), gradient)
    for _ in updates:
        yield (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0)


def float64_rounds(task: Task) -> Rounds:
    """Loss and gradient in float64, to measure the others' errors by: not timed."""
    import jax

    from nstjax.losses.terms import Targets, Weights
    from nstjax.losses.total import style_statistics, total_loss
    from nstjax.network.vgg import features

    jax.config.update("jax_enable_x64", True)
    params = jax.tree.map(lambda array: array.astype(np.float64), task.params)
    images = 255.0 * task.pictures.astype(np.float64) - task.mean
    content, style, image = images

    def loss(image: Any) -> Any:
        return total_loss(params, image, targets, weights)[0]

    targets = Targets(
        features(params, content, tuple(task.content_weights)),
        style_statistics(params, style, tuple(task.style_weights)),
    )
    layers: Any = (task.content_weights, task.style_weights)
    numbers: Any = (1.0, 1.0, 0.0)
    weights = Weights(*numbers, *map(dict, layers))
    value, gradient = jax.jit(jax.value_and_grad(loss))(image)
    yield FirstStep("cpu", 0, float(value), np.asarray(gradient))


def with_bundled_network(task: Task) -> Task:
    """The same task for the network that nstjax brings along."""
    from nstjax.io.weights import load_params

    params = {
        name: {part: np.asarray(array) for part, array in parts.items()}
        for name, parts in load_params("slim").items()
    }
    return task._replace(params=params)


def torch_rounds(
    task: Task, bfloat16: bool, keep_freed: bool, compiled: bool
) -> Rounds:
    """The same step as it is written in PyTorch."""
    import torch
    from torch.nn import functional

    if keep_freed:
        from nstjax.runtime.memory import keep_freed_memory

        keep_freed_memory()
    torch.set_num_threads(os.cpu_count() or 1)
    torch.backends.cudnn.benchmark = True
    device = "cuda" if torch.cuda.is_available() else "cpu"

    def channels_last(array: np.ndarray) -> Any:
        tensor = torch.from_numpy(np.ascontiguousarray(array)).to(device)
        return tensor.contiguous(memory_format=torch.channels_last)

    kernels = {
        name: channels_last(part["kernel"].transpose(3, 2, 0, 1))
        for name, part in task.params.items()
    }
    biases = {
        name: torch.from_numpy(part["bias"]).to(device)
        for name, part in task.params.items()
    }

    def features(x: Any) -> dict[str, Any]:
        activations = {}
        with torch.autocast(device, torch.bfloat16, enabled=bfloat16):
            for name in task.trunk:
                if name.startswith("conv"):
                    x = functional.conv2d(x, kernels[name], biases[name], padding=1)
                elif name.startswith("relu"):
                    x = functional.relu(x, inplace=True)
                else:
                    x = functional.avg_pool2d(x, 2)
                activations[name] = x
        return activations

    if compiled:
        features = torch.compile(features)

    def gram(activation: Any) -> Any:
        F = activation[0].float().permute(1, 2, 0).flatten(0, 1)
        return F.T @ F / len(F)

    images = (255 * task.pictures - task.mean).transpose(0, 3, 1, 2)
    content, style, image = (channels_last(each[None]) for each in images)
    with torch.no_grad():
        activations = features(content)
        contents = {layer: activations[layer].float() for layer in task.content_weights}
        activations = features(style)
        grams = {layer: gram(activations[layer]) for layer in task.style_weights}
        del activations
    image.requires_grad_()
    optimizer = torch.optim.Adam([image], lr=task.learning_rate)

    def step() -> Any:
        optimizer.zero_grad()
        activations = features(image)
        loss = torch.zeros((), device=device)
        for layer, weight in task.content_weights.items():
            error = activations[layer].float() - contents[layer]
            loss = loss + weight * 0.5 * error.square().sum()
        for layer, weight in task.style_weights.items():
            error = gram(activations[layer]) - grams[layer]
            loss = loss + weight * 0.25 * error.square().mean()
        loss.backward()
        optimizer.step()
        return loss

    steps_per_round = GPU_STEPS_PER_ROUND if device == "cuda" else 1
    loss = step().item()
    gradient = image.grad[0].permute(1, 2, 0).cpu().numpy()
    yield FirstStep(device, steps_per_round, loss, gradient)
    while True:
        for _ in range(steps_per_round):
            step()
        if device == "cuda":
            torch.cuda.synchronize()
        yield torch.cuda.max_memory_allocated() if device == "cuda" else 0
