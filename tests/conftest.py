"""Fixtures that several test modules share."""

import os
import pathlib

import pytest


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
    """The folder of development material, with the real VGG-19 weights."""
    beside = pathlib.Path(__file__).resolve().parents[2] / "shared"
    folder = pathlib.Path(os.environ.get("NSTJAX_SHARED", beside))
    if not folder.is_dir():
        pytest.skip("the development material is absent (set NSTJAX_SHARED)")
    return folder
