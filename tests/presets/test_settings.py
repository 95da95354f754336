import dataclasses
import fnmatch

import numpy as np
import pytest
from style_distances import LOSSES, SAMPLED

from nstjax.errors import InputError
from nstjax.images.resizing import Size
from nstjax.presets.published import CONV_STYLE_LAYERS, PRESETS, get_preset
from nstjax.presets.settings import (
    customize,
    learning_rate_of,
    loss_structure,
    nested,
    setting_choices,
    settings_of,
    with_settings,
)

PRESET = PRESETS["gatys2016"]
CHOICES = {
    name: setting_choices(name)
    for name in settings_of(PRESET)
    if setting_choices(name) and name != "optimizer"
}


@pytest.mark.parametrize("name", PRESETS)
def test_customize_fills_in_the_programs_learning_rate(name):
    preset = PRESETS[name]
    rate = learning_rate_of(preset)
    assert customize(preset) == dataclasses.replace(preset, learning_rate=rate)
    published = {"johnson2015": 10, "neural-style-pt": 1, "athalye": 10}
    adam = published.get(name, 5.1 if name.startswith("crowson") else 2)
    assert customize(preset, optimizer="adam").learning_rate == adam
    assert customize(preset, optimizer="lbfgs").learning_rate == 1
    assert customize(preset, learning_rate=0.5).learning_rate == 0.5


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("style_loss", LOSSES)
def test_sampled_style_losses_are_optimized_with_adam(name, style_loss):
    preset = customize(PRESETS[name], style_loss=style_loss)
    assert preset.loss.style.style_loss == style_loss
    expected = "adam" if style_loss in SAMPLED else PRESETS[name].optimizer.name
    assert preset.optimizer.name == expected
    assert preset.learning_rate == learning_rate_of(
        customize(PRESETS[name], optimizer=expected)
    )
    own = customize(PRESETS[name], style_loss=style_loss, learning_rate=0.5)
    assert (own.optimizer.name, own.learning_rate) == (expected, 0.5)


@pytest.mark.parametrize("optimizer", ["lbfgs", "lbfgs-linesearch"])
@pytest.mark.parametrize("style_loss", SAMPLED)
def test_sampled_style_losses_refuse_lbfgs(style_loss, optimizer):
    message = f"style_loss={style_loss} draws other samples .* choose optimizer=adam"
    with pytest.raises(InputError, match=message):
        customize(PRESET, style_loss=style_loss, optimizer=optimizer)
    # The same in two goes.
    with pytest.raises(InputError, match=message):
        customize(customize(PRESET, style_loss=style_loss), optimizer=optimizer)


def test_normalized_gradients_take_adam_unless_told_otherwise():
    preset = customize(PRESET, normalize_gradients=True)
    assert (preset.optimizer.name, preset.learning_rate) == ("adam", 2.0)
    asked = customize(PRESET, normalize_gradients=True, optimizer="lbfgs")
    assert asked.optimizer.name == customize(asked).optimizer.name == "lbfgs"


@pytest.mark.parametrize("name", CHOICES)
def test_customize_takes_each_choice_and_no_other(name):
    for choice in CHOICES[name]:
        # Adam serves every style loss.
        customized = customize(PRESET, **{"optimizer": "adam", name: choice})
        assert settings_of(customized)[name] == choice
    with pytest.raises(InputError) as caught:
        customize(PRESET, **{name: "nonsense"})
    assert str(caught.value) == (
        f"{name} must be one of {', '.join(CHOICES[name])}, got 'nonsense'"
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pyramid_steps": ()}, "pyramid_steps is empty: give one number or more"),
        ({"pyramid_steps": (200, 0)}, "pyramid_steps must lie in 1..100000000, *got 0"),
        ({"pyramid_steps": (1.5,)}, "pyramid_steps must *, a whole number, got 1.5"),
        ({"steps": 2**31}, "steps must *, a whole number, got 2147483648"),
        ({"guide_dilation": 101}, "guide_dilation must lie in -100..100, *got 101"),
        ({"lbfgs_num_correction": 1001}, "lbfgs_num_correction must lie in 1..1000, *"),
        ({"style_scale": 0.04}, "style_scale must lie in 0.05..20, got 0.04"),
        ({"style_scale": np.nan}, "style_scale must lie in 0.05..20, got nan"),
        ({"average_decay": 1.0}, "average_decay must lie in 0..0.999999, got 1.0"),
        ({"adam_betas": (np.nan, 0.9)}, "adam_betas must lie in 0..0.999999, got nan"),
        ({"adam_betas": (0.9,)}, "adam_betas must be two numbers, got (0.9,)"),
        ({"fine_layers": ("relu6_1",)}, "unknown layer 'relu6_1': layers are convB_I*"),
        ({"fine_layers_refined": ("relu1_1", "relu1_1")}, "*or more different names*"),
        ({"style_layers": ("relu6_1",)}, "unknown layer 'relu6_1'*"),
        ({"style_layers": ()}, "*one or more*"),
        ({"style_layer_weights": (1, 2)}, "*2 values for 5 style layers*"),
        (
            {"content_layers": ("relu4_2",), "content_layer_weights": (1, 2)},
            "*2 values for 1 content layers*",
        ),
        ({"style_layer_weights": (1, 1, 1, 1, np.nan)}, "style_layer_weights must be*"),
        ({"content_layer_weights": (-1,)}, "content_layer_weights must be*"),
        ({"beta": np.inf}, "beta must be a finite number*"),
        ({"tv": -1e-3}, "tv must be a finite number of 0 or more*"),
        ({"noise_scale": -1}, "noise_scale must be*"),
        ({"alpha": 0, "beta": 0}, "alpha and beta are both 0*"),
        ({"learning_rate": 0.0}, "learning_rate is 0*"),
        ({"learning_rate": -1.0}, "learning_rate must be*"),
        ({"noise_ratio": 0.5}, "noise_ratio needs init=blend*"),
        ({"init": "blend", "noise_ratio": 1.01}, "noise_ratio must lie in 0..1*"),
        ({"optimizer": "sgd"}, "unknown optimizer 'sgd'*"),
        ({"gamma": 1.0}, "unknown setting 'gamma'*"),
        ({"steps": "10"}, "steps must lie in 1..100000000, a whole number, got '10'"),
        ({"pyramid_steps": 5}, "pyramid_steps must be a tuple of numbers, got 5"),
    ],
)
def test_customize_refuses_in_one_line(settings, message):
    with pytest.raises(InputError) as caught:
        customize(PRESET, **settings)
    assert fnmatch.fnmatchcase(str(caught.value), message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        *(("pyramid_steps", [(1, 2, 3)]), ("guide_dilation", [-100, 100])),
        *(("style_scale", [0.05, 20]), ("average_decay", [0.0])),
        ("adam_betas", [(0.0, 0.5)]),
    ],
)
def test_customize_accepts_the_ends_of_each_range(name, values):
    for value in values:
        assert settings_of(customize(PRESET, **{name: value}))[name] == value


