"""The published feed-forward programs by name: network, loss and training settings.

Loss weights are for a VGG-19 in 0..255, as everywhere in ``nstjax``. Where a program
used VGG-16, layers of the same names are taken.
"""

import dataclasses

from nstjax.feedforward.networks.architecture import (
    AdaINArchitecture,
    Architecture,
    DescentArchitecture,
    TransformArchitecture,
)
from nstjax.feedforward.networks.descent import STYLE_LAYERS
from nstjax.feedforward.training.data import CropRule
from nstjax.presets.preset import Preset
from nstjax.presets.settings import new_preset

SQUASH = CropRule("squash", 256)
JOHNSON_STYLE_LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingPreset:
    """One published program's way to train a network, by Adam.

    Of ``loss`` the optimizer, sizes and picture controls are not used. The learning
    rate is divided by 1 + decay·step. With an average decay the model is the moving
    average of the weights, see ``nstjax.feedforward.training.update.make_training``.
    """

    source: str
    architecture: Architecture
    loss: Preset
    crop: CropRule = SQUASH
    batch_size: int = 4
    steps: int = 40_000
    learning_rate: float = 1e-3
    decay: float = 0.0
    average_decay: float = 0.0


JOHNSON_NETWORK = TransformArchitecture(
    padding="reflect-start",
    upsampling="transpose-torch",
    pixels="0..255 minus mean",
    output="tanh",
)
JOHNSON = TrainingPreset(
    source="jcjohnson/fast-neural-style, instance normalization at half width",
    architecture=dataclasses.replace(JOHNSON_NETWORK, width=0.5),
    loss=new_preset(
        "jcjohnson/fast-neural-style",
        content_layers=("relu3_3",),
        style_layers=JOHNSON_STYLE_LAYERS,
        style_layer_weights=(1.0,) * 4,
        gram_normalization="chw",
        alpha=1.0,
        beta=5.0,
        # Summed over the four pictures of a batch there, averaged here.
        tv=4e-6,
    ),
)
LENGSTROM_LOSS = new_preset(
    "lengstrom/fast-style-transfer",
    pool_padding="same",
    gram_normalization="chw",
    tv_form="mean_squared",
    alpha=7.5,
    beta=100.0,
    tv=200.0,
)

TRAINING_PRESETS: dict[str, TrainingPreset] = {
    "johnson-in": JOHNSON,
    "johnson-bn": dataclasses.replace(
        JOHNSON,
        source="Johnson, Alahi and Fei-Fei, ECCV 2016: batch normalization",
        architecture=dataclasses.replace(JOHNSON_NETWORK, normalization="batch"),
    ),
    "pytorch-fns": TrainingPreset(
        source="pytorch/examples, fast_neural_style",
        architecture=TransformArchitecture(),
        loss=new_preset(
            "pytorch/examples, fast_neural_style",
            content_layers=("relu2_2",),
            style_layers=JOHNSON_STYLE_LAYERS,
            style_layer_weights=(1.0,) * 4,
            gram_normalization="chw",
            # 1e5 and 1e10 of features of pictures in 0..1.
            alpha=1e5 / 255.0**2,
            beta=1e10 / 255.0**4,
        ),
        crop=CropRule("center", 256),
        steps=41_392,  # two epochs of COCO's 82783 photos
    ),
    "lengstrom": TrainingPreset(
        source="lengstrom/fast-style-transfer",
        architecture=TransformArchitecture(
            epsilon=1e-3,
            normalize_output=True,
            bias=False,
            padding="zero",
            upsampling="transpose-tensorflow",
            output="tanh",
            initialization="truncated-normal",
        ),
        loss=LENGSTROM_LOSS,
        steps=41_390,
    ),
    "cin-dumoulin": TrainingPreset(
        source="Dumoulin, Shlens and Kudlur, ICLR 2017; magenta, image_stylization",
        architecture=TransformArchitecture(
            normalization="conditional",
            normalize_output=True,
            bias=False,
            pixels="0..1",
            output="sigmoid",
            initialization="normal",
        ),
        loss=new_preset(
            "magenta, image_stylization",
            pool="avg",
            pool_padding="same",
            content_layers=("relu3_3",),
            style_layers=JOHNSON_STYLE_LAYERS,
            style_layer_weights=(1.0,) * 4,
            alpha=1.0,
            beta=1e-4,
        ),
        crop=CropRule("center", 256),
        batch_size=16,
    ),
    "adain": TrainingPreset(
        source="Huang and Belongie, ICCV 2017; naoto0804/pytorch-AdaIN",
        architecture=AdaINArchitecture(),
        loss=new_preset(
            "naoto0804/pytorch-AdaIN",
            pool_padding="same",
            content_layers=("relu4_1",),
            style_layers=("relu1_1", "relu2_1", "relu3_1", "relu4_1"),
            style_layer_weights=(1.0,) * 4,
            style_loss="moments",
            style_normalization="unscaled",
            alpha=1.0,
            beta=10.0,
        ),
        crop=CropRule("random", 256),
        batch_size=8,
        steps=160_000,
        learning_rate=1e-4,
        decay=5e-5,
    ),
    "descent": TrainingPreset(
        source="nstjax: learned descent on the style loss",
        architecture=DescentArchitecture(),
        loss=new_preset(
            "nstjax: learned descent",
            pool="max",
            pool_padding="same",
            content_layers=("relu4_2",),
            style_layers=tuple(STYLE_LAYERS),
            style_layer_weights=tuple(STYLE_LAYERS.values()),
            content_normalization="relative",
            style_normalization="relative",
            tv_form="mean_squared",
            alpha=1.0,
            beta=40.0,
            tv=5e-5,
        ),
        crop=CropRule("random", 256),
        batch_size=2,
        steps=40_000,
        learning_rate=1e-3,
        decay=1e-4,
        average_decay=0.99,
    ),
}
