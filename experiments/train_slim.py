"""Train a narrow network to stand for VGG-19 in style transfer: the bundled one.

  python -m experiments.train_slim --photos=DIR --paintings=DIR --workdir=DIR

The result is slim.safetensors in --workdir; the flags' defaults are the settings of the
file that is shipped. The same command again goes on with a training that was killed.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from absl import flags

from experiments.distillation import batches as batching
from experiments.distillation import kernel_matching, teacher_features
from experiments.distillation.channel_selection import imitate
from experiments.distillation.on_policy import on_policy_samples
from nstjax import InputError, Params, read_image
from nstjax.commands.launcher import run_command
from nstjax.commands.path_flags import define_path
from nstjax.feedforward.training.data import picture_files
from nstjax.images.resizing import Size, output_size, resize
from nstjax.io import run_log as runlog
from nstjax.io.atomic import check_results, write_atomically
from nstjax.io.checkpoint import read_checkpoint, write_checkpoint
from nstjax.io.config import START_AGAIN, has_begun, write_config
from nstjax.io.stored import check_tensors, damaged, open_tensors
from nstjax.io.weights import load_network, save_params
from nstjax.io.workdir import one_run_in
from nstjax.network.architecture import CHANNELS_PER_BLOCK, CONV_LAYERS, kernel_shapes
from nstjax.runtime.interrupts import advise
from nstjax.runtime.progress_bar import ProgressBar
from nstjax.whole_number import is_whole_number

LONG_SIDE = 1024
CHECKPOINT, BATCHES, RESULT = "checkpoint.safetensors", "batches", "slim.safetensors"
REMEDY = "delete it, and it will be made again"
LOG_EVERY = 100
CALIBRATION_PAIRS = 32

define_path("photos", None, "Folder of photos to learn from.")
define_path("paintings", None, "Folder of paintings to learn from.")
flags.DEFINE_list(
    "held_out",
    "starry_night,the_scream,shipwreck,great_wave,composition_vii,water_lilies_1919,"
    "udnie,van_gogh_houses",
    "Names of pictures in these folders that are kept for evaluation.",
)
define_path("weights", "vgg19", "VGG-19's weights: vgg19 or a file.")
define_path("workdir", None, "Folder of the training.")
flags.DEFINE_list("widths", "16,48,64,128,128", "Channels of each block.")
flags.DEFINE_integer(
    "conv5_1_width", 256, "Channels of the last layer presets read.", 1, 512
)
flags.DEFINE_integer("rounds", 6, "Each trains on newly made batches too.", 1)
flags.DEFINE_integer("batches_per_round", 64, "Made at the start of each round.", 1)
flags.DEFINE_integer("steps_per_round", 500, "Updates of the network.", 1)
flags.DEFINE_integer("batch_size", 8, "Pictures; an even number.", 2)
flags.DEFINE_integer("picture_size", 160, "Pixels on a side.", 32)
flags.DEFINE_integer("visit_steps", 40, "Longest way to an on-policy sample.", 1)
flags.DEFINE_float("learning_rate", 1e-3, "Adam's, at its highest.", 0)
flags.DEFINE_integer("seed", 0, "Of all that is random.", 0)

FLAGS = flags.FLAGS
SETTINGS = (
    "held_out", "widths", "conv5_1_width", "rounds", "batches_per_round",
    "steps_per_round", "batch_size", "picture_size", "visit_steps", "learning_rate",
    "seed",
)  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """Train, or go on with a training; returns the exit status."""
    _check_flags(arguments)
    advise("the same command again goes on from the last checkpoint")
    with one_run_in(Path(FLAGS.workdir)):
        _train_in(Path(FLAGS.workdir))
    return 0


def _train_in(folder: Path) -> None:
    photos, paintings = _read_folder(FLAGS.photos), _read_folder(FLAGS.paintings)
    network = load_network(FLAGS.weights)
    for layer, width in _widths().items():
        channels = network.params.get(layer, {"bias": np.empty(0)})["bias"].size
        if width > channels:
            raise InputError(
                f"{network.source} has {channels} channels in {layer}, fewer than the "
                f"{width} wanted: pass VGG-19's weights"
            )
    settings = {name: FLAGS[name].value for name in SETTINGS}
    settings["teacher_sha256"] = network.sha256
    settings["pictures"] = [len(photos), len(paintings)]
    written = [folder / name for name in (runlog.METRICS, BATCHES, CHECKPOINT, RESULT)]
    if not has_begun(folder, settings, written, (folder / BATCHES).glob("*")):
        # Before all else: without it a killed training could not go on.
        write_config(folder, {"settings": settings})
    sources = batching.Sources(photos, paintings)
    student = Training(folder, sources, network.params).run()
    rng = np.random.default_rng([FLAGS.seed, 3])
    pairs = batching.random_crops(rng, sources, FLAGS.picture_size, CALIBRATION_PAIRS)
    results = on_policy_samples(student, rng, *pairs, "avg", FLAGS.visit_steps)
    sha256 = save_params(
        folder / RESULT,
        teacher_features.calibrate(student, network.params, *pairs, results),
        {
            "license": "CC BY 4.0",
            "source": "trained by nstjax from VGG-19 of the Visual Geometry Group",
            "settings": json.dumps(settings),
        },
        half_precision=True,
    )
    print(f"{folder / RESULT}: params sha256 {sha256}")


class Training:
    """A training in its folder: its batches, and its state from a checkpoint on."""

    def __init__(self, folder: Path, sources: batching.Sources, params: Params):
        rng, size = np.random.default_rng([FLAGS.seed, 0]), FLAGS.picture_size
        crops = [batching.random_picture(rng, sources, size) for _ in range(16)]
        teacher = teacher_features.scaled_teacher(params, np.stack(crops), rng)
        self._folder = folder
        self._batches = batching.Batches(
            sources, teacher, size, FLAGS.batch_size, FLAGS.visit_steps
        )
        self._steps = FLAGS.rounds * FLAGS.steps_per_round
        self._updates = kernel_matching.training(FLAGS.learning_rate, self._steps)

    def run(self) -> Params:
        """Run the rounds that are left; returns the network in VGG-19's units."""
        checkpoint = self._folder / CHECKPOINT
        state = self._first_state(checkpoint)
        first = int(state.step)
        if not 0 <= first <= self._steps:
            raise damaged(checkpoint, f"step {first}", START_AGAIN)
        before = runlog.restart_metrics(self._folder, first + 1, runlog.LoggedStep)
        started = time.monotonic() - (before[-1]["seconds"] if before else 0.0)
        window: list[Any] = []
        with ProgressBar(total=self._steps, initial=first, unit="step") as bar:
            for step in range(first, self._steps):
                round_ = step // FLAGS.steps_per_round
                if step % FLAGS.steps_per_round == 0:
                    student = self._student(state)
                    for index in range(FLAGS.batches_per_round):
                        bar.set_description(f"round {round_}, batch {index}")
                        self._batch(round_, index, student)
                    bar.set_description(f"round {round_}")
                rng = np.random.default_rng([FLAGS.seed, 2, step])
                drawn = batching.batch_of_step(rng, round_, FLAGS.batches_per_round)
                batch, pool = self._batch(*drawn), batching.pool_of(drawn[1])
                state, loss, mismatches = self._updates.step(state, batch, pool)
                if not np.isfinite(loss):
                    raise InputError(
                        f"the loss became {loss} at step {step}: lower --learning_rate"
                    )
                window.append((loss, mismatches))
                bar.update()
                done = step + 1
                if done % LOG_EVERY == 0 or done % FLAGS.steps_per_round == 0:
                    row = {"step": done, **_mean_row(window)}
                    row["seconds"] = time.monotonic() - started
                    window = []
                    runlog.append_metrics(self._folder, [row])
                    bar.set_postfix(loss=row["loss"])
                    write_checkpoint(checkpoint, state)
        return self._student(state)

    def _student(self, state: kernel_matching.TrainingState) -> Params:
        scales = self._batches.teacher.scales
        return teacher_features.in_vgg_units(
            kernel_matching.trained_params(state), scales
        )

    def _first_state(self, path: Path) -> kernel_matching.TrainingState:
        """The last checkpoint, or the network that imitates chosen channels."""
        if path.exists():
            like = {
                layer: {"kernel": jnp.zeros(shape), "bias": jnp.zeros(shape[-1])}
                for layer, shape in kernel_shapes(_widths()).items()
            }
            return read_checkpoint(path, self._updates.init(like))
        indices = range(FLAGS.batches_per_round)
        batches = [self._batch(0, i) for i in ProgressBar(indices, "first batches")]
        pools = [batching.pool_of(index) for index in indices]
        state = self._updates.init(imitate(_widths(), batches, pools))
        write_checkpoint(path, state)
        return state

    def _batch(
        self, round_: int, index: int, student: Params | None = None
    ) -> teacher_features.Batch:
        """A batch from its file, made and written before if there is none."""
        path = self._folder / BATCHES / f"{round_:03}_{index:03}.safetensors"
        if not path.exists():
            rng = np.random.default_rng([FLAGS.seed, 1, round_, index])
            student = student if batching.is_on_policy(round_, index) else None
            batch = self._batches.make(rng, batching.pool_of(index), student)
            tensors = {"pictures": batch.pictures, "positions": batch.positions}
            path.parent.mkdir(exist_ok=True)
            write_atomically(path, safetensors.numpy.save(tensors | batch.teacher))
            return batch
        pictures, size = FLAGS.batch_size, FLAGS.picture_size
        params, samples = self._batches.teacher.params, batching.SAMPLES_PER_BLOCK
        expected = {
            "pictures": ((pictures, size, size, 3), np.float16),
            "positions": ((pictures, teacher_features.BLOCKS, samples), np.int32),
        }
        for layer in CONV_LAYERS:
            channels = params[layer]["bias"].size
            expected[layer] = ((pictures, samples, channels), np.float16)
        with open_tensors(path, REMEDY) as file:
            check_tensors(path, file, expected, file.keys(), REMEDY)
            tensors = {name: file.get_tensor(name) for name in expected}
        pair = tensors.pop("pictures"), tensors.pop("positions")
        return teacher_features.Batch(*pair, tensors)


