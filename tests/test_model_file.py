import json
import os
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest
import reference
import safetensors.numpy
from flax import nnx
from safetensors import safe_open

from nstjax.errors import InputError
from nstjax.feedforward.architecture import AdaINArchitecture, TransformArchitecture
from nstjax.feedforward.networks import make_network
from nstjax.io import model_file, weights
from nstjax.io.model_file import Encoder, StyleModel, read_model, write_model
from nstjax.vgg import CONV_LAYERS

CARD = {
    "license": "CC BY 4.0",
    "styles": [{"title": "神奈川沖浪裏", "painter": "Hokusai", "year": 1831}],
    "settings": {"style_weight": 1e-7, "steps": None},
}
ENCODER = Encoder(
    "ab" * 32, "max", {layer: 1 / (3 + i) for i, layer in enumerate(CONV_LAYERS)}
)
NARROW = {"channels": (4, 6, 8), "residual_blocks": 1}
STYLES = {
    "instance": ("wave",),
    "batch": ("wave",),
    "conditional": ("wave", "The Scream", "naïve"),
    "adain": (),
}


def make_model(kind: str) -> StyleModel:
    """A network none of whose numbers is what a new one has."""
    if kind == "adain":
        architecture = AdaINArchitecture(encoder_channels=8, channels=(8, 6, 4))
    else:
        architecture = TransformArchitecture(
            **NARROW, normalization=kind, styles=len(STYLES[kind])
        )
    network = nnx.eval_shape(lambda: make_network(architecture))
    random = np.random.default_rng(0)
    for _, variable in nnx.to_flat_state(nnx.state(network)):
        values = random.uniform(0.05, 0.3, variable.shape)
        variable.set_value(jnp.asarray(values, jnp.float32))
    network.eval()
    encoder = ENCODER if kind == "adain" else None
    return StyleModel(network, STYLES[kind], encoder, CARD)


def output(model: StyleModel) -> np.ndarray:
    random = np.random.default_rng(1)
    if model.encoder is not None:
        return np.asarray(model.network(random.random((1, 2, 3, 8), np.float32)))
    image = jnp.asarray(random.random((1, 18, 16, 3), np.float32))
    rows = np.linspace(0.2, 1, len(model.styles), dtype=np.float32)
    return np.asarray(model.network(image, jnp.asarray(rows)[None]))


@pytest.fixture
def model() -> StyleModel:
    return make_model("conditional")


