"""Films of runs, read back frame by frame."""

import math
import resource
import sys

import numpy as np
import pytest
from command_lines import SHALLOW
from PIL import Image, ImageSequence

from nstjax.errors import InputError
from nstjax.io.ffmpeg import run_ffmpeg
from nstjax.io.run_log import write_run
from nstjax.io.video import probe, read_frames
from nstjax.network.vgg import MEAN_RGB
from nstjax.runs.film import cross_fade, film_frames, numbered, write_film

FILM = "experiments.film"


def smooth(height, width, seed=0):
    """A picture that a film keeps well: sRGB in 0..1."""
    colors = np.random.default_rng(seed).uniform(0.2, 0.8, 3)
    rows, columns = np.mgrid[:height, :width]
    shade = 0.2 * np.stack([rows / height, columns / width, rows / height], axis=2)
    return np.float32(colors + shade - 0.1)


def log(folder, pictures, steps, image):
    """run.h5 of a run with these snapshots, {step: sRGB}, and this last image."""

    def optimized(picture):
        return np.asarray(picture * 255 - MEAN_RGB, np.float32)

    snapshots = {step: optimized(picture) for step, picture in pictures.items()}
    write_run(folder, {"settings": {}}, [], snapshots, optimized(image), steps)


def read_gif(path):
    """Frames as sRGB in 0..1, and how many milliseconds each stays."""
    with Image.open(path) as film:
        assert film.info["loop"] == 0
        frames = [
            (np.asarray(frame.convert("RGB")) / 255, frame.info["duration"])
            for frame in ImageSequence.Iterator(film)
        ]
    return [picture for picture, _ in frames], [duration for _, duration in frames]


def test_frames_are_the_snapshots_and_the_last_image(tmp_path):
    steps = (1, 999_999, 10**6, 10**6 + 50)
    pictures = {step: smooth(24, 32, step) * 3 - 1 for step in steps}
    last = pictures.pop(steps[-1])
    log(tmp_path, pictures, steps[-1], last)
    frames = list(film_frames(tmp_path))
    assert [step for step, _ in frames] == [*steps]
    for (_, frame), expected in zip(frames, [*pictures.values(), last], strict=True):
        assert frame.dtype == np.float32
        np.testing.assert_allclose(frame, expected.clip(0, 1), atol=1e-6)


def test_smaller_scales_are_enlarged_and_a_last_snapshot_comes_once(tmp_path):
    whole = smooth(49, 63)
    log(tmp_path, {1: smooth(24, 32), 3: whole}, 3, whole)
    (first, small), (last, _) = film_frames(tmp_path)
    assert (first, last) == (1, 3)
    np.testing.assert_allclose(small, whole, atol=0.02)
    with pytest.raises(InputError, match="2 pictures of 63x49 pixels, more than 1: "):
        film_frames(tmp_path, most_pixels=49 * 63)


def test_frames_are_finished_as_snapshots_are(studio, command):
    Image.linear_gradient("L").resize((64, 48)).save("mask.png")
    status, _, err = command(
        *("photo.png", "painting.png", *SHALLOW, "--output=", "--snapshots=1"),
        *("--color=luminance", "--stylize_mask=mask.png", "--workdir=run"),
    )
    assert status == 0, err
    frames = list(film_frames(studio / "run"))
    assert [step for step, _ in frames] == [1, 2]
    for (_, frame), name in zip(frames, ("snapshot_000001", "stylized"), strict=True):
        with Image.open(f"run/{name}.png") as picture:
            np.testing.assert_allclose(frame * 255, np.asarray(picture), atol=0.51)
        # The colors are the photo's: not grey.
        assert np.ptp(frame, axis=2).max() > 0.1


def test_blends_are_evenly_spaced_and_numbered_like_the_earlier_one():
    black, white = np.zeros((2, 2, 3)), np.ones((2, 2, 3))
    frames = [(1, black), (9, white), (20, white)]
    faded = list(cross_fade(frames, 3))
    assert [step for step, _ in faded] == [1] * 4 + [9] * 4 + [20]
    shades = [picture.mean() for _, picture in faded]
    np.testing.assert_allclose(shades, [0, 0.25, 0.5, 0.75, 1, 1, 1, 1, 1], atol=1e-6)
    assert list(cross_fade(frames, 0)) == frames


@pytest.mark.parametrize("shade", [0, 1])
def test_a_number_can_be_read_on_black_and_on_white(shade):
    picture = np.full((96, 128, 3), shade, np.float32)
    marked = numbered(picture, 1234)
    rows, columns = np.nonzero(marked[:, :, 0] != shade)
    assert rows.min() > 70
    assert columns.max() < 64
    assert np.ptp(marked) > 0.8
    assert (numbered(picture, 1235) != marked).any()


