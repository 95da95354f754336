"""How the colors of a video become sRGB: its tags, and ffmpeg's filters for them."""

import re
import subprocess
from typing import NamedTuple

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


class VideoColors(NamedTuple):
    """How frames become sRGB.

    Attributes:
      matrix: from their colors to RGB, as ffmpeg's filter scale takes it.
      tone_mapping: ffmpeg's filters for RGB of high dynamic range; else empty.
    """

    matrix: str = "auto"
    tone_mapping: str = ""


def video_colors(said: str, height: int, width: int) -> VideoColors:
    """The colors of a video, by what ffmpeg's filter showinfo says of a frame."""
    tags = dict(re.findall(r"\bcolor_(space|primaries|trc):(\S+)", said))
    matrix, primaries, transfer = (
        tags.get(name, "unknown") for name in ("space", "primaries", "trc")
    )
    if transfer in HDR:
        primaries = "bt2020" if primaries == "unknown" else primaries
        return VideoColors(
            "bt2020" if matrix == "unknown" else "auto",
            TONE_MAPPING.format(transfer=transfer, primaries=primaries),
        )
    # ffmpeg itself takes all that is untagged for standard definition.
    guessed = matrix == "unknown" and min(height, width) > STANDARD_DEFINITION
    return VideoColors("bt709" if guessed else "auto")


def has_tone_mapping(ffmpeg: str) -> bool:
    """Whether a build of ffmpeg, which may be anybody's, has the filters."""
    done = subprocess.run(
        [ffmpeg, "-hide_banner", "-filters"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        process_group=0,
    )
    return all(name in done.stdout for name in (b" zscale ", b" tonemap "))
