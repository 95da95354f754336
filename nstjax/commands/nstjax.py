"""The ``nstjax`` command: its flags, and the run that they ask for."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from absl import flags

from nstjax.commands.launcher import (
    define_process_flags,
    flag_values,
    join_processes_of_flags,
    run_command,
)
from nstjax.commands.listings import draw_network, print_network, print_presets
from nstjax.commands.path_flags import (
    define_mask,
    define_masks,
    define_path,
    define_paths,
)
from nstjax.commands.preset_flags import define_settings, define_several, read_settings
from nstjax.commands.transfer import transfer
from nstjax.errors import InputError
from nstjax.io.atomic import check_results
from nstjax.io.images import FORMATS
from nstjax.io.transparency import Transparency
from nstjax.presets.preset import Preset
from nstjax.presets.published import DEFAULT_PRESET, PRESETS, get_preset
from nstjax.runs.outputs import Outputs
from nstjax.runs.request import ControlFiles, Request
from nstjax.runtime.mesh import read_mesh
from nstjax.runtime.processes import is_first_process

USAGE = """
Neural style transfer: paint a photo in the manner of a painting.

  nstjax CONTENT STYLE [STYLE...] --output=out.png     paint a photo
  nstjax CONTENT... --style=STYLE --output=FOLDER      paint photos and folders of them
  nstjax CONTENT --fine_style=A --coarse_style=B       A's strokes in B's forms
  nstjax --demo                                        try it
  nstjax --list_presets                                the published settings
  nstjax --network --preset=coursera                   the network's table
