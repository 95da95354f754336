"""A statistic that nobody has published: one line in the table adds it everywhere."""

import json
import pathlib

import numpy as np
import pytest
from forked import run_forked
from PIL import Image

from nstjax.errors import InputError
from nstjax.presets.published import PRESETS
from nstjax.presets.settings import customize
from nstjax.statistics import table
from nstjax.statistics.normalization import LayerSize, StyleForm
from nstjax.statistics.style import blend_styles, style_target
from nstjax.statistics.table import STATISTICS

# What somebody who adds a statistic writes: a file, and a line in the table.
TOY = """
import jax.numpy as jnp
from nstjax.statistics.statistic import Statistic, channel_sums
from nstjax.statistics.table import STATISTICS

class Energy(Statistic):
    factor = 0.01

    def gather(self, activation, context):
        return channel_sums(jnp.square(activation), context.guide)


STATISTICS["energy"] = Energy()
"""
RUN = (
    TOY
    + """
import runpy, sys
module, sys.argv = sys.argv[1], sys.argv[1:]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""
)
FLAGS = (
    "photo.png", "painting.png", "--style_loss=energy", "--optimizer=adam", "--steps=2",
    "--content_layers=relu2_1", "--style_layers=relu1_1,relu2_1",
)  # fmt: skip


def run(module, *flags):
    status, _, err = run_forked(RUN, module, *flags)
    assert status == 0, err


def losses(folder):
    lines = pathlib.Path(folder, "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["style_layers"] for line in lines]


def test_the_command_takes_it_with_masks_and_in_tiles(studio):
    Image.new("L", (64, 48), 255).save("all.png")
    flags = (*FLAGS, "--size=48", "--quiet", "--preview_seconds=0")
    for folder, more in {
        "whole": (),
        "tiles": ("--tile=16",),
        "region": ("--content_mask=all.png",),
    }.items():
        run("nstjax", *flags, *more, f"--workdir={folder}")
    for folder in ("tiles", "region"):
        for one, other in zip(losses("whole"), losses(folder), strict=True):
            assert one == pytest.approx(other, rel=1e-4)
    assert losses("whole")[0]["relu1_1"] > losses("whole")[2]["relu1_1"] > 0


def test_the_sweep_takes_it(studio):
    run("experiments.sweep", *FLAGS, "--size=24", "--grid=beta=1;2", "--workdir=sweep")
    assert pathlib.Path("sweep", "sweep.h5").exists()


def test_its_loss_is_its_formula(float64):
    random = np.random.default_rng(0)
    F, P = random.normal(size=(2, 5, 7, 4))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(table, "STATISTICS", dict(STATISTICS))
        exec(TOY, {})
        statistic = table.STATISTICS["energy"]
    layer, form = LayerSize(35, 8), StyleForm("energy")
    found, target = (statistic.describe(X, layer, form) for X in (F, P))
    means = [np.mean(np.square(X), (0, 1)) for X in (F, P)]
    np.testing.assert_allclose(found, means[0], rtol=1e-12)
    np.testing.assert_allclose(
        statistic.loss(found, target, None, layer, form),
        0.01 * np.sum(np.square(means[0] - means[1])) / 8,
        rtol=1e-12,
    )


def test_an_unknown_statistic_is_refused():
    for call in (
        lambda form: style_target(np.eye(2), form),
        lambda form: blend_styles([np.eye(2)], [1.0], form),
        lambda form: customize(PRESETS["gatys2016"], style_loss=form.style_loss),
    ):
        with pytest.raises(InputError, match="style_loss must be one of gram, moments"):
            call(StyleForm("gramm"))
