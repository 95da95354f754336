"""Exported files compute what the network computes, or are not there."""

import dataclasses
import functools
import json
import sys

import jax
import numpy as np
import onnxruntime
import pytest
import restyle_models
from feedforward_networks import run as run_network
from restyle_models import PAINTERLY, STYLES, filled

from nstjax.errors import InputError
from nstjax.feedforward.inference import export
from nstjax.feedforward.inference.export import export_model
from nstjax.feedforward.inference.export_graphs import Graph, make_plain_encoder
from nstjax.feedforward.inference.restyle import Restyler, mixture
from nstjax.feedforward.networks.adain import CODE_LAYER, make_encoder
from nstjax.feedforward.networks.architecture import TransformArchitecture
from nstjax.feedforward.networks.model_file import StyleModel, write_model

EXPORT = "experiments.export_model"
FORMATS = (".onnx", ".stablehlo")
CARD = {"license": "CC BY 4.0", "styles": {"wave": "The Great Wave, Hokusai, 1831"}}
IMAGE = ["batch", "height", "width", 3]


@pytest.fixture(scope="module", autouse=True)
def checked_once():
    """What is written is compared at one size: each is another program."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(export, "CHECK_SIZES", ((61, 58),))
        # jax2onnx knows its layers, too, which takes seconds, if it can be imported.
        patched.setitem(sys.modules, "equinox", None)
        yield


@pytest.fixture(scope="module")
def painterly():
    changes = {"residual_blocks": 0, "upsampling": "bilinear"}
    network = filled(dataclasses.replace(PAINTERLY, **changes), 0.3)
    return Restyler(StyleModel(network, STYLES, None, CARD))


@pytest.fixture(scope="module")
def arbitrary():
    return restyle_models.restyler(restyle_models.arbitrary())


@functools.cache
def session(path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def run(path, **inputs):
    """As somebody who has the file and nothing else."""
    if path.suffix == ".onnx":
        return session(path).run(None, inputs)
    return jax.export.deserialize(bytearray(path.read_bytes())).call(*inputs.values())


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def described(path):
    """Of an ONNX file: {input or output: shape}, and notes."""
    loaded = session(path)
    values = (*loaded.get_inputs(), *loaded.get_outputs())
    notes = loaded.get_modelmeta().custom_metadata_map
    return (
        {value.name: value.shape for value in values},
        {name: json.loads(note) for name, note in notes.items()},
    )


# ONNX is tested by others, too, and to convert VGG-19's layers to it takes long.
both_formats = pytest.mark.parametrize(
    "suffix", [pytest.param(".onnx", marks=pytest.mark.slow), ".stablehlo"]
)


@both_formats
def test_pictures_of_any_size_and_number_with_weights_of_their_own(
    suffix, painterly, tmp_path, program
):
    own, path = tmp_path / "own.safetensors", tmp_path / f"painterly{suffix}"
    write_model(own, painterly.model)
    status, out, err = program(EXPORT, f"--model={own}", f"--output={path}")
    assert (status, err) == (0, "")
    first, second = out.splitlines()
    assert first.startswith(f"wrote {path}, which differs from the network by up to ")
    assert 0 <= float(first.split()[-1]) < 1e-4
    assert second == f"style_weights are of {', '.join(STYLES)}"
    if suffix == ".onnx":
        shapes, notes = described(path)
        weights = {"style_weights": ["batch", len(STYLES)]}
        assert shapes == {"image": IMAGE, **weights, "restyled": IMAGE}
        assert (notes["styles"], notes["card"]) == ([*STYLES], CARD)
        assert notes["least_side"] == 8
    # Another size and number than those that it is checked at as it is written.
    weights = np.float32([[0, 1, 0], [1.5, 0, -0.5], [0, 0, 1]])
    image = np.repeat(drawn(1, 8, 22, 3), len(weights), 0)
    expected = run_network(painterly.model.network, image, weights)
    (results,) = run(path, image=image, style_weights=weights)
    assert results.dtype == np.float32
    np.testing.assert_allclose(results, np.clip(expected, 0, 1), atol=1e-4)
    assert np.abs(results[1:] - results[:1]).max((1, 2, 3)).min() > 0.01


@both_formats
def test_arbitrary_style(suffix, arbitrary, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "PLATFORMS", ("cpu",))
    differences = export_model(tmp_path / f"a{suffix}", arbitrary)
    path, style_path = differences
    assert max(differences.values()) < 1e-4
    assert [path.name, style_path.name] == [f"a{suffix}", f"a_style{suffix}"]
    assert {*tmp_path.iterdir()} == {path, style_path}

    painting = drawn(1, 61, 58, 3, seed=3)
    style = arbitrary.style_of(painting[0, :56, :56])
    for found, expected in zip(run(style_path, painting=painting), style, strict=True):
        np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-4)

    # Another for each picture, of the size that the file was checked at, whose next
    # multiples of 8 are those of 64.
    image, styles = drawn(2, 61, 58, 3), [style, (drawn(6), 0.1 + drawn(6, seed=2))]
    pairs = zip(image, styles, strict=True)
    expected = np.stack([arbitrary([photo], style)[0] for photo, style in pairs])
    assert expected.std() > 0.01
    mean, deviation = map(np.stack, zip(*styles, strict=True))
    (result,) = run(path, image=image, style_mean=mean, style_deviation=deviation)
    np.testing.assert_allclose(result, expected, atol=1e-4)


@both_formats
def test_learned_descent(suffix, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "PLATFORMS", ("cpu",))
    restyler = restyle_models.restyler(restyle_models.descending())
    path, style_path = export_model(tmp_path / f"d{suffix}", restyler)
    assert [path.name, style_path.name] == [f"d{suffix}", f"d_style{suffix}"]

    paintings = drawn(2, 67, 90, 3, seed=3) ** np.float32([[[[1]]], [[[3]]]])
    styles = [restyler.style_of(painting[:64, :80]) for painting in paintings]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *styles)
    wanted = jax.tree.leaves(stacked)
    found = run(style_path, painting=paintings)
    for array, expected in zip(found, wanted, strict=True):
        scale = np.abs(expected).max()
        np.testing.assert_allclose(array, expected, atol=1e-5 * scale)

    # Sides that are reflected alike, there and here.
    image = drawn(2, 48, 112, 3)
    pairs = zip(image, styles, strict=True)
    expected = np.stack([restyler([photo], style)[0] for photo, style in pairs])
    assert np.abs(expected - image).mean() > 0.01
    names = ["style_mean", "style_deviation"]
    names += [
        f"style_gram_{scale}_{layer}"
        for scale in range(2)
        for layer in ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
    ]
    inputs = {"image": image, **dict(zip(names, found, strict=True))}
    if suffix == ".onnx":
        shapes, notes = described(path)
        assert shapes.keys() == {*inputs, "restyled"}
        assert notes["least_side"] == 32
    (result,) = run(path, **inputs)
    np.testing.assert_allclose(result, expected, atol=1e-4)


@both_formats
@pytest.mark.parametrize("count", [1, 2])
def test_learned_descent_of_named_styles(suffix, count, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "PLATFORMS", ("cpu",))
    model = restyle_models.descending_by_name()
    paintings = jax.tree.map(lambda leaf: leaf[:count], model.paintings)
    restyler = restyle_models.restyler(
        model._replace(styles=model.styles[:count], paintings=paintings)
    )
    (path,) = export_model(tmp_path / f"n{suffix}", restyler)
    image = drawn(2, 48, 112, 3)
    shares = np.float32([[0.25, 0.75], [1, 0]])[:, :count] ** (count - 1)
    styles = [restyler.named_style(name) for name in restyler.model.styles]
    expected = [
        restyler([photo], mixture(styles, each))[0]
        for photo, each in zip(image, shares, strict=True)
    ]
    inputs = {"image": image} | ({"style_weights": shares} if count > 1 else {})
    (result,) = run(path, **inputs)
    assert np.abs(result - image).mean() > 0.01
    np.testing.assert_allclose(result, expected, atol=1e-4)


def test_a_network_of_one_style_takes_pictures_only(tmp_path, capfd, caplog):
    architecture = TransformArchitecture(
        channels=(4, 6, 8),
        residual_blocks=1,
        normalization="batch",
        padding="reflect-start",
        upsampling="transpose-torch",
        output="tanh",
    )
    network = filled(architecture, 0.1)
    path = tmp_path / "one.onnx"
    export_model(path, Restyler(StyleModel(network, ("wave",), None, CARD)))
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    shapes, notes = described(path)
    assert shapes == {"image": IMAGE, "restyled": IMAGE}
    least = architecture.least_side
    assert notes == {"styles": ["wave"], "card": CARD, "least_side": least}
    image = drawn(1, 17, 22, 3)
    (result,) = run(path, image=image)
    expected = np.clip(run_network(network, image), 0, 1)
    assert expected.std() > 0.01
    np.testing.assert_allclose(result, expected, atol=1e-4)


def test_an_encoder_that_pools_by_mean_is_that_of_nstjax():
    params, image = restyle_models.encoder().params, drawn(2, 24, 16, 3)
    expected = jax.jit(make_encoder(params, "avg"))(image)
    found = jax.jit(make_plain_encoder(params, "avg"))(image)[CODE_LAYER]
    assert expected.std() > 0.01
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("factor", [1.001, np.nan])
def test_a_file_that_differs_is_not_left_nor_its_neighbor(
    factor, suffix, painterly, tmp_path, monkeypatch
):
    def graph(factor=1.0):
        inputs, outputs = {"image": tuple(IMAGE)}, ("restyled",)
        return Graph(lambda image: (image * factor,), inputs, outputs, 1)

    def spoiled(converted, notes):
        return convert(graph(factor) if converted is second else converted, notes)

    name = {".onnx": "_to_onnx", ".stablehlo": "_to_hlo"}[suffix]
    convert, second = getattr(export, name), graph()
    monkeypatch.setattr(export, name, spoiled)
    monkeypatch.setattr(
        export, "make_graphs", lambda restyler: {"": graph(), "_second": second}
    )
    path = tmp_path / f"a{suffix}"
    path.write_text("an older one")
    with pytest.raises(InputError, match=f"a_second{suffix} would differ .* not writ"):
        export_model(path, painterly)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "an older one"


@pytest.mark.parametrize(
    "output, says",
    [
        ("a.onx", "a.onx has no suffix of an export format: end it with .* .onnx .sta"),
        ("none/a.onnx", "create the folder"),
        ("folder.onnx", "is a folder"),
        ("out.onnx", "out_style.onnx is a link"),
    ],
)
def test_bad_outputs(output, says, arbitrary, tmp_path):
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "out_style.onnx").symlink_to("new.onnx")
    with pytest.raises(InputError, match=says):
        export_model(tmp_path / output, arbitrary)


@pytest.mark.parametrize("missing", ["jax2onnx", "onnxruntime"])
def test_onnx_without_its_extra(missing, painterly, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(InputError, match=rf"{missing}, .*'nstjax\[export\]'"):
        export_model(tmp_path / "a.onnx", painterly)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["--model=wave"], "give --model=NAME and --output=FILE"),
        (["--model=wave", "--output=a.onnx"], "wave does not exist"),
    ],
)
def test_the_command_tells_in_one_line_what_is_wrong(arguments, says, program):
    status, out, err = program(EXPORT, *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"export_model: error: {says}")
