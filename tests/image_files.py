"""Pictures to write, and how a bad one is refused."""

import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from nstjax.errors import InputError
from nstjax.io.images import read_image

NOISE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def smooth(height=24, width=36):
    y, x = np.mgrid[:height, :width]
    return np.stack(
        [y / (height - 1), x / (width - 1), (y + x) / (height + width - 2)], axis=-1
    ).astype(np.float32)


def refused(source):
    with pytest.raises(InputError) as caught:
        read_image(source)
    message = str(caught.value)
    assert "\n" not in message
    if not isinstance(source, (np.ndarray, Image.Image)):
        assert str(source) in message
    return message


def png(width, height, depth, color, data, transparent=b""):
    def chunk(kind, body):
        checksum = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + checksum

    start = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    start += chunk(b"IHDR", header)
    if transparent:
        start += chunk(b"tRNS", transparent)
    return start + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def save_raw(path):
    """A DNG of a ramp, with a black thumbnail first."""
    ramp = np.tile(np.arange(96, dtype=np.uint16) * 680, (64, 1))
    with tifffile.TiffWriter(path) as writer:
        version = (50706, "B", 4, (1, 4, 0, 0), True)
        writer.write(
            np.zeros((16, 24, 3), np.uint8),
            photometric="rgb",
            subifds=1,
            subfiletype=1,
            extratags=[version, (50708, "s", 5, "test", True)],
        )
        pattern = [(33421, "H", 2, (2, 2), True), (33422, "B", 4, (0, 1, 1, 2), True)]
        writer.write(ramp, photometric="cfa", subfiletype=0, extratags=pattern)
