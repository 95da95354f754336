"""Fetching Keras' VGG-19 file, which has the original weights and no top."""

import logging
import os
from collections.abc import Sequence

import pooch
import requests
from tqdm import tqdm

from nstjax.errors import InputError

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
    folder: str | os.PathLike[str] | None = None,
) -> str:
    """Download Keras' VGG-19 file into the cache, unless it is there already.

    A download that was cut off goes on where it stopped, at the same server or another.

    Args:
      urls: the servers to ask, one after the other.
      known_hash: the file's hash, as ``algorithm:digest``.
      size: the file's size in bytes; no server can make the download exceed it.
      folder: the cache folder, by default the user's cache folder for nstjax.

    Returns:
      The path of the file, whose hash has been checked.

    Raises:
      InputError: no server gave the file.
      OSError: the file cannot be written.
    """
    # pooch reports every step at level INFO; the progress bar says enough.
    pooch.get_logger().setLevel(logging.WARNING)
    cache = os.fspath(folder if folder is not None else pooch.os_cache("nstjax"))
    downloader = ResumableDownloader(os.path.join(cache, FILE_NAME + ".part"), size)
    failures = []
    for url in urls:
        try:
            return str(
                pooch.retrieve(
                    url, known_hash, fname=FILE_NAME, path=cache, downloader=downloader
                )
            )
        # pooch raises ValueError for a wrong hash. A disk's OSError is let through:
        # another server would not mend it.
        except (requests.RequestException, ValueError) as error:
            failures.append(f"{url}: {error}")
    raise InputError(
        f"the download failed ({'; '.join(failures)}): try again, or download "
        f"{FILE_NAME} by hand and pass --input=FILE"
    )


class ResumableDownloader:
    """A downloader for pooch that keeps what has arrived in a ``.part`` file."""

    def __init__(self, part: str, size: int) -> None:
        self.part = part
        self.size = size

    def __call__(self, url: str, output_file: str, _: object) -> None:
        """Completes the ``.part`` file and moves it to ``output_file``.

        Raises:
          InputError: the server offers another file.
          requests.RequestException: the network failed; the part is kept.
        """
        present = os.path.getsize(self.part) if os.path.exists(self.part) else 0
        if present > self.size:
            present = 0
        if present < self.size:
            self._fetch(url, present)
        # From here on a wrong hash leaves no part behind that could be resumed.
        os.replace(self.part, output_file)

    def _fetch(self, url: str, present: int) -> None:
        headers = {"Accept-Encoding": "identity"}
        if present:
            headers["Range"] = f"bytes={present}-"
        with requests.get(
            url, headers=headers, stream=True, timeout=TIMEOUT
        ) as response:
            response.raise_for_status()
            # A server that ignores Range answers 200 and sends the file from its start.
            resumed = bool(present) and response.status_code == 206
            start = present if resumed else 0
            self._check_announced(response, start, resumed)
            with (
                open(self.part, "ab" if resumed else "wb") as file,
                tqdm(
                    desc="VGG-19",
                    total=self.size,
                    initial=start,
                    unit="B",
                    unit_scale=True,
                    disable=None,
                ) as progress,
            ):
                for chunk in response.iter_content(CHUNK_BYTES):
                    start += len(chunk)
                    if start > self.size:
                        break
                    file.write(chunk)
                    progress.update(len(chunk))
            if start > self.size:
                os.remove(self.part)
                raise InputError(f"the server sent more than {self.size} bytes")
            if start < self.size:
                # Without an announced length an early end may be all that there is.
                if "Content-Length" not in response.headers:
                    os.remove(self.part)
                raise InputError(f"the server sent {start} of {self.size} bytes")

    def _check_announced(
        self, response: requests.Response, start: int, resumed: bool
    ) -> None:
        """Refuse another file before it can overwrite the part."""
        length = response.headers.get("Content-Length", "")
        if length.isdigit() and start + int(length) != self.size:
            raise InputError(
                f"the server's file has {start + int(length)} bytes, not {self.size}"
            )
        content_range = response.headers.get("Content-Range", "")
        if resumed and not content_range.startswith(f"bytes {start}-"):
            raise InputError(f"the server sent the wrong range ({content_range!r})")
