"""Videos: frames against the ones that were written, sound against its source."""

import errno
import io
import math
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from film_files import ffmpeg, lavfi

from nstjax.errors import EncodingError, InputError
from nstjax.io import ffmpeg as ffmpeg_program
from nstjax.io import video
from nstjax.io.ffmpeg import run_ffmpeg
from nstjax.io.video import probe, read_frames, write_video

TONE = "aevalsrc=gt(t\\,0.5)*sin(6000*t):s=44100:d=1"


def smooth(count, height=24, width=32):
    """Frames that H.264 keeps well, bluish, each of another shade, none symmetric."""
    rows, columns = np.mgrid[:height, :width]
    ramps = [60 * rows / height, 60 * columns / width, 0 * rows + 80]
    shades = np.arange(count) * 150 / max(1, count - 1)
    return np.uint8(20 + np.stack(ramps, axis=2) + shades[:, None, None, None])


def noise(count, size=32):
    """Frames that make large files."""
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)


def read(path):
    """All frames of a video."""
    return np.stack(list(read_frames(path, probe(path))))


def sound(path):
    """The sound of a video from its beginning, mono at 44.1 kHz."""
    output = "-map 0:a -af aresample=async=1:first_pts=0 -ac 1 -ar 44100 -f f32le -"
    return np.frombuffer(ffmpeg("-i", path, *output.split()), np.float32)


@pytest.mark.parametrize(
    ("height", "width", "fps"), [(24, 32, 30000 / 1001), (25, 31, 10)]
)
def test_frames_come_back(height, width, fps, tmp_path):
    path = tmp_path / "video.mp4"
    frames = smooth(10, height, width)
    write_video(path, iter(frames), fps)
    info = probe(path)
    assert info[:5] == (width + width % 2, height + height % 2, fps, 10, False)
    back = read(path)
    assert back.dtype == np.uint8
    assert back.shape == (10, info.height, info.width, 3)
    odd = [(0, 0), (0, height % 2), (0, width % 2), (0, 0)]
    error = np.float32(back) - np.pad(frames, odd, mode="edge")
    assert abs(error).mean() < 1.2
    assert abs(error.mean((0, 1, 2))).max() < 0.6


def test_sound_is_copied(tmp_path):
    source, path = tmp_path / "source.mp4", tmp_path / "video.mp4"
    lavfi("testsrc=s=32x24:r=10:d=1", "-f", "lavfi", "-i", TONE, source)
    assert probe(source).has_audio
    write_video(path, smooth(10), 10, audio_from=source)
    assert probe(path)[:5] == (32, 24, 10, 10, True)
    packets = [
        ffmpeg("-i", name, "-map", "0:a", "-c", "copy", "-f", "md5", "-")
        for name in (source, path)
    ]
    assert packets[0] == packets[1]


def test_sound_that_few_players_know_becomes_aac(tmp_path):
    source, path = tmp_path / "source.mkv", tmp_path / "video.mp4"
    lavfi(TONE, "-c:a", "flac", source)
    write_video(path, smooth(10), 10, audio_from=source)
    assert "Audio: aac" in run_ffmpeg(path, "-i", str(path))[0]
    heard, expected = sound(path), sound(source)
    assert len(heard) == pytest.approx(44100, abs=2048)
    error = heard[:44000] - expected[:44000]
    assert np.sqrt(np.mean(error**2)) < 0.1 * np.sqrt(np.mean(expected**2))


def test_a_source_without_sound_gives_none(tmp_path):
    silent, unknown, path = (tmp_path / f"{name}.mkv" for name in ("a", "b", "c"))
    path = path.with_suffix(".mp4")
    lavfi("testsrc=s=32x24:d=0.2", silent)
    lavfi(TONE, "-c:a", "aac", unknown)
    # A codec that nobody knows.
    unknown.write_bytes(unknown.read_bytes().replace(b"A_AAC", b"A_ZZZ"))
    for source in (silent, unknown):
        write_video(path, smooth(2), 10, audio_from=source)
        assert not probe(path).has_audio


@pytest.mark.parametrize(
    ("suffix", "tone", "coding", "kept"),
    [
        # MP4 has no such MP3, and AAC no such channels.
        ("avi", "sine=d=0.2:r=8000", "libmp3lame -ar 8000", True),
        ("mov", "aevalsrc=0|0|0|0|0|0|0|0|0|0:d=0.2", "pcm_s16le", True),
        ("mov", "sine=d=0.2", "pcm_s16le", False),
    ],
)
def test_sound_costs_no_video(
    suffix, tone, coding, kept, tmp_path, monkeypatch, caplog
):
    source, path = tmp_path / f"source.{suffix}", tmp_path / "video.mp4"
    lavfi(tone, "-c:a", *coding.split(), source)
    if not kept:
        monkeypatch.setattr(video, "CONVERSIONS", ["nothing"])
    write_video(path, smooth(2), 10, audio_from=source)
    assert (probe(path).has_audio, len(caplog.messages)) == (kept, not kept)


