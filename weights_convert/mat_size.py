"""What a MATLAB 5 file would take in memory, counted before SciPy reads it.

A few bytes of a compressed file can stand for gigabytes, and an array's elements can be
larger in memory than in the file.

Source: MathWorks, "MAT-File Format", level 5.
"""

import io
import math
import struct
import zlib
from collections.abc import Container
from typing import BinaryIO

MATRIX, COMPRESSED = 14, 15
# Bytes of a number of each class; a letter, or a part of a cell or struct, takes eight.
CLASS_BYTES = {7: 4, 8: 1, 9: 1, 10: 2, 11: 2, 12: 4, 13: 4}
MOST_BYTES = 3 * 2**28  # VGG-19 has 575 MB
# What each array takes however small it is, generously: to have few of them.
ARRAY_BYTES = 4096
DEEPEST = 16
# Deflate makes at most a thousandfold of them.
PIECE_BYTES = 2**14


def check_mat(path: str, names: Container[str]) -> None:
    """Raise ``ValueError`` where reading variables takes more memory than any VGG.

    Or where arrays lie deep in one another, or it is no MATLAB 5 file.
    """
    with open(path, "rb") as file:
        order = {b"IM": "<", b"MI": ">"}.get(file.read(128)[126:])
        if order is None:
            raise ValueError("its header is another format's")
        total = 0
        while (tag := file.read(8)) and total <= MOST_BYTES:
            kind, count = struct.unpack(f"{order}II", tag)
            end = file.tell() + count
            variable = _Variable(file, count, order, packed=kind == COMPRESSED)
            if kind == COMPRESSED:
                kind, count = variable.numbers("II", variable.read(8))
            if kind == MATRIX:
                total += variable.matrix(count, names)
            file.seek(end)
    if total > MOST_BYTES:
        raise ValueError(f"its arrays would take more than {MOST_BYTES >> 20} MiB")


class _Variable:
    """Inflates a variable a piece at a time, and counts what it takes in memory."""

    def __init__(self, file: BinaryIO, left: int, order: str, packed: bool):
        self._file, self._left, self._order = file, left, order
        self._inflate = zlib.decompressobj().decompress if packed else bytes
        self._found, self._passed, self._total = io.BytesIO(), 0, 0

    def matrix(self, left: int, names: Container[str], depth: int = 0) -> int:
        """Bytes of an array and what is in it; stops beyond the limit."""
        if depth > DEEPEST:
            raise ValueError(f"arrays more than {DEEPEST} deep in one another")
        flags, left = self._data(left)
        shape, left = self._data(left)
        name, left = self._data(left)
        if depth == 0 and name.decode("latin1") not in names:
            return 0
        sides = self.numbers(f"{len(shape) // 4}i", shape)
        (kind,) = self.numbers("I", flags[:4])
        self._total += ARRAY_BYTES
        self._total += math.prod(map(abs, sides)) * CLASS_BYTES.get(kind & 0xFF, 8)
        while left > 0 and self._total <= MOST_BYTES:
            kind, small, count = self._tag()
            left -= 8 if small else 8 + count + -count % 8
            if kind == MATRIX:
                self.matrix(count, names, depth + 1)
            elif not small:
                for start in range(0, count + -count % 8, PIECE_BYTES):
                    self.read(min(PIECE_BYTES, count + -count % 8 - start))
        return self._total

    def numbers(self, kinds: str, data: bytes) -> tuple[int, ...]:
        """Numbers in the file's order of bytes, by the letters of ``struct``."""
        return struct.unpack(f"{self._order}{kinds}", data)

    def read(self, count: int) -> bytes:
        """The next bytes, if they are there and no more than is allowed."""
        self._passed += count
        if self._passed > MOST_BYTES:
            raise ValueError(f"a variable has more than {MOST_BYTES >> 20} MiB")
        data = self._found.read(count)
        while len(data) < count:
            piece = self._file.read(min(PIECE_BYTES, self._left))
            if not piece:
                raise ValueError("it is cut short")
            self._left -= len(piece)
            self._found = io.BytesIO(self._inflate(piece))
            data += self._found.read(count - len(data))
        return data

    def _tag(self) -> tuple[int, bytes, int]:
        """Kind, the data where they are in the tag itself, and how many bytes."""
        tag = self.read(8)
        first, count = self.numbers("II", tag)
        if first >> 16:
            return first & 0xFFFF, tag[4 : 4 + (first >> 16)] or b"\0", first >> 16
        return first, b"", count

    def _data(self, left: int) -> tuple[bytes, int]:
        """A small element's bytes, and what is left of the array after it."""
        _, small, count = self._tag()
        if small:
            return small, left - 8
        if count > PIECE_BYTES:
            raise ValueError(f"an array's description of {count} bytes")
        data = self.read(count + -count % 8)
        return data[:count], left - 8 - len(data)
