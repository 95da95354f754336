"""The published programs' numbers, and architectures as plain data."""

import math
import re

import pytest

from nstjax.errors import InputError
from nstjax.feedforward.networks.architecture import (
    AdaINArchitecture,
    TransformArchitecture,
    from_record,
)
from nstjax.feedforward.training.data import CropRule
from nstjax.feedforward.training.presets import TRAINING_PRESETS
from nstjax.presets.settings import customize, settings_of

VGG16_STYLE = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
VGG19_STYLE = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
FIELDS = ("content_layers", "style_layers", "alpha", "beta", "tv", "pool")
# TV of a sum over the batch there; a mean over its four pictures here.
JOHNSON_LOSS = (("relu3_3",), VGG16_STYLE, 1.0, 5.0, 4 * 1e-6, "max")
LOSSES = {
    "johnson-in": JOHNSON_LOSS,
    "johnson-bn": JOHNSON_LOSS,
    "pytorch-fns": (
        *(("relu2_2",), VGG16_STYLE),
        # Content grows as the square of the pixels, and style as the fourth power.
        pytest.approx(1e5 * 255.0**-2),
        pytest.approx(1e10 * 255.0**-4),
        *(0.0, "max"),
    ),
    # 200 · 2 · (½ mean dx² + ½ mean dy²).
    "lengstrom": (("relu4_2",), VGG19_STYLE, 7.5, 100.0, 200.0, "max"),
    "cin-dumoulin": (("relu3_3",), VGG16_STYLE, 1.0, 1e-4, 0.0, "avg"),
    "adain": (("relu4_1",), VGG19_STYLE[:4], 1.0, 10.0, 0.0, "max"),
    "descent": (("relu4_2",), VGG19_STYLE[:4], 1.0, 40.0, 5e-5, "max"),
}
CHW = {"gram_normalization": "chw"}
FORMS = {
    "johnson-in": {"tv_form": "squared", **CHW},
    "johnson-bn": {"tv_form": "squared", **CHW},
    "pytorch-fns": CHW,
    "lengstrom": {"tv_form": "mean_squared", "pool_padding": "same", **CHW},
    "cin-dumoulin": {"gram_normalization": "hw"},
    "adain": {
        "style_loss": "moments",
        "style_normalization": "unscaled",
        "pool_padding": "same",
    },
    "descent": {
        "content_normalization": "relative",
        "style_normalization": "relative",
        "tv_form": "mean_squared",
        "pool_padding": "same",
    },
}
# Crop, size, batch size, updates, learning rate, decay, initialization.
TRAININGS = {
    "johnson-in": ("squash", 256, 4, 40_000, 1e-3, 0.0, "fan-in"),
    "johnson-bn": ("squash", 256, 4, 40_000, 1e-3, 0.0, "fan-in"),
    # Two epochs of COCO, 20,695 batches and three photos, which are left out or not.
    "pytorch-fns": ("center", 256, 4, 2 * 20_696, 1e-3, 0.0, "fan-in"),
    "lengstrom": ("squash", 256, 4, 2 * 20_695, 1e-3, 0.0, "truncated-normal"),
    "cin-dumoulin": ("center", 256, 16, 40_000, 1e-3, 0.0, "normal"),
    "adain": ("random", 256, 8, 160_000, 1e-4, 5e-5, "fan-in"),
    "descent": ("random", 256, 2, 40_000, 1e-3, 1e-4, None),
}


@pytest.mark.parametrize("name", TRAINING_PRESETS)
def test_a_preset_has_the_published_numbers(name):
    # What its network computes and how large it is, test_networks tells.
    preset = TRAINING_PRESETS[name]
    settings = settings_of(preset.loss)
    assert tuple(settings[field] for field in FIELDS) == LOSSES[name]
    assert settings | FORMS[name] == settings
    assert preset.loss.content_layer_weights == (1.0,)
    if name == "descent":
        assert sum(preset.loss.style_layer_weights) == 1.0
    else:
        ones = (1.0,) * len(preset.loss.style_layers)
        assert preset.loss.style_layer_weights == ones
        assert preset.loss.loss.content_normalization == "mean"
        assert preset.loss.loss.style.style_normalization in ("mean", "unscaled")
    initialization = getattr(preset.architecture, "initialization", None)
    assert TRAININGS[name] == (
        *(preset.crop.rule, preset.crop.size, preset.batch_size, preset.steps),
        *(preset.learning_rate, preset.decay, initialization),
    )
    if name in ("cin-dumoulin", "adain"):
        assert preset.architecture.upsampling == "nearest"
    # Its loss is one that a run would take.
    customize(preset.loss)


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"normalization": "layer"}, "normalization must be one of instance, batch, "),
        ({"padding": "replicate"}, "padding must be one of reflect, zero, "),
        ({"upsampling": ["nearest"]}, "upsampling must be one of nearest, "),
        ({"output": "relu"}, "output must be one of linear, tanh, sigmoid, got 'relu'"),
        ({"bias": 1}, "bias must be True or False, got 1"),
        ({"width": 0}, "width must be above 0 and at most 1024, got 0"),
        ({"width": math.nan}, "width must be above 0 and at most 1024, got nan"),
        ({"width": "half"}, "width must be a number, got 'half'"),
        ({"width": 0.001}, "channels times width 0.001 must lie in 1..1024, got 0"),
        ({"width": 9.0}, "channels times width 9.0 must lie in 1..1024, got 1152"),
        ({"epsilon": 1.5}, "epsilon must be above 0 and at most 1, got 1.5"),
        ({"residual_blocks": 51}, "residual_blocks must lie in 0..50, got 51"),
        ({"residual_blocks": 1.5}, "residual_blocks must be a whole number, got 1.5"),
        ({"channels": (32,)}, "count of channels must lie in 2..5, got 1"),
        ({"channels": 32}, "channels must be whole numbers, got 32"),
        ({"channels": (8, 8, 1025)}, "channels must lie in 1..1024, got 1025"),
        ({"channels": (8, 8.5, 8)}, "channels must be whole numbers"),
        ({"styles": 2}, "2 styles need normalization=conditional, not instance"),
        (
            {"styles": 257, "normalization": "conditional"},
            "styles must lie in 1..256, got 257",
        ),
    ],
)
def test_a_network_that_cannot_be_built_is_refused(fields, words):
    with pytest.raises(InputError, match=re.escape(words)):
        from_record({"kind": "transform", **fields})


def test_a_decoder_that_cannot_be_built_is_refused():
    for fields in ({"encoder_channels": 0}, {"upsampling": "transpose-torch"}):
        with pytest.raises(InputError, match=r"must (lie in|be one of)"):
            AdaINArchitecture(**fields)


def test_channels_are_multiplied_by_the_width_and_rounded():
    channels = TransformArchitecture(channels=(3, 10, 32), width=0.25).widened_channels
    assert channels == (1, 2, 8)


@pytest.mark.parametrize(
    "record",
    [
        *(None, [], "transform", {}, {"channels": [8, 8, 8]}),
        *({"kind": kind} for kind in ("unet", ["transform"], {})),
        *({"kind": "adain", "width": 0.5}, {"kind": "transform", "depth": 3}),
    ],
)
def test_a_record_of_something_else_is_refused(record):
    with pytest.raises(InputError, match="no architecture that is known here"):
        from_record(record)


@pytest.mark.parametrize(
    "rule, size, words", [("round", 16, "one of squash, "), ("center", 0, "at least 1")]
)
def test_a_crop_rule_that_cuts_nothing_is_refused(rule, size, words):
    with pytest.raises(InputError, match=words):
        CropRule(rule, size)
