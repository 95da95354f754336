"""What ``import nstjax`` gives."""

import inspect
import subprocess
import sys

import pytest

import nstjax


def test_public_names_are_unique_and_exist():
    assert len(set(nstjax.__all__)) == len(nstjax.__all__)
    missing = [name for name in nstjax.__all__ if not hasattr(nstjax, name)]
    assert not missing


def test_every_imported_name_is_declared_public():
    # Submodules become attributes when they are imported; they are reached by path.
    names = {
        name
        for name, value in vars(nstjax).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert names <= set(nstjax.__all__)


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in nstjax.__all__
        if inspect.isfunction(getattr(nstjax, name))
        or inspect.isclass(getattr(nstjax, name))
    ],
)
def test_public_function_or_class_has_a_docstring(name):
    # vars: a class must not merely inherit its base's.
    docstring = (
        vars(getattr(nstjax, name)).get("__doc__") or getattr(nstjax, name).__doc__
    )
    assert docstring
    # What named tuples and dataclasses get when nobody writes one.
    assert not docstring.startswith(f"{name}(")
    assert docstring.splitlines()[0].endswith((".", "?"))


def test_import_leaves_out_what_few_callers_need():
    code = (
        "import sys, nstjax\n"
        "print(*{'matplotlib', 'skimage', 'h5py', 'scipy', 'flax'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == []
