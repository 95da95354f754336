"""The command that plots a saved surface."""

import hashlib
from unittest import mock

import pytest
from programs import start
from surfaces import bowl, figure_of, make_line, make_surface

from nstjax.io.surface_file import write_surface

# As a font cache leaves it that was written while Matplotlib was being removed.
ONE_FONT = """
import runpy
from matplotlib.font_manager import fontManager
fonts = fontManager.ttflist
fontManager.ttflist = [font for font in fonts if font.name == "DejaVu Sans"]
runpy.run_module("experiments.plot_surface", run_name="__main__")
"""


@pytest.fixture
def plot(program, monkeypatch):
    """Run it where a network that is read would end it."""
    for name in ("safetensors.safe_open", "nstjax.io.weights.read_params"):
        read = mock.Mock(side_effect=AssertionError("a network is read"))
        monkeypatch.setattr(name, read)
    return lambda *arguments: program("experiments.plot_surface", *arguments)


def test_the_command_plots_what_is_there_at_another_beta(tmp_path, plot):
    file = tmp_path / "plane3.h5"
    write_surface(file, make_surface(nodes=13))
    before = hashlib.sha256(file.read_bytes()).hexdigest()
    output = f"--output={tmp_path / 'plots'}/"
    status, out, err = plot(file, output, "--beta=1e3", "--format=pdf", "--html")
    assert status == 0, err
    assert err == (
        f"plot_surface: note: {file}: unfinished (13 of 24 nodes), plotted as it is\n"
    )
    names = ["plane3_surfaces.pdf", "plane3_maps.pdf", "plane3_surfaces.html"]
    written = [tmp_path / "plots" / name for name in names]
    assert out.splitlines() == [f"wrote {path}" for path in written]
    assert sorted((tmp_path / "plots").iterdir()) == sorted(written)
    assert written[0].read_bytes().startswith(b"%PDF")
    _, layout = figure_of(written[2].read_text())
    assert "α = 1, β = 1000, tv = 0" in layout["title"]["text"]
    assert hashlib.sha256(file.read_bytes()).hexdigest() == before


def test_the_command_draws_a_line_with_the_run_s_own_weights(tmp_path, plot):
    write_surface(tmp_path / "line.h5", make_line(bowl))
    status, out, err = plot(tmp_path / "line.h5")
    assert status == 0, err
    assert out == f"wrote {tmp_path / 'line_line.png'}\n"
    assert (tmp_path / "line_line.png").read_bytes().startswith(b"\x89PNG")
    assert not err


def test_missing_fonts_are_not_the_user_s_concern(tmp_path):
    write_surface(tmp_path / "line.h5", make_line(bowl))
    process = start("-c", ONE_FONT, tmp_path / "line.h5")
    _, err = process.communicate()
    assert (process.returncode, err) == (0, "")


def test_nothing_is_written_of_a_surface_without_a_node(tmp_path, plot):
    write_surface(tmp_path / "none.h5", make_surface(nodes=0))
    status, _, err = plot(tmp_path / "none.h5")
    assert status == 2
    assert err == (
        "plot_surface: error: the surface has no node with a finite total loss: "
        "evaluate it first\n"
    )
    assert list(tmp_path.iterdir()) == [tmp_path / "none.h5"]
