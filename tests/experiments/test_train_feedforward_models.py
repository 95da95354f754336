"""Trainings that begin with a model, and of any style, on narrow networks."""

import struct

import jax
import numpy as np
import pytest
import reference
from command_lines import metrics
from PIL import Image
from training_gallery import (
    ADAIN,
    DESCENT,
    PLAIN,
    SHALLOW,
    held_out_photos,
    one_training,
)

from nstjax.feedforward.inference.restyle import make_restyler
from nstjax.feedforward.networks.model_file import network_tensors, read_model
from nstjax.io.images import read_image
from nstjax.io.weights import read_params
from nstjax.network.architecture import CONV_LAYERS
from nstjax.network.layer_scales import scale_layers


def scalars(folder):
    """{tag: {step: value}} of TensorBoard's event files."""
    from tensorboardX.proto.event_pb2 import Event

    found = {}
    for path in folder.iterdir():
        contents, at = path.read_bytes(), 0
        while at < len(contents):
            (length,) = struct.unpack_from("<Q", contents, at)
            event = Event.FromString(contents[at + 12 : at + 12 + length])
            at += length + 16
            for value in event.summary.value:
                found.setdefault(value.tag, {})[event.step] = value.simple_value
    return found


BILINEAR = (
    *ADAIN,
    '--architecture={"channels": [4, 4, 4], "upsampling": "bilinear"}',
    "--steps=1",
    # Two trainings share their programs, and one is to change nothing.
    "--learning_rate=1e-30",
)


@pytest.fixture(scope="module", autouse=True)
def compiled():
    with one_training():
        yield


def test_an_initial_model_s_parameters_go_on_with_another_upsampling(gallery, train):
    work, _ = train("bilinear", *BILINEAR, "--initial=../adain.safetensors")
    before = read_model(gallery / "adain.safetensors").network
    after = read_model(work / "model.safetensors").network
    assert after.architecture.upsampling == "bilinear"
    assert before.architecture.upsampling == "nearest"
    found = network_tensors(after)
    for name, tensor in network_tensors(before).items():
        np.testing.assert_array_equal(found[name], tensor)


def test_a_style_is_added_and_the_rest_kept(gallery, train):
    work, _ = train(
        "added",
        *PLAIN,
        SHALLOW,
        "--initial=../conditional.safetensors",
        "--add_style",
        "--styles=Ärger=../paintings/a.png",
        "--title=Ärger=Anger",
        "--style_size=long:20",
        "--steps=2",
        "--log_every=1",
        "--tensorboard",
    )
    before = read_model(gallery / "conditional.safetensors")
    after = read_model(work / "model.safetensors")
    assert after.styles == ("one", "two", "Ärger")
    assert after.network.architecture.styles == 3
    assert after.card["settings"]["add_style"] is True
    assert after.card["by"] == "me"
    assert after.card["styles"] == {"one": "First", "Ärger": "Anger"}
    found = network_tensors(after.network)
    for name, tensor in network_tensors(before.network).items():
        if name.endswith(("gamma", "beta")):
            np.testing.assert_array_equal(found[name][:2], tensor)
            # It begins as their mean.
            moved = np.abs(found[name][2] - tensor.mean(0))
            assert 0 < moved.max() < 0.1
        else:
            np.testing.assert_array_equal(found[name], tensor)
    events, rows = scalars(work / "events"), metrics(work)
    terms = ("content", "style", "tv", "grid", "flicker")
    for tag in ("total", *terms, "gradient_norm", "seconds"):
        logged = {row["step"]: row[tag] for row in rows}
        assert events[tag] == pytest.approx(logged, rel=1e-6)
    last = rows[-1]["validation"]["Ärger"]
    for tag, value in last.items():
        assert events[f"validation/Ärger/{tag}"] == pytest.approx({2: value}, rel=1e-6)


