"""Signals to small programs, which start at once: they import nothing else of ours."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

from nstjax.runtime import interrupts

LOAD = f"""
import importlib.util, os, signal, sys, time
# Whoever runs the tests with nohup has it ignored.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
spec = importlib.util.spec_from_file_location("interrupts", {interrupts.__file__!r})
interrupts = importlib.util.module_from_spec(spec)
spec.loader.exec_module(interrupts)
def wait():
    print("ready", flush=True)
    while not interrupts.requested():
        time.sleep(0.001)
"""
# The status as entry.run_command makes it.
SAVES = """
with interrupts.heeded("paint"):
    with interrupts.saving_on_interrupt("stopping after this step") as begin_saving:
        begin_saving()
        wait()
        {finish}
        print("saved", flush=True)
    sys.exit(interrupts.exit_status(0))
"""
FOREVER = "\n        while True: time.sleep(1)"


@pytest.fixture
def program():
    """Start a program and wait until it is ready: program(CODE) -> Popen."""
    started = []

    def start(code: str, **options) -> subprocess.Popen:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(
            [sys.executable, "-c", LOAD + code], text=True, **(pipes | options)
        )
        started.append(process)
        assert process.stdout is None or process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def end(process: subprocess.Popen) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=600)
    return process.returncode, out, err


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.mark.parametrize("number", SIGNALS)
def test_where_nothing_is_to_be_saved_all_is_cleaned_at_once(number, program, tmp_path):
    # What was made last first.
    process = program(
        f"""
def note(word):
    with open({str(tmp_path / "notes")!r}, "a") as file:
        file.write(word)
with interrupts.heeded("paint"):
    interrupts.advise("the same command again goes on")
    with interrupts.cleaned_up(lambda: note("a")):
        with interrupts.cleaned_up(lambda: note("b")):
            pass
        with interrupts.cleaned_up(lambda: note("c")):
            print("ready", flush=True)
            while True: time.sleep(1)
"""
    )
    process.send_signal(number)
    said = "paint: interrupted; the same command again goes on\n"
    assert end(process) == (128 + number, "", said)
    assert (tmp_path / "notes").read_text() == "ca"


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_asks_where_there_is_something_to_save(number, program):
    process = program(SAVES.format(finish="time.sleep(0.2)"))
    process.send_signal(number)
    more = "; press Ctrl-C again to stop now" if number == signal.SIGINT else ""
    said = f"paint: stopping after this step{more}\n"
    assert end(process) == (128 + number, "saved\n", said)


def test_ctrl_c_pressed_again_ends_at_once(program):
    process = program(SAVES.format(finish=FOREVER))
    process.send_signal(signal.SIGINT)
    assert "press Ctrl-C again" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    assert end(process) == (130, "", "paint: interrupted\n")


def test_other_signals_do_not_insist(program):
    # A service manager sends SIGHUP after SIGTERM, to have the same done.
    process = program(
        SAVES.format(finish="sys.stdin.readline()"), stdin=subprocess.PIPE
    )
    process.send_signal(signal.SIGTERM)
    assert "stopping after this step" in process.stderr.readline()
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    assert end(process) == (143, "saved\n", "")


def test_a_signal_that_comes_twice_at_once_is_one(program):
    process = program(SAVES.format(finish="time.sleep(0.2)"))
    # The program waits for its start: both are there before it answers.
    os.kill(process.pid, signal.SIGINT)
    os.kill(process.pid, signal.SIGINT)
    assert end(process)[:2] == (130, "saved\n")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("raise_all()\n    status = end(7)", (143, "", "paint: interrupted\n")),
        ("status = end(7)\n    raise_all()", (7, "", "")),
    ],
)
def test_a_signal_before_the_end_counts_and_one_after_it_does_not(
    code, expected, program
):
    process = program(
        f"""
end = interrupts.exit_status
def raise_all():
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.raise_signal(number)
with interrupts.heeded("paint"):
    print("ready", flush=True)
    {code}
    time.sleep(0.2)
    sys.exit(status)
"""
    )
    assert end(process) == expected


def test_sighup_stays_ignored_for_nohup(program):
    process = program(
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)"
        + SAVES.format(finish="pass").replace(
            "begin_saving()\n", "begin_saving()\n        os.kill(os.getpid(), 1)\n"
        )
    )
    process.send_signal(signal.SIGTERM)
    assert end(process)[:2] == (143, "saved\n")


def test_a_terminal_that_is_closed_does_not_keep_from_saving(program, tmp_path):
    master, terminal = os.openpty()
    saved = tmp_path / "saved"
    process = program(
        "os.close(os.open(os.ttyname(0), os.O_RDWR))"
        + SAVES.format(finish=f"open({str(saved)!r}, 'w').close()"),
        **dict.fromkeys(("stdin", "stdout", "stderr"), terminal),
        start_new_session=True,
    )
    os.close(terminal)
    assert b"ready" in os.read(master, 100)
    os.close(master)
    assert process.wait(600) == 129
    assert saved.exists()


def test_a_command_that_runs_another_leaves_the_answer_to_it(program):
    child = """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: exit(3))
print("ready", flush=True)
time.sleep(60)
"""
    process = program(
        f"""
with interrupts.heeded("paint"):
    try:
        interrupts.run_child([sys.executable, "-c", {child!r}])
    except SystemExit as ended:
        sys.exit(interrupts.exit_status(ended.code))
"""
    )
    process.send_signal(signal.SIGTERM)
    assert end(process) == (143, "", "")


def test_the_handlers_of_another_program_are_put_back():
    before = [signal.getsignal(number) for number in interrupts.NUMBERS]
    with interrupts.heeded("paint"):
        with interrupts.saving_on_interrupt("stopping") as begin_saving:
            begin_saving()
            assert not interrupts.requested()
            signal.raise_signal(signal.SIGINT)
            assert interrupts.requested()
        assert interrupts.exit_status(0) == 130
    assert [signal.getsignal(number) for number in interrupts.NUMBERS] == before


@pytest.mark.parametrize(
    ("argv", "orig_argv", "ours"),
    [
        (["/usr/bin/nstjax", "a.png"], ["python", "/usr/bin/nstjax", "a.png"], True),
        (["nstjax-fast.exe"], ["nstjax-fast.exe"], True),
        (["-m", "a.png"], ["python", "-X", "utf8", "-m", "nstjax", "a.png"], True),
        (["-m"], ["python", "-m", "experiments.sweep"], True),
        # Programs that import nstjax answer signals themselves.
        (["-m"], ["python", "-m", "pytest"], False),
        (["-m"], ["python", "-m", "nstjax_gallery.nstjax"], False),
        (["paint.py"], ["python", "paint.py", "-m", "nstjax"], False),
        ([""], ["python"], False),
        ([], ["python"], False),
    ],
)
def test_only_our_own_commands_heed_signals_early(argv, orig_argv, ours, monkeypatch):
    called = []
    monkeypatch.setattr(interrupts, "_heed", lambda: called.append(1))
    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.setattr(sys, "orig_argv", orig_argv)
    interrupts.heed_signals_of_a_command()
    assert bool(called) is ours


def test_an_interrupt_while_jax_is_imported_has_no_traceback(tmp_path):
    # The import stops there until the signal has come.
    (tmp_path / "jax").mkdir()
    (tmp_path / "jax" / "__init__.py").write_text(
        "import time\nprint('ready', flush=True)\ntime.sleep(60)\n"
    )
    root = pathlib.Path(interrupts.__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-m", "nstjax"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{root}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    assert end(process) == (130, "", "nstjax: interrupted\n")
