"""The trained networks that come with nstjax."""

import re

import jax
import numpy as np
import pytest
import skimage.data

from experiments.demo_pictures.painting import paint
from nstjax.feedforward.inference.restyle import make_restyler
from nstjax.feedforward.networks.model_file import BUNDLED, MODELS, bundled_model
from nstjax.feedforward.training.grid_loss import grid_loss
from nstjax.images.resizing import resize
from nstjax.io.images import read_image
from nstjax.io.weights import load_network

grid_of_four = jax.jit(lambda window: grid_loss(window, 4))
LARGEST_BYTES = {"painterly": 3_500_000, "arbitrary": 4_000_000}


@pytest.fixture(scope="module")
def restylers():
    return {
        name: make_restyler(bundled_model(name), lambda: load_network("slim"))
        for name in BUNDLED
    }


@pytest.fixture(scope="module")
def photo():
    """The cat of the demo."""
    return read_image(skimage.data.chelsea())


@pytest.fixture(scope="module")
def painting():
    """As the demo's, which takes seconds in its size."""
    return paint(96, 128)


@pytest.fixture(scope="module")
def landscape(photo):
    """A clear sky over land."""
    grain = np.random.default_rng(0).normal(scale=0.005, size=(128, 128, 3))
    sky = np.float32(np.array([0.55, 0.7, 0.9]) + grain)
    return np.concatenate([sky, resize(photo, 64, 128)])


@pytest.fixture(scope="module")
def landscapes(restylers, landscape, painting):
    """What each network makes of it in each of its styles."""
    results = {}
    for name, restyler in restylers.items():
        styles = [restyler.named_style(style) for style in restyler.model.styles]
        results[name] = [
            restyler([landscape], style)[0]
            for style in styles or [restyler.style_of(painting)]
        ]
    return results


@pytest.mark.parametrize("name", BUNDLED)
def test_size_and_license(name):
    assert (MODELS / f"{name}.safetensors").stat().st_size <= LARGEST_BYTES[name]
    card = bundled_model(name).card
    assert card["license"] == "CC BY 4.0"
    assert "experiments.train_feedforward" in card["command"]
    # No folder of the machine that trained it.
    assert not re.search(r"/(work|tmp|home|root)/", str(card))


@pytest.mark.slow
@pytest.mark.parametrize("name", BUNDLED)
def test_a_clear_sky_shows_no_grid(name, landscapes):
    for result in landscapes[name]:
        # One window of the loss, away from the border and the land.
        window = result[None, 32:96, 32:96]
        # Levels of 255; 2 are seen as a weave.
        assert np.sqrt(grid_of_four(window)) < 0.8


@pytest.mark.slow
def test_styles_differ_from_the_photo_and_from_each_other(landscape, landscapes):
    photo, results = landscape, landscapes["painterly"]
    for index, result in enumerate(results):
        assert 0.05 < result.mean() < 0.95
        for other in [photo, *results[:index]]:
            assert np.abs(result - other).mean() > 0.03


def test_a_photo_in_its_own_style_stays(restylers, photo, painting):
    restyler = restylers["arbitrary"]
    photo = resize(photo, 96, 128)
    own, other = (restyler.style_of(picture) for picture in (photo, painting))
    kept, changed = (restyler([photo], style)[0] for style in (own, other))
    assert np.abs(kept - photo).mean() < 0.08
    assert np.abs(changed - photo).mean() > 2 * np.abs(kept - photo).mean()
