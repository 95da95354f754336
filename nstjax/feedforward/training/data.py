"""Pictures to train feed-forward networks on: shuffled, cropped, in endless batches."""

import dataclasses
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec
import numpy as np

from nstjax.errors import InputError
from nstjax.images.resizing import resize
from nstjax.io.contents import files_below
from nstjax.io.images import FORMATS, read_image
from nstjax.io.paths import expand_home
from nstjax.io.stored import convert, damaged

LOGGER = logging.getLogger("nstjax")

REMEDY = "start the training again in an empty --workdir"

Rule = Literal["squash", "center", "random"]


@dataclasses.dataclass(frozen=True)
class CropRule:
    """How a square of ``size`` pixels is cut out of a training picture.

    "squash" takes the whole picture, its aspect ratio lost; "center" the central square
    of the shorter side; "random" a square of random place and scale, half of them
    mirrored: the shorter side is resized to between ``size`` and ``largest``·``size``,
    but is enlarged no more than ``size`` needs.
    """

    rule: Rule
    size: int
    largest: float = 2.0

    def __post_init__(self) -> None:
        if self.rule not in get_args(Rule):
            raise InputError(
                f"crop rule must be one of {', '.join(get_args(Rule))}, "
                f"got {self.rule!r}"
            )
        if self.size < 1 or not self.largest >= 1:
            raise InputError(
                "a crop's size and largest must be at least 1, "
                f"got {self.size} and {self.largest}"
            )


class BatchesState(msgspec.Struct):
    """Where the next batch begins."""

    position: dict[str, Any]
    skipped: list[str]


class Batches(Iterator[dict[str, np.ndarray]]):
    """Endless batches; ``training_batches`` makes them.

    Each has "content", sRGB 0..1, float32 [batch, size, size, 3]; "style", int32
    [batch]; and, where there are paintings, "painting", like "content". ``skipped`` are
    the files met so far that could not be read.
    """

    def __init__(self, elements: Any, photos: Sequence[str], batch_size: int):
        self.skipped: set[str] = set()
        self._elements = elements
        self._position = elements.get_state()
        self._photos = photos
        self._batch_size = batch_size

    def __next__(self) -> dict[str, np.ndarray]:
        batch: list[dict[str, np.ndarray]] = []
        while len(batch) < self._batch_size:
            path, element = next(self._elements)
            if not isinstance(element, InputError):
                batch.append(element)
            elif path not in self.skipped:
                LOGGER.warning("skipped: %s", element)
                self.skipped.add(path)
                readable = sum(photo not in self.skipped for photo in self._photos)
                _check_enough(readable, self._batch_size)
        # Kept here, so that a batch that was interrupted is not left out on resuming.
        self._position = self._elements.get_state()
        return {name: np.stack([one[name] for one in batch]) for name in batch[0]}

    def state(self) -> dict[str, Any]:
        """Where the next batch begins, as JSON has it."""
        return {"position": self._position, "skipped": sorted(self.skipped)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on with the batch that came next when ``state`` was taken."""
        given = convert(state, BatchesState, "the position in the pictures", REMEDY)
        # Grain checks nothing: another state would fail wherever it is used.
        if not _alike(given.position, self._position):
            raise damaged("the position in the pictures", given.position, REMEDY)
        self._position = given.position
        self._elements.set_state(self._position)
        self.skipped = set(given.skipped)


def picture_files(
    folder: str | os.PathLike[str],
    *,
    recursive: bool = True,
    without: Iterable[str | os.PathLike[str]] = (),
) -> list[Path]:
    """The pictures in a folder and, if ``recursive``, the folders within, sorted.

    Hidden ones are left out, and those in the folders ``without``, of results.
    """
    root = Path(folder)
    if not root.is_dir():
        problem = "is not a folder" if root.exists() else "does not exist"
        raise InputError(f"{root} {problem}: give the folder of the pictures")
    files = sorted(
        path
        for path in files_below(root, recursive=recursive, without=without)
        if path.suffix.lower() in FORMATS and path.is_file()
    )
    if not files:
        raise InputError(
            f"{root} holds no pictures: fill it with files of {' '.join(FORMATS)}"
        )
    return files


def named_pictures(
    items: Sequence[str],
    flag: str,
    *,
    without: Iterable[str | os.PathLike[str]] = (),
) -> dict[str, Path]:
    """{name: file} from a flag's NAME=FILE or FILE each, or from one folder."""
    if len(items) == 1 and Path(items[0]).is_dir():
        files = picture_files(items[0], without=without)
        named = [(path.stem, path) for path in files]
    else:
        parts = [item.rpartition("=") for item in items]
        paths = [Path(expand_home(file)) for *_, file in parts]
        named = [
            (name or path.stem, path)
            for (name, *_), path in zip(parts, paths, strict=True)
        ]
    names = [name for name, _ in named]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"--{flag} names {name!r} twice: write NAME=FILE")
    return dict(named)


