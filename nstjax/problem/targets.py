"""From pictures to targets: the photo's activations, the paintings' statistics."""

import dataclasses
import functools
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

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
    """Targets of one scale.

    Args:
      params: the network.
      content: the photo in the network's units, shape [height, width, 3].
      styles: the paintings likewise, each of its own size.
      preset: the settings.
      controls: regions and the paintings' shares.
      key: of the sampled style losses.
      tile: see ``nstjax.prepare``.

    Returns:
      Targets of the whole image, or of its regions where there are some.

    Raises:
      InputError: weights that do not fit, a layer that no painting serves, or a region
        that is too small for every layer.
    """
    shares = check_weights(
        "style_blend_weights", controls.style_blend_weights, len(styles), "style images"
    )
    served = _served_layers(controls.style_image_layers, shares, preset)

    def blended(
        region: int, members: Mapping[int, Mapping[str, Array] | None]
    ) -> dict[str, Any]:
        """{layer: target} of a region's paintings {index: guides}; 0: of the whole."""
        region_key = jax.random.fold_in(key, region)
        descriptions = {}
        for index, guides in members.items():
            layers = tuple(
                layer for layer in served[index] if guides is None or layer in guides
            )
            if layers:
                descriptions[index] = _described(
                    params,
                    styles[index],
                    layers,
                    preset.loss,
                    guides,
                    jax.random.fold_in(region_key, index),
                    tile,
                )
        targets = {}
        for layer in preset.style_layers:
            those = [index for index in descriptions if layer in descriptions[index]]
            if those:
                targets[layer] = _blended_target(
                    [descriptions[index][layer] for index in those],
                    np.array([shares[index] for index in those], np.float32),
                    preset.loss.style,
                )
        return targets

    content_targets = _activations(
        params, content, preset.content_layers, preset.network, tile
    )
    everything = dict.fromkeys(range(len(styles)))
    if not controls.regions and controls.stylize_mask is None:
        style = blended(0, everything)
        for layer in preset.style_layers:
            if layer not in style:
                raise InputError(
                    f"no style image serves {layer}: give it to one in "
                    "style_image_layers, or leave it out of style_layers"
                )
        return Targets(content_targets, style)

    from nstjax.images.regions import MaskedRegion

    inside = controls.stylize_mask
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
            index: None
            if style_mask is None
            else _guides(style_mask, styles[index], preset)
            for index, style_mask in region.styles
        }
        style = blended(number, members)
        both = [layer for layer in style if layer in guides]
        asked = [
            layer
            for layer in preset.style_layers
            if any(layer in served[index] for index in members)
        ]
        _tell_dropped(region.name, both, asked, (content.shape[0], content.shape[1]))
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
    return Targets(
        content_targets,
        {},
        tuple(region._replace(weight=region.weight / total) for region in result),
    )


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
    shares: Sequence[float],
    preset: Preset,
) -> list[tuple[str, ...]]:
    """The layers of each painting; none where its share is 0."""
    given = [None] * len(shares) if given is None else given
    if len(given) != len(shares):
        raise InputError(
            f"style_image_layers has {len(given)} entries for {len(shares)} style "
            "images: give one for each"
        )
    for layer in (layer for layers in given for layer in layers or ()):
        if layer not in preset.style_layers:
            raise InputError(
                f"style_image_layers has {layer}, which is no style layer: those are "
                f"{','.join(preset.style_layers)}"
            )
    return [
        (layers or preset.style_layers) if share else ()
        for layers, share in zip(given, shares, strict=True)
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
    name: str,
    kept: Sequence[str],
    layers: Sequence[str],
    size: tuple[int, int],
) -> None:
    dropped = [layer for layer in layers if layer not in kept]
    if not layers:
        raise InputError(
            f"no style image that serves region {name} has a weight above 0 in "
            "style_blend_weights"
        )
    if not kept:
        raise InputError(
            f"region {name} is too small for every style layer at "
            f"{size[1]}x{size[0]} pixels: choose a larger size or region"
        )
    if dropped:
        LOGGER.info(
            "region %s is too small for %s at %dx%d pixels: left out there",
            name,
            ", ".join(sorted(dropped, key=LAYERS.index)),
            size[1],
            size[0],
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
def _blended_target(descriptions: Sequence[Any], shares: Array, form: StyleForm) -> Any:
    return style_target(blend_styles(descriptions, shares, form), form)
