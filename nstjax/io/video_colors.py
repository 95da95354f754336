"""How the colors of a video become sRGB: its tags, and ffmpeg's filters for them."""

import os
import re
from typing import NamedTuple

from nstjax.io.ffmpeg import run_ffmpeg

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
    tags = dict.fromkeys(("space", "primaries", "trc"), "unknown")
    tags |= re.findall(r"\bcolor_(space|primaries|trc):(\S+)", said)
    untagged = tags["space"] == "unknown"
    if tags["trc"] in HDR:
        primaries = tags["primaries"].replace("unknown", "bt2020")
        mapping = TONE_MAPPING.format(transfer=tags["trc"], primaries=primaries)
        return VideoColors("bt2020" if untagged else "auto", mapping)
    # ffmpeg itself takes all that is untagged for standard definition.
    guessed = untagged and min(height, width) > STANDARD_DEFINITION
    return VideoColors("bt709" if guessed else "auto")


def has_tone_mapping(path: str | os.PathLike[str]) -> bool:
    """Whether the ffmpeg for a path, which may be anybody's, has the filters."""
    filters = run_ffmpeg(path, "-filters")[1]
    return all(f" {name} " in filters for name in ("zscale", "tonemap"))
