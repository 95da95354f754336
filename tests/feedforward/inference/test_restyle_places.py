"""Where in a photo the styles go, and where the results, without any network."""

from pathlib import Path

import numpy as np
import pytest
import restyle_models
from PIL import Image
from restyle_models import picture

import nstjax
from nstjax.feedforward.inference import restyle_files
from nstjax.feedforward.inference.request import FastRequest
from nstjax.io.video import probe, read_frames, write_video


@pytest.fixture
def masks(tmp_path, monkeypatch):
    """Those that styles get, in a folder where restyling changes nothing."""
    given = []

    def keep(request, restyler, photos, specification, masks):
        given.extend(masks)
        return photos

    restyle_models.stand_for_bundled(monkeypatch)
    monkeypatch.setattr(restyle_files, "apply_style", keep)
    monkeypatch.chdir(tmp_path)
    return given


def restyled(content, style="wave", **options):
    request = FastRequest(contents=[content], style=[style], quiet=True, **options)
    return restyle_files.restyle_files(request).written


def test_a_video_whose_place_fails_is_whole_elsewhere(masks, monkeypatch, caplog):
    frames = [(255 * picture(48, 64, seed=seed)).astype(np.uint8) for seed in range(3)]
    write_video("film.mp4", frames, 10.0)
    Path("full").mkdir()

    def fail(path, frames, *arguments, **options):
        if path.parent == Path("full"):
            next(frames)
            raise OSError(28, "No space left on device", str(path))
        write_video(path, frames, *arguments, **options)

    monkeypatch.setattr(restyle_files, "write_video", fail)
    (path,) = restyled("film.mp4", output="full/new.mp4")
    assert path == Path("new.mp4")
    assert len(list(read_frames(path, probe(path)))) == 3
    assert caplog.messages[-1].endswith("wrote new.mp4 instead")


@pytest.mark.parametrize(
    ("numbers", "style", "painted"),
    [
        # Where there are fewer styles than numbers, 0 is what stays a photo.
        ((0, 1), "wave", [1]),
        ((0, 3), "wave", [3]),
        ((0, 1, 2), "wave,scream", [1, 2]),
        ((1, 2), "wave", [1]),
        ((0, 3), "wave,scream", [0, 3]),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_regions_of_numbers(numbers, style, painted, dtype, masks):
    nstjax.write_image("photo.png", picture(64, 64))
    labels = np.repeat(np.array(numbers, dtype), 32)[None].repeat(64, axis=0)
    Image.fromarray(labels).resize((64, 64), 0).save("mask.png")
    restyled("photo.png", style, mask="mask.png")
    ((*regions,),) = masks
    assert len(regions) == len(painted)
    labels = np.asarray(Image.open("mask.png"))
    for number, region in zip(painted, regions, strict=True):
        np.testing.assert_array_equal(region[:, :, 0], labels == number)
