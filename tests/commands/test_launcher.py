"""What every command does with names, its version, and streams of any encoding."""

import logging
import re
import threading

import pytest
from command_lines import SHALLOW, check_refused, good
from forked import run_forked
from tqdm import tqdm

from nstjax.commands import launcher as entry
from nstjax.runtime.interrupts import undisturbed
from nstjax.runtime.progress_bar import ProgressBar


def test_version(command):
    assert good(command, "photo.png", "--version").startswith("nstjax 0.")


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("a\x1b[2J.png", r"a\x1b[2J.png"),
        ("a\r\x00\x7f\x9b", r"a\r\x00\x7f\x9b"),
        ("two\nlines\t|", "two\nlines\t|"),
        ("Löwe 猫 ×", "Löwe 猫 ×"),
    ],
)
def test_control_characters_are_escaped(text, printed):
    assert entry.printable(text) == printed


def test_names_are_printed_with_escapes(studio, command):
    name = "pho\x1b[2Jto\udcff.png"
    # One size, so that one program serves both.
    (studio / "second.png").write_bytes((studio / "photo.png").read_bytes())
    (studio / "photo.png").rename(studio / name)
    flags = (*SHALLOW, "--preview_seconds=0")
    status, out, err = command("no\x1b[1m\udcff.png", "painting.png", *flags)
    check_refused(status, out, err, r"no\x1b[1m\udcff.png does not exist")
    out = good(command, name, "painting.png", *flags, "--output=o\x1b[1m\udcff.png")
    assert r"wrote o\x1b[1m\udcff.png" in out
    out = good(command, name, "--style=painting.png", "second.png", *flags,
               "--output=out")  # fmt: skip
    assert r"photo 1 of 2: pho\x1b[2Jto\udcff.png" in out


def test_hyphens_are_underscores_in_the_names_of_flags(studio, command):
    flags = ("--style-layers=relu5_1", "--no-clamp", "--no-upscale", "--size=15")
    refused = command("photo.png", "painting.png", *flags)
    check_refused(*refused, "15x11 pixels is too small for relu5_1")
    unknown = command("photo.png", "painting.png", "--no-such-flag")
    check_refused(*unknown, "Unknown command line flag 'no-such-flag'")


def test_notes_stand_above_a_progress_bar(capsys, monkeypatch):
    logger = logging.getLogger("nstjax")
    for name in ("handlers", "level", "propagate"):
        monkeypatch.setattr(logger, name, getattr(logger, name))
    entry._send_notes_to_stderr("nstjax")
    with tqdm(total=2):
        logger.info("over the %s", "b\x1bar")
    drawn = re.split(r"[\r\n]", capsys.readouterr().err)
    note = drawn.index(r"nstjax: note: over the b\x1bar")
    assert any("0/2" in line for line in drawn[note:])


def test_the_line_of_a_bar_ends_before_a_signal_is_answered(monkeypatch):
    def close(bar):
        answering = threading.Thread(target=answer)
        answering.start()
        answering.join()

    def answer():
        free.append(undisturbed().acquire(blocking=False))

    free = []
    bar = ProgressBar(total=1)
    with monkeypatch.context() as patched:
        patched.setattr(tqdm, "close", close)
        bar.close()
    bar.close()
    assert free == [False]


HELP = """
import os, sys
{}
from nstjax.commands.nstjax_fast import run
run()
"""


def test_help_is_printed_in_any_encoding():
    ascii = 'for each in sys.stdout, sys.stderr: each.reconfigure(encoding="ascii")'
    status, out, err = run_forked(HELP.format(ascii), "--help")
    assert (status, err) == (0, "")
    assert r"area:512, \u2026 or original" in out


def test_help_that_nobody_reads_is_one_line():
    closed = "ends = os.pipe(); os.close(ends[0]); os.dup2(ends[1], 1)"
    ended = run_forked(HELP.format(closed), "--help")
    assert ended == (2, "", "nstjax-fast: error: Broken pipe\n")


def test_home_is_expanded_in_flags_and_arguments(studio, command, monkeypatch):
    monkeypatch.setenv("HOME", str(studio))
    flags = (*SHALLOW, "--preview_seconds=0", "--output=~/out.png", "--workdir=~/run")
    out = good(command, "~/photo.png", "~/painting.png", *flags)
    assert f"wrote {studio}/out.png" in out
    assert (studio / "run" / "config.json").exists()
    assert not (studio / "~").exists()
