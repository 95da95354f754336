"""Each command as a process of its own, with nothing that other tests have imported."""

import pytest
from programs import start

# Other tests start nstjax, nstjax-fast, weights_convert and the rest of experiments.
COMMANDS = (
    "convexity", "course_report", "evaluate_features", "export_model", "film",
    "gallery", "benchmarks.kernels", "benchmarks.memory", "benchmarks.pyramid",
    "benchmarks.run_all", "benchmarks.sharding", "benchmarks.startup",
    "benchmarks.step", "benchmarks.sweep", "benchmarks.tiling",
    "benchmarks.time_to_loss",
)  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_a_flag_that_is_not_there_is_named(command, tmp_path):
    process = start("-m", f"experiments.{command}", "--nonsense=1", cwd=tmp_path)
    out, err = process.communicate()
    assert process.returncode in (1, 2)
    assert "nonsense" in out + err
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())
