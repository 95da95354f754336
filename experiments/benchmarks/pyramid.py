"""Times coarse to fine against a single scale, to the same loss.

    python -m experiments.benchmarks.pyramid PHOTO PAINTING --size=768 --steps=200

Each round runs both from the same start. The single scale runs ``steps`` updates and
sets the mark, its lowest loss; coarse to fine runs its scales until the loss at the
last one is below the mark. Steps alone are timed: no compilation, no files. The
preset's loss must mean the same at both, so one whose content loss is a mean is used.
"""

import json
import statistics
from collections.abc import Sequence

import jax
import numpy as np
from absl import flags

from experiments.benchmarks.until_loss import compile_scales, until
from nstjax.commands.launcher import run_command
from nstjax.commands.path_flags import define_path
from nstjax.errors import InputError
from nstjax.images.resizing import parse_size
from nstjax.io.images import read_image
from nstjax.io.weights import load_network
from nstjax.presets.preset import customize
from nstjax.presets.published import get_preset
from nstjax.problem.problem import Problem, prepare

USAGE = """
Time to a given loss, coarse to fine against a single scale.

  python -m experiments.benchmarks.pyramid PHOTO PAINTING --size=768
"""

define_path("weights", "auto", "As nstjax takes them.")
flags.DEFINE_string("preset", "gatys-code", "One whose content loss is a mean.")
flags.DEFINE_string("size", "768", "As nstjax takes it.")
flags.DEFINE_string("init", "content", "Where both start: content or noise.")
flags.DEFINE_integer("steps", 200, "Updates of the single scale.", lower_bound=1)
flags.DEFINE_list("optimizers", "lbfgs,adam", "Which ones.")
flags.DEFINE_list("factors", "2,sqrt2", "Factors between the pyramid's sizes.")
flags.DEFINE_integer("coarse_steps", 100, "Updates of each coarser scale.")
flags.DEFINE_integer("repeats", 3, "Rounds.", lower_bound=1)

FLAGS = flags.FLAGS


def main(pictures: Sequence[str]) -> int:
    """Run the rounds; returns the exit status."""
    if len(pictures) != 2:
        raise InputError("give a photo and a painting")
    content, style = map(read_image, pictures)
    network = load_network(FLAGS.weights)
    base = customize(
        get_preset(FLAGS.preset), size=parse_size(FLAGS.size, "long"), init=FLAGS.init
    )
    if base.loss.content_normalization == "half_sum":
        raise InputError(
            f"{FLAGS.preset} has another alpha at every scale of a pyramid: choose "
            "gatys-code"
        )
    print(f"weights {network.source}, {jax.devices()[0].device_kind}")
    for optimizer in FLAGS.optimizers:

        def problem(kind: str, optimizer: str = optimizer) -> Problem:
            preset = customize(
                base,
                optimizer=optimizer,
                pyramid=kind,
                steps=FLAGS.steps if kind == "none" else FLAGS.coarse_steps,
                pyramid_steps=(FLAGS.coarse_steps,),
            )
            return prepare(content, [style], network.params, preset)

        ratios: dict[str, list[float]] = {factor: [] for factor in FLAGS.factors}
        for kind in ("none", *FLAGS.factors):
            compile_scales(problem(kind))
        for number in range(1, FLAGS.repeats + 1):
            single = until(problem("none"), -np.inf)
            for factor in FLAGS.factors:
                fine = until(problem(factor), single.lowest, last_steps=FLAGS.steps)
                row = {
                    "optimizer": optimizer,
                    "factor": factor,
                    "round": number,
                    "loss": single.lowest,
                    "single_seconds": single.seconds,
                    "pyramid_seconds": fine.seconds,
                    "last_scale_steps": fine.steps,
                    "ratio": fine.seconds / single.seconds,
                }
                ratios[factor].append(row["ratio"])
                print(json.dumps(row), flush=True)
        for factor, found in ratios.items():
            print(
                f"{optimizer}, factor {factor}: {statistics.median(found):.2f} of the "
                f"single scale's time ({min(found):.2f} to {max(found):.2f})"
            )
    return 0


if __name__ == "__main__":
    run_command("pyramid", __name__, USAGE, main)
