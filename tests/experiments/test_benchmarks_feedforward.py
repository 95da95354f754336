"""The benchmark of feed-forward networks, on narrow ones and small pictures."""

import importlib.util
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from programs import start

from experiments.benchmarks.feedforward_programs import nstjax_inference, read_task
from nstjax.errors import InputError
from nstjax.feedforward.networks.adain import make_encoder, restyled_code
from nstjax.feedforward.networks.architecture import (
    AdaINArchitecture,
    TransformArchitecture,
)
from nstjax.feedforward.networks.model_file import (
    Encoder,
    StyleModel,
    read_model,
    write_model,
)
from nstjax.feedforward.networks.networks import make_network
from nstjax.io.weights import load_network
from nstjax.network.vgg import CONV_LAYERS

BENCHMARK = "experiments.benchmarks.feedforward"
NO_PAINTING = np.empty((0, 0, 3), np.float32)
TORCH = importlib.util.find_spec("torch") is not None
NARROW = {
    **{"width": 0.125, "residual_blocks": 0, "normalization": "conditional"},
    **{"styles": 2, "pixels": "0..1", "output": "sigmoid"},
}


def with_random_weights(architecture):
    network = nnx.eval_shape(lambda: make_network(architecture))
    rng = np.random.default_rng(0)
    for _, variable in nnx.to_flat_state(nnx.state(network)):
        values = 0.3 * rng.standard_normal(variable.shape, np.float32)
        variable.set_value(jnp.asarray(values))
    return network


@pytest.fixture
def painterly(tmp_path):
    """Write a model of that kind: painterly(**fields) -> its path."""

    def write(**fields):
        architecture = TransformArchitecture(**NARROW | fields)
        styles = ("wave", "scream")[: architecture.styles]
        path = tmp_path / "painterly.safetensors"
        network = with_random_weights(architecture)
        write_model(path, StyleModel(network, styles, None, {}))
        return path

    return write


@pytest.fixture
def arbitrary(tmp_path, slim_weights):
    encoder = load_network(str(slim_weights))
    channels = encoder.params["conv4_1"]["bias"].size
    architecture = AdaINArchitecture(encoder_channels=channels, channels=(8, 4, 4))
    # Powers of 2, so that scaling does not round.
    scales = dict(zip(CONV_LAYERS, [0.5, 2.0] * 8, strict=True))
    path = tmp_path / "arbitrary.safetensors"
    description = Encoder(encoder.sha256, "max", scales)
    network = with_random_weights(architecture)
    write_model(path, StyleModel(network, (), description, {}))
    return path


@pytest.mark.slow
def test_networks_are_compared_in_processes(painterly, arbitrary, slim_weights):
    models = (painterly(residual_blocks=1), arbitrary)
    # Its workers are processes that import it, and it gives up processors.
    process = start(
        *("-m", BENCHMARK, f"--models={','.join(map(str, models))}"),
        *(f"--weights={slim_weights}", "--threads=1", "--sizes=26x21", "--rounds=1"),
        *("--batch=2", "--precision=float32", "--training", "--training_size=32"),
        "--training_batch=2",
    )
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert ("PyTorch is not installed" in out) == (not TORCH)
    tables = re.split(r"\n(?=\S+: 2 of |training )", out)[1:]
    assert [table.splitlines()[0] for table in tables] == [
        *(f"{model}: 2 of 26x21, float32" for model in models),
        f"training {models[0]}: 2 of 32x32, float32",
    ]
    for table in tables:
        row = next(line for line in table.splitlines() if line.strip()[:6] == "nstjax")
        compile_seconds, milliseconds, rate = map(float, row.split()[2:5])
        assert compile_seconds > 0
        assert milliseconds * rate == pytest.approx(1000, rel=2e-3)
        assert ("\n torch  " in table and "of torch" in table) == TORCH
    losses = re.search(r"nstjax: first losses (.*)", out)[1].split(", ")
    assert float(losses[2]) < float(losses[0])


def test_bad_size_is_one_line(program):
    status, _, err = program(BENCHMARK, "--models=random", "--sizes=512")
    assert status == 2
    assert err == (
        "feedforward: error: --sizes has '512': give WIDTHxHEIGHT such as 512x512\n"
    )


def test_arbitrary_style_is_that_of_the_encoded_painting(arbitrary, slim_weights):
    photo, painting = np.random.default_rng(0).random((2, 24, 32, 3), np.float32)
    task = read_task(str(arbitrary), painting, str(slim_weights))
    task = task._replace(images=photo[None])
    encode = make_encoder(task.vgg, "max", "same")
    network = read_model(arbitrary).network

    @jax.jit
    def expected(photo, painting):
        return network(restyled_code(encode(photo), encode(painting)))

    result = nstjax_inference(task).first.result
    difference = result - expected(task.images, painting[None])
    assert np.abs(difference).max() < 1e-4 * np.ptp(result)
    assert_bfloat16_is_near(task, result)


def test_named_style_is_that_of_the_network(painterly, slim_weights):
    path = painterly()
    task = read_task(str(path), NO_PAINTING, str(slim_weights))
    # Of the shape that networks are compared for: the same program.
    photos = np.random.default_rng(0).random((2, 21, 26, 3), np.float32)
    task = task._replace(images=photos)
    result = nstjax_inference(task).first.result
    expected = jax.jit(read_model(path).network)(photos, np.float32([[1, 0], [1, 0]]))
    np.testing.assert_allclose(result, expected, atol=1e-5)
    assert_bfloat16_is_near(task, result)


def assert_bfloat16_is_near(task, exact):
    rounded = nstjax_inference(task._replace(precision="bfloat16"))
    assert 0 < np.abs(rounded.first.result - exact).mean() < 0.02 * np.ptp(exact)
    rounded.run(2)


@pytest.mark.parametrize(
    "fields",
    [{"padding": "zero"}, {"output": "tanh"}, {"normalization": "batch", "styles": 1}],
)
def test_other_kinds_of_network_are_refused(fields, painterly, slim_weights):
    with pytest.raises(InputError, match="of another kind than painterly"):
        read_task(str(painterly(**fields)), NO_PAINTING, str(slim_weights))
