"""The last lines of a run: failures, verdicts, slowest studies, the page."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ntkpipe.stages import verify
from ntkpipe.terminal import symbols
from ntkpipe.terminal.board import Board, Failure
from ntkpipe.terminal.panel import clock
from ntkpipe.text import duration, many

SLOW = 3
"""Number of slowest studies that are named."""
SECONDS = 10.0
"""Studies that take less are not named as slow."""


def failed(failure: Failure) -> str:
    """A failed attempt in one sentence, with the log."""
    job = ": ".join(filter(None, (failure.job.study, failure.what)))
    again = "" if failure.is_final else "; it is tried again"
    log = f" ({failure.log})" if failure.log else ""
    symbol = symbols.FAILED if failure.is_final else symbols.AGAIN
    return f"{symbol} {job}: {failure.reason}{again}{log}"


def study_line(board: Board, study: str, verdict: str) -> str:
    """A study that has ended: its jobs, verdicts and time, and what is left."""
    good = study not in board.failed_studies()
    told = [many(board.jobs_of(study), "job")]
    if good and verdict:
        told.insert(0, f"{verdict} claims as expected")
    if not good:
        lost = [job for job in board.lost if board.planned[job].study == study]
        told.append(f"{len(lost)} failed or not run")
    told.append(f"jobs took {duration(board.spent[study])}")
    symbol = symbols.DONE if good else symbols.FAILED
    done = f"{len(board.ended_studies())} of {len(board.studies)} studies"
    return f"{symbol} {study}: {', '.join(told)} ({done}, {board.share():.0%})"


def lines(
    board: Board,
    judged: verify.Judged | None,
    page: Path | None,
    logs: str,
    stopped: bool,
) -> Iterator[str]:
    """The lines of the summary.

    Args:
        board: the state at the end.
        judged: the verdicts; None if the run was not asked for any.
        page: the page of all studies, if it is there.
        logs: the folder of logs.
        stopped: whether the run was stopped from outside.
    """
    if board.total:
        yield outcome(board, stopped)
    for failure in board.failed:
        yield f"  {failed(failure)}"
    if board.not_run:
        yield f"  not run, because of these: {many(board.not_run, 'job')}"
    if judged is not None:
        yield from verify.lines(judged)
    spent = sorted(board.spent.items(), key=lambda item: -item[1])
    slow = [(s, t) for s, t in spent if s and t >= SECONDS][:SLOW]
    named = ", ".join(f"{study} {duration(seconds)}" for study, seconds in slow)
    if len(board.studies) > 1 and named:
        yield f"slowest studies, all their jobs: {named}"
    if page is not None:
        old = " (of an earlier run)" if board.failed or stopped else ""
        yield f"page{old}: {os.path.abspath(page)}"
    if board.total:
        yield f"logs: {logs}/"


def outcome(board: Board, stopped: bool) -> str:
    """`done in 9:58 · 430 jobs, 0 failed, 1 tried again`."""
    did = "stopped" if stopped else "ended" if board.failed else "done"
    told = [
        f"{len(board.done):,} of {many(board.total, 'job')} done"
        if len(board.done) < board.total
        else many(board.total, "job")
    ]
    if board.failed or not stopped:
        told.append(f"{len(board.failed)} failed")
    if board.repeated:
        told.append(f"{board.repeated} tried again")
    time = f"{did} {'after' if did != 'done' else 'in'} {clock(board.elapsed())}"
    more = "; the same command goes on" if stopped else ""
    return f"{time} {symbols.DOT} {', '.join(told)}{more}"
