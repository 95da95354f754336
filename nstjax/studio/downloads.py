"""Results as files to take away: in another format, or all in one archive."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

from PIL import Image, PngImagePlugin

from nstjax.io.atomic import atomic_path


def converted(source: Path, name: str, command: str) -> bytes:
    """A picture in another format, with the command that makes it as metadata."""
    encoded = io.BytesIO()
    with Image.open(source) as image:
        if name == "PNG":
            info = PngImagePlugin.PngInfo()
            info.add_itxt("nstjax", command)
            image.save(encoded, name, pnginfo=info)
        else:
            exif = Image.Exif()
            exif[0x010E] = command.encode("ascii", "replace").decode()
            options = {"quality": 95, "subsampling": "4:4:4"} if name == "JPEG" else {}
            image.convert("RGB").save(encoded, name, exif=exif, **options)
    return encoded.getvalue()


def write_archive(path: Path, files: Mapping[str, Path]) -> None:
    """Write files, by their names in it, into one ZIP file, whole or not at all."""
    with (
        atomic_path(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive,
    ):
        for name, file in files.items():
            archive.write(file, name)
