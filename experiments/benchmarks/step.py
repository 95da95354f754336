"""Times one step of style transfer: nstjax against the same program in PyTorch.

    python -m experiments.benchmarks.step --sizes=400x300,512x512 --repeats=7

A step is VGG-19 to relu5_1 (average pooling), the gatys2016 losses, the gradient with
respect to the image and Adam's update. ``nstjax`` is the product's own compiled step.
``torch-float32`` and ``torch-bfloat16`` (autocast; Gram matrices in float32) are eager
channels-last programs with the same weights, pictures and losses. PyTorch's float32
convolutions may use TF32 on a GPU, as JAX's do: both libraries' default.

Each implementation has a process to itself, so that its peak memory is its own and no
thread pool disturbs another. They take turns, and ratios are taken within a round, so
that a machine that is busy for a while slows both sides of a ratio.
"""

import importlib.util
import json
import multiprocessing
import os
import re
import resource
import statistics
import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, Protocol

import numpy as np
from absl import app, flags

# jax, nstjax and torch are imported where they are used: what a worker does not need
# would count as its memory.

REFERENCE = "torch-float32"
IMPLEMENTATIONS = ("nstjax", REFERENCE, "torch-bfloat16")
ADAM_BETA_1 = 0.9
# One step of a GPU is too short to time alone. As many as nstjax does in one dispatch.
GPU_STEPS_PER_ROUND = 25
WARM_UP_ROUNDS = 2

_SIZES = flags.DEFINE_list("sizes", ["400x300", "512x512"], "Each WIDTHxHEIGHT.")
_REPEATS = flags.DEFINE_integer("repeats", 7, "Timed rounds.", lower_bound=1)
_IMPLEMENTATIONS = flags.DEFINE_multi_enum(
    "implementations", IMPLEMENTATIONS, IMPLEMENTATIONS, "Repeat the flag for several."
)
_WEIGHTS = flags.DEFINE_string(
    "weights", None, "A file of python -m weights_convert; random weights otherwise."
)
_PEAK_TFLOPS = flags.DEFINE_float(
    "peak_tflops", None, "The device's peak, of which to print the share reached."
)
_OUTPUT = flags.DEFINE_string("output", None, "JSON file for the numbers.")


class Task(NamedTuple):
    """What every worker is given, as plain data.

    Attributes:
      trunk: layer names in forward order, down to the deepest one that counts.
      kernels: {conv layer: [3, 3, in, out]}.
      biases: {conv layer: [out]}.
      content: the photo, sRGB in 0..1, [height, width, 3].
      style: the painting, likewise.
      image: where to start, likewise.
      mean: what the network subtracts, RGB in 0..255, [3].
      content_weights: {layer: α·w_l}.
      style_weights: {layer: β·w_l}.
      learning_rate: of Adam.
    """

    trunk: tuple[str, ...]
    kernels: dict[str, np.ndarray]
    biases: dict[str, np.ndarray]
    content: np.ndarray
    style: np.ndarray
    image: np.ndarray
    mean: np.ndarray
    content_weights: dict[str, float]
    style_weights: dict[str, float]
    learning_rate: float


class Stepper(Protocol):
    """One implementation at work on a task."""

    device: str
    steps_per_round: int

    def advance(self, steps: int) -> float:
        """Do so many steps to the end; return the loss before the last one."""

    def first_gradient(self) -> np.ndarray:
        """Image gradient [height, width, 3] of the first step; ask right after it."""

    def device_bytes(self) -> int | None:
        """Peak memory of the GPU, or None on CPU."""


class NstjaxStepper:
    """The product's own step."""

    def __init__(self, task: Task):
        # The workers share one GPU; JAX would take most of it.
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        import jax

        from nstjax.presets import customize, get_preset
        from nstjax.problem import prepare
        from nstjax.sizes import Size

        preset = customize(
            get_preset("gatys2016"),
            optimizer="adam",
            learning_rate=task.learning_rate,
            size=Size("exact", task.content.shape[:2]),
        )
        params = {
            layer: {
                "kernel": jax.numpy.asarray(task.kernels[layer]),
                "bias": jax.numpy.asarray(task.biases[layer]),
            }
            for layer in task.kernels
        }
        problem = prepare(
            task.content, [task.style], params, preset, init_image=task.image
        )
        self._jax = jax
        self._steps, self._state, self._data, _ = problem
        self.device = jax.default_backend()
        self.steps_per_round = self._steps.longest

    def advance(self, steps: int) -> float:
        """See ``Stepper``."""
        self._state, info = self._steps.advance(self._state, steps, *self._data)
        self._jax.block_until_ready(self._state)
        return float(info.loss[steps - 1])

    def first_gradient(self) -> np.ndarray:
        """See ``Stepper``."""
        import optax

        # Adam's first moment is (1 - β₁)·gradient after the first step: so this is the
        # gradient of the step that is timed, and not of another compilation.
        moment = optax.tree.get(self._state.opt_state, "mu")
        return np.asarray(moment) / (1 - ADAM_BETA_1)

    def device_bytes(self) -> int | None:
        """See ``Stepper``."""
        statistics_ = self._jax.devices()[0].memory_stats()
        return statistics_ and statistics_["peak_bytes_in_use"]