@pytest.fixture
def path(model: StyleModel, tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "model.safetensors"
    write_model(path, model)
    return path


def parts(path: pathlib.Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    return safetensors.numpy.load_file(path), metadata


def assert_refused(path: pathlib.Path, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        read_model(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", STYLES)
def test_a_model_comes_back_as_it_was(kind: str, tmp_path: pathlib.Path) -> None:
    model = make_model(kind)
    path, again = tmp_path / "model.safetensors", tmp_path / "again.safetensors"
    sha256 = write_model(path, model)
    read = read_model(path)
    assert read.network.architecture == model.network.architecture
    assert read[1:] == model[1:]
    before, after = map(model_file.network_tensors, (model.network, read.network))
    assert list(before) == list(after)
    for name, tensor in before.items():
        assert after[name].dtype == np.float32
        np.testing.assert_array_equal(after[name], tensor)
    np.testing.assert_array_equal(output(read), output(model))
    assert write_model(again, read) == sha256
    assert again.read_bytes() == path.read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["again.safetensors", "model.safetensors"]


@pytest.mark.parametrize("kind", STYLES)
def test_tensors_are_every_parameter_by_its_path(kind: str) -> None:
    network = make_model(kind).network
    tensors = model_file.network_tensors(network)
    if kind == "adain":
        first, layer = "blocks/0/0", network.blocks[0][0]
        assert len(tensors) == 18
    else:
        first, layer = "contract/0/convolution", network.contract[0].convolution
        # Eight convolutions, all normalized but for the last.
        assert len(tensors) == 8 * 2 + 7 * (4 if kind == "batch" else 2)
        norm = network.residual[0][1].norm
        of_norm = norm.var if kind == "batch" else norm.gamma
        name = "var" if kind == "batch" else "gamma"
        tensor = tensors[f"residual/0/1/norm/{name}"]
        np.testing.assert_array_equal(tensor, of_norm[...])
    np.testing.assert_array_equal(tensors[f"{first}/kernel"], layer.kernel[...])


@pytest.mark.parametrize("kind", STYLES)
def test_half_precision_halves_all_but_normalization(
    kind: str, tmp_path: pathlib.Path
) -> None:
    model = make_model(kind)
    whole, half = tmp_path / "whole.safetensors", tmp_path / "half.safetensors"
    write_model(whole, model)
    sha256 = write_model(half, model, half_precision=True)
    tensors, metadata = parts(half)
    assert metadata["sha256"] == sha256
    exact, rounded = parts(whole)[0], read_model(half)
    for name, tensor in tensors.items():
        if "gamma" in name or "beta" in name or "norm" in name:
            np.testing.assert_array_equal(tensor, exact[name])
        else:
            assert tensor.dtype == np.float16
            np.testing.assert_allclose(tensor, exact[name], rtol=2**-11)
    sizes = [sum(part.nbytes for part in each.values()) for each in (tensors, exact)]
    assert sizes[0] < 0.6 * sizes[1]
    difference = np.abs(output(rounded) - output(model)).max()
    assert 0 < difference < 2e-3 * np.abs(output(model)).max()
    # As float32, the rounded network has the same hash.
    assert write_model(whole, rounded) == sha256


def test_the_file_is_plain_safetensors(path: pathlib.Path, model: StyleModel) -> None:
    tensors, metadata = parts(path)
    assert tensors["contract/0/norm/gamma"].shape == (3, 4)
    assert set(metadata) == {
        *("schema", "sha256", "architecture", "styles", "encoder", "card")
    }
    assert metadata["schema"] == "nstjax.model/1"
    assert json.loads(metadata["architecture"])["kind"] == "transform"
    assert json.loads(metadata["styles"]) == list(model.styles)
    assert json.loads(metadata["encoder"]) is None
    assert json.loads(metadata["card"]) == CARD
    header = int.from_bytes(path.read_bytes()[:8], "little")
    assert header % 8 == 0


def test_the_hash_depends_on_numbers_and_metadata(
    model: StyleModel, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "model.safetensors"
    hashes = [
        write_model(path, each)
        for each in (
            model,
            model._replace(card={}),
            model._replace(styles=("wave", "scream", "other")),
        )
    ]
    model.network.last.convolution.bias[...] += 1e-3
    hashes.append(write_model(path, model))
    assert len({*hashes}) == 4


def test_a_flipped_byte_anywhere_in_the_tensors_is_found(path: pathlib.Path) -> None:
    contents = bytearray(path.read_bytes())
    header = 8 + int.from_bytes(contents[:8], "little")
    for position in (header, (header + len(contents)) // 2, len(contents) - 1):
        damaged = contents.copy()
        damaged[position] ^= 0x10
        path.write_bytes(damaged)
        assert_refused(path, "damaged")


@pytest.mark.parametrize("word", [b"Hokusai", b"wave", b"1e-05", b"reflect"])
def test_a_changed_word_of_the_metadata_is_found(
    path: pathlib.Path, word: bytes
) -> None:
    contents = path.read_bytes()
    assert contents.count(word) == 1
    changed = {b"1e-05": b"1e-06", b"reflect": b"zero   "}.get(word, word[::-1])
    path.write_bytes(contents.replace(word, changed))
    assert_refused(path, "describe a model" if word == b"reflect" else "damaged")


def test_every_flipped_byte_of_the_header_is_refused_in_a_line(
    path: pathlib.Path,
) -> None:
    contents = path.read_bytes()
    header = 8 + int.from_bytes(contents[:8], "little")
    for position in range(0, header, 37):
        damaged = bytearray(contents)
        damaged[position] ^= 0x01
        path.write_bytes(damaged)
        # Spaces after the header's end may become what ends it as well.
        if contents[position:header].strip():
            assert_refused(path, ".")


@pytest.mark.parametrize("kept", [0, 4, 100, 0.5, 0.999])
def test_a_truncated_file_is_refused(path: pathlib.Path, kept: float) -> None:
    size = path.stat().st_size
    os.truncate(path, int(kept * size) if kept < 1 else int(kept))
    assert_refused(path, "cut short")


def test_a_missing_file_and_a_folder_are_named(tmp_path: pathlib.Path) -> None:
    assert_refused(tmp_path / "none.safetensors", "does not exist")
    assert_refused(tmp_path, "is a folder")
    with pytest.raises(InputError, match="a file of no name"):
        read_model("")


def test_a_foreign_file_is_refused(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "vgg.safetensors"
    params = reference.random_params(channels=(2, 2, 2, 2, 2))
    weights.save_params(path, params, {"license": "CC BY 4.0"})
    assert_refused(path, "no feed-forward model of nstjax")
    safetensors.numpy.save_file({"a": np.zeros(1, np.float32)}, path)
    assert_refused(path, "no feed-forward model of nstjax")
    path.write_bytes(b"PK\x03\x04 a pickle of PyTorch, for example")
    assert_refused(path, "not readable as a safetensors file")


def test_another_schema_is_refused(path: pathlib.Path) -> None:
    contents = path.read_bytes()
    path.write_bytes(contents.replace(b"nstjax.model/1", b"nstjax.model/2"))
    assert_refused(path, "'nstjax.model/2', and this nstjax reads nstjax.model/1")


def test_a_large_file_is_refused_unread(path: pathlib.Path, monkeypatch) -> None:
    monkeypatch.setattr(model_file, "LARGEST_FILE_BYTES", path.stat().st_size)
    model = read_model(path)
    monkeypatch.setattr(model_file, "LARGEST_FILE_BYTES", path.stat().st_size - 1)
    with pytest.raises(InputError, match="larger than"):
        write_model(path, model)
    monkeypatch.setattr(safetensors, "safe_open", None)
    assert_refused(path, "larger than 256 MiB")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda tensors: tensors.update(
                {"contract/0/convolution/kernel": np.zeros((9, 9, 3, 5), np.float32)}
            ),
            r"another architecture: contract/0/convolution/kernel has shape "
            r"\[9, 9, 3, 5\], expected \[9, 9, 3, 4\]",
        ),
        (
            lambda tensors: tensors.pop("last/convolution/bias"),
            r"another architecture: last/convolution/bias has shape none, "
            r"expected \[3\]",
        ),
        (
            lambda tensors: tensors.update(other=np.zeros(2, np.float32)),
            r"another architecture: other has shape \[2\], expected none",
        ),
        (
            lambda tensors: tensors.update(
                {"last/convolution/bias": np.zeros(3, np.int32)}
            ),
            "last/convolution/bias is I32, not F16 or F32",
        ),
    ],
)
def test_tensors_of_another_network_are_refused(
    path: pathlib.Path, change, words: str
) -> None:
    tensors, metadata = parts(path)
    change(tensors)
    safetensors.numpy.save_file(tensors, path, metadata)
    assert_refused(path, words)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("architecture", '{"kind": "other"}'),
        ("architecture", '{"kind": "transform", "residual_blocks": 1.5}'),
        ("architecture", '{"kind": "transform", "width": 1' + 400 * "0" + "}"),
        ("architecture", "[" * 100_000),
        ("architecture", "{"),
        ("styles", '["one"]'),
        ("styles", "[1, 2, 3]"),
        ("styles", '["a", "a", "b"]'),
        ("encoder", "{}"),
        ("encoder", json.dumps(ENCODER._asdict())),
        ("card", "[1]"),
        ("card", None),
    ],
)
def test_metadata_that_describe_no_model_are_refused(
    path: pathlib.Path, key: str, value: str | None
) -> None:
    tensors, metadata = parts(path)
    metadata[key] = value
    kept = {name: text for name, text in metadata.items() if text is not None}
    safetensors.numpy.save_file(tensors, path, kept)
    assert_refused(path, "does not describe a model")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_neither_written_nor_read(
    path: pathlib.Path, model: StyleModel, value: float
) -> None:
    old = path.read_bytes()
    model.network.expand[1].norm.beta[...] += value
    with pytest.raises(InputError, match=r"expand/1/norm/beta .* not finite"):
        write_model(path, model)
    assert path.read_bytes() == old
    tensors, metadata = parts(path)
    tensors["expand/1/norm/beta"][0, 0] = value
    del metadata["sha256"]
    metadata["sha256"] = model_file._sha256(tensors, metadata)
    safetensors.numpy.save_file(tensors, path, metadata)
    assert_refused(path, "expand/1/norm/beta .* not finite")


def test_numbers_beyond_half_precision_are_refused(
    path: pathlib.Path, model: StyleModel
) -> None:
    model.network.last.convolution.bias[...] += 7e4
    with pytest.raises(InputError, match="not finite in float16"):
        write_model(path, model, half_precision=True)
    write_model(path, model)
    np.testing.assert_array_equal(output(read_model(path)), output(model))


@pytest.mark.parametrize("name", ["", " ", "a,b", "a:b", " a", "a\nb", "other"])
def test_style_names_that_an_option_cannot_hold_are_refused(
    model: StyleModel, tmp_path: pathlib.Path, name: str
) -> None:
    named = model._replace(styles=("The Scream", name, "other"))
    with pytest.raises(InputError, match="cannot name a style") as caught:
        write_model(tmp_path / "model.safetensors", named)
    assert repr(name) in str(caught.value)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", STYLES)
def test_every_style_needs_a_name(kind: str, tmp_path: pathlib.Path) -> None:
    model = make_model(kind)
    named = model._replace(styles=(*model.styles, "more"))
    with pytest.raises(InputError, match="styles, but"):
        write_model(tmp_path / "model.safetensors", named)


@pytest.mark.parametrize(
    ("kind", "encoder"),
    [
        ("instance", ENCODER),
        ("adain", None),
        ("adain", ENCODER._replace(pool="mean")),
        ("adain", ENCODER._replace(scales={"conv1_1": 1.0})),
        ("adain", ENCODER._replace(scales={**ENCODER.scales, "conv5_4": 0.0})),
        ("adain", ENCODER._replace(scales={**ENCODER.scales, "conv1_1": np.inf})),
        ("adain", ENCODER._replace(scales={**ENCODER.scales, "conv1_1": np.nan})),
    ],
)
def test_an_encoder_that_does_not_fit_is_refused(
    kind: str, encoder: Encoder | None, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(InputError, match="encoder"):
        write_model(path, make_model(kind)._replace(encoder=encoder))


def test_a_failed_write_keeps_the_old_file(
    path: pathlib.Path, model: StyleModel, monkeypatch
) -> None:
    def fail(self: pathlib.Path, contents: bytes) -> None:
        with open(self, "wb") as file:
            file.write(contents[:100])
        raise OSError(28, "No space left on device")

    old = path.read_bytes()
    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space"):
        patched.setattr(pathlib.Path, "write_bytes", fail)
        write_model(path, model._replace(card={}))
    assert path.read_bytes() == old
    assert os.listdir(path.parent) == [path.name]


def test_a_bundled_model_is_found_by_name(
    path: pathlib.Path, model: StyleModel, monkeypatch
) -> None:
    monkeypatch.setattr(model_file, "MODELS", path.parent)
    path.rename(path.with_name("painterly.safetensors"))
    assert model_file.bundled_model("painterly").styles == model.styles
    with pytest.raises(InputError, match="choose one of painterly, arbitrary"):
        model_file.bundled_model("../painterly")


def test_weights_are_float32_in_double_precision(path: pathlib.Path, float64) -> None:
    tensors = parts(path)[0]
    for name, tensor in model_file.network_tensors(read_model(path).network).items():
        np.testing.assert_array_equal(tensor, tensors[name])
    assert read_model(path).network.contract[0].norm.gamma[...].dtype == np.float32
