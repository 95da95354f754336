"""Each command as a process of its own, with nothing that other tests have imported."""

import pytest
from programs import start

# Other tests start nstjax, nstjax-fast, weights_convert and the rest of experiments.
COMMANDS = (
    "convexity", "course_report", "evaluate_features", "export_model", "film",
    "gallery", "benchmarks.kernels", "benchmarks.pyramid", "benchmarks.run_all",
    "benchmarks.time_to_loss",
)  # fmt: skip
WITHOUT_TESTS = ("gpu", "memory", "sharding", "step", "sweep", "tiling")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_flag_that_is_not_there_is_named(command, tmp_path):
    process = start("-m", f"experiments.{command}", "--nonsense=1", cwd=tmp_path)
    out, err = process.communicate()
    check_named(process.returncode, out, err)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", WITHOUT_TESTS)
def test_benchmarks_that_only_people_run_still_start(name, program):
    check_named(*program(f"experiments.benchmarks.{name}", "--nonsense=1"))


def check_named(status, out, err):
    assert status in (1, 2)
    assert "nonsense" in out + err
    assert "Traceback" not in err
