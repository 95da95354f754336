"""Plot a loss surface from its file: ``python -m experiments.plot_surface FILE.h5``.

The file holds unweighted losses, so any alpha and beta can be shown: no network is
loaded and nothing is evaluated.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from nstjax.analysis.surfaces.file import read_surface
from nstjax.analysis.surfaces.html import surface_html
from nstjax.analysis.surfaces.panels import View, incomplete
from nstjax.commands.launcher import run_command
from nstjax.commands.path_flags import define_path
from nstjax.errors import InputError
from nstjax.io.atomic import (
    check_results,
    check_writable,
    nearest_folder,
    write_atomically,
)

USAGE = """
Total, content and style of a saved surface, in 3-D and as maps.

  python -m experiments.plot_surface FILE.h5
  python -m experiments.plot_surface FILE.h5 --beta=1e4 --output=DIR/beta_1e4 --html
"""

flags.DEFINE_float("alpha", None, "Content weight; the run's own if not given.")
flags.DEFINE_float("beta", None, "Style weight; the run's own if not given.")
flags.DEFINE_float("tv", None, "Weight of total variation; likewise.")
define_path(
    "output", None, "Folder, or how the files' names begin; beside FILE if not given."
)
flags.DEFINE_enum("format", "png", ("png", "pdf"), "Of the figures.")
flags.DEFINE_boolean("html", False, "Also a page to turn with the mouse (plotly).")
flags.DEFINE_boolean("log", True, "Colors and contours at equal ratios.")
flags.DEFINE_boolean("log_height", False, "Logarithmic heights, which bend a bowl.")
flags.DEFINE_float("elevation", 30, "Of the eye, in degrees.")
flags.DEFINE_float("azimuth", -60, "Of the eye, in degrees.")
flags.DEFINE_string("title", "", "A line above the description.")

FLAGS = flags.FLAGS
LOGGER = logging.getLogger("nstjax")


def main(arguments: Sequence[str]) -> int:
    """Write the plots; returns the exit status."""
    if len(arguments) != 1:
        raise InputError("give one file of a loss surface")
    file = Path(arguments[0])
    surface = read_surface(file)
    # Final losses over settings have no weights of their own, and show no total.
    own = {"alpha": 0.0, "beta": 0.0, **surface.weights}
    given = {name: FLAGS[name].value for name in View._fields}
    view = View(**own | {name: x for name, x in given.items() if x is not None})
    page = surface_html(surface, view) if FLAGS.html else None
    is_line = surface.done.shape[1] == 1
    stem = output_stem(file, FLAGS.output)
    paths = {
        name: Path(f"{stem}_{name}.{FLAGS.format}")
        for name in (["line"] if is_line else ["surfaces", "maps"])
    }
    html = Path(f"{stem}_surfaces.html")
    check_results([*paths.values(), html], inputs=[file])
    for path in (*paths.values(), *([html] if page else [])):
        # Its folder is made.
        check_writable(nearest_folder(path.parent) / path.name)
    # Matplotlib writes a list of fonts: wrong input is told before.
    from nstjax.analysis.figures import save_figure
    from nstjax.analysis.surfaces import plots

    figures = {path: plots.FIGURES[name](surface, view) for name, path in paths.items()}
    for words in incomplete(surface):
        LOGGER.info("%s: %s, plotted as it is", file, words)
    stem.parent.mkdir(parents=True, exist_ok=True)
    for path, figure in figures.items():
        save_figure(figure, path)
        print(f"wrote {path}")
    if page:
        write_atomically(html, page)
        print(f"wrote {html}")
    return 0


def output_stem(file: Path, output: str | None) -> Path:
    """How the paths of the plots begin."""
    if output is None:
        return file.with_suffix("")
    if output.endswith("/") or Path(output).is_dir():
        return Path(output, file.stem)
    return Path(output)


if __name__ == "__main__":
    run_command("plot_surface", __name__, USAGE, main)
