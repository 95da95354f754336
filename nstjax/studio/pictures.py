"""The pictures that were given to the studio: files named by what they hold."""

import dataclasses
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from nstjax.errors import InputError
from nstjax.io.atomic import write_atomically
from nstjax.io.stored import read_record

Kind = Literal["photo", "painting", "mask", "video"]
KINDS = get_args(Kind)
ID = re.compile(r"[0-9a-f]{20}")
LONGEST_NAME = 100
MISSING = "add the picture again"


class Picture(msgspec.Struct, frozen=True):
    """What is known of a picture; its size is that of the upright picture."""

    id: str
    kind: Kind
    name: str  # what its file was called, for people
    suffix: str  # of the stored file
    width: int
    height: int
    added: float  # seconds since 1970


@dataclasses.dataclass(frozen=True)
class Pictures:
    """The folder that holds them.

    A picture's id is the beginning of the SHA-256 of its bytes, and its files are named
    by it: what a browser calls a file never becomes a path.
    """

    folder: Path

    def __iter__(self) -> Iterator[Picture]:
        """All pictures, the oldest first."""
        keys = [path.stem for path in self.folder.glob("*.json")]
        found = [self[key] for key in keys if key in self]
        return iter(sorted(found, key=lambda picture: picture.added))

    def __getitem__(self, key: str) -> Picture:
        """The picture of an id; ``InputError`` for one that is not there."""
        record = self._path(key, ".json")
        if not record.exists():
            raise InputError(f"there is no picture {key}: {MISSING}")
        try:
            data = read_record(record, dict[str, Any], MISSING)
            return msgspec.convert(data, Picture)
        except msgspec.ValidationError as error:
            raise InputError(f"{record} is damaged ({error}): {MISSING}") from None

    def __contains__(self, key: str) -> bool:
        try:
            return bool(self[key])
        except InputError:
            return False

    def original(self, picture: Picture) -> Path:
        """The file as it was given."""
        return self._path(picture.id, picture.suffix)

    def view(self, picture: Picture) -> Path:
        """What the page shows of it, a JPEG of 2048 pixels at most."""
        return self._path(picture.id, ".view.jpg")

    def thumbnail(self, picture: Picture) -> Path:
        """The same, small."""
        return self._path(picture.id, ".thumbnail.jpg")

    def new_upload(self) -> Path:
        """A file that somebody's bytes can be written to."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / f"upload-{secrets.token_hex(8)}.part"

    def keep(self, upload: Path, picture: Picture) -> None:
        """Keep an uploaded file, whose view and thumbnail are there already."""
        os.replace(upload, self.original(picture))
        record = json.dumps(msgspec.to_builtins(picture), indent=2) + "\n"
        write_atomically(self._path(picture.id, ".json"), record)

    def remove(self, picture: Picture) -> None:
        """Remove a picture and what was made to show it."""
        # Its record first: without one it is not there any more.
        for path in (
            self._path(picture.id, ".json"),
            self.original(picture),
            self.view(picture),
            self.thumbnail(picture),
        ):
            path.unlink(missing_ok=True)

    def remove_unfinished(self) -> None:
        """Remove what uploads that never ended have left."""
        for path in self.folder.glob("upload-*.part"):
            path.unlink(missing_ok=True)

    def _path(self, key: str, suffix: str) -> Path:
        if not ID.fullmatch(key):
            raise InputError(f"{key[:40]!r} is no picture's id: {MISSING}")
        return self.folder / f"{key}{suffix}"


def id_of(path: Path, kind: str) -> str:
    """A picture's id: one file may be a photo and a painting, too."""
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(kind.encode())
    return digest.hexdigest()[:20]


def shown_name(name: str) -> str:
    """A file's name without what would not print, for people only."""
    name = "".join(character for character in name if character.isprintable())
    return re.split(r"[/\\]", name)[-1][:LONGEST_NAME] or "picture"
