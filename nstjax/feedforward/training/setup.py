"""From a request to everything that a training needs, before anything is written."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import Array

from nstjax.errors import InputError
from nstjax.feedforward.networks.architecture import to_record
from nstjax.feedforward.networks.model_file import Encoder, StyleModel
from nstjax.feedforward.networks.networks import Network, make_network
from nstjax.feedforward.networks.normalization import StyleTable
from nstjax.feedforward.networks.style_rows import (
    network_for_new_style,
    with_style_added,
)
from nstjax.feedforward.training.adversary import make_adversary
from nstjax.feedforward.training.data import (
    Batches,
    CropRule,
    square_crop,
    training_batches,
)
from nstjax.feedforward.training.objective import (
    Batch,
    Objective,
    balanced_style_weights,
    make_loss,
    stacked_styles,
)
from nstjax.feedforward.training.presets import TrainingPreset
from nstjax.feedforward.training.request import TrainingRequest
from nstjax.feedforward.training.update import Training, TrainingState, make_training
from nstjax.images.resizing import Size, output_size, resize
from nstjax.io.images import read_image
from nstjax.network.architecture import CONV_LAYERS
from nstjax.network.layer_scales import scale_layers
from nstjax.network.vgg import Params, activations_of, preprocess
from nstjax.problem.problem import make_weights

SHEET_STYLES = 16
CALIBRATION_PHOTOS = 16


class Setup(NamedTuple):
    """What a training is run with.

    ``samples`` are the photos that are held out, for each of the first paintings; only
    arbitrary style has an encoder.
    """

    training: Training
    state: TrainingState
    objective: Objective
    batches: Batches
    samples: list[Batch]
    encoder: Encoder | None


def set_up(request: TrainingRequest) -> Setup:
    """Read the pictures that are needed all the time, and make the network.

    Raises:
      InputError: pictures that cannot be read, are too few or too small, or an initial
        model that does not fit.
    """
    crop = CropRule("center", request.preset.crop.size)
    paintings = [_painting(path, request.preset) for path in request.paintings.values()]
    photos = map(read_image, request.held_out)
    held_out = np.stack([square_crop(photo, crop) for photo in photos])
    batches = _batches(request, paintings)
    network = _initial_network(request)
    params, encoder = request.network.params, None
    if request.arbitrary:
        encoder = _normalized_encoder(request, held_out)
        params = scale_layers(params, encoder.scales)
    objective = _objective(request, params, paintings, held_out)
    training, state = _training(request, network, params, paintings)
    samples = [
        _samples(held_out, index, painting if request.arbitrary else None)
        for index, painting in enumerate(paintings[:SHEET_STYLES])
    ]
    # Computes nothing, but finds whether the pictures are too small.
    jax.eval_shape(training.evaluate, state, samples[0], objective)
    return Setup(training, state, objective, batches, samples, encoder)


def trained_model(
    request: TrainingRequest, setup: Setup, state: TrainingState, card: dict[str, Any]
) -> StyleModel:
    """The model that a state is, with a style added to the initial one's if asked."""
    network = setup.training.network(state)
    names = () if request.arbitrary else tuple(request.paintings)
    if request.add_style and request.initial is not None:
        network = with_style_added(request.initial.network, network)
        names = (*request.initial.styles, *names)
    return StyleModel(network, names, setup.encoder, card)


def learning_rates(first: float, decay: float) -> optax.Schedule:
    """The learning rate at each step: first / (1 + decay·step)."""
    return lambda step: first / (1.0 + decay * step)


def _painting(path: Path, preset: TrainingPreset) -> np.ndarray:
    image = read_image(path)
    height, width, _ = image.shape
    size = preset.loss.image.style_size
    if not isinstance(size, Size):
        return image
    return resize(image, *output_size(height, width, size))


def _samples(photos: np.ndarray, style: int, painting: np.ndarray | None) -> Batch:
    """All photos in one style: a named one, or that of a painting."""
    count, size = photos.shape[:2]
    if painting is None:
        return Batch(jnp.asarray(photos), jnp.full(count, style))
    square = square_crop(painting, CropRule("center", size))
    squares = jnp.stack([jnp.asarray(square)] * count)
    return Batch(jnp.asarray(photos), jnp.full(count, 0), squares)


