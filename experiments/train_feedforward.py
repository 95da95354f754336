"""Train a feed-forward network: ``python -m experiments.train_feedforward``."""

import dataclasses
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from nstjax.commands import launcher
from nstjax.commands.path_flags import define_path, define_paths
from nstjax.errors import InputError
from nstjax.feedforward.networks.model_file import StyleModel, read_model
from nstjax.feedforward.training import presets, request
from nstjax.feedforward.training.data import CropRule, named_pictures, picture_files
from nstjax.feedforward.training.run import MODEL, SAMPLES, train
from nstjax.images.resizing import parse_size
from nstjax.io.atomic import check_results, check_workdir
from nstjax.io.stored import MOST_SETTING
from nstjax.io.weights import LoadedParams, load_network
from nstjax.presets.settings import with_settings
from nstjax.runtime.interrupts import advise

USAGE = """
Train a network that restyles any photo in one pass.

  python -m experiments.train_feedforward --photos=DIR --styles=PAINTING --workdir=DIR
  python -m experiments.train_feedforward --photos=DIR --styles=DIR --preset=descent \\
      --workdir=DIR
  python -m experiments.train_feedforward --photos=DIR --initial=MODEL --add_style \\
      --styles=NAME=PAINTING --workdir=DIR

The result is model.safetensors in --workdir, for nstjax-fast --model. The same command
again goes on with a training that was killed; with more --steps, with one that ended.
"""

define_path("photos", None, "Folder of the photos to learn from.")
define_paths(
    "styles",
    None,
    "Paintings, each FILE or NAME=FILE, separated by commas, or one folder of them. "
    "Several need --preset=cin-dumoulin or, for any painting at all, --preset=descent.",
)
define_path("workdir", None, "Folder of everything that is written.")
flags.DEFINE_enum(
    "preset", "lengstrom", list(presets.TRAINING_PRESETS), "Published settings."
)
define_path("weights", "auto", "What compares: auto, vgg19, slim or a file.")
define_path(
    "encoder",
    None,
    "What the encoder of --preset=descent begins with, else --weights: slim or a file.",
)
define_path("initial", None, "Model file whose network is trained further.")
flags.DEFINE_bool(
    "add_style", False, "Keep --initial, and train γ and β of one more style for it."
)
flags.DEFINE_bool(
    "keep_styles",
    False,
    "Train --preset=descent on the styles alone, and keep them in the model by name.",
)
flags.DEFINE_bool(
    "whole_paintings",
    False,
    "Describe the paintings of --preset=descent once, whole, in place of random parts "
    "of them: faster, with 8 MB for each and an encoder that stays as it is.",
)
flags.DEFINE_string(
    "architecture", None, 'What the network has of its own, as JSON: {"width": 0.5}.'
)
flags.DEFINE_string("loss", None, 'What the loss has of its own: {"beta": 50}.')
flags.DEFINE_string(
    "style_size", None, "Size of the paintings, such as long:512; else their own."
)
flags.DEFINE_integer("size", None, "Pixels of a training picture's side.", 16, 2048)
flags.DEFINE_enum(
    "crop",
    None,
    ["squash", "center", "random"],
    "How photos become squares: resized whole, their middle, or a random part.",
)
flags.DEFINE_float("largest", 2.0, "Largest scale of random parts, in --size.", 1.0)
flags.DEFINE_integer("batch_size", None, "Photos in a batch.", 1)
flags.DEFINE_integer("steps", None, "Updates in all.", 1)
flags.DEFINE_float("learning_rate", None, "Adam's learning rate.", 0.0)
flags.DEFINE_float("decay", None, "d of learning rate / (1 + d·step).", 0.0)
flags.DEFINE_float(
    "average_decay",
    None,
    "Decay of the moving average of the weights, which is the model; 0 for none.",
)
flags.DEFINE_bool(
    "balance_styles", False, "Weight styles so that all lose as much on plain photos."
)
flags.DEFINE_float(
    "adversarial_weight", 0.0, "Weight of a discriminator's loss; 0 for none.", 0.0
)
flags.DEFINE_string("adversarial_layer", "relu3_1", "Layer that it looks at.")
flags.DEFINE_float(
    "grid_weight", 0.0, "Weight of a penalty on the grid that upsampling leaves.", 0.0
)
flags.DEFINE_float(
    "flicker_weight",
    0.0,
    "Weight of a penalty on what changes from frame to frame of a video, see the docs.",
    0.0,
)
flags.DEFINE_float(
    "recolor",
    0.0,
    "Share of paintings that get other colors (--preset=descent, adain).",
    0.0,
    1.0,
)
flags.DEFINE_float(
    "identity",
    0.0,
    "Share of photos that are their own painting (--preset=descent, adain).",
    0.0,
    1.0,
)
flags.DEFINE_float(
    "identity_weight",
    0.0,
    "Weight of the squared error of photos that are their own painting.",
    0.0,
)
flags.DEFINE_multi_string(
    "title", [], "NAME=TEXT: what the model's card says of a style; once for each."
)
flags.DEFINE_string("license", None, "What the model's card says of its license.")
flags.DEFINE_bool("half_precision", False, "Write the model in float16.")
flags.DEFINE_integer("held_out", 8, "Photos kept for validation and samples.", 1)
flags.DEFINE_integer("seed", 0, "Seed of all that is random.", 0, 2**32 - 1)
flags.DEFINE_integer("workers", 2, "Threads that read photos; 0 for none.", 0)
flags.DEFINE_integer("log_every", 20, "Updates between lines of metrics.jsonl.", 1)
flags.DEFINE_integer("checkpoint_every", 200, "Updates between checkpoints.", 1)
flags.DEFINE_integer("sample_every", 500, "Updates between sample sheets.", 1)
launcher.define_process_flags()
flags.DEFINE_bool("tensorboard", False, "Write TensorBoard's event files too.")