def test_customize_takes_lists_for_tuples():
    # Compiled steps are kept by their settings, which lists cannot be.
    settings = {
        "adam_betas": [0.5, 0.9],
        "pyramid_steps": [3, 2],
        "style_layers": ["relu1_1"],
        "style_layer_weights": [2.0],
        "fine_layers": ["relu1_1"],
    }
    preset = customize(PRESET, **settings)
    for name, value in settings.items():
        assert settings_of(preset)[name] == tuple(value)


# From the published code; what decides the loss is tested against its formulas.
PUBLISHED = {
    "gatys2017-color": {
        **{"size": Size("area", 512), "optimizer": "lbfgs", "steps": 500},
        "pyramid_steps": (200,),
    },
    "crowson2021": {"adam_betas": (0.9, 0.999), "resample": "lanczos"},
    "crowson2023": {
        **{"optimizer": "adam", "adam_betas": (0.9, 0.99), "adam_learning_rate": 5.1},
        **{"steps": 1000, "clamp": True, "keep": "average", "average_decay": 0.99},
        **{"pyramid": "sqrt2", "pyramid_min_size": 128, "pyramid_steps": (500,)},
        "resample": "bicubic",
    },
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_settings_of_the_newer_programs(name):
    assert PUBLISHED[name].items() <= settings_of(PRESETS[name]).items()


def test_get_preset_rejects_an_unknown_name():
    with pytest.raises(InputError, match=r"unknown preset 'gatys'.*gatys2016"):
        get_preset("gatys")


def test_customize_leaves_out_what_is_none():
    changed = customize(PRESET, beta=None, steps=7)
    assert (changed.beta, changed.steps) == (1.0, 7)
    assert changed == customize(PRESET, steps=7)


@pytest.mark.parametrize(
    ("name", "kind", "layers", "expected"),
    [
        ("matlab", "style", ("conv1_1", "conv2_1", "conv3_1", "conv4_1"), (2.5,) * 4),
        ("matlab", "style", ("conv5_1",), (10,)),
        ("johnson2015", "style", ("relu1_1", "relu2_1"), (2.5, 2.5)),
        ("gatys2016", "content", ("relu4_2", "relu5_2"), (0.5, 0.5)),
        # The preset's own layers keep its own weights.
        ("matlab", "style", CONV_STYLE_LAYERS, (0.5, 1, 1.5, 3, 4)),
    ],
)
def test_customize_layers_share_the_total_weight(name, kind, layers, expected):
    changed = customize(PRESETS[name], **{f"{kind}_layers": layers})
    assert getattr(changed, f"{kind}_layers") == tuple(layers)
    weights = getattr(changed, f"{kind}_layer_weights")
    np.testing.assert_allclose(weights, expected, rtol=1e-12)
    given = {f"{kind}_layers": layers, f"{kind}_layer_weights": (3,) * len(layers)}
    weights = getattr(customize(PRESETS[name], **given), f"{kind}_layer_weights")
    assert weights == (3,) * len(layers)


@pytest.mark.parametrize("name", PRESETS)
def test_settings_are_one_flat_record_of_the_nested_preset(name):
    preset = PRESETS[name]
    settings = settings_of(preset)
    assert nested(settings) == dataclasses.asdict(preset)
    assert with_settings(PRESET, **settings) == preset
    assert hash(with_settings(PRESET, **settings)) == hash(preset)
    assert len({hash(with_settings(preset, pool=pool)) for pool in ("avg", "max")}) == 2
    structure = loss_structure(preset)
    assert structure.items() <= settings.items()
    assert {"pool", "style_loss", "tv_form"} <= structure.keys()
    assert "alpha" not in structure
