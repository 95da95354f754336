"""Is a run's loss convex? ``python -m experiments.convexity --run=DIR``.

Tests the total, content and style loss on the run's surfaces, on segments between its
images, and by the ends of the Hessian's spectrum; writes what it found as JSON and
prints it as a table.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from nstjax.analysis.study import study
from nstjax.analysis.study.loss_terms import make_evaluators
from nstjax.analysis.study.table import markdown_table
from nstjax.analysis.surfaces.file import read_surface
from nstjax.analysis.surfaces.saved_surface import check_same_run
from nstjax.analysis.surfaces.surface import Surface, true_loss
from nstjax.commands.launcher import run_command
from nstjax.commands.path_flags import define_path, define_paths
from nstjax.errors import InputError
from nstjax.io.atomic import check_results, check_writable, write_atomically
from nstjax.io.stored import read_record
from nstjax.runs.request import file_sha256
from nstjax.runs.saved_run import SavedRun, read_saved_run, recorded_inputs

USAGE = """
Convexity of the loss, tested where a run of nstjax --workdir=DIR --snapshots=... went.

  python -m experiments.loss_surface --run=DIR --plane=plane3
  python -m experiments.convexity --run=DIR
"""

define_path("run", None, "Folder of the run.")
define_paths("surfaces", None, "Surface files; the run's own if not given.")
define_path("weights", None, "The network, if it is not where the run had it.")
flags.DEFINE_integer("segments", 256, "Pairs of images at most.", lower_bound=1)
flags.DEFINE_list("curvature_at", "content,noise,middle,result", "Images, or none.")
flags.DEFINE_integer("seed", 0, "Of the noise and the choice of pairs.", lower_bound=0)
define_path("output", None, "JSON file; DIR/convexity.json if not given.")

FLAGS = flags.FLAGS
# Of what is written and how it is found: another one's file is no answer.
SCHEMA_NAME = "nstjax.convexity/"
SCHEMA = f"{SCHEMA_NAME}2"


def main(arguments: Sequence[str]) -> int:
    """Test; returns the exit status."""
    if not FLAGS.run or arguments:
        raise InputError("give --run=DIR, the --workdir of a run, and nothing else")
    folder = Path(FLAGS.run)
    paths = FLAGS.surfaces or sorted(map(str, folder.glob("surface_*.h5")))
    output = Path(FLAGS.output or folder / "convexity.json")
    check_results([] if FLAGS.output else [output])
    run = read_saved_run(folder, FLAGS.weights)
    check_writable(output)
    check_results(
        given=[output], inputs=[*paths, *recorded_inputs(folder), FLAGS.weights]
    )
    found = read_found(output) if output.exists() else {}
    surfaces = {path: read_surface(Path(path)) for path in paths}
    for path, surface in surfaces.items():
        check_same_run(Path(path), surface, run)
    asked = {
        "schema": SCHEMA,
        "run": run.settings,
        "surfaces": {Path(path).name: file_sha256(path) for path in paths},
        **{name: FLAGS[name].value for name in ("segments", "curvature_at", "seed")},
    }
    asked = json.loads(json.dumps(asked))
    if finished(found, asked):
        print(f"{output} is finished: nothing is left to test")
    else:
        found = {"asked": asked, **run_tests(run, list(surfaces.values()))}
        write_atomically(output, json.dumps(found, indent=2) + "\n")
        print(f"wrote {output}")
    print(markdown_table({folder.name: json.loads(output.read_text())}))
    return 0


def run_tests(run: SavedRun, surfaces: Sequence[Surface]) -> dict[str, Any]:
    """What the tests find."""
    loss_fn = true_loss(run.preset.loss)
    data = run.problem.data
    group = study.members(run.content, run.style, run.snapshots, run.image, FLAGS.seed)
    places = study.places(group, FLAGS.curvature_at)
    print(f"weights {run.network.source}, {len(group)} images", flush=True)
    images = np.stack([member.image for member in group])
    evaluators = make_evaluators(loss_fn, data, images)
    return {
        "weights": run.network.source,
        "relative_error": evaluators.epsilon,
        "planes": {
            surface.plane.kind: study.surface_study(surface, evaluators)
            for surface in surfaces
            if surface.plane
        },
        "segments": study.segment_study(group, evaluators, FLAGS.segments, FLAGS.seed),
        "curvature": study.curvature_study(loss_fn, data, places),
    }


def read_found(path: Path) -> dict[str, Any]:
    """What an earlier test has found; ``InputError`` if somebody may need the file."""
    remedy = "remove it or choose another --output"
    found = read_record(path, dict[str, Any], remedy)
    asked = found.get("asked")
    schema = asked.get("schema") if isinstance(asked, dict) else None
    if not str(schema).startswith(SCHEMA_NAME):
        raise InputError(f"{path} holds no results of convexity tests: {remedy}")
    return found


def finished(found: dict[str, Any], asked: dict[str, Any]) -> bool:
    """Whether what was found is what is asked for."""
    try:
        markdown_table({"": found})
    # Whatever else it holds, the answer is not there.
    except Exception:
        return False
    return found["asked"] == asked


if __name__ == "__main__":
    run_command("convexity", __name__, USAGE, main)