@pytest.mark.parametrize("late", ["pictures", "sound"])
def test_pictures_keep_step_with_the_sound(late, tmp_path):
    flash = np.zeros((20, 24, 32, 3), np.uint8)
    flash[10] = 255
    write_video(tmp_path / "flash.mp4", flash, 20)
    lavfi(TONE, tmp_path / "tone.wav")
    source, path = tmp_path / "source.mkv", tmp_path / "video.mp4"
    offsets = ["-itsoffset", "0.25"], ["-itsoffset", "0"]
    pictures, tone = offsets if late == "pictures" else offsets[::-1]
    inputs = *pictures, "-i", tmp_path / "flash.mp4", *tone, "-i", tmp_path / "tone.wav"
    ffmpeg(*inputs, "-c:v", "copy", source)
    write_video(path, read(source), probe(source).fps, audio_from=source)
    seen = read(path).mean((1, 2, 3)).argmax() / 20
    heard = np.argmax(abs(sound(path)) > 0.5) / 44100
    assert seen == pytest.approx(0.75 if late == "pictures" else 0.5)
    assert heard == pytest.approx(0.5 if late == "pictures" else 0.75, abs=0.02)


def test_a_varying_rate_is_read_at_a_constant_one(tmp_path):
    frames = smooth(30)
    write_video(tmp_path / "constant.mp4", frames, 10)
    kept = [0, 5, 7, 10, 14, 15, 20, 21, 25, 28]
    chosen = "select=" + "+".join(f"eq(n\\,{index})" for index in kept)
    path = tmp_path / "varying.mkv"
    ffmpeg("-i", tmp_path / "constant.mp4", "-vf", chosen, "-fps_mode", "vfr", path)
    assert probe(path).fps == 10
    back = read(path)
    assert len(back) == 29
    expected = [frames[max(k for k in kept if k <= index)] for index in range(29)]
    np.testing.assert_allclose(
        back.mean((1, 2)), np.mean(expected, axis=(1, 2)), atol=2.5
    )


def test_a_turned_video_is_read_upright(tmp_path):
    frames = smooth(3)
    write_video(tmp_path / "lying.mp4", frames, 10)
    path = tmp_path / "upright.mp4"
    ffmpeg("-display_rotation", 90, "-i", tmp_path / "lying.mp4", "-c", "copy", path)
    assert probe(path)[:2] == (24, 32)
    upright = np.rot90(frames, axes=(1, 2))
    assert abs(np.float32(read(path)) - upright).mean() < 2


def test_pixels_become_square(tmp_path):
    lavfi("testsrc=s=32x24:d=0.2,setsar=4/3", tmp_path / "wide.mp4")
    assert read(tmp_path / "wide.mp4").shape == (5, 24, 43, 3)


def test_the_first_of_several_videos_is_read(tmp_path):
    chosen = "-f lavfi -i color=red:s=64x48:d=1 -map 0 -map 1 -disposition:0 0"
    chosen += " -disposition:1 default"
    lavfi("color=gray:s=32x24:d=1", *chosen.split(), tmp_path / "video.mp4")
    assert np.ptp(read(tmp_path / "video.mp4")) < 8


def test_a_size_that_changes_midway(tmp_path):
    sources = [f"color=gray:s={size}:r=25:d=0.4" for size in ("32x24", "48x40")]
    path = tmp_path / "changing.h264"
    path.write_bytes(b"".join(lavfi(each, "-f", "h264", "-") for each in sources))
    back = read(path)
    assert len(back) == pytest.approx(20, abs=1)
    assert back.shape[1:] == (24, 32, 3)
    assert np.ptp(back) < 8


def test_a_video_cut_short_is_read_as_far_as_it_goes(tmp_path, caplog):
    frames = noise(20)
    write_video(tmp_path / "whole.mp4", frames, 10)
    path = tmp_path / "cut.mkv"
    ffmpeg("-i", tmp_path / "whole.mp4", "-c", "copy", path)
    read(path)
    assert not caplog.messages
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    count = len(read(path))
    assert 5 < count < 15
    (message,) = caplog.messages
    assert f"cut.mkv seems damaged: read {count} of about 20 frames" in message


