"""A preset's settings as flags: a line for each, of the type that its field has."""

from collections.abc import Iterable, Mapping
from typing import Any, get_args, get_origin

from absl import flags

from nstjax.commands.path_flags import Parser, define_path
from nstjax.images.resizing import Size, parse_size
from nstjax.presets.preset import INITS, Preset
from nstjax.presets.settings import (
    customize,
    default_size_rule,
    setting_choices,
    setting_types,
)
from nstjax.whole_number import is_whole_number

# What this module defines belongs to the command that asks for it.
flags.disclaim_key_flags()

SETTINGS = {
    "size": "Pixels: 512 (the preset's rule), long:512, short:512, area:512, "
    "width:512, 640x480 (width by height) or original.",
    "steps": "Updates of the image.",
    "alpha": "Weight of the content loss.",
    "beta": "Weight of the style loss.",
    "tv": "Weight of the total variation.",
    "content_layers": "Layers of the content loss, such as relu4_2 or conv4_2.",
    "content_layer_weights": "Weights of the content layers, one for each.",
    "style_layers": "Layers of the style loss, such as relu1_1,relu2_1,relu3_1.",
    "style_layer_weights": "Weights of the style layers, one for each.",
    "style_loss": "Which statistic of the style is matched.",
    "tv_form": "How the total variation is written.",
    "normalize_gradients": "Scale each layer's gradient to its weight; takes Adam.",
    "pool": "Pooling of the network.",
    "pool_padding": "Pooling of odd sizes: rounded down or up.",
    "image_padding": "What the network sees past the image's border.",
    "precision": "Precision of the network's convolutions; mixed is faster.",
    "init": f"Where to start: {', '.join(INITS)} (the picture of nstjax-fast) or the "
    "path of an image.",
    "noise_ratio": "Share of noise with --init=blend.",
    "optimizer": "What updates the image.",
    "learning_rate": "Learning rate of the optimizer, in 0..255 units.",
    "lbfgs_num_correction": "Steps that L-BFGS keeps in memory, two images each.",
    "adam_betas": "Adam's two decays, such as 0.9,0.99.",
    "clamp": "Keep the image displayable after each step.",
    "style_scale": "Size of the style images beside the photo's.",
    "color": "Whose colors: the style's, or the photo's in one of two ways.",
    "color_when": "Whether colors are changed before the transfer or after it.",
    "color_space": "Where --color=luminance finds the luminance.",
    "color_match": "How --color=match matches.",
    "luminance_match": "What of the luminance is matched with --color=luminance.",
    "guide_mode": "Positions that belong to a region: by share, or by what they see.",
    "guide_dilation": "Positions that regions grow at a layer.",
    "fine_layers": "Style layers that the fine style gives.",
    "fine_layers_refined": "Style layers that the fine style gives at a pyramid's "
    "later scales.",
    "pyramid": "Coarse to fine; auto: for sizes over 512.",
    "pyramid_steps": "Updates of a pyramid's later scales.",
    "pyramid_min_size": "Least long side of a pyramid's scales.",
    "pyramid_moments": "Adam's moments between a pyramid's scales.",
    "keep": "Which image is the result.",
    "average_decay": "Decay of the moving average, for --keep=average.",
    "montage": "Also write content, result, style side by side.",
}
DEFINE: dict[Any, Any] = {
    bool: flags.DEFINE_boolean,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    float | None: flags.DEFINE_float,
    str: define_path,
    Size: flags.DEFINE_string,
}


def define_settings(names: Iterable[str] = SETTINGS) -> None:
    """Define a flag for each setting; what is not given is the preset's."""
    types = setting_types()
    for name in names:
        text = SETTINGS[name]
        if choices := setting_choices(name):
            flags.DEFINE_enum(name, None, choices, text)
        elif get_origin(types[name]) is tuple:
            define_several(name, get_args(types[name])[0], text)
        else:
            DEFINE[types[name]](name, None, text)


def read_settings(preset: Preset, defaults: Mapping[str, Any]) -> Preset:
    """The preset with the settings that were given by flags, else with the other ones.

    Raises:
      InputError: a setting that no run could use.
    """
    defined = (name for name in SETTINGS if name in flags.FLAGS)
    given: dict[str, Any] = {name: flags.FLAGS[name].value for name in defined}
    given = {name: value for name, value in given.items() if value is not None}
    if "size" in given:
        given["size"] = parse_size(given["size"], default_size_rule(preset))
    return customize(preset, **{**defaults, **given})


def define_several(name: str, kind: type, help_text: str) -> None:
    """Define a flag that is a tuple of texts, numbers or whole numbers of 0 or more."""

    def parse(text: str) -> tuple[Any, ...]:
        texts = [part.strip() for part in text.split(",")] if text else []
        if kind is int and not all(map(is_whole_number, texts)):
            raise ValueError(f"{name} must be whole numbers such as 1,2,3,10,100")
        try:
            return tuple(map(kind, texts))
        except ValueError:
            raise ValueError(f"{name} must be numbers with commas between") from None

    flags.DEFINE(Parser(parse), name, None, help_text)
