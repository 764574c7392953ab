"""Failures of jobs, for tests. Python runs this file first if PYTHONPATH contains it.

A file `$FAULTS/STAGE-VARIANT-WIDTH.KIND` makes a job fail. `memory`: it once takes more
memory than requested; `hang`: it once waits; `fail`: it fails each time.
"""

import itertools
import os
import sys
import time
from pathlib import Path


def fault(words):
    value = dict(itertools.pairwise(words))
    job = f"{value['ntkpipe']}-{value.get('--variant')}-{value.get('--width')}"
    for kind in ("memory", "hang", "fail"):
        order = Path(os.environ["FAULTS"], f"{job}.{kind}")
        if order.exists():
            if kind == "fail":
                os._exit(1)
            order.rename(order.with_suffix(".done"))
            held = b"x" * (2 * 10**9 if kind == "memory" else 1)
            time.sleep(300)
            del held


if "FAULTS" in os.environ and "ntkpipe" in sys.orig_argv:
    fault(sys.orig_argv)
