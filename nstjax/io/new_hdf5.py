"""Writing an HDF5 file whole or not at all."""

import contextlib
import io
import os
from collections.abc import Iterator

import h5py

from nstjax.io.atomic import atomic_path


@contextlib.contextmanager
def new_hdf5(path: str | os.PathLike[str], schema: str) -> Iterator[h5py.File]:
    """Yield a file that is in its place when the block succeeds."""
    # In memory first: h5py cannot close a file for which the disk has no room.
    contents = io.BytesIO()
    with h5py.File(contents, "w") as file:
        file.attrs["schema"] = schema
        yield file
    with atomic_path(path) as temporary:
        temporary.write_bytes(contents.getbuffer())
