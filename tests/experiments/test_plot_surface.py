"""The command that plots a saved surface."""

from unittest import mock

import pytest
from command_lines import check_refused, listing
from matplotlib.font_manager import fontManager
from surfaces import bowl, figure_of, make_line, make_surface

from nstjax.analysis.surfaces.file import write_surface


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


@pytest.fixture
def one_font(monkeypatch):
    """As a font cache leaves it that was written while Matplotlib was being removed."""
    fonts = [font for font in fontManager.ttflist if font.name == "DejaVu Sans"]
    with monkeypatch.context() as patched:
        patched.setattr(fontManager, "ttflist", fonts)
        fontManager._findfont_cached.cache_clear()
        yield
    fontManager._findfont_cached.cache_clear()


@pytest.mark.usefixtures("one_font")
def test_the_command_draws_a_line_with_the_run_s_own_weights(tmp_path, plot, caplog):
    write_surface(tmp_path / "line.h5", make_line(bowl))
    status, out, err = plot(tmp_path / "line.h5")
    assert status == 0, err
    assert out == f"wrote {tmp_path / 'line_line.png'}\n"
    assert (tmp_path / "line_line.png").read_bytes().startswith(b"\x89PNG")
    assert not err
    # Missing fonts are not the user's concern. What has no handler is printed where a
    # program runs alone.
    assert not [log for log in caplog.records if log.name.startswith("matplotlib")]


@pytest.mark.parametrize(
    ("nodes", "says"),
    [
        (0, "the surface has no node with a finite total loss: evaluate it first"),
        (24, "x_maps.png is a folder: give the name of a file"),
    ],
)
def test_nothing_is_written_where_all_cannot_be(tmp_path, plot, nodes, says):
    write_surface(tmp_path / "plane3.h5", make_surface(nodes=nodes))
    if nodes:
        (tmp_path / "x_maps.png").mkdir()
    before = listing(tmp_path)
    refused = plot(tmp_path / "plane3.h5", f"--output={tmp_path / 'x'}")
    check_refused(*refused, says)
    assert listing(tmp_path) == before
