"""The terminal of a run: what is shown of each message, and when.

On a terminal this is the panel. Elsewhere (CI, SLURM, a pipe) it is one line for each
study. Failures, warnings and the summary are shown on both.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text
from snakemake.settings.enums import Quietness
from snakemake_interface_logger_plugins.common import LogEvent

from ntkpipe.stages import verify
from ntkpipe.study import Study
from ntkpipe.terminal import logs, panel, summary, symbols
from ntkpipe.terminal.board import Board, Started
from ntkpipe.text import duration

TICK = 1.0
"""Seconds between two drawings of the panel."""
STYLES = {
    symbols.DONE: "green",
    symbols.FAILED: "bold red",
    symbols.AGAIN: "yellow",
    "ntkpipe:": "bold",
}
"""Style of a line, by its first word."""
CHATTER = (
    "Assuming unrestricted shared filesystem",
    "Building DAG of jobs",
    "Complete log(s):",
    "Conda environments: ignored",
    "Elapsed time:",
    "Exiting because a job execution failed",
    "Group jobs: inactive",
    "Job rate limit reached",
    "Removing output files of failed job",
    "Select jobs to execute",
    "Shutting down, this might take some time",
    "Singularity containers: ignored",
    "Trying to restart job",
    "Using shell:",
    "WorkflowError:\nAt least one job did not complete successfully",
)
"""Starts of Snakemake's messages that the panel replaces."""
STOPS = ("Terminating processes on user request", "Will exit after finishing")
"""Starts of Snakemake's messages that a run was stopped from outside."""
NOTHING = "Nothing to be done"
COMMAND_FAILED = ("returned non-zero exit status", "died with <Signals.")
SILENT = {*LogEvent} - {LogEvent.ERROR}
"""Events that are not shown as messages."""


