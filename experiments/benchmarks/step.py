"""Times one step of style transfer: nstjax against the same program in PyTorch.

    python -m experiments.benchmarks.step --sizes=400x300,512x512 --repeats=7

A step is VGG-19 to relu5_1 (average pooling), the gatys2016 losses, the gradient with
respect to the image and Adam's update. ``nstjax`` is the product's own compiled step.
``torch-float32`` and ``torch-bfloat16`` (autocast; Gram matrices in float32) are eager
channels-last programs with the same weights, pictures and losses. On a GPU, float32
convolutions may use TF32 in both libraries, which is their default.

Each implementation has a process to itself, so that its peak memory is its own and no
thread pool disturbs another. They take turns, and ratios are taken within a round, so
that a machine that is busy for a while slows both sides of a ratio.
"""

import importlib.util
import json
import multiprocessing
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import app, flags

# jax, nstjax and torch are imported where they are used: what a worker imports without
# need would count as its memory.

REFERENCE = "torch-float32"
IMPLEMENTATIONS = ("nstjax", REFERENCE, "torch-bfloat16")
ADAM_BETA_1 = 0.9
# One step on a GPU is too short to be timed alone: as many as one dispatch of nstjax.
GPU_STEPS_PER_ROUND = 25
WARM_UP_ROUNDS = 2

_SIZES = flags.DEFINE_list("sizes", ["400x300", "512x512"], "Each WIDTHxHEIGHT.")
_REPEATS = flags.DEFINE_integer("repeats", 7, "Timed rounds.", lower_bound=1)
_IMPLEMENTATIONS = flags.DEFINE_list(
    "implementations", list(IMPLEMENTATIONS), f"Among {', '.join(IMPLEMENTATIONS)}."
)
_WEIGHTS = flags.DEFINE_string(
    "weights", None, "File of python -m weights_convert; random weights if not given."
)
_PEAK_TFLOPS = flags.DEFINE_float(
    "peak_tflops", None, "The device's peak, to print the share of it that is reached."
)
_OUTPUT = flags.DEFINE_string("output", None, "JSON file for the numbers.")


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


class Stepper(NamedTuple):
    """One implementation at work on a task.

    Attributes:
      device: "cpu", or what the library calls its GPU.
      steps_per_round: how many steps are timed together.
      advance: does so many steps to the end; returns the loss before the last one.
      gradient: after the first step, its image gradient [height, width, 3].
      device_bytes: peak memory of the GPU, or None on CPU.
    """

    device: str
    steps_per_round: int
    advance: Callable[[int], float]
    gradient: Callable[[], np.ndarray]
    device_bytes: Callable[[], int | None]


class Measurement(NamedTuple):
    """What one worker has told."""

    device: str
    loss: float
    gradient: np.ndarray
    seconds: list[float]
    peak_bytes: int


def nstjax_stepper(task: Task) -> Stepper:
    """The product's own step."""
    # The workers share one GPU, of which JAX would take most at its start.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import jax
    import optax

    from nstjax.presets import customize, get_preset
    from nstjax.problem import prepare
    from nstjax.sizes import Size

    content, style, image = task.pictures
    preset = customize(
        get_preset("gatys2016"), optimizer="adam", size=Size("exact", content.shape[:2])
    )
    params = jax.tree.map(jax.numpy.asarray, task.params)
    problem = prepare(content, [style], params, preset, init_image=image)
    state = problem.state

    def advance(steps: int) -> float:
        nonlocal state
        state, info = problem.steps.advance(state, steps, *problem.data)
        jax.block_until_ready(state)
        return float(info.loss[steps - 1])

    def gradient() -> np.ndarray:
        # Adam's first moment is (1 - β₁)·gradient after the first step: this is the
        # gradient of the very step that is timed, not of another compilation.
        return np.asarray(optax.tree.get(state.opt_state, "mu")) / (1 - ADAM_BETA_1)

    def device_bytes() -> int | None:
        memory = jax.devices()[0].memory_stats()
        return memory and memory["peak_bytes_in_use"]

    device = jax.default_backend()
    return Stepper(device, problem.steps.longest, advance, gradient, device_bytes)


