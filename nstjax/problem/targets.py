"""From pictures to targets: the photo's activations, the paintings' statistics."""

import dataclasses
import functools
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nstjax.errors import InputError
from nstjax.images.resizing import resize
from nstjax.losses.terms import Region, Targets
from nstjax.losses.total import LossOptions, describe_painting
from nstjax.network.architecture import LAYERS
from nstjax.network.vgg import NetworkOptions, Params, activations_of
from nstjax.presets.preset import Preset
from nstjax.runtime.compilation import memory_saving_jit
from nstjax.statistics.normalization import StyleForm
from nstjax.statistics.style import blend_styles, style_target
from nstjax.tiling.plan import needs_tiles
from nstjax.tiling.targets import describe_painting_by_tiles, features_by_tiles

if TYPE_CHECKING:
    from nstjax.images.regions import MaskedRegion

LOGGER = logging.getLogger("nstjax")
Guides = Mapping[int, Mapping[str, Array] | None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Controls:
    """Where each style goes, beside the preset's settings.

    Attributes:
      regions: from ``nstjax.images.regions.pair_regions``; none: the whole image.
      region_weights: one for each region, of which each gets its share; equal where
        not given.
      stylize_mask: [height, width] in 0..1, of the regions' size: outside it the photo
        stays.
      style_image_layers: for each painting the style layers that it serves, or None
        for all; None: all serve all.
      style_blend_weights: one for each painting; equal where not given.
    """

    regions: Sequence["MaskedRegion"] = ()
    region_weights: Sequence[float] | None = None
    stylize_mask: np.ndarray | None = None
    style_image_layers: Sequence[tuple[str, ...] | None] | None = None
    style_blend_weights: Sequence[float] | None = None


def make_targets(
    params: Params,
    content: Array,
    styles: Sequence[Array],
    preset: Preset,
    controls: Controls,
    key: Array,
    tile: int | None = None,
) -> Targets:
    """Targets of one scale: of the whole image, or of its regions.

    Args:
      params: the network.
      content: the photo in the network's units, shape [height, width, 3].
      styles: the paintings, each of its own size, in the same units.
      preset: the settings.
      controls: regions and the paintings' weights.
      key: of the sampled style losses.
      tile: see ``nstjax.prepare``.

    Raises:
      InputError: weights that do not fit, a layer that no painting serves, or a region
        that is too small for every layer.
    """
    mixing_weights = check_weights(
        "style_blend_weights", controls.style_blend_weights, len(styles), "style images"
    )
    paintings = _Paintings(
        params,
        styles,
        mixing_weights,
        _served_layers(controls.style_image_layers, mixing_weights, preset),
        preset,
        key,
        tile,
    )
    content_targets = _activations(
        params, content, preset.content_layers, preset.network, tile
    )
    everything: Guides = dict.fromkeys(range(len(styles)))
    inside = controls.stylize_mask
    if not controls.regions and inside is None:
        style = paintings.blended(0, everything)
        for layer in preset.style_layers:
            if layer not in style:
                raise InputError(
                    f"no style image serves {layer}: give it to one in "
                    "style_image_layers, or leave it out of style_layers"
                )
        return Targets(content_targets, style)

    from nstjax.images.regions import MaskedRegion

    regions = controls.regions or [
        MaskedRegion(
            "inside stylize_mask",
            np.ones_like(inside),
            tuple((index, None) for index in everything),
        )
    ]
    weights = check_weights(
        "region_weights", controls.region_weights, len(regions), "regions"
    )
    result = []
    for number, (region, weight) in enumerate(
        zip(regions, weights, strict=True), start=1
    ):
        mask = region.content_mask if inside is None else region.content_mask * inside
        guides = _guides(mask, content, preset)
        if not guides and inside is not None and controls.regions:
            LOGGER.info("region %s is outside stylize_mask: left out", region.name)
            continue
        members = {
            index: style_mask
            if style_mask is None
            else _guides(style_mask, styles[index], preset)
            for index, style_mask in region.styles
        }
        style = paintings.blended(number, members)
        both = [layer for layer in style if layer in guides]
        _tell_dropped(region.name, both, paintings.asked(members), content.shape[:2])
        result.append(
            Region(
                guides={layer: guides[layer] for layer in both},
                style={layer: style[layer] for layer in both},
                weight=jnp.float32(weight),
            )
        )
    total = sum(region.weight for region in result)
    if not total:
        raise InputError(
            "stylize_mask leaves no region that has a weight: choose a larger one, or "
            "other region_weights"
        )
    shared = (region._replace(weight=region.weight / total) for region in result)
    return Targets(content_targets, {}, tuple(shared))


class _Paintings(NamedTuple):
    """The paintings, with the mixing weight and the layers of each."""

    params: Params
    styles: Sequence[Array]
    mixing_weights: Sequence[float]
    served: Sequence[tuple[str, ...]]
    preset: Preset
    key: Array
    tile: int | None

    def asked(self, members: Guides) -> list[str]:
        """The layers that some of the paintings serve."""
        served = {layer for index in members for layer in self.served[index]}
        return [layer for layer in self.preset.style_layers if layer in served]

    def blended(self, region: int, members: Guides) -> dict[str, Any]:
        """{layer: target} of a region's paintings {index: guides}; 0: of the whole."""
        key = jax.random.fold_in(self.key, region)
        found: dict[int, dict[str, Any]] = {}
        for index, guides in members.items():
            layers = self.served[index]
            if guides is not None:
                layers = tuple(layer for layer in layers if layer in guides)
            if layers:
                found[index] = _described(
                    self.params,
                    self.styles[index],
                    layers,
                    self.preset.loss,
                    guides,
                    jax.random.fold_in(key, index),
                    self.tile,
                )
        targets = {}
        for layer in self.asked(members):
            those = [index for index in found if layer in found[index]]
            if those:
                targets[layer] = _blended_target(
                    [found[index][layer] for index in those],
                    np.array(
                        [self.mixing_weights[index] for index in those], np.float32
                    ),
                    self.preset.loss.style,
                )
        return targets


def check_weights(
    name: str, weights: Sequence[float] | None, count: int, what: str
) -> list[float]:
    """One weight for each of ``count`` things, at most 1 each, or ``InputError``."""
    if weights is None:
        return [1.0] * count
    if len(weights) != count:
        raise InputError(
            f"{name} has {len(weights)} values for {count} {what}: give one for each"
        )
    if not all(np.isfinite(weights)) or min(weights) < 0 or not sum(weights):
        raise InputError(
            f"{name} must be finite numbers of 0 or more, not all 0, got "
            f"{list(weights)}"
        )
    # float32 might not hold the sum of what was given.
    return [weight / max(weights) for weight in weights]


def _served_layers(
    given: Sequence[tuple[str, ...] | None] | None,
    mixing_weights: Sequence[float],
    preset: Preset,
) -> list[tuple[str, ...]]:
    """The layers of each painting; none where its weight is 0."""
    given = [None] * len(mixing_weights) if given is None else given
    if len(given) != len(mixing_weights):
        raise InputError(
            f"style_image_layers has {len(given)} entries for {len(mixing_weights)} "
            "style images: give one for each"
        )
    for layer in (layer for layers in given for layer in layers or ()):
        if layer not in preset.style_layers:
            raise InputError(
                f"style_image_layers has {layer}, which is no style layer: those are "
                f"{','.join(preset.style_layers)}"
            )
    return [
        tuple(layers or preset.style_layers) if weight else ()
        for layers, weight in zip(given, mixing_weights, strict=True)
    ]


def _guides(mask: np.ndarray, image: Array, preset: Preset) -> dict[str, Array]:
    from nstjax.network.guides import layer_guides, normalize_guide

    guides = layer_guides(
        resize(mask, image.shape[0], image.shape[1], "box"),
        preset.style_layers,
        preset.image.guide_mode,
        preset.image.guide_dilation,
        preset.network.pool_padding,
    )
    normalized = {layer: normalize_guide(guide) for layer, guide in guides.items()}
    return {
        layer: jnp.asarray(guide, jnp.float32)
        for layer, guide in normalized.items()
        if guide is not None
    }


def _tell_dropped(
    name: str, kept: Sequence[str], asked: Sequence[str], size: tuple[int, ...]
) -> None:
    """Say which layers a region is too small for; ``InputError`` if for all."""
    if not asked:
        raise InputError(
            f"no style image that serves region {name} has a weight above 0 in "
            "style_blend_weights"
        )
    pixels = f"{size[1]}x{size[0]} pixels"
    if not kept:
        raise InputError(
            f"region {name} is too small for every style layer at {pixels}: choose a "
            "larger size or region"
        )
    dropped = [layer for layer in LAYERS if layer in asked and layer not in kept]
    if dropped:
        LOGGER.info(
            "region %s is too small for %s at %s: left out there",
            name,
            ", ".join(dropped),
            pixels,
        )


def _activations(
    params: Params,
    image: Array,
    layers: tuple[str, ...],
    network: NetworkOptions,
    tile: int | None,
) -> dict[str, Array]:
    if tile is not None and _has_tiles(image, layers, tile):
        return features_by_tiles(params, image, layers, network, tile)
    return _compiled_activations(params, image, layers, network)


def _described(
    params: Params,
    image: Array,
    layers: tuple[str, ...],
    loss: LossOptions,
    guides: Mapping[str, Array] | None,
    key: Array,
    tile: int | None,
) -> dict[str, Any]:
    if tile is not None and _has_tiles(image, layers, tile):
        return describe_painting_by_tiles(
            params, image, layers, loss, guides, key, tile
        )
    return _compiled_description(params, image, layers, loss, guides, key)


def _has_tiles(image: Array, layers: Sequence[str], tile: int) -> bool:
    deepest = max(layers, key=LAYERS.index)
    return needs_tiles(image.shape[0], image.shape[1], deepest, tile)


_compiled_activations = memory_saving_jit(
    activations_of, ahead=True, static_argnums=(2, 3)
)
_compiled_description = memory_saving_jit(
    describe_painting, ahead=True, static_argnums=(2, 3)
)


@functools.partial(jax.jit, static_argnums=2)
def _blended_target(
    descriptions: Sequence[Any], mixing_weights: Array, form: StyleForm
) -> Any:
    return style_target(blend_styles(descriptions, mixing_weights, form), form)
