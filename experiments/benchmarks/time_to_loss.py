"""Time to the loss that single-scale Adam reaches, by coarse to fine L-BFGS.

    python -m experiments.benchmarks.time_to_loss --size=512
    python -m experiments.benchmarks.time_to_loss PHOTO PAINTING --single=same \
        --optimizers=lbfgs,adam --factors=2,sqrt2 --notorch

The mark is the loss after ``--steps`` updates of ``--single`` at the full size: by
default of Adam, what PyTorch programs usually do; "same" is the optimizer that it is
compared with. Ours starts at a smaller size and goes up by a factor; each scale's
targets are counted, compilation is not. They take turns, and ratios are taken within a
round. PyTorch's time is that of its own step (``experiments.benchmarks.step``),
measured after ours, times the steps. That the mark is reached is checked in float32.

Without pictures, for three pairs of them that come with the installation, at a style
weight that leaves the photo to be seen: the higher it is, the more the two results
differ at equal losses, since coarse to fine then paints over what Adam only colors.
"""

import itertools
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import skimage.data
from absl import flags

from experiments.benchmarks import benchmark
from experiments.benchmarks.step_programs import make_task
from nstjax import InputError, Preset, customize, get_preset, parse_size, run
from nstjax.commands.path_flags import define_path
from nstjax.io import demo
from nstjax.io.images import read_image, write_image
from nstjax.io.weights import load_network
from nstjax.network.vgg import Params, deprocess
from nstjax.problem.problem import Problem, evaluate, prepare

PHOTOS = ("chelsea", "coffee", "astronaut")
PAINTINGS = {"painting": demo.painting, "glass": demo.stained_glass}

define_path("weights", "auto", "As nstjax takes them.")
flags.DEFINE_string("preset", "gatys-code", "One whose content loss is a mean.")
flags.DEFINE_float("beta", 20.0, "Style weight; alpha is the preset's.")
flags.DEFINE_string("size", "512", "Long side.")
flags.DEFINE_string("init", "content", "Where both start: content or noise.")
flags.DEFINE_integer("steps", 500, "Of the single scale, and most of the last.", 1)
flags.DEFINE_string("single", "adam", "Optimizer of the single scale, or same.")
flags.DEFINE_float("learning_rate", 10.0, "Adam's; 10 ends lower than the preset's 2.")
flags.DEFINE_list("optimizers", "lbfgs", "Of coarse to fine.")
flags.DEFINE_list("factors", "2", "Between its sizes.")
flags.DEFINE_list("coarse_steps", "100,50", "Updates of each scale before the last.")
flags.DEFINE_integer("min_size", 128, "Least long side of the first scale.")
flags.DEFINE_integer("lbfgs_num_correction", 10, "Pairs of L-BFGS.")
flags.DEFINE_string("precision", "mixed", "See nstjax --precision.")
flags.DEFINE_list(
    "pairs", "chelsea:painting,coffee:glass,astronaut:glass", "PHOTO:PAINTING of ours."
)
flags.DEFINE_integer("rounds", 1, "Times that each is run.", lower_bound=1)
flags.DEFINE_integer("repeats", 5, "Timed rounds of PyTorch's step.", lower_bound=1)
flags.DEFINE_boolean("torch", True, "Time PyTorch's step, too.")
define_path("pictures", None, "Folder for both results of each pair.")

FLAGS = flags.FLAGS


class Trial(NamedTuple):
    """A run until a loss was reached."""

    seconds: float  # of all scales; inf if the loss was not reached
    steps: int  # of the last scale
    lowest: float  # loss of the last scale
    image: np.ndarray  # the last, in the network's units


def measure(*arguments: str) -> list[dict[str, Any]]:
    """The rows of every pair, printed as they are measured."""
    pairs = read_pairs(arguments)
    base = customize(
        get_preset(FLAGS.preset),
        beta=FLAGS.beta,
        size=parse_size(FLAGS.size, "long"),
        init=FLAGS.init,
        steps=FLAGS.steps,
        pyramid="none",
        lbfgs_num_correction=FLAGS.lbfgs_num_correction,
    )
    if base.loss.content_normalization == "half_sum":
        raise InputError(
            f"{FLAGS.preset} has another alpha at every scale: choose gatys-code"
        )
    network = load_network(FLAGS.weights)
    rows = []
    for name, pictures in pairs.items():
        for row in measure_pair(name, *pictures, network.params, base):
            rows.append(row)
            title = f"To the loss of {FLAGS.single}'s step {FLAGS.steps}"
            benchmark.print_rows(f"{title}, {network.source}", rows)
    return rows


