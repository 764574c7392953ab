"""Runs in the environment of a rival, and times its cases on request.

Requests and answers are lines of JSON. {"case": name, …} prepares a case and is
answered with {"ready": true}; {"run": "it"} runs this case once and is answered with
{"seconds": …}. A case is a function of sizes that returns the function to be timed.
Nothing of ntkpipe is imported here.
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
    os.dup2(2, 1)  # so that no output of a library is read as an answer
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
        except Exception as error:  # the row is then skipped
            answer = {"error": f"{type(error).__name__}: {error}"[:300]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    serve(importlib.import_module(sys.argv[1]).CASES)
