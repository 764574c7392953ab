"""Faults of jobs, for tests: python reads this file first where PYTHONPATH has it.

A file `$FAULTS/STAGE-VARIANT-WIDTH.KIND` says what befalls a job: `memory` takes more
than it asked for, once; `hang` waits, once; `fail` fails, each time.
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
