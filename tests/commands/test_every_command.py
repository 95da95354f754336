"""Each command as a process of its own, with nothing of ours imported before."""

import pytest
from forked import run_forked

# Other tests start nstjax, nstjax-fast and the rest of experiments.
COMMANDS = (
    "weights_convert",
    "experiments.convexity",
    "experiments.course_report",
    "experiments.demo_pictures",
    "experiments.evaluate_features",
    "experiments.export_model",
    "experiments.film",
    "experiments.gallery",
    "experiments.benchmarks.kernels",
    "experiments.benchmarks.run_all",
    "experiments.benchmarks.time_to_loss",
)
WITHOUT_TESTS = ("gpu", "memory", "sharding", "step", "sweep", "tiling")
# What is not ours, and takes seconds; frozen, as a process that ends looks for garbage.
LIBRARIES = (
    "import absl.app, gc, h5py, jax.experimental.multihost_utils, matplotlib.figure, "
    "mpl_toolkits.mplot3d, msgspec, multiprocessing.pool, optax, PIL.ImageCms, "
    "PIL.ImageDraw, PIL.ImageFont, PIL.ImageOps, PIL.JpegImagePlugin, pooch, requests, "
    "safetensors.numpy, scipy.linalg, scipy.ndimage, scipy.optimize, scipy.stats, "
    "skimage.color, skimage.data, skimage.exposure, tqdm.auto; gc.freeze()"
)
RUN = """
import runpy, sys
assert not [name for name in sys.modules if name.startswith(("nstjax", "experiments"))]
del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("command", COMMANDS)
def test_a_flag_that_is_not_there_is_named(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_named(*run_forked(RUN, command, "--nonsense=1", imports=LIBRARIES))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", WITHOUT_TESTS)
def test_benchmarks_that_only_people_run_still_start(name, program):
    check_named(*program(f"experiments.benchmarks.{name}", "--nonsense=1"))


def check_named(status, out, err):
    assert status in (1, 2)
    assert "nonsense" in out + err
    assert "Traceback" not in err
