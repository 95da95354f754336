"""The ``nstjax`` command's flags."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args, get_type_hints

from absl import flags

from nstjax.commands.launcher import (
    define_process_flags,
    join_processes_of_flags,
    run_command,
)
from nstjax.commands.path_flags import (
    define_mask,
    define_masks,
    define_path,
    define_paths,
)
from nstjax.commands.transfer import (
    draw_network,
    print_network,
    print_presets,
    transfer,
)
from nstjax.errors import InputError
from nstjax.images.resizing import parse_size
from nstjax.io.atomic import check_results
from nstjax.io.images import FORMATS
from nstjax.io.transparency import Transparency
from nstjax.optimization.sharding import read_mesh
from nstjax.presets.preset import INITS, Preset, customize, default_size_rule
from nstjax.presets.published import DEFAULT_PRESET, PRESETS, get_preset
from nstjax.runs.request import Request
from nstjax.runtime.processes import is_first_process
from nstjax.whole_number import is_whole_number

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
flags.DEFINE_string(
    "size",
    None,
    "Pixels: 512 (the preset's rule), long:512, short:512, area:512, width:512, "
    "640x480 (width by height) or original.",
)
flags.DEFINE_boolean("no_upscale", False, "Never paint larger than the photo.")
flags.DEFINE_integer("steps", None, "Updates of the image.")
flags.DEFINE_float("alpha", None, "Weight of the content loss.")
flags.DEFINE_float("beta", None, "Weight of the style loss.")
flags.DEFINE_float("tv", None, "Weight of the total variation.")
flags.DEFINE_list("content_layers", None, "Such as relu4_2 or conv4_2.")
flags.DEFINE_list("content_layer_weights", None, "One for each content layer.")
flags.DEFINE_list("style_layers", None, "Such as relu1_1,relu2_1,relu3_1.")
flags.DEFINE_list("style_layer_weights", None, "One for each style layer.")
flags.DEFINE_list("style_blend_weights", None, "One for each style image.")
flags.DEFINE_list(
    "style_image_layers",
    None,
    "Style layers of each style image, + between them: relu1_1+relu2_1,all.",
)
define_path("fine_style", None, "Image whose fine structure is mixed in first.")
define_path("coarse_style", None, "Its forms go with the strokes of --fine_style.")
flags.DEFINE_list("fine_layers", None, "Style layers that the fine style gives.")
flags.DEFINE_list(
    "fine_layers_refined",
    None,
    "Style layers that the fine style gives at a pyramid's later scales.",
)
flags.DEFINE_float("style_scale", None, "Size of the style images beside the photo's.")
define_mask(
    "content_mask",
    "Regions of the photo: an image with a color for each, or grey masks a.png+b.png.",
)
define_masks("style_mask", "Regions of each style image as --content_mask, or none.")
flags.DEFINE_list(
    "style_regions",
    None,
    "Regions of each style image: all, or colors or numbers, white+2.",
)
flags.DEFINE_list("region_weights", None, "One for each region.")
define_path("stylize_mask", None, "Image: where it is black the photo stays.")
flags.DEFINE_enum(
    "transparency",
    "flatten",
    get_args(Transparency),
    "Transparent parts of the photo: put on white, or kept in the result.",
)
flags.DEFINE_integer("guide_dilation", None, "Positions that regions grow at a layer.")
flags.DEFINE_list("pyramid_steps", None, "Updates of a pyramid's later scales.")
flags.DEFINE_integer("pyramid_min_size", None, "Least long side of a pyramid's scales.")
flags.DEFINE_list("adam_betas", None, "Adam's two decays, such as 0.9,0.99.")
flags.DEFINE_float("average_decay", None, "Of the moving average, for --keep=average.")
flags.DEFINE_boolean(
    "normalize_gradients",
    None,
    "Scale each layer's gradient to its weight; takes Adam.",
)
define_path(
    "init", None, f"Where to start: {', '.join(INITS)} or the path of an image."
)
flags.DEFINE_float("noise_ratio", None, "Share of noise with --init=blend.")
flags.DEFINE_string("optimizer", None, "adam, lbfgs or lbfgs-linesearch.")
flags.DEFINE_float("learning_rate", None, "Of the optimizer, in 0..255 units.")
flags.DEFINE_integer(
    "lbfgs_num_correction", None, "Steps that L-BFGS keeps in memory, two images each."
)
flags.DEFINE_boolean("clamp", None, "Keep the image displayable after each step.")
flags.DEFINE_integer("seed", 0, "Of the initial noise.")
flags.DEFINE_list("snapshots", None, "Steps whose image is written: 1,2,3,10,100.")
flags.DEFINE_boolean("montage", None, "Also write content, result, style side by side.")
define_path("workdir", None, "Folder for the log, snapshots and checkpoints.")
flags.DEFINE_boolean("resume", False, "Go on from the checkpoint in --workdir.")
flags.DEFINE_integer("checkpoint_every", 100, "Steps between checkpoints.")
flags.DEFINE_integer("log_every", 1, "Steps between lines of metrics.jsonl.")
flags.DEFINE_integer("quality", 95, "Of JPEG and WebP images, 1 to 100.")
flags.DEFINE_float("preview_seconds", 5.0, "Between previews; 0 for none.")
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

# Settings that are one of some names.
CHOICES = {
    "pool": "Pooling of the network.",
    "pool_padding": "Odd sizes: rounded down or up.",
    "image_padding": "What the network sees past the image's border.",
    "precision": "Of the network's convolutions; mixed is faster.",
    "style_loss": "Which statistic of the style is matched.",
    "tv_form": "How the total variation is written.",
    "color": "Whose colors: the style's, or the photo's in one of two ways.",
    "color_when": "Colors are seen to before the transfer or after it.",
    "color_space": "Where --color=luminance finds the luminance.",
    "color_match": "How --color=match matches.",
    "luminance_match": "What of the luminance is matched with --color=luminance.",
    "guide_mode": "Positions that belong to a region: by share, or by what they see.",
    "pyramid": "Coarse to fine; auto: for sizes over 512.",
    "pyramid_moments": "Adam's moments between scales.",
    "keep": "Which image is the result.",
}
for name, text in CHOICES.items():
    flags.DEFINE_enum(name, None, get_args(get_type_hints(Preset)[name]), text)

FLAGS = flags.FLAGS
PRESET_FLAGS = (
    "steps", "alpha", "beta", "tv", "init", "noise_ratio", "optimizer",
    "learning_rate", "lbfgs_num_correction", "clamp", "montage", "style_scale",
    "guide_dilation", "pyramid_min_size", "average_decay", "normalize_gradients",
    "fine_layers", "fine_layers_refined", *CHOICES,
)  # fmt: skip
# A demo is to be over soon. With 10 pairs its loss ends within 2 % of that with 100.
DEMO_SETTINGS = {"montage": True, "steps": 200, "lbfgs_num_correction": 10}


def main(pictures: Sequence[str]) -> int:
    """Do what the flags say; returns the exit status."""
    preset = get_preset(FLAGS.preset)
    overrides: dict[str, Any] = {name: FLAGS[name].value for name in PRESET_FLAGS}
    overrides["adam_betas"] = _numbers("adam_betas")
    overrides["pyramid_steps"] = _whole_numbers("pyramid_steps")
    if FLAGS.size is not None:
        overrides["size"] = parse_size(FLAGS.size, default_size_rule(preset))
    for kind in ("content", "style"):
        layers = FLAGS[f"{kind}_layers"].value
        overrides[f"{kind}_layers"] = layers and tuple(layers)
        overrides[f"{kind}_layer_weights"] = _numbers(f"{kind}_layer_weights")
    if FLAGS.demo:
        for name, value in DEMO_SETTINGS.items():
            if FLAGS[name].value is None:
                overrides[name] = value
    settings = customize(preset, **overrides)

    if FLAGS.list_presets:
        print_presets()
        return 0
    if FLAGS.network or FLAGS.network_picture:
        if FLAGS.network:
            print_network(settings)
        if FLAGS.network_picture:
            check_results(
                given=[FLAGS.network_picture], inputs=_given_pictures(pictures)
            )
            draw_network(settings, FLAGS.network_picture)
        return 0
    contents, styles = _contents_and_styles(pictures)
    if FLAGS.resume and not FLAGS.workdir:
        raise InputError("--resume needs the --workdir of the run to go on with")
    if FLAGS.seed is None or not 0 <= FLAGS.seed < 2**32:
        raise InputError(f"seed must lie in 0..{2**32 - 1}, got {FLAGS.seed}")
    for name in ("checkpoint_every", "log_every"):
        interval = FLAGS[name].value
        if interval is None or interval < 1:
            raise InputError(f"{name} must be 1 or more, got {interval}")
    if not 1 <= FLAGS.quality <= 100:
        raise InputError(f"quality must lie in 1..100, got {FLAGS.quality}")
    if not FLAGS.preview_seconds >= 0:
        raise InputError(
            f"preview_seconds must be 0 or more, got {FLAGS.preview_seconds}"
        )
    workdir = Path(FLAGS.workdir) if FLAGS.workdir else None
    join_processes_of_flags()
    default_name = "demo.png" if FLAGS.demo else "stylized.png"
    request = Request(
        content=contents[0] if contents else None,
        styles=styles,
        preset=settings,
        preset_name=FLAGS.preset,
        weights=FLAGS.weights,
        output=Path(FLAGS.output or (workdir or Path()) / default_name),
        seed=FLAGS.seed,
        fine_style=FLAGS.fine_style or None,
        style_blend_weights=_numbers("style_blend_weights"),
        style_image_layers=_style_image_layers(),
        content_mask=FLAGS.content_mask,
        style_masks=FLAGS.style_mask and tuple(FLAGS.style_mask),
        style_regions=_optional(str.strip, FLAGS.style_regions),
        region_weights=_numbers("region_weights"),
        stylize_mask=FLAGS.stylize_mask or None,
        snapshots=tuple(sorted(set(_whole_numbers("snapshots") or ()))),
        workdir=workdir,
        resume=FLAGS.resume,
        checkpoint_every=FLAGS.checkpoint_every,
        log_every=FLAGS.log_every,
        quality=FLAGS.quality,
        preview_seconds=FLAGS.preview_seconds,
        quiet=FLAGS.quiet or not is_first_process(),
        mesh=read_mesh(FLAGS.mesh),
        tile=FLAGS.tile,
        memory_gb=FLAGS.memory_gb,
        no_upscale=FLAGS.no_upscale,
        transparency=FLAGS.transparency,
    )
    output = Path(FLAGS.output) if FLAGS.output else None
    # With --style there may be one photo or many, as a pattern of the shell has it.
    to_folder = FLAGS.style and output and output.suffix.lower() not in FORMATS
    if len(contents) > 1 or to_folder or any(map(os.path.isdir, contents)):
        # Finding out what a folder holds takes modules that one photo does not.
        from nstjax.commands.photos import paint_photos

        return paint_photos(request, contents, output)
    if output is None:
        check_results([request.output])
    return transfer(request)


def _given_pictures(pictures: Sequence[str]) -> list[str | None]:
    """Every picture that somebody names, whether or not it is read."""
    masks = [FLAGS.content_mask, *(FLAGS.style_mask or ())]
    grey = [part for mask in masks if isinstance(mask, tuple) for part in mask]
    maps = [mask for mask in masks if not isinstance(mask, tuple)]
    names = ("fine_style", "coarse_style", "stylize_mask", "init")
    single = [FLAGS[name].value for name in names]
    return [*pictures, *(FLAGS.style or ()), *grey, *maps, *single]


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


def _numbers(name: str) -> tuple[float, ...] | None:
    texts = FLAGS[name].value
    if texts is None:
        return None
    try:
        return tuple(float(text) for text in texts)
    except ValueError:
        raise InputError(
            f"{name} must be numbers with commas between, got {','.join(texts)}"
        ) from None


def _whole_numbers(name: str) -> tuple[int, ...] | None:
    given: list[str] | None = FLAGS[name].value
    if given is None:
        return None
    texts = [text.strip() for text in given]
    if not all(map(is_whole_number, texts)):
        raise InputError(
            f"{name} must be steps such as 1,2,3,10,100, got {','.join(texts)}"
        )
    return tuple(int(text) for text in texts)


def _style_image_layers() -> tuple[tuple[str, ...] | None, ...] | None:
    def layers(text: str) -> tuple[str, ...] | None:
        return None if text == "all" else tuple(text.split("+"))

    return _optional(layers, FLAGS.style_image_layers)


def _optional(
    read: Callable[[str], Any], texts: Sequence[str] | None
) -> tuple[Any, ...] | None:
    return None if texts is None else tuple(read(text.strip()) for text in texts)


def run() -> None:
    """Entry point of the console script and of ``python -m nstjax``."""
    run_command("nstjax", __name__, USAGE, main)
