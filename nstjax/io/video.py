"""Reading the frames of a video and writing frames as a video, with ffmpeg."""

import codecs
import contextlib
import itertools
import logging
import math
import os
import re
import subprocess
from collections.abc import Generator, Iterable
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nstjax.errors import InputError
from nstjax.io.atomic import atomic_path, check_writable
from nstjax.io.ffmpeg import complaint, failure, run_ffmpeg, running, url
from nstjax.io.images import MAX_PIXELS
from nstjax.io.paths import StrPath
from nstjax.io.stored import check_file

LOGGER = logging.getLogger("nstjax")

VIDEO_SUFFIX = ".mp4"
# Those of films: ffmpeg also reads pictures and lists of files to play.
CONTAINERS = (
    "apng,asf,av1,avi,dv,flv,gif,h264,hevc,ivf,m4v,matroska,mov,mpeg,mpegts,mpegvideo,"
    "mxf,nut,obu,ogg,rm,webp_anim,wtv,yuv4mpegpipe"
)

OPENED = "Input #0"
# MP4 also holds Opus, FLAC and PCM, but not every player plays them there.
MP4_AUDIO = {"aac", "ac3", "alac", "eac3", "mp3"}
# AAC lacks some layouts of channels.
CONVERSIONS = ["aac", "aac -ac 2"]

HDR = {"arib-std-b67", "smpte2084"}  # HLG and PQ
# White at 203 cd/m² stays white, and what is brighter, up to 1000, is compressed
# (ITU-R BT.2408).
TONE_MAPPING = (
    "format=gbrp16le,zscale=tin={transfer}:pin={primaries}:t=linear:npl=203:agamma=0,"
    "format=gbrpf32le,zscale=p=bt709,tonemap=mobius:param=0.7:peak=4.93:desat=0,"
    "zscale=t=iec61966-2-1"
)
# What is untagged and larger is of high definition, as players guess.
STANDARD_DEFINITION = 576


class VideoInfo(NamedTuple):
    """How a video is read: as players show it, upright and with square pixels."""

    width: int
    height: int
    fps: float
    frames: int  # estimated from the duration; 0 where that is unknown
    has_audio: bool  # sound that can be decoded
    color_matrix: str  # to RGB, as ffmpeg's filter scale takes it
    tone_mapping: str  # ffmpeg's filters for RGB of high dynamic range, or none


def is_video(path: StrPath) -> bool:
    """Whether ffmpeg takes a file for a video, by its content and not by its name."""
    with open(path, "rb") as file:
        start = file.read(4096)
    # Most files beside pictures are texts, which need no program to start.
    if b"\0" not in start:
        with contextlib.suppress(UnicodeDecodeError):
            codecs.getincrementaldecoder("utf-8")().decode(start)
            return False
    return OPENED in _ffmpeg(path)[0]


def probe(path: StrPath) -> VideoInfo:
    """Decode the first frame of a video, to learn how all are read."""
    first_frame = "-map 0:V:0 -vf fps=source_fps,showinfo -frames:v 1 -f framecrc -"
    said, checksums = _describe(path, first_frame)
    header = dict(re.findall(r"^#(\w+) 0: (\S+)$", checksums, re.MULTILINE))
    if not re.search("^0,", checksums, re.MULTILINE):
        if "exceeds specified max pixel count" in said:
            raise _too_large(path)
        raise InputError(
            f"{path} has no video frames that ffmpeg can decode: give another file"
        )
    width, height = map(int, header["dimensions"].split("x"))
    # Zero stands for an unknown shape of the pixels.
    width = max(1, round(width * (Fraction(header["sar"]) or 1)))
    if width * height > MAX_PIXELS:
        raise _too_large(path)
    fps = float(1 / Fraction(header["tb"]))
    duration = re.search(r"Duration: (\d+):(\d+):([\d.]+)", said)
    hours, minutes, seconds = map(float, duration.groups() if duration else (0, 0, 0))
    frames = round((hours * 3600 + minutes * 60 + seconds) * fps)
    colors = _video_colors(said, height, width)
    return VideoInfo(width, height, fps, frames, _audio(said) is not None, *colors)


