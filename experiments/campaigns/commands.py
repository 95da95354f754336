"""The commands that are tried, and the small files that they take."""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from nstjax.errors import InputError
from nstjax.io.video import write_video

SMALL = ("--weights=slim", "--size=64", "--steps=40")
SHALLOW = (
    *("--optimizer=adam", "--content_layers=relu2_1"),
    "--style_layers=relu1_1,relu2_1",
)
TRAINING_LOSS = (
    '--loss={"content_layers": ["relu1_2"], "style_layers": ["relu1_1", "relu2_1"]}'
)


class Command(NamedTuple):
    """A command that is started in a folder of its own."""

    # Python's; what is written has a relative path, what is read has none.
    arguments: tuple[str, ...]
    workdir: str | None = None  # of its log and checkpoints
    resume: str | None = None  # added when it is given again and that is there
    # What there must be after an interrupt once a step has been made.
    picture: str | None = None
    checkpoint: str | None = None

    def given_in(self, folder: Path) -> list[str]:
        """The arguments, in a folder where it may have been begun before."""
        begun = self.workdir and (folder / self.workdir / "config.json").exists()
        return [*self.arguments, *([self.resume] if begun and self.resume else ())]


def make_inputs(folder: Path) -> None:
    """Make the pictures and the video that the commands take, and the scripts."""
    random = np.random.default_rng(0)

    def paint(name: str, width: int, height: int) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        coarse.resize((width, height)).save(path)

    paint("photo.png", 64, 48)
    paint("painting.png", 56, 72)
    paint("second.png", 60, 60)
    for number in range(6):
        paint(f"photos/{number}.png", 48 + 8 * (number % 3), 48)
    frames = random.integers(0, 256, (24, 64, 64, 3), dtype=np.uint8)
    write_video(folder / "clip.mp4", frames, 12.0)
    # As an installation makes them.
    for name in ("nstjax", "nstjax-fast"):
        module = f"nstjax.commands.{name.replace('-', '_')}"
        code = f"import sys\nfrom {module} import run\nsys.exit(run())\n"
        (folder / name).write_text(code)


def make_commands(inputs: Path) -> dict[str, Command]:
    """The commands by name, with inputs in a folder."""
    photo, painting = str(inputs / "photo.png"), str(inputs / "painting.png")
    second = str(inputs / "second.png")
    fast = (str(inputs / "nstjax-fast"), "--skip_existing")

    def transfer(*flags: str) -> Command:
        pictures = (str(inputs / "nstjax"), photo, painting, "--output=out.png")
        settings = (*SMALL, "--preview_seconds=0", *flags)
        return Command((*pictures, *settings), picture="out.png")

    def run(*flags: str) -> Command:
        given = transfer("--workdir=run", "--checkpoint_every=10", *flags)
        checkpoint = "run/checkpoint.safetensors"
        return given._replace(workdir="run", resume="--resume", checkpoint=checkpoint)

    def experiment(name: str, *flags: str, workdir: str | None = None) -> Command:
        return Command(("-m", f"experiments.{name}", *flags), workdir=workdir)

    return {
        "picture": transfer(),
        "snapshots": run(*SHALLOW, "--snapshots=1,15,40", "--preview_seconds=0.1"),
        "preset": run("--preset=neural-style-pt"),
        "pyramid": run(
            *SHALLOW, "--pyramid=sqrt2", "--pyramid_min_size=45", "--pyramid_steps=20"
        ),
        "tiles": run(*SHALLOW, "--tile=32"),
        "fine_style": run(
            *SHALLOW, f"--fine_style={second}", "--fine_layers=relu1_1", "--montage"
        ),
        "folder": Command((*fast, str(inputs / "photos"), "--output=painted")),
        "video": Command((*fast, str(inputs / "clip.mp4"), "--output=out.mp4")),
        # Little memory, for several chunks.
        "sweep": experiment(
            *("sweep", photo, painting, *SHALLOW, "--weights=slim", "--size=32"),
            *("--steps=4", "--grid=beta=1:1e4:6:log", "--memory_gb=0.5"),
            "--workdir=sweep",
            workdir="sweep",
        ),
        "surface": experiment(
            *("loss_surface", f"--run={inputs / 'run'}", "--plane=random"),
            *("--grid=21x21", "--batch=7", "--output=surface.h5"),
        ),
        "training": experiment(
            *("train_feedforward", f"--photos={inputs / 'photos'}"),
            *(f"--styles=wave={painting}", "--weights=slim", "--size=16"),
            *("--batch_size=2", "--held_out=2"),
            '--architecture={"channels": [4, 4, 4], "residual_blocks": 1}',
            *(TRAINING_LOSS, "--steps=30", "--log_every=3", "--checkpoint_every=4"),
            *("--sample_every=10", "--workdir=training"),
            workdir="training",
        ),
    }


def chosen(names: Iterable[str] | None, folder: Path) -> dict[str, Command]:
    """The commands of these names, all if there are none, with their inputs made."""
    commands = make_commands(folder)
    names = list(names or commands)
    for name in names:
        if name not in commands:
            raise InputError(f"--commands has {name!r}: give {', '.join(commands)}")
    make_inputs(folder)
    if "surface" in names:
        # Of a run, which is made before.
        command = [
            *(sys.executable, "-m", "nstjax", "photo.png", "painting.png", *SMALL),
            *(*SHALLOW, "--workdir=run", "--quiet", "--preview_seconds=0"),
        ]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if done.returncode:
            raise InputError(f"{' '.join(command)} failed: {done.stderr}")
    return {name: commands[name] for name in names}
