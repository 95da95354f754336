"""Where the files of a run go, and how often they are written."""

import dataclasses
from pathlib import Path

from nstjax.io.locks import PREVIEW, PREVIEW_FOLDER


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outputs:
    """What a run writes."""

    result: Path = Path("stylized.png")
    workdir: Path | None = None  # of the log and the checkpoints
    snapshots: tuple[int, ...] = ()  # steps whose image is written
    preview_seconds: float = 5.0  # how often it is renewed; 0 for none
    checkpoint_every: int = 100
    log_every: int = 1  # steps between lines of metrics.jsonl
    quality: int = 95  # of JPEG and WebP images
    quiet: bool = False  # whether the progress bar is left out

    def snapshot(self, step: int) -> Path:
        """The image of a step: in the working folder, or beside the result."""
        path = self.workdir / "snapshot.png" if self.workdir else self.result
        return _with_suffix(path, f"{step:06d}")

    @property
    def montage(self) -> Path:
        """Content | result | style, beside the result."""
        return _with_suffix(self.result, "montage")

    @property
    def preview(self) -> Path:
        """The image so far; its folder is made for it, and removed in the end."""
        folder = self.workdir or self.result.parent
        return folder / f"{self.result.stem}{PREVIEW_FOLDER}" / PREVIEW

    @property
    def mixed_style(self) -> Path:
        """The style image that fine and coarse style make."""
        if self.workdir:
            return self.workdir / "style.png"
        return self.result.with_name(f"{self.result.stem}.nstjax-style.png")


def _with_suffix(path: Path, what: str) -> Path:
    return path.with_name(f"{path.stem}_{what}{path.suffix}")
