"""How the benchmarks print and write what they have measured."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def print_rows(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """A table: a line for each row, a column for each key."""
    print(f"\n{title}")
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [columns] + [[_text(row.get(key)) for key in columns] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        print("  ".join(map(str.rjust, line, widths)), flush=True)


def write_json(path: str | Path | None, numbers: Any) -> None:
    """Write the numbers, if a path is given."""
    if path:
        # Here, as nstjax brings jax, which processes of PyTorch's are not to import.
        from nstjax.io.atomic import atomic_path

        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(numbers, indent=2) + "\n")


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
