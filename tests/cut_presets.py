"""Presets, and their published programs, that end early and so compile at once."""

import reference

from nstjax.presets.published import PRESETS
from nstjax.presets.settings import customize


def cut(name):
    """A preset whose layers end in the second block, and its program."""
    preset = PRESETS[name]
    content_layer = preset.content_layers[0].replace("4_2", "2_1")
    style_layers = preset.style_layers[:2]
    weights = preset.style_layer_weights[:2]
    program = reference.PROGRAMS[name]._replace(
        content_layer=content_layer, style_layers=style_layers, layer_weights=weights
    )
    preset = customize(
        preset,
        content_layers=(content_layer,),
        style_layers=style_layers,
        style_layer_weights=weights,
    )
    return preset, program
