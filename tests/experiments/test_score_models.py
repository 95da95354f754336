"""Scores of one-pass networks: against their definitions, and the command."""

import json

import jax
import numpy as np
import pytest
import reference
import restyle_models
from command_lines import check_refused, save_pictures

import nstjax
from experiments import scores
from nstjax.feedforward.networks.model_file import write_model

SCORE = "experiments.score_models"
NETWORKS = ("--teacher=narrow.safetensors", "--weights=narrow.safetensors")
WIDTHS = (4, 5, 6, 7, 8)
PHOTO, PAINTING, RESULT = (restyle_models.picture(40, 36, seed) for seed in range(3))


def defined(params, result, photo, painting):
    """Left and content in float64."""

    def described(image):
        layers = (*scores.STYLE_LAYERS, scores.CONTENT_LAYER)
        pixels = 255 * np.float64(image) - reference.MEAN_RGB
        found = reference.trunk(params, pixels, layers, "max", "valid")
        content = found.pop(scores.CONTENT_LAYER)
        grams = [
            reference.gram(values) / reference.positions(values)
            for values in found.values()
        ]
        return grams, content

    (grams, content), (before, own), (target, _) = map(
        described, (result, photo, painting)
    )

    def loss(grams):
        return sum(
            np.square(gram - wanted).mean() / len(wanted) ** 2
            for gram, wanted in zip(grams, target, strict=True)
        )

    change = np.square(content - own).mean() / np.square(own).mean()
    return loss(grams) / loss(before), change


def test_scores_equal_their_definitions_and_controls_have_theirs():
    params = reference.random_params(seed=1, channels=WIDTHS)
    described = [
        scores.describe(jax.tree.map(np.float32, params), image)
        for image in (RESULT, PHOTO, PAINTING)
    ]
    result, photo, painting = described
    found = scores.score(result, photo, painting)
    np.testing.assert_allclose(
        found, defined(params, RESULT, PHOTO, PAINTING), rtol=1e-3
    )
    assert scores.score(photo, photo, painting) == (1.0, 0.0)
    assert scores.score(painting, photo, painting).left == 0.0


def test_a_network_flickers_by_what_moving_the_photo_changes():
    restyler = restyle_models.restyler(restyle_models.painterly())
    style = restyler.named_style("wave")
    (result,) = restyler([PHOTO], style)
    found = scores.flicker_of(restyler, PHOTO, result, style)
    assert 0.1 < found < 100

    class Still:
        """Leaves a photo as it is."""

        def __call__(self, images, style):
            return images

    still = scores.flicker_of(Still(), PHOTO, PHOTO, None)
    # The noise alone: σ √(2/π) of 255.
    assert still == pytest.approx(0.203, rel=0.1)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Photos, paintings and models."""
    monkeypatch.chdir(tmp_path)
    for name, seed in (("photos", 0), ("paintings", 1)):
        (tmp_path / name).mkdir()
        pictures = [("a.png", (60, 40)), ("b.png", (36, 48))]
        save_pictures(tmp_path / name, pictures, seed)
    write_model("named.safetensors", restyle_models.painterly())
    write_model("any.safetensors", restyle_models.arbitrary())
    nstjax.save_params("narrow.safetensors", restyle_models.encoder().params)
    return tmp_path


@pytest.mark.parametrize(
    "model, paintings, names, flicker",
    [
        ("named", "wave=paintings/a.png,lilies=paintings/b.png", ["wave", "lilies"], 1),
        ("any", "paintings", ["a", "b"], 0),
    ],
)
def test_every_photo_is_scored_in_every_style(
    model, paintings, names, flicker, folder, program
):
    status, out, err = program(
        SCORE, "--photos=photos", f"--paintings={paintings}", "--output=scores.json",
        f"--model={model}.safetensors", "--size=long:36", "--style_size=long:36",
        "--score_size=long:36", *NETWORKS, *([] if flicker else ["--noflicker"]),
    )  # fmt: skip
    assert status == 0, err
    rows = json.loads((folder / "scores.json").read_text())
    assert [(row["photo"], row["painting"]) for row in rows] == [
        (photo, name) for photo in ("a.png", "b.png") for name in names
    ]
    table = [line.split() for line in out.splitlines() if line.strip()]
    assert [line[0] for line in table[2:]] == [*names, "all"]
    # The last row: a geometric mean, means, and the largest.
    left = [row["left"] for row in rows]
    assert float(table[-1][1]) == pytest.approx(np.exp(np.mean(np.log(left))), rel=1e-3)
    assert float(table[-1][3]) == pytest.approx(max(left), rel=1e-3)
    assert ("flicker" in rows[0]) == flicker
    columns = {"content": 2, "painting's content": 5 + flicker}
    for key, column in {**columns, **({"flicker": 4} if flicker else {})}.items():
        mean = np.mean([row[key] for row in rows])
        assert float(table[-1][column]) == pytest.approx(mean, rel=1e-3)


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--paintings=paintings"], "give --photos"),
        (["--photos=photos"], "give --paintings"),
        (["--photos=nowhere", "--paintings=paintings"], "nowhere does not exist"),
        (["--photos=photos", "--paintings=a=paintings/a.png"], "unknown style 'a'"),
        (["--photos=photos", "--paintings=none.png"], "none.png"),
        (["--photos=photos", "--paintings=paintings", "--size=big"], "big"),
    ],
)
def test_what_cannot_be_scored_is_refused(flags, words, folder, program):
    result = program(SCORE, "--model=named.safetensors", *NETWORKS, *flags)
    check_refused(*result, words)