def test_what_is_left_or_interrupted_ends_its_process(tmp_path, monkeypatch):
    started, popen = [], subprocess.Popen

    def start(*arguments, **options):
        started.append(popen(*arguments, **options))
        return started[-1]

    def interrupted():
        yield from noise(5)
        raise KeyboardInterrupt

    path = tmp_path / "video.mp4"
    write_video(path, noise(50), 10)
    monkeypatch.setattr(subprocess, "Popen", start)
    frames = read_frames(path, probe(path))
    next(frames)
    assert started[-1].returncode is None
    frames.close()
    assert started[-1].returncode == -signal.SIGKILL
    with pytest.raises(KeyboardInterrupt):
        write_video(tmp_path / "other.mp4", interrupted(), 10)
    assert started[-1].returncode == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("status", "said", "kind"),
    [
        (1, b"[mp4] av_write_frame(): No space left on device", OSError),
        (256 - errno.ENOSPC, b"", OSError),
        (234, b"Invalid argument", EncodingError),
        (-9, b"", EncodingError),
    ],
)
def test_a_full_disk_is_told_from_other_failures(status, said, kind):
    error = ffmpeg_program.failure("out.mp4", status, io.BytesIO(said))
    assert type(error) is kind
    assert (error.errno == errno.ENOSPC) == (kind is OSError)


def test_a_failing_ffmpeg_is_an_error_with_its_reason(tmp_path):
    # H.264 has no frames of this width.
    frames = np.zeros((40, 2, 20000, 3), np.uint8)
    match = r"video\.mp4 cannot be written: [^\n]+width[^\n]*$"
    with pytest.raises(EncodingError, match=match):
        write_video(tmp_path / "video.mp4", frames, 10)
    assert list(tmp_path.iterdir()) == []


def test_names_that_ffmpeg_would_take_for_something_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_video("-vn.mp4", smooth(2), 10)
    write_video("http:video %d.mp4", read("-vn.mp4"), 10, audio_from="-vn.mp4")
    assert len(read("http:video %d.mp4")) == 2


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("text.mp4", r"is not a video that ffmpeg can read \(Invalid data"),
        ("empty.mp4", "is not a video that ffmpeg can read"),
        ("folder.mp4", "is a folder: give the path of one video"),
        ("nowhere.mp4", "does not exist"),
    ],
)
def test_files_that_are_no_videos(name, says, tmp_path):
    (tmp_path / "text.mp4").write_text("Once upon a time")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(InputError, match=rf"{name} {says}[^\n]*$"):
        probe(tmp_path / name)
    with pytest.raises(InputError, match=says):
        write_video(tmp_path / "o.mp4", smooth(1), 1, audio_from=tmp_path / name)
    assert not (tmp_path / "o.mp4").exists()


def test_videos_without_frames_or_an_ffmpeg_that_reads_them(tmp_path, monkeypatch):
    lavfi(TONE, tmp_path / "sound.mp4")
    lavfi("testsrc=s=32x24:d=1", "-frames:v", 0, tmp_path / "none.mp4")
    for name in ("sound.mp4", "none.mp4"):
        with pytest.raises(InputError, match=rf"{name} has no video frames"):
            probe(tmp_path / name)
    program = shutil.which("false")
    monkeypatch.setattr(ffmpeg_program, "find_ffmpeg", lambda path: program)
    with pytest.raises(InputError, match=r"ffmpeg can read \(ffmpeg crashed\)"):
        probe(tmp_path / "none.mp4")


def test_frames_that_are_too_large(tmp_path, monkeypatch):
    lavfi("testsrc=s=32x24:d=0.1", tmp_path / "large.mp4")
    lavfi("testsrc=s=32x24:d=0.1,setsar=8", tmp_path / "wide.mp4")
    # Decoders add a margin.
    for name, most in {"large.mp4": 32 * 24 - 1, "wide.mp4": 64 * 64}.items():
        monkeypatch.setattr(video, "MAX_PIXELS", most)
        with pytest.raises(InputError, match=rf"{name} has frames of more than"):
            probe(tmp_path / name)


def test_without_the_extra(tmp_path, monkeypatch):
    path = tmp_path / "video.mp4"
    path.touch()
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    install = r"video\.mp4 needs imageio-ffmpeg: pip install 'nstjax\[video\]'"
    for use in (probe, lambda path: write_video(path, smooth(1), 10)):
        with pytest.raises(InputError, match=install):
            use(path)


@pytest.mark.parametrize(
    ("name", "frames", "match"),
    [
        ("video.avi", smooth(1), r"end it with \.mp4"),
        ("nowhere/video.mp4", smooth(1), "create the folder"),
        ("video.mp4", smooth(0), "there are no frames"),
        ("video.mp4", [*smooth(1), *smooth(1, 26)], r"uint8 \(26, 32, 3\)"),
        ("video.mp4", [np.zeros((24, 32, 3))], "float64"),
    ],
)
def test_what_cannot_be_written(name, frames, match, tmp_path):
    with pytest.raises(InputError, match=match):
        write_video(tmp_path / name, frames, 10)
    for fps in (0, math.nan, math.inf):
        with pytest.raises(InputError, match="give a positive number"):
            write_video(tmp_path / "video.mp4", frames, fps)
    assert list(tmp_path.iterdir()) == []
