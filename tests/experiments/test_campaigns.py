"""The campaigns find what is wrong with a command, and nothing in one that is right."""

import json
import re

from forked import run_forked

# Commands that are not ours, so that they start at once.
GOOD = """
import os, pathlib, signal

def write(name):
    temporary = pathlib.Path(f".{name}-{os.getpid()}")
    temporary.write_text(name)
    temporary.rename(name)

def clean():
    for temporary in pathlib.Path().glob(".*"):
        temporary.unlink()

def answer(number, frame):
    clean()
    print("command: interrupted", flush=True)
    os._exit(128 + number)

for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
    signal.signal(number, answer)
clean()
for name in "abcd":
    write(name)
"""
COMMANDS = {
    "good": GOOD,
    "leaving": GOOD.replace("clean()\n", "pass\n"),
    "appending": GOOD.replace("write(name)\n", "open('a', 'a').write(name)\n"),
    "swallowing": GOOD.replace(", answer)", ", signal.SIG_IGN)"),
    "failing": GOOD.replace(", answer)", ", signal.default_int_handler)"),
}
# Each launcher in a process of its own, as its flags would meet those of others.
DRIVER = """
import json, runpy, sys
from experiments.campaigns import commands

name, scripts = sys.argv.pop(1), json.loads(sys.argv.pop(1))
commands.make_inputs = lambda folder: None
commands.make_commands = lambda inputs: {
    key: commands.Command(("-c", script)) for key, script in scripts.items()
}
runpy.run_module(f"experiments.campaigns.{name}", run_name="__main__")
"""
LEFT_OVER = re.compile(r"^work/\.[a-d]-\d+ is left over$", re.MULTILINE)


def faulty(name, commands, *flags):
    """{command: (tries, those with faults)}, and all that the faults say."""
    scripts = json.dumps({command: COMMANDS[command] for command in commands})
    # Before changes of files: the moments are the same on any machine.
    flags = ("--moments=changes", "--cache=warm", "--jobs=2", *flags)
    status, out, err = run_forked(DRIVER, name, scripts, *flags)
    assert status == 1, err
    told, _, table = out.rpartition("\nCommands that were ")
    rows = [re.split(r"\s{2,}", line.strip()) for line in table.splitlines()[1:]]
    faults = "\n".join(re.findall("FAULT: (.*)", told))
    return {row[0]: (row[1], row[-1]) for row in rows[1:]}, faults


def test_kills_are_survived_or_told():
    counts, faults = faulty("kills", ("good", "leaving", "appending"), "--tries=9")
    assert counts["good"] == ("3", "0")
    assert int(counts["leaving"][1]) and int(counts["appending"][1])
    assert counts["all"][0] == "9"
    assert LEFT_OVER.search(faults)
    assert re.search("^a is [0-9a-f]{12}, not [0-9a-f]{12}$", faults, re.MULTILINE)


def test_interrupts_are_answered_or_told():
    commands = ("good", "leaving", "swallowing", "failing")
    counts, faults = faulty("interrupts", commands, "--tries=12", "--again=1")
    assert counts["good"] == ("3", "0")
    assert int(counts["leaving"][1])
    assert counts["swallowing"] == counts["failing"] == ("3", "3")
    assert LEFT_OVER.search(faults)
    assert set(faults.splitlines()) >= {
        "the signal is swallowed: status 0",
        "ended by SIGINT",
        "no line tells of the interrupt",
        "shows 'Traceback (most recent'",
    }
