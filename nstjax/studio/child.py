"""A command of ours that ends when the studio does.

Run as ``python -m nstjax.studio.child nstjax ARGUMENTS``. Its standard input is a pipe
from the studio: once that is gone, however it ended, the command is asked to stop, and
writes its checkpoint.
"""

import os
import signal
import sys
import threading

from nstjax.runtime import interrupts


def main() -> None:
    """Run the command that the arguments are."""
    threading.Thread(target=_stop_at_the_end_of_input, daemon=True).start()
    del sys.argv[0]
    if sys.argv[0] == "nstjax":
        from nstjax.commands.nstjax import run
    elif sys.argv[0] == "nine":
        from nstjax.studio.nine import run
    else:
        from nstjax.commands.nstjax_fast import run
    run()


def _stop_at_the_end_of_input() -> None:
    # Not by sys.stdin, whose lock would be in the way of Python's own end.
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    interrupts.heed_signals_of_a_command()
    main()
