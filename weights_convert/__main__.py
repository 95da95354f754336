"""The command that writes nstjax's weight file: ``python -m weights_convert``."""

import os
import sys
from collections.abc import Sequence

from absl import app, flags

from nstjax.errors import InputError
from nstjax.io.weights import default_weights_path, save_params
from weights_convert.convert import convert_file
from weights_convert.download import download

INPUT = flags.DEFINE_string(
    "input", None, "VGG-19's weight file: Keras' .h5 or MatConvNet's .mat."
)
DOWNLOAD = flags.DEFINE_bool(
    "download", False, "Download Keras' VGG-19 weights (80 MB) instead of --input."
)
OUTPUT = flags.DEFINE_string(
    "output", None, "The .safetensors file to write; by default where nstjax looks."
)


def main(arguments: Sequence[str]) -> int:
    """Converts as the flags say; returns the exit status."""
    try:
        _convert(arguments)
    except (InputError, OSError) as error:
        return _report(error)
    except KeyboardInterrupt:
        _report("interrupted; a download goes on where it stopped when run again")
        return 130
    return 0


def _convert(arguments: Sequence[str]) -> None:
    if len(arguments) > 1:
        raise InputError(f"unexpected argument {arguments[1]}: pass --input=FILE")
    path = INPUT.value
    if (path is None) != DOWNLOAD.value:
        raise InputError("pass either --input=FILE or --download")
    output = OUTPUT.value
    if output is None:
        output = default_weights_path()
        os.makedirs(os.path.dirname(output), exist_ok=True)
    # Before the download, which may take minutes.
    if not output.endswith(".safetensors"):
        raise InputError(f"--output={output} must end in .safetensors")
    if not os.path.isdir(os.path.dirname(output) or "."):
        raise InputError(f"--output={output} is in a folder that does not exist")

    if path is None:
        path = download()
    params, metadata = convert_file(path)
    print(
        f"{path}: VGG-19 verified; {metadata['source_layout']} layout, "
        f"{metadata['source_channel_order']} channels, "
        f"kernels by ({metadata['source_spatial_order']})"
    )
    try:
        sha256 = save_params(output, params, metadata)
    except OSError as error:
        raise InputError(
            f"{output} cannot be written: {error.strerror or error}"
        ) from error
    print(f"{output}: written for RGB input, params sha256 {sha256}")


def _parse_flags(arguments: Sequence[str]) -> list[str]:
    """Parses as absl does, with an error of one line instead of the usage."""
    try:
        return flags.FLAGS(arguments)
    except flags.Error as error:
        sys.exit(_report(error))


def _report(error: object) -> int:
    message = " ".join(str(error).split())
    print(f"weights_convert: error: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    app.run(main, flags_parser=_parse_flags)
