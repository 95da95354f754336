"""Targets: which painting serves which layer and region, by what weight."""

import logging

import jax
import numpy as np
import pytest
import reference
from masked_photo import HEIGHT, LEFT, RIGHT, WIDTH, columns, photo_and_paintings

from nstjax.errors import InputError
from nstjax.images.regions import MaskedRegion
from nstjax.presets.published import PRESETS
from nstjax.presets.settings import customize
from nstjax.problem.targets import Controls, check_weights, make_targets
from nstjax.statistics.normalization import StyleForm
from nstjax.statistics.style import blend_styles

LAYERS = ("relu1_1", "relu2_1")


PARAMS = jax.tree.map(np.float32, reference.random_params(blocks=3))
PHOTO, *PAINTINGS = photo_and_paintings()


def targets(paintings=2, **options):
    """Those of one layer or more, from fields of ``Controls`` and from settings."""
    fields = Controls.__dataclass_fields__.keys() & options.keys()
    controls = Controls(**{name: options.pop(name) for name in fields})
    layers = {"content_layers": ("relu1_1",), "style_layers": LAYERS}
    preset = customize(PRESETS["gatys2016"], **layers | options)
    styles, key = PAINTINGS[:paintings], jax.random.key(0)
    return make_targets(PARAMS, PHOTO, styles, preset, controls, key)


def blended(*weights):
    """The targets of the paintings, none of which has a region."""
    return targets(style_blend_weights=weights).style


@pytest.fixture
def notes(caplog):
    caplog.set_level(logging.INFO, "nstjax")
    return lambda: caplog.messages


def check_equal(found, expected):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-3),
        found,
        expected,
    )


def two_regions(left=((0, None),), right=((1, None),)):
    return [MaskedRegion("left", LEFT, left), MaskedRegion("right", RIGHT, right)]


def activations(image, *layers):
    return reference.trunk(PARAMS, image, layers, "avg", "valid")


def mean_gram(F):
    return reference.gram(F) / reference.positions(F)


def test_targets_are_the_activations_and_grams_of_the_reference():
    found = targets(1)
    photo = activations(PHOTO, "relu1_1")["relu1_1"]
    np.testing.assert_allclose(found.content["relu1_1"], photo, rtol=1e-4, atol=0.01)
    for layer, F in activations(PAINTINGS[0], *LAYERS).items():
        np.testing.assert_allclose(
            found.style[layer], mean_gram(F), rtol=1e-4, atol=0.1
        )
    assert found.regions == ()


def test_regions_have_the_grams_of_their_parts():
    # Half a painting for one region, all of another for the other.
    half = columns(0, 9, 22, 18)
    regions = two_regions(((0, half),), ((1, None),))
    found = targets(regions=regions, style_layers=("relu1_1",))
    assert found.style == {}
    first, second = (activations(P, "relu1_1")["relu1_1"] for P in PAINTINGS[:2])
    for region, mask, F in zip(
        found.regions, (LEFT, RIGHT), (first[:, :9], second), strict=True
    ):
        np.testing.assert_allclose(
            region.style["relu1_1"], mean_gram(F), rtol=1e-4, atol=0.1
        )
        guide = np.asarray(region.guides["relu1_1"])
        assert np.mean(guide**2) == pytest.approx(1, rel=1e-5)
        np.testing.assert_array_equal(guide > 0, mask > 0)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (None, (0.5, 0.5)),
        ((0, 5), (0, 1)),
        ((1e308, 1e308), (0.5, 0.5)),
        ((1e-300, 3e-300), (0.25, 0.75)),
    ],
)
def test_regions_get_their_share_of_the_weight(weights, expected):
    found = targets(regions=two_regions(), region_weights=weights)
    assert [float(r.weight) for r in found.regions] == pytest.approx(expected)


def test_masks_of_the_photos_own_size_are_resized():
    large = [
        region._replace(content_mask=np.kron(region.content_mask, np.ones((3, 3))))
        for region in two_regions()
    ]
    check_equal(targets(regions=large), targets(regions=two_regions()))


def test_paintings_blend_by_their_weights_in_the_whole_and_in_regions():
    alone = [blended(1, 0), blended(0, 1)]
    expected = {
        layer: blend_styles(
            [style[layer] for style in alone], (0.75, 0.25), StyleForm()
        )
        for layer in LAYERS
    }
    check_equal(blended(3, 1), expected)
    both = ((0, None), (1, None))
    found = targets(regions=two_regions(both), style_blend_weights=(3, 1))
    check_equal(found.regions[0].style, expected)
    # Alone in a region, a painting counts whole whatever its weight.
    check_equal(found.regions[1].style, alone[1])
    found = targets(regions=two_regions(both, both), style_blend_weights=(2, 0))
    check_equal(found.regions[0].style, alone[0])


def test_a_painting_serves_the_layers_that_it_is_given():
    found = targets(style_image_layers=(("relu1_1",), ("relu2_1",))).style
    first, second = blended(1, 0), blended(0, 1)
    expected = {"relu1_1": first["relu1_1"], "relu2_1": second["relu2_1"]}
    check_equal(found, expected)
    for layers in ((None, None), (LAYERS, None), ((), LAYERS)):
        check_equal(targets(style_image_layers=layers).style, targets().style)


def test_a_region_has_only_the_layers_that_its_paintings_serve(notes):
    left, right = targets(
        regions=two_regions(right=((0, None), (1, None))),
        style_image_layers=(("relu1_1",), ("relu2_1",)),
    ).regions
    assert list(left.style) == list(left.guides) == ["relu1_1"]
    assert set(right.style) == set(right.guides) == set(LAYERS)
    # Nothing is too small there.
    assert notes() == []


