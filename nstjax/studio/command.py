"""The ``nstjax-studio`` command's flags."""

import os
import secrets
import socket
import threading
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from nstjax.commands import launcher
from nstjax.commands.path_flags import define_path
from nstjax.errors import InputError
from nstjax.io.locks import LOCK, held

USAGE = """
nstjax in the browser: drop a photo and a painting, and watch it being painted.

  nstjax-studio                       open the page at http://127.0.0.1:8000
  nstjax-studio --port=8080           on another port
"""

flags.DEFINE_integer(
    *("port", 8000, "Port of the page."), lower_bound=1, upper_bound=65535
)
flags.DEFINE_string(
    "host",
    "127.0.0.1",
    "Address to listen on. With any other than this machine's own, the page can be "
    "opened from elsewhere, with the token that is printed.",
)
flags.DEFINE_boolean("browser", True, "Open the page in the browser.")
define_path(
    "folder",
    "~/nstjax-studio",
    "Folder of the studio's pictures and runs; it is made if it is not there.",
)

FLAGS = flags.FLAGS


def main(arguments: Sequence[str]) -> int:
    """Serve the page until somebody stops it."""
    if arguments:
        raise InputError(
            f"{arguments[0]} is not expected: pictures are dropped on the page"
        )
    try:
        from nstjax.studio.access import LOOPBACK, address_of, own_hosts
        from nstjax.studio.server import make_app
        from nstjax.studio.serving import Serving
    except ImportError as error:
        if error.name not in ("starlette", "uvicorn"):
            raise
        raise InputError(
            'the page takes two more packages: pip install "nstjax[studio]"'
        ) from None
    host, port = FLAGS.host, FLAGS.port
    folder = Path(FLAGS.folder).expanduser()
    token = None if host in LOOPBACK else secrets.token_urlsafe(24)
    query = f"?token={token}" if token else ""
    address = f"http://{address_of(host)}:{port}/{query}"
    app = make_app(folder, own_hosts(host, port), token)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--folder={folder} is a file: give a folder")
    otherwise = "stop the studio that uses it, or choose another --folder"
    with held(folder / LOCK, str(folder), otherwise), _listening(host, port) as own:
        print(f"nstjax-studio: {address} (Ctrl-C ends it; files are in {folder})")
        if FLAGS.browser:
            threading.Timer(1.0, webbrowser.open, [address]).start()
        Serving(app).run(sockets=[own])
    return 0


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens there."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        # Of a name that is not known the number is below 0.
        number = error.errno or 0
        why = os.strerror(number) if number > 0 else error.strerror or error
        raise InputError(
            f"no page can be served at {host}, port {port} ({why}): give another "
            "--port or --host"
        ) from None


def run() -> None:
    """Entry point of the console script."""
    launcher.run_command("nstjax-studio", __name__, USAGE, main)


if __name__ == "__main__":
    run()
