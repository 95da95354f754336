"""Compare features for style transfer: ``python -m experiments.evaluate_features``.

The same preset paints each pair with VGG-19, with a narrower network and with random
weights of that network's widths; VGG-19 then scores all three results.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import flags

from nstjax.commands.launcher import run_command
from nstjax.commands.path_flags import define_path
from nstjax.errors import InputError
from nstjax.images.contact_sheet import contact_sheet
from nstjax.images.resizing import parse_size, resize
from nstjax.io.atomic import atomic_path, check_results, check_workdir
from nstjax.io.contents import unique_names
from nstjax.io.images import read_image, write_image
from nstjax.io.weights import load_network
from nstjax.io.workdir import begin_folder
from nstjax.network.random_weights import random_params
from nstjax.network.vgg import Params
from nstjax.presets.preset import Preset, customize, default_size_rule
from nstjax.presets.published import get_preset
from nstjax.problem.problem import evaluate, prepare
from nstjax.runs.stylize import stylize

USAGE = """
How well a network's features serve style transfer, as VGG-19 sees the results.

  python -m experiments.evaluate_features PHOTO:PAINTING... --workdir=DIR
  python -m experiments.evaluate_features --free_pictures --workdir=DIR
"""

define_path("teacher", "vgg19", "What scores: vgg19 or a file of its weights.")
define_path("weights", "slim", "What is compared: slim or a file.")
flags.DEFINE_boolean("free_pictures", False, "Use three pairs of CC0 pictures.")
flags.DEFINE_string("preset", "gatys2016", "Published settings.")
flags.DEFINE_string("size", "256", "As nstjax takes it.")
flags.DEFINE_integer("steps", 200, "Updates of each image.")
flags.DEFINE_string("optimizer", None, "The preset's own if not given.")
flags.DEFINE_integer("seed", 0, "Of random weights and initial noise.", lower_bound=0)
define_path("workdir", None, "Folder for the table and the pictures.")

FLAGS = flags.FLAGS
TABLE, SHEET = "features.csv", "features.jpg"
ROLES = ("teacher", "student", "random")


class Pair(NamedTuple):
    """A photo and a painting, sRGB in 0..1."""

    name: str
    content: np.ndarray
    style: np.ndarray


class Score(NamedTuple):
    """Unweighted losses of one image.

    Attributes:
      content: Σ_l w_l C_l.
      style: Σ_l w_l E_l.
      style_layers: {layer: E_l}.
    """

    content: float
    style: float
    style_layers: dict[str, float]


def main(arguments: Sequence[str]) -> int:
    """Evaluate the pairs; returns the exit status."""
    if bool(arguments) == FLAGS.free_pictures or not FLAGS.workdir:
        raise InputError(
            "give --workdir=DIR and either pairs PHOTO:PAINTING or --free_pictures"
        )
    preset = get_preset(FLAGS.preset)
    preset = customize(
        preset,
        size=parse_size(FLAGS.size, default_size_rule(preset)),
        steps=FLAGS.steps,
        optimizer=FLAGS.optimizer,
        pyramid="none",
    )
    pairs = free_pairs() if FLAGS.free_pictures else read_pairs(arguments)
    teacher = load_network(FLAGS.teacher)
    student = load_network(FLAGS.weights)
    widths = {layer: part["bias"].size for layer, part in student.params.items()}
    networks = {
        "VGG-19": teacher.params,
        student.source: student.params,
        "random": random_params(FLAGS.seed, widths),
    }
    folder = Path(FLAGS.workdir)
    check_workdir(folder)
    names = [f"{pair.name}_{role}.png" for pair in pairs for role in ROLES]
    written = [folder / name for name in (*names, TABLE, SHEET)]
    read = [path for pair in arguments for path in pair.partition(":")[::2]]
    check_results(written, inputs=[*read, FLAGS.teacher, FLAGS.weights])
    begin_folder(folder, "evaluate_features", written)
    rows, pictures, labels = [], [], []
    for pair in pairs:
        pictures += [pair.content, pair.style]
        labels += [pair.name, "painting"]
        compared = compare(pair, networks, preset)
        for role, (name, (image, row)) in zip(ROLES, compared.items(), strict=True):
            write_image(folder / f"{pair.name}_{role}.png", image)
            pictures.append(image)
            labels.append(f"{name}\n{row['style']:.1%} of style loss left")
            rows.append({"pair": pair.name, "features": name, **row})
            print(json.dumps(rows[-1]), flush=True)
    write_table(folder / TABLE, rows)
    sheet = contact_sheet(pictures, labels, columns=2 + len(networks))
    write_image(folder / SHEET, sheet)
    print(summary(rows))
    return 0


def compare(
    pair: Pair, networks: Mapping[str, Params], preset: Preset
) -> dict[str, tuple[np.ndarray, dict[str, float]]]:
    """Paint a pair with every network; the first one scores all results.

    Returns:
      {network: (picture, row)}. In a row, ``style`` and each layer's are fractions of
      the style loss at the photo; ``content`` is a multiple of the first network's
      result's; ``own_…`` is what the network itself says of its result's content and
      of the photo's style, as a multiple of what the first one says.
    """
    teacher = next(iter(networks.values()))
    compared: dict[str, tuple[np.ndarray, dict[str, float]]] = {}
    for name, params in networks.items():
        result = stylize(pair.content, pair.style, params, preset, seed=FLAGS.seed)
        height, width = result.image.shape[:2]
        photo = resize(pair.content, height, width, preset.image.resample)
        before, after = (
            score(pair, teacher, preset, image) for image in (photo, result.image)
        )
        if not compared:
            content = after.content
        own_before, own_after = (
            score(pair, params, preset, image) for image in (photo, result.image)
        )
        row = {
            "content": after.content / content,
            "style": after.style / before.style,
            **{
                layer: after.style_layers[layer] / before.style_layers[layer]
                for layer in preset.style_layers
            },
            "own_content": own_after.content / after.content,
            **{
                f"own_{layer}": own_before.style_layers[layer]
                / before.style_layers[layer]
                for layer in preset.style_layers
            },
        }
        compared[name] = (result.image, row)
    return compared


def score(pair: Pair, params: Params, preset: Preset, image: np.ndarray) -> Score:
    """What a network says of an image of the size that the preset makes."""
    problem = prepare(pair.content, [pair.style], params, preset, init_image=image)
    _, info = evaluate(problem, problem.state)
    layers = {layer: float(loss[0]) for layer, loss in info.terms.style_layers.items()}
    return Score(float(info.terms.content[0]), float(info.terms.style[0]), layers)


def summary(rows: Sequence[Mapping[str, Any]]) -> str:
    """Means over the pairs, a line for each network."""
    lines = []
    first = [row for row in rows if row["features"] == rows[0]["features"]]
    columns = [name for name in rows[0] if name not in ("pair", "features")]
    for name in dict.fromkeys(row["features"] for row in rows):
        chosen = [row for row in rows if row["features"] == name]
        share = np.mean(
            [
                (1 - row["style"]) / (1 - reference["style"])
                for row, reference in zip(chosen, first, strict=True)
            ]
        )
        means = ", ".join(
            f"{column} {np.mean([row[column] for row in chosen]):.3f}"
            for column in columns
        )
        lines.append(f"{name}: {share:.1%} of the first one's fall; means: {means}")
    return "\n".join(lines)


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the rows as CSV, atomically."""
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys())
    writer.writeheader()
    writer.writerows(rows)
    with atomic_path(path) as temporary:
        temporary.write_text(text.getvalue())


