"""The command that writes nstjax's weight file: ``python -m weights_convert``."""

import os
from collections.abc import Sequence

from absl import flags

from nstjax.commands.launcher import run_command
from nstjax.commands.path_flags import define_path
from nstjax.errors import InputError
from nstjax.io.atomic import check_results, check_writable
from nstjax.io.weights import default_weights_path, save_params
from nstjax.runtime.interrupts import advise
from weights_convert.convert import convert_file
from weights_convert.download import download

USAGE = """
Turn published VGG-19 or VGG-16 weights into the file that nstjax reads.

  python -m weights_convert --download                 fetch Keras' file and convert it
  python -m weights_convert --input=FILE --output=vgg19.safetensors
"""

INPUT = define_path(
    "input", None, "The network's weight file: Keras' .h5 or MatConvNet's .mat."
)
DOWNLOAD = flags.DEFINE_bool(
    "download", False, "Download Keras' VGG-19 weights (80 MB) instead of --input."
)
OUTPUT = define_path(
    "output", None, "The .safetensors file to write; by default where nstjax looks."
)


def main(arguments: Sequence[str]) -> int:
    """Convert as the flags say; returns the exit status."""
    if arguments:
        raise InputError(f"unexpected argument {arguments[0]}: pass --input=FILE")
    path = INPUT.value
    if (path is None) != DOWNLOAD.value:
        raise InputError("pass either --input=FILE or --download")
    output = OUTPUT.value
    # Before the download, which may take minutes.
    if output:
        if not output.endswith(".safetensors"):
            raise InputError(f"--output={output} must end in .safetensors")
        check_writable(output)
        check_results(given=[output], inputs=[path])

    if path is None:
        advise("the same command again goes on with the download")
        path = download()
    params, metadata = convert_file(path)
    print(
        f"{path}: {metadata['network']} verified; {metadata['source_layout']} layout, "
        f"{metadata['source_channel_order']} channels, "
        f"kernels by ({metadata['source_spatial_order']})"
    )
    if not output:
        output = default_weights_path(metadata["network"])
        os.makedirs(os.path.dirname(output), exist_ok=True)
    sha256 = save_params(output, params, metadata)
    print(f"{output}: written for RGB input, params sha256 {sha256}")
    return 0


if __name__ == "__main__":
    run_command("weights_convert", __name__, USAGE, main)
