"""Processes that start at once: forked from one that has imported already.

Each is a process of its own, with the signals, the files and the end of one; only
importing, which takes seconds, was done before. Nothing of JAX runs when it is forked.
"""

import atexit
import functools
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

from programs import ROOT, SIGNALED

# The parts of nstjax without those that define flags.
PARTS = "import nstjax.commands.transfer, nstjax.commands.launcher, nstjax.runs.session"
SERVER = """
import gc, json, os, sys
exec(sys.argv[1])
# A process that ends looks through what is not frozen for garbage.
gc.freeze()
assert len(os.listdir("/proc/self/task")) == 1 or sys.platform != "linux"
for line in sys.stdin:
    request = json.loads(line)
    child = os.fork()
    if not child:
        break
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
else:
    sys.exit()
for number, name in enumerate([os.devnull, *request["outputs"]]):
    file = os.open(name, os.O_RDWR)
    os.dup2(file, number)
    os.close(file)
os.chdir(request["folder"])
os.environ.clear()
os.environ.update(request["environment"])
sys.argv = ["-c", *request["arguments"]]
exec(request["code"], {"__name__": "__main__"})
"""

NSTJAX = """
import runpy
runpy.run_module("nstjax", run_name="__main__", alter_sys=True)
"""


@functools.cache
def server(imports: str) -> subprocess.Popen[str]:
    """A process that forks; it ends with its standard input."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    started = subprocess.Popen(
        [sys.executable, "-c", SERVER, imports],
        # Threads of NumPy's products would not survive forking.
        env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(started.communicate)
    return started


def run_forked(
    code: str, *arguments: object, imports: str = PARTS
) -> tuple[int, str, str]:
    """Run code with arguments: its status, and what it wrote to out and err."""
    started = server(imports)
    with tempfile.TemporaryDirectory() as folder:
        outputs = [pathlib.Path(folder, name) for name in ("out", "err")]
        for output in outputs:
            output.touch()
        request = {
            "code": code,
            "arguments": [*map(str, arguments)],
            "folder": os.getcwd(),
            "environment": dict(os.environ),
            "outputs": [str(output) for output in outputs],
        }  # fmt: skip
        print(json.dumps(request), file=started.stdin, flush=True)
        status = int(started.stdout.readline())
        out, err = (output.read_text(encoding="utf-8") for output in outputs)
    return status, out, err


def killed_after(
    function: str, module: str, *arguments: object, count: int = 1
) -> None:
    """Run a program, which is killed as a function returns for that time.

    No sooner and no later, however busy the machine is.
    """
    status, _, err = run_forked(
        SIGNALED, int(signal.SIGKILL), function, count, module, *arguments
    )
    assert status == -signal.SIGKILL, err
