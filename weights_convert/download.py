"""Fetching Keras' VGG-19 file, which has the original weights and no top."""

import logging
import os
from collections.abc import Sequence

import pooch
import requests
from tqdm import tqdm

from nstjax.errors import InputError
from nstjax.io.paths import StrPath

FILE_NAME = "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5"
URLS = (
    "https://github.com/fchollet/deep-learning-models/releases/download/v0.1/"
    + FILE_NAME,
    "https://storage.googleapis.com/tensorflow/keras-applications/vgg19/" + FILE_NAME,
)
# The hash that keras_applications/vgg19.py publishes.
KNOWN_HASH = "md5:253f8cb515780f3b799900260a226db6"
SIZE_BYTES = 80_134_624

# Seconds to connect, and seconds without a single byte.
TIMEOUT = (10, 60)
# A chunk that is cut off is lost, so the chunks are small.
CHUNK_BYTES = 2**16


def download(
    urls: Sequence[str] = URLS,
    known_hash: str = KNOWN_HASH,
    size: int = SIZE_BYTES,
    folder: StrPath | None = None,
) -> str:
    """Download Keras' VGG-19 file into the cache, unless it is there; gives its path.

    A download that was cut off goes on where it stopped, at the same server or another.
    No server can make it exceed the size.
    """
    # pooch reports every step at level INFO; the progress bar says enough.
    pooch.get_logger().setLevel(logging.WARNING)
    cache = os.fspath(folder if folder is not None else pooch.os_cache("nstjax"))
    part = os.path.join(cache, FILE_NAME + ".part")

    def complete(url: str, output: str, _: object) -> None:
        # pooch's own downloaders begin anew each time.
        _fetch(url, part, size)
        # From here on a wrong hash leaves no part behind that could be resumed.
        os.replace(part, output)

    failures = []
    for url in urls:
        try:
            found = pooch.retrieve(
                url, known_hash, FILE_NAME, cache, downloader=complete
            )
            return str(found)
        # pooch raises ValueError for a wrong hash. A disk's OSError is let through:
        # another server would not mend it.
        except (requests.RequestException, ValueError) as error:
            failures.append(f"{url}: {error}")
    raise InputError(
        f"the download failed ({'; '.join(failures)}): try again, or download "
        f"{FILE_NAME} by hand and pass --input=FILE"
    )


def _fetch(url: str, part: str, size: int) -> None:
    """Complete the part that has arrived, which is kept where the network fails."""
    present = os.path.getsize(part) if os.path.exists(part) else 0
    if present == size:
        return
    start = present if present < size else 0
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        response.raise_for_status()
        if response.status_code != 206:
            # A server that ignores Range sends the file from its start.
            start = 0
        given = response.headers.get("Content-Range", f"bytes {start}-")
        if not given.startswith(f"bytes {start}-"):
            raise InputError(f"the server sent the wrong range ({given!r})")
        length = response.headers.get("Content-Length")
        if length is not None and start + int(length) != size:
            raise InputError(
                f"the server's file has {start + int(length)} bytes, not {size}"
            )
        options = {"unit": "B", "unit_scale": True, "disable": None}
        with (
            open(part, "ab" if start else "wb") as file,
            tqdm(desc="VGG-19", total=size, initial=start, **options) as progress,
        ):
            for chunk in response.iter_content(CHUNK_BYTES):
                start += len(chunk)
                if start > size:
                    break
                file.write(chunk)
                progress.update(len(chunk))
    if start > size or (start < size and length is None):
        # Without an announced length an early end may be all that there is.
        os.remove(part)
    if start != size:
        raise InputError(f"the server sent {start} bytes, not {size}")
