"""Fixtures that several test modules share."""

import atexit
import contextlib
import functools
import gc
import logging
import os
import pathlib
import shutil
import tempfile

import jax
import programs
import pytest
import reference
import training_gallery
from PIL import Image

import nstjax

# Imports and traced programs are many objects, of which few are garbage.
gc.set_threshold(1_000_000, 20, 20)
# The checks that the tests of the command share say what failed, as tests do.
pytest.register_assert_rewrite("command_lines", "model_files")
# Each program runs for moments here: compiling it takes longer. A value that is set
# already comes last, and so holds.
QUICK = (
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
)
# Compiled programs of one session serve its later tests, its other processes and the
# commands that they run, and never lie in the folder of who runs it.
if "PYTEST_XDIST_WORKER" not in os.environ:
    COMPILED = tempfile.mkdtemp(prefix="nstjax-tests-")
    atexit.register(shutil.rmtree, COMPILED, ignore_errors=True)
    os.environ |= {
        "JAX_COMPILATION_CACHE_DIR": COMPILED,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        # Each core has a worker: threads of NumPy's products would wait for each other.
        "OPENBLAS_NUM_THREADS": "1",
        "XLA_FLAGS": f"{QUICK} {os.environ.get('XLA_FLAGS', '')}",
    }
jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
# An array that silently repeats along a missing axis is a defect here.
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_collection_finish() -> None:
    """What is imported stays: to look through it for garbage takes long each time."""
    gc.freeze()


def pytest_sessionfinish() -> None:
    """To look through all at its end takes a worker longer than xdist waits."""
    gc.freeze()


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
    """The folder of development material, with the real VGG-19 weights."""
    beside = pathlib.Path(__file__).resolve().parents[2] / "shared"
    folder = pathlib.Path(os.environ.get("NSTJAX_SHARED", beside))
    if not folder.is_dir():
        pytest.skip("the development material is absent (set NSTJAX_SHARED)")
    return folder


@pytest.fixture(scope="module", autouse=True)
def programs_are_freed():
    """Programs take memory, and some of the 65,530 mapped pieces that Linux allows."""
    yield
    maps, sizes = pathlib.Path("/proc/self/maps"), pathlib.Path("/proc/self/statm")
    if (
        not maps.exists()
        or maps.read_bytes().count(b"\n") > 20_000
        or int(sizes.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") > 4e9
    ):
        jax.clear_caches()


@pytest.fixture
def compilations(caplog):
    """The names of what JAX compiles while the test runs."""
    caplog.set_level(logging.WARNING)
    with jax.log_compiles():
        yield lambda: [
            record.getMessage()
            for record in caplog.records
            if record.getMessage().startswith("Compiling")
        ]


@pytest.fixture
def float64():
    """Run a test in double precision."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session")
def slim_weights(tmp_path_factory) -> pathlib.Path:
    """A file of a narrow network with VGG-19's layers, so that commands run at once."""
    path = tmp_path_factory.mktemp("weights") / "slim.safetensors"
    params = reference.random_params(channels=(8, 8, 16, 16, 16))
    nstjax.save_params(path, params)
    return path


@pytest.fixture
def studio(tmp_path, slim_weights, monkeypatch) -> pathlib.Path:
    """The current folder, with photo.png, painting.png and weights to be found."""
    # Not at the top: its assertions are to be explained, as registered there.
    from command_lines import save_pictures

    folder = tmp_path / "studio"
    folder.mkdir()
    save_pictures(folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("NSTJAX_WEIGHTS", str(slim_weights))
    return folder


@pytest.fixture
def pictures(studio):
    """Masks of photo.png (64x48) and painting.png (56x72), and other paintings."""
    from command_lines import halves, save_pictures

    photo, painting = (64, 48), (56, 72)
    halves("two.png", photo, "red", "blue")
    halves("left.png", photo, "white", "black")
    halves("right.png", photo, "black", "white")
    halves("painted.png", painting, "red", "blue")
    halves("half.png", painting, "white", "black")
    for name in ("white", "black"):
        Image.new("RGB", photo, name).save(f"{name}.png")
    dot = Image.new("RGB", photo)
    dot.paste("white", (30, 20, 33, 23))
    dot.save("dot.png")
    Image.linear_gradient("L").resize(photo).save("ramp.png")
    save_pictures(studio, [("second.png", (60, 60)), ("third.png", (60, 60))], seed=5)


@pytest.fixture(scope="session")
def program():
    """Run one in this process: program(module, *arguments) -> (status, out, err)."""
    return programs.run_here


@pytest.fixture(scope="session")
def command(program):
    """Run nstjax in this process: command(*arguments) -> (status, out, err)."""
    return functools.partial(program, "nstjax.commands.nstjax")


@pytest.fixture(scope="module")
def gallery(tmp_path_factory, slim_weights) -> pathlib.Path:
    """What trainings of feed-forward networks take."""
    return training_gallery.make_gallery(
        tmp_path_factory.mktemp("gallery"), slim_weights
    )


@pytest.fixture(scope="module")
def train(program, gallery):
    """Train in a folder of the gallery: train(name, *flags) -> workdir, notes."""

    def run(name, *arguments):
        folder = gallery / name
        folder.mkdir(exist_ok=True)
        with contextlib.chdir(folder):
            status, out, err = program(training_gallery.TRAIN, *arguments)
        assert status == 0, err
        assert out == "run/model.safetensors\n"
        return folder / "run", err

    return run
