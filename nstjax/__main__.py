"""``python -m nstjax`` is the ``nstjax`` command."""

from nstjax.cli import run

if __name__ == "__main__":
    run()
