import dataclasses
from pathlib import Path

import numpy as np
import pytest
import restyle_models
from feedforward_networks import run
from PIL import Image
from restyle_models import picture

import nstjax
from nstjax.errors import InputError
from nstjax.feedforward.inference import apply_style, restyle, restyle_files
from nstjax.feedforward.inference.request import FastRequest
from nstjax.images import color
from nstjax.images.resizing import Size
from nstjax.io.images import read_colors
from nstjax.io.video import probe, read_frames, write_video

WEIGHTS = {"wave": [[1.0, 0, 0]], "scream": [[0, 1.0, 0]], "lilies": [[0, 0, 1.0]]}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with photos; small models stand for the bundled ones."""
    restyle_models.stand_for_bundled(monkeypatch)
    monkeypatch.chdir(tmp_path)
    nstjax.write_image("photo.png", picture(64, 64))
    (tmp_path / "photos").mkdir()
    for number, size in enumerate([(64, 64), (40, 64), (64, 100)]):
        nstjax.write_image(f"photos/{number}.png", picture(*size, seed=number))
    return tmp_path


def restyled(*contents, **options):
    options = {"style": "wave", "quiet": True, **options}
    options["style"] = [options["style"]]
    request = FastRequest(contents=contents or ("photo.png",), **options)
    return restyle_files.restyle_files(request).written


def direct(photo, style="wave"):
    """What the network makes of a picture whose size is its bucket's."""
    network = restyle_models.painterly().network
    weights = np.array(WEIGHTS[style], np.float32)
    return np.asarray(run(network, photo[None], weights)[0]).clip(0, 1)


def near(path, expected, part=np.s_[:]):
    """Whether a file shows what is expected, or a part of it does."""
    found = nstjax.read_image(path)[part]
    np.testing.assert_allclose(found, expected[part], atol=0.5 / 255 + 1e-4)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_a_folder_of_several_sizes(batch_size, folder):
    paths = restyled("photos", output=Path("out"), batch_size=batch_size)
    assert [path.name for path in paths] == ["0_wave.png", "1_wave.png", "2_wave.png"]
    restyler = restyle_models.restyler(restyle_models.painterly())
    for number, path in enumerate(paths):
        photo = nstjax.read_image(f"photos/{number}.png")
        near(path, restyler([photo], restyler.named_style("wave"))[0])


def test_large_photos_are_made_smaller_and_small_ones_kept(folder):
    (path,) = restyled("photos/2.png", size=Size("long", 50))
    assert nstjax.read_image(path).shape == (32, 50, 3)
    (path,) = restyled("photos/2.png", size=Size("long", 500))
    assert nstjax.read_image(path).shape == (64, 100, 3)


def test_strength_and_what_is_there_is_kept(folder, caplog):
    caplog.set_level("INFO")
    (path,) = restyled(strength=0.25)
    assert path == Path("photo_wave.png")
    photo = nstjax.read_image("photo.png")
    near(path, 0.25 * direct(photo) + 0.75 * photo)
    path.write_bytes(b"mine")
    assert restyled(skip_existing=True) == []
    assert path.read_bytes() == b"mine"
    assert "1 of 1 results are there already" in caplog.messages[0]


def test_subfolders_are_mirrored(folder):
    (folder / "photos" / "below").mkdir()
    nstjax.write_image("photos/below/0.png", picture(64, 64))
    paths = restyled("photos", recursive=True, output="out/v1.2/")
    names = [f"{name}_wave.png" for name in (0, 1, 2, "below/0")]
    expected = [Path("out/v1.2", name) for name in names]
    assert sorted(paths) == expected == sorted(Path("out").rglob("*.png"))


@pytest.mark.parametrize(
    ("style", "color"),
    [("wave", "style"), ("wave", "match"), ("photos/1.png", "luminance")],
)
def test_no_strength_is_the_photo(style, color, folder):
    (path,) = restyled(style=style, color=color, strength=0)
    near(path, nstjax.read_image("photo.png"))


def test_transparent_parts_stay_transparent_or_are_told(folder, caplog):
    caplog.set_level("INFO")
    rgba = np.dstack([picture(64, 64), np.ones((64, 64))])
    rgba[:, :32, 3] = 0
    Image.fromarray(np.uint8(255 * rgba)).save("hole.png")
    (kept,) = restyled("hole.png", transparency="keep", output="kept.png")
    result, alpha = read_colors(kept)
    np.testing.assert_array_equal(alpha, rgba[:, :, 3])
    assert caplog.messages == []
    # What is to be seen is that of the opaque photo, but for what lies around it.
    (whole,) = restyled(output="whole.png")
    difference = result[:, 40:] - nstjax.read_image(whole)[:, 40:]
    assert np.abs(difference).mean() < 0.1
    paths = restyled("hole.png", style="all", output="flat")
    assert [read_colors(path)[1] for path in paths] == [None] * 3
    assert len(caplog.messages) == 1 and "hole.png is transparent" in caplog.messages[0]
    with pytest.raises(InputError, match=r"out\.jpg would be a JPEG"):
        restyled("hole.png", transparency="keep", output="out.jpg")


