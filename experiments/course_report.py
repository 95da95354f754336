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
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import skimage.data
from absl import flags

from nstjax.analysis.convexity_table import markdown_table
from nstjax.entry import run_command
from nstjax.errors import InputError
from nstjax.io.atomic import atomic_path
from nstjax.io.images import read_image, write_image
from nstjax.montage import contact_sheet
from nstjax.painting import paint
from nstjax.stained_glass import stained_glass

USAGE = """
Snapshots, loss surfaces and the convexity table of two runs of gatys2016.

  python -m experiments.course_report --workdir=DIR
  python -m experiments.course_report --workdir=DIR PHOTO PAINTING PHOTO PAINTING
"""

flags.DEFINE_string("workdir", None, "Folder for everything.")
flags.DEFINE_string("weights", "auto", "As nstjax takes them.")
flags.DEFINE_string("size", "160", "As nstjax takes it.")
# The preset's content loss is a sum over positions: 1e-5 at 512 pixels is this at 160.
flags.DEFINE_float("alpha", 1e-4, "Weight of the content loss.")
flags.DEFINE_float("steps_scale", 1.0, "Shortens the runs.", lower_bound=0.0)
flags.DEFINE_list("planes", "plane3,random,random_pink,hessian", "Of the surfaces.")
flags.DEFINE_string("grid", "51x51", "Nodes of a surface.")
flags.DEFINE_integer("segments", 256, "Pairs of images.", lower_bound=1)

FLAGS = flags.FLAGS


class Part(NamedTuple):
    """One pair's run.

    Attributes:
      name: of its folder.
      snapshots: the updates after which the report shows the image; the last ends it.
      rows: rows of its sheet.
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
    if not FLAGS.steps_scale:
        raise InputError("steps_scale is 0: nothing would be painted")
    given = list(map(read_image, pictures)) or [
        *(read_image(skimage.data.chelsea()), paint()),
        *(read_image(skimage.data.coffee()), stained_glass()),
    ]
    folder = Path(FLAGS.workdir).absolute()
    studies = {}
    for index, part in enumerate(PARTS):
        pair = folder / part.name
        pair.mkdir(parents=True, exist_ok=True)
        for name, image in zip(
            ("content", "style"), given[2 * index : 2 * index + 2], strict=True
        ):
            write_image(pair / f"{name}.png", image)
        studies[part.name] = make_part(part, pair)
    table = markdown_table(studies)
    with atomic_path(folder / "convexity.md") as temporary:
        temporary.write_text(table, encoding="utf-8")
    print(table)
    return 0


def make_part(part: Part, folder: Path) -> dict[str, Any]:
    """Run, snapshots, surfaces and tests of one pair; returns what the tests found."""
    steps = sorted({max(1, round(step * FLAGS.steps_scale)) for step in part.snapshots})
    run = folder / "run"
    command(
        "nstjax content.png style.png --preset=gatys2016 --output=result.png "
        f"--size={FLAGS.size} --alpha={FLAGS.alpha} --steps={steps[-1]} "
        f"--snapshots={','.join(map(str, steps))} --checkpoint_every=500 "
        f"--weights={shlex.quote(FLAGS.weights)} --workdir=run"
        + (" --resume" if (run / "config.json").exists() else ""),
        folder,
    )
    shown = [
        folder / "content.png",
        *(run / f"snapshot_{step:06d}.png" for step in steps),
        folder / "style.png",
    ]
    labels = ["content", *(f"iteration {step}" for step in steps), "style"]
    sheet = contact_sheet(list(map(read_image, shown)), labels, part.columns, cell=240)
    write_image(folder / "snapshots.png", sheet)
    for plane in FLAGS.planes:
        grid = FLAGS.grid
        surface = f"--output={shlex.quote(str(folder / plane))}.h5"
        command(
            f"experiments.loss_surface --run={shlex.quote(str(run))} --plane={plane} "
            f"--grid={grid} {surface}"
        )
        command(f"experiments.plot_surface {shlex.quote(str(folder / plane))}.h5")
    surfaces = ",".join(str(folder / f"{plane}.h5") for plane in FLAGS.planes)
    output = folder / "convexity.json"
    command(
        f"experiments.convexity --run={shlex.quote(str(run))} "
        f"--surfaces={shlex.quote(surfaces)} --segments={FLAGS.segments} "
        f"--output={shlex.quote(str(output))}"
    )
    return json.loads(output.read_text())


def command(text: str, folder: Path | None = None) -> None:
    """Print one of our commands and run it; ``InputError`` if it fails."""
    module, *arguments = shlex.split(text)
    print(f"{'' if folder else 'python -m '}{text}", flush=True)
    done = subprocess.run([sys.executable, "-m", module, *arguments], cwd=folder)
    if done.returncode:
        raise InputError(f"{module} ended with status {done.returncode}, see above")


if __name__ == "__main__":
    run_command("course_report", __name__, USAGE, main)
