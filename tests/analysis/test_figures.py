import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from nstjax.analysis.figures import save_figure
from nstjax.errors import InputError

ROOT = pathlib.Path(__file__).resolve().parents[2]


def line(title="Δ of a loss"):
    figure = Figure(figsize=(3, 2), dpi=100)
    axes = figure.subplots()
    axes.plot([1, 3, 2], color="red")
    axes.set_title(title)
    return figure


def test_the_suffix_chooses_the_format(tmp_path):
    save_figure(line(), tmp_path / "line.png")
    with Image.open(tmp_path / "line.png") as image:
        assert image.size == (300, 200)
        pixels = np.asarray(image.convert("RGB"))
    assert (pixels == [255, 0, 0]).all(axis=2).sum() > 100
    save_figure(line(), tmp_path / "line.PDF")
    contents = (tmp_path / "line.PDF").read_bytes()
    assert contents.startswith(b"%PDF")
    # Text stays text.
    assert b"/Type3" not in contents
    assert b"/FontFile2" in contents
    for name in ("line.svg", "line", "png"):
        with pytest.raises(InputError, match=r"end it with one of \.png \.pdf"):
            save_figure(line(), tmp_path / name)


def test_the_same_figure_gives_the_same_bytes_in_another_process(tmp_path, monkeypatch):
    # Without what the package imports on its own, which takes seconds.
    code = (
        "import sys, types\n"
        "sys.modules.setdefault('nstjax', types.ModuleType('nstjax'))\n"
        f"sys.modules['nstjax'].__path__ = [{str(ROOT / 'nstjax')!r}]\n"
        "from matplotlib.figure import Figure\n"
        "from nstjax.analysis.figures import save_figure\n"
        "figure = Figure()\n"
        "figure.subplots().plot([1, 3], label='β/α')\n"
        "figure.legend()\n"
        "save_figure(figure, 'line.pdf')\n"
        "save_figure(figure, 'line.png')\n"
    )
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    (tmp_path / "other").mkdir()
    # Python hashes strings differently there.
    environment = os.environ | {"PYTHONHASHSEED": "1", "PYTHONPATH": str(ROOT)}
    subprocess.run(
        [sys.executable, "-c", code], cwd="other", env=environment, check=True
    )
    for name in ("line.pdf", "line.png"):
        contents = (tmp_path / name).read_bytes()
        assert contents == (tmp_path / "other" / name).read_bytes()
        assert b"CreationDate" not in contents


def test_a_figure_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "line.png"
    save_figure(line(), path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="Unknown symbol"):
        save_figure(line(r"$\nonsense$"), path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["line.png"]
