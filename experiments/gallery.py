"""One picture for each control, from free pictures or from yours.

  python -m experiments.gallery --workdir=DIR
  python -m experiments.gallery --workdir=DIR PHOTO PAINTING PAINTING MASK

Writes the pictures that go in, runs one ``nstjax`` command for each variant, prints it,
and lays the results out on a sheet. A variant whose picture is there is not run again.
"""

import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import skimage.data
from absl import flags

from nstjax import InputError, contact_sheet, read_image, write_image
from nstjax.commands.launcher import run_command
from nstjax.commands.path_flags import define_path
from nstjax.io.atomic import check_results, check_workdir
from nstjax.io.config import CONFIG
from nstjax.io.demo import painting, stained_glass
from nstjax.io.locks import made
from nstjax.io.workdir import begin_folder
from nstjax.runtime.interrupts import run_child
from nstjax.statistics.table import STATISTICS

define_path("workdir", None, "Folder for the pictures and the sheet.")
flags.DEFINE_string("common", "--size=384 --steps=200", "Flags of every variant.")
flags.DEFINE_list("variants", None, "Only these.")
flags.DEFINE_integer("columns", 5, "Of the sheet.", lower_bound=1)
flags.DEFINE_integer("cell", 300, "Pixels of a picture on the sheet.", lower_bound=64)

FLAGS = flags.FLAGS
ONE, TWO = "photo.png painting.png", "photo.png painting.png glass.png"
SHEET = "gallery.jpg"
REGIONS = "--content_mask=mask.png"
VARIANTS = {
    "plain": ONE,
    "two regions": f"{TWO} {REGIONS}",
    "two regions, inside": f"{TWO} {REGIONS} --guide_mode=inside --guide_dilation=1",
    "photo outside the mask": f"{ONE} --stylize_mask=mask.png",
    "luminance, YIQ": f"{ONE} --color=luminance --color_space=yiq",
    "luminance, CIELAB": f"{ONE} --color=luminance --color_space=lab",
    "luminance, HCL": f"{ONE} --color=luminance --color_space=hcl",
    "luminance, after": f"{ONE} --color=luminance --color_when=after",
    "match, Cholesky": f"{ONE} --color=match --color_match=cholesky",
    "match, PCA": f"{ONE} --color=match --color_match=pca",
    "match, symmetric": f"{ONE} --color=match --color_match=symmetric",
    "match, histogram": f"{ONE} --color=match --color_match=histogram",
    "match, after": f"{ONE} --color=match --color_when=after",
    **{loss: f"{ONE} --style_loss={loss}" for loss in list(STATISTICS)[1:]},
    "half style scale": f"{ONE} --style_scale=0.5",
    "fine glass, coarse painting": (
        "photo.png --fine_style=glass.png --coarse_style=painting.png"
    ),
    "layers of two styles": (
        f"{TWO} --style_image_layers=relu3_1+relu4_1+relu5_1,relu1_1+relu2_1"
    ),
    "gradients normalized": (f"{ONE} --normalize_gradients --alpha=1 --beta=20"),
    "pyramid, 1024 pixels": f"{ONE} --size=1024 --pyramid_steps=100",
    "crowson2023": f"{ONE} --preset=crowson2023 --pyramid_steps=100",
    "all at once": (
        f"{TWO} {REGIONS} --color=luminance --pyramid=2 --pyramid_min_size=128 "
        "--style_loss=moments"
    ),
}


def main(pictures: Sequence[str]) -> int:
    """Paint the variants; returns the exit status."""
    if not FLAGS.workdir or len(pictures) not in (0, 4):
        raise InputError("give --workdir=DIR, and four pictures of yours or none")
    if unknown := ", ".join(sorted(set(FLAGS.variants or ()) - VARIANTS.keys())):
        choices = "; ".join(VARIANTS)
        raise InputError(f"unknown variants {unknown}: choose from {choices}")
    try:
        common = shlex.split(FLAGS.common)
    except ValueError as error:
        raise InputError(
            f"--common={FLAGS.common} is not understood ({error}): give flags of nstjax"
        ) from None
    folder = Path(FLAGS.workdir)
    check_workdir(folder)
    names = ("photo", "painting", "glass", "mask")
    outputs = {
        label: label.replace(",", "").replace(" ", "_") + ".png"
        for label in FLAGS.variants or VARIANTS
    }
    copies = [folder / f"{name}.png" for name in names]
    painted = [folder / output for output in outputs.values()]
    check_results([*copies, *painted, folder / SHEET], inputs=pictures)
    inputs = list(map(read_image, pictures)) or free_pictures()
    with made(folder):
        is_new = begin_folder(folder, "gallery", [*copies, *painted, folder / SHEET])
        for path, image in zip(copies, inputs, strict=True):
            write_image(path, image)
        images = list(inputs)
        for label, output in outputs.items():
            own = f"{VARIANTS[label]} --output={output}"
            command = [*common, *shlex.split(own)]
            print(f"nstjax {FLAGS.common} {own}", flush=True)
            if not (folder / output).exists():
                done = run_child(
                    [sys.executable, "-m", "nstjax", "--quiet", *command],
                    cwd=folder,
                    stderr=subprocess.PIPE,
                    text=True,
                )
                if done.returncode:
                    if is_new and not any(path.exists() for path in painted):
                        # A wrong --common leaves nothing behind.
                        for path in (*copies, folder / CONFIG):
                            path.unlink()
                    raise InputError(f"{label}: {done.stderr.strip()}")
            images.append(read_image(folder / output))
    labels = [*names, *outputs]
    sheet = contact_sheet(images, labels, columns=FLAGS.columns, cell=FLAGS.cell)
    write_image(folder / SHEET, sheet)
    print(f"wrote {folder / SHEET}")
    return 0


def free_pictures() -> list[np.ndarray]:
    """A cup of coffee (CC0), two paintings of our own, and where the cup is."""
    photo = read_image(skimage.data.coffee())
    height, width, _ = photo.shape
    y, x = np.mgrid[:height, :width]
    saucer = ((x - 276) / 206) ** 2 + ((y - 232) / 156) ** 2 < 1
    cup = ((x - 290) / 128) ** 2 + ((y - 122) / 114) ** 2 < 1
    mask = np.repeat((saucer | cup)[:, :, None], 3, axis=2)
    return [photo, painting(), stained_glass(), mask.astype(np.float32)]


if __name__ == "__main__":
    run_command("gallery", __name__, __doc__ or "", main)
