"""Counts what the devices of a mesh exchange in a step, and estimates how it scales.

    python -m experiments.benchmarks.sharding --sizes=512,1024 --devices=8,64

VGG-19's step is compiled for devices that are not there, which JAX pretends, and its
exchanges are counted in the compiled program: nothing is timed. Formula and estimate
are those of ``experiments.benchmarks.sharding_program``; the flags state what they
assume.
"""

from collections.abc import Sequence
from typing import Any

from absl import flags

from experiments.benchmarks.flag_values import no_arguments, whole_numbers
from experiments.benchmarks.sharding_program import Machine, measure
from experiments.benchmarks.tables import write_json
from nstjax.commands.launcher import run_command
from nstjax.commands.path_flags import define_path
from nstjax.io.atomic import check_writable

USAGE = """
What the devices of a mesh exchange in a step, and how that scales.

  python -m experiments.benchmarks.sharding --sizes=512,1024 --devices=8,64
"""

flags.DEFINE_list("sizes", "512,1024", "Sides of square images.")
flags.DEFINE_list("devices", "8,64", "Numbers of devices.")
flags.DEFINE_string("optimizer", "adam", "As nstjax takes it.")
flags.DEFINE_float("tflops", 400.0, "Assumed rate of a device, 10^12 operations/s.")
flags.DEFINE_float("link_gb", 450.0, "Assumed bandwidth within a node, GB/s.")
flags.DEFINE_float("internode_gb", 50.0, "Assumed bandwidth between nodes, GB/s.")
flags.DEFINE_float("latency_us", 5.0, "Assumed latency of an exchange, µs.")
flags.DEFINE_integer("node", 8, "Devices within a node.", lower_bound=1)
define_path("output", None, "JSON file for the table.")

FLAGS = flags.FLAGS


def main(arguments: Sequence[str]) -> int:
    """Print the table; returns the exit status."""
    no_arguments(arguments)
    if FLAGS.output:
        check_writable(FLAGS.output)
    sizes, counts = whole_numbers("sizes", 16), whole_numbers("devices", 2)
    assumed: dict[str, Any] = {name: FLAGS[name].value for name in Machine._fields}
    machine = Machine(**assumed)
    print(
        f"assumed: {machine.tflops:g} TFLOP/s, {machine.link_gb:g} GB/s within "
        f"{machine.node} devices, {machine.internode_gb:g} GB/s beyond, "
        f"{machine.latency_us:g} µs\n"
        f"{'size':>5}{'devices':>8}{'halo kB':>9}{'formula':>9}{'sums kB':>9}"
        f"{'other':>7}{'number':>8}{'compute':>9}{'transfer':>9}{'latency':>9}"
        f"{'efficiency':>11}"
    )
    rows = []
    for size in sizes:
        for count in counts:
            (row,) = measure([size], [count], FLAGS.optimizer, machine)
            rows.append(row)
            received = row["bytes"]
            halo, sums = received["collective-permute"], received["all-reduce"]
            print(
                f"{size:>5}{count:>8}{halo / 1e3:>9.0f}"
                f"{row['formula_bytes'] / 1e3:>9.0f}{sums / 1e3:>9.0f}"
                f"{(sum(received.values()) - halo - sums) / 1e3:>7.0f}"
                f"{sum(row['exchanges'].values()):>8}{row['compute_ms']:>6.2f} ms"
                f"{row['transfer_ms']:>6.2f} ms{row['latency_ms']:>6.2f} ms"
                f"{row['efficiency']:>11.0%}",
                flush=True,
            )
    write_json(FLAGS.output, {"machine": machine._asdict(), "rows": rows})
    return 0


if __name__ == "__main__":
    run_command("sharding", __name__, USAGE, main)
