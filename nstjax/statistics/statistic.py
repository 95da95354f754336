"""What a style statistic is: gathered over positions, finished, compared.

    sums       =  Σ_parts gather(activation of the part, context)
    statistic  =  finish(sums, context)
    E_l        =  loss(statistic, target, key, layer, form)

Everything that is kept of a layer is a sum over its positions, or drawn from them, so
that one definition serves the whole image, its regions (whose guides weight the
positions), tiles, whose sums are added up, and devices.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from nstjax.errors import InputError
from nstjax.statistics.normalization import LayerSize, StyleForm, style_factor


class StatisticContext(NamedTuple):
    """What a statistic is gathered with, beside the activation F of a part.

    Attributes:
      layer: how large the whole layer is.
      form: the style loss.
      guide: T of the part's positions, with mean(T²) = 1 over the layer; None for ones.
      center: s [channels], the layer's mean, for a statistic that is ``centered``.
      drawn: for a ``sampled`` statistic, the part's positions, row by row, that stand
        for the layer's; None for all of them.
      inside: [drawn], 1 where such a position lies in the part, else 0; None for ones.
      split_rows: whether the rows are split over devices.
    """

    layer: LayerSize
    form: StyleForm
    guide: Array | None = None
    center: Any = None
    drawn: Array | None = None
    inside: Array | None = None
    split_rows: bool = False


class Statistic(ABC):
    """A style statistic, relative to Gatys' Gram matrices.

    Attributes:
      centered: whether the sums are taken about the layer's mean, gathered before:
        about another center, subtracting the squared mean would cost most digits.
      sampled: whether positions are drawn, other ones at each step.
      factor: the published weight of the distance where that of Gatys' E_l is 1.
    """

    centered: ClassVar[bool] = False
    sampled: ClassVar[bool] = False
    factor: float = 1.0

    def describe(
        self,
        activation: ArrayLike,
        layer: LayerSize | None = None,
        form: StyleForm = StyleForm(),
        key: Any = None,
        *,
        guide: ArrayLike | None = None,
        split_rows: bool = False,
    ) -> Any:
        """The statistic of a layer that is there as a whole, [height, width, channels].

        Raises:
          InputError: if the guide has another size than the activation.
        """
        activation = jnp.asarray(activation)
        height, width, channels = activation.shape
        layer = layer or LayerSize(height * width, channels)
        guide = check_guide(guide, activation)
        context = StatisticContext(layer, form, guide, split_rows=split_rows)
        if self.centered:
            mean = channel_sums(activation, guide) / layer.positions
            context = context._replace(center=jax.lax.stop_gradient(mean))
        if self.sampled:
            context = context._replace(drawn=self.draw((height, width), guide, key))
        return self.finish(self.gather(activation, context), context)

    def draw(
        self, size: tuple[int, int], guide: Array | None, key: Array
    ) -> Array | None:
        """The positions of a layer that a ``sampled`` statistic draws; None for all."""
        return None

    @abstractmethod
    def gather(self, activation: Array, context: StatisticContext) -> Any:
        """Sums of one part [height, width, channels]: a pytree to add up."""

    def finish(self, sums: Any, context: StatisticContext) -> Any:
        """The statistic of the whole layer, by default the mean, from all its sums."""
        return jax.tree.map(lambda leaf: leaf / context.layer.positions, sums)

    def distance(self, statistic: Any, target: Any, key: Array) -> Array:
        """Σ (statistic - target)², or another sum over the channels."""
        squares = jax.tree.map(lambda a, b: jnp.square(a - b).sum(), statistic, target)
        return jax.tree.reduce(jnp.add, squares)

    def weight(self, layer: LayerSize) -> float:
        """What the distance, as a mean over the channels, is multiplied by."""
        return self.factor

    def loss(
        self, statistic: Any, target: Any, key: Array, layer: LayerSize, form: StyleForm
    ) -> Array:
        """E_l: the weighted distance, times the preset's Gram loss over Gatys'.

        With the style normalizations "scaled", "unscaled" and "relative" it is the
        distance alone.
        """
        distance = self.distance(statistic, target, key) / layer.channels
        if form.style_normalization in ("scaled", "unscaled", "relative"):
            return distance
        # A Gram matrix is the "hw" one times this.
        scales = {"none": layer.positions, "hw": 1.0, "chw": 1.0 / layer.channels}
        per_gatys = 4.0 * style_factor(form.style_normalization, layer)
        per_gatys *= scales[form.gram_normalization] ** 2
        return per_gatys * self.weight(layer) * distance

    def blend(self, statistics: Sequence[Any], mixing_weights: Array) -> Any:
        """The statistic of several paintings, whose mixing weights' sum is 1."""
        return jax.tree.map(
            lambda *leaves: jnp.tensordot(
                mixing_weights, jnp.stack(leaves), 1, precision="highest"
            ),
            *statistics,
        )

    def target(self, statistic: Any) -> Any:
        """What ``distance`` compares with."""
        return statistic


def check_guide(guide: ArrayLike | None, activation: Array) -> Array | None:
    """The guide as an array, or ``InputError`` where its size is another."""
    if guide is None:
        return None
    guide = jnp.asarray(guide)
    if guide.shape != activation.shape[:2]:
        raise InputError(
            f"guide has shape {guide.shape}: give one value per position, "
            f"shape {activation.shape[:2]}"
        )
    return guide


def channel_sums(activation: Array, guide: Array | None) -> Array:
    """Σ_k T_k² F_kc, [channels], in float32 or wider."""
    if guide is not None:
        activation = activation * jnp.square(guide)[:, :, None]
    return activation.sum((0, 1), jnp.promote_types(activation.dtype, jnp.float32))
