"""A course report's reproduction, and its claim put to the test.

    python -m experiments.course_report --workdir=DIR

The report (2019) ran Gatys' method on two pairs of pictures, showed the image after so
many updates, plotted the losses as surfaces, saw bowls and said "convex". Here two runs
make the snapshots, four planes through each result the surfaces, and
``experiments.convexity`` the table. Every part is a command that is printed and that
goes on where it was killed; what is finished is not done again.
"""

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import skimage.data
from absl import flags

from nstjax.analysis.study.study import check_places
from nstjax.analysis.study.table import markdown_table
from nstjax.analysis.surfaces.planes import PLANES
from nstjax.analysis.surfaces.request import parse_nodes
from nstjax.commands.launcher import run_command
from nstjax.commands.path_flags import define_path
from nstjax.errors import InputError
from nstjax.images.contact_sheet import contact_sheet
from nstjax.images.resizing import parse_size
from nstjax.io.atomic import check_results, check_workdir, write_atomically
from nstjax.io.demo import painting, stained_glass
from nstjax.io.images import read_image, write_image
from nstjax.io.workdir import begin_folder
from nstjax.presets.published import get_preset
from nstjax.presets.settings import customize, default_size_rule
from nstjax.runtime.interrupts import run_child

USAGE = """
Snapshots, loss surfaces and the convexity table of two runs of gatys2016.

  python -m experiments.course_report --workdir=DIR
  python -m experiments.course_report --workdir=DIR PHOTO PAINTING PHOTO PAINTING
"""

define_path("workdir", None, "Folder for everything.")
define_path("weights", "auto", "As nstjax takes them.")
flags.DEFINE_string("size", "128", "As nstjax takes it.")
# The preset's content loss is a sum over positions, so a small picture needs more.
flags.DEFINE_float("alpha", 0.004, "Weight of the content loss.")
flags.DEFINE_float("steps_scale", 1.0, "Shortens the runs.")
flags.DEFINE_list("planes", "plane3,random,random_pink,hessian", "Of the surfaces.")
flags.DEFINE_string("grid", "51x51", "Nodes of a surface.")
flags.DEFINE_integer("segments", 256, "Pairs of images.", lower_bound=1)
flags.DEFINE_list("curvature_at", "content,noise,result", "See convexity --help.")

FLAGS = flags.FLAGS
MOST_STEPS_SCALE = 10
PRESET = "gatys2016"


class Part(NamedTuple):
    """One pair's run.

    The report shows the image after so many updates, of which the last ends the run,
    in so many columns.
    """

    name: str
    snapshots: tuple[int, ...]
    columns: int


PARTS = (
    Part("pair_one", (1, 2, 3, 10, 20, 100, 300, 500, 1000, 2000, 4000, 6000), 5),
    Part("pair_two", (10, 200, 1000, 3000, 5000, 8000), 4),
)


def main(pictures: Sequence[str]) -> int:
    """Make the report; returns the exit status."""
    if not FLAGS.workdir or len(pictures) not in (0, 4):
        raise InputError("give --workdir=DIR, and two pairs of pictures or none")
    if not 0 < FLAGS.steps_scale <= MOST_STEPS_SCALE:
        raise InputError(
            f"--steps_scale={FLAGS.steps_scale}: give a number above 0, at most "
            f"{MOST_STEPS_SCALE}"
        )
    check_flags_of_parts()
    folder = Path(FLAGS.workdir).absolute()
    check_workdir(folder)
    table_file, pairs = folder / "convexity.md", [folder / part.name for part in PARTS]
    names = ("content.png", "style.png", "result.png", "snapshots.png")
    written = [table_file, *(pair / name for pair in pairs for name in names)]
    there = [path for pair in pairs for path in (pair, *pair.glob("*"))]
    check_results([*there, *written], inputs=pictures)
    given = list(map(read_image, pictures)) or [
        *(read_image(skimage.data.chelsea()), painting()),
        *(read_image(skimage.data.coffee()), stained_glass()),
    ]
    begin_folder(folder, "course_report", [*pairs, table_file])
    studies = {}
    for part, pair, *images in zip(PARTS, pairs, given[::2], given[1::2], strict=True):
        pair.mkdir(parents=True, exist_ok=True)
        for name, image in zip(("content", "style"), images, strict=True):
            write_image(pair / f"{name}.png", image)
        studies[part.name] = make_part(part, pair)
    table = markdown_table(studies)
    write_atomically(table_file, table)
    print(table)
    return 0


def check_flags_of_parts() -> None:
    """Check what goes to the parts' commands: the last ones come after an hour."""
    for plane in FLAGS.planes:
        if plane not in PLANES:
            raise InputError(
                f"no plane {plane!r}: give --planes with some of {', '.join(PLANES)}"
            )
        parse_nodes(FLAGS.grid, plane)
    check_places(FLAGS.curvature_at)
    preset = get_preset(PRESET)
    size = parse_size(FLAGS.size, default_size_rule(preset))
    customize(preset, size=size, alpha=FLAGS.alpha)


def make_part(part: Part, folder: Path) -> dict[str, Any]:
    """Run, snapshots, surfaces and tests of one pair; returns what the tests found."""
    steps = sorted({max(1, round(step * FLAGS.steps_scale)) for step in part.snapshots})
    run = folder / "run"
    python(
        *("nstjax", f"{folder / 'content.png'}", f"{folder / 'style.png'}"),
        *(f"--preset={PRESET}", f"--size={FLAGS.size}", f"--alpha={FLAGS.alpha}"),
        *(f"--steps={steps[-1]}", f"--snapshots={','.join(map(str, steps))}"),
        *(f"--weights={FLAGS.weights}", "--checkpoint_every=500"),
        *(f"--workdir={run}", f"--output={folder / 'result.png'}"),
        *(["--resume"] if (run / "config.json").exists() else []),
    )
    shown = [
        folder / "content.png",
        *(run / f"snapshot_{step:06d}.png" for step in steps),
        folder / "style.png",
    ]
    labels = ["content", *(f"iteration {step}" for step in steps), "style"]
    sheet = contact_sheet(list(map(read_image, shown)), labels, part.columns, cell=240)
    write_image(folder / "snapshots.png", sheet)
    surfaces = [folder / f"{plane}.h5" for plane in FLAGS.planes]
    for plane, surface in zip(FLAGS.planes, surfaces, strict=True):
        python(
            *("experiments.loss_surface", f"--run={run}", f"--plane={plane}"),
            *(f"--grid={FLAGS.grid}", f"--output={surface}"),
        )
        python("experiments.plot_surface", str(surface))
    output = folder / "convexity.json"
    python(
        *("experiments.convexity", f"--run={run}", f"--output={output}"),
        *(f"--surfaces={surface}" for surface in surfaces),
        f"--segments={FLAGS.segments}",
        f"--curvature_at={','.join(FLAGS.curvature_at)}",
    )
    return json.loads(output.read_text())


def python(*arguments: str) -> None:
    """Print one of our commands and run it; ``InputError`` if it fails."""
    print(f"python -m {shlex.join(arguments)}", flush=True)
    done = run_child([sys.executable, "-m", *arguments])
    if done.returncode:
        raise InputError(f"{arguments[0]} ended with status {done.returncode}")


if __name__ == "__main__":
    run_command("course_report", __name__, USAGE, main)
