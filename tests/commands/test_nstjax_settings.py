"""The command's settings: start, paintings and seed, presets, and what lists them."""

import functools
import os
import shutil

import h5py
import numpy as np
import pytest
from command_lines import (
    BASE,
    ONE,
    PICTURES,
    SHALLOW,
    check_bad,
    good,
    metrics,
    result,
    settings,
)
from PIL import Image

import nstjax
from nstjax.images.resizing import Size
from nstjax.io.demo import demo_pictures
from nstjax.presets.published import PRESETS
from nstjax.presets.settings import customize, setting_choices
from nstjax.runs.fast_start import fast_start


def test_several_paintings_blend_by_their_weights(studio, command):
    Image.effect_noise((60, 60), 90).convert("RGB").save("second.png")
    flags = (*SHALLOW, "--init=content", "--alpha=0")
    painted = functools.partial(result, command, *flags, "photo.png")
    both = ("painting.png", "second.png")
    assert painted(*both, "--style_blend_weights=0,5") == painted("second.png")
    assert painted(*both, "--style_blend_weights=3,3") == painted(*both)


def test_seed_changes_the_noise_only(studio, command):
    painted = functools.partial(result, command, *ONE)
    for init, same in (("noise", False), ("content", True)):
        start = f"--init={init}"
        assert (painted(start) == painted(start, "--seed=1")) == same


def test_init_from_a_picture_starts_there(studio, command):
    Image.effect_noise((64, 48), 60).convert("RGB").save("start.png")
    good(command, *ONE, "--init=start.png", "--snapshots=0")
    start = nstjax.resize(nstjax.read_image("start.png"), 36, 48)
    np.testing.assert_allclose(nstjax.read_image("out_000000.png"), start, atol=0.003)


def test_demo_paints_its_own_pictures(studio, command):
    # The size of the other tests, which is compiled already.
    flags = (*SHALLOW, "--size=48x36", "--snapshots=0", "--workdir=run")
    good(command, "--demo", *flags)
    photo, painting = demo_pictures()
    preset = customize(PRESETS["quick"], size=Size("exact", (36, 48)))
    expected = fast_start(photo, [painting], None, preset)
    start = nstjax.read_image("run/snapshot_000000.png")
    np.testing.assert_allclose(start, expected, atol=0.003)
    assert nstjax.read_image("out_montage.png").shape[0] == 36
    found = settings("run")
    assert (found["steps"], found["lbfgs_num_correction"]) == (2, 10)


# --- presets and the network --------------------------------------------------------

# One style layer in place of five, which would each compile.
FIRST = (
    *PICTURES, *BASE, "--content_layers=relu1_1", "--style_layers=relu1_1",
    "--style_layer_weights=1",
)  # fmt: skip


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_runs(preset, studio, command):
    # What each rule makes of 64x48: one size, whose programs presets share.
    size = {"short": 36, "area": 42}.get(PRESETS[preset].image.size.rule, 48)
    flags = (f"--preset={preset}", f"--size={size}", "--workdir=run")
    out = good(command, *FIRST, *flags)
    assert f"preset {preset}," in out
    assert settings("run")["source"] == PRESETS[preset].source
    rows = metrics("run")
    assert len(rows) == 3
    assert all(np.isfinite(row["total"]) for row in rows)
    image = nstjax.read_image("out.png")
    assert image.std() > 0.01
    # MATLAB's example goes back to the photo's own size, and shows all three pictures.
    matlab = preset == "matlab"
    assert image.shape == ((48, 64, 3) if matlab else (36, 48, 3))
    with h5py.File("run/run.h5") as file:
        assert file["image"].shape == (36, 48, 3)
    assert os.path.exists("out_montage.png") == matlab


def test_a_presets_montage_can_be_left_out(studio, command):
    good(command, *FIRST, "--preset=matlab", "--nomontage")
    assert not os.path.exists("out_montage.png")


def test_network_prints_the_table_of_the_course(studio, command):
    out = good(command, "--network", "--preset=coursera")
    rows = {line.split()[0]: " ".join(line.split()) for line in out.splitlines()}
    shapes = {"conv1_1": (300, 400, 64), "conv4_2": (38, 50, 512)}
    for layer, shape in shapes.items():
        assert rows[layer].startswith(f"{layer} {shape} ")
    # 3·3·3·64 + 64 parameters, and the receptive field of a 3×3 convolution.
    assert rows["conv1_1"].endswith(" 1,792 3")
    assert rows["total"] == "total 20,024,384"
    assert set(os.listdir()) == set(PICTURES)


def test_network_picture_is_written(studio, command):
    assert "wrote net.png" in good(command, "--network_picture=net.png")
    assert nstjax.read_image("net.png").std() > 0.05


@pytest.mark.usefixtures("pictures")
@pytest.mark.parametrize(
    "given",
    [
        ("net.png", "painting.png"),
        ("photo.png", "--style=net.png"),
        ("photo.png", "--fine_style=net.png", "--coarse_style=painting.png"),
        ("photo.png", "painting.png", "--content_mask=left.png+net.png"),
        ("photo.png", "painting.png", "--style_mask=net.png"),
        ("photo.png", "painting.png", "--init=net.png"),
    ],
)
def test_network_picture_takes_no_other_pictures_place(given, studio, command):
    shutil.copy("photo.png", "net.png")
    says = "net.png is one of the inputs and would be overwr"
    check_bad(command, *given, "--network_picture=net.png", says=says)


def test_list_presets_lists_every_preset(studio, command):
    lines = good(command, "--list_presets").splitlines()[1:]
    assert [line.split()[0] for line in lines] == list(PRESETS)
    for line, preset in zip(lines, PRESETS.values(), strict=True):
        assert f" {preset.optimizer.name} " in line
        assert f" {preset.steps} " in line
        assert line.endswith(preset.source)


def test_help_lists_the_flags(command):
    out = good(command, "--help")
    assert "nstjax CONTENT STYLE [STYLE...] --output=out.png" in out
    for flag in ("output", "preset", "style_blend_weights", "[no]montage", "quality"):
        assert f"--{flag}:" in out
    text = "".join(out.split())
    for name in ("style_loss", "color", "guide_mode", "pyramid", "keep"):
        choices = setting_choices(name)
        assert f"--{name}:<{'|'.join(choices)}>:" in text
