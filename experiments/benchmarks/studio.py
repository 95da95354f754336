"""Times nstjax-studio from its start to the first look, and weighs it under uploads.

    python -m experiments.benchmarks.studio --repeats=3

``page`` is the time from the shell until the page's data are there; ``first look`` the
time from a photo and a painting, uploaded at that moment, to the picture of one pass,
and ``next look`` the same after ``--warm_seconds``, in which the studio warms up.
``large look`` is for a photo of 50 megapixels. Memory is that of the server and its
workers, in MiB, after the first of ``--uploads`` photos and after the last.
"""

import contextlib
import http.client
import io
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from PIL import Image

from experiments.benchmarks import benchmark
from nstjax.io.demo import demo_pictures

flags.DEFINE_integer("repeats", 3, "Studios that are started.", lower_bound=1)
flags.DEFINE_integer("uploads", 30, "Photos uploaded, one after the other.")
flags.DEFINE_integer("warm_seconds", 60, "Wait before the next look.", lower_bound=0)
flags.DEFINE_integer("megapixels", 50, "Pixels of the large photo, in millions.")

FLAGS = flags.FLAGS


def measure() -> list[dict[str, Any]]:
    """A row for each time, and one for memory; printed at the end."""
    seconds: dict[str, list[float]] = {}
    memory: list[tuple[float, float]] = []
    for repeat in range(FLAGS.repeats):
        with tempfile.TemporaryDirectory() as folder:
            begun = time.perf_counter()
            with _studio(Path(folder)) as studio:
                for name, taken in studio.times(begun, repeat).items():
                    seconds.setdefault(name, []).append(taken)
                memory.append(studio.weigh())
    rows: list[dict[str, Any]] = [
        {"what": name, "seconds": statistics.median(taken), "most": max(taken)}
        for name, taken in seconds.items()
    ]
    first, last = (statistics.median(each) for each in zip(*memory, strict=True))
    rows.append({"what": f"memory, {FLAGS.uploads} uploads", "first": first})
    rows[-1]["last"] = last
    benchmark.print_rows("nstjax-studio", rows)
    return rows


class _Studio:
    def __init__(self, process: int, port: int):
        self._process, self._port = process, port

    def ask(self, path: str, body: bytes | None = None) -> Any:
        """The answer to a request, of JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=600)
        with contextlib.closing(connection):
            connection.request("GET" if body is None else "POST", path, body)
            answer = connection.getresponse()
            data = answer.read()
        return json.loads(data) if path != "/" and "looks/" not in path else None

    def times(self, begun: float, seed: int) -> dict[str, float]:
        """Seconds of each of the times, by name."""
        while True:
            with contextlib.suppress(ConnectionError):
                self.ask("/")
                self.ask("/api/state")
                break
            time.sleep(0.02)
        taken = {"page": time.perf_counter() - begun}
        photo, painting = demo_pictures()
        taken["first look"] = self._look(_jpeg(photo, 1), _jpeg(painting, 1))
        time.sleep(FLAGS.warm_seconds)
        taken["next look"] = self._look(_jpeg(photo, 2), _jpeg(painting, 2))
        side = round((FLAGS.megapixels * 1e6 / 1.5) ** 0.5)
        large = Image.fromarray((photo * 255).astype(np.uint8))
        encoded = io.BytesIO()
        large.resize((side * 3 // 2, side)).save(encoded, "JPEG")
        taken["large look"] = self._look(encoded.getvalue(), _jpeg(painting, 3))
        return taken

    def weigh(self) -> tuple[float, float]:
        """Memory after the first upload and after the last."""
        photo, _ = demo_pictures()
        weights = []
        for number in range(FLAGS.uploads):
            self._upload(_jpeg(photo, 100 + number), "photo")
            weights.append(self._mebibytes())
        return weights[0], weights[-1]

    def _look(self, photo: bytes, painting: bytes) -> float:
        begun = time.perf_counter()
        styles = [{"picture": self._upload(painting, "painting")}]
        look = {"photo": self._upload(photo, "photo"), "styles": styles}
        found = self.ask("/api/looks", json.dumps(look).encode())
        self.ask(found["look"])
        return time.perf_counter() - begun

    def _upload(self, data: bytes, kind: str) -> str:
        return str(self.ask(f"/api/pictures?kind={kind}&name=a.jpg", data)["id"])

    def _mebibytes(self) -> float:
        """Resident memory of the server and the processes that it has started."""
        pages = 0
        for status in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = status.read_text().rpartition(")")[2].split()
                if self._process in (int(status.parent.name), int(fields[1])):
                    pages += int(fields[21])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextlib.contextmanager
def _studio(folder: Path) -> Iterator[_Studio]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["--nobrowser", f"--port={port}", f"--folder={folder}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "nstjax.studio.command", *options],
        stdout=subprocess.DEVNULL,
    )
    try:
        yield _Studio(process.pid, port)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def _jpeg(image: np.ndarray, shift: int) -> bytes:
    """A picture as a file, moved by some pixels: another file each time."""
    encoded = io.BytesIO()
    moved = np.roll(image, shift, axis=1)
    Image.fromarray((moved * 255).astype(np.uint8)).save(encoded, "JPEG", quality=92)
    return encoded.getvalue()


if __name__ == "__main__":
    benchmark.run_benchmark("studio", __name__, __doc__, measure)
