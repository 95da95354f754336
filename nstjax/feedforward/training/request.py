"""What a training is asked for, and what must not change while it lasts."""

import dataclasses
import hashlib
import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nstjax.errors import InputError
from nstjax.feedforward.networks.adain import CODE_LAYER
from nstjax.feedforward.networks.architecture import (
    AdaINArchitecture,
    Architecture,
    DescentArchitecture,
    TransformArchitecture,
    from_record,
    to_record,
)
from nstjax.feedforward.networks.descent import ENCODER
from nstjax.feedforward.networks.model_file import StyleModel, network_tensors
from nstjax.feedforward.networks.networks import TransformNet
from nstjax.feedforward.training.presets import TrainingPreset
from nstjax.io.weights import LoadedParams
from nstjax.network.architecture import CONV_LAYERS
from nstjax.presets import settings
from nstjax.presets.preset import Preset

# Fields of a request that must not change while a training lasts.
FIXED = (
    "add_style",
    "balance_styles",
    "adversarial_weight",
    "adversarial_layer",
    "grid_weight",
    "flicker_weight",
    "recolor",
    "identity",
    "identity_weight",
    "keep_styles",
    "whole_paintings",
    "seed",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingRequest:
    """What is trained, on what, in a folder; most defaults are the launcher's flags.

    Photos that are held out are for the validation loss and the sample sheets;
    ``paintings`` are {style's name: file}; ``keep_styles`` trains learned descent on
    them alone, whole, and has the model keep them by name. With ``whole_paintings`` it
    takes any painting, and learns from what these are whole, described once, in place
    of random parts of them. ``network`` is the fixed one
    that compares and encodes; learned descent has an encoder of its own, which begins
    with ``encoder``, if not with ``network``. Where a style is added to the model
    ``initial``, the preset's architecture is the model's with one style.
    """

    folder: Path
    preset: TrainingPreset
    photos: Sequence[Path]
    held_out: Sequence[Path]
    paintings: Mapping[str, Path]
    network: LoadedParams
    encoder: LoadedParams | None = None
    card: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    initial: StyleModel | None = None
    add_style: bool = False
    keep_styles: bool = False
    whole_paintings: bool = False
    balance_styles: bool = False
    adversarial_weight: float = 0.0
    adversarial_layer: str = "relu3_1"
    grid_weight: float = 0.0
    flicker_weight: float = 0.0
    recolor: float = 0.0
    identity: float = 0.0
    identity_weight: float = 0.0
    seed: int = 0
    workers: int = 2
    log_every: int = 20
    checkpoint_every: int = 200
    sample_every: int = 500
    tensorboard: bool = False
    half_precision: bool = False

    @property
    def arbitrary(self) -> bool:
        """Whether a network for any painting is trained, not one of named styles."""
        return not isinstance(self.preset.architecture, TransformArchitecture)

    @property
    def described_once(self) -> bool:
        """Whether paintings are described before the first step, by a fixed encoder."""
        return self.keep_styles or self.whole_paintings


def customize_architecture(
    architecture: Architecture,
    fields: Mapping[str, Any],
    styles: int,
    network: LoadedParams,
    initial: StyleModel | None = None,
) -> Architecture:
    """An architecture with some fields changed, as JSON has them, for so many styles.

    An arbitrary style's decoder takes relu4_1 of ``network``, and learned descent's
    encoder begins with it, if not with the model ``initial``.
    """
    record = {**to_record(architecture), **fields}
    if "encoder_channels" in fields and not isinstance(
        architecture, TransformArchitecture
    ):
        raise InputError(
            "encoder_channels are those of the network that encodes: leave them out, "
            "and name it with --encoder or --weights"
        )
    if isinstance(architecture, AdaINArchitecture):
        record["encoder_channels"] = network.params["conv4_1"]["bias"].size
    elif isinstance(architecture, DescentArchitecture):
        record["encoder_channels"] = encoder_channels(network)
        before = initial and initial.network.architecture
        if isinstance(before, DescentArchitecture):
            record["encoder_channels"] = before.encoder_channels
    elif record["normalization"] == "conditional":
        record["styles"] = styles
    elif styles > 1:
        raise InputError(
            f"{styles} styles need a network with conditional instance normalization: "
            "give --preset=cin-dumoulin"
        )
    return from_record(record)


def encoder_channels(network: LoadedParams) -> list[int]:
    """Of the first four blocks of a network."""
    widths = {name: layer["bias"].size for name, layer in network.params.items()}
    channels = [widths.get(f"conv{block}_1", 0) for block in range(1, 5)]
    for name in ENCODER:
        if widths.get(name) != channels[int(name[4]) - 1]:
            raise InputError(
                f"{network.source} cannot be the encoder of learned descent, as its "
                f"{name} is not as wide as the block's first layer: give slim"
            )
    return channels


def customize_loss(loss: Preset, fields: Mapping[str, Any]) -> Preset:
    """A training's loss with some fields changed, as JSON has them."""
    numbers = (*settings.loss_structure(loss), "alpha", "beta", "tv")
    known = {
        name: value
        for name, value in settings.settings_of(loss).items()
        if name in numbers or name.startswith(("content_layer", "style_layer"))
    }
    for name, value in fields.items():
        if name not in known:
            raise InputError(f"the loss has no {name!r}: it has {', '.join(known)}")
        if isinstance(known[name], bool) and not isinstance(value, bool):
            raise InputError(f"{name} must be true or false, got {value!r}")
    try:
        return settings.customize(loss, **fields)
    except TypeError as error:
        raise InputError(f"the loss has a value of a wrong type ({error})") from error


def check_request(request: TrainingRequest) -> None:
    """``InputError`` for what no training could use; files are checked later."""
    preset, loss, initial = request.preset, request.preset.loss, request.initial
    added = ("adversarial", "grid", "flicker", "identity")
    weights = [f"{name}_weight" for name in added]
    numbers = {name: getattr(request, name) for name in weights}
    numbers |= {"learning_rate": preset.learning_rate, "decay": preset.decay}
    if not 0 <= preset.average_decay < 1:
        raise InputError(
            f"average_decay must be 0 or more and below 1, got {preset.average_decay}"
        )
    for name, number in {**numbers, "largest": preset.crop.largest}.items():
        if not 0 <= number <= settings.LARGEST_NUMBER:
            raise InputError(
                f"{name} must be a finite number of 0 or more, got {number}"
            )
    arbitrary, layers = request.arbitrary, loss.content_layers
    if request.add_style:
        if initial is None or len(request.paintings) != 1:
            raise InputError(
                "to add a style, give one painting and the model (--initial)"
            )
        if not isinstance(initial.network, TransformNet):
            raise InputError(
                "a style can only be added to a network with conditional instance "
                "normalization: other models take any painting, or are trained on all "
                "of theirs together (--keep_styles)"
            )
    decoder = isinstance(preset.architecture, AdaINArchitecture)
    descent = arbitrary and not decoder
    encoder = request.encoder or request.network
    multiple = getattr(preset.architecture, "multiple", 1)
    of_arbitrary = request.recolor or request.identity or request.identity_weight
    for wrong, problem in (
        (not preset.learning_rate, "learning_rate is 0: the network would not change"),
        (not request.held_out, "no photo is held out: keep one for validation"),
        (
            decoder and layers != (CODE_LAYER,),
            f"content_layers of a decoder must be {CODE_LAYER}, which is "
            f"decoded, got {','.join(layers)}",
        ),
        (
            arbitrary and not encoder.params.keys() >= set(CONV_LAYERS),
            "arbitrary style needs all layers of VGG-19: give --weights of it, or slim",
        ),
        (
            arbitrary and loss.network.image_padding != "zero",
            "image_padding of arbitrary style must be zero: its encoder's",
        ),
        (
            arbitrary and loss.network.pool_padding != "same",
            "pool_padding of arbitrary style must be same: its encoder's",
        ),
        (
            request.encoder is not None and not descent,
            "encoder is for learned descent: give --preset=descent",
        ),
        (
            request.described_once and not descent,
            "keep_styles and whole_paintings are for learned descent: give "
            "--preset=descent",
        ),
        (
            descent and request.adversarial_weight > 0,
            "learned descent has no adversarial loss: leave adversarial_weight out",
        ),
        (
            descent and preset.crop.size % multiple,
            f"size must be a multiple of {multiple}, got {preset.crop.size}",
        ),
        (
            arbitrary and request.balance_styles,
            "balance_styles is for a network of several styles",
        ),
        (
            of_arbitrary and (request.described_once or not arbitrary),
            "recolor, identity and identity_weight are for random parts of any "
            "painting: give --preset=descent or adain, without --keep_styles or "
            "--whole_paintings",
        ),
        (
            request.identity_weight and not request.identity,
            "identity_weight is of photos that are their own painting: give "
            "--identity too",
        ),
        (
            request.tensorboard and importlib.util.find_spec("tensorboardX") is None,
            "--tensorboard needs tensorboardX: pip install 'nstjax[train]'",
        ),
    ):
        if wrong:
            raise InputError(problem)


def request_settings(request: TrainingRequest) -> dict[str, Any]:
    """Everything that a resumed training must have in common with its beginning."""
    preset = dataclasses.asdict(request.preset)
    preset["architecture"] = to_record(request.preset.architecture)
    # A longer training has the same beginning.
    del preset["steps"]
    initial, paintings = None, request.paintings.items()
    if request.initial is not None:
        tensors = network_tensors(request.initial.network).values()
        initial = _sha256(tensor.tobytes() for tensor in tensors)
    return {
        **preset,
        "photos_sha256": _sha256(path.read_bytes() for path in request.photos),
        "photos": len(request.photos),
        "held_out": [path.name for path in request.held_out],
        "paintings": {name: _sha256([path.read_bytes()]) for name, path in paintings},
        "weights_sha256": request.network.sha256,
        "initial": initial,
        **({"encoder_sha256": request.encoder.sha256} if request.encoder else {}),
        **{name: getattr(request, name) for name in FIXED},
    }


def _sha256(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
