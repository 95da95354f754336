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
PIECE_BYTES = 2**16


def check_mat(path: str, names: Container[str]) -> None:
    """Raise ``ValueError`` where reading variables takes more memory than any VGG.

    Or where arrays lie deep in one another, or it is no MATLAB 5 file.
    """
    with open(path, "rb") as file:
        order = {b"IM": "<", b"MI": ">"}.get(file.read(128)[126:])
        if order is None:
            raise ValueError("its header is another format's")
        total = 0
        while tag := file.read(8):
            kind, count = struct.unpack(f"{order}II", tag)
            end = file.tell() + count
            stream: BinaryIO = file
            if kind == COMPRESSED:
                stream = io.BufferedReader(_Inflated(file, count))
                kind, count = struct.unpack(f"{order}II", stream.read(8))
            if kind == MATRIX:
                total += _Walk(stream, order, names).matrix(count, 0)
            if total > MOST_BYTES:
                break
            file.seek(end)
    if total > MOST_BYTES:
        raise ValueError(f"its arrays would take more than {MOST_BYTES >> 20} MiB")


class _Inflated(io.RawIOBase):
    """The bytes of a compressed element, a piece at a time."""

    def __init__(self, file: BinaryIO, count: int):
        self._file, self._left = file, count
        self._stream = zlib.decompressobj()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        pieces = self._stream.unconsumed_tail
        while not self._stream.eof:
            if not pieces:
                pieces = self._file.read(min(PIECE_BYTES, self._left))
                self._left -= len(pieces)
            if not pieces:
                break
            found = self._stream.decompress(pieces, len(buffer))
            pieces = self._stream.unconsumed_tail
            if found:
                buffer[: len(found)] = found
                return len(found)
        return 0


class _Walk:
    """Goes through the elements of one variable, and counts."""

    def __init__(self, stream: BinaryIO, order: str, names: Container[str]):
        self._stream, self._order, self._names = stream, order, names
        self._total = self._passed = 0

    def matrix(self, count: int, depth: int) -> int:
        """Bytes of an array and what is in it; stops beyond the limit."""
        if depth > DEEPEST:
            raise ValueError(f"arrays more than {DEEPEST} deep in one another")
        flags, left = self._data(count)
        shape, left = self._data(left)
        name, left = self._data(left)
        if depth == 0 and name.decode("latin1") not in self._names:
            return 0
        sides = struct.unpack(f"{self._order}{len(shape) // 4}i", shape)
        kind = struct.unpack(f"{self._order}I", flags[:4])[0] & 0xFF
        self._total += ARRAY_BYTES + math.prod(map(abs, sides)) * CLASS_BYTES.get(
            kind, 8
        )
        while left > 0 and self._total <= MOST_BYTES:
            kind, small, count = self._tag()
            left -= 8 if small else 8 + count + -count % 8
            if kind == MATRIX:
                self.matrix(count, depth + 1)
            elif not small:
                self._skip(count + -count % 8)
        return self._total

    def _tag(self) -> tuple[int, bytes, int]:
        """Kind, the data where they are in the tag itself, and how many bytes."""
        tag = self._stream.read(8)
        first, count = struct.unpack(f"{self._order}II", tag)
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
        data = self._stream.read(count + -count % 8)
        return data[:count], left - 8 - len(data)

    def _skip(self, count: int) -> None:
        self._passed += count
        if self._passed > MOST_BYTES:
            raise ValueError(f"a variable has more than {MOST_BYTES >> 20} MiB")
        while count > 0:
            piece = self._stream.read(min(PIECE_BYTES, count))
            if not piece:
                raise ValueError("it is cut short")
            count -= len(piece)