def test_arbitrary_style_is_trained_with_its_encoder(gallery, train):
    work, _ = train("any", *BILINEAR)
    model = read_model(work / "model.safetensors")
    assert (model.styles, model.encoder.pool) == ((), "max")
    assert model.network.architecture.encoder_channels == 16
    network = read_params(gallery / "slim.safetensors")
    assert model.encoder.sha256 == network.sha256
    params = {
        layer: {name: np.float64(value) for name, value in part.items()}
        for layer, part in network.params.items()
    }
    relus = [layer.replace("conv", "relu") for layer in CONV_LAYERS]
    activations = [
        reference.trunk(
            params, 255 * np.float64(photo) - reference.MEAN_RGB, relus, "max", "same"
        )
        for photo in held_out_photos(gallery)
    ]
    for layer, relu in zip(CONV_LAYERS, relus, strict=True):
        mean = np.mean([one[relu].mean() for one in activations])
        np.testing.assert_allclose(model.encoder.scales[layer], 1 / mean, rtol=1e-3)
    rows = metrics(work)
    assert rows[-1]["validation"].keys() == {"a", "b"}
    assert np.isfinite(rows[-1]["total"])
    with Image.open(work / "samples" / "000001.png") as sheet:
        assert sheet.width > 3 * 16


def test_learned_descent_follows_one_network_and_is_compared_by_another(gallery, train):
    work, _ = train(
        "descent",
        *DESCENT,
        "--weights=../other.safetensors",
        "--encoder=../slim.safetensors",
        "--log_every=1",
        "--keep_styles",
        '--architecture={"channels": [5, 4], "residual_blocks": 0, "steps": [1]}',
        "--identity=0",
        "--identity_weight=0",
    )
    model = read_model(work / "model.safetensors")
    encoder = read_params(gallery / "slim.safetensors")
    assert (model.styles, model.encoder.sha256) == (("a", "b"), encoder.sha256)
    # What describes the styles that are kept is not trained.
    for layer, params in model.network.encoder_params().items():
        expected = scale_layers(encoder.params, model.encoder.scales)[layer]
        np.testing.assert_allclose(params["kernel"], expected["kernel"], rtol=1e-6)
    restyler = make_restyler(model, lambda: encoder)
    for name in model.styles:
        painting = read_image(gallery / "paintings" / f"{name}.png")
        found, expected = restyler.named_style(name), restyler.style_of(painting)
        for one, other in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    settings = model.card["settings"]
    # It is resumed as what it is only.
    assert settings["keep_styles"] is True
    assert settings["encoder_sha256"] == encoder.sha256
    assert settings["weights_sha256"] != encoder.sha256
    rows = metrics(work)
    assert rows[-1]["validation"].keys() == {"a", "b"}
    for row in rows:
        for term in ("total", "content", "style", "tv", "grid", "flicker"):
            assert np.isfinite(row[term]) and row[term] > 0


def test_learned_descent_of_whole_paintings_takes_any(gallery, train):
    work, _ = train(
        *("whole", *DESCENT, "--encoder=../slim.safetensors", "--whole_paintings"),
        *("--identity=0", "--identity_weight=0", "--steps=2"),
    )
    model = read_model(work / "model.safetensors")
    encoder = read_params(gallery / "slim.safetensors")
    assert (model.styles, model.paintings) == ((), None)
    for layer, params in model.network.encoder_params().items():
        expected = scale_layers(encoder.params, model.encoder.scales)[layer]
        np.testing.assert_allclose(params["kernel"], expected["kernel"], rtol=1e-6)
    assert model.card["settings"]["whole_paintings"] is True
    assert metrics(work)[-1]["validation"].keys() == {"a", "b"}


def test_learned_descent_trains_its_encoder(gallery, train):
    own = '--architecture={"channels": [4, 5], "residual_blocks": 0, "steps": [1]}'
    work, _ = train("encoder", *DESCENT, own, "--learning_rate=1e-2")
    begun = read_model(work / "model.safetensors")
    slim = read_params(gallery / "slim.safetensors")
    scaled = scale_layers(slim.params, begun.encoder.scales)
    for layer, params in begun.network.encoder_params().items():
        size = np.sqrt(np.square(scaled[layer]["kernel"]).mean())
        change = np.abs(params["kernel"] - scaled[layer]["kernel"]).max() / size
        # Two updates of Adam, each of at most the learning rate for kernels of size 1.
        assert 5e-3 < change < 2.5e-2
