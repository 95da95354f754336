"""The ``nstjax`` command: its flags, and the run that they ask for."""

import os
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from nstjax.commands import launcher, path_flags
from nstjax.commands.launcher import flag_values
from nstjax.commands.path_flags import define_mask, define_masks, define_path
from nstjax.commands.preset_flags import define_settings, define_several, read_settings
from nstjax.commands.transfer import transfer
from nstjax.errors import InputError
from nstjax.images.resizing import output_size
from nstjax.io.atomic import check_results
from nstjax.io.images import FORMATS, check_output, write_image
from nstjax.network.architecture import LAYERS, check_size, summarize
from nstjax.presets.preset import Preset
from nstjax.presets.published import DEFAULT_PRESET, PRESETS, get_preset
from nstjax.runs.outputs import Outputs
from nstjax.runs.request import ControlFiles, Request
from nstjax.runtime.mesh import read_mesh
from nstjax.runtime.processes import is_first_process

USAGE = """
Neural style transfer: paint a photo in the manner of a painting.

  nstjax CONTENT STYLE [STYLE...] --output=out.png     paint a photo
  nstjax CONTENT STYLE --preset=quick                  in seconds
  nstjax CONTENT... --style=STYLE --output=FOLDER      paint photos and folders of them
  nstjax CONTENT --fine_style=A --coarse_style=B       A's strokes in B's forms
  nstjax --demo                                        try it
  nstjax --list_presets                                the published settings
  nstjax --network --preset=coursera                   the network's table
"""

define_path(
    "output",
    None,
    f"Image to write ({', '.join(FORMATS)}), or a folder for several photos.",
)
path_flags.define_paths(
    "style",
    None,
    "A painting; with it, every argument is a photo or a folder of photos. Repeat it "
    "for several paintings.",
    separator=None,
)
flags.DEFINE_string(
    "preset", DEFAULT_PRESET, f"Published settings: {', '.join(PRESETS)}."
)
define_path(
    "weights",
    "auto",
    "auto (VGG-19 if it is found, else slim), vgg19, slim (bundled; what the preset "
    "quick takes), random, or the path of a .safetensors, .h5 or .mat file.",
)
define_settings()
flags.DEFINE_boolean("no_upscale", False, "Never paint larger than the photo.")
define_several("style_blend_weights", float, "Weights of the style images.")
define_several(
    "style_image_layers",
    str,
    "Style layers of each style image, + between them: relu1_1+relu2_1,all.",
)
define_path("fine_style", None, "Image whose strokes the style image is given first.")
define_path("coarse_style", None, "Image whose forms get the strokes of --fine_style.")
define_mask(
    "content_mask",
    "Regions of the photo: an image with a color for each, or grey masks a.png+b.png.",
)
define_masks("style_mask", "Regions of each style image, see --content_mask; or none.")
define_several(
    "style_regions",
    str,
    "Regions that each style image serves: all, or colors or numbers: white+2,all.",
)
define_several("region_weights", float, "Weights of the regions, one for each.")
define_path("stylize_mask", None, "Image that is black where the photo stays as it is.")
launcher.define_picture_flags()
flags.DEFINE_integer(
    *("seed", 0, "Seed of all that is random."), lower_bound=0, upper_bound=2**32 - 1
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
flags.DEFINE_float("preview_seconds", 5.0, "Seconds between previews; 0 for none.")
flags.DEFINE_float(
    "memory_gb", None, "Gigabytes of memory to use; a larger run goes by tiles."
)
flags.DEFINE_integer("tile", None, "Side of a tile in pixels, instead of --memory_gb.")
flags.DEFINE_string("mesh", None, "rows=N splits the image over N devices.")
launcher.define_process_flags()
flags.DEFINE_boolean("demo", False, "Run on a photo and a painting of nstjax's own.")
flags.DEFINE_boolean("list_presets", False, "Print the presets and stop.")
flags.DEFINE_boolean("network", False, "Print the network's table and stop.")
define_path("network_picture", None, "Draw the network to this image and stop.")

FLAGS = flags.FLAGS
QUICK = "quick"


def main(pictures: Sequence[str]) -> int:
    """Do what the flags say; returns the exit status."""
    demo = FLAGS.demo and FLAGS["preset"].using_default_value
    preset_name = QUICK if demo else FLAGS.preset
    preset = get_preset(preset_name)
    preset = read_settings(preset, {"montage": True} if FLAGS.demo else {})
    if FLAGS.list_presets:
        _print_presets()
        return 0
    if FLAGS.network or FLAGS.network_picture:
        _show_network(preset, FLAGS.network_picture, _given_pictures(pictures))
        return 0
    contents, styles = _contents_and_styles(pictures)
    if FLAGS.resume and not FLAGS.workdir:
        raise InputError("--resume needs the --workdir of the run to go on with")
    seconds = FLAGS.preview_seconds
    if not seconds >= 0:
        raise InputError(f"preview_seconds must be 0 or more, got {seconds}")
    launcher.join_processes_of_flags()
    content = contents[0] if contents else None
    request = _request(content, styles, preset, preset_name)
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


def _print_presets() -> None:
    print(f"{'preset':<19}{'optimizer':<10}{'steps':>5}  {'size':<14}source")
    for name, preset in PRESETS.items():
        rule, value = preset.image.size
        size = f"{value[1]}x{value[0]}" if isinstance(value, tuple) else str(value)
        print(
            f"{name:<19}{preset.optimizer.name:<10}{preset.steps:>5}  "
            f"{rule + ' ' + size:<14}{preset.source}"
        )


def _show_network(
    preset: Preset, picture: str | None, inputs: Sequence[str | None]
) -> None:
    """Print VGG-19's layers for a 4:3 photo of the preset's size, or draw them."""
    if picture:
        check_results(given=[picture], inputs=inputs)
        check_output(picture)
    height, width = output_size(300, 400, preset.image.size)
    padding = preset.network.pool_padding
    check_size(height, width, LAYERS[-1], padding)
    rows = summarize(height, width, pool_padding=padding)
    # Matplotlib takes a while to import, and writes a list of fonts.
    from nstjax.network.diagram import draw, table_text

    if FLAGS.network:
        print(table_text(rows))
    if picture:
        marked = (*preset.content_layers, *preset.style_layers)
        write_image(picture, draw(rows, marked))
        print(f"nstjax: wrote {picture}")


def _request(
    content: str | None, styles: Sequence[str], preset: Preset, preset_name: str
) -> Request:
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
        "preset_name": preset_name,
        "mesh": read_mesh(FLAGS.mesh),
        "controls": ControlFiles(**flag_values(ControlFiles) | controls),
        "outputs": Outputs(**flag_values(Outputs) | outputs),
    }
    if preset_name == QUICK and FLAGS["weights"].using_default_value:
        # VGG-19 takes ten times as long.
        given["weights"] = "slim"
    return Request(**flag_values(Request) | given)


def _given_pictures(pictures: Sequence[str]) -> list[str | None]:
    """Every picture that somebody names, whether or not it is read."""
    names = ("content_mask", "fine_style", "coarse_style", "stylize_mask", "init")
    given = [FLAGS[name].value for name in names] + (FLAGS.style_mask or [])
    paths: list[str | None] = [*pictures, *(FLAGS.style or ())]
    for mask in given:
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
    launcher.run_command("nstjax", __name__, USAGE, main)


if __name__ == "__main__":
    run()
