import hashlib
import http.server
import os
import pathlib
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io

from nstjax.errors import InputError
from nstjax.io.weights import params_sha256, read_params
from nstjax.vgg import CONV_LAYERS, MEAN_RGB, kernel_shapes
from weights_convert import convert_file
from weights_convert.convert import to_params
from weights_convert.download import FILE_NAME, download
from weights_convert.fingerprint import (
    CHANNEL_MEANS_RGB,
    FIRST_BIASES,
    KERNEL_SUMS,
    find_orientation,
)
from weights_convert.source import LayerArrays

ROOT = pathlib.Path(__file__).resolve().parents[1]


def fingerprinted_arrays() -> LayerArrays:
    """Random RGB (row, column) arrays with VGG-19's shapes and published figures."""
    rng = np.random.default_rng(0)
    arrays = {}
    for layer, shape in kernel_shapes().items():
        kernel = 0.01 * rng.standard_normal(shape, np.float32)
        bias = rng.standard_normal(shape[-1], np.float32)
        arrays[layer] = (kernel, bias)

    # Half of each channel's weights positive, half negative: their levels then set the
    # mean absolute value and the sum independently.
    sums = KERNEL_SUMS["conv1_1"][:, :, None, None] / (3 * 64)
    means = CHANNEL_MEANS_RGB[None, None, :, None]
    spread = rng.uniform(0.5, 1.5, (3, 3, 3, 32))
    spread /= spread.mean(axis=-1, keepdims=True)
    halves = [(means + sums) * spread, (sums - means) * spread]
    kernel = np.concatenate(halves, axis=-1)[..., rng.permutation(64)]
    bias = arrays["conv1_1"][1]
    bias[:4] = FIRST_BIASES
    arrays["conv1_1"] = (kernel.astype(np.float32), bias)

    kernel, bias = arrays["conv3_4"]
    kernel = kernel - kernel.mean(axis=(2, 3), keepdims=True, dtype=np.float64)
    kernel += KERNEL_SUMS["conv3_4"][:, :, None, None] / (256 * 256)
    arrays["conv3_4"] = (kernel.astype(np.float32), bias)
    return arrays


def as_bgr(arrays: LayerArrays) -> LayerArrays:
    kernel, bias = arrays["conv1_1"]
    return {**arrays, "conv1_1": (kernel[:, :, ::-1, :], bias)}


def transposed(arrays: LayerArrays) -> LayerArrays:
    return {
        layer: (kernel.transpose(1, 0, 2, 3), bias)
        for layer, (kernel, bias) in arrays.items()
    }


def write_keras(
    path: pathlib.Path,
    arrays: LayerArrays,
    names: tuple[str, str],
    root: str = "/",
    top: bool = False,
) -> None:
    with h5py.File(path, "w") as file:
        group = file.require_group(root)
        for layer, values in arrays.items():
            keras = layer.replace("conv", "block").replace("_", "_conv")
            for name, value in zip(names, values, strict=True):
                group[name.format(keras)] = value
        if top:
            for keras in ("fc1", "fc2", "predictions"):
                for name in names:
                    group[name.format(keras)] = np.zeros((4, 4), np.float32)


def write_matconvnet(
    path: pathlib.Path, arrays: LayerArrays, beta16: bool, mean: Any = MEAN_RGB
) -> None:
    def struct(**values: Any) -> np.ndarray:
        record = np.empty((1, 1), [(name, object) for name in values])
        for name, value in values.items():
            record[name][0, 0] = value
        return record

    layers = []
    top = np.ones((1, 1, 4, 4), np.float32)
    for layer, (kernel, bias) in {**arrays, "fc6": (top, top[0, 0, 0])}.items():
        weights = np.empty((1, 2), object)
        weights[0, 0] = np.asfortranarray(kernel)
        weights[0, 1] = bias.reshape(-1, 1) if beta16 else bias.reshape(1, -1)
        if beta16:
            layers.append(struct(weights=weights, type="conv", name=layer))
        else:
            layers.append(struct(name=layer, type="conv", weights=weights))
        layers.append(struct(type="relu", name=layer.replace("conv", "relu")))
    cell = np.empty((1, len(layers)), object)
    cell[0] = layers
    average = np.asarray(mean, np.float32).reshape(1, 1, 3)
    if beta16:
        average = np.broadcast_to(average, (224, 224, 3))
        contents = {"layers": cell, "normalization": struct(averageImage=average)}
    else:
        normalization = struct(averageImage=average)
        contents = {"layers": cell, "meta": struct(normalization=normalization)}
    scipy.io.savemat(path, contents)


