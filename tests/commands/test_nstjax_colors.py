"""The command's colors: the photo's or the painting's, by every rule."""

import numpy as np
import pytest
from command_lines import ONE, SHALLOW, painted, photo
from PIL import Image
from skimage.color import rgb2lab, rgb2yiq

pytestmark = pytest.mark.usefixtures("pictures")

COLORS = [
    *(
        f"--color=luminance --color_space={space} --color_when={when}"
        for space in ("yiq", "lab", "hcl")
        for when in ("before", "after")
    ),
    "--color=luminance --luminance_match=mean",
    *(
        f"--color=match --color_match={match}"
        for match in ("cholesky", "pca", "symmetric", "histogram")
    ),
    "--color=match --color_when=after",
    "--color=match --color_match=histogram --color_when=after",
]


def in_gamut(image):
    """Pixels whose channels were not cut."""
    return ((image > 0.02) & (image < 0.98)).all(axis=2)


@pytest.fixture(scope="module")
def without():
    """What the first test paints without a color for all."""
    return {}


@pytest.mark.parametrize("color", COLORS)
def test_colors(color, command, without):
    if not without:
        without["plain"] = painted(command, *ONE, "--init=style")
    plain = without["plain"]
    image = painted(command, *ONE, "--init=style", *color.split())
    assert np.abs(image - plain).mean() > 0.01
    if "match" in color.split("=")[1]:
        # Both come from all pixels: the photo's mean color, but for what is cut.
        away = np.abs(image.mean((0, 1)) - photo().mean((0, 1))).max()
        assert away < 0.02 < np.abs(plain.mean((0, 1)) - photo().mean((0, 1))).max()
        return
    inside = in_gamut(image)
    assert inside.mean() > 0.3
    if "yiq" in color or "space" not in color:
        # Eight bits lose 0.0012 of I and Q at the most.
        chroma = [rgb2yiq(picture)[inside][:, 1:] for picture in (image, photo())]
        np.testing.assert_allclose(*chroma, atol=0.003)
    elif "lab" in color:
        chroma = [rgb2lab(picture)[inside][:, 1:] for picture in (image, photo())]
        assert np.abs(chroma[0] - chroma[1]).mean() < 0.6
    else:
        # The hue stays, and the chroma is the photo's or lower.
        a, b = (rgb2lab(picture)[inside][:, 1:] for picture in (image, photo()))
        assert (np.linalg.norm(a, axis=1) < np.linalg.norm(b, axis=1) + 3).all()
        colorful = np.linalg.norm(a, axis=1) > 10
        assert colorful.mean() > 0.3
        turned = (a @ [1, 1j] / (b @ [1, 1j]))[colorful]
        assert np.abs(np.angle(turned, deg=True)).max() < 8


@pytest.mark.parametrize("color", ["", *COLORS])
def test_grey_pictures_and_pictures_of_one_color_have_colors_too(color, command):
    for name in ("photo", "painting"):
        Image.open(f"{name}.png").convert("L").save(f"{name}_grey.png")
    pairs = [("photo_grey.png", "painting_grey.png"), ("white.png", "black.png")]
    # Where one alone is grey, the formula matters, and not when it is applied.
    if "when" not in color:
        pairs += [("photo.png", "painting_grey.png")]
        pairs += [("photo_grey.png", "painting.png")]
    for content, style in pairs:
        image = painted(
            *(command, content, style, *SHALLOW, "--steps=1", *color.split())
        )
        if "luminance" in color and content != "photo.png":
            assert np.ptp(image, axis=2).max() <= 1.01 / 255
