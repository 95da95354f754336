"""Draw the style pictures that nstjax brings.

    python -m experiments.demo_pictures

writes painting.jpg and stained_glass.jpg to ``nstjax/pictures``.
"""

from collections.abc import Sequence

import numpy as np
from scipy import spatial

from experiments.benchmarks.benchmark import no_arguments
from experiments.demo_pictures.painting import paint
from nstjax.commands.launcher import run_command
from nstjax.io.demo import PICTURES
from nstjax.io.images import write_image


def stained_glass(height: int = 512, width: int = 640, panes: int = 260) -> np.ndarray:
    """Panes of bright colors between dark lead, sRGB in 0..1."""
    random = np.random.default_rng(0)
    palette = np.array(
        [[205, 40, 45], [240, 170, 30], [25, 110, 60], [30, 80, 190], [120, 190, 220]]
    )
    centers = random.uniform(0, 1, (panes, 2)) * [height, width]
    colors = palette[random.integers(0, len(palette), panes)]
    colors = colors * random.uniform(0.7, 1.2, (panes, 1))
    positions = np.moveaxis(np.mgrid[:height, :width], 0, -1).reshape(-1, 2)
    distances, nearest = spatial.KDTree(centers).query(positions, k=2)
    lead = distances[:, 1] - distances[:, 0] < 5
    glow = 1.1 - 0.5 * distances[:, :1] / distances[:, 0].max()
    glass = np.where(lead[:, None], 12, colors[nearest[:, 0]] * glow)
    return np.float32(glass.reshape(height, width, 3) / 255).clip(0, 1)


def main(arguments: Sequence[str]) -> int:
    """Draw both; returns the exit status."""
    no_arguments(arguments)
    for name, draw in {"painting": paint, "stained_glass": stained_glass}.items():
        write_image(PICTURES / f"{name}.jpg", draw())
    return 0


if __name__ == "__main__":
    run_command("demo_pictures", __name__, __doc__ or "", main)
