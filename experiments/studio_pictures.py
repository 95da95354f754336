"""Paints the small pictures of the studio: the ends of its knobs, and its styles.

  python -m experiments.studio_pictures --output=nstjax/studio/page

The photo is Chelsea by Stéfan van der Walt (CC0), the painting is nstjax's own.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

import nstjax
from nstjax.commands.launcher import run_command
from nstjax.commands.path_flags import define_path
from nstjax.errors import InputError
from nstjax.feedforward.inference.style_specifications import PAINTERLY, load_restyler
from nstjax.feedforward.networks.model_file import bundled_model
from nstjax.io.atomic import write_atomically
from nstjax.io.demo import demo_pictures

define_path("output", None, "Folder to write the pictures to.")
FLAGS = flags.FLAGS

SIDE = 128  # of the squares, cut out of the cat's face
TOP, LEFT = 40, 85
STYLE_SIZE = 170, 256
BETA = nstjax.get_preset("gatys-code").beta
SETTINGS: dict[str, dict[str, Any]] = {
    "amount-low": {"beta": BETA / 10**4},
    "amount-high": {"beta": BETA * 100},
    "stroke-low": {"style_scale": 0.3},
    "stroke-high": {"style_scale": 2.5},
    "color-style": {},
    "color-photo": {"color": "luminance"},
}


def main(arguments: Sequence[str]) -> int:
    """Paint them all; returns the exit status."""
    if arguments or not FLAGS.output:
        raise InputError("give --output and nothing else: see --help")
    photo, painting = demo_pictures()
    params = nstjax.load_params("slim")
    for name, settings in SETTINGS.items():
        options: dict[str, Any] = {"size": "long:320", "steps": 100} | settings
        image = nstjax.stylize(photo, painting, params, "gatys-code", **options).image
        square = image[TOP : TOP + SIDE, LEFT : LEFT + SIDE]
        nstjax.write_image(Path(FLAGS.output) / f"{name}.jpg", square, quality=85)
    show_styles(photo, Path(FLAGS.output))
    return 0


def show_styles(photo: np.ndarray, folder: Path) -> None:
    """Restyle the photo in each of the bundled styles, and list them."""
    model = bundled_model(PAINTERLY)
    small = nstjax.resize(photo, *STYLE_SIZE)
    for name in model.styles:
        restyler = load_restyler([(name, 1.0)], None, "slim")
        picture = restyler([small], restyler.named_style(name))[0]
        nstjax.write_image(folder / f"style-{name}.jpg", picture, quality=85)
    listed = [{"name": name, "title": model.titles[name]} for name in model.styles]
    text = json.dumps(listed, indent=2, ensure_ascii=False) + "\n"
    write_atomically(folder / "styles.json", text)


if __name__ == "__main__":
    run_command("studio_pictures", __name__, __doc__ or "", main)
