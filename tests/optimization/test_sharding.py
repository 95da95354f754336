"""One image over several devices: the same numbers, and little that is exchanged."""

import json
import math
import pathlib
import re

import jax
import numpy as np
import pytest
import reference
from forked import run_forked
from problems import picture, small
from programs import process_kept
from sweep_examples import spread

from nstjax.errors import InputError
from nstjax.images.resizing import Size
from nstjax.network.architecture import summarize
from nstjax.optimization.steps import compile_steps, run
from nstjax.presets.settings import customize
from nstjax.problem.compiled_transfer import make_transfer
from nstjax.problem.problem import prepare
from nstjax.runs.stylize import stylize
from nstjax.runtime.mesh import read_mesh

# Its flags have the names of other programs'.
with process_kept():
    from experiments.benchmarks.sharding import (
        count_exchanges,
        formula_bytes,
        operations,
    )

ROOM = pathlib.Path(__file__).parent
STEPS = 3
# One block is enough for what the optimizer does.
SHALLOW = {"content_layers": ("relu1_2",), "style_layers": ("relu1_1",)}
LAYERS = {"content_layers": ("relu2_1",), "style_layers": ("relu2_1",)}


def params():
    return jax.tree.map(np.float32, reference.random_params((8, 8, 16, 16, 16)))


def painted(mesh=None):
    """The numbers of a run, of a size that two devices divide, then of another one."""
    photo_mask, painting_mask = (
        np.broadcast_to(np.arange(40)[None, :, None] < 20, (height, 40, 3)) * 1.0
        for height in (67, 36)
    )
    preset = small(
        "gatys2016",
        optimizer="adam",
        pyramid="2",
        pyramid_min_size=30,
        pyramid_steps=(2,),
        keep="best",
        style_loss="moments",
        pool="max",
        pool_padding="same",
        **LAYERS,
    )
    result = stylize(
        *(picture(1, 67, 40), picture(2, 36, 40), params(), preset),
        steps=STEPS,
        size=Size("exact", (67, 40)),
        content_mask=photo_mask,
        style_masks=painting_mask,
        stylize_mask=photo_mask,
        mesh=mesh,
    )
    return [result.image, *jax.tree.leaves(result.losses)]


def lbfgs(mesh=None):
    """Steps in double precision: y is the difference of gradients that nearly agree."""
    preset = small("gatys2016", optimizer="lbfgs", lbfgs_num_correction=2, **SHALLOW)
    preset = customize(preset, size=Size("exact", (32, 40)))
    content, style = picture(1, 32, 40), picture(2, 36, 40)
    problem = prepare(content, [style], params(), preset, mesh=mesh)
    with jax.enable_x64(True):
        state, data = jax.tree.map(
            lambda leaf: leaf.astype(np.float64) if leaf.dtype == np.float32 else leaf,
            (problem.state, problem.data),
        )
        infos, first = [], state
        # Two in one dispatch, as accelerators do it, then the last.
        steps = compile_steps(make_transfer(preset, mesh), STEPS - 1)
        for state, info in run(steps, state, data, STEPS):
            infos.extend(jax.tree.leaves(info))
        if mesh is not None:
            # All steps are one program.
            assert steps.advance._cache_size() == 1
            assert first.image.is_deleted()
            # The image's 32 rows, and the pairs of the optimizer, lie on four devices.
            image = problem.state.image
            assert len(image.sharding.device_set) == 4
            assert shard_shapes(image) == {(8, 40, 3)}
            pairs = [
                leaf for leaf in jax.tree.leaves(state.opt_state) if leaf.ndim == 4
            ]
            assert {*map(tuple, map(shard_shapes, pairs))} == {((2, 8, 40, 3),)}
        return [np.asarray(state.image), *infos]


def shard_shapes(array):
    return {shard.data.shape for shard in array.addressable_shards}


def exchanged(height, mesh):
    """[kind, numbers in the largest result] of the compiled step's collectives."""
    preset = customize(
        small("gatys2016", optimizer="adam", **LAYERS), size=Size("original")
    )
    content = picture(1, height, 40)
    problem = prepare(content, [content], params(), preset, mesh=mesh)
    text = problem.steps.advance.lower(problem.state, 1, *problem.data).compile()
    kinds = "all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter"
    found = re.findall(rf"= (.*?) ({kinds})(?:-start)?\(", text.as_text())

    def size(shape):
        return math.prod(int(length) for length in shape.split(",") if length)

    return [
        (kind, max(map(size, re.findall(r"\[([\d,]*)\]", shapes))))
        for shapes, kind in found
    ]