def read_pairs(arguments: Sequence[str]) -> list[Pair]:
    """Read each PHOTO:PAINTING, no two of one name: results are called by it."""
    paths = []
    for argument in arguments:
        photo, separator, painting = argument.partition(":")
        if not separator:
            raise InputError(f"{argument}: give PHOTO:PAINTING")
        paths.append((Path(photo), Path(painting)))
    names = unique_names(
        [
            Path(f"{photo.stem}_{painting.stem}{photo.suffix}")
            for photo, painting in paths
        ]
    )
    return [
        Pair(name, read_image(photo), read_image(painting))
        for name, (photo, painting) in zip(names, paths, strict=True)
    ]


def free_pairs() -> list[Pair]:
    """Three pairs that anybody may use: CC0 pictures and our paintings."""
    import skimage.data

    from experiments.demo_pictures.painting import paint
    from nstjax.io.demo import demo_pictures

    return [
        Pair("chelsea_paint", *demo_pictures()),
        Pair(
            "coffee_paint",
            read_image(skimage.data.coffee()),
            paint(512, 512, seed=1),
        ),
        Pair(
            "chelsea_gravel",
            read_image(skimage.data.chelsea()),
            read_image(skimage.data.gravel()),
        ),
    ]


if __name__ == "__main__":
    run_command("evaluate_features", __name__, USAGE, main)