KERAS_2016 = ("{0}/{0}_W_1:0", "{0}/{0}_b_1:0")
KERAS_2 = ("{0}/{0}/kernel:0", "{0}/{0}/bias:0")

Writer = Callable[[pathlib.Path, LayerArrays], None]
LAYOUTS: dict[str, tuple[str, Writer, tuple[str, str, str]]] = {
    "keras 2016": (
        "vgg19.h5",
        lambda path, arrays: write_keras(path, as_bgr(arrays), KERAS_2016),
        ("Keras 2016", "BGR", "row, column"),
    ),
    "keras 2016, with top": (
        "vgg19.h5",
        lambda path, arrays: write_keras(path, as_bgr(arrays), KERAS_2016, top=True),
        ("Keras 2016", "BGR", "row, column"),
    ),
    "keras 2": (
        "vgg19.hdf5",
        lambda path, arrays: write_keras(path, as_bgr(arrays), KERAS_2),
        ("Keras 2", "BGR", "row, column"),
    ),
    "keras 2, whole model": (
        "VGG19.H5",
        lambda path, arrays: write_keras(
            path, as_bgr(arrays), KERAS_2, root="model_weights", top=True
        ),
        ("Keras 2", "BGR", "row, column"),
    ),
    "matconvnet": (
        "vgg19.mat",
        lambda path, arrays: write_matconvnet(path, arrays, beta16=False),
        ("MatConvNet", "RGB", "row, column"),
    ),
    "matconvnet beta16": (
        "vgg19.mat",
        lambda path, arrays: write_matconvnet(path, arrays, beta16=True),
        ("MatConvNet beta16", "RGB", "row, column"),
    ),
    "matconvnet, spatial axes exchanged": (
        "vgg19.mat",
        lambda path, arrays: write_matconvnet(path, transposed(arrays), beta16=False),
        ("MatConvNet", "RGB", "column, row"),
    ),
}


@pytest.fixture(scope="module")
def arrays() -> LayerArrays:
    return fingerprinted_arrays()


