"""A network for other programs, as ONNX or StableHLO: ``experiments.export_model``."""

from collections.abc import Sequence

from absl import flags

from nstjax.commands.launcher import run_command
from nstjax.commands.path_flags import define_path
from nstjax.errors import InputError
from nstjax.io.atomic import check_results

USAGE = """
A trained network as ONNX (pip install 'nstjax[export]') or StableHLO, for pictures of
any size and number, checked against the network before the file is put in place.

  python -m experiments.export_model --model=painterly --output=painterly.onnx
  python -m experiments.export_model --model=painterly --output=painterly.stablehlo
  python -m experiments.export_model --model=arbitrary --output=arbitrary.onnx

The last one writes arbitrary_style.onnx too, from a painting to its style.
"""

define_path("model", None, "painterly, arbitrary or a file.")
define_path("output", None, "The file to write, .onnx or .stablehlo.")
define_path(
    "weights", "slim", "Encoder of a model of --preset=adain: slim, vgg19 or a file."
)

FLAGS = flags.FLAGS


def main(arguments: Sequence[str]) -> int:
    """Write the files; returns the exit status."""
    if arguments or not FLAGS.model or not FLAGS.output:
        raise InputError("give --model=NAME and --output=FILE, and nothing else")
    # Flax takes a while to import: wrong flags are told before.
    from nstjax.feedforward.inference.export import export_model
    from nstjax.feedforward.inference.style_specifications import load_restyler

    check_results(given=[FLAGS.output], inputs=[FLAGS.model, FLAGS.weights])
    restyler = load_restyler([], FLAGS.model, FLAGS.weights)
    for file, difference in export_model(FLAGS.output, restyler).items():
        print(f"wrote {file}, which differs from the network by up to {difference:.1e}")
    if len(restyler.model.styles) > 1:
        print(f"style_weights are of {', '.join(restyler.model.styles)}")
    return 0


if __name__ == "__main__":
    run_command("export_model", __name__, USAGE, main)
