"""Style losses by name: what is kept of a painting's layer, and the distance to it.

With μ, σ, C the mean, standard deviation and covariance of a layer's N channels over
its M positions, G its Gram matrix over hw, and Δ the image's less the painting's:

gram: see ``style_loss``
moments: 1e3/N Σ_c (Δμ_c)² + (Δσ_c)²   (Demystifying's batch-norm statistics)
mmd-linear: 1e4/N Σ_c (Δμ_c)²   (maximum mean discrepancy, kernel xᵀy)
mmd-poly: ¼/N² Σ (ΔG)²   (kernel (xᵀy)²: Gatys' E_l)
mmd-gaussian: 7.5e14/(N M) MMD² with the kernel exp(-|x - y|²/mean|x - y|²), over
  random pairs (unbiased, linear time)
mmd-gaussian-full: the same over all pairs of 2048 positions (unbiased)
wasserstein2: 500/N (Σ_c (Δμ_c)² + tr(C + C_A - 2 (C_A^½ C C_A^½)^½))
sliced: 500/N · N mean_d |sort(F d) - sort(A d)|²/M over N random directions d
histogram: the same over the N channels as directions

Each takes the place of Gatys' E_l: in a preset whose Gram loss is k times E_l, so are
the others. The factors are the published ones relative to the Gram loss, so that one
beta serves all: Demystifying's divided by what makes its polynomial kernel E_l, and for
Wasserstein Crowson's 1 : 0.015 at gatys2016's content weight for 512×384 pixels, which
the sliced distances, published without one, share. With the style normalization
"unscaled" or "scaled" neither k nor the factor is there.

Source:
  Gatys et al. (2016); Li et al., "Demystifying Neural Style Transfer" (2017);
  Crowson's style-transfer-pytorch (2023); Heitz et al. (2021); Risser et al. (2017).
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from nstjax.statistics.gram import (
    GramNormalization,
    Moments,
    channel_means,
    draw_samples,
    gram_matrix,
    moments,
)
from nstjax.statistics.gram_loss import StyleNormalization, style_factor, style_loss
from nstjax.statistics.mmd import (
    gaussian_kernel,
    gaussian_precision,
    linear_time_mmd,
    maximum_mean_discrepancy,
)
from nstjax.statistics.wasserstein import (
    gaussian_wasserstein2,
    mean_and_covariance,
    random_directions,
    sliced_wasserstein,
    symmetric_root,
)

StyleLoss = Literal[
    "gram",
    "moments",
    "mmd-linear",
    "mmd-poly",
    "mmd-gaussian",
    "mmd-gaussian-full",
    "wasserstein2",
    "sliced",
    "histogram",
]
# These losses draw positions anew at every step.
SAMPLED = ("mmd-gaussian", "mmd-gaussian-full", "sliced", "histogram")

SAMPLES = 16384  # positions of a layer that stand for it, where it has more
SORTED_SAMPLES = 4096  # the same for what is sorted, which takes long on a CPU
ALL_PAIRS_SAMPLES = 2048  # the same for a sum over all pairs

# Crowson's 1e-4 is for images in 0..1; ours are in 0..255.
COVARIANCE_REGULARIZATION = 1e-4 * 255.0**2


class Samples(NamedTuple):
    """A distribution as positions drawn from it.

    Attributes:
      values: [samples, channels].
      weights: [samples].
    """

    values: Array
    weights: Array


class Gaussian(NamedTuple):
    """A distribution as its first two moments.

    Attributes:
      mean: [channels].
      covariance: [channels, channels], regularized.
    """

    mean: Array
    covariance: Array


class StyleForm(NamedTuple):
    """What style loss is meant, and how it is normalized: structure, not numbers.

    Attributes:
      style_loss: one of the names above.
      gram_normalization: see ``nstjax.gram_matrix``.
      style_normalization: see ``style_loss``.
    """

    style_loss: StyleLoss = "gram"
    gram_normalization: GramNormalization = "hw"
    style_normalization: StyleNormalization = "quarter_mean"


def describe_style(
    activation: Array,
    form: StyleForm,
    key: Array,
    *,
    guide: Array | None = None,
    channels: int,
) -> Any:
    """What the loss keeps of a layer: a Gram matrix, moments, positions drawn, ….

    Args:
      activation: shape [height, width, c].
      form: the style loss.
      key: of the sampled losses.
      guide: T with mean(T²) = 1, shape [height, width]: where the style is looked at.
      channels: N that the formulas count, where the layer has c.

    Returns:
      A pytree whose shapes depend on c and, for the sampled losses, on the positions.
    """
    if form.style_loss == "gram":
        return gram_matrix(activation, form.gram_normalization, channels, guide)
    return _STATISTICS[form.style_loss].describe(activation, guide, key)


def blend_styles(descriptions: Sequence[Any], shares: ArrayLike) -> Any:
    """Description of several paintings: Σ_i b_i A_i with Σ b_i = 1.

    Gram matrices and moments blend linearly. For Gram matrices, minimizing
    ‖G - Σ b_i A_i‖² has the gradient of Σ b_i ‖G - A_i‖² (Athalye's blend of losses),
    from which it differs by a constant. Covariances become that of the mixture,
    Σ b_i (C_i + (μ_i - μ)(μ_i - μ)ᵀ), whose second moments about 0 blend linearly.
    Positions drawn from each painting are put together, with its share of the weight.

    Args:
      descriptions: of one layer, from ``describe_style``, one for each painting.
      shares: b, shape [paintings]; divided by their sum here.

    Returns:
      A description.

    Source:
      Johnson's neural-style, ``-style_blend_weights``; Crowson for covariances.
    """
    shares = jnp.asarray(shares) / jnp.sum(jnp.asarray(shares))
    if isinstance(descriptions[0], Samples):
        return Samples(
            jnp.concatenate([samples.values for samples in descriptions]),
            jnp.concatenate(
                [
                    share * samples.weights
                    for share, samples in zip(shares, descriptions, strict=True)
                ]
            ),
        )
    blended = jax.tree.map(
        lambda *leaves: jnp.tensordot(
            shares, jnp.stack(leaves), 1, precision="highest"
        ),
        *descriptions,
    )
    if isinstance(blended, Gaussian):
        means = jnp.stack([gaussian.mean for gaussian in descriptions])
        apart = jnp.sqrt(shares)[:, None] * (means - blended.mean[None, :])
        between = jnp.matmul(apart.T, apart, precision="highest")
        return blended._replace(covariance=blended.covariance + between)
    return blended


def style_target(description: Any) -> Any:
    """What ``style_distance`` takes: mean and C^½ of a ``Gaussian``, else as given."""
    if isinstance(description, Gaussian):
        return description.mean, symmetric_root(description.covariance)
    return description


def style_distance(
    activation: Array,
    target: Any,
    form: StyleForm,
    key: Array,
    *,
    guide: Array | None = None,
    channels: int,
) -> Array:
    """E_l of one layer.

    Args:
      activation: the image's, shape [height, width, c].
      target: from ``style_target``.
      form: the style loss.
      key: of the sampled losses: another at each step.
      guide: as in ``describe_style``.
      channels: likewise.

    Returns:
      Scalar.
    """
    positions = activation.shape[0] * activation.shape[1]
    description_key, distance_key = jax.random.split(key)
    description = describe_style(
        activation, form, description_key, guide=guide, channels=channels
    )
    return description_distance(
        description, target, form, distance_key, positions=positions, channels=channels
    )


def description_distance(
    description: Any,
    target: Any,
    form: StyleForm,
    key: Array,
    *,
    positions: int,
    channels: int,
) -> Array:
    """E_l of a layer that has been described.

    Args:
      description: the image's, from ``describe_style``.
      target: from ``style_target``.
      form: the style loss.
      key: of the sampled losses.
      positions: M, height·width of the layer.
      channels: as in ``describe_style``.

    Returns:
      Scalar.
    """
    if form.style_loss == "gram":
        return style_loss(
            description, target, positions, form.style_normalization, channels
        )
    statistic = _STATISTICS[form.style_loss]
    distance = statistic.distance(description, target, key) / channels
    if form.style_normalization in ("scaled", "unscaled"):
        return distance
    published = statistic.factor / (
        channels
        if form.style_loss == "mmd-poly"
        else positions
        if form.style_loss.startswith("mmd-gaussian")
        else 1
    )
    # Grams are those over hw times this.
    scale = {"none": positions, "hw": 1.0, "chw": 1.0 / channels}
    per_gatys = (
        4.0
        * style_factor(form.style_normalization, positions, channels)
        * scale[form.gram_normalization] ** 2
    )
    return per_gatys * published * distance


class _Statistic(NamedTuple):
    describe: Callable[[Array, Array | None, Array], Any]
    distance: Callable[[Any, Any, Array], Array]  # a sum over the channels
    factor: float


def _hw_gram(activation: Array, guide: Array | None, key: Array) -> Array:
    return gram_matrix(activation, "hw", guide=guide)


def _moments(activation: Array, guide: Array | None, key: Array) -> Moments:
    return moments(activation, guide)


def _means(activation: Array, guide: Array | None, key: Array) -> Array:
    return channel_means(activation, guide)


def _squared_distance(description: Any, target: Any, key: Array) -> Array:
    squares = jax.tree.map(lambda a, b: jnp.square(a - b).sum(), description, target)
    return jax.tree.reduce(jnp.add, squares)


def _gaussian(activation: Array, guide: Array | None, key: Array) -> Gaussian:
    return Gaussian(*mean_and_covariance(activation, guide, COVARIANCE_REGULARIZATION))


def _wasserstein2(
    description: Gaussian, target: tuple[Array, Array], key: Array
) -> Array:
    return gaussian_wasserstein2(*description, *target)


def _samples(activation: Array, guide: Array | None, key: Array) -> Samples:
    values = activation.reshape(-1, activation.shape[2])
    weights = None if guide is None else jnp.square(guide).ravel()
    count = min(len(values), SAMPLES)
    return equal_samples(draw_samples(key, values, weights, count))


def equal_samples(values: Array) -> Samples:
    """Positions drawn, of the same weight each."""
    count = len(values)
    return Samples(values, jnp.full(count, 1.0 / count, values.dtype))


def _as_many(
    image: Samples, painting: Samples, key: Array, limit: int
) -> tuple[Array, Array]:
    """The same number of positions of both, in the order of the positions."""
    count = min(len(image.values), limit)
    image_key, painting_key = jax.random.split(key)
    return (
        draw_samples(image_key, image.values, None, count),
        draw_samples(painting_key, painting.values, painting.weights, count),
    )


def _shuffled(
    image: Samples, painting: Samples, key: Array, limit: int
) -> tuple[Array, Array]:
    keys = jax.random.split(key, 3)
    x, y = _as_many(image, painting, keys[0], limit)
    return jax.random.permutation(keys[1], x), jax.random.permutation(keys[2], y)


def _gaussian_mmd(image: Samples, painting: Samples, key: Array) -> Array:
    x, y = _shuffled(image, painting, key, SAMPLES)
    kernel = functools.partial(gaussian_kernel, precision=gaussian_precision(x, y))
    return linear_time_mmd(x, y, kernel)


def _gaussian_mmd_of_all_pairs(image: Samples, painting: Samples, key: Array) -> Array:
    x, y = _shuffled(image, painting, key, ALL_PAIRS_SAMPLES)
    kernel = functools.partial(gaussian_kernel, precision=gaussian_precision(x, y))
    return maximum_mean_discrepancy(x, y, kernel, unbiased=True)


def _sliced(image: Samples, painting: Samples, key: Array) -> Array:
    channels = image.values.shape[1]
    directions = random_directions(key, channels, channels)
    return _along(directions, image, painting, key)


def _histogram(image: Samples, painting: Samples, key: Array) -> Array:
    channels = image.values.shape[1]
    return _along(jnp.eye(channels, dtype=image.values.dtype), image, painting, key)


def _along(directions: Array, image: Samples, painting: Samples, key: Array) -> Array:
    x, y = _as_many(image, painting, jax.random.fold_in(key, 1), SORTED_SAMPLES)
    return len(directions) * sliced_wasserstein(x, y, directions)


_STATISTICS = {
    "moments": _Statistic(_moments, _squared_distance, 1e3),
    "mmd-linear": _Statistic(_means, _squared_distance, 1e4),
    "mmd-poly": _Statistic(_hw_gram, _squared_distance, 0.25),
    "mmd-gaussian": _Statistic(_samples, _gaussian_mmd, 7.5e14),
    "mmd-gaussian-full": _Statistic(_samples, _gaussian_mmd_of_all_pairs, 7.5e14),
    "wasserstein2": _Statistic(_gaussian, _wasserstein2, 500.0),
    "sliced": _Statistic(_samples, _sliced, 500.0),
    "histogram": _Statistic(_samples, _histogram, 500.0),
}
