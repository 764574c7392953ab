"""What the log of a job says: how far the job is, and why it failed."""

from __future__ import annotations

import os
import re
import signal
from typing import NamedTuple

TAIL = 8192
"""Bytes at the end of a log that are read."""
OWN = "ntkpipe: "
"""Start of a line in which a command says what is wrong."""
# the lines of `ntkpipe.progress`
STEP = re.compile(r"^(.+): step ([\d,]+) of ([\d,]+) \(\d+%, \d+ s\)$")
SEEDS = re.compile(r"\bseed (\d+)(?:–(\d+))?$")
STATUS = re.compile(r"returned non-zero exit status (\d+)|died with <Signals\.(SIG\w+)")
RAISED = re.compile(r"^[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit)\b.*")


STOPPED = "signal SIGINT"
"""Part of the reason of a job that Ctrl-C ended."""


class Progress(NamedTuple):
    """The last line of progress in a log."""

    text: str
    """`seed 12 of 60`, or `step 1,200 of 4,096`."""
    share: float | None
    """The share of the job that is done; None if the line does not tell."""


def tail(path: str, since: float = 0.0) -> str:
    """The end of a file; empty if it is missing or was last written before `since`."""
    try:
        if os.path.getmtime(path) < since:
            return ""
        with open(path, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - TAIL))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def progress(text: str, networks: int = 1) -> Progress | None:
    """The progress of a job with this many networks, from its log; None without one.

    Networks are trained one after the other, or in groups whose seeds are `0–7`.
    """
    for line in reversed(text.splitlines()):
        if found := STEP.match(line):
            break
    else:
        return None
    what, done, total = found[1], *(int(n.replace(",", "")) for n in found.groups()[1:])
    within = done / total if total else 1.0
    seeds = SEEDS.search(what)
    if not seeds:
        return Progress(f"{what.rpartition(', ')[2]} {found[2]} of {found[3]}", None)
    first, last = int(seeds[1]), int(seeds[2] or seeds[1])
    share = min(1.0, (first + (last - first + 1) * within) / max(networks, last + 1))
    if first == last and networks > 1:
        return Progress(f"seed {first + 1:,} of {networks:,}", share)
    return Progress(f"step {found[2]} of {found[3]}", share)


def reason(log: str, exception: str = "", said: str = "") -> str:
    """Why a job failed, in one sentence.

    Args:
        log: the end of its log.
        exception: Snakemake's message about the command, which has the exit status.
        said: what the executor says, for example that SLURM ended the job.
    """
    status = STATUS.search(exception)
    killed = _signal(status) if status else ""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    told = [line for line in lines if not STEP.match(line)]
    if killed == "SIGKILL":
        return "was killed (SIGKILL); often the machine has too little memory"
    if killed:
        return f"was ended by the signal {killed}"
    if told and told[-1].startswith(OWN):
        return told[-1].removeprefix(OWN)
    raised = [line for line in told if RAISED.match(line)]
    if "Traceback (most recent call last):" in log and raised:
        return f"stopped with {raised[-1]}"
    if said:
        return " ".join(said.split()).rstrip(". ")
    if told:
        return told[-1]
    number = f" with exit status {status[1]}" if status and status[1] else ""
    return f"failed{number}, and its log is empty"


def _signal(status: re.Match[str]) -> str:
    """The name of the signal that ended a command; empty if it ended by itself."""
    if status[2]:
        return status[2]
    number = int(status[1]) - 128  # as shells report it
    try:
        return signal.Signals(number).name if number > 0 else ""
    except ValueError:
        return ""