def test_a_gif_has_the_pictures_and_the_times(tmp_path):
    pictures = [smooth(25, 33, seed) for seed in range(4)]
    path = tmp_path / "film.gif"
    write_film(path, iter(pictures), fps=5, hold=1.5)
    frames, durations = read_gif(path)
    assert durations == [200, 200, 200, 1500]
    np.testing.assert_allclose(frames, pictures, atol=0.03)
    write_film(path, pictures[:2], fps=4, hold=0)
    assert read_gif(path)[1] == [250, 250]


def test_a_gif_is_dithered_not_banded(tmp_path):
    # A slow ramp in three colors has more shades than a palette.
    rows, columns = np.mgrid[:64, :64] / 64
    ramp = np.float32(np.stack([rows, columns, (rows + columns) / 2], axis=2))
    path = tmp_path / "film.gif"
    write_film(path, [ramp])
    (frame,), _ = read_gif(path)

    def flat(picture):
        return (picture[:, 1:] == picture[:, :-1]).all(axis=2).mean()

    banded = Image.fromarray(np.uint8(ramp * 255)).quantize(256).convert("RGB")
    assert flat(frame) < 0.8 * flat(np.asarray(banded))


@pytest.mark.parametrize(("height", "width"), [(32, 48), (33, 47)])
def test_an_mp4_has_the_pictures_at_an_even_size(height, width, tmp_path):
    path = tmp_path / "film.mp4"
    pictures = [smooth(height, width, seed) for seed in range(3)]
    write_film(path, iter(pictures), fps=5, hold=0.8)
    info = probe(path)
    assert info[:4] == (width + width % 2, height + height % 2, 5, 2 + 4)
    frames = np.stack(list(read_frames(path, info))) / 255
    for frame, expected in zip(frames, [*pictures, *pictures[2:] * 3], strict=True):
        np.testing.assert_allclose(frame[:height, :width], expected, atol=0.04)
        assert abs((frame[:height, :width] - expected).mean((0, 1))).max() < 0.01
    np.testing.assert_allclose(frames[:, -1], frames[:, -2], atol=0.04)
    said, _ = run_ffmpeg(path, "-i", str(path))
    assert all(word in said for word in ("h264", "yuv420p", "bt709"))


def test_a_film_that_fails_leaves_the_old_one(tmp_path):
    path = tmp_path / "film.mp4"
    write_film(path, [smooth(32, 32)])
    before = path.read_bytes()

    def broken():
        yield smooth(32, 32)
        raise InputError("no more pictures")

    for name in ("film.mp4", "film.gif"):
        with pytest.raises(InputError, match="no more"):
            write_film(tmp_path / name, broken())
    noise = np.random.default_rng(0).random((20, 128, 128, 3), np.float32)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(OSError, match=r"film\.mp4"):
            write_film(path, noise)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["film.mp4"]


def test_an_mp4_without_the_extra_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(InputError, match=r"pip install 'nstjax\[video\]'"):
        write_film(tmp_path / "film.mp4", [smooth(32, 32)])
    write_film(tmp_path / "film.gif", [smooth(32, 32)])


def test_the_command_makes_a_film_of_a_run(tmp_path, program):
    log(tmp_path, {1: smooth(64, 48), 5: smooth(64, 48, 1)}, 9, smooth(64, 48, 2))
    output = tmp_path / "film.gif"
    flags = ("--fps=10", "--hold=1", "--fade=2", "--numbers")
    status, out, err = program(FILM, f"--run={tmp_path}", f"--output={output}", *flags)
    assert (status, err) == (0, "")
    assert out == f"wrote {output}\n"
    frames, durations = read_gif(output)
    assert durations == [100] * 6 + [1000]
    corners = [frame[44:, :20] for frame in frames]
    assert all(np.ptp(corner) > 0.6 for corner in corners)
    np.testing.assert_allclose(frames[3][:32], smooth(64, 48, 1)[:32], atol=0.03)


def test_a_run_without_snapshots_is_refused(tmp_path):
    log(tmp_path, {}, 9, smooth(24, 32))
    with pytest.raises(InputError, match="--snapshots=1,10,100"):
        film_frames(tmp_path)
    with pytest.raises(InputError, match="nowhere"):
        next(film_frames(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("name", "fps", "hold"),
    [
        *(("film.gif", fps, 1) for fps in (0, 51, math.nan)),
        *(("film.gif", 5, hold) for hold in (-1, math.nan, math.inf)),
        ("film.avi", 4, 2),
    ],
)
def test_films_of_no_kind_are_refused_before_any_work(name, fps, hold, tmp_path):
    says = "give up to 50, and up to 600 seconds|end it with one of .gif .mp4"
    with pytest.raises(InputError, match=says):
        write_film(tmp_path / name, iter([]), fps=fps, hold=hold)
    assert list(tmp_path.iterdir()) == []