def _batches(request: TrainingRequest, paintings: Sequence[np.ndarray]) -> Batches:
    preset = request.preset
    with_paintings = request.arbitrary or request.adversarial_weight > 0
    return training_batches(
        request.photos,
        preset.crop,
        batch_size=preset.batch_size,
        seed=request.seed,
        styles=1 if request.arbitrary else len(paintings),
        paintings=paintings if with_paintings else (),
        recolor=request.recolor,
        identity=request.identity,
        workers=request.workers,
    )


def _initial_network(request: TrainingRequest) -> Network:
    architecture = request.preset.architecture
    if request.initial is None:
        return make_network(architecture, request.seed)
    network = request.initial.network
    if request.add_style:
        network = network_for_new_style(network)
    given = network.architecture
    found, wanted = to_record(given), to_record(architecture)
    for record in (found, wanted):
        # Nothing is drawn here. Upsampling has no parameters of its own, but styles
        # that are kept would change with it.
        del record["initialization"]
        if not request.add_style:
            del record["upsampling"]
    if found != wanted:
        raise InputError(
            f"the initial model has another architecture ({given}, wanted "
            f"{architecture}): give the flags that it was trained with"
        )
    result = nnx.eval_shape(lambda: make_network(architecture))
    nnx.update(result, nnx.state(network))
    return result


def _normalized_encoder(request: TrainingRequest, photos: np.ndarray) -> Encoder:
    """Scales that give every layer's ReLU a mean of 1 over photos.

    Source:
      Gatys et al. (2016), section 2: the "normalised" network.
    """
    fixed, pool = request.network, request.preset.loss.network.pool
    if request.initial is not None and request.initial.encoder is not None:
        encoder = request.initial.encoder
        if (encoder.sha256, encoder.pool) != (fixed.sha256, pool):
            raise InputError(
                f"the initial model decodes another network than {fixed.source} with "
                f"{pool} pooling: give the --weights that it was trained with"
            )
        return encoder
    options = request.preset.loss.network
    relus = [layer.replace("conv", "relu") for layer in CONV_LAYERS]

    @jax.jit
    def means(params: Params, photo: Array) -> dict[str, Array]:
        activations = activations_of(params, preprocess(photo), relus, options)
        return {layer: activation.mean() for layer, activation in activations.items()}

    of_photos = [
        means(fixed.params, jnp.asarray(photo)) for photo in photos[:CALIBRATION_PHOTOS]
    ]
    scales = {
        layer: 1.0 / float(np.mean([one[relu] for one in of_photos]))
        for layer, relu in zip(CONV_LAYERS, relus, strict=True)
    }
    return Encoder(fixed.sha256, pool, scales)


def _objective(
    request: TrainingRequest,
    params: Params,
    paintings: Sequence[np.ndarray],
    held_out: np.ndarray,
) -> Objective:
    loss = request.preset.loss
    styles, style_weights = dict[str, Any](), jnp.ones(1)
    if not request.arbitrary:
        styles = stacked_styles(params, loss, paintings)
        style_weights = jnp.ones(len(paintings))
    if request.balance_styles:
        style_weights = balanced_style_weights(params, loss, styles, held_out)
    return Objective(
        params,
        make_weights(loss),
        styles,
        style_weights,
        jax.random.key(request.seed),
        jnp.float32(request.grid_weight),
        jnp.float32(request.identity_weight),
    )


def _training(
    request: TrainingRequest,
    network: Network,
    params: Params,
    paintings: Sequence[np.ndarray],
) -> tuple[Training, TrainingState]:
    preset = request.preset
    discriminator, adversary = None, None
    if request.adversarial_weight:
        crop = CropRule("random", preset.crop.size)
        rng = np.random.default_rng([request.seed, 1])
        discriminator, adversary = make_adversary(
            params,
            preset.loss,
            request.adversarial_layer,
            jnp.stack([square_crop(painting, crop, rng) for painting in paintings]),
            1 if request.arbitrary else len(paintings),
            preset.learning_rate,
            request.seed,
        )
    training = make_training(
        network,
        make_loss(preset.loss),
        optax.adam(learning_rates(preset.learning_rate, preset.decay)),
        trained=StyleTable if request.add_style else nnx.Param,
        discriminator=discriminator,
    )
    return training, training.init(network, adversary)
