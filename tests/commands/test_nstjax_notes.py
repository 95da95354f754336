"""What the command says of a run that may not be what somebody wanted."""

import re

import pytest
from command_lines import ONE, good
from PIL import Image

ENLARGED = (
    "nstjax: note: the photo has 64x48 pixels and is enlarged to 80x60: --no_upscale "
    "paints it at its own size\n"
)
FEW = (*ONE, "--style_layers=relu1_1", "--content_layers=relu1_1")
STILL = (*FEW, "--steps=10", "--learning_rate=1e-9")
PYRAMID = ("--pyramid=2", "--pyramid_min_size=24", "--pyramid_steps=2")


def size_of(path: str) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_enlargement_is_told_and_can_be_left_out(studio, command):
    status, _, err = command(*FEW, "--size=80")
    assert (status, err, size_of("out.png")) == (0, ENLARGED, (80, 60))
    own_size = (*FEW, "--size=80", "--no_upscale", "--workdir=run")
    good(command, *own_size)
    assert size_of("out.png") == (64, 48)
    good(command, *own_size, "--resume", "--steps=3")
    good(command, *FEW, "--size=48", "--no_upscale")
    assert size_of("out.png") == (48, 36)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--log_every=3",), True),
        (("--log_every=100",), True),
        (("--steps=9",), False),
        (("--log_every=100", *PYRAMID), False),
        (PYRAMID, True),
        (("--learning_rate=10",), False),
    ],
)
def test_a_run_that_did_nothing_is_told(flags, told, studio, command):
    status, _, err = command(*STILL, *flags)
    note = "nstjax: note: the loss only fell from .*: try more --steps, another --init "
    assert status == 0
    assert re.fullmatch(f"{note}or --optimizer=adam\n" if told else "", err)
