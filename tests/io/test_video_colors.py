"""Colors of videos: by the formulas of BT.2100, and tags of every kind."""

import numpy as np
import pytest
from film_files import ffmpeg, lavfi

from nstjax.io import video
from nstjax.io.video import probe, read_frames

# sRGB, of a brightness that tone mapping leaves alone.
COLORS = np.array([[190, 48, 64], [40, 120, 60], [60, 70, 190], [128, 128, 128]])
# From linear BT.709 to linear BT.2020, ITU-R BT.2087.
TO_2020 = np.array(
    [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]
)


def luminance(colors):
    """In cd/m², BT.2020, with white at 203."""
    s = colors / 255
    linear = np.where(s <= 0.04045, s / 12.92, ((s + 0.055) / 1.055) ** 2.4)
    return 203 * linear @ TO_2020.T


def pq(light):
    power = (light / 10000) ** (2610 / 16384)
    return ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (
        2523 / 32
    )


def hlg(light):
    """For a screen of 1000 cd/m²."""
    relative = light / 1000
    brightness = relative @ [0.2627, 0.6780, 0.0593]
    scene = relative * brightness[:, None] ** (1 / 1.2 - 1)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    with np.errstate(invalid="ignore"):
        bright = a * np.log(12 * scene - b) + c
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), bright)


def hdr_video(path, signal, transfer):
    """Stripes of colors, without loss."""
    stripes = np.repeat(signal, 16, axis=0)[None].repeat(32, axis=0)
    frames = np.rint(stripes * 65535).astype("<u2").tobytes()
    source = f"-f rawvideo -pix_fmt rgb48le -s {stripes.shape[1]}x32 -r 5 -i -"
    tags = f"setparams=color_primaries=bt2020:color_trc={transfer}"
    coding = f"-vf format=gbrp16le,{tags} -c:v ffv1"
    ffmpeg(*source.split(), *coding.split(), path, frames=frames)


def stripes_of(path):
    (frame, *_) = read_frames(path, probe(path))
    return frame[16, 8::16].astype(int)


@pytest.mark.parametrize(
    ("curve", "transfer"), [(pq, "smpte2084"), (hlg, "arib-std-b67")]
)
def test_high_dynamic_range_becomes_srgb(curve, transfer, tmp_path, caplog):
    caplog.set_level("INFO")
    hdr_video(tmp_path / "hdr.mkv", curve(luminance(COLORS)), transfer)
    assert abs(stripes_of(tmp_path / "hdr.mkv") - COLORS).max() <= 4
    assert "hdr.mkv is HDR: its colors are mapped" in caplog.messages[0]


def test_what_is_brighter_than_white_keeps_its_steps(tmp_path, monkeypatch, caplog):
    nits = np.repeat([[100.0], [203.0], [400.0], [600.0], [900.0]], 3, axis=1)
    hdr_video(tmp_path / "hdr.mkv", pq(nits), "smpte2084")
    levels = stripes_of(tmp_path / "hdr.mkv")[:, 1]
    assert (np.diff(levels) > 0).all()
    assert 230 <= levels[1] <= 245
    assert caplog.messages == []
    # An ffmpeg may have no filters for that.
    monkeypatch.setattr(video, "has_tone_mapping", lambda ffmpeg: False)
    assert (stripes_of(tmp_path / "hdr.mkv")[:, 1] < levels).all()
    assert "hdr.mkv is HDR and will look pale" in caplog.messages[0]


@pytest.mark.parametrize(
    ("matrix", "tag", "levels", "size"),
    [
        ("bt601", "smpte170m", "tv", "64x48"),
        ("bt709", "bt709", "tv", "64x48"),
        ("bt2020", "bt2020nc", "tv", "64x48"),
        ("bt709", "bt709", "pc", "64x48"),
        # Untagged: what players guess from the size.
        ("bt601", "unknown", "tv", "64x48"),
        ("bt709", "unknown", "tv", "800x640"),
    ],
)
def test_the_matrix_and_the_range_of_the_colors(matrix, tag, levels, size, tmp_path):
    scaled = f"scale={size}:out_color_matrix={matrix}:out_range={levels}"
    tagged = f"format=yuv420p,setparams=colorspace={tag}:range={levels}"
    source = "color=0xbe3040:s=64x48:r=5:d=0.2,format=gbrp"
    coding = "-c:v", "libx264", "-crf", "1", "-color_range", levels
    filters = "-vf", f"{scaled},{tagged}"
    path = tmp_path / "film.mp4"
    lavfi(source, *filters, *coding, path)
    (frame, *_) = read_frames(path, probe(path))
    assert abs(frame[24, 32].astype(int) - COLORS[0]).max() <= 3