"""

define_path(
    "output",
    None,
    "Image to write (.png, .jpg, .webp, .tif), or a folder for several photos.",
)
define_paths(
    "style",
    None,
    "A painting; every argument is then a photo or a folder of photos. Repeat the flag "
    "for several paintings.",
    separator=None,
)
flags.DEFINE_string(
    "preset", DEFAULT_PRESET, f"Published settings: {', '.join(PRESETS)}."
)
define_path(
    "weights",
    "auto",
    "auto (VGG-19 if it is found, else slim), vgg19, slim (bundled), random, or the "
    "path of a .safetensors, .h5 or .mat file.",
)
define_settings()
flags.DEFINE_boolean("no_upscale", False, "Never paint larger than the photo.")
define_several("style_blend_weights", float, "Weights of the style images.")
define_several(
    "style_image_layers",
    str,
    "Style layers of each style image, + between them: relu1_1+relu2_1,all.",
)
define_path("fine_style", None, "Image whose fine structure is mixed in first.")
define_path("coarse_style", None, "Image whose forms go with --fine_style's strokes.")
define_mask(
    "content_mask",
    "Regions of the photo: an image with a color for each, or grey masks a.png+b.png.",
)
define_masks("style_mask", "Regions of each style image as --content_mask, or none.")
define_several(
    "style_regions",
    str,
    "Regions of each style image: all, or colors or numbers, white+2.",
)
define_several("region_weights", float, "Weights of the regions, one for each.")
define_path("stylize_mask", None, "Image that is black where the photo stays.")
flags.DEFINE_enum(
    "transparency",
    "flatten",
    get_args(Transparency),
    "Transparent parts of the photo: put on white, or kept in the result.",
)
flags.DEFINE_integer(
    *("seed", 0, "Seed of the initial noise."), lower_bound=0, upper_bound=2**32 - 1
)
define_several("snapshots", int, "Steps whose image is written: 1,2,3,10,100.")
define_path("workdir", None, "Folder for the log, snapshots and checkpoints.")
flags.DEFINE_boolean("resume", False, "Go on from the checkpoint in --workdir.")
flags.DEFINE_integer(
    "checkpoint_every", 100, "Steps between checkpoints.", lower_bound=1
)
flags.DEFINE_integer(
    "log_every", 1, "Steps between lines of metrics.jsonl.", lower_bound=1
)
flags.DEFINE_integer(
    "quality", 95, "Quality of JPEG and WebP images.", lower_bound=1, upper_bound=100
)
flags.DEFINE_float(
    "preview_seconds", 5.0, "Seconds between previews; 0 for none.", lower_bound=0
)
flags.DEFINE_float(
    "memory_gb", None, "What the run may take of the memory; larger ones go by tiles."
)
flags.DEFINE_integer("tile", None, "Side of a tile in pixels, in place of --memory_gb.")
flags.DEFINE_boolean("quiet", False, "No progress bar.")
flags.DEFINE_string("mesh", None, "rows=N: split the image over N devices.")
define_process_flags()
flags.DEFINE_boolean("demo", False, "Run on a photo and a painting of our own.")
flags.DEFINE_boolean("list_presets", False, "Print the presets and stop.")
flags.DEFINE_boolean("network", False, "Print the network's table and stop.")
define_path("network_picture", None, "Draw the network to this image and stop.")

FLAGS = flags.FLAGS
# A demo is to be over soon. With 10 pairs its loss ends within 2 % of that with 100.
DEMO_SETTINGS = {"montage": True, "steps": 200, "lbfgs_num_correction": 10}


def main(pictures: Sequence[str]) -> int:
    """Do what the flags say; returns the exit status."""
    preset = get_preset(FLAGS.preset)
    preset = read_settings(preset, DEMO_SETTINGS if FLAGS.demo else {})
    if FLAGS.list_presets:
        print_presets()
        return 0
    if FLAGS.network:
        print_network(preset)
    if FLAGS.network_picture:
        check_results(given=[FLAGS.network_picture], inputs=_given_pictures(pictures))
        draw_network(preset, FLAGS.network_picture)
    if FLAGS.network or FLAGS.network_picture:
        return 0
    contents, styles = _contents_and_styles(pictures)
    if FLAGS.resume and not FLAGS.workdir:
        raise InputError("--resume needs the --workdir of the run to go on with")
    join_processes_of_flags()
    request = _request(contents[0] if contents else None, styles, preset)
    output = Path(FLAGS.output) if FLAGS.output else None
    # With --style there may be one photo or many, as a pattern of the shell has it.
    to_folder = FLAGS.style and output and output.suffix.lower() not in FORMATS
    if len(contents) > 1 or to_folder or any(map(os.path.isdir, contents)):
        # Finding out what a folder holds takes modules that one photo does not.
        from nstjax.commands.photos import paint_photos

        return paint_photos(request, contents, output)
    if output is None:
        check_results([request.outputs.result])
    return transfer(request)


def _request(content: str | None, styles: Sequence[str], preset: Preset) -> Request:
    workdir = Path(FLAGS.workdir) if FLAGS.workdir else None
    name = "demo.png" if FLAGS.demo else "stylized.png"
    layers, masks = FLAGS.style_image_layers, FLAGS.style_mask
    controls = {
        "style_masks": masks and tuple(masks),
        "stylize_mask": FLAGS.stylize_mask or None,
        "style_image_layers": layers
        and tuple(None if each == "all" else tuple(each.split("+")) for each in layers),
    }
    outputs = {
        "result": Path(FLAGS.output or (workdir or Path()) / name),
        "workdir": workdir,
        "snapshots": tuple(sorted(set(FLAGS.snapshots or ()))),
        "quiet": FLAGS.quiet or not is_first_process(),
    }
    given = {
        "content": content,
        "styles": tuple(styles),
        "fine_style": FLAGS.fine_style or None,
        "preset": preset,
        "preset_name": FLAGS.preset,
        "mesh": read_mesh(FLAGS.mesh),
        "controls": ControlFiles(**flag_values(ControlFiles) | controls),
        "outputs": Outputs(**flag_values(Outputs) | outputs),
    }
    return Request(**flag_values(Request) | given)


def _given_pictures(pictures: Sequence[str]) -> list[str | None]:
    """Every picture that somebody names, whether or not it is read."""
    names = ("content_mask", "fine_style", "coarse_style", "stylize_mask", "init")
    given = [FLAGS[name].value for name in names]
    paths: list[str | None] = [*pictures, *(FLAGS.style or ())]
    for mask in (*given, *(FLAGS.style_mask or ())):
        paths += mask if isinstance(mask, tuple) else [mask]
    return paths


def _contents_and_styles(pictures: Sequence[str]) -> tuple[list[str], list[str]]:
    """Photos and paintings; none for the demo."""
    if FLAGS.demo:
        if pictures or FLAGS.style or FLAGS.coarse_style or FLAGS.fine_style:
            raise InputError("--demo brings its own pictures: leave yours out")
        return [], []
    if FLAGS.coarse_style and not FLAGS.fine_style:
        raise InputError("--coarse_style needs --fine_style: the strokes to mix in")
    if FLAGS.style:
        contents, styles = [*pictures], [*FLAGS.style]
    else:
        contents, styles = [*pictures[:1]], [*pictures[1:]]
    styles += [FLAGS.coarse_style] if FLAGS.coarse_style else []
    if FLAGS.fine_style and len(styles) > 1:
        raise InputError(
            "--fine_style goes with one style image, STYLE or --coarse_style: leave "
            "the others out"
        )
    if not contents or not styles:
        raise InputError(
            "give a photo and a painting: nstjax CONTENT STYLE --output=out.png "
            "(nstjax --help lists the flags)"
        )
    return contents, styles


def run() -> None:
    """Entry point of the console script and of ``python -m nstjax``."""
    run_command("nstjax", __name__, USAGE, main)


if __name__ == "__main__":
    run()
