import subprocess
import sys

import pytest

from ntkpipe import allocator

FAULTS = """
import resource
import numpy as np
from ntkpipe import allocator

if {keep}:
    assert allocator.keep_freed()
def step():
    a = np.ones(2**23)  # 64 MB, 16,384 pages
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(keep):
    run = [sys.executable, "-c", FAULTS.format(keep=keep)]
    return int(subprocess.run(run, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc is Linux's")
def test_freed_memory_serves_the_next_array():
    assert faults(keep=False) > 500  # each array is mapped anew
    assert faults(keep=True) < 50


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not allocator.keep_freed()