class Screen:
    """What a terminal shows of a run."""

    def __init__(
        self,
        settings: Any,
        studies: Mapping[str, Study],
        results: str,
        logs_folder: str,
        targets: Callable[[], Iterable[str]],
    ):
        self.studies, self._targets = studies, targets
        self.results, self.logs = results, logs_folder
        quiet = {*(settings.quiet or ())}
        self.is_silent = Quietness.ALL in quiet
        self.is_quiet = bool(
            {Quietness.ALL, Quietness.RULES, Quietness.PROGRESS} & quiet
        )
        self.console = Console(
            file=symbols.Stream(sys.stderr),  # type: ignore[arg-type]
            no_color=True if settings.nocolor else None,
            highlight=False,
            markup=False,
            emoji=False,
        )
        self.board = Board(studies=tuple(studies), share_of=self._share)
        self.progress: dict[int, logs.Progress] = {}
        self.verdicts: dict[str, str] = {}
        self.exceptions: list[str] = []
        self.is_stopped = self.has_run = False
        self._said: set[str] = set()
        self._lock = threading.RLock()
        self._live: Live | None = None
        self._ended = threading.Event()

    @property
    def has_panel(self) -> bool:
        """Whether the panel is shown."""
        console = self.console
        return (
            console.is_terminal and not console.is_dumb_terminal and not self.is_quiet
        )

    # ------------------------------------------------------------ messages

    def take(self, event: LogEvent | None, record: Any, plain: bool) -> None:
        """Count what a message of Snakemake says, and show it.

        With `plain`, Snakemake's own messages are shown in its place, by the caller.
        """
        with self._lock:
            for line in self._counted(event, record):
                if not plain:
                    self.print(line)
            if not plain and self._is_shown(event, record):
                self.print(str(record.msg))

    def _counted(self, event: LogEvent | None, record: Any) -> list[str]:
        """Lines about what has changed."""
        board = self.board
        if event is LogEvent.RESOURCES_INFO:
            board.cores = getattr(record, "cores", None) or board.cores
            board.remote_jobs = getattr(record, "nodes", None) or board.remote_jobs
        elif event is LogEvent.RUN_INFO:
            board.total = record.stats["total"]
            self.has_run = True
        elif event is LogEvent.JOB_INFO:
            return self._started(record)
        elif event is LogEvent.JOB_FINISHED:
            job = board.finish(record.job_id)
            if job and job.stage == "claims":
                self._judge(job.study)
            return self._ended_lines()
        elif event is LogEvent.JOB_ERROR:
            return [*self._failed(record), *self._ended_lines()]
        elif event is None:
            self._read(str(record.msg))
        elif event is LogEvent.ERROR and _is_of_command(record):
            self.exceptions.append(str(record.msg))
        return []

    def _started(self, record: Any) -> list[str]:
        study, _, what = (record.rule_msg or "").partition(": ")
        if study not in self.studies:
            study, what = "", record.rule_msg or record.rule_name
        log = record.log[0] if record.log else ""
        first = not (self.board.running or self.board.done or self.board.failures)
        self.board.start(
            record.jobid, record.rule_name, study, what, log, record.threads
        )
        if first and not self.is_quiet:
            if self.has_panel:
                self._show_panel()
            else:
                left = self.board.seconds_left()
                about = f" {symbols.DOT} about {duration(left, True)}" if left else ""
                return [panel.head(self.board) + about]
        return []

    def _failed(self, record: Any) -> list[str]:
        told = [text for text in self.exceptions if record.shellcmd in text]
        log = next((path for path in record.log if Path(path).is_file()), "")
        exception, said = (told or [""])[-1], record.rule_msg or ""
        reason = logs.reason(logs.tail(log), exception, said)
        if self.is_stopped or logs.STOPPED in reason:  # by Ctrl-C
            self.board.cancel(record.jobid)
            return []
        shown = log or next(iter(record.log), "")
        failure = self.board.fail(record.jobid, record.rule_name, reason, shown)
        return [summary.failed(failure)]

    def _read(self, text: str) -> None:
        """A message without an event."""
        if text.startswith("Trying to restart job "):
            self.board.tried_again(int(text.split()[-1].rstrip(".")))
        self.is_stopped |= text.startswith(STOPS)
        self.has_run |= text.startswith(NOTHING)

    def _judge(self, study: str) -> None:
        found = verify.judged([self.studies[study]], self.results)
        self.verdicts[study] = verify.short(found.rows)

    def _ended_lines(self) -> list[str]:
        """A line for each study of which no job is left, without a panel."""
        if self.has_panel or self.is_quiet:
            return []
        ended = [s for s in self.board.ended_studies() if self.board.jobs_of(s)]
        new = [study for study in ended if study not in self._said]
        self._said.update(new)
        return [
            summary.study_line(self.board, study, self.verdicts.get(study, ""))
            for study in new
        ]

    def _is_shown(self, event: LogEvent | None, record: Any) -> bool:
        """Whether the text of a message is shown."""
        text = str(record.msg)
        if event in SILENT or text in ("", "None") or text.startswith(CHATTER):
            return False
        if event is LogEvent.ERROR and _is_of_command(record):
            return False
        if record.levelno < logging.INFO:
            return False
        return not self.is_silent or record.levelno >= logging.ERROR

    def print(self, text: str) -> None:
        """Print a text; above the panel if there is one."""
        with self._lock:
            style = STYLES.get(text.lstrip().partition(" ")[0], "")
            self.console.print(Text(text, style), soft_wrap=not self._live)

    # ------------------------------------------------------------ panel

    def _share(self, started: Started) -> float | None:
        found = self.progress.get(started.job.id)
        return found.share if found else None

    def _show_panel(self) -> None:
        self._live = Live(
            console=self.console,
            auto_refresh=False,
            transient=True,
            vertical_overflow="crop",
        )
        self._live.start()
        threading.Thread(target=self._ticks, name="panel", daemon=True).start()

    def _ticks(self) -> None:
        while not self._ended.wait(TICK):
            try:
                with self._lock:
                    self._draw()
            except Exception as error:
                self.stop()
                self.print(f"ntkpipe: the panel stopped: {error!r}; the run goes on")

    def _draw(self) -> None:
        if self._live is None:
            return
        for id, started in self.board.running.items():
            age = self.board.clock() - started.at
            text = logs.tail(started.log, time.time() - age - 1)
            if found := logs.progress(text, started.job.networks):
                self.progress[id] = found
        shown = panel.panel(
            self.board,
            {study: verdict for study, verdict in self.verdicts.items() if verdict},
            self.console.width,
            self.console.height,
            self.progress,
        )
        self._live.update(shown, refresh=True)

    def stop(self) -> None:
        """Remove the panel."""
        self._ended.set()
        with self._lock:
            live, self._live = self._live, None
        if live:
            live.stop()

    # ------------------------------------------------------------ end

    def end(self) -> None:
        """Remove the panel and print the summary."""
        self.stop()
        if self.is_silent or not self.has_run:
            return
        targets = {*map(str, self._targets())}
        asked, page = self._asked(targets), Path(self.results, "index.html")
        found = verify.judged(asked, self.results) if asked else None
        whole = len(asked) == len(self.studies)
        for line in summary.lines(
            self.board,
            found,
            page if whole and page.exists() else None,
            self.logs,
            self.is_stopped,
        ):
            self.print(line)
        for target in sorted(targets):
            if target.startswith(self.results) and Path(target).is_file():
                self.print(f"made: {Path(target).absolute()}")

    def _asked(self, targets: set[str]) -> list[Study]:
        """The studies whose verdicts belong to the targets of the run."""
        page = {"all", "report", f"{self.results}/index.html"}
        if not targets or page & targets:
            return [*self.studies.values()]
        tables = {s: f"{self.results}/{s}/claims.csv" for s in self.studies}
        return [s for n, s in self.studies.items() if tables[n] in targets]


def _is_of_command(record: Any) -> bool:
    """Whether an exception only says that the command of a job failed."""
    return any(part in str(record.msg) for part in COMMAND_FAILED)