def _mean_row(window: list[Any]) -> dict[str, Any]:
    """Means over some steps: the loss, and each layer's mismatch."""
    loss, mismatches = jax.tree.map(lambda *leaves: float(np.mean(leaves)), *window)
    return {
        "loss": loss,
        "kernel": {layer: part.kernel for layer, part in mismatches.items()},
        "centered": {layer: part.centered for layer, part in mismatches.items()},
    }


def _widths() -> dict[str, int]:
    """{convB_I: channels} as the flags say."""
    blocks = {layer: int(FLAGS.widths[int(layer[4]) - 1]) for layer in CONV_LAYERS}
    return blocks | {"conv5_1": FLAGS.conv5_1_width}


def _read_folder(folder: str) -> list[np.ndarray]:
    """The folder's pictures, the longer side at most ``LONG_SIDE``."""
    found = picture_files(folder, recursive=False)
    paths = [path for path in found if path.stem not in FLAGS.held_out]
    if not paths:
        raise InputError(f"{folder} holds no pictures to learn from")
    pictures = []
    for path in ProgressBar(paths, f"reading {folder}"):
        picture = read_image(path)
        height, width = picture.shape[:2]
        longest = Size("long", min(LONG_SIDE, max(height, width)))
        pictures.append(resize(picture, *output_size(height, width, longest)))
    return pictures


def _check_flags(arguments: Sequence[str]) -> None:
    if arguments:
        raise InputError(f"unexpected argument {arguments[0]}: see --help")
    for name in ("photos", "paintings"):
        folder = FLAGS[name].value
        if folder is None or not Path(folder).is_dir():
            raise InputError(f"--{name}={folder}: give a folder of pictures")
    if not FLAGS.workdir:
        raise InputError("give a --workdir")
    folder = Path(FLAGS.workdir)
    check_results(given=[folder / RESULT, folder / CHECKPOINT], inputs=[FLAGS.weights])
    if len(FLAGS.widths) != len(CHANNELS_PER_BLOCK) or not all(
        is_whole_number(width) and 1 <= int(width) <= channels
        for width, channels in zip(FLAGS.widths, CHANNELS_PER_BLOCK, strict=True)
    ):
        raise InputError(
            f"--widths={','.join(FLAGS.widths)}: give five numbers, at most "
            f"{','.join(map(str, CHANNELS_PER_BLOCK))}"
        )
    if FLAGS.batch_size % 2:
        raise InputError(f"--batch_size={FLAGS.batch_size}: give an even number")


if __name__ == "__main__":
    run_command("train_slim", __name__, __doc__ or "", main)
