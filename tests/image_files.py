"""Pictures to write, and how a bad one is refused."""

import struct
import zlib

import numpy as np
import pytest
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

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + (chunk(b"tRNS", transparent) if transparent else b"")
        + chunk(b"IDAT", zlib.compress(data))
        + chunk(b"IEND", b"")
    )
