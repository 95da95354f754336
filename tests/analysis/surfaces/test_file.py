import json

import h5py
import jax
import numpy as np
import pytest
from surfaces import bowl, make_line, make_surface

from nstjax.analysis.surfaces.file import check_resumable, read_surface, write_surface
from nstjax.analysis.surfaces.surface import NO_MARKS, Marks
from nstjax.errors import InputError

NU, NV = 4, 6
LAYERS = ("relu5_1", "conv1_1")
ABOUT = {
    **{"jax_version": "0.10", "backend": "cpu", "device": "cpu"},
    "content_sha256": "c" * 64,
    "vgg_sha256": "f" * 64,
    "seed": 3,
    "flags": {"kind": "plane3", "grid": [NU, NV], "ranges": None},
    "settings": {"beta": 5.0, "init": "noise", "image_sha256": {"content": "ab"}},
    "config": {
        **{"content_layers": ["relu4_2"], "style_layer_weights": [0.25, 0.75]},
        **{"clamp": False, "pool": "avg", "nothing": None, "empty": []},
    },
}


@pytest.fixture
def surface():
    """A surface of which the first thirteen nodes are known."""
    surface = make_surface(nodes=13)
    points = surface.points._replace(names=("content", "result", "straße"))
    runs = {**surface.trajectories, "another": NO_MARKS}
    return surface._replace(points=points, trajectories=runs, about=ABOUT)


@pytest.fixture
def path(tmp_path, surface):
    write_surface(tmp_path / "surface.h5", surface)
    return tmp_path / "surface.h5"


@pytest.mark.parametrize("kind", ["plane", "line", "two settings"])
def test_surface_comes_back(tmp_path, surface, kind):
    if kind == "line":
        surface = make_line(bowl)._replace(about=ABOUT)
    if kind == "two settings":
        surface = surface._replace(plane=None, labels=("log10(β/α)", "learning rate"))
    path = tmp_path / "surface.h5"
    write_surface(path, surface)
    found = read_surface(path)
    found_leaves, found_tree = jax.tree.flatten(found)
    leaves, tree = jax.tree.flatten(surface)
    assert found_tree == tree
    for leaf, wanted in zip(found_leaves, leaves, strict=True):
        np.testing.assert_array_equal(leaf, wanted)
        assert np.asarray(leaf).dtype == np.asarray(wanted).dtype
    assert list(found.values.style_layers) == list(LAYERS)
    write_surface(tmp_path / "again.h5", found)
    assert (tmp_path / "again.h5").read_bytes() == path.read_bytes()
    with h5py.File(path) as file:
        assert ("origin" in file) == ("u" in file["axes"]) == (kind != "two settings")


def test_what_other_programs_find(path, surface):
    plane = surface.plane
    with h5py.File(path) as file:
        assert file.attrs["schema"] == "nstjax.surface/1"
        assert file.attrs["vgg_sha256"] == "f" * 64
        assert json.loads(file.attrs["flags_json"])["grid"] == [NU, NV]
        config = file["config"].attrs
        assert config["content_layers"].tolist() == ["relu4_2"]
        assert config["default_beta"] == 0.5
        for name, label in zip("uv", plane.labels, strict=True):
            found = file[f"axes/{name}"].attrs
            assert (found["kind"], found["label"]) == ("plane3", label)
            assert found["raw_cosine"] == plane.details["raw_cosine"]
        for place, (name, label) in enumerate(zip("st", surface.labels, strict=True)):
            axis = file[f"axes/{name}"]
            assert (axis.is_scale, axis.attrs["label"]) == (True, label)
            assert axis.attrs["unit_length"] == plane.unit_length
            assert f"{axis.attrs['rms_8bit_per_unit']:.3g} levels" in label
            for values in file["values"].values():
                assert values.dims[values.ndim - 2 + place][0] == axis
        for name, kind, shape in (
            ("axes/u", "f4", (2, 2, 3)),
            ("values/tv", "f8", (NU, NV)),
            ("values/out_of_gamut", "f4", (NU, NV)),
            ("values/style_layers", "f8", (2, NU, NV)),
            ("done", "u1", (NU, NV)),
            ("trajectory/run/step", "i4", (9,)),
            ("trajectory/run/residual", "f8", (9,)),
        ):
            assert (file[name].dtype, file[name].shape) == (kind, shape), name
        by_layer = file["values/style_layers"]
        assert tuple(by_layer.attrs["layers"]) == LAYERS
        expected = surface.values.style_layers["conv1_1"]
        np.testing.assert_array_equal(by_layer[1], expected)
        assert file["points/names"].asstr()[2] == "straße"
        assert file["trajectory/run/step"][()].tolist() == [2**k for k in range(9)]


