"""Loss and gradient by tiles are those of the whole image."""

import functools

import jax
import numpy as np
import pytest
import reference

from nstjax.losses.objective import StylizeMask, loss_function
from nstjax.losses.terms import Region, Targets
from nstjax.network.architecture import layer_channels
from nstjax.presets.published import PRESETS
from nstjax.presets.settings import customize
from nstjax.problem.problem import make_weights
from nstjax.statistics import sampling
from nstjax.statistics.normalization import StyleForm
from nstjax.statistics.style import describe_style, style_target
from nstjax.tiling import plan as tile_plan
from nstjax.tiling.loss import tiled_loss

pytestmark = pytest.mark.usefixtures("few_samples")
# Through three poolings, with a window between others: halo 32. The shallow ones
# compile sooner.
DEEP = {
    "size": (37, 117),
    "tile": 16,
    "content_layers": ("relu3_1",),
    "style_layers": ("relu1_1", "relu4_1"),
}
SHALLOW = {
    "size": (39, 54),
    "tile": 16,
    "content_layers": ("relu1_2",),
    "style_layers": ("relu1_1", "relu2_1"),
}
# What takes roots, draws or sorts compiles slowly, for each layer anew.
ONE_LAYER = {"style_layers": ("relu2_1",)}


@pytest.fixture(autouse=True, scope="module")
def few_samples():
    """Fewer than a layer has positions, so that some are drawn."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling, "SAMPLES", 200)
        yield


@functools.partial(jax.jit, static_argnums=1)
def style_targets(activations, form):
    return {
        layer: style_target(
            describe_style(F, form, jax.random.key(5), channels=layer_channels(layer)),
            form,
        )
        for layer, F in activations.items()
    }


class Case:
    """A loss of a picture of noise, whole and by tiles."""

    def __init__(self, size, tile, regions=False, kept=False, **overrides):
        if "normalize_gradients" in overrides or "style_loss" in overrides:
            overrides["optimizer"] = "adam"
        self.preset = customize(PRESETS["gatys2016"], beta=1e6, tv=0.1, **overrides)
        self.tile = tile
        blocks = 4 if size == DEEP["size"] else 2
        params = reference.random_params(blocks=blocks)
        # Smoothed, and darker to one side: its parts are not alike.
        image, photo, painting = (
            reference.random_image(seed, *sides)
            for seed, sides in ((1, size), (2, size), (3, (52, 43)))
        )
        image *= np.linspace(0.2, 1, size[1])[None, :, None]
        # By NumPy: the trunk of each picture would compile by itself.
        trunk = {
            "how": self.preset.network.pool,
            "padding": self.preset.network.pool_padding,
        }
        F, P = (
            reference.trunk(params, picture, layers, **trunk)
            for picture, layers in (
                (photo, self.preset.content_layers),
                (painting, self.preset.style_layers),
            )
        )
        form = StyleForm(
            self.preset.loss.style.style_loss, self.preset.loss.style.gram_normalization
        )
        targets = Targets(F, style_targets(P, form))
        if regions:
            layers = tuple(targets.style)
            guides = {}
            for layer in layers:
                sides = [
                    tile_plan.layer_size(side, layer, self.preset.network.pool_padding)
                    for side in size
                ]
                guides[layer] = reference.half_guide(*sides)
            last = {layers[-1]: targets.style[layers[-1]]}
            there = (
                Region(guides, targets.style, np.float64(0.3)),
                Region(
                    {layer: guide[:, ::-1] for layer, guide in guides.items()},
                    last,
                    np.float64(0.7),
                ),
            )
            targets = targets._replace(
                style=targets.style if regions is True else {},
                regions=there,
            )
        mask = np.random.default_rng(7).random((*size, 1)) if kept else None
        self.arguments = (
            image,
            np.int32(3),
            params,
            targets,
            jax.tree.map(np.float64, make_weights(self.preset)),
            jax.random.key(6),
            StylizeMask(mask, photo) if kept else None,
        )

    def whole(self):
        loss_fn = loss_function(self.preset.loss)
        return jax.jit(jax.value_and_grad(loss_fn, has_aux=True))(*self.arguments)

    def by_tiles(self):
        return tiled_loss(self.tile, self.preset.loss)(*self.arguments)


def differences(found, expected):
    """Of the loss, of its worst term and of the gradient, relative."""
    (loss, terms), gradient = jax.device_get(found)
    (true_loss, true_terms), true_gradient = jax.device_get(expected)
    of_terms = jax.tree.map(lambda a, b: abs(a - b) / abs(b), terms, true_terms)
    return (
        abs(loss - true_loss) / abs(true_loss),
        max(jax.tree.leaves(of_terms)),
        np.abs(gradient - true_gradient).max() / np.abs(true_gradient).max(),
    )


def test_the_deep_network_by_tiles_is_whole(float64):
    case = Case(
        **DEEP,
        pool="max",
        pool_padding="same",
        image_padding="replicate",
        content_normalization="scaled",
        gram_normalization="chw",
        style_normalization="scaled",
    )
    assert max(differences(case.by_tiles(), case.whole())) < 1e-11


def test_a_smaller_halo_makes_seams(float64, monkeypatch):
    case = Case(
        **SHALLOW,
        style_loss="mmd-poly",
        content_normalization="half_mean",
        gram_normalization="none",
    )
    whole = case.whole()
    assert max(differences(case.by_tiles(), whole)) < 1e-11
    halo = tile_plan.halo
    monkeypatch.setattr(tile_plan, "halo", lambda layer: halo(layer) - 2)
    _, terms, gradient = differences(case.by_tiles(), whole)
    assert terms > 1e-11
    assert gradient > 1e-7


@pytest.mark.parametrize(
    "options",
    [
        {"style_loss": "mmd-linear", "image_padding": "replicate", "kept": True,
         "size": (38, 56), "regions": True, "content_normalization": "mean",
         **ONE_LAYER},
        # Moments take the same way; their sums are those of a painting, as seen there.
        {"style_loss": "wasserstein2", "normalize_gradients": True, "regions": "only",
         "kept": True, "content_normalization": "quarter_mean",
         "pool_padding": "same", **ONE_LAYER},
        # For those that draw: they gather the same.
        {"style_loss": "histogram", "pool": "max", **ONE_LAYER},
    ],
    ids=str,
)  # fmt: skip
def test_losses_by_tiles_are_whole(options, float64):
    case = Case(**{**SHALLOW, **options})
    assert max(differences(case.by_tiles(), case.whole())) < 1e-9
