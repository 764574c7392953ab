"""Settings of a job's process: glibc keeps freed memory."""

import os
import subprocess
import sys

import pytest

from ntkpipe import runtime

FAULTS = """
import resource
import numpy as np

def step():
    a = np.ones(2**23)  # 64 MB, 16,384 pages
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(variables):
    others = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    run = [sys.executable, "-c", FAULTS]
    done = subprocess.run(
        run, check=True, capture_output=True, text=True, env=others | variables
    )
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc is Linux's")
def test_freed_memory_serves_the_next_array():
    assert faults({}) > 500  # memory is mapped again for each array
    assert faults(runtime.KEEP_FREED) < 50
