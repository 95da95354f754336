r"""Scores one-pass networks by the features of VGG-19.

  python -m experiments.score_models --photos=PHOTOS \
      --paintings=wave=great_wave.jpg,scream=the_scream.jpg
  python -m experiments.score_models --photos=PHOTOS \
      --model=arbitrary --paintings=PAINTINGS --output=scores.json

Every photo is rendered in the style of every painting, as nstjax-fast does it, and
scored at --score_size, to which smaller pictures are enlarged before. Three numbers
tell how well:

  left     the style loss of the result divided by that of the photo: Gatys' Gram loss
           at relu1_1, relu2_1, relu3_1, relu4_1 and relu5_1 (preset gatys-code)
  content  mean (F - P)² / mean P² with F of the result and P of the photo at relu4_2
  flicker  mean |W(N(x)) - N(W(x))| in levels of 0..255: what changes from frame to
           frame where the photo x only moves by a smooth flow W

Lower is better for all. The painting itself, resized to the photo, is a control; for
the photo left is 1 and content 0. The table has, for each painting, the geometric mean
of left and means of the others over the photos, and the largest left. A model of
several styles takes each painting as NAME=FILE, with the name of its style.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from scipy.stats import gmean

from experiments.benchmarks.benchmark import print_rows, write_json
from experiments.scores import Description, describe, flicker_of, score
from nstjax import InputError, Params, read_image
from nstjax.commands.launcher import run_command
from nstjax.commands.path_flags import define_path, define_paths
from nstjax.feedforward.inference.restyle import Restyler, make_restyler
from nstjax.feedforward.inference.style_specifications import load_model, size_at_most
from nstjax.feedforward.training.data import named_pictures, picture_files
from nstjax.images.resizing import Size, output_size, parse_size, resize
from nstjax.io.atomic import check_writable
from nstjax.io.weights import load_network
from nstjax.runtime.progress_bar import ProgressBar

define_path("model", "painterly", "painterly, arbitrary or a file.")
define_path("photos", None, "Folder of photos.")
define_paths("paintings", None, "Paintings, each FILE or NAME=FILE, or one folder.")
define_path("teacher", "vgg19", "What scores: vgg19 or a file of its weights.")
define_path("weights", "slim", "Encoder of a model of --preset=adain.")
flags.DEFINE_integer("refine", 0, "Updates of the image after the network.")
flags.DEFINE_bool("flicker", True, "Measure flicker, which takes two more pictures.")
flags.DEFINE_string("size", "long:1024", "Most pixels of the photos, as rendered.")
flags.DEFINE_string("style_size", "long:512", "Most pixels of the paintings.")
flags.DEFINE_string("score_size", "long:512", "Size that pictures are scored at.")
define_path("output", None, "JSON file for the scores of every pair.")

FLAGS = flags.FLAGS


def main(arguments: Sequence[str]) -> int:
    """Score a model on all pairs; returns the exit status."""
    if arguments:
        raise InputError(f"unexpected argument {arguments[0]}: see --help")
    for name in ("photos", "paintings"):
        if not FLAGS[name].value:
            raise InputError(f"give --{name}: see --help")
    if FLAGS.output:
        check_writable(FLAGS.output)
    size, style_size, score_size = map(
        parse_size, (FLAGS.size, FLAGS.style_size, FLAGS.score_size)
    )
    restyler = make_restyler(
        load_model(FLAGS.model),
        lambda: load_network(FLAGS.weights),
        refine=FLAGS.refine,
    )
    photo_files = picture_files(FLAGS.photos)
    paths = named_pictures(FLAGS.paintings, "paintings")
    params = load_network(FLAGS.teacher).params
    paintings = {
        name: enlarged(read_resized(path, style_size), score_size)
        for name, path in paths.items()
    }
    styles = {
        name: restyler.style_of(painting)
        if restyler.arbitrary
        else restyler.named_style(name)
        for name, painting in paintings.items()
    }
    targets = {}
    for name, painting in paintings.items():
        height, width, _ = painting.shape
        target_size = output_size(height, width, score_size)
        targets[name] = describe(params, resize(painting, *target_size))
    photos = {
        path.name: enlarged(read_resized(path, size), score_size)
        for path in photo_files
    }
    rows = []
    for photo, image in ProgressBar(photos.items(), unit="photo"):
        scores = score_photo(
            restyler, params, image, paintings, styles, targets, score_size
        )
        rows += [
            {"photo": photo, "painting": name, **own} for name, own in scores.items()
        ]
    print_rows(f"{FLAGS.model} on {len(photos)} photos", summarize(rows))
    write_json(FLAGS.output, rows)
    return 0


def read_resized(path: Path, size: Size) -> np.ndarray:
    """A picture, no larger than it was."""
    image = read_image(path)
    height, width, _ = image.shape
    return resize(image, *size_at_most(height, width, size))


def enlarged(image: np.ndarray, size: Size) -> np.ndarray:
    """A picture, no smaller than that: a result that is enlarged loses its grain."""
    height, width = output_size(image.shape[0], image.shape[1], size)
    return resize(image, max(height, image.shape[0]), max(width, image.shape[1]))


def score_photo(
    restyler: Restyler,
    params: Params,
    image: np.ndarray,
    paintings: Mapping[str, np.ndarray],
    styles: Mapping[str, Any],
    targets: Mapping[str, Description],
    score_size: Size,
) -> dict[str, dict[str, float]]:
    """{painting: scores of the photo in its style, and of the painting itself}."""
    height, width, _ = image.shape
    height, width = output_size(height, width, score_size)
    photo = describe(params, resize(image, height, width))
    found = {}
    for name, painting in paintings.items():
        # As it would be written to a file.
        result = np.round(255 * restyler([image], styles[name])[0]) / np.float32(255)
        own, control = (
            score(
                describe(params, resize(picture, height, width)), photo, targets[name]
            )
            for picture in (result, painting)
        )
        found[name] = own._asdict()
        if FLAGS.flicker:
            found[name]["flicker"] = flicker_of(restyler, image, result, styles[name])
        found[name] |= {
            "painting's left": control.left,
            "painting's content": control.content,
        }
    return found


def summarize(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row for each painting, and one for all of them."""
    names = dict.fromkeys(row["painting"] for row in rows)
    groups = {name: [row for row in rows if row["painting"] == name] for name in names}
    return [
        {
            "painting": name,
            "left": float(gmean([row["left"] for row in own])),
            "content": _mean(own, "content"),
            "largest left": max(row["left"] for row in own),
            **({"flicker": _mean(own, "flicker")} if "flicker" in own[0] else {}),
            "painting's left": float(gmean([row["painting's left"] for row in own])),
            "painting's content": _mean(own, "painting's content"),
        }
        for name, own in {**groups, "all": rows}.items()
    ]


def _mean(rows: Sequence[Mapping[str, Any]], key: str) -> float:
    return float(np.mean([row[key] for row in rows]))


if __name__ == "__main__":
    run_command("score_models", __name__, __doc__ or "", main)
