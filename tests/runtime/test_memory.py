import platform
import subprocess
import sys
import types

import pytest

from nstjax.runtime import memory

# Pages that are zeroed anew while a block of 64 MiB is written for the second time.
COUNT_FAULTS = """
import resource, runpy, sys
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
        command = [sys.executable, "-c", COUNT_FAULTS, how, memory.__file__]
        return int(subprocess.run(command, capture_output=True, check=True).stdout)

    assert faults("keep") < faults("leave") / 10


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(memory.platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(memory.ctypes, "CDLL", None)
    memory.keep_freed_memory()
    memory.give_back_freed_memory()


def test_memory_is_given_back_in_the_first_steps_of_a_run(monkeypatch):
    given_back = []
    monkeypatch.setattr(memory, "give_back_freed_memory", lambda: given_back.append(1))
    found = []
    for steps_done in range(5):
        memory.settle_memory(steps_done)
        found.append(len(given_back))
    assert found == [0, 1, 2, 2, 2]


def test_a_programs_bytes_are_its_arguments_results_and_temporaries():
    analysis = types.SimpleNamespace(
        argument_size_in_bytes=100,
        output_size_in_bytes=30,
        alias_size_in_bytes=20,
        temp_size_in_bytes=5,
    )
    compiled = types.SimpleNamespace(memory_analysis=lambda: analysis)
    assert memory.program_bytes(compiled) == 115


def test_a_larger_share_of_the_memory_is_a_larger_budget():
    half, most = memory.default_budget(), memory.default_budget(0.8)
    assert memory.memory_in_use() < half < most