def read_frames(path: StrPath, info: VideoInfo) -> Generator[np.ndarray, None, None]:
    """Decode read-only frames, uint8 [height, width, 3], sRGB, at a constant rate.

    Where the video's own rate varies, or it starts later than the sound, frames are
    repeated or left out. What is left of a damaged video is read, with a warning.
    """
    # ffmpeg itself fills the time before a late first frame with it.
    filters = f"fps={info.fps},scale={info.width}:{info.height}"
    filters += f":in_color_matrix={info.color_matrix}"
    if info.tone_mapping and has_tone_mapping(path):
        LOGGER.info("%s is HDR: its colors are mapped to those of any screen", path)
        filters += f",{info.tone_mapping}"
    elif info.tone_mapping:
        lacks = "this ffmpeg has no filters zscale and tonemap"
        LOGGER.warning("%s is HDR and will look pale: %s", path, lacks)
    # The faster conversion to RGB is a level or two too dark.
    exact = "-sws_flags bicubic+accurate_rnd+full_chroma_int"
    output = f"-map 0:V:0 -vf {filters} {exact} -pix_fmt rgb24 -f rawvideo -"
    arguments = ["-i", url(path), *output.split()]
    shape = (info.height, info.width, 3)
    size = math.prod(shape)
    count = 0
    with running(path, arguments, stdout=subprocess.PIPE) as (process, messages):
        assert process.stdout
        while len(pixels := process.stdout.read(size)) == size:
            count += 1
            yield np.frombuffer(pixels, np.uint8).reshape(shape)
        process.wait()
        said = complaint(messages)
    if process.returncode or said:
        LOGGER.warning(
            "%s seems damaged: read %d of about %d frames (ffmpeg says: %s)",
            *(path, count, info.frames, said),
        )


def write_video(
    path: StrPath,
    frames: Iterable[np.ndarray],
    fps: float,
    *,
    audio_from: StrPath | None = None,
) -> None:
    """Write an MP4 whole or not at all: H.264 in 4:2:0, as browsers play it.

    The last row or column is repeated where the size is odd.

    Args:
      path: where to, with the suffix .mp4.
      frames: uint8 [height, width, 3], sRGB, all of one size.
      fps: frames a second.
      audio_from: a video whose sound, if it has any, is copied; as AAC where MP4 or
        players would not take it, and left out with a note where that fails, too.
    """
    check_video_output(path)
    if not 0 < fps < float("inf"):
        raise InputError(f"a video of {fps:g} frames a second: give a positive number")
    sound = [] if audio_from is None else _sound(audio_from)
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise InputError(f"{path} is not written: there are no frames")
    height, width, _ = _even(first).shape
    source = f"-f rawvideo -pix_fmt rgb24 -s {width}x{height} -r {fps} -i -"
    # Players guess a color matrix that is not said by the size of the video.
    coding = (
        "-c:v libx264 -crf 16 -pix_fmt yuv420p -movflags +faststart "
        "-vf scale=out_color_matrix=bt709 -colorspace bt709"
    )
    arguments = [*source.split(), *sound, *coding.split()]
    with atomic_path(path) as temporary:
        arguments.append(str(temporary))
        with running(path, arguments, stdin=subprocess.PIPE) as (process, messages):
            assert process.stdin
            # A broken pipe is an ffmpeg that has failed, and says why below.
            with contextlib.suppress(BrokenPipeError):
                for frame in itertools.chain([first], frames):
                    if frame.shape != first.shape or frame.dtype != np.uint8:
                        raise InputError(
                            f"{path} is not written: a frame is {frame.dtype} "
                            f"{frame.shape}, expected uint8 {first.shape}"
                        )
                    process.stdin.write(_even(frame).tobytes())
                process.stdin.close()
            process.wait()
            if process.returncode:
                raise failure(path, process.returncode, messages)


