"""What a file holds, told by its contents and not by its name, opened as a picture."""

import importlib
import logging
import re
from typing import IO, Any

from PIL import EpsImagePlugin, Image, ImageFile, JpegImagePlugin, TiffImagePlugin

from nstjax.errors import InputError

HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
# RAW files that are no TIFF, or one of their own kind: of Fujifilm, Panasonic, Olympus,
# Sigma, Minolta and Canon (CRW, CR2, CR3).
RAW_START = re.compile(
    rb"FUJIFILMCCD-RAW|IIU\0|IIR[OS]|MMOR|FOVb|\0MRM|.{6}HEAPCCDR"
    rb"|II\*\0\x10\0\0\0CR|.{4}ftypcrx ",
    re.DOTALL,
)
JPEG_START = b"\xff\xd8"
PHASE_ONE = b"IIII"
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Tags of a TIFF, and values of one.
NEW_SUBFILE_TYPE, SUB_IFDS, DNG_VERSION = 254, 330, 50706
COLOR_FILTER_ARRAY, LINEAR_RAW = 32803, 34892
# Pillow recognizes these but has nothing to read them with.
NOT_READ = ("MPEG", "WMF")

# What Pillow logs of broken files comes as an error, too.
logging.getLogger("PIL").addHandler(logging.NullHandler())


class RawImageFile(ImageFile.ImageFile):
    """A camera's RAW file as sRGB with 8 bits, in the camera's white balance."""

    format = "RAW"

    def _open(self) -> None:
        rawpy: Any = importlib.import_module("rawpy")
        self._raw = rawpy.imread(self.fp)
        size = self._raw.sizes.width, self._raw.sizes.height
        is_turned = self._raw.sizes.flip & 4
        self._size = size[::-1] if is_turned else size
        self._mode = "RGB"
        self._half_size = False

    def draft(self, mode: str | None, size: tuple[int, int] | None) -> None:
        """Develop at half the size if that is at least ``size``."""
        if size and size[0] <= self.width // 2 and size[1] <= self.height // 2:
            self._half_size = True
            self._size = -(-self.width // 2), -(-self.height // 2)

    def load(self) -> Any:
        """Develop the picture."""
        if self._im is None:
            with self._raw:
                pixels = self._raw.postprocess(
                    use_camera_wb=True, half_size=self._half_size, gamma=(2.4, 12.92)
                )
            self.im = Image.fromarray(pixels).im
            self._size = self.im.size
        return super().load()


def open_picture(file: IO[bytes], name: str) -> Image.Image:
    """Open a picture of any format, as far as its header; the file must stay open."""
    head = file.read(64)
    if _is_raw(head, file):
        _import_extra("rawpy", "raw", f"{name} is a camera's RAW file")
        file.seek(0)
        return RawImageFile(file)
    brands = head[8 : int.from_bytes(head[:4], "big")]
    if head[4:8] == b"ftyp" and HEIF_BRANDS & {
        brands[start : start + 4] for start in range(0, len(brands), 4)
    }:
        heif = _import_extra("pillow_heif", "heif", f"{name} is a HEIC picture")
        heif.register_heif_opener()
    file.seek(0)
    try:
        image = Image.open(file)
    except Image.DecompressionBombError:
        if not head.startswith(JPEG_START):
            raise
        # It can be decoded at a reduced size.
        file.seek(0)
        image = JpegImagePlugin.jpeg_factory(file)
    if isinstance(image, ImageFile.StubImageFile) or image.format in NOT_READ:
        raise Image.UnidentifiedImageError
    if image.format == "EPS" and not EpsImagePlugin.has_ghostscript():
        raise InputError(
            f"{name} is an EPS picture: reading it needs Ghostscript, which is not "
            "installed; install it, or convert the picture to PNG"
        )
    return image


def _is_raw(head: bytes, file: IO[bytes]) -> bool:
    """Whether Pillow would read a camera's thumbnail, or nothing."""
    if RAW_START.match(head):
        return True
    if head[:4] not in TIFF_STARTS:
        return False
    if head[8:12] == PHASE_ONE:
        return True
    try:
        tags = TiffImagePlugin.ImageFileDirectory_v2(head[: 16 if head[2] == 43 else 8])
        file.seek(tags.next)
        tags.load(file)
        is_reduced = bool(tags.get(NEW_SUBFILE_TYPE, 0) & 1)
        photometric = tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION)
    # A broken TIFF fails in many ways; Pillow tells which.
    except Exception:
        return False
    return (
        DNG_VERSION in tags
        or photometric in (COLOR_FILTER_ARRAY, LINEAR_RAW)
        # A thumbnail first and the picture behind it, as in NEF and ARW.
        or (is_reduced and SUB_IFDS in tags)
    )


def _import_extra(module: str, extra: str, what: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise InputError(
            f"{what}: reading it takes an extra package, pip install "
            f'"nstjax[{extra}]"; or convert it to PNG or JPEG'
        ) from None