def torch_stepper(task: Task, autocast: bool) -> Stepper:
    """The same step as it is written in PyTorch; ``autocast`` is to bfloat16."""
    import torch
    from torch.nn import functional

    torch.set_num_threads(os.cpu_count() or 1)
    torch.backends.cudnn.benchmark = True
    device = "cuda" if torch.cuda.is_available() else "cpu"

    def channels_last(array: np.ndarray) -> Any:
        tensor = torch.from_numpy(np.ascontiguousarray(array, np.float32)).to(device)
        return tensor.contiguous(memory_format=torch.channels_last)

    kernels = {
        layer: channels_last(part["kernel"].transpose(3, 2, 0, 1))
        for layer, part in task.params.items()
    }
    biases = {
        layer: torch.from_numpy(part["bias"]).to(device)
        for layer, part in task.params.items()
    }

    def features(image: Any) -> dict[str, Any]:
        activations = {}
        activation = image
        with torch.autocast(device, torch.bfloat16, enabled=autocast):
            for name in task.trunk:
                if name.startswith("conv"):
                    activation = functional.conv2d(
                        activation, kernels[name], biases[name], padding=1
                    )
                elif name.startswith("relu"):
                    activation = functional.relu(activation, inplace=True)
                else:
                    activation = functional.avg_pool2d(activation, 2)
                activations[name] = activation
        return activations

    def gram(activation: Any) -> Any:
        F = activation[0].float().permute(1, 2, 0).flatten(0, 1)
        return F.T @ F / len(F)

    pictures = 255 * task.pictures - task.mean
    content, style, image = (
        channels_last(picture.transpose(2, 0, 1)[None]) for picture in pictures
    )
    with torch.no_grad():
        activations = features(content)
        contents = {layer: activations[layer].float() for layer in task.content_weights}
        activations = features(style)
        grams = {layer: gram(activations[layer]) for layer in task.style_weights}
        del activations, content, style
    image.requires_grad_()
    optimizer = torch.optim.Adam([image], lr=task.learning_rate)

    def total_loss() -> Any:
        activations = features(image)
        loss = torch.zeros((), device=device)
        for layer, weight in task.content_weights.items():
            error = activations[layer].float() - contents[layer]
            loss = loss + weight * 0.5 * error.square().sum()
        for layer, weight in task.style_weights.items():
            error = gram(activations[layer]) - grams[layer]
            loss = loss + weight * 0.25 * error.square().mean()
        return loss

    def advance(steps: int) -> float:
        for _ in range(steps):
            optimizer.zero_grad()
            loss = total_loss()
            loss.backward()
            optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()
        return loss.item()

    def gradient() -> np.ndarray:
        return image.grad[0].permute(1, 2, 0).cpu().numpy()

    def device_bytes() -> int | None:
        return torch.cuda.max_memory_allocated() if device == "cuda" else None

    steps_per_round = GPU_STEPS_PER_ROUND if device == "cuda" else 1
    return Stepper(device, steps_per_round, advance, gradient, device_bytes)


def work(implementation: str, pipe: Connection) -> None:
    """A worker: take a task, then time a round whenever the parent asks for one."""
    task: Task = pipe.recv()
    if implementation == "nstjax":
        stepper = nstjax_stepper(task)
    else:
        stepper = torch_stepper(task, autocast=implementation == "torch-bfloat16")
    loss = stepper.advance(1)
    pipe.send((stepper.device, loss, stepper.gradient()))
    while pipe.recv():
        start = time.perf_counter()
        stepper.advance(stepper.steps_per_round)
        pipe.send((time.perf_counter() - start) / stepper.steps_per_round)
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1 if sys.platform == "darwin" else 1024
    device_bytes = stepper.device_bytes()
    pipe.send(unit * resident if device_bytes is None else device_bytes)


def make_task(width: int, height: int) -> Task:
    """Random pictures, and random weights if none are given: the same in every run."""
    import safetensors.numpy

    from nstjax.presets import customize, get_preset
    from nstjax.vgg import LAYERS, MEAN_RGB, kernel_shapes

    preset = customize(get_preset("gatys2016"), optimizer="adam")
    layers = (*preset.content_layers, *preset.style_layers)
    trunk = LAYERS[: max(map(LAYERS.index, layers)) + 1]
    shapes = {name: shape for name, shape in kernel_shapes().items() if name in trunk}
    rng = np.random.default_rng(0)
    pictures = rng.random((3, height, width, 3), np.float32)
    if _WEIGHTS.value:
        tensors = safetensors.numpy.load_file(_WEIGHTS.value)
        params = {
            name: {part: tensors[f"{name}/{part}"] for part in ("kernel", "bias")}
            for name in shapes
        }
    else:
        params = {}
        for name, shape in shapes.items():
            # He's scale keeps the size of the activations through the layers.
            scale = np.float32(np.sqrt(2 / np.prod(shape[:3])))
            params[name] = {
                "kernel": scale * rng.standard_normal(shape, np.float32),
                "bias": rng.standard_normal(shape[3], np.float32),
            }
    content = zip(preset.content_layers, preset.content_layer_weights, strict=True)
    style = zip(preset.style_layers, preset.style_layer_weights, strict=True)
    return Task(
        trunk=trunk,
        params=params,
        pictures=pictures,
        mean=MEAN_RGB,
        content_weights={layer: preset.alpha * weight for layer, weight in content},
        style_weights={layer: preset.beta * weight for layer, weight in style},
        learning_rate=preset.learning_rates["adam"],
    )


def count_operations(task: Task) -> int:
    """Floating-point operations of a step's convolutions and their input gradients.

    An input gradient costs what its convolution does, and every layer's is needed, the
    first one's too. The Gram matrices, a few percent more, are left out.
    """
    from nstjax.vgg import summarize

    return sum(
        2 * 2 * row.shape[0] * row.shape[1] * task.params[row.name]["kernel"].size
        for row in summarize(*task.pictures.shape[1:3])
        if row.name in task.params
    )


