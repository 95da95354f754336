"""A film of a run: ``python -m experiments.film --run=DIR --output=film.gif``."""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from nstjax.commands.launcher import run_command
from nstjax.commands.path_flags import define_path
from nstjax.errors import InputError
from nstjax.io.atomic import check_results
from nstjax.runs.film import (
    MOST_GIF_PIXELS,
    MOST_PIXELS,
    film_frames,
    numbered,
    write_film,
)
from nstjax.runs.saved_run import recorded_inputs

USAGE = """
The snapshots of a run as a GIF, or as an MP4 (pip install 'nstjax[video]').

  nstjax PHOTO PAINTING --workdir=DIR --snapshots=1,2,5,10,20,50,100,200,500
  python -m experiments.film --run=DIR --output=film.gif --numbers
  python -m experiments.film --run=DIR --output=film.mp4 --fps=24 --fade=11
"""

define_path("run", None, "The run's working folder.")
define_path("output", None, "The film, .gif or .mp4.")
flags.DEFINE_float("fps", 4, "Frames a second.", lower_bound=0.1, upper_bound=50)
flags.DEFINE_float("hold", 2, "Seconds that the last frame stays.", lower_bound=0)
flags.DEFINE_boolean("numbers", False, "Write its step into each frame.")
flags.DEFINE_integer("fade", 0, "Blends between two snapshots.", lower_bound=0)

FLAGS = flags.FLAGS


def main(arguments: Sequence[str]) -> int:
    """Write the film; returns the exit status."""
    if arguments or not FLAGS.run or not FLAGS.output:
        raise InputError("give --run=DIR and --output=FILE, and nothing else")
    folder = Path(FLAGS.run)
    check_results(given=[FLAGS.output], inputs=recorded_inputs(folder))
    most = MOST_GIF_PIXELS if FLAGS.output.lower().endswith(".gif") else MOST_PIXELS
    frames = film_frames(folder, FLAGS.fade, most)
    pictures = (
        numbered(picture, step) if FLAGS.numbers else picture
        for step, picture in frames
    )
    write_film(FLAGS.output, pictures, FLAGS.fps, FLAGS.hold)
    print(f"wrote {FLAGS.output}")
    return 0


if __name__ == "__main__":
    run_command("film", __name__, USAGE, main)