def check_video_output(path: StrPath) -> None:
    """Check that a video can be written, before the work that makes it."""
    if Path(path).suffix.lower() != VIDEO_SUFFIX:
        raise InputError(
            f"{path} has no suffix of a video to write: end it with {VIDEO_SUFFIX}"
        )
    check_writable(path)


def _describe(path: StrPath, output: str = "") -> tuple[str, str]:
    """What ffmpeg says of a file, and what it writes to standard output."""
    check_file(path, "give the path of one video")
    said, written = _ffmpeg(path, output)
    if OPENED not in said:
        reason = said.strip().rpartition(": ")[2] or "ffmpeg crashed"
        raise InputError(
            f"{path} is not a video that ffmpeg can read ({reason}): "
            "get a complete copy, or convert it to MP4"
        )
    return said, written


def _ffmpeg(path: StrPath, output: str = "") -> tuple[str, str]:
    limits = f"-max_pixels {MAX_PIXELS} -format_whitelist {CONTAINERS}"
    return run_ffmpeg(path, *limits.split(), "-i", url(path), *output.split())


def _video_colors(said: str, height: int, width: int) -> tuple[str, str]:
    """Color matrix and tone mapping, by what ffmpeg's filter showinfo says."""
    tags = dict.fromkeys(("space", "primaries", "trc"), "unknown")
    tags |= re.findall(r"\bcolor_(space|primaries|trc):(\S+)", said)
    untagged = tags["space"] == "unknown"
    if tags["trc"] in HDR:
        primaries = tags["primaries"].replace("unknown", "bt2020")
        mapping = TONE_MAPPING.format(transfer=tags["trc"], primaries=primaries)
        return "bt2020" if untagged else "auto", mapping
    # ffmpeg itself takes all that is untagged for standard definition.
    guessed = untagged and min(height, width) > STANDARD_DEFINITION
    return "bt709" if guessed else "auto", ""


def has_tone_mapping(path: StrPath) -> bool:
    """Whether the ffmpeg for a path, which may be anybody's, has the filters."""
    filters = run_ffmpeg(path, "-filters")[1]
    return all(f" {name} " in filters for name in ("zscale", "tonemap"))


def _audio(said: str) -> tuple[str, str] | None:
    """Index and codec of the first audio stream that ffmpeg can decode."""
    stream = r"^ *Stream #0:(\d+)\S*: Audio: (?!none)(\w+)"
    found = re.search(stream, said, re.MULTILINE)
    return (found[1], found[2]) if found else None


def _sound(path: StrPath) -> list[str]:
    """The arguments that add the sound of a video to the frames."""
    audio = _audio(_describe(path)[0])
    if audio is None:
        return []
    stream, codec = audio
    codings = ["copy"] * (codec in MP4_AUDIO) + CONVERSIONS
    # Alone and to nowhere first: where it fails it would cost all the frames.
    for coding in codings:
        chosen = f":{stream} -c:a {coding}"
        trial = ["-i", url(path), *f"-map 0{chosen} -f mp4 -y {os.devnull}".split()]
        with running(path, trial) as (process, messages):
            if process.wait() == 0:
                return ["-i", url(path), *f"-map 0:v -map 1{chosen}".split()]
            said = complaint(messages)
    silent = "%s has sound that ffmpeg cannot convert: the result is silent "
    LOGGER.warning(silent + "(ffmpeg says: %s)", path, said)
    return []


def _even(frame: np.ndarray) -> np.ndarray:
    return np.pad(frame, [(0, side % 2) for side in frame.shape[:2]] + [(0, 0)], "edge")


def _too_large(path: StrPath) -> InputError:
    return InputError(
        f"{path} has frames of more than {MAX_PIXELS // 10**6} million pixels: "
        "make it smaller"
    )
