"""From a request to everything that a training needs, before anything is written."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import Array

from nstjax.errors import InputError
from nstjax.feedforward.networks import style_rows
from nstjax.feedforward.networks.architecture import to_record
from nstjax.feedforward.networks.descent import DescentNet
from nstjax.feedforward.networks.model_file import Encoder, StyleModel
from nstjax.feedforward.networks.networks import Network, make_network
from nstjax.feedforward.networks.normalization import StyleTable
from nstjax.feedforward.training import data
from nstjax.feedforward.training.adversary import make_adversary
from nstjax.feedforward.training.descent_objective import keep_styles, make_descent_loss
from nstjax.feedforward.training.objective import (
    Batch,
    Objective,
    balanced_style_weights,
    make_loss,
    stacked_styles,
)
from nstjax.feedforward.training.request import TrainingRequest
from nstjax.feedforward.training.update import Training, TrainingState, make_training
from nstjax.images.resizing import Size, output_size, resize
from nstjax.io.images import read_image
from nstjax.network.architecture import CONV_LAYERS
from nstjax.network.layer_scales import scale_layers
from nstjax.network.vgg import Params, activations_of, preprocess
from nstjax.presets.preset import Preset
from nstjax.problem.problem import make_weights

SHEET_STYLES = 16
# Of learned descent: a few pairs have gradients many times as large as the others.
LARGEST_GRADIENT = 1.0
# Sides of paintings that are described once: each size takes a compilation.
PAINTING_MULTIPLE = 64
CALIBRATION_PHOTOS = 16


class Setup(NamedTuple):
    """What a training is run with.

    ``samples`` are the photos that are held out, a batch for each of the first
    ``SHEET_STYLES`` paintings; only arbitrary style has an encoder.
    """

    training: Training
    state: TrainingState
    objective: Objective
    batches: data.Batches
    samples: list[Batch]
    encoder: Encoder | None


def set_up(request: TrainingRequest) -> Setup:
    """Read the pictures that are needed all the time, and make the network."""
    preset, arbitrary, seed = request.preset, request.arbitrary, request.seed
    loss, size = preset.loss, preset.crop.size
    center, random = data.CropRule("center", size), data.CropRule("random", size)
    paintings = [_painting(path, loss) for path in request.paintings.values()]
    photos = map(read_image, request.held_out)
    held_out = np.stack([data.square_crop(photo, center) for photo in photos])
    any_painting = arbitrary and not request.described_once
    styles = 1 if any_painting else len(paintings)
    with_paintings = any_painting or request.adversarial_weight > 0
    batches = data.training_batches(
        request.photos,
        preset.crop,
        batch_size=preset.batch_size,
        seed=seed,
        styles=styles,
        paintings=paintings if with_paintings else (),
        recolor=request.recolor,
        identity=request.identity,
        workers=request.workers,
    )
    network, params, encoder = _initial_network(request), request.network.params, None
    kept = None
    targets, style_weights = dict[str, Any](), jnp.ones(styles)
    if arbitrary:
        encoder = _normalized_encoder(request, held_out)
        fixed = request.encoder or request.network
        scaled = scale_layers(fixed.params, encoder.scales)
        if not isinstance(network, DescentNet):
            params = scaled
        elif request.initial is None:
            for layer, convolution in network.encoder.items():
                for name, values in scaled[layer].items():
                    getattr(convolution, name).set_value(jnp.asarray(values))
        if request.described_once and isinstance(network, DescentNet):
            scales, own = len(network.architecture.steps), network.encoder_params()
            whole = paintings
            if not request.keep_styles:
                whole = [_cropped(each) for each in paintings]
            kept = keep_styles(params, own, loss, whole, scales)
    else:
        targets = stacked_styles(params, loss, paintings)
    if request.balance_styles:
        style_weights = balanced_style_weights(params, loss, targets, held_out)
    key, weights = jax.random.key(seed), make_weights(loss)
    objective = Objective(
        params,
        weights,
        targets,
        style_weights,
        key,
        grid_weight=jnp.float32(request.grid_weight),
        identity_weight=jnp.float32(request.identity_weight),
        flicker_weight=jnp.float32(request.flicker_weight),
        kept=kept,
    )
    discriminator = adversary = None
    if request.adversarial_weight:
        rng, layer = np.random.default_rng([seed, 1]), request.adversarial_layer
        crops = [data.square_crop(painting, random, rng) for painting in paintings]
        discriminator, adversary = make_adversary(
            params, loss, layer, jnp.stack(crops), styles, preset.learning_rate, seed
        )
    make = make_loss
    trained: nnx.filterlib.Filter = StyleTable if request.add_style else nnx.Param
    optimizer = optax.adam(learning_rates(preset.learning_rate, preset.decay))
    if isinstance(network, DescentNet):
        make = make_descent_loss
        clipping = optax.clip_by_global_norm(LARGEST_GRADIENT)
        by_size = optax.masked(optax.scale_by_param_block_rms(), _of_encoder)
        optimizer = optax.chain(clipping, optimizer, by_size)
        if kept is not None:
            # The descriptions that are kept are by the encoder as it is.
            trained = nnx.All(nnx.Param, nnx.Not(nnx.PathContains("encoder")))
    training = make_training(
        network,
        make(loss, flicker=request.flicker_weight > 0),
        optimizer,
        trained=trained,
        discriminator=discriminator,
        average_decay=preset.average_decay,
    )
    state = training.init(network, adversary)
    samples = []
    for index, painting in enumerate(paintings[:SHEET_STYLES]):
        batch = Batch(jnp.asarray(held_out), jnp.full(len(held_out), index))
        if any_painting:
            squares = [jnp.asarray(data.square_crop(painting, center))] * len(held_out)
            batch = Batch(batch.content, 0 * batch.style, jnp.stack(squares))
        samples.append(batch)
    # Computes nothing, but finds whether the pictures are too small.
    training.evaluate.trace(state, samples[0], objective)
    return Setup(training, state, objective, batches, samples, encoder)


def trained_model(
    request: TrainingRequest, setup: Setup, state: TrainingState, card: dict[str, Any]
) -> StyleModel:
    """The model that a state is, with a style added to the initial one's if asked."""
    network = setup.training.network(state)
    named = request.keep_styles or not request.arbitrary
    names = tuple(request.paintings) if named else ()
    if request.add_style and request.initial is not None:
        network = style_rows.with_style_added(request.initial.network, network)
        names = (*request.initial.styles, *names)
    kept = setup.objective.kept
    paintings = kept.style if kept is not None and request.keep_styles else None
    return StyleModel(network, names, setup.encoder, card, paintings)


