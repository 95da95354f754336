"""``python -m nstjax`` is the ``nstjax`` command."""

from nstjax.commands.nstjax import run

if __name__ == "__main__":
    run()