SHARDED = """
import sys
tests, room, folder = sys.argv[1:]
sys.path[:0] = [tests, room]
import json, pathlib
import jax, numpy as np
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
import test_sharding as case
from sweep_examples import spread
from nstjax.runtime.mesh import row_mesh
folder = pathlib.Path(folder)
np.savez(folder / "painted.npz", *case.painted("rows=2"))
np.savez(folder / "lbfgs.npz", *case.lbfgs(row_mesh(4)))
mesh = row_mesh(4)
found = dict(even=case.exchanged(64, mesh), odd=case.exchanged(67, mesh))
lanes, results = spread(16)
assert len(lanes.images.sharding.device_set) == 8
assert lanes.data.key.sharding == lanes.images.sharding
np.savez(folder / "lanes.npz", loss=results.log.loss, images=results.images)
(folder / "found.json").write_text(json.dumps(found))
"""


@pytest.fixture(scope="module")
def sharded(tmp_path_factory):
    """The folder of what a process with eight devices has found."""
    folder = tmp_path_factory.mktemp("sharded")
    found = run_forked(SHARDED, ROOM.parent, ROOM, folder)
    assert found[0] == 0, found
    return folder


def check_same(path, alone, tolerance):
    with np.load(path) as file:
        for one, other in zip(file.values(), alone, strict=True):
            np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def test_devices_paint_what_one_paints(sharded):
    check_same(sharded / "painted.npz", painted(), 1e-5)


def test_lbfgs_is_the_same(sharded):
    check_same(sharded / "lbfgs.npz", lbfgs(), 1e-5)


@pytest.mark.parametrize("heights", ["even", "odd"])
def test_only_borders_and_statistics_are_exchanged(heights, sharded):
    exchanges = json.loads((sharded / "found.json").read_text())[heights]
    kinds = {kind for kind, _ in exchanges}
    assert "collective-permute" in kinds and "all-reduce" in kinds
    image, row, gram = 72 * 42 * 3, 42 * 8, 8 * 8
    largest = {"collective-permute": 8 * row, "all-reduce": gram, "all-gather": image}
    for kind, size in exchanges:
        assert size <= largest[kind], (kind, size)
    # An image whose height the devices do not divide lies whole on each.
    assert ("all-gather" in kinds) == (heights == "odd")


def test_lanes_of_a_sweep_are_spread_over_all_devices(sharded):
    _, one = spread(9)
    eight = np.load(sharded / "lanes.npz")
    assert eight["images"].shape == (9, 16, 20, 3)
    np.testing.assert_allclose(eight["loss"], one.log.loss, rtol=1e-5)
    np.testing.assert_allclose(eight["images"], one.images, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("columns=2", "give rows=N"),
        ("rows=two", "give rows=N"),
        pytest.param(f"rows={'9' * 5000}", "give rows=N", id="long"),
        ("rows=0", "from 1 to 1"),
        ("rows=2", "how many devices there are"),
    ],
)
def test_other_meshes_are_refused(text, says):
    with pytest.raises(InputError, match=says):
        read_mesh(text)


def test_one_device_needs_no_mesh():
    assert read_mesh(None) is None
    assert read_mesh("rows=1") is None


PROGRAM = """
  %p = f32[1,1,32,64]{3,2,1,0} collective-permute(%x), channel_id=1
  ROOT %s = (f32[8,8]{1,0}, /*index=1*/f32[]) all-reduce(%a, %b), to_apply=%add
  %g = bf16[16,2]{1,0} all-gather(%y), dimensions={0}
  %n = f32[4]{0} add(%all-reduce, %collective-permute)
"""


def test_exchanges_are_counted():
    received, exchanges = count_exchanges(PROGRAM, 4)
    halo, sums, gathered = 4 * 32 * 64, 4 * 65 * 2 * 3 // 4, 2 * 32 * 3 // 4
    assert list(received.values()) == [halo, sums, gathered, 0]
    assert list(exchanges.values()) == [1, 1, 1, 0]


def test_the_estimate_counts_rows_and_operations():
    layers = summarize(64, 64)[:3]  # conv1_1, relu1_1, conv1_2
    assert formula_bytes(layers) == 4 * 2 * 64 * (3 + 64 + 64 + 64)
    kernels, grams = 9 * (3 * 64 + 64 * 64), 64 * 64
    assert operations(layers, ["conv1_2"], 1) == 4 * 64 * 64 * (kernels + grams)
    # Seven rows of 64 on the fullest of ten devices.
    assert operations(layers, [], 10) == 4 * 7 * 64 * kernels
