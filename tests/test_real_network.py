import subprocess
import sys

import jax
import numpy as np
import pytest
import skimage.data

import nstjax
from experiments.demo_pictures.painting import paint
from nstjax.io.demo import stained_glass

STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")


@pytest.fixture(scope="module")
def vgg19(shared, tmp_path_factory):
    folder = tmp_path_factory.mktemp("vgg19")
    script = shared / "tools" / "write_vgg19_files.py"
    subprocess.run([sys.executable, script, folder, "keras-2"], check=True)
    return nstjax.load_params(str(next(folder.glob("*.h5"))))


@pytest.mark.vgg19
def test_grams_of_one_painting_are_nearer_than_those_of_a_photo(vgg19):
    painting = stained_glass()[:96, :192]
    photo = nstjax.read_image(skimage.data.chelsea())[:96, :96]

    @jax.jit
    def describe(params, image):
        return nstjax.style_statistics(params, nstjax.preprocess(image), STYLE_LAYERS)

    left, right, other = (
        describe(vgg19, image) for image in (painting[:, :96], painting[:, 96:], photo)
    )
    for layer in STYLE_LAYERS:
        same = nstjax.style_loss(left[layer], right[layer], 1)
        different = nstjax.style_loss(left[layer], other[layer], 1)
        assert same < different, layer


@pytest.mark.slow
@pytest.mark.vgg19
def test_stylize_moves_a_photo_to_the_painting_and_keeps_it_recognizable(vgg19):
    photo = nstjax.resize(nstjax.read_image(skimage.data.chelsea()), 64, 96)
    result = nstjax.stylize(
        photo, paint(64, 96), vgg19, "gatys-code", size=64, steps=40
    )
    assert result.losses.style[-1] < 0.1 * result.losses.style[0]
    correlation = np.corrcoef(photo.mean(-1).ravel(), result.image.mean(-1).ravel())
    assert 0.3 < correlation[0, 1] < 0.99