@pytest.fixture(scope="module")
def keras_file(
    arrays: LayerArrays, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[pathlib.Path]:
    path = tmp_path_factory.mktemp("keras") / "vgg19.h5"
    write_keras(path, as_bgr(arrays), KERAS_2016)
    yield path
    path.unlink()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_params(
    layout: str, arrays: LayerArrays, tmp_path: pathlib.Path
) -> None:
    file_name, write, expected = LAYOUTS[layout]
    path = tmp_path / file_name
    write(path, arrays)
    params, metadata = convert_file(path)
    path.unlink()
    assert tuple(params) == CONV_LAYERS
    for layer, (kernel, bias) in arrays.items():
        np.testing.assert_array_equal(params[layer]["kernel"], kernel)
        np.testing.assert_array_equal(params[layer]["bias"], bias)
        assert params[layer]["kernel"].dtype == np.float32
    assert metadata["source_file"] == file_name
    assert re.fullmatch("[0-9a-f]{64}", metadata["source_sha256"])
    assert metadata["channel_order"] == "RGB"
    assert metadata["license"].startswith("CC BY 4.0")
    assert (
        metadata["source_layout"],
        metadata["source_channel_order"],
        metadata["source_spatial_order"],
    ) == expected


@pytest.mark.parametrize("exchange_axes", [False, True])
@pytest.mark.parametrize("exchange_colors", [False, True])
def test_orientation_follows_from_the_weights(
    arrays: LayerArrays, exchange_axes: bool, exchange_colors: bool
) -> None:
    given = as_bgr(arrays) if exchange_colors else arrays
    given = transposed(given) if exchange_axes else given
    orientation = find_orientation(given)
    assert orientation.channels == ("BGR" if exchange_colors else "RGB")
    assert orientation.spatial == ("column, row" if exchange_axes else "row, column")
    params = to_params(given, orientation)
    for layer, (kernel, _) in arrays.items():
        np.testing.assert_array_equal(params[layer]["kernel"], kernel)


def other_axes_in_conv3_4(arrays: LayerArrays) -> LayerArrays:
    return {**arrays, "conv3_4": transposed(arrays)["conv3_4"]}


def green_first(arrays: LayerArrays) -> LayerArrays:
    kernel, bias = arrays["conv1_1"]
    return {**arrays, "conv1_1": (kernel[:, :, [1, 0, 2], :], bias)}


def other_biases(arrays: LayerArrays) -> LayerArrays:
    kernel, bias = arrays["conv1_1"]
    return {**arrays, "conv1_1": (kernel, bias[::-1])}


def rotated(arrays: LayerArrays) -> LayerArrays:
    return {
        layer: (kernel[::-1, ::-1], bias) for layer, (kernel, bias) in arrays.items()
    }


def random_weights(arrays: LayerArrays) -> LayerArrays:
    rng = np.random.default_rng(1)
    return {
        layer: (rng.standard_normal(kernel.shape, np.float32), bias)
        for layer, (kernel, bias) in arrays.items()
    }


def one_nan(arrays: LayerArrays) -> LayerArrays:
    kernel, bias = arrays["conv5_3"]
    kernel = kernel.copy()
    kernel[1, 2, 3, 4] = np.nan
    return {**arrays, "conv5_3": (kernel, bias)}


def one_infinite_bias(arrays: LayerArrays) -> LayerArrays:
    kernel, bias = arrays["conv4_1"]
    return {**arrays, "conv4_1": (kernel, np.where(bias == bias[7], np.inf, bias))}


def slimmer_conv2_1(arrays: LayerArrays) -> LayerArrays:
    kernel, bias = arrays["conv2_1"]
    return {**arrays, "conv2_1": (kernel[..., :96], bias[:96])}


def vgg16(arrays: LayerArrays) -> LayerArrays:
    return {layer: arrays[layer] for layer in arrays if not layer.endswith("_4")}


def integers(arrays: LayerArrays) -> LayerArrays:
    kernel, bias = arrays["conv4_4"]
    return {**arrays, "conv4_4": (kernel.astype(np.int32), bias)}


REFUSED: dict[Callable[[LayerArrays], LayerArrays], str] = {
    other_axes_in_conv3_4: "not the weights of ImageNet's VGG-19.*sums",
    green_first: "not the weights of ImageNet's VGG-19.*by channel",
    other_biases: "not the weights of ImageNet's VGG-19.*biases",
    rotated: "not the weights of ImageNet's VGG-19.*sums",
    random_weights: "not the weights of ImageNet's VGG-19",
    one_nan: "conv5_3 holds a number that is not finite",
    one_infinite_bias: "conv4_1 holds a number that is not finite",
    slimmer_conv2_1: re.escape("expected [3, 3, 64, 128], got [3, 3, 64, 96]"),
    vgg16: "no layer conv3_4",
    integers: "conv4_4 holds int32",
}


@pytest.mark.parametrize("change", REFUSED, ids=lambda change: change.__name__)
def test_other_arrays_are_refused(
    arrays: LayerArrays, change: Callable[[LayerArrays], LayerArrays]
) -> None:
    with pytest.raises(InputError, match=REFUSED[change]):
        find_orientation(change(arrays))


@pytest.mark.parametrize(
    "change", [one_nan, slimmer_conv2_1, vgg16, random_weights, integers]
)
@pytest.mark.parametrize("suffix", [".h5", ".mat"])
def test_files_of_other_networks_are_refused(
    arrays: LayerArrays,
    change: Callable[[LayerArrays], LayerArrays],
    suffix: str,
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / f"other{suffix}"
    if suffix == ".h5":
        write_keras(path, change(arrays), KERAS_2)
    else:
        write_matconvnet(path, change(arrays), beta16=False)
    with pytest.raises(InputError, match=REFUSED[change]) as caught:
        convert_file(path)
    path.unlink()
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_declared_shapes_are_checked_before_anything_is_read(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / "huge.h5"
    with h5py.File(path, "w") as file:
        # 16 TB if it were read; on disk it is a few bytes of header.
        file.create_dataset(
            "block1_conv1/block1_conv1/kernel:0",
            (3, 3, 2**20, 2**19),
            np.float32,
            chunks=(1, 1, 1024, 1024),
        )
        file["block1_conv1/block1_conv1/bias:0"] = np.zeros(64, np.float32)
    with pytest.raises(InputError, match="conv1_1's kernel has the wrong shape"):
        convert_file(path)


def test_another_mean_image_is_refused(
    arrays: LayerArrays, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "other.mat"
    write_matconvnet(path, arrays, beta16=True, mean=[0.0, 0.0, 0.0])
    with pytest.raises(InputError, match="mean color"):
        convert_file(path)


def resnet(path: pathlib.Path) -> None:
    with h5py.File(path, "w") as file:
        file["conv1_conv/conv1_conv/kernel:0"] = np.zeros((7, 7, 3, 64), np.float32)
        file["conv1_conv/conv1_conv/bias:0"] = np.zeros(64, np.float32)


def dataset_for_group(path: pathlib.Path) -> None:
    with h5py.File(path, "w") as file:
        file["model_weights"] = 1.0


BROKEN_FILES: dict[str, tuple[str, Callable[[pathlib.Path], object], str]] = {
    "resnet": ("resnet.h5", resnet, "no layer block1_conv1"),
    "text as h5": ("a.h5", lambda path: path.write_text("weights"), "HDF5"),
    "text as mat": ("a.mat", lambda path: path.write_text("weights\n" * 99), "MATLAB"),
    "empty h5": ("a.h5", lambda path: path.touch(), "empty"),
    "empty mat": ("a.mat", lambda path: path.touch(), "empty"),
    "folder": ("a.h5", lambda path: path.mkdir(), "is a folder"),
    "absent": ("a.h5", lambda path: None, "does not exist"),
    "other suffix": ("a.pth", lambda path: path.write_text("weights"), "end in .h5"),
    "h5 as mat": ("a.mat", resnet, "MATLAB"),
    "mat without layers": (
        "a.mat",
        lambda path: scipy.io.savemat(path, {"layers": 3.0}),
        "no MatConvNet list of layers",
    ),
    "h5 with a dataset for a group": (
        "a.h5",
        dataset_for_group,
        "HDF5",
    ),
}


@pytest.mark.parametrize("broken", BROKEN_FILES)
def test_broken_files_are_refused_in_one_line(
    broken: str, tmp_path: pathlib.Path
) -> None:
    name, write, expected = BROKEN_FILES[broken]
    write(tmp_path / name)
    with pytest.raises(InputError, match=expected) as caught:
        convert_file(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.999])
@pytest.mark.parametrize("layout", ["keras 2016", "matconvnet"])
def test_truncated_files_are_refused(
    arrays: LayerArrays, layout: str, kept: float, tmp_path: pathlib.Path
) -> None:
    file_name, write, _ = LAYOUTS[layout]
    path = tmp_path / file_name
    write(path, arrays)
    os.truncate(path, int(kept * path.stat().st_size))
    with pytest.raises(InputError, match="cut short"):
        convert_file(path)
    path.unlink()


# --- the command ---


def run_command(*arguments: object, cache: pathlib.Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "weights_convert", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "XDG_CACHE_HOME": str(cache)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_command_converts(
    keras_file: pathlib.Path, arrays: LayerArrays, tmp_path: pathlib.Path
) -> None:
    output = tmp_path / "vgg19.safetensors"
    result = run_command(f"--input={keras_file}", f"--output={output}", cache=tmp_path)
    assert result.returncode == 0, result.stderr
    loaded = read_params(output)
    assert loaded.sha256 in result.stdout
    assert "Keras 2016" in result.stdout
    assert "BGR" in result.stdout
    assert "row, column" in result.stdout
    params = {
        layer: {"kernel": kernel, "bias": bias}
        for layer, (kernel, bias) in arrays.items()
    }
    assert loaded.sha256 == params_sha256(params)
    assert os.listdir(tmp_path) == [output.name]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "--input=FILE or --download"),
        (["--download", "--input=a.h5"], "--input=FILE or --download"),
        (["--imput=a.h5"], "imput"),
        (["--download=perhaps"], "download"),
        (["a.h5"], "unexpected argument a.h5"),
        (["--input=absent.h5", "--output={folder}/out.safetensors"], "does not exist"),
        (["--input={folder}/text.h5", "--output={folder}/out.safetensors"], "HDF5"),
        (["--input={good}", "--output={folder}/out.h5"], ".safetensors"),
        (["--input={good}", "--output={folder}/no/out.safetensors"], "folder"),
        (["--input={good}", "--output={folder}/taken.safetensors"], "cannot be"),
    ],
)
def test_the_command_fails_in_one_line(
    arguments: list[str],
    expected: str,
    keras_file: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    (tmp_path / "text.h5").write_text("no weights")
    (tmp_path / "taken.safetensors").mkdir()
    before = sorted(tmp_path.iterdir())
    result = run_command(
        *(argument.format(folder=tmp_path, good=keras_file) for argument in arguments),
        cache=tmp_path / "cache",
    )
    assert result.returncode == 2
    assert result.stderr.startswith("weights_convert: error: ")
    assert result.stderr.count("\n") == 1
    assert expected in result.stderr
    assert not (tmp_path / "cache" / "nstjax" / "vgg19.safetensors").exists()
    assert sorted(tmp_path.iterdir()) == before


# --- the download ---

CONTENTS = np.random.default_rng(2).bytes(700_000)
HASH = "sha256:" + hashlib.sha256(CONTENTS).hexdigest()


class FileServer:
    """A local server whose behavior a test chooses by the path it asks for."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str | None]] = []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.requests.append((self.path, self.headers.get("Range")))
                server.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        body, behavior = CONTENTS, handler.path.strip("/")
        if behavior == "absent":
            handler.send_error(404)
            return
        if behavior == "other":
            body = bytes(len(CONTENTS))
        if behavior == "portal":
            body = b"<html>Please log in</html>"
        if behavior in ("larger", "endless"):
            body = CONTENTS * 2
        given = handler.headers.get("Range")
        start = 0
        if given and behavior != "ignores-range":
            start = int(given.removeprefix("bytes=").removesuffix("-"))
            handler.send_response(206)
            last = len(body) - 1
            handler.send_header("Content-Range", f"bytes {start}-{last}/{len(body)}")
        else:
            handler.send_response(200)
        if behavior not in ("endless", "early-end"):
            handler.send_header("Content-Length", str(len(body) - start))
        handler.end_headers()
        if behavior in ("drops", "early-end"):
            body = body[: len(body) // 2]
        try:
            handler.wfile.write(body[start:])
        except OSError:
            assert behavior == "endless"


@pytest.fixture
def server() -> Iterator[FileServer]:
    server = FileServer()
    yield server
    server.http.shutdown()
    server.http.server_close()


def fetch(server: FileServer, folder: pathlib.Path, *behaviors: str) -> bytes:
    urls = [f"{server.url}/{behavior}" for behavior in behaviors]
    path = pathlib.Path(download(urls, HASH, len(CONTENTS), folder))
    assert path == folder / FILE_NAME
    assert os.listdir(folder) == [FILE_NAME]
    return path.read_bytes()


def test_download(server: FileServer, tmp_path: pathlib.Path) -> None:
    assert fetch(server, tmp_path / "cache", "good") == CONTENTS
    assert fetch(server, tmp_path / "cache", "good") == CONTENTS
    assert server.requests == [("/good", None)]


@pytest.mark.parametrize("present", [1, 300_000, len(CONTENTS) - 1])
def test_download_resumes(
    server: FileServer, tmp_path: pathlib.Path, present: int
) -> None:
    (tmp_path / f"{FILE_NAME}.part").write_bytes(CONTENTS[:present])
    assert fetch(server, tmp_path, "good") == CONTENTS
    assert server.requests == [("/good", f"bytes={present}-")]


def test_a_complete_part_needs_no_server(
    server: FileServer, tmp_path: pathlib.Path
) -> None:
    (tmp_path / f"{FILE_NAME}.part").write_bytes(CONTENTS)
    assert fetch(server, tmp_path, "good") == CONTENTS
    assert server.requests == []


def test_an_oversized_part_is_replaced(
    server: FileServer, tmp_path: pathlib.Path
) -> None:
    (tmp_path / f"{FILE_NAME}.part").write_bytes(CONTENTS * 2)
    assert fetch(server, tmp_path, "good") == CONTENTS


def test_a_server_may_ignore_the_range(
    server: FileServer, tmp_path: pathlib.Path
) -> None:
    (tmp_path / f"{FILE_NAME}.part").write_bytes(CONTENTS[:1000])
    assert fetch(server, tmp_path, "ignores-range") == CONTENTS


def test_a_dropped_download_goes_on_at_the_mirror(
    server: FileServer, tmp_path: pathlib.Path
) -> None:
    assert fetch(server, tmp_path, "drops", "good") == CONTENTS
    given = server.requests[1][1]
    assert given is not None
    # requests drops the chunk that was cut off.
    assert 200_000 < int(given.removeprefix("bytes=").removesuffix("-")) <= 350_000


@pytest.mark.parametrize(
    "first", ["absent", "other", "portal", "larger", "endless", "early-end"]
)
def test_the_mirror_is_second(
    server: FileServer, tmp_path: pathlib.Path, first: str
) -> None:
    assert fetch(server, tmp_path, first, "good") == CONTENTS
    assert server.requests[1] == ("/good", None)


def test_a_damaged_part_does_not_spoil_the_mirror(
    server: FileServer, tmp_path: pathlib.Path
) -> None:
    (tmp_path / f"{FILE_NAME}.part").write_bytes(bytes(1000))
    assert fetch(server, tmp_path, "good", "good") == CONTENTS


@pytest.mark.parametrize(
    ("behavior", "expected"),
    [
        ("other", "hash"),
        ("portal", "has 26 bytes"),
        ("larger", "has 1400000 bytes"),
        ("endless", "more than 700000 bytes"),
        ("early-end", "350000 of 700000 bytes"),
        ("absent", "404"),
    ],
)
def test_a_wrong_file_is_refused(
    server: FileServer, tmp_path: pathlib.Path, behavior: str, expected: str
) -> None:
    with pytest.raises(InputError, match=expected) as caught:
        fetch(server, tmp_path, behavior)
    assert "pass --input=FILE" in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_both_servers_dead(server: FileServer, tmp_path: pathlib.Path) -> None:
    server.http.shutdown()
    server.http.server_close()
    urls = [f"{server.url}/first", f"{server.url}/second"]
    with pytest.raises(InputError) as caught:
        download(urls, HASH, len(CONTENTS), tmp_path)
    for expected in [*urls, "refused", "pass --input=FILE"]:
        assert expected in str(caught.value)
    assert os.listdir(tmp_path) == []


@pytest.mark.vgg19
def test_the_real_weights_are_the_same_in_every_layout(
    shared: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    writer = shared / "tools" / "write_vgg19_files.py"
    subprocess.run([sys.executable, writer, tmp_path], check=True, capture_output=True)
    paths = sorted(tmp_path.iterdir())
    assert len(paths) == 5
    converted = {path.name: convert_file(path)[0] for path in paths}
    keras = converted["vgg19_keras2_notop.h5"]
    with h5py.File(tmp_path / "vgg19_keras2_notop.h5") as file:
        bgr = file["block1_conv1/block1_conv1/kernel:0"][()]
    np.testing.assert_array_equal(keras["conv1_1"]["kernel"], bgr[:, :, ::-1, :])
    for path in paths:
        path.unlink()
        for layer in CONV_LAYERS:
            for part in ("kernel", "bias"):
                np.testing.assert_array_equal(
                    converted[path.name][layer][part], keras[layer][part]
                )
