"""The commands that are tried, and the small files that they take."""

import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from nstjax.errors import InputError
from nstjax.io.video import write_video

SHALLOW = "--optimizer=adam --content_layers=relu2_1 --style_layers=relu1_1,relu2_1"
SMALL = "--weights=slim --size=64 --steps=40 --preview_seconds=0"
PICTURE = f"{{0}}/nstjax {{0}}/photo.png {{0}}/painting.png --output=out.png {SMALL}"
RUN = f"{PICTURE} --workdir=run --checkpoint_every=10"
FAST = "{0}/nstjax-fast --skip_existing"
# Python's arguments. What is written has a relative path, what is read lies in {0}.
LINES = {
    "picture": PICTURE,
    "snapshots": f"{RUN} {SHALLOW} --snapshots=1,15,40 --preview_seconds=0.1",
    "preset": f"{RUN} --preset=neural-style-pt",
    "pyramid": f"{RUN} {SHALLOW} --pyramid=sqrt2 --pyramid_min_size=45"
    " --pyramid_steps=20",
    "tiles": f"{RUN} {SHALLOW} --tile=32",
    "fine_style": f"{RUN} {SHALLOW} --fine_style={{0}}/second.png"
    " --fine_layers=relu1_1 --montage",
    "folder": f"{FAST} {{0}}/photos --output=painted",
    "video": f"{FAST} {{0}}/clip.mp4 --output=out.mp4",
    # Little memory, for several chunks.
    "sweep": "-m experiments.sweep {0}/photo.png {0}/painting.png --weights=slim"
    f" {SHALLOW} --size=32 --steps=4 --grid=beta=1:1e4:6:log --memory_gb=0.5"
    " --workdir=sweep",
    "surface": "-m experiments.loss_surface --run={0}/run --plane=random --grid=21x21"
    " --batch=7 --output=surface.h5",
    "training": "-m experiments.train_feedforward --photos={0}/photos"
    " --styles=wave={0}/painting.png --weights=slim --size=16 --batch_size=2"
    """ --architecture='{{"channels": [4, 4, 4], "residual_blocks": 1}}'"""
    """ --loss='{{"content_layers": ["relu1_2"], "style_layers": ["relu1_1","""
    """ "relu2_1"]}}' --held_out=2 --steps=30 --log_every=3 --checkpoint_every=4"""
    " --sample_every=10 --workdir=training",
}


class Command(NamedTuple):
    """A command that is started in a folder of its own."""

    arguments: Sequence[str]
    resumes: bool = False  # by --resume, when it is given again
    # What there must be after an interrupt once a step has been made.
    results: tuple[str, ...] = ()

    def given_in(self, folder: Path) -> list[str]:
        """The arguments, in a folder where it may have been begun before."""
        begun = self.resumes and (folder / "run" / "config.json").exists()
        return [*self.arguments, *(["--resume"] if begun else [])]


def make_commands(inputs: Path) -> dict[str, Command]:
    """The commands by name, with inputs in a folder."""
    commands = {}
    for name, line in LINES.items():
        results: tuple[str, ...] = ()
        if line.startswith(PICTURE):
            results = ("out.png",)
        if line.startswith(RUN):
            results = ("out.png", "run/checkpoint.safetensors")
        arguments = [part.format(inputs) for part in shlex.split(line)]
        commands[name] = Command(arguments, line.startswith(RUN), results)
    return commands


def make_inputs(folder: Path) -> None:
    """Make the pictures and the video that the commands take, and the scripts."""
    random = np.random.default_rng(0)
    (folder / "photos").mkdir(parents=True)
    sizes = {"photo": (64, 48), "painting": (56, 72), "second": (60, 60)}
    sizes |= {f"photos/{number}": (48 + 8 * (number % 3), 48) for number in range(6)}
    for name, size in sizes.items():
        coarse = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        coarse.resize(size).save(folder / f"{name}.png")
    frames = random.integers(0, 256, (24, 64, 64, 3), dtype=np.uint8)
    write_video(folder / "clip.mp4", frames, 12.0)
    # As an installation makes them.
    for name in ("nstjax", "nstjax-fast"):
        module = f"nstjax.commands.{name.replace('-', '_')}"
        code = f"import sys\nfrom {module} import run\nsys.exit(run())\n"
        (folder / name).write_text(code)


def chosen(names: Sequence[str] | None, folder: Path) -> dict[str, Command]:
    """The commands of these names, all if there are none, with their inputs made."""
    commands = make_commands(folder)
    names = list(names or commands)
    for name in names:
        if name not in commands:
            raise InputError(f"--commands has {name!r}: give {', '.join(commands)}")
    make_inputs(folder)
    if "surface" in names:
        # Of a run, which is made before.
        line = f"{PICTURE} {SHALLOW} --workdir={{0}}/run --quiet".format(folder)
        command = [sys.executable, *shlex.split(line)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if done.returncode:
            raise InputError(f"{line} failed: {done.stderr}")
    return {name: commands[name] for name in names}
