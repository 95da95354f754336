import platform
import subprocess
import sys

import pytest

from nstjax.runtime import allocator

# Pages that are zeroed anew while a block of 64 MiB is written for the second time.
COUNT_FAULTS = """
import resource
import runpy
import sys
import numpy as np
# Alone, without what the package imports.
keep_freed_memory = runpy.run_path(sys.argv[2])["keep_freed_memory"]
if sys.argv[1] == "keep":
    keep_freed_memory()
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(2**23)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's malloc only")
def test_freed_memory_is_kept_for_the_next_allocation():
    def faults(how):
        command = [sys.executable, "-c", COUNT_FAULTS, how, allocator.__file__]
        return int(subprocess.run(command, capture_output=True, check=True).stdout)

    assert faults("keep") < faults("leave") / 10


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(allocator.platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(allocator.ctypes, "CDLL", None)
    allocator.keep_freed_memory()