def test_a_row(folder):
    (path,) = restyled(style="wave,lilies", interpolate=3)
    assert path == Path("photo_row.png")
    photo = nstjax.read_image("photo.png")
    between = nstjax.read_image(path)[:, 64:-64]
    near(path, np.hstack([direct(photo), between, direct(photo, "lilies")]))


LEFT, RIGHT = np.s_[:, :32], np.s_[:, 32:]


@pytest.fixture
def mask(folder):
    """White on the left, black on the right."""
    mask = np.zeros((64, 64, 3), np.float32)
    mask[LEFT] = 1
    nstjax.write_image("mask.png", mask)


def test_regions(mask):
    photo = nstjax.read_image("photo.png")
    (path,) = restyled(style="wave,lilies", mask="mask.png")
    near(path, direct(photo), LEFT)
    near(path, direct(photo, "lilies"), RIGHT)
    (path,) = restyled(style="wave", mask=("mask.png",))
    near(path, direct(photo), LEFT)
    near(path, photo, RIGHT)
    # Masks that overlap share.
    (path,) = restyled(style="wave,lilies", mask=("mask.png", "mask.png"))
    near(path, (direct(photo) + direct(photo, "lilies")) / 2, LEFT)


def test_the_photos_own_luminance_changes_only(folder):
    photo = nstjax.read_image("photo.png")
    (path,) = restyled(color="luminance")
    expected = color.with_luminance(photo, color.luminance(direct(photo), "yiq"), "yiq")
    np.testing.assert_allclose(nstjax.read_image(path), expected, atol=0.01)
    (path,) = restyled(color="match", color_match="histogram")
    expected = color.match_color(direct(photo), photo, "histogram")
    np.testing.assert_allclose(nstjax.read_image(path), expected, atol=0.02)


def test_tiles_by_number_and_by_size(folder, monkeypatch):
    photo, tiles = nstjax.read_image("photos/2.png"), []

    # That tiles give the same as the whole is tested where they are computed.
    def in_tiles(self, image, style, strength, *, tile, progress):
        progress(1, 4)
        np.testing.assert_array_equal(image, photo)
        np.testing.assert_array_equal(style, WEIGHTS["wave"][0])
        assert strength == 0.5
        tiles.append(tile)
        return 1 - image

    monkeypatch.setattr(restyle.Restyler, "in_tiles", in_tiles)
    half = {"strength": 0.5}
    near(restyled("photos/2.png", tile=64, **half)[0], 1 - photo)
    monkeypatch.setattr(apply_style, "TILE_ABOVE", 64 * 64)
    near(restyled("photos/2.png", **half)[0], 1 - photo)
    restyled("photos/2.png", tile=0, **half)
    restyled("photos/0.png", **half)
    assert tiles == [64, apply_style.DEFAULT_TILE]


def test_a_result_that_cannot_be_written_costs_no_other(folder, monkeypatch, caplog):
    def write(path, image, quality, alpha):
        if path.name == "1_wave.png":
            raise OSError(28, "No space left on device", str(path))
        if path.name == "2_wave.png" and path.parent.name == "out":
            raise OSError(30, "Read-only file system", str(path))
        nstjax.write_image(path, image, quality)

    monkeypatch.setattr(restyle_files, "write_image", write)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(folder))
    request = FastRequest(contents=["photos"], style=["wave"], output="out", quiet=True)
    results = restyle_files.restyle_files(request)
    assert results.written == [Path("out/0_wave.png"), Path("2_wave.png")]
    assert not results.complete
    assert caplog.messages == [
        *(
            "out/2_wave.png cannot be written (Read-only file system); wrote "
            "2_wave.png instead",
            "out/1_wave.png cannot be written (No space left on device)",
        ),
    ]
    request = dataclasses.replace(request, contents=["photos/1.png"])
    with pytest.raises(OSError, match="No space left"):
        restyle_files.restyle_files(request)


def test_no_folder_is_made_for_nothing_and_other_photos_go_on(folder, caplog):
    Path("photos/0.png").write_bytes(Path("photos/0.png").read_bytes()[:500])
    with pytest.raises(InputError, match="damaged or cut short"):
        restyled("photos/0.png", output="out/")
    assert not Path("out").exists()
    assert restyled("photos/0.png", "photo.png") == [Path("photo_wave.png")]
    (message,) = caplog.messages
    assert message.startswith("left out: photos/0.png")