def training_batches(
    photos: Sequence[str | os.PathLike[str]],
    crop: CropRule,
    *,
    batch_size: int,
    seed: int,
    styles: int = 1,
    paintings: Sequence[np.ndarray] = (),
    recolor: float = 0.0,
    identity: float = 0.0,
    workers: int = 2,
) -> Batches:
    """Read photos in worker threads, shuffled anew in every epoch, without an end.

    The same arguments give the same batches, however fast the workers are; 0 of them
    read where batches are asked for. Photos that cannot be read are skipped, each with
    one warning, and batches stay full.

    Styles take turns over the photos. Of paintings, sRGB 0..1, [height, width, 3],
    there is one for each style, so that a photo comes with a random crop of its own
    style's; or, for one style, any number, of which one is drawn for each photo.
    ``recolor`` of the crops get other colors (Ghiasi et al. 2017,
    https://arxiv.org/abs/1705.06830); ``identity`` of the photos are their painting.
    """
    try:
        import grain
    except ImportError:
        raise InputError("training needs grain: pip install 'nstjax[train]'") from None
    if batch_size < 1 or styles < 1 or workers < 0:
        raise InputError(
            "batch size and styles must be at least 1 and workers at least 0, "
            f"got {batch_size}, {styles} and {workers}"
        )
    if not 0 <= seed < 2**32:
        raise InputError(f"seed must lie in 0..{2**32 - 1}, got {seed}")
    if not (0 <= recolor <= 1 and 0 <= identity <= 1):
        raise InputError(
            f"recolor and identity must lie in 0..1, got {recolor} and {identity}"
        )
    _check_enough(len(photos), batch_size)
    if styles > 1 and len(paintings) not in (0, styles):
        raise InputError(
            f"{len(paintings)} paintings for {styles} styles: give one for each style"
        )
    painting_crop = CropRule("random", crop.size)
    paths = [os.fspath(path) for path in photos]

    def element(
        indexed_path: tuple[int, str], rng: np.random.Generator
    ) -> tuple[str, dict[str, Any] | InputError]:
        index, path = indexed_path
        try:
            photo = read_image(path)
        except InputError as error:
            return path, error
        style = index % styles
        content = square_crop(photo, crop, rng)
        result: dict[str, Any] = {"content": content, "style": np.int32(style)}
        if len(paintings):
            drawn = style if styles > 1 else int(rng.integers(len(paintings)))
            painting = square_crop(paintings[drawn], painting_crop, rng)
            if rng.random() < recolor:
                painting = recolored(painting, rng)
            own = rng.random() < identity
            result["painting"] = content if own else painting
        return path, result

    endless = grain.MapDataset.source(paths).seed(seed).shuffle().repeat()
    elements = endless.map_with_index(lambda index, path: (index, path)).random_map(
        element
    )
    ahead = max(workers, 2 * batch_size)
    reading = grain.ReadOptions(num_threads=workers, prefetch_buffer_size=ahead)
    return Batches(iter(elements.to_iter_dataset(reading)), paths, batch_size)


def square_crop(
    image: np.ndarray, crop: CropRule, rng: np.random.Generator | None = None
) -> np.ndarray:
    """A square of a picture, float32 [size, size, 3]; random ones are of ``rng``."""
    size = crop.size
    height, width = image.shape[:2]
    side = shorter = min(height, width)
    # Cutting before resizing gives the same square, and leaves less to resize.
    if crop.rule == "center":
        top, left = (height - side) // 2, (width - side) // 2
        image = image[top : top + side, left : left + side]
    elif crop.rule == "random":
        assert rng is not None
        resized = rng.uniform(size, max(size, min(crop.largest * size, shorter)))
        side = max(1, round(shorter * size / resized))
        top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
        image = image[top : top + side, left : left + side]
        if rng.random() < 0.5:
            image = image[:, ::-1]
    return np.asarray(resize(image, size, size, "bilinear"), np.float32)


def recolored(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Change brightness by up to 0.8, saturation by a half, hue by 0.2 of its circle.

    Source:
      Ghiasi et al. 2017, as in magenta's arbitrary_image_stylization.
    """
    from skimage.color import hsv2rgb, rgb2hsv

    brighter = np.clip(image + rng.uniform(-0.8, 0.8), 0, 1)
    hue, saturation, value = np.moveaxis(rgb2hsv(brighter), -1, 0)
    saturation = np.clip(saturation * rng.uniform(0.5, 1.5), 0, 1)
    hue = (hue + rng.uniform(-0.2, 0.2)) % 1
    changed = hsv2rgb(np.stack([hue, saturation, value], axis=-1))
    return np.asarray(changed, np.float32)


def _alike(state: Any, other: Any) -> bool:
    """Whether a state has the entries of another, and numbers from 0 on."""
    if isinstance(state, dict) and isinstance(other, dict):
        return state.keys() == other.keys() and all(
            _alike(state[name], other[name]) for name in state
        )
    return type(state) is type(other) and (not isinstance(state, int) or state >= 0)


def _check_enough(pictures: int, batch_size: int) -> None:
    if pictures < batch_size:
        raise InputError(
            f"training set of {pictures} readable pictures is smaller than a batch of "
            f"{batch_size}: add pictures, or make the batch smaller"
        )
