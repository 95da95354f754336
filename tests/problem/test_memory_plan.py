"""What a run takes of the memory, and how it is made to fit."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command_lines import PICTURES, RUN, SHALLOW, check_refused, good

import nstjax
from nstjax.errors import InputError
from nstjax.images.resizing import Size
from nstjax.network.architecture import VGG16, kernel_shapes
from nstjax.presets.published import PRESETS
from nstjax.presets.settings import customize
from nstjax.problem import memory_plan
from nstjax.problem.memory_plan import (
    PROCESS_BYTES,
    TILED_PROCESS_BYTES,
    TILED_WINOGRAD_BYTES,
    WINOGRAD_BYTES,
    Pictures,
    pictures_of,
    plan_memory,
)
from nstjax.runtime.memory import HEADROOM

VGG19 = {
    layer: {
        "kernel": jax.ShapeDtypeStruct(shape, jnp.float32),
        "bias": jax.ShapeDtypeStruct(shape[-1:], jnp.float32),
    }
    for layer, shape in kernel_shapes().items()
}
PARAMS_BYTES = 4 * 20_024_384
ADAM = customize(PRESETS["gatys2016"], optimizer="adam")
SIZES = Pictures((1536, 2048), [(600, 800)], [(1536, 2048), (600, 800)])


def planned(memory_gb=None, tile=None, preset=ADAM, pictures=SIZES):
    return plan_memory(pictures, VGG19, preset, memory_gb, tile)


@pytest.mark.parametrize(
    ("options", "images", "work"),
    [
        ({}, 5, 1160 + 2 * 256),
        ({"precision": "mixed"}, 5, 1160 + 2 * 256),
        ({"optimizer": "lbfgs", "lbfgs_num_correction": 10}, 25, 1160 + 3 * 256),
    ],
)
def test_the_prediction_is_its_formula(options, images, work):
    preset = customize(ADAM, **options)
    pixels, painting = 1536 * 2048, 600 * 800
    own = PARAMS_BYTES + 4 * pixels * 512 / 64
    winograd = 11 if preset.network.precision == "mixed" else 0  # conv2_1 to conv5_1
    own += 12 * (images * pixels + 2 * pixels + 2 * painting)
    found = planned(1000, preset=preset)
    assert found.tile is None
    expected = PROCESS_BYTES + winograd * WINOGRAD_BYTES + own + pixels * work
    assert found.peak_bytes == pytest.approx(expected, rel=0.003)
    # Windows of 512 + 160 pixels, and two images more.
    tiled = planned(tile=512, preset=preset)
    by_tiles = TILED_PROCESS_BYTES + winograd * TILED_WINOGRAD_BYTES + own
    by_tiles += 672**2 * (1160 + 2 * 256) + 24 * pixels
    assert tiled.peak_bytes == pytest.approx(by_tiles, rel=0.003)


def test_the_largest_tiles_that_fit_are_chosen():
    whole = planned(1000)
    room = HEADROOM * whole.peak_bytes / 1e9
    assert planned(room * 1.001) == whole
    tiled = planned(room * 0.999)
    assert tiled.tile % 64 == 0
    for budget in (4.0, 3.0, 2.0):
        tile, peak = planned(budget)
        assert HEADROOM * peak <= budget * 1e9
        assert HEADROOM * planned(tile=tile + 64).peak_bytes > budget * 1e9
    assert str(planned(2.0)).startswith("about 1.89 GB of memory, in tiles of 704 pix")


def test_what_does_not_fit_says_what_would():
    with pytest.raises(InputError, match=r"need (\d\.\d\d) GB .* smallest tiles") as e:
        planned(0.7)
    enough = float(str(e.value).split(" GB")[0].split()[-1]) + 0.01
    assert planned(enough).tile == 64
    search = customize(ADAM, optimizer="lbfgs-linesearch")
    with pytest.raises(InputError, match="or optimizer=adam"):
        planned(2.0, preset=search)
    for wrong in (0, -1, float("nan")):
        with pytest.raises(InputError, match="memory_gb must be more than 0"):
            planned(wrong)


def test_without_a_number_most_of_what_is_available_is_taken(monkeypatch):
    monkeypatch.setattr(
        memory_plan, "default_budget", lambda share: 2e9 if share == 0.8 else 0.0
    )
    assert planned() == planned(2.0)


def test_pictures_have_the_sizes_of_the_last_scale():
    preset = customize(ADAM, size=Size("long", 1024), pyramid="2")
    content, style = np.zeros((30, 40, 3)), np.zeros((60, 40, 3))
    expected = Pictures((768, 1024), [(1024, 683)], [(30, 40), (60, 40)], 3)
    assert pictures_of(content, [style], preset, 3) == expected


def test_the_command_says_what_it_takes_and_goes_by_tiles(studio, command):
    flags = (*PICTURES, *SHALLOW, "--memory_gb=2")
    assert "nstjax: about 0.37 GB of memory\n" in good(command, *flags)
    whole = nstjax.read_image("out.png")
    out = good(command, *PICTURES, *SHALLOW, "--tile=16")
    assert "nstjax: about 0.41 GB of memory, in tiles of 16 pixels\n" in out
    np.testing.assert_allclose(nstjax.read_image("out.png"), whole, atol=1.1 / 255)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--memory_gb=0.1"], "the run would need 0."),
        (["--memory_gb=0"], "memory_gb must be more than 0, got 0.0"),
        (["--tile=10"], "tile must be a positive multiple of 16 pixels"),
        (["--tile=64", "--memory_gb=1"], "tile takes the place of memory_gb"),
        (["--tile=64", "--optimizer=lbfgs-linesearch"], "choose optimizer=lbfgs"),
    ],
)
def test_the_command_tells_what_is_wrong_in_a_line(flags, says, studio, command):
    check_refused(*command(*RUN, *flags), says)
    assert not pathlib.Path("out.png").exists()


def test_layers_that_the_network_lacks_are_refused():
    params = {layer: VGG19[layer] for layer in kernel_shapes(architecture=VGG16)}
    preset = customize(ADAM, style_layers=("relu1_1", "relu3_4"))
    with pytest.raises(InputError, match="VGG-16 has no layer relu3_4"):
        plan_memory(SIZES, params, preset)
    assert plan_memory(SIZES, params, ADAM, 16).tile is None
