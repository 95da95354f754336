"""The settings of a sweep: grids, tables, and what a run cannot use."""

import os

import numpy as np
import pytest

from nstjax.analysis.sweeps.settings import (
    MOST_SETTINGS,
    check_settings,
    controls_with,
    grid,
    known_names,
    parse_grid,
    preset_with,
    read_settings,
    seed_with,
)
from nstjax.errors import InputError
from nstjax.presets.published import get_preset
from nstjax.presets.settings import customize
from nstjax.problem.targets import Controls

PRESET = customize(get_preset("gatys2016"), optimizer="adam")
BLEND = customize(get_preset("coursera"))


def check(text, preset=PRESET, styles=1, controls=None):
    check_settings(parse_grid(text), preset, styles, controls or Controls())


def says_of(call, *arguments):
    """What the error of a wrong call says."""
    with pytest.raises(InputError) as raised:
        call(*arguments)
    return str(raised.value)


def test_a_grid_is_the_product_with_the_last_setting_fastest():
    settings = parse_grid("beta=1;10, learning_rate = 0.5;2;5")
    assert settings.names == ("beta", "learning_rate")
    assert settings.count == 6
    assert list(settings) == [
        {"beta": beta, "learning_rate": rate}
        for beta in (1.0, 10.0)
        for rate in (0.5, 2.0, 5.0)
    ]
    assert [*next(iter(settings))] == ["beta", "learning_rate"]
    assert list(grid({"beta": [1, 10], "learning_rate": [0.5, 2, 5]})) == list(settings)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1:3:5", [1, 1.5, 2, 2.5, 3]),
        ("1e1:1e5:9:log", [10 ** (1 + i / 2) for i in range(9)]),
        ("1;2;5", [1, 2, 5]),
        ("-3", [-3]),
    ],
)
def test_spacing(text, expected):
    values = [setting["tv"] for setting in parse_grid(f"tv={text}")]
    np.testing.assert_allclose(values, expected, rtol=1e-14)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("beta", "'beta' in the grid has no values: give NAME=START:STOP:COUNT"),
        ("=1;2", "'=1;2' in the grid has no values"),
        ("beta=1;2,", "'' in the grid has no values"),
        ("beta=", "beta must be a number, got ''"),
        ("beta=1;x", "beta must be a number, got 'x'"),
        ("beta=nan", "beta must be a finite number (in float32), got nan"),
        ("beta=1:1e400:3", "beta must be a finite number (in float32), got 1e400"),
        ("beta=1:2", "beta=1:2 in the grid cannot be read"),
        ("beta=1:2:0", "beta has '0' values in the grid: give a whole number in 1.."),
        pytest.param(f"beta=1:2:{'9' * 5000}", "values in the grid: give", id="long"),
        ("beta=0:2:3:log", "equal ratios need a start and a stop above 0"),
        ("beta=1,alpha=1,beta=2", "beta is given twice"),
    ],
)
def test_what_is_no_grid(text, says):
    assert says in says_of(parse_grid, text)


def test_a_huge_grid_is_told_without_being_made():
    # Its product would not fit into any memory.
    axes = (f"style_layer_weights.relu{i}_1=0:1:{MOST_SETTINGS}" for i in range(9))
    for text in ("beta=1:2:1000000000000", ",".join(axes)):
        assert f"{MOST_SETTINGS}" in says_of(parse_grid, text)


def test_a_table_has_a_run_in_each_line(tmp_path):
    path = tmp_path / "settings.csv"
    path.write_text("\ufeffbeta, seed\n1e3,0\n\n 20,7\n", encoding="utf-8")
    settings = read_settings(path)
    assert list(settings) == [{"beta": 1e3, "seed": 0.0}, {"beta": 20.0, "seed": 7.0}]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty: name the settings in its first line"),
        (b"beta,alpha\n", "the sweep has no settings"),
        (b"beta,alpha\n1,2\n3\n", "run 2 has 1 values for 2 settings (beta,alpha)"),
        (b"beta\nmuch\n", "beta must be a number, got 'much'"),
        (b"beta\n\xff\xfe\n", "is no CSV file"),
    ],
)
def test_what_is_no_table(tmp_path, content, says):
    path = tmp_path / "settings.csv"
    path.write_bytes(content)
    assert says in says_of(read_settings, path)


