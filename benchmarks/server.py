"""Runs in the environment of a rival: times what it is asked for, line by line.

A line is the JSON of what to make ready, {"case": name, …}; the answer is {"ready": …}.
The line {"run": name} runs it once and is answered with {"seconds": …}. A case is a
function of its sizes that returns what is timed. Imports nothing of ntkpipe.
"""

import importlib
import json
import os
import sys
import time
from pathlib import Path


def serve(cases) -> None:
    """Answer lines until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    ready = {}
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            if "run" in asked:
                begin = time.perf_counter()
                ready[asked["run"]]()
                answer = {"seconds": time.perf_counter() - begin}
            else:
                ready.clear()
                run = cases[asked.pop("case")](**asked)
                run()  # compiles
                ready["it"] = run
                answer = {"ready": True}
        except Exception as error:  # the row is then printed as skipped
            answer = {"error": f"{type(error).__name__}: {error}"[:300]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    serve(importlib.import_module(sys.argv[1]).CASES)
