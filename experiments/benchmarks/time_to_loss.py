"""Time to the loss that 500 single-scale Adam steps reach, by coarse to fine L-BFGS.

    python -m experiments.benchmarks.time_to_loss --size=512

For three pairs of pictures that come with the installation, at a style weight that
leaves the photo to be seen: the higher it is, the more the two pictures differ at equal
losses, since coarse to fine then paints over what Adam only colors. The mark is the
loss after ``--steps`` updates of Adam at the full size, what PyTorch programs usually
do. Ours starts at a quarter of the size and goes up by factors of 2 with L-BFGS in
mixed precision; each scale's targets are counted, compilation is not. PyTorch's time is
that of its own step (``experiments.benchmarks.step``), measured after ours, times the
steps. That the mark is reached is checked in float32.
"""

import statistics
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import skimage.data
from absl import flags

from experiments.benchmarks.flag_values import no_arguments, whole_numbers
from experiments.benchmarks.step_workers import make_task, measure
from experiments.benchmarks.tables import print_rows, write_json
from experiments.benchmarks.until_loss import Trial, compile_scales, until
from nstjax.commands.launcher import run_command
from nstjax.commands.path_flags import define_path
from nstjax.errors import InputError
from nstjax.images.resizing import parse_size
from nstjax.io.demo import demo_pictures, stained_glass
from nstjax.io.images import read_image, write_image
from nstjax.io.weights import load_network
from nstjax.network.vgg import deprocess
from nstjax.presets.preset import Preset, customize
from nstjax.presets.published import get_preset
from nstjax.problem.problem import Problem, evaluate, prepare

USAGE = """
Time to a given loss: coarse to fine with L-BFGS against single-scale Adam.

  python -m experiments.benchmarks.time_to_loss --size=512 --steps=500
"""

PHOTOS: dict[str, Callable[[], np.ndarray]] = {
    "chelsea": skimage.data.chelsea,
    "coffee": skimage.data.coffee,
    "astronaut": skimage.data.astronaut,
}
PAINTINGS: dict[str, Callable[[], np.ndarray]] = {
    "painting": lambda: demo_pictures()[1],
    "glass": stained_glass,
}
# All of it is structure, so that one compilation serves the three.
FAST: dict[str, Any] = {
    "optimizer": "lbfgs",
    "lbfgs_num_correction": 10,
    "pyramid": "2",
    "precision": "mixed",
}

define_path("weights", "auto", "As nstjax takes them.")
flags.DEFINE_string("preset", "gatys-code", "One whose content loss is a mean.")
flags.DEFINE_float("beta", 20.0, "Style weight; alpha is the preset's.")
flags.DEFINE_string("size", "512", "Long side.")
flags.DEFINE_integer("steps", 500, "Adam's.", lower_bound=1)
flags.DEFINE_float("learning_rate", 10.0, "Adam's; 10 ends lower than the preset's 2.")
flags.DEFINE_list("coarse_steps", "100,50", "Updates of each scale before the last.")
flags.DEFINE_integer("min_size", 128, "Least long side of the first scale.")
flags.DEFINE_list(
    "pairs", "chelsea:painting,coffee:glass,astronaut:glass", "PHOTO:PAINTING of ours."
)
flags.DEFINE_integer("repeats", 5, "Timed rounds of PyTorch's step.", lower_bound=1)
flags.DEFINE_boolean("torch", True, "Time PyTorch's step, too.")
define_path("pictures", None, "Folder for both results of each pair.")
define_path("output", None, "JSON file for the numbers.")

FLAGS = flags.FLAGS


def main(arguments: Sequence[str]) -> int:
    """Measure every pair; returns the exit status."""
    no_arguments(arguments)
    for pair in FLAGS.pairs:
        photo, _, painting = pair.partition(":")
        if photo not in PHOTOS or painting not in PAINTINGS:
            raise InputError(
                f"--pairs has {pair!r}: give PHOTO:PAINTING of {', '.join(PHOTOS)} and "
                f"{', '.join(PAINTINGS)}"
            )
    network = load_network(FLAGS.weights)
    base = customize(
        get_preset(FLAGS.preset),
        beta=FLAGS.beta,
        size=parse_size(FLAGS.size, "long"),
        init="content",
    )
    if base.loss.content_normalization == "half_sum":
        raise InputError(f"{FLAGS.preset} has another alpha at every scale")
    rows = []
    for name in FLAGS.pairs:
        photo, painting = name.split(":")
        pictures = read_image(PHOTOS[photo]()), read_image(PAINTINGS[painting]())
        rows.append(
            {"pair": name, **measure_pair(name, *pictures, network.params, base)}
        )
        print_rows(f"To the loss of Adam's step {FLAGS.steps}, {network.source}", rows)
    write_json(FLAGS.output, rows)
    return 0


def measure_pair(
    name: str, photo: np.ndarray, painting: np.ndarray, params: Any, base: Preset
) -> dict[str, Any]:
    """The row of one pair."""

    def problem(**settings: Any) -> Problem:
        return prepare(photo, [painting], params, customize(base, **settings))

    coarse = whole_numbers("coarse_steps")
    fast = {
        **FAST,
        "pyramid_min_size": FLAGS.min_size,
        "steps": coarse[0],
        "pyramid_steps": (*coarse[1:], FLAGS.steps),
    }
    single = {
        "optimizer": "adam",
        "learning_rate": FLAGS.learning_rate,
        "pyramid": "none",
        "steps": FLAGS.steps,
    }
    adam = problem(**single, precision="mixed")
    compile_scales(adam)
    compile_scales(problem(**fast))
    slow = until(adam, -np.inf)
    quick = until(problem(**fast), slow.lowest)
    exact = problem(**single, precision="float32")
    row = {
        "loss": slow.lowest,
        "float32 loss": loss_of(exact, slow),
        "ours": loss_of(exact, quick),
        "steps": quick.steps,
        "seconds": quick.seconds,
        "of mixed Adam": quick.seconds / slow.seconds,
    }
    if FLAGS.pictures:
        for kind, trial in {"adam": slow, "ours": quick}.items():
            path = f"{FLAGS.pictures}/{name.replace(':', '_')}_{kind}.png"
            write_image(path, np.asarray(deprocess(trial.image)))
    if FLAGS.torch:
        task = make_task(
            exact.scale.width,
            exact.scale.height,
            None if FLAGS.weights == "auto" else FLAGS.weights,
        )
        torch = measure({"torch-float32": task}, FLAGS.repeats)["torch-float32"]
        seconds = FLAGS.steps * statistics.median(torch.seconds)
        row |= {"PyTorch s": seconds, "of PyTorch": quick.seconds / seconds}
    return row


def loss_of(problem: Problem, trial: Trial) -> float:
    """Loss of a trial's image."""
    state = jax.tree.map(jnp.copy, problem.state)  # a step takes it away
    state = state._replace(image=jnp.asarray(trial.image))
    return float(evaluate(problem, state)[1].loss[0])


if __name__ == "__main__":
    run_command("time_to_loss", __name__, USAGE, main)
