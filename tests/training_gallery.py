"""What trainings are started on: pictures, weights, models and flags."""

import contextlib
import pathlib
import shutil
from unittest import mock

import numpy as np
import reference
from feedforward_networks import random_network
from flax import nnx
from PIL import Image

import nstjax
from nstjax.feedforward.networks.architecture import (
    AdaINArchitecture,
    TransformArchitecture,
)
from nstjax.feedforward.networks.model_file import Encoder, StyleModel, write_model
from nstjax.feedforward.training import setup as training_setup
from nstjax.feedforward.training.data import CropRule, square_crop
from nstjax.io.images import read_image
from nstjax.io.weights import read_params
from nstjax.network.architecture import CONV_LAYERS

ROOT = pathlib.Path(__file__).resolve().parents[1]
TRAIN = "experiments.train_feedforward"
NARROW = '--architecture={"channels": [4, 4, 4], "residual_blocks": 0}'
SHALLOW = (
    '--loss={"content_layers": ["relu1_2"], "style_layers": ["relu1_1", "relu1_2"]}'
)
PLAIN = (
    "--photos=../photos",
    # So that what should be refused, and is not, comes to an end.
    "--steps=2",
    "--weights=../slim.safetensors",
    "--workdir=run",
    "--size=16",
    "--batch_size=2",
    "--held_out=2",
)
BASE = (*PLAIN, NARROW)
ONE = (*BASE, SHALLOW, "--styles=wave=../paintings/a.png")
ADVERSARIAL = (
    *BASE,
    SHALLOW,
    "--preset=cin-dumoulin",
    "--styles=../paintings",
    "--balance_styles",
    "--adversarial_weight=5",
    "--adversarial_layer=relu1_2",
    "--grid_weight=2",
    "--flicker_weight=2",
)
ADAIN = (
    *BASE,
    "--preset=adain",
    '--architecture={"channels": [4, 4, 4]}',
    "--styles=../paintings",
    "--recolor=0.5",
    "--identity=0.25",
    "--identity_weight=2",
    "--decay=0.1",
)

DESCENT = (
    *PLAIN,
    "--preset=descent",
    '--architecture={"channels": [4, 4], "residual_blocks": 0, "steps": [1]}',
    "--styles=../paintings",
    "--identity=0.25",
    "--identity_weight=2",
    "--flicker_weight=1",
)


def make_gallery(folder, slim_weights):
    """Photos, paintings, weights, models, and what is none of these."""
    random = np.random.default_rng(0)

    def paint(name, size, count):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        coarse = random.integers(0, 256, (count, count, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize(size).save(path)

    for index in range(7):
        paint(f"photos/{index}.png", (24 + index, 24), 5)
    # Neither of those that are held out, 0 and 3.
    (folder / "photos" / "5.png").write_bytes(b"no picture")
    paint("paintings/a.png", (32, 28), 7)
    paint("paintings/b.png", (24, 40), 6)
    for name in ("texts", "broken"):
        (folder / name).mkdir()
    for index in range(7):
        (folder / "texts" / f"{index}.txt").write_text("no picture")
        (folder / "broken" / f"{index}.png").write_text("no picture")
    shutil.copy(slim_weights, folder / "slim.safetensors")
    params = reference.random_params(1, (8, 8, 16, 16, 16))
    nstjax.save_params(folder / "other.safetensors", params)
    for kind in ("conditional", "instance"):
        names = ("one", "two") if kind == "conditional" else ("one",)
        architecture = TransformArchitecture(
            channels=(4, 4, 4),
            residual_blocks=1,
            normalization=kind,
            styles=len(names),
            pixels="0..1",
            output="sigmoid",
        )
        card = {"by": "me", "styles": {"one": "First"}}
        model = StyleModel(random_network(architecture), names, None, card)
        write_model(folder / f"{kind}.safetensors", model)
    decoder = random_network(AdaINArchitecture(encoder_channels=16, channels=(4, 4, 4)))
    encoder = Encoder(
        read_params(slim_weights).sha256, "max", dict.fromkeys(CONV_LAYERS, 1.0)
    )
    write_model(folder / "adain.safetensors", StyleModel(decoder, (), encoder, {}))
    return folder


@contextlib.contextmanager
def one_training():
    """Trainings of one structure, loss and optimizer share what is compiled.

    Of each structure only one loss and optimizer may be asked for.
    """
    make, made = training_setup.make_training, {}

    def make_once(network, *arguments, **options):
        graph = nnx.split(network)[0]
        if graph not in made:
            made[graph] = make(network, *arguments, **options)
        return made[graph]

    with mock.patch.object(training_setup, "make_training", make_once):
        yield


def held_out_photos(gallery):
    """As the validation loss sees them."""
    crop = CropRule("center", 16)
    photos = [read_image(gallery / "photos" / f"{index}.png") for index in (0, 3)]
    return np.stack([square_crop(photo, crop) for photo in photos])
