"""The live panel: one line of progress, the running jobs, the finished studies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from ntkpipe.terminal import logs, symbols
from ntkpipe.terminal.board import Board, Started
from ntkpipe.text import many

if TYPE_CHECKING:
    from rich.console import RenderableType

NARROW = 80
"""Columns below which the panel leaves out what is less important."""
ROWS = 12
"""Running jobs that are shown at most."""
NAME = 20
"""Columns of the name of a study at most."""


def clock(seconds: float) -> str:
    """`0:41`, `6:12`, `1:06:12`."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def about(seconds: float) -> str:
    """An estimate: `20 s`, `3:50`, `2 h`, coarser the longer it is."""
    if seconds < 60:
        return f"{max(5, round(seconds / 5) * 5)} s"
    if seconds < 600:
        return clock(round(seconds / 10) * 10)
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes / 60:.0f} h"


def head(board: Board) -> str:
    """What runs: `ntkpipe · 12 studies · 240 jobs · 2 cores`."""
    parts = ["ntkpipe"]
    if board.studies:
        parts.append(many(len(board.studies), "study", "studies"))
    parts.append(many(board.total, "job"))
    if board.remote_jobs:
        parts.append(f"at most {many(board.remote_jobs, 'job')} at once")
    else:
        parts.append(many(board.cores, "core"))
    return f" {symbols.DOT} ".join(parts)


def times(board: Board, narrow: bool = False) -> str:
    """`6:12 elapsed, about 3:50 left`."""
    left = board.seconds_left()
    shown = "" if left is None else f"about {about(left)} left"
    elapsed = clock(board.elapsed())
    if narrow:
        return shown or elapsed
    return f"{elapsed} elapsed" + (f", {shown}" if shown else "")


def counts(board: Board) -> Text:
    """`✓ 11 studies  ▶ 2 running  ✗ 0`, or jobs where no study is known."""
    text = Text()
    if board.studies:
        ended, failed = board.ended_studies(), board.failed_studies()
        good = sum(study not in failed for study in ended)
        done = many(good, "study", "studies")
    else:
        done = f"{len(board.done):,} of {many(board.total, 'job')}"
    failures = len(board.failed)
    text.append(f"{symbols.DONE} {done}", "green")
    text.append(f"   {symbols.RUNNING} {len(board.running)} running", "cyan")
    text.append(f"   {symbols.FAILED} {failures}", "bold red" if failures else "dim")
    return text


def panel(
    board: Board,
    verdicts: Mapping[str, str],
    columns: int,
    lines: int,
    progress: Mapping[int, logs.Progress],
) -> RenderableType:
    """The panel for a terminal of this size.

    Args:
        board: the state of the run.
        verdicts: `5 of 5` for each study with verdicts.
        columns: of the terminal.
        lines: of the terminal.
        progress: the last line of progress of running jobs, by their number.
    """
    narrow = columns < NARROW
    whole = Table.grid(expand=True)
    whole.add_column(no_wrap=True, overflow="ellipsis")
    top = Table.grid(expand=True, padding=(0, 1))
    top.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    top.add_column(justify="right", no_wrap=True)
    top.add_row(Text(head(board), "bold"), times(board, narrow))
    whole.add_row(top)
    share = board.share()
    line = Text(f" {symbols.bar(share, 12 if narrow else 40)} {share:4.0%}   ")
    whole.add_row(line + counts(board))
    room = max(1, min(ROWS, lines - 5))
    started = sorted(board.running.values(), key=lambda one: one.at)
    if len(started) > room:
        shown, more = started[: room - 1], len(started) - room + 1
    else:
        shown, more = started, 0
    if shown:
        whole.add_row(_jobs(board, shown, progress, narrow))
    if more:
        whole.add_row(Text(f"   and {more} more running", "dim"))
    if verdicts:
        text = f" {symbols.DOT} ".join(f"{s} {v}" for s, v in verdicts.items())
        whole.add_row(Text(f" {symbols.DONE} {_end_of(text, columns - 4)}", "green"))
    return whole


def _jobs(
    board: Board,
    shown: list[Started],
    progress: Mapping[int, logs.Progress],
    narrow: bool,
) -> Table:
    """A row for each running job: study, job, progress, time."""
    table = Table.grid(expand=True, padding=(0, 1))
    table.add_column(width=2, no_wrap=True)
    most = NAME // 2 if narrow else NAME
    longest = max(len(one.job.study) for one in shown)
    table.add_column(width=min(most, longest), no_wrap=True, overflow="ellipsis")
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column(no_wrap=True, overflow="ellipsis")
    table.add_column(justify="right", no_wrap=True)
    for one in shown:
        found = progress.get(one.job.id)
        table.add_row(
            Text(f" {symbols.RUNNING}", "cyan"),
            Text(one.job.study),
            Text(one.what),
            Text(found.text if found else "", "dim"),
            clock(board.clock() - one.at),
        )
    return table


def _end_of(text: str, width: int) -> str:
    """The end of a text that is too long: the studies that ended last."""
    return text if len(text) <= width else f"…{text[len(text) - width + 1 :]}"