def test_a_video_keeps_its_frames_and_its_sound(folder):
    frames = [(255 * picture(48, 64, seed=seed)).astype(np.uint8) for seed in range(5)]
    write_video("film.mp4", frames, 10.0)
    (path,) = restyled("film.mp4")
    assert path == Path("film_wave.mp4")
    info = probe(path)
    assert (info.width, info.height, info.fps) == (64, 48, 10.0)
    made = list(read_frames(path, info))
    assert len(made) == 5
    restyler = restyle_models.restyler(restyle_models.painterly())
    for frame, result in zip(read_frames("film.mp4", info), made, strict=True):
        photo = frame.astype(np.float32) / 255
        (expected,) = restyler([photo], restyler.named_style("wave"))
        assert np.abs(result / 255.0 - expected).mean() < 0.05


def test_a_video_in_regions(mask):
    write_video("film.mp4", [(255 * picture(64, 64)).astype(np.uint8)] * 2, 10.0)
    (path,) = restyled("film.mp4", mask=("mask.png",))
    (source, result) = (
        next(read_frames(name, probe(name))) / 255 for name in ("film.mp4", path)
    )
    assert np.abs(result[:, 36:] - source[:, 36:]).mean() < 0.02
    assert np.abs(result[:, :28] - source[:, :28]).mean() > 0.05


@pytest.fixture
def masks(folder, monkeypatch):
    """Those that styles get, where restyling changes nothing."""
    given = []

    def keep(request, restyler, photos, specification, masks):
        given.extend(masks)
        return photos

    monkeypatch.setattr(restyle_files, "apply_style", keep)
    return given


def test_a_video_whose_place_fails_is_whole_elsewhere(masks, monkeypatch, caplog):
    write_video("film.mp4", np.zeros((3, 48, 64, 3), np.uint8), 10.0)
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
    labels = np.repeat(np.array(numbers, dtype), 32)[None].repeat(64, axis=0)
    Image.fromarray(labels).resize((64, 64), 0).save("mask.png")
    restyled(style=style, mask="mask.png")
    ((*regions,),) = masks
    labels = np.asarray(Image.open("mask.png"))
    for number, region in zip(painted, regions, strict=True):
        np.testing.assert_array_equal(region[:, :, 0], labels == number)


def test_what_cannot_be_used_is_left_out_with_a_note(folder, caplog):
    for name in ("broken.jpg", "film.mp4"):
        Path("photos", name).write_text("no picture")
    nstjax.write_image("photos/tiny.png", picture(64, 8))
    paths = restyled("photos", output=Path("out"))
    assert [path.name for path in paths] == ["0_wave.png", "1_wave.png", "2_wave.png"]
    assert sorted(path.name for path in Path("out").iterdir()) == sorted(
        path.name for path in paths
    )
    assert caplog.messages == [
        "left out 3 of 6 files: photos/broken.jpg is neither a picture nor a video "
        "that can be read (and 1 more); photos/tiny.png is 8×64 pixels: give a picture "
        "of at least 16 on each side"
    ]


ROW = {"style": "wave,scream", "interpolate": 3}
BAD = [
    ({"contents": ("empty",)}, "no pictures or videos in empty: give a folder"),
    ({"contents": ("others",)}, "in others: others/notes.txt is neither"),
    ({"contents": ("text.png",)}, "text.png is neither a picture nor a video"),
    ({"contents": ("text.mp4",)}, "text.mp4"),
    ({"strength": 1.5}, "strength must lie in 0..1, got 1.5"),
    ({"batch_size": 0}, "batch_size must be 1 or more"),
    ({**ROW, "interpolate": 1}, "must lie in 2..20"),
    ({"tile": 3}, "tile must be 0 for none, or 64 or more"),
    ({**ROW, "mask": "photo.png"}, "--mask cannot go together"),
    ({**ROW, "transparency": "keep"}, "--transparency=keep cannot go together"),
    ({"mask": "photo.png"}, "looks like a photo"),
    ({"style": "wave,scream", "mask": ("white.png",)}, "2 styles for 1 regions"),
    ({**ROW, "contents": ("film.mp4",)}, "takes photos"),
    ({"size": Size("long", 5)}, "too small"),
]


@pytest.mark.parametrize(("options", "says"), BAD)
def test_bad_input_is_one_line_and_nothing_is_written(options, says, folder):
    Path("empty").mkdir()
    Path("others").mkdir()
    for name in ("others/notes.txt", "text.png", "text.mp4"):
        Path(name).write_text("no picture")
    write_video("film.mp4", np.zeros((1, 32, 32, 3), np.uint8), 1.0)
    Image.new("RGB", (64, 64), "white").save("white.png")
    before = sorted(folder.rglob("*"))
    request = FastRequest(**{"contents": ("photo.png",), "style": "wave", **options})
    request = dataclasses.replace(request, style=[request.style], quiet=True)
    with pytest.raises(InputError, match=says) as raised:
        restyle_files.restyle_files(request)
    assert "\n" not in str(raised.value)
    assert sorted(folder.rglob("*")) == before
