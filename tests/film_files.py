"""Videos that the ffmpeg program makes."""

import subprocess

import imageio_ffmpeg


def ffmpeg(*arguments, frames=None):
    """Run ffmpeg, and what it writes to standard output."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *map(str, arguments)]
    done = subprocess.run(command, check=True, input=frames, stdout=subprocess.PIPE)
    return done.stdout


def lavfi(source, *arguments):
    """Run ffmpeg on one of its own sources."""
    return ffmpeg("-f", "lavfi", "-i", source, *arguments)
