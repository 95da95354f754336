"""Small pictures, and presets whose problems are small and compile at once."""

import numpy as np
import reference

from nstjax.images.resizing import Size
from nstjax.presets.published import PRESETS
from nstjax.presets.settings import customize

# One convolution is enough where the layers do not matter, and compiles at once.
SHALLOW = {
    "content_layers": ("relu1_1",),
    "style_layers": ("conv1_1", "relu1_1"),
    "optimizer": "adam",
}
MEAN = np.float32(reference.MEAN_RGB)


def picture(seed, height, width):
    return np.random.default_rng(seed).random((height, width, 3), dtype=np.float32)


def network_units(image):
    return 255 * image - MEAN


def small(name, **overrides):
    """A preset whose size rule gives small pictures."""
    preset = PRESETS[name]
    value = (32, 40) if preset.image.size.rule == "exact" else 40
    return customize(preset, size=Size(preset.image.size.rule, value), **overrides)


def shallow(name="gatys2016", **overrides):
    return small(name, **{**SHALLOW, **overrides})