class TorchStepper:
    """The same step as people write it in PyTorch."""

    def __init__(self, task: Task, bfloat16: bool):
        import torch

        torch.set_num_threads(os.cpu_count() or 1)
        torch.backends.cudnn.benchmark = True
        self._torch, self._task, self._bfloat16 = torch, task, bfloat16
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.steps_per_round = GPU_STEPS_PER_ROUND if self.device == "cuda" else 1
        self._kernels = {
            layer: self._tensor(kernel.transpose(3, 2, 0, 1))
            for layer, kernel in task.kernels.items()
        }
        self._biases = {
            layer: torch.from_numpy(bias).to(self.device)
            for layer, bias in task.biases.items()
        }
        with torch.no_grad():
            content = self._features(self._picture(task.content))
            style = self._features(self._picture(task.style))
            self._contents = {layer: content[layer] for layer in task.content_weights}
            self._grams = {
                layer: self._gram(style[layer]) for layer in task.style_weights
            }
        self._image = self._picture(task.image).requires_grad_()
        self._optimizer = torch.optim.Adam([self._image], lr=task.learning_rate)

    def _tensor(self, array: np.ndarray) -> Any:
        return (
            self._torch.from_numpy(np.ascontiguousarray(array))
            .to(self.device)
            .contiguous(memory_format=self._torch.channels_last)
        )

    def _picture(self, picture: np.ndarray) -> Any:
        image = 255 * picture - self._task.mean
        return self._tensor(image.transpose(2, 0, 1)[None])

    def _features(self, activation: Any) -> dict[str, Any]:
        functional = self._torch.nn.functional
        activations = {}
        with self._torch.autocast(
            self.device, self._torch.bfloat16, enabled=self._bfloat16
        ):
            for name in self._task.trunk:
                if name.startswith("conv"):
                    activation = functional.conv2d(
                        activation, self._kernels[name], self._biases[name], padding=1
                    )
                elif name.startswith("relu"):
                    activation = functional.relu(activation, inplace=True)
                else:
                    activation = functional.avg_pool2d(activation, 2)
                activations[name] = activation
        return activations

    def _gram(self, activation: Any) -> Any:
        _, channels, height, width = activation.shape
        F = activation.float().permute(0, 2, 3, 1).reshape(height * width, channels)
        return F.T @ F / (height * width)

    def advance(self, steps: int) -> float:
        """See ``Stepper``."""
        for _ in range(steps):
            self._optimizer.zero_grad()
            activations = self._features(self._image)
            loss = self._torch.zeros((), device=self.device)
            for layer, weight in self._task.content_weights.items():
                error = activations[layer].float() - self._contents[layer].float()
                loss = loss + weight * 0.5 * error.square().sum()
            for layer, weight in self._task.style_weights.items():
                error = self._gram(activations[layer]) - self._grams[layer]
                loss = loss + weight * 0.25 * error.square().mean()
            loss.backward()
            self._optimizer.step()
        if self.device == "cuda":
            self._torch.cuda.synchronize()
        return loss.item()

    def first_gradient(self) -> np.ndarray:
        """See ``Stepper``."""
        return self._image.grad[0].permute(1, 2, 0).cpu().numpy()

    def device_bytes(self) -> int | None:
        """See ``Stepper``."""
        return self._torch.cuda.max_memory_allocated() if self.device == "cuda" else None


class Measurement(NamedTuple):
    """What one worker has told."""

    device: str
    loss: float
    gradient: np.ndarray
    seconds: list[float]
    peak_bytes: int