def test_layers_that_are_too_deep_for_a_region_are_left_out_with_a_note(notes):
    small = np.zeros((HEIGHT, WIDTH), np.float32)
    small[5, 5:7] = 1
    regions = [
        MaskedRegion("dot", small, ((0, None),)),
        MaskedRegion("right", RIGHT, ((1, None),)),
    ]
    layers = ("relu3_1", "relu1_1", "relu2_1")
    dot, right = targets(regions=regions, style_layers=layers).regions
    assert set(dot.style) == set(dot.guides) == {"relu1_1"}
    assert set(right.style) == set(layers)
    assert notes() == [
        "region dot is too small for relu2_1, relu3_1 at 24x20 pixels: left out there"
    ]


def test_a_part_of_a_painting_that_is_too_small_leaves_its_layers_to_the_others():
    dot = np.zeros((22, 18), np.float32)
    dot[4, 4:6] = 1
    serving = ((0, dot), (1, None))
    found, _ = targets(regions=two_regions(serving, serving)).regions
    second = blended(0, 1)
    check_equal(found.style["relu2_1"], second["relu2_1"])
    assert np.abs(found.style["relu1_1"] - second["relu1_1"]).max() > 1


def test_stylize_mask_alone_is_one_region_of_all_paintings():
    found = targets(stylize_mask=LEFT)
    (inside,) = found.regions
    assert (found.style, float(inside.weight)) == ({}, 1)
    check_equal(inside.style, targets().style)
    np.testing.assert_array_equal(inside.guides["relu1_1"] > 0, LEFT > 0)


def test_stylize_mask_cuts_the_regions(notes):
    middle = columns(6, 18)
    found = targets(regions=two_regions(), stylize_mask=middle).regions
    for region, mask in zip(found, (LEFT, RIGHT), strict=True):
        np.testing.assert_array_equal(region.guides["relu1_1"] > 0, mask * middle > 0)
    assert notes() == []


def test_a_region_outside_the_stylize_mask_leaves_its_weight(notes):
    regions = two_regions()
    regions += [MaskedRegion("all", np.ones((HEIGHT, WIDTH), np.float32), ((0, None),))]
    found = targets(
        regions=regions, stylize_mask=LEFT, region_weights=(1, 4, 3)
    ).regions
    assert [float(region.weight) for region in found] == [0.25, 0.75]
    assert notes() == ["region right is outside stylize_mask: left out"]
    (inside,) = targets(1, stylize_mask=LEFT).regions
    check_equal(found[0]._replace(weight=inside.weight), inside)


@pytest.mark.parametrize("mode", ["simple", "inside", "all"])
def test_guides_follow_the_presets_mode(mode):
    def left(**settings):
        region = targets(regions=two_regions(), guide_mode=mode, **settings).regions[0]
        return np.asarray(region.guides["relu2_1"])

    # Position i is pooled from the columns 2i and 2i + 1 and sees 2i - 4 to 2i + 5, of
    # which those below 12 are the region's.
    last = {"simple": 6, "inside": 4, "all": 8}[mode]
    assert (left()[:, :last] > 0).all()
    assert (left()[:, last:] == 0).all()
    assert (left(guide_dilation=1)[:, : last + 1] > 0).all()


DOT = np.zeros((HEIGHT, WIDTH), np.float32)
DOT[8, 8] = 1


@pytest.mark.parametrize(
    ("controls", "message"),
    [
        (
            {"regions": two_regions(), "region_weights": (1,)},
            "region_weights has 1 values for 2 regions: give one for each",
        ),
        (
            {"style_blend_weights": (1, 2, 3)},
            "style_blend_weights has 3 values for 2 style images",
        ),
        (
            {"style_image_layers": (None,)},
            "style_image_layers has 1 entries for 2 style images",
        ),
        (
            {"style_image_layers": (("relu3_1",), None)},
            "style_image_layers has relu3_1, which is no style layer: those are "
            "relu1_1,relu2_1",
        ),
        (
            {"style_image_layers": (("relu1_1",),) * 2},
            "no style image serves relu2_1: give it to one in style_image_layers",
        ),
        (
            {"style_image_layers": [[layer] for layer in LAYERS]}
            | {"style_blend_weights": (1, 0)},
            "no style image serves relu2_1",
        ),
        (
            {"regions": two_regions(), "style_blend_weights": (1, 0)},
            "no style image that serves region right has a weight above 0",
        ),
        (
            {"regions": two_regions()[:1], "stylize_mask": RIGHT},
            "stylize_mask leaves no region that has a weight",
        ),
    ],
)
def test_controls_that_do_not_fit_are_refused(controls, message):
    with pytest.raises(InputError, match=f"^{message}") as raised:
        targets(**controls)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "controls"),
    [
        ("dot", {"regions": [MaskedRegion("dot", DOT, ((0, None),))]}),
        ("inside stylize_mask", {"stylize_mask": DOT}),
    ],
)
def test_a_region_that_is_too_small_for_every_layer_is_refused(name, controls):
    says = f"^region {name} is too small for every style layer at 24x20 pixels: choose"
    with pytest.raises(InputError, match=says):
        targets(**controls, style_layers=("relu2_1",))


@pytest.mark.parametrize("weights", [(0, 0), (1, -1), (1, np.nan)])
def test_check_weights_refuses_what_is_no_share(weights):
    with pytest.raises(InputError, match="w must be finite numbers of 0 or more, not"):
        check_weights("w", weights, 2, "things")
