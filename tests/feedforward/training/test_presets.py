"""The published programs' numbers, and architectures as plain data."""

import dataclasses
import json
import math

import pytest

from nstjax.errors import InputError
from nstjax.feedforward.networks.architecture import (
    AdaINArchitecture,
    TransformArchitecture,
    from_record,
    to_record,
)
from nstjax.feedforward.training.data import CropRule
from nstjax.feedforward.training.presets import TRAINING_PRESETS, get_training_preset
from nstjax.presets.settings import customize, settings_of

VGG16_STYLE = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
VGG19_STYLE = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
COCO_PHOTOS = 82_783

# As the programs' code has it.
SIZES = {"channels": (32, 64, 128), "residual_blocks": 5}
JOHNSON_NETWORK = {
    **SIZES,
    "epsilon": 1e-5,
    "normalize_output": False,
    "bias": True,
    "padding": "reflect-start",
    "upsampling": "transpose-torch",
    "pixels": "0..255 minus mean",
    "output": "tanh",
    "initialization": "fan-in",
}
NETWORKS = {
    "johnson-in": {**JOHNSON_NETWORK, "width": 0.5, "normalization": "instance"},
    "johnson-bn": {**JOHNSON_NETWORK, "width": 1.0, "normalization": "batch"},
    "pytorch-fns": {
        **SIZES,
        "width": 1.0,
        "normalization": "instance",
        "epsilon": 1e-5,
        "normalize_output": False,
        "bias": True,
        "padding": "reflect",
        "upsampling": "nearest",
        "pixels": "0..255",
        "output": "linear",
        "initialization": "fan-in",
    },
    "lengstrom": {
        **SIZES,
        "width": 1.0,
        "normalization": "instance",
        "epsilon": 1e-3,
        "normalize_output": True,
        "bias": False,
        "padding": "zero",
        "upsampling": "transpose-tensorflow",
        "pixels": "0..255",
        "output": "tanh",
        "initialization": "truncated-normal",
    },
    "cin-dumoulin": {
        **SIZES,
        "width": 1.0,
        "normalization": "conditional",
        "epsilon": 1e-5,
        "normalize_output": True,
        "bias": False,
        "padding": "reflect",
        "upsampling": "nearest",
        "pixels": "0..1",
        "output": "sigmoid",
        "initialization": "normal",
    },
    "adain": {
        "encoder_channels": 512,
        "channels": (256, 128, 64),
        "upsampling": "nearest",
        # PyTorch's own.
        "initialization": "fan-in",
    },
}
JOHNSON_LOSS = {
    "content_layers": ("relu3_3",),
    "style_layers": VGG16_STYLE,
    "gram_normalization": "chw",
    "alpha": 1.0,
    "beta": 5.0,
    # Of a sum over the batch there; a mean over its four pictures here.
    "tv": 4 * 1e-6,
    "tv_form": "squared",
    "pool": "max",
}
LOSSES = {
    "johnson-in": JOHNSON_LOSS,
    "johnson-bn": JOHNSON_LOSS,
    "pytorch-fns": {
        "content_layers": ("relu2_2",),
        "style_layers": VGG16_STYLE,
        "gram_normalization": "chw",
        # Content grows as the square of the pixels, and style as the fourth power.
        "alpha": pytest.approx(1e5 * 255.0**-2),
        "beta": pytest.approx(1e10 * 255.0**-4),
        "tv": 0.0,
        "pool": "max",
    },
    "lengstrom": {
        "content_layers": ("relu4_2",),
        "style_layers": VGG19_STYLE,
        "gram_normalization": "chw",
        "alpha": 7.5,
        "beta": 100.0,
        # 200 · 2 · (½ mean dx² + ½ mean dy²).
        "tv": 200.0,
        "tv_form": "mean_squared",
        "pool": "max",
        "pool_padding": "same",
    },
    "cin-dumoulin": {
        "content_layers": ("relu3_3",),
        "style_layers": VGG16_STYLE,
        "gram_normalization": "hw",
        "alpha": 1.0,
        "beta": 1e-4,
        "tv": 0.0,
        "pool": "avg",
    },
    "adain": {
        "content_layers": ("relu4_1",),
        "style_layers": VGG19_STYLE[:4],
        "style_loss": "moments",
        "style_normalization": "unscaled",
        "alpha": 1.0,
        "beta": 10.0,
        "tv": 0.0,
        "pool": "max",
        "pool_padding": "same",
    },
}
# Crop, size, batch size, updates, learning rate, decay.
TRAININGS = {
    "johnson-in": ("squash", 256, 4, 40_000, 1e-3, 0.0),
    "johnson-bn": ("squash", 256, 4, 40_000, 1e-3, 0.0),
    # Two epochs, the last batch whole or not, and whole batches only.
    "pytorch-fns": ("center", 256, 4, 2 * math.ceil(COCO_PHOTOS / 4), 1e-3, 0.0),
    "lengstrom": ("squash", 256, 4, 2 * (COCO_PHOTOS // 4), 1e-3, 0.0),
    "cin-dumoulin": ("center", 256, 16, 40_000, 1e-3, 0.0),
    "adain": ("random", 256, 8, 160_000, 1e-4, 5e-5),
}


@pytest.mark.parametrize("name", TRAINING_PRESETS)
def test_a_preset_has_the_published_numbers(name):
    preset = get_training_preset(name)
    architecture = dataclasses.asdict(preset.architecture)
    assert architecture == {
        **({} if name == "adain" else {"styles": 1}),
        **NETWORKS[name],
    }
    loss = {field: settings_of(preset.loss)[field] for field in LOSSES[name]}
    assert loss == LOSSES[name]
    ones = (1.0,) * len(preset.loss.style_layers)
    assert preset.loss.style_layer_weights == ones
    assert preset.loss.content_layer_weights == (1.0,)
    assert preset.loss.loss.content_normalization == "mean"
    assert preset.loss.loss.style.style_normalization in ("mean", "unscaled")
    rule, size, *training = TRAININGS[name]
    assert preset.crop == CropRule(rule, size)
    fields = (preset.batch_size, preset.steps, preset.learning_rate, preset.decay)
    assert fields == tuple(training)
    # Its loss is one that a run would take.
    customize(preset.loss)


def test_an_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(InputError) as caught:
        get_training_preset("Adain")
    assert str(caught.value) == (
        "unknown training preset 'Adain': known are johnson-in, johnson-bn, "
        "pytorch-fns, lengstrom, cin-dumoulin, adain"
    )


@pytest.mark.parametrize("name", TRAINING_PRESETS)
def test_an_architecture_comes_back_from_json(name):
    architecture = TRAINING_PRESETS[name].architecture
    record = json.loads(json.dumps(to_record(architecture)))
    assert record["kind"] == ("adain" if name == "adain" else "transform")
    assert from_record(record) == architecture
    changed = dataclasses.replace(architecture, channels=(7, 8, 9))
    assert from_record(json.loads(json.dumps(to_record(changed)))) == changed
    assert from_record(record) != changed


def assert_one_line(error, *words):
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message


CONDITIONAL = {"normalization": "conditional"}


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
        ({"epsilon": math.nan}, "epsilon must be above 0 and at most 1, got nan"),
        ({"epsilon": "x"}, "epsilon must be a number, got 'x'"),
        ({"residual_blocks": 51}, "residual_blocks must lie in 0..50, got 51"),
        ({"residual_blocks": 1.5}, "residual_blocks must be a whole number, got 1.5"),
        ({"channels": (32, 64)}, "channels must be three whole numbers, got (32, 64)"),
        ({"channels": (0, 8, 8)}, "channels must lie in 1..1024, got 0"),
        ({"channels": (8, 8, 1025)}, "channels must lie in 1..1024, got 1025"),
        ({"channels": (8, 8.5, 8)}, "channels must be three whole numbers"),
        ({"channels": 8}, "channels must be three whole numbers, got 8"),
        ({"styles": 2}, "2 styles need normalization=conditional, not instance"),
        ({"styles": 257, **CONDITIONAL}, "styles must lie in 1..256, got 257"),
        ({"styles": 2.0, **CONDITIONAL}, "styles must be a whole number, got 2.0"),
    ],
)
def test_a_network_that_cannot_be_built_is_refused(fields, words):
    with pytest.raises(InputError) as error:
        from_record({"kind": "transform", **fields})
    assert_one_line(error, words)


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
        None,
        [],
        "transform",
        {},
        {"channels": [8, 8, 8]},
        {"kind": "unet"},
        {"kind": ["transform"]},
        {"kind": {}},
        {"kind": "adain", "width": 0.5},
        {"kind": "transform", "depth": 3},
    ],
)
def test_a_record_of_something_else_is_refused(record):
    with pytest.raises(InputError, match="no architecture that is known here") as error:
        from_record(record)
    assert_one_line(error)


@pytest.mark.parametrize(
    "rule, size, words", [("round", 16, "one of squash, "), ("center", 0, "at least 1")]
)
def test_a_crop_rule_that_cuts_nothing_is_refused(rule, size, words):
    with pytest.raises(InputError, match=words) as error:
        CropRule(rule, size)
    assert_one_line(error)
