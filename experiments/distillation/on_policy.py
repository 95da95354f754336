"""On-policy samples: pictures on an optimizer's way to a painting's style.

Where the student errs, an optimizer that follows it goes wrong, and where it gets to is
where the student has to be corrected.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from nstjax import Targets, Weights, get_preset, make_weights
from nstjax.losses.total import style_statistics, total_loss
from nstjax.network.vgg import MEAN_RGB, Params, Pool, features, preprocess

PRESET = get_preset("gatys2016")
NOISE_START_SHARE = 0.15
OPTIMIZER = optax.adam(6.0)


def on_policy_samples(
    params: Params,
    rng: np.random.Generator,
    contents: np.ndarray,
    styles: np.ndarray,
    pool: Pool,
    steps: int,
) -> np.ndarray:
    """Transfer styles with a network (in VGG-19's units) and stop on the way.

    Adam from the photo, now and then from noise, with the default preset's loss and a
    content weight of a hundredth to ten times its own, for a sixth of the ``steps`` or
    more. Pictures are sRGB, float32 [pictures, size, size, 3], the results not cut to
    0..1.
    """
    weights = make_weights(PRESET)
    content_weights = weights.content * 10.0 ** rng.uniform(-2, 1, len(contents))
    weights = weights._replace(content=jnp.asarray(content_weights, jnp.float32))
    targets, images = _start(params, jnp.asarray(contents), jnp.asarray(styles), pool)
    from_noise = rng.random(len(contents)) < NOISE_START_SHARE
    noise = 50.0 * rng.standard_normal(images.shape).astype(np.float32)
    images = jnp.where(from_noise[:, None, None, None], noise, images)
    opt_state = OPTIMIZER.init(images)
    stops = rng.integers(max(1, steps // 6), steps + 1, len(contents))
    samples = np.array(images)
    for step in range(1, steps + 1):
        images, opt_state = _step(images, opt_state, params, targets, weights, pool)
        samples[stops == step] = np.asarray(images)[stops == step]
    return (samples + MEAN_RGB) / 255.0


@functools.partial(jax.jit, static_argnames="pool")
def _start(
    params: Params, contents: Array, styles: Array, pool: Pool
) -> tuple[Targets, Array]:
    def of_one(content: Array, style: Array) -> tuple[Targets, Array]:
        content, style = preprocess(content), preprocess(style)
        contents = features(params, content, PRESET.content_layers, pool=pool)
        styles = style_statistics(params, style, PRESET.style_layers, pool=pool)
        return Targets(contents, styles), content

    return jax.vmap(of_one)(contents, styles)


@functools.partial(jax.jit, static_argnames="pool", donate_argnums=(0, 1))
def _step(
    images: Array,
    opt_state: optax.OptState,
    params: Params,
    targets: Targets,
    weights: Weights,
    pool: Pool,
) -> tuple[Array, optax.OptState]:
    def loss(image: Array, targets: Targets, content: Array) -> Array:
        own = weights._replace(content=content)
        return total_loss(params, image, targets, own, pool=pool)[0]

    gradients = jax.vmap(jax.grad(loss))(images, targets, weights.content)
    updates, opt_state = OPTIMIZER.update(gradients, opt_state)
    return jnp.asarray(optax.apply_updates(images, updates)), opt_state
