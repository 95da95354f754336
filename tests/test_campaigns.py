"""The campaigns find what is wrong with a command, and nothing else."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
# Commands that are not ours, so that they start at once. Each of their files is written
# beside its place and put there.
BEGIN = """
import os, pathlib, signal, sys

def write(name):
    temporary = pathlib.Path(f".{name}")
    temporary.write_text(name)
    temporary.rename(name)

def clean(*_):
    for temporary in pathlib.Path().glob(".*"):
        temporary.unlink()

def answer(number, frame):
    CLEAN()
    print("command: interrupted", flush=True)
    os._exit(128 + number)

for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
    signal.signal(number, ANSWER)
CLEAN()
"""
WRITE = "for name in 'abcd':\n    write(name)\n"
APPEND = "for name in 'abcd':\n    open('log', 'a').write(name)\n"
GOOD, CLEAN = "good", {"ANSWER": "answer", "CLEAN": "clean"}
COMMANDS = {
    GOOD: (WRITE, CLEAN),
    "leaving": (WRITE, CLEAN | {"CLEAN": "len"}),
    "swallowing": (WRITE, CLEAN | {"ANSWER": "signal.SIG_IGN"}),
    "failing": (WRITE, CLEAN | {"ANSWER": "signal.default_int_handler"}),
    "appending": (APPEND, CLEAN),
}
DRIVER = """
import json, os, sys
from experiments.campaigns import commands
from nstjax.entry import run_command

name, code = sys.argv.pop(1), sys.argv.pop(1)
given = {key: commands.Command(("-c", text)) for key, text in json.loads(code).items()}
commands.make_commands = lambda inputs: given
commands.make_inputs = lambda folder: None
module = __import__(f"experiments.campaigns.{name}", fromlist=["main"])
run_command(name, module.__name__, "", module.main)
"""