def work(implementation: str, pipe: Connection) -> None:
    """A worker: take a task, then time a round whenever the parent asks for one."""
    task: Task = pipe.recv()
    stepper: Stepper = (
        NstjaxStepper(task)
        if implementation == "nstjax"
        else TorchStepper(task, bfloat16=implementation == "torch-bfloat16")
    )
    loss = stepper.advance(1)
    pipe.send((stepper.device, loss, stepper.first_gradient()))
    while pipe.recv():
        start = time.perf_counter()
        stepper.advance(stepper.steps_per_round)
        pipe.send((time.perf_counter() - start) / stepper.steps_per_round)
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    resident_bytes = resident if sys.platform == "darwin" else 1024 * resident
    device_bytes = stepper.device_bytes()
    pipe.send(resident_bytes if device_bytes is None else device_bytes)


def make_task(width: int, height: int, weights: str | None) -> Task:
    """Random pictures and given or random weights, the same ones in every run."""
    import safetensors.numpy

    from nstjax.presets import customize, get_preset
    from nstjax.vgg import LAYERS, MEAN_RGB, kernel_shapes

    preset = customize(get_preset("gatys2016"), optimizer="adam")
    layers = (*preset.content_layers, *preset.style_layers)
    trunk = LAYERS[: max(map(LAYERS.index, layers)) + 1]
    generator = np.random.default_rng(0)
    tensors = safetensors.numpy.load_file(weights) if weights else {}
    kernels, biases = {}, {}
    for layer, shape in kernel_shapes().items():
        if weights:
            kernels[layer] = tensors[f"{layer}/kernel"]
            biases[layer] = tensors[f"{layer}/bias"]
        else:
            # He's scale keeps the activations' size through the depth.
            kernel = generator.standard_normal(shape, np.float32)
            kernels[layer] = kernel * np.sqrt(2 / np.prod(shape[:3]), dtype=np.float32)
            biases[layer] = generator.standard_normal(shape[3], np.float32)
    content, style, image = generator.random((3, height, width, 3), np.float32)
    content_weights = zip(
        preset.content_layers, preset.content_layer_weights, strict=True
    )
    style_weights = zip(preset.style_layers, preset.style_layer_weights, strict=True)
    return Task(
        trunk=trunk,
        kernels={layer: kernels[layer] for layer in kernels if layer in trunk},
        biases={layer: biases[layer] for layer in biases if layer in trunk},
        content=content,
        style=style,
        image=image,
        mean=MEAN_RGB,
        content_weights={layer: preset.alpha * weight for layer, weight in content_weights},
        style_weights={layer: preset.beta * weight for layer, weight in style_weights},
        learning_rate=preset.learning_rates["adam"],
    )


def count_flops(task: Task) -> int:
    """Floating point operations of a step's convolutions.

    An input gradient costs what its convolution does, and all are needed, the first one
    too. Gram matrices are left out: they add a few percent.
    """
    from nstjax.vgg import summarize

    height, width, _ = task.image.shape
    return sum(
        2 * 2 * row.shape[0] * row.shape[1] * task.kernels[row.name].size
        for row in summarize(height, width)
        if row.name in task.kernels
    )


def measure(
    implementations: Sequence[str], size: tuple[int, int], repeats: int
) -> tuple[dict[str, Measurement], int]:
    """Every implementation's measurement at one (width, height), and the step's FLOPs."""
    context = multiprocessing.get_context("spawn")
    pipes: dict[str, Connection] = {}
    # A process starts with its parent's peak memory: so before the task is made.
    for implementation in implementations:
        pipes[implementation], end = context.Pipe()
        context.Process(target=work, args=(implementation, end), daemon=True).start()
        end.close()
    task = make_task(*size, _WEIGHTS.value)
    try:
        first = {}
        for implementation, pipe in pipes.items():
            pipe.send(task)
            first[implementation] = pipe.recv()
        seconds: dict[str, list[float]] = {name: [] for name in pipes}
        for _ in range(WARM_UP_ROUNDS + repeats):
            for implementation, pipe in pipes.items():
                pipe.send(True)
                seconds[implementation].append(pipe.recv())
        measurements = {}
        for implementation, pipe in pipes.items():
            pipe.send(False)
            measurements[implementation] = Measurement(
                *first[implementation],
                seconds[implementation][WARM_UP_ROUNDS:],
                pipe.recv(),
            )
    except (EOFError, ConnectionError):
        sys.exit(f"{implementation} ended early: its message stands above")
    return measurements, count_flops(task)
