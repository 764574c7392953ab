"""Runs the words of `./run`: most of them become this process, with its exit status."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from ntkpipe.study.faults import StudyError
from ntkpipe.terminal import words as meaning

PAGE = Path(meaning.RESULTS, "index.html")
MOST_TESTS = 4
"""Processes of tests at most, because each takes up to 4 GB."""


def main(words: Sequence[str]) -> int:
    """Run the words; return 2 if they can't be understood."""
    try:
        return _run(list(words))
    except meaning.WordError as error:
        print(f"ntkpipe: {error}", file=sys.stderr)
    except StudyError as error:
        for fault in error.faults:
            print(f"ntkpipe: {fault}", file=sys.stderr)
    return 2


def _run(words: list[str]) -> int:
    verb, rest = (words[0], words[1:]) if words else ("", [])
    if verb in ("help", "--help", "-h"):
        print(meaning.help_text(shutil.get_terminal_size().columns))
        return 0
    if verb == "open":
        return show_page()
    if verb == "test":
        become(["pytest", *tests(cores(), rest)])
    if verb in ("ask", "replicate"):
        become(["ntkpipe", verb, *rest, "--cores", cores()])
    if verb == "verify":
        return verify(rest)
    become(snakemake(words))


def cores() -> str:
    """The number of cores of the variable CORES; `all` by default."""
    return os.environ.get("CORES") or "all"


def tests(number: str, rest: Sequence[str]) -> list[str]:
    """The arguments of pytest.

    There is a process more than cores, because some tests wait for other programs.
    """
    there = int(number) if number.isdigit() else os.cpu_count() or 1
    side_by_side = ["-n", str(there + 1), "--maxprocesses", str(MOST_TESTS)]
    return [*side_by_side, "--dist", "worksteal", *rest]


def snakemake(words: Sequence[str]) -> list[str]:
    """The module `snakemake` and its arguments.

    Snakemake's default scheduler would solve a linear programme each time a job ends.
    """
    found = meaning.arguments(words)
    return ["snakemake", "--scheduler", "greedy", "--cores", cores(), *found]


def verify(rest: list[str]) -> int:
    """Judge the verdicts that are there; `--run` first computes what is missing."""
    asked = [word for word in rest if word != "--run"]
    if "--run" in rest:
        status = subprocess.run(module(snakemake(asked)), check=False).returncode
        if status:
            return status
    names = asked[: next((i for i, w in enumerate(asked) if w[0] == "-"), len(asked))]
    folder = meaning.studies_folder(meaning.split(asked[len(names) :]))
    if len(names) < len(asked) and "--run" not in rest:
        raise meaning.WordError(f"verify: {asked[len(names)]} needs --run")
    become(["ntkpipe", "verify", *names, "--studies", str(folder)])


def show_page() -> int:
    """Open the page of all studies in the browser."""
    if not PAGE.exists():
        print("ntkpipe: there is no page yet; ./run makes it", file=sys.stderr)
        return 1
    address = PAGE.absolute().as_uri()
    print(address)
    if not webbrowser.open(address):
        print("ntkpipe: no browser was found; open this address", file=sys.stderr)
    return 0


def module(words: Sequence[str]) -> list[str]:
    """The command that runs a module of this Python, without the folder it is in."""
    return [sys.executable, "-P", "-m", *words]


def become(words: Sequence[str]) -> NoReturn:
    """Replace this process by a module, so that signals and exit status are its own."""
    sys.stdout.flush()
    os.execv(sys.executable, module(words))
