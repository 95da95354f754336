"""The ``nstjax-fast`` command's flags."""

from collections.abc import Sequence

from absl import flags

from nstjax.commands import launcher
from nstjax.commands.path_flags import define_mask, define_path
from nstjax.commands.preset_flags import SETTINGS
from nstjax.errors import InputError
from nstjax.images.resizing import parse_size
from nstjax.presets.settings import setting_choices

USAGE = """
Restyle photos, folders and videos with a trained network.

  nstjax-fast PHOTO                                    the default style
  nstjax-fast PHOTO PAINTING                           any painting, or several mixed
  nstjax-fast PHOTO --style=wave --output=out.png      another, see --list_styles
  nstjax-fast PHOTO --style=wave:0.3,scream:0.7        a mixture
  nstjax-fast FOLDER VIDEO --style=wave --output=DIR   many at once
"""

flags.DEFINE_multi_string(
    "style",
    None,
    "Styles by name, all, or paintings, with shares: wave:0.3,scream:0.7. Repeat the "
    "flag, or write \\, for a comma in a file's name.",
)
define_path(
    "output",
    None,
    "File to write, or a folder for several results; end a new folder with /.",
)
flags.DEFINE_boolean(
    "recursive", False, "Subfolders of folders, too; results lie in such folders."
)
define_path(
    "model", None, "painterly, arbitrary or a file; chosen by --style if not given."
)
define_path(
    "weights", "slim", "Encoder of a model of --preset=adain: slim, vgg19 or a file."
)
flags.DEFINE_float("strength", 1.0, "Strength of the style, from 0, the photo, to 1.")
flags.DEFINE_integer(
    "refine",
    0,
    "Updates of the image after the network (learned descent): closer to the style.",
)
flags.DEFINE_float(
    "detail",
    1.0,
    "Share of the photo's fine detail to keep, from 0 to 1 (learned descent).",
)
flags.DEFINE_integer(
    "interpolate", 0, "Steps from style to style in a row of pictures."
)
define_mask(
    "mask",
    "Where each style goes: an image with a color for each, the brightest first, or "
    "with numbers, where 0 stays if styles are fewer, or grey masks a.png+b.png; the "
    "photo stays elsewhere.",
)
COLORS = {"color": "style", "color_space": "yiq", "color_match": "pca"}
for name, default in COLORS.items():
    flags.DEFINE_enum(name, default, setting_choices(name), SETTINGS[name])
launcher.define_picture_flags()
flags.DEFINE_string(
    "size", "long:1024", "Most pixels of a photo: 512, area:512, … or original."
)
flags.DEFINE_string("style_size", "long:512", "Most pixels of a painting, see --size.")
flags.DEFINE_integer("batch_size", 1, "Photos of about one size taken together.")
flags.DEFINE_integer(
    "tile", None, "Pixels of a tile, 0 for none; large photos are tiled anyway."
)
flags.DEFINE_boolean("skip_existing", False, "Keep results that are there already.")
flags.DEFINE_boolean("list_styles", False, "Print the model's styles and stop.")

FLAGS = flags.FLAGS


def main(contents: Sequence[str]) -> int:
    """Do what the flags say; returns the exit status."""
    # Flax takes a while to import: wrong flags are told before.
    size, style_size = (
        parse_size(FLAGS[name].value or "") for name in ("size", "style_size")
    )
    from nstjax.feedforward.inference.request import DEFAULT_STYLE, FastRequest
    from nstjax.feedforward.inference.restyle_files import restyle_files
    from nstjax.feedforward.inference.style_specifications import styles_text
    from nstjax.io.contents import split_paintings

    if FLAGS.list_styles:
        print(styles_text(FLAGS.model))
        return 0
    if not contents:
        raise InputError(
            "give a photo, a video or a folder: nstjax-fast PHOTO (nstjax-fast --help "
            "lists the flags)"
        )
    style = FLAGS.style
    if style is None:
        contents, paintings = split_paintings(contents)
        style = paintings or [DEFAULT_STYLE]
    given = {
        "contents": contents,
        "style": style,
        "output": FLAGS.output or None,
        "size": size,
        "style_size": style_size,
    }
    results = restyle_files(FastRequest(**launcher.flag_values(FastRequest) | given))
    for path in results.written:
        print(f"nstjax-fast: wrote {path}")
    return 0 if results.complete else launcher.FAILURE_STATUS


def run() -> None:
    """Entry point of the console script."""
    launcher.run_command("nstjax-fast", __name__, USAGE, main)


if __name__ == "__main__":
    run()
