"""What several tests of the command share: arguments, bad inputs, and checks."""

import hashlib
import json
import pathlib
import re

import numpy as np
from PIL import Image

import nstjax

# Later flags win, so that a test can put its own after these.
BASE = (
    "--output=out.png", "--size=48", "--steps=2", "--quiet", "--preview_seconds=0",
)  # fmt: skip
PICTURES = ("photo.png", "painting.png")
STUDIO = (("photo.png", (64, 48)), ("painting.png", (56, 72)))
RUN = (*PICTURES, *BASE)
# Two blocks of the network, which compile at once.
SHALLOW = (
    *BASE, "--optimizer=adam", "--content_layers=relu2_1",
    "--style_layers=relu1_1,relu2_1",
)  # fmt: skip
ONE = ("photo.png", "painting.png", *SHALLOW)
TWO = ("photo.png", "painting.png", "second.png", *SHALLOW)
MASKED = "--content_mask=two.png"
FINE = ("--fine_style=second.png", "--fine_layers=relu1_1")
REGIONS = (
    "nstjax: note: region #ff0000 (50 % of the photo): {0}; region #0000ff (50 %): "
    "{1}\n"
)


def truncate(path: str, share: float = 0.6) -> None:
    contents = pathlib.Path(path).read_bytes()
    pathlib.Path(path).write_bytes(contents[: int(len(contents) * share)])


def flip(path: str, position: int = -5) -> None:
    """Flip one bit; near the end of a safetensors file that is a tensor's."""
    contents = bytearray(pathlib.Path(path).read_bytes())
    contents[position] ^= 1
    pathlib.Path(path).write_bytes(contents)


def save_pictures(folder, pictures=STUDIO, seed=0):
    """Pictures of coarse noise: [(name, size)]."""
    random = np.random.default_rng(seed)
    for name, size in pictures:
        coarse = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        coarse.resize(size).save(folder / name)


def halves(path, size, left, right):
    """A picture whose left half has one color and whose right half another."""
    picture = Image.new("RGB", size, right)
    picture.paste(left, (0, 0, size[0] // 2, size[1]))
    picture.save(path)


def listing(top: pathlib.Path) -> dict[str, str]:
    """Every path below a folder, and what it holds."""
    return {
        str(path.relative_to(top)): (
            hashlib.sha256(path.read_bytes()).hexdigest()
            if path.is_file()
            else "folder"
        )
        for path in sorted(top.rglob("*"))
    }


def check_refused(status: int, out: str, err: str, says: str) -> None:
    lines = err.splitlines()
    errors = [line for line in lines if re.match(r"\w+: error: ", line)]
    notes = [line for line in lines if line.startswith("nstjax: note: ")]
    assert len(errors) == 1
    assert len(lines) == len(errors) + len(notes)
    assert says in errors[0]
    assert "Traceback" not in out + err
    assert status not in (0, None)


def check_bad(command, *arguments: str, says: str) -> None:
    """The command refuses, in a line that says this, and writes nothing."""
    before = listing(pathlib.Path())
    check_refused(*command(*arguments), says)
    assert listing(pathlib.Path()) == before


def good(command, *arguments: str) -> str:
    """Run and return standard output; errors and notes would be on the other."""
    status, out, err = command(*arguments)
    assert (status, err) == (0, "")
    return out


def result(command, *arguments: str) -> bytes:
    """The file of a command's picture, when it has nothing else to say."""
    good(command, *arguments)
    return pathlib.Path("out.png").read_bytes()


def painted(command, *arguments, notes=""):
    """The result of a command that has nothing but these notes to say."""
    status, _, err = command(*arguments)
    assert (status, err) == (0, notes)
    return nstjax.read_image("out.png")


def photo():
    return nstjax.resize(nstjax.read_image("photo.png"), 36, 48)


def metrics(folder: str | pathlib.Path) -> list[dict]:
    lines = (pathlib.Path(folder) / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def settings(folder):
    return json.loads(pathlib.Path(folder, "config.json").read_text())["settings"]
