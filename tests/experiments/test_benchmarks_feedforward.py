"""The benchmark of feed-forward networks, on narrow ones and small pictures."""

import dataclasses
import importlib.util
import re

import jax
import numpy as np
import pytest
from programs import start
from restyle_models import (
    arbitrary,
    descending,
    encoder,
    filled,
    painterly,
    restyler,
)

import nstjax
from experiments.benchmarks.feedforward_programs import (
    nstjax_inference,
    read_task,
    reflected,
)
from nstjax.errors import InputError
from nstjax.feedforward.networks.adain import (
    adaptive_instance_normalization,
    make_encoder,
    style_of_code,
)
from nstjax.feedforward.networks.model_file import StyleModel, write_model

BENCHMARK = "experiments.benchmarks.feedforward"
TORCH = importlib.util.find_spec("torch") is not None


@pytest.fixture
def task_of(tmp_path, monkeypatch):
    """What is done with a model and a painting, read from files: task_of(model)."""
    monkeypatch.chdir(tmp_path)
    nstjax.save_params("encoder.safetensors", encoder().params)

    def read(model, painting=None):
        write_model("model.safetensors", model)
        return read_task("model.safetensors", painting, "encoder.safetensors")

    return read


@pytest.mark.slow
def test_networks_are_compared_in_processes(task_of):
    write_model("painterly.safetensors", painterly())
    write_model("arbitrary.safetensors", arbitrary())
    write_model("descent.safetensors", descending())
    models = [f"{name}.safetensors" for name in ("painterly", "arbitrary", "descent")]
    # Its workers are processes that import it, and it gives up processors.
    process = start(
        *("-m", BENCHMARK, f"--models={','.join(models)}", "--threads=1"),
        *("--weights=encoder.safetensors", "--sizes=34x32", "--rounds=1"),
        *("--batch=2", "--precision=float32", "--training", "--training_size=32"),
        "--training_batch=2",
    )
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert ("PyTorch is not installed" in out) == (not TORCH)
    tables = re.split(r"\n(?=\S+: 2 of |training )", out)[1:]
    assert [table.splitlines()[0] for table in tables] == [
        *(f"{model}: 2 of 34x32, float32" for model in models),
        f"training {models[0]}: 2 of 32x32, float32",
    ]
    for table in tables:
        row = re.search(r"^ *nstjax .*", table, re.MULTILINE)[0]
        compile_seconds, milliseconds, rate = map(float, row.split()[2:5])
        assert compile_seconds > 0
        assert milliseconds * rate == pytest.approx(1000, rel=2e-3)
        assert ("\n torch  " in table and "of torch" in table) == TORCH
    losses = re.search(r"nstjax: first losses (.*)", out)[1].split(", ")
    assert float(losses[2]) < float(losses[0])


def test_arbitrary_style_is_that_of_the_encoded_painting(task_of):
    photo, painting = np.random.default_rng(0).random((2, 24, 32, 3), np.float32)
    task = task_of(arbitrary(), painting)._replace(images=photo[None])
    encode = jax.jit(make_encoder(task.vgg, "max"))
    style = style_of_code(encode(painting[None]))
    code = adaptive_instance_normalization(encode(task.images), style)
    check_results(task, jax.jit(arbitrary().network)(code))


def test_named_style_is_that_of_the_network(task_of):
    photos = np.random.default_rng(0).random((2, 21, 26, 3), np.float32)
    task = task_of(painterly())._replace(images=photos)
    styles = np.float32([[1, 0, 0]] * 2)
    check_results(task, jax.jit(painterly().network)(photos, styles))


def test_learned_descent_is_that_of_the_restyler(task_of):
    photo, painting = np.random.default_rng(0).random((2, 48, 48, 3), np.float32)
    # As the restyler reflects it.
    whole = np.pad(photo, [(8, 8), (8, 8), (0, 0)], mode="reflect")
    task = task_of(descending(), painting)._replace(images=whole[None])
    (expected,) = restyler(descending())([photo], task.style)
    program = nstjax_inference(task)
    found = program.result[0, 8:-8, 8:-8].clip(0, 1)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    program.run(2)
    with pytest.raises(InputError, match="give --precision=float32"):
        nstjax_inference(task._replace(precision="bfloat16"))


def test_pictures_are_reflected_to_sides_that_a_network_takes():
    (found,) = reflected(np.arange(15.0).reshape(1, 3, 5, 1), 4)
    assert found[..., 0].tolist() == [
        [0, 1, 2, 3, 4, 3, 2, 1],
        [5, 6, 7, 8, 9, 8, 7, 6],
        [10, 11, 12, 13, 14, 13, 12, 11],
        [5, 6, 7, 8, 9, 8, 7, 6],
    ]


def check_results(task, expected):
    """A float32 and a bfloat16 program's."""
    exact = nstjax_inference(task).result
    assert np.abs(exact - expected).max() < 1e-4 * np.ptp(exact)
    rounded = nstjax_inference(task._replace(precision="bfloat16"))
    assert 0 < np.abs(rounded.result - exact).mean() < 0.02 * np.ptp(exact)
    rounded.run(2)


@pytest.mark.parametrize(
    "fields",
    [{"padding": "zero"}, {"output": "tanh"}, {"normalization": "batch", "styles": 1}],
)
def test_other_kinds_of_network_are_refused(fields, task_of):
    architecture = dataclasses.replace(painterly().network.architecture, **fields)
    styles = painterly().styles[: architecture.styles]
    with pytest.raises(InputError, match="of another kind than the bundled"):
        task_of(StyleModel(filled(architecture, 0.3), styles, None, {}))
