"""What the ``nstjax`` command prints or draws in place of a run."""

from pathlib import Path

from nstjax.images.resizing import output_size
from nstjax.io.images import check_output, write_image
from nstjax.network.architecture import LAYERS, LayerSummary, check_size, summarize
from nstjax.presets.preset import Preset
from nstjax.presets.published import PRESETS


def print_presets() -> None:
    """Print the presets, a line each."""
    print(f"{'preset':<19}{'optimizer':<10}{'steps':>5}  {'size':<14}source")
    for name, preset in PRESETS.items():
        value = preset.image.size.value
        size = f"{value[1]}x{value[0]}" if isinstance(value, tuple) else str(value)
        print(
            f"{name:<19}{preset.optimizer.name:<10}{preset.steps:>5}  "
            f"{preset.image.size.rule + ' ' + size:<14}{preset.source}"
        )


def print_network(preset: Preset) -> None:
    """Print the network's table for the preset's size and padding."""
    rows = _network_rows(preset)
    from nstjax.network.diagram import table_text

    print(table_text(rows))


def draw_network(preset: Preset, path: Path) -> None:
    """Draw the network, the preset's layers marked, to an image file."""
    check_output(path)
    rows = _network_rows(preset)
    # Matplotlib takes a while to import, and writes a list of fonts.
    from nstjax.network.diagram import draw

    write_image(path, draw(rows, (*preset.content_layers, *preset.style_layers)))
    print(f"nstjax: wrote {path}")


def _network_rows(preset: Preset) -> list[LayerSummary]:
    """VGG-19's layers for a 4:3 photo of the preset's size, with its padding."""
    height, width = output_size(300, 400, preset.image.size)
    check_size(height, width, LAYERS[-1], preset.network.pool_padding)
    return summarize(height, width, pool_padding=preset.network.pool_padding)
