"""What a training is asked for, and what must not change while it lasts."""

import dataclasses
import hashlib
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nstjax.errors import InputError
from nstjax.feedforward.networks.adain import CODE_LAYER
from nstjax.feedforward.networks.architecture import (
    AdaINArchitecture,
    Architecture,
    from_record,
    to_record,
)
from nstjax.feedforward.networks.model_file import StyleModel, network_tensors
from nstjax.feedforward.networks.networks import AdaINDecoder
from nstjax.feedforward.training.presets import TrainingPreset
from nstjax.io.weights import LoadedParams
from nstjax.presets.preset import (
    LARGEST_NUMBER,
    Preset,
    customize,
    loss_structure,
    settings_of,
)

LOSS_NUMBERS = (
    "alpha",
    "beta",
    "tv",
    "content_layers",
    "content_layer_weights",
    "style_layers",
    "style_layer_weights",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingRequest:
    """What is trained, on what.

    Attributes:
      folder: everything is written here.
      preset: network, loss and settings.
      photos: to train on.
      held_out: photos for the validation loss and the sample sheets.
      paintings: {style's name: file}.
      network: the fixed network that compares, and encodes.
      card: what the model's file is to say of itself.
      initial: a model to start from, or None.
      add_style: whether to train γ and β of one more style of ``initial`` and nothing
        else; the preset's architecture is then the initial one's with one style.
      balance_styles: see
        ``nstjax.feedforward.training.objective.balanced_style_weights``.
      adversarial_weight: of the discriminator's loss; 0 for none.
      adversarial_layer: what the discriminator sees.
      grid_weight: of ``nstjax.feedforward.training.grid_loss``.
      recolor: share of paintings whose colors change, for arbitrary style.
      identity: share of photos that are their own painting, likewise.
      identity_weight: of the mean squared error of these.
      seed: of all that is random.
      workers: threads that read pictures.
      log_every: updates between lines of the log.
      checkpoint_every: updates between checkpoints.
      sample_every: updates between sample sheets and validation losses.
      tensorboard: whether to write event files too.
      half_precision: whether the model is written in float16.
    """

    folder: Path
    preset: TrainingPreset
    photos: Sequence[Path]
    held_out: Sequence[Path]
    paintings: Mapping[str, Path]
    network: LoadedParams
    card: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    initial: StyleModel | None = None
    add_style: bool = False
    balance_styles: bool = False
    adversarial_weight: float = 0.0
    adversarial_layer: str = "relu3_1"
    grid_weight: float = 0.0
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
        """Whether a decoder for any painting is trained, not a network of styles."""
        return isinstance(self.preset.architecture, AdaINArchitecture)


def customize_architecture(
    architecture: Architecture,
    fields: Mapping[str, Any],
    styles: int,
    network: LoadedParams,
) -> Architecture:
    """An architecture with some fields changed, for so many styles.

    Args:
      architecture: to start from.
      fields: what differs, as JSON has it.
      styles: how many paintings there are.
      network: the fixed one, whose relu4_1 an arbitrary style's decoder takes.

    Raises:
      InputError: unknown fields or values, or styles that the network cannot have.
    """
    record = {**to_record(architecture), **fields}
    if isinstance(architecture, AdaINArchitecture):
        record["encoder_channels"] = network.params["conv4_1"]["bias"].size
    elif record["normalization"] == "conditional":
        record["styles"] = styles
    elif styles > 1:
        raise InputError(
            f"{styles} styles need a network with conditional instance normalization: "
            "give --preset=cin-dumoulin"
        )
    return from_record(record)


def customize_loss(loss: Preset, fields: Mapping[str, Any]) -> Preset:
    """A training's loss with some fields changed.

    Args:
      loss: to start from.
      fields: what differs, as JSON has it; only what the loss itself is made of.

    Raises:
      InputError: other fields, or values that they cannot have.
    """
    settings = settings_of(loss)
    known = {name: settings[name] for name in (*loss_structure(loss), *LOSS_NUMBERS)}
    for name, value in fields.items():
        if name not in known:
            raise InputError(f"the loss has no {name!r}: it has {', '.join(known)}")
        if isinstance(known[name], bool) and not isinstance(value, bool):
            raise InputError(f"{name} must be true or false, got {value!r}")
    try:
        return customize(loss, **fields)
    except TypeError as error:
        raise InputError(f"the loss has a value of a wrong type ({error})") from error


def check_request(request: TrainingRequest) -> None:
    """Raise ``InputError`` for what no training could use.

    Pictures, sizes and the styles' names are checked where they are used.
    """
    preset, loss = request.preset, request.preset.loss
    for name, number in (
        ("learning_rate", preset.learning_rate),
        ("decay", preset.decay),
        ("largest", preset.crop.largest),
        ("adversarial_weight", request.adversarial_weight),
        ("grid_weight", request.grid_weight),
        ("identity_weight", request.identity_weight),
    ):
        if not 0 <= number <= LARGEST_NUMBER:
            raise InputError(
                f"{name} must be a finite number of 0 or more, got {number}"
            )
    if not preset.learning_rate:
        raise InputError("learning_rate is 0: the network would never change")
    if not request.held_out:
        raise InputError("no photo is held out: keep one or more for validation")
    if request.add_style:
        if request.initial is None or len(request.paintings) != 1:
            raise InputError(
                "to add a style, give one painting and the model (--initial)"
            )
        if isinstance(request.initial.network, AdaINDecoder):
            raise InputError(
                "the initial model takes any painting as it is: a style is added to a "
                "network with conditional instance normalization"
            )
    if request.arbitrary and loss.content_layers != (CODE_LAYER,):
        raise InputError(
            f"content_layers of arbitrary style must be {CODE_LAYER}, which is "
            f"decoded, got {','.join(loss.content_layers)}"
        )
    if request.arbitrary and loss.network.image_padding != "zero":
        raise InputError("image_padding of arbitrary style must be zero: its encoder's")
    if request.arbitrary and request.balance_styles:
        raise InputError("balance_styles is for a network of several styles")
    if not request.arbitrary and (
        request.recolor or request.identity or request.identity_weight
    ):
        raise InputError(
            "recolor, identity and identity_weight are for arbitrary style: give "
            "--preset=adain"
        )
    if request.identity_weight and not request.identity:
        raise InputError(
            "identity_weight is of photos that are their own painting: give --identity "
            "too"
        )
    if request.tensorboard and importlib.util.find_spec("tensorboardX") is None:
        raise InputError(
            "--tensorboard needs tensorboardX: pip install 'nstjax[train]'"
        )


def request_settings(request: TrainingRequest) -> dict[str, Any]:
    """Everything that a resumed training must have in common with its beginning."""
    preset = dataclasses.asdict(request.preset)
    preset["architecture"] = to_record(request.preset.architecture)
    # A longer training has the same beginning.
    del preset["steps"]
    return {
        **preset,
        "photos_sha256": _files_sha256(request.photos),
        "photos": len(request.photos),
        "held_out": [path.name for path in request.held_out],
        "paintings": {
            name: _files_sha256([path]) for name, path in request.paintings.items()
        },
        "weights_sha256": request.network.sha256,
        "add_style": request.add_style,
        "initial": None if request.initial is None else _sha256(request.initial),
        "balance_styles": request.balance_styles,
        "adversarial_weight": request.adversarial_weight,
        "adversarial_layer": request.adversarial_layer,
        "grid_weight": request.grid_weight,
        "recolor": request.recolor,
        "identity": request.identity,
        "identity_weight": request.identity_weight,
        "seed": request.seed,
    }


def _files_sha256(paths: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _sha256(model: StyleModel) -> str:
    digest = hashlib.sha256()
    for tensor in network_tensors(model.network).values():
        digest.update(tensor.tobytes())
    return digest.hexdigest()