def measure(
    task: Task, implementations: Sequence[str], repeats: int
) -> dict[str, Measurement]:
    """Every implementation's measurement on a task."""
    # A process starts with its parent's peak memory, and the fork server's is small.
    context = multiprocessing.get_context("forkserver")
    pipes: dict[str, Any] = {}
    for name in implementations:
        pipes[name], end = context.Pipe()
        context.Process(target=work, args=(name, end), daemon=True).start()
        end.close()
    try:
        first = {}
        for name, pipe in pipes.items():
            pipe.send(task)
            first[name] = pipe.recv()
        seconds: dict[str, list[float]] = {name: [] for name in pipes}
        for _ in range(WARM_UP_ROUNDS + repeats):
            for name, pipe in pipes.items():
                pipe.send(True)
                seconds[name].append(pipe.recv())
        measurements = {}
        for name, pipe in pipes.items():
            pipe.send(False)
            timed = seconds[name][WARM_UP_ROUNDS:]
            measurements[name] = Measurement(*first[name], timed, pipe.recv())
    except (EOFError, ConnectionError):
        sys.exit(f"{name} ended early: see its message above")
    return measurements


def evaluate(measurements: dict[str, Measurement], operations: int) -> list[dict]:
    """The numbers to report: a row for each implementation."""
    reference = measurements.get(REFERENCE)
    rows = []
    for name, measurement in measurements.items():
        seconds = statistics.median(measurement.seconds)
        row = {
            "implementation": name,
            "device": measurement.device,
            "seconds": seconds,
            "steps_per_second": 1 / seconds,
            "tflops": operations / seconds / 1e12,
            "peak_megabytes": measurement.peak_bytes / 1e6,
            "loss": measurement.loss,
            "all_seconds": measurement.seconds,
        }
        if _PEAK_TFLOPS.value:
            row["share_of_peak"] = row["tflops"] / _PEAK_TFLOPS.value
        if reference:
            ratios = np.divide(measurement.seconds, reference.seconds)
            g = measurement.gradient.astype(np.float64).ravel()
            h = reference.gradient.astype(np.float64).ravel()
            row |= {
                "ratio": float(np.median(ratios)),
                "ratio_quartiles": np.quantile(ratios, (0.25, 0.75)).tolist(),
                "gradient_cosine": g @ h / np.linalg.norm(g) / np.linalg.norm(h),
                "gradient_error": np.linalg.norm(g - h) / np.linalg.norm(h),
                "loss_error": abs(measurement.loss / reference.loss - 1),
            }
        rows.append(row)
    return rows


def print_table(rows: list[dict]) -> None:
    """Print the rows of one size."""
    print(
        f"{'implementation':<15}{'device':>7}{'s/step':>9}{'steps/s':>9}"
        f"{'ratio':>7}{'(quartiles)':>14}{'TFLOP/s':>9}{'of peak':>9}{'peak MB':>9}"
    )
    for row in rows:
        quartiles = "..".join(
            f"{ratio:.2f}" for ratio in row.get("ratio_quartiles", ())
        )
        ratio = f"{row['ratio']:.2f}" if "ratio" in row else ""
        share = f"{row['share_of_peak']:.1%}" if "share_of_peak" in row else ""
        print(
            f"{row['implementation']:<15}{row['device']:>7}{row['seconds']:>9.4f}"
            f"{row['steps_per_second']:>9.2f}{ratio:>7}{quartiles:>14}"
            f"{row['tflops']:>9.3f}{share:>9}{row['peak_megabytes']:>9.0f}"
        )
    for row in rows:
        if "ratio" in row and row["implementation"] != REFERENCE:
            print(
                f"{row['implementation']} against {REFERENCE}, same image: gradient "
                f"cosine {row['gradient_cosine']:.8f}, relative error "
                f"{row['gradient_error']:.1e}; loss {row['loss']:.7g}, relative "
                f"error {row['loss_error']:.1e}"
            )


def main(arguments: Sequence[str]) -> None:
    """Time every size and print its table."""
    if len(arguments) > 1:
        raise app.UsageError(f"unknown argument {arguments[1]!r}")
    chosen = _IMPLEMENTATIONS.value
    if not set(chosen) <= set(IMPLEMENTATIONS):
        raise app.UsageError(f"--implementations are {','.join(IMPLEMENTATIONS)}")
    if set(chosen) != {"nstjax"} and importlib.util.find_spec("torch") is None:
        sys.exit("PyTorch is not installed: pip install torch")
    report = {}
    for size in _SIZES.value:
        task = make_task(*map(int, size.split("x")))
        operations = count_operations(task)
        rows = evaluate(measure(task, chosen, _REPEATS.value), operations)
        print(f"\n{size} pixels, {operations / 1e9:.1f} GFLOP per step")
        print_table(rows)
        report[size] = {"operations": operations, "implementations": rows}
    if _OUTPUT.value:
        Path(_OUTPUT.value).write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    app.run(main)
