"""A run that starts from the picture of nstjax-fast."""

import numpy as np
import pytest
import restyle_models
from restyle_models import picture

import nstjax
from nstjax.feedforward.inference.restyle import mixture
from nstjax.feedforward.networks import model_file
from nstjax.images.resizing import parse_size, resize
from nstjax.io import weights
from nstjax.presets.published import get_preset
from nstjax.presets.settings import customize
from nstjax.runs.fast_start import fast_start


@pytest.fixture(autouse=True)
def restyler(monkeypatch):
    """The one of a small network that stands for the bundled one."""
    models = {"arbitrary": restyle_models.descending()}
    monkeypatch.setattr(model_file, "bundled_model", models.__getitem__)
    monkeypatch.setattr(weights, "load_network", {"slim": restyle_models.encoder()}.get)
    return restyle_models.restyler(restyle_models.descending())


def of_size(size):
    return customize(get_preset("quick"), size=parse_size(size))


@pytest.mark.parametrize("shares", [None, (3.0, 1.0)])
def test_it_is_the_picture_of_the_restyler_in_mixed_styles(shares, restyler):
    photo, *paintings = (picture(60, 80, seed) for seed in range(3))
    found = fast_start(photo, paintings, shares, of_size("64x48"))
    styles = [restyler.style_of(painting) for painting in paintings]
    mixed = mixture(styles, [0.75, 0.25] if shares else [0.5, 0.5])
    (expected,) = restyler([resize(photo, 48, 64)], mixed)
    assert np.abs(found - resize(photo, 48, 64)).mean() > 0.02
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_large_picture_is_computed_at_512_pixels_and_enlarged(restyler):
    photo, painting = picture(48, 96), picture(48, 48, 1)
    found = fast_start(photo, [painting], None, of_size("640x320"))
    (computed,) = restyler([resize(photo, 256, 512)], restyler.style_of(painting))
    np.testing.assert_allclose(found, resize(computed, 320, 640), atol=1e-6)


def test_stylize_starts_there():
    photo, painting = picture(48, 64), picture(48, 48, 1)
    start = fast_start(photo, [painting], None, of_size("64x48"))
    params = restyle_models.encoder().params
    shallow = {"content_layers": ("relu1_1",), "style_layers": ("relu1_1",)}
    result = nstjax.stylize(
        *(photo, painting, params, "quick"),
        **{**shallow, "style_layer_weights": (1.0,), "beta": 0.0, "steps": 1},
        **{"size": "64x48", "learning_rate": 1e-9, "optimizer": "adam"},
    )
    np.testing.assert_allclose(result.image, start, atol=1e-5)


def test_prepare_asks_for_the_picture():
    params = restyle_models.encoder().params
    with pytest.raises(nstjax.InputError, match="init is 'fast': read or make that"):
        nstjax.prepare(picture(48, 64), [picture(48, 48)], params, of_size("64x48"))