FLAGS = flags.FLAGS
RATES = ("learning_rate", "decay", "average_decay")


def main(arguments: Sequence[str]) -> int:
    """Train; returns the exit status."""
    if arguments:
        raise InputError(f"unexpected argument {arguments[0]}: see --help")
    for name in ("photos", "styles", "workdir"):
        if not FLAGS[name].value:
            raise InputError(f"give --{name}: see --help")
    launcher.join_processes_of_flags()
    folder = Path(FLAGS.workdir)
    check_workdir(folder)
    # The working folder may lie among the pictures.
    results = folder, folder / SAMPLES
    photos = picture_files(FLAGS.photos, without=results)
    if FLAGS.held_out >= len(photos):
        raise InputError(
            f"--held_out={FLAGS.held_out} of {len(photos)} photos leaves none to learn "
            "from: hold out fewer"
        )
    # The same photos are held out whatever the seed: trainings can be compared.
    held_out = photos[:: len(photos) // FLAGS.held_out][: FLAGS.held_out]
    paintings = named_pictures(FLAGS.styles, "styles", without=results)
    check_results(
        [folder / MODEL, *(folder / SAMPLES).glob("*")],
        inputs=[*photos, *paintings.values(), FLAGS.initial, FLAGS.weights],
    )
    network = load_network(FLAGS.weights)
    encoder = load_network(FLAGS.encoder) if FLAGS.encoder else None
    initial = read_model(FLAGS.initial) if FLAGS.initial else None
    command = ["python", "-m", "experiments.train_feedforward", *sys.argv[1:]]
    before = initial.card if initial is not None and FLAGS.add_style else {}
    titles = {**(initial.titles if initial and before else {}), **_titles(paintings)}
    card = {**before, "command": shlex.join(command), "styles": titles}
    if FLAGS.license:
        card["license"] = FLAGS.license
    advise("the same command again goes on from the last checkpoint")
    names = [field.name for field in dataclasses.fields(request.TrainingRequest)]
    options: dict[str, Any] = {
        **{name: FLAGS[name].value for name in names if name in FLAGS},
        "preset": _preset(len(paintings), encoder or network, initial),
        "photos": [path for path in photos if path not in held_out],
        "held_out": held_out,
        "initial": initial,
        "encoder": encoder,
    }
    trained = train(
        request.TrainingRequest(
            folder=folder, paintings=paintings, network=network, card=card, **options
        )
    )
    if trained.model is None:
        print(
            "train_feedforward: interrupted; the same command again goes on from here"
        )
        return launcher.INTERRUPTED_STATUS
    print(trained.model)
    return 0 if trained.complete else launcher.FAILURE_STATUS


def _titles(paintings: Mapping[str, Path]) -> dict[str, str]:
    """{name: what the card says} as --title says."""
    parts = [text.partition("=") for text in FLAGS.title]
    for name, _, title in parts:
        if name not in paintings or not title:
            raise InputError(
                f"--title={name}: give NAME=TEXT of one of {', '.join(paintings)}"
            )
    return {name: title for name, _, title in parts}


def _preset(
    styles: int, network: LoadedParams, initial: StyleModel | None
) -> presets.TrainingPreset:
    preset = presets.TRAINING_PRESETS[FLAGS.preset]
    architecture = preset.architecture
    if FLAGS.add_style and initial is not None:
        architecture = initial.network.architecture
    loss = request.customize_loss(preset.loss, _fields("loss"))
    if FLAGS.style_size:
        loss = with_settings(loss, style_size=parse_size(FLAGS.style_size))
    crop = preset.crop
    changes: dict[str, Any] = {
        name: FLAGS[name].value
        for name in (*RATES, "batch_size", "steps")
        if FLAGS[name].value is not None
    }
    return dataclasses.replace(
        preset,
        architecture=request.customize_architecture(
            architecture, _fields("architecture"), styles, network, initial
        ),
        loss=loss,
        crop=CropRule(FLAGS.crop or crop.rule, FLAGS.size or crop.size, FLAGS.largest),
        **changes,
    )


def _fields(flag: str) -> dict[str, Any]:
    """What a flag gives as JSON."""
    text = FLAGS[flag].value or "{}"
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"--{flag} is no JSON ({error})") from error
    if not isinstance(fields, dict):
        raise InputError(
            f"--{flag}={text[:MOST_SETTING]}: give an object, as in --help"
        )
    return fields


if __name__ == "__main__":
    launcher.run_command("train_feedforward", __name__, USAGE, main)
