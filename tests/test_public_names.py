"""What ``import nstjax`` gives."""

import inspect
import subprocess
import sys

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


def test_public_functions_and_classes_have_docstrings():
    for name in nstjax.__all__:
        value = getattr(nstjax, name)
        if inspect.isfunction(value) or inspect.isclass(value):
            # vars: a class must not merely inherit its base's.
            docstring = vars(value).get("__doc__") or value.__doc__
            # What named tuples and dataclasses get when nobody writes one.
            assert docstring and not docstring.startswith(f"{name}("), name
            assert docstring.splitlines()[0].endswith((".", "?")), name


def test_import_leaves_out_what_few_callers_need():
    code = """
import sys, numpy, nstjax
few = {"matplotlib", "skimage", "h5py", "scipy", "flax"} & set(sys.modules)
image = numpy.zeros((16, 16, 3))
nstjax.read_controls(image, [image], ["a"])
sys.exit(f"{few}" if few or "scipy.ndimage" in sys.modules else 0)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