def test_the_same_surface_is_resumed_with_other_versions(path):
    now = {**ABOUT, "jax_version": "0.11", "device": "H200", "backend": "gpu"}
    # Tuples are lists in JSON.
    now["flags"] = {**ABOUT["flags"], "grid": (NU, NV)}
    check_resumable(path, read_surface(path), now)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"content_sha256": "0"}, 'content_sha256 was "ccc.*, is "0"'),
        ({"flags": {"seed": 0}}, "flags seed was null, is 0"),
        ({"settings": {"beta": 6.0}}, r"settings beta was 5\.0, is 6\.0"),
        (
            {"settings": dict.fromkeys("abcdefgh", 0), "flags": {"grid": 0, "kind": 0}},
            r"\(flags grid was \[4, 6\], is 0; flags kind .*; and 6 more\)",
        ),
    ],
)
def test_another_surface_is_refused(path, change, says):
    wanted = {
        name: value | change.get(name, {})
        if isinstance(value, dict)
        else change.get(name, value)
        for name, value in ABOUT.items()
    }
    with pytest.raises(InputError, match=says) as caught:
        check_resumable(path, read_surface(path), wanted)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_file_and_other_files_are_refused(tmp_path):
    (tmp_path / "text.h5").write_text("losses")
    with h5py.File(tmp_path / "run.h5", "w") as file:
        file.attrs["schema"] = "nstjax.run/3"
    for name, problem in {
        "nowhere.h5": "does not exist: give a file of a loss surface",
        ".": "is a folder",
        "text.h5": r"text\.h5 is no HDF5 file: check the ",
        "run.h5": r"its schema is nstjax\.run/3",
    }.items():
        with pytest.raises(InputError, match=problem):
            read_surface(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        *(
            (name, None)
            for name in ("config", "axes/u", "axes/t", "done", "trajectory")
        ),
        ("values/content", np.zeros((NV, NU))),
        ("values/style_layers", np.zeros((1, NU, NV))),
        ("axes/v", np.zeros((2, 3, 3), np.float32)),
        ("trajectory/run/losses", np.zeros((2, 3))),
        ("values/tv", np.array([["text"] * NV] * NU, "S4")),
    ],
)
def test_what_is_missing_or_does_not_fit_is_refused(path, name, array):
    with h5py.File(path, "r+") as file:
        attributes = dict(file[name].attrs)
        del file[name]
        if array is not None:
            file[name] = array
            for attribute in ("label", "kind", "unit_length", "layers"):
                if attribute in attributes:
                    file[name].attrs[attribute] = attributes[attribute]
    with pytest.raises(InputError, match=r"surface\.h5 is damaged"):
        read_surface(path)


def test_what_no_surface_has_is_refused(path, surface):
    many = Marks(("a",) * 101, np.zeros((101, 2)), np.zeros(101), np.zeros((101, 3)))
    for change, says in (
        ({"weights": {"alpha": 1.0}}, "the weights of alpha alone"),
        ({"points": many}, "more than 100 points"),
    ):
        write_surface(path, surface._replace(**change))
        with pytest.raises(InputError, match=says):
            read_surface(path)
