"""How long runs take on this machine, learned from those that it has done."""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nstjax.errors import InputError
from nstjax.io.atomic import write_atomically
from nstjax.io.stored import Amount, read_record

# Seconds of a step for each pixel on two cores, until a run has told: of slim, and of
# VGG-19 itself.
SLIM, VGG19 = 0.5e-6, 6e-6
OVERHEAD = 6.0  # seconds until the first step
# How much the last run counts.
WEIGHT = 0.5


class Speeds:
    """Seconds of a step for each pixel, by the network's hash."""

    def __init__(self, path: Path):
        self._path = path

    def seconds(self, plan: Mapping[str, Any]) -> float:
        """What a run takes that the worker has planned."""
        first = SLIM if plan["advice"] else VGG19
        rate = self._read().get(plan["weights_sha256"], first)
        return float(OVERHEAD + rate * plan["pixel_steps"])

    def learn(self, sha256: str, seconds: float, pixel_steps: int) -> None:
        """Note what a run has taken."""
        if pixel_steps <= 0 or seconds <= 0:
            return
        speeds, rate = self._read(), seconds / pixel_steps
        before = speeds.get(sha256, rate)
        speeds[sha256] = WEIGHT * rate + (1 - WEIGHT) * before
        write_atomically(self._path, json.dumps(speeds, indent=2) + "\n")

    def _read(self) -> dict[str, float]:
        with contextlib.suppress(InputError):
            return read_record(self._path, dict[str, Amount], "")
        return {}