def test_a_table_that_is_not_opened(tmp_path):
    path = tmp_path / "settings.csv"
    path.touch()
    os.truncate(path, 2**24 + 1)
    assert "is larger than 16 MiB" in says_of(read_settings, path)
    path.unlink()
    os.mkfifo(path)
    assert "no regular file: give a CSV file of set" in says_of(read_settings, path)


def test_every_known_setting_passes():
    names = known_names(BLEND, 2)
    assert set(names) == {
        *("alpha", "beta", "tv", "learning_rate", "seed", "noise_ratio"),
        *(f"content_layer_weights.{layer}" for layer in BLEND.content_layers),
        *(f"style_layer_weights.{layer}" for layer in BLEND.style_layers),
        *("style_blend_weights.1", "style_blend_weights.2"),
    }
    check_settings(grid({name: [1.0] for name in names}), BLEND, 2, Controls())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("gamma=1", "unknown setting 'gamma': a sweep knows alpha, beta, tv,"),
        ("gamma=1", "content_layer_weights.relu4_2, style_layer_weights.relu1_1"),
        ("style_layer_weights.relu4_2=1", "unknown setting 'style_layer_weights.rel"),
        ("steps=1;2", "steps decides the program's structure: run one sweep for each"),
        ("noise_ratio=0.5", "noise_ratio needs init=blend"),
        ("style_layer_weights=1", "give one of style_layer_weights.relu1_1, style_l"),
        ("style_blend_weights.1=1", "weights.1 needs more style images: 1 given"),
        ("beta=1;-1", "beta must be a finite number of 0 or more"),
        ("alpha=1;0,beta=1;0", "alpha and beta are both 0"),
        ("learning_rate=1;0", "learning_rate is 0"),
        ("style_layer_weights.relu1_1=-1", "style_layer_weights must be a finite"),
        ("seed=1.5", "seed must be a whole number in 0..4294967295, got 1.5"),
    ],
)
def test_what_no_run_could_use(text, says):
    assert says in says_of(check, text)


def test_noise_ratio_and_blend_weights_are_checked_where_they_are_known():
    assert "noise_ratio must lie in 0..1" in says_of(check, "noise_ratio=0.5;2", BLEND)
    for text, says in {
        "style_blend_weights.1=0,style_blend_weights.2=1;0": "must be finite numbers",
        "style_blend_weights.3=1": "needs more style images: 2 given",
        "style_blend_weights=1": "give one of style_blend_weights.1, style_bl",
    }.items():
        assert says in says_of(check, text, PRESET, 2)
    check("style_blend_weights.1=0;1,style_blend_weights.2=1", styles=2)


def test_a_setting_changes_what_it_names_and_nothing_else():
    setting = {"beta": 7.0, "seed": 5.0, "style_layer_weights.relu4_1": 0.5}
    preset = preset_with(setting, PRESET)
    assert preset == customize(
        PRESET, beta=7.0, style_layer_weights=(0.2, 0.2, 0.2, 0.5, 0.2)
    )
    assert seed_with(setting, 3) == 5
    assert seed_with({"beta": 7.0}, 3) == 3
    controls = Controls(style_blend_weights=(2.0, 3.0))
    assert controls_with(setting, controls, 2) is controls
    changed = controls_with({"style_blend_weights.2": 9.0}, controls, 2)
    assert changed == Controls(style_blend_weights=(2.0, 9.0))
    equal = controls_with({"style_blend_weights.1": 9.0}, Controls(), 2)
    assert equal.style_blend_weights == (9.0, 1.0)
