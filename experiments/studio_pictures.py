"""Paints the small pictures beside the studio's knobs: what their two ends look like.

  python -m experiments.studio_pictures --output=nstjax/studio/page

The photo is Chelsea by Stéfan van der Walt (CC0), the painting is nstjax's own.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

import nstjax
from nstjax.commands.launcher import run_command
from nstjax.commands.path_flags import define_path
from nstjax.errors import InputError
from nstjax.io.demo import demo_pictures

define_path("output", None, "Folder to write the pictures to.")
FLAGS = flags.FLAGS

SIDE = 128  # of the squares, cut out of the cat's face
TOP, LEFT = 40, 85
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
    return 0


if __name__ == "__main__":
    run_command("studio_pictures", __name__, __doc__ or "", main)