def learning_rates(first: float, decay: float) -> optax.Schedule:
    """The learning rate at each step: first / (1 + decay·step)."""
    return lambda step: first / (1.0 + decay * step)


def _of_encoder(tree: Any) -> Any:
    """Which leaves are an encoder's, whose kernels are of very different sizes."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: any(getattr(key, "key", None) == "encoder" for key in path),
        tree,
    )


def _painting(path: Path, loss: Preset) -> np.ndarray:
    image, size = read_image(path), loss.image.style_size
    if not isinstance(size, Size):
        return image
    height, width, _ = image.shape
    return resize(image, *output_size(height, width, size))


def _cropped(painting: np.ndarray) -> np.ndarray:
    """Its middle, with sides of which there are few."""
    for axis in (0, 1):
        side = painting.shape[axis]
        kept = side // PAINTING_MULTIPLE * PAINTING_MULTIPLE or side
        start = (side - kept) // 2
        painting = np.take(painting, range(start, start + kept), axis)
    return painting


def _initial_network(request: TrainingRequest) -> Network:
    architecture = request.preset.architecture
    if request.initial is None:
        return make_network(architecture, request.seed)
    network = request.initial.network
    if request.add_style:
        network = style_rows.network_for_new_style(network)
    given = network.architecture
    found, wanted = to_record(given), to_record(architecture)
    for record in (found, wanted):
        # Nothing is drawn here. Upsampling and steps have no parameters of their own,
        # but styles that are kept would change with them.
        record.pop("initialization", None)
        if not request.add_style:
            for name in ("upsampling", "steps"):
                record.pop(name, None)
    if found != wanted:
        raise InputError(
            f"the initial model has another architecture ({given}, wanted "
            f"{architecture}): give the flags that it was trained with"
        )
    result = nnx.eval_shape(lambda: make_network(architecture))
    nnx.update(result, nnx.state(network))
    return result


def _normalized_encoder(request: TrainingRequest, photos: np.ndarray) -> Encoder:
    """Gives ReLUs a mean of 1 over photos, as Gatys et al. (2016), section 2."""
    fixed, options = request.encoder or request.network, request.preset.loss.network
    pool = options.pool
    if request.initial is not None and request.initial.encoder is not None:
        encoder, sha256 = request.initial.encoder, fixed.sha256
        if isinstance(request.initial.network, DescentNet) and not request.encoder:
            # Its own goes on: what compares may be another.
            sha256 = encoder.sha256
        if (encoder.sha256, encoder.pool) != (sha256, pool):
            raise InputError(
                f"the initial model is of another encoder than {fixed.source} with "
                f"{pool} pooling: give the network that it was trained with"
            )
        return encoder
    relus = [layer.replace("conv", "relu") for layer in CONV_LAYERS]

    @jax.jit
    def means(params: Params, photo: Array) -> list[Array]:
        activations = activations_of(params, preprocess(photo), relus, options)
        return [activations[layer].mean() for layer in relus]

    of_photos = [means(fixed.params, photo) for photo in photos[:CALIBRATION_PHOTOS]]
    scales = [1.0 / float(mean) for mean in np.mean(of_photos, axis=0)]
    return Encoder(fixed.sha256, pool, dict(zip(CONV_LAYERS, scales, strict=True)))