def read_pairs(arguments: Sequence[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """{name: photo and painting}, of the arguments or of --pairs."""
    if arguments:
        if len(arguments) != 2:
            raise InputError("give a photo and a painting, or no pictures for --pairs")
        name = ":".join(Path(argument).stem for argument in arguments)
        return {name: (read_image(arguments[0]), read_image(arguments[1]))}
    pairs = {}
    for pair in FLAGS.pairs:
        photo, _, painting = pair.partition(":")
        if photo not in PHOTOS or painting not in PAINTINGS:
            raise InputError(
                f"--pairs has {pair!r}: give PHOTO:PAINTING of {', '.join(PHOTOS)} and "
                f"{', '.join(PAINTINGS)}"
            )
        pixels = getattr(skimage.data, photo)()
        pairs[pair] = (read_image(pixels), PAINTINGS[painting]())
    return pairs


def measure_pair(
    name: str, photo: np.ndarray, painting: np.ndarray, params: Params, base: Preset
) -> Iterator[dict[str, Any]]:
    """The rows of one pair, one for each optimizer and factor."""

    def problem(optimizer: str, **settings: Any) -> Problem:
        rate = FLAGS.learning_rate if optimizer == "adam" else None
        preset = customize(base, optimizer=optimizer, learning_rate=rate, **settings)
        return prepare(photo, [painting], params, preset)

    mixed = {"precision": FLAGS.precision}
    first_steps, *later_steps = benchmark.whole_numbers("coarse_steps")
    for optimizer, factor in itertools.product(FLAGS.optimizers, FLAGS.factors):
        single = optimizer if FLAGS.single == "same" else FLAGS.single
        fine = {
            **mixed,
            "pyramid": factor,
            "pyramid_min_size": FLAGS.min_size,
            "steps": first_steps,
            "pyramid_steps": tuple(later_steps or [first_steps]),
        }
        for whole in (problem(single, **mixed), problem(optimizer, **fine)):
            for index in range(len(whole.scales)):
                # Compiles.
                scale = whole.at_scale(index, None)
                evaluate(scale, scale.state)
        seconds, ratios = [], []
        for _ in range(FLAGS.rounds):
            slow = until(problem(single, **mixed), -np.inf)
            quick = until(problem(optimizer, **fine), slow.lowest)
            seconds.append(quick.seconds)
            ratios.append(quick.seconds / slow.seconds)
        exact = problem(single, precision="float32")
        row = {
            **{"pair": name, "optimizer": optimizer, "factor": factor},
            "loss": slow.lowest,
            "float32 loss": loss_of(exact, slow),
            "ours": loss_of(exact, quick),
            "steps": quick.steps,
            "seconds": statistics.median(seconds),
            "of the single scale": statistics.median(ratios),
            "range": f"{min(ratios):.2f}..{max(ratios):.2f}",
        }
        if FLAGS.pictures:
            ours = f"ours_{optimizer}_{factor}"
            for kind, trial in {single: slow, ours: quick}.items():
                path = f"{FLAGS.pictures}/{name.replace(':', '_')}_{kind}.png"
                write_image(path, np.asarray(deprocess(trial.image)))
        if FLAGS.torch:
            weights = None if FLAGS.weights == "auto" else FLAGS.weights
            task = make_task(exact.scale.width, exact.scale.height, weights)
            step = {"torch-float32": ("torch_programs.torch_step", task)}
            taken, _ = benchmark.Workers(step).measure(FLAGS.repeats)["torch-float32"]
            in_torch = FLAGS.steps * statistics.median(taken)
            row |= {"PyTorch s": in_torch, "of PyTorch": row["seconds"] / in_torch}
        yield row


def until(problem: Problem, loss: float) -> Trial:
    """Run until the last scale's loss is at most ``loss``, or to the end."""
    started = time.perf_counter()
    while problem.scale != problem.scales[-1]:
        last_step = problem.scale.last_step
        for state, _ in run(problem.steps, problem.state, problem.data, last_step):
            pass
        following = problem.next_scale(state)
        assert following is not None
        problem = following
    lowest, first_step = np.inf, problem.scale.first_step
    end = first_step + FLAGS.steps
    for state, info in run(problem.steps, problem.state, problem.data, end):
        lowest = min(lowest, float(info.loss.min()))
        if lowest <= loss:
            break
    seconds = time.perf_counter() - started
    steps = int(state.step) - first_step
    state, info = evaluate(problem, state)
    lowest = min(lowest, float(info.loss[0]))
    reached = lowest <= loss or loss == -np.inf
    image = np.asarray(state.best_image)
    return Trial(seconds if reached else np.inf, steps, lowest, image)


def loss_of(problem: Problem, trial: Trial) -> float:
    """Loss of a trial's image."""
    state = jax.tree.map(jnp.copy, problem.state)  # a step takes it away
    state = state._replace(image=jnp.asarray(trial.image))
    return float(evaluate(problem, state)[1].loss[0])


if __name__ == "__main__":
    benchmark.run_benchmark("time_to_loss", __name__, __doc__, measure, 2)
