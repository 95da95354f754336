"""Loss surfaces of a saved run: ``python -m experiments.loss_surface --run=DIR``.

Writes the unweighted losses on a plane through image space, for any alpha and beta to
be plotted with. A killed command goes on when it is given again.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from absl import flags

from nstjax.analysis.surfaces.file import check_resumable, read_surface, write_surface
from nstjax.analysis.surfaces.planes import PLANES, Norm, SurfaceRequest
from nstjax.analysis.surfaces.request import parse_line, parse_nodes, parse_ranges
from nstjax.analysis.surfaces.saved_surface import compute_surface
from nstjax.analysis.surfaces.weights_surface import weights_surface
from nstjax.analysis.sweeps.file import read_sweep
from nstjax.commands.launcher import INTERRUPTED_STATUS, run_command
from nstjax.commands.path_flags import define_path
from nstjax.errors import InputError
from nstjax.io.atomic import check_results, check_writable, nearest_folder
from nstjax.runs.saved_run import read_saved_run, recorded_inputs
from nstjax.runtime.interrupts import advise

USAGE = """
Losses on a plane through image space, around the result of a run.

  nstjax PHOTO PAINTING --workdir=DIR --snapshots=1,10,100
  python -m experiments.loss_surface --run=DIR --plane=plane3
  python -m experiments.loss_surface --sweep=DIR --plane=weights
"""

define_path("run", None, "The --workdir of a run.")
flags.DEFINE_enum(
    "plane",
    "plane3",
    (*PLANES, "weights"),
    "".join(f"{name}: {plane.text}. " for name, plane in PLANES.items())
    + "weights: final losses of --sweep over beta/alpha and a second setting.",
)
define_path("sweep", None, "Folder or file of a sweep, for weights.")
flags.DEFINE_string("grid", None, "Nodes along s and t: 51x51; of a line: 201.")
flags.DEFINE_string("range", None, "Of s and t: -1:1,-1:1; by default as suits.")
flags.DEFINE_integer("seed", 0, "Of random directions.", lower_bound=0)
flags.DEFINE_enum(
    "norm",
    "image",
    get_args(Norm),
    "Of random planes: 1 is the contrast of the image; channel by channel; or 1 level.",
)
flags.DEFINE_string("line", "result:content", "Two of result, content and style.")
flags.DEFINE_integer("batch", None, "Nodes at once.", lower_bound=1)
define_path("output", None, "RUN/surface_PLANE.h5 if not given.")
define_path("weights", None, "The network, if it is not where the run had it.")
flags.DEFINE_boolean("quiet", False, "No progress bar.")

FLAGS = flags.FLAGS


def main(arguments: Sequence[str]) -> int:
    """Compute a surface; returns the exit status."""
    source = "sweep" if FLAGS.plane == "weights" else "run"
    folder = getattr(FLAGS, source)
    if arguments or not folder:
        raise InputError(
            f"give --{source}=DIR, the --workdir of a {source}, and flags alone"
        )
    given = Path(folder)
    if source == "sweep":
        file = given / "sweep.h5" if given.is_dir() else given
        output = checked_output(file.parent, [file])
        check_writable(output)
        surface = weights_surface(read_sweep(file))
        if output.exists():
            check_resumable(output, read_surface(output), surface.about)
        write_surface(output, surface)
        print(f"wrote {output}")
        return 0
    request = SurfaceRequest(
        kind=FLAGS.plane,
        grid=parse_nodes(FLAGS.grid, FLAGS.plane),
        ranges=parse_ranges(FLAGS.range, FLAGS.plane) if FLAGS.range else None,
        seed=FLAGS.seed,
        norm=FLAGS.norm,
        line=parse_line(FLAGS.line),
    )
    output = checked_output(given, [*recorded_inputs(given), FLAGS.weights])
    run = read_saved_run(given, FLAGS.weights)
    advise("the same command again goes on with the nodes that are left")
    surface = compute_surface(
        output, run, request, batch=FLAGS.batch, quiet=FLAGS.quiet
    )
    print(f"wrote {output}")
    if not surface.done.all():
        print("loss_surface: interrupted; the same command again goes on from here")
        return INTERRUPTED_STATUS
    return 0


def checked_output(folder: Path, inputs: Sequence[str | Path | None]) -> Path:
    """Where the surface goes: no input, and a place that can be written."""
    output = Path(FLAGS.output or folder / f"surface_{FLAGS.plane}.h5")
    check_results([] if FLAGS.output else [output], given=[output], inputs=inputs)
    # The folder of a run's surface is made.
    check_writable(nearest_folder(output.parent) / output.name)
    return output


if __name__ == "__main__":
    run_command("loss_surface", __name__, USAGE, main)
