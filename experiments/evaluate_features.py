"""How well a network's features serve style transfer, as VGG-19 sees the results.

  python -m experiments.evaluate_features PHOTO:PAINTING... --workdir=DIR
  python -m experiments.evaluate_features --free_pictures --workdir=DIR

The same preset paints each pair with VGG-19, with a narrower network and with random
weights of that network's widths; VGG-19 then scores all three results.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import flags

from nstjax import InputError, Params, Preset, contact_sheet, get_preset, stylize
from nstjax.commands.launcher import run_command
from nstjax.commands.path_flags import define_path
from nstjax.images.resizing import parse_size, resize
from nstjax.io.atomic import atomic_path, check_results, check_workdir
from nstjax.io.contents import unique_names
from nstjax.io.images import read_image, write_image
from nstjax.io.weights import load_network
from nstjax.io.workdir import begin_folder
from nstjax.network.architecture import architecture_of
from nstjax.network.random_weights import random_params
from nstjax.presets.settings import customize, default_size_rule
from nstjax.problem.problem import evaluate, prepare

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


def main(arguments: Sequence[str]) -> int:
    """Evaluate the pairs; returns the exit status."""
    if bool(arguments) == FLAGS.free_pictures or not FLAGS.workdir:
        raise InputError(
            "give --workdir=DIR and either pairs PHOTO:PAINTING or --free_pictures"
        )
    preset = get_preset(FLAGS.preset)
    size = parse_size(FLAGS.size, default_size_rule(preset))
    settings = {"size": size, "steps": FLAGS.steps, "optimizer": FLAGS.optimizer}
    preset = customize(preset, pyramid="none", **settings)
    pairs = free_pairs() if FLAGS.free_pictures else read_pairs(arguments)
    teacher = load_network(FLAGS.teacher)
    student = load_network(FLAGS.weights)
    widths = {layer: part["bias"].size for layer, part in student.params.items()}
    networks = {
        architecture_of(teacher.params).name: teacher.params,
        student.source: student.params,
        "random": random_params(FLAGS.seed, widths, architecture_of(widths)),
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
    with (
        atomic_path(folder / TABLE) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    sheet = contact_sheet(pictures, labels, columns=2 + len(networks))
    write_image(folder / SHEET, sheet)
    print(summary(rows))
    return 0


def compare(
    pair: Pair, networks: Mapping[str, Params], preset: Preset
) -> dict[str, tuple[np.ndarray, dict[str, float]]]:
    """Paint a pair with every network: {network: (image, row of its scores)}.

    ``style`` and each layer's are fractions of the style loss at the photo; ``content``
    is a multiple of the first network's result's; ``own_…`` is what the network itself
    says of its result's content and of the photo's style, by what the first one says.
    """
    teacher = next(iter(networks.values()))
    compared: dict[str, tuple[np.ndarray, dict[str, float]]] = {}
    for name, params in networks.items():
        result = stylize(pair.content, pair.style, params, preset, seed=FLAGS.seed)
        height, width = result.image.shape[:2]
        photo = resize(pair.content, height, width, preset.image.resample)
        before, after, own_before, own_after = (
            losses(pair, network, preset, image)
            for network in (teacher, params)
            for image in (photo, result.image)
        )
        if not compared:
            content = after["content"]
        layers = preset.style_layers
        row = {"content": after["content"] / content}
        row |= {term: after[term] / before[term] for term in ("style", *layers)}
        row["own_content"] = own_after["content"] / after["content"]
        row |= {f"own_{term}": own_before[term] / before[term] for term in layers}
        compared[name] = result.image, row
    return compared


def losses(
    pair: Pair, params: Params, preset: Preset, image: np.ndarray
) -> dict[str, float]:
    """A network's losses of an image: content, style and each style layer's E_l."""
    problem = prepare(pair.content, [pair.style], params, preset, init_image=image)
    terms = evaluate(problem, problem.state)[1].terms
    named = {"content": terms.content, "style": terms.style, **terms.style_layers}
    return {name: float(loss[0]) for name, loss in named.items()}


def summary(rows: Sequence[Mapping[str, Any]]) -> str:
    """Means over the pairs, a line for each network."""
    lines: list[str] = []
    columns = list(rows[0])[2:]
    fall: Any = None  # of the first one's style loss
    for name in dict.fromkeys(row["features"] for row in rows):
        own = [row for row in rows if row["features"] == name]
        left = np.array([row["style"] for row in own])
        fall = 1 - left if fall is None else fall
        means = [f"{key} {np.mean([row[key] for row in own]):.3f}" for key in columns]
        share = f"{np.mean((1 - left) / fall):.1%} of the first one's fall"
        lines.append(f"{name}: {share}; means: {', '.join(means)}")
    return "\n".join(lines)


def read_pairs(arguments: Sequence[str]) -> list[Pair]:
    """Read each PHOTO:PAINTING, no two of one name: results are called by it."""
    pairs = [argument.partition(":") for argument in arguments]
    for photo, separator, _ in pairs:
        if not separator:
            raise InputError(f"{photo}: give PHOTO:PAINTING")
    paths = [(Path(photo), Path(painting)) for photo, _, painting in pairs]
    named = [Path(f"{photo.stem}_{style.stem}{photo.suffix}") for photo, style in paths]
    return [
        Pair(name, read_image(photo), read_image(painting))
        for name, (photo, painting) in zip(unique_names(named), paths, strict=True)
    ]


def free_pairs() -> list[Pair]:
    """Three pairs that anybody may use: CC0 pictures and our paintings."""
    import skimage.data

    from experiments.demo_pictures.painting import paint
    from nstjax.io.demo import demo_pictures

    coffee = read_image(skimage.data.coffee())
    chelsea, gravel = map(read_image, (skimage.data.chelsea(), skimage.data.gravel()))
    return [
        Pair("chelsea_paint", *demo_pictures()),
        Pair("coffee_paint", coffee, paint(512, 512, seed=1)),
        Pair("chelsea_gravel", chelsea, gravel),
    ]


if __name__ == "__main__":
    run_command("evaluate_features", __name__, __doc__ or "", main)
