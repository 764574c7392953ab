"""Snakemake's logger plugin `ntkpipe`: a live panel, or a few lines without a terminal.

Snakemake sends every message to `LogHandler.emit`, in a thread of its own. The messages
also go to the file in .snakemake/log, which has all of them.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

if TYPE_CHECKING:
    from ntkpipe.study import Study
    from ntkpipe.terminal.board import Planned
    from ntkpipe.terminal.screen import Screen

NAME = "ntkpipe"
"""The name of the plugin: `snakemake --logger ntkpipe`."""


class LogHandler(LogHandlerBase):
    """Shows a run of Snakemake.

    Snakemake's own messages are shown as they are in a dry run, and if its options ask
    for them (--verbose, --printshellcmds, --debug-dag). They are also shown from the
    moment at which this class itself fails, so that no message is lost.
    """

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def __post_init__(self) -> None:
        settings = self.common_settings
        self.own = self._snakemakes_own()
        self.is_plain = bool(
            settings.dryrun
            or settings.verbose
            or settings.printshellcmds
            or settings.debug_dag
        )
        quiet = {str(word).lower() for word in settings.quiet or ()}
        self.is_plan = settings.dryrun and {"rules", "progress"} <= quiet
        self.screen: Screen | None = None
        self.studies: Mapping[str, Study] = {}
        self.results = "results"
        self._closed = False

    # ------------------------------------------------------------ what it is told

    def introduce(
        self,
        studies: Mapping[str, Study],
        results: str,
        logs: str,
        targets: Callable[[], Iterable[str]],
    ) -> None:
        """Take the studies of the run and its folders; a function gives its targets.

        The Snakefile calls this before any job is planned.
        """
        self.studies, self.results = studies, results
        if self.common_settings.dryrun:
            return
        from ntkpipe.terminal.screen import Screen

        with self.lock or threading.RLock():
            self.screen = Screen(self.common_settings, studies, results, logs, targets)

    def plan(self, jobs: Iterable[Planned]) -> None:
        """Take the jobs of the run. The Snakefile calls this before the first job."""
        with self.lock or threading.RLock():
            if self.screen:
                self.screen.board.plan(jobs)

    # ------------------------------------------------------------ messages

    def emit(self, record: logging.LogRecord) -> None:
        """Show a message of Snakemake."""
        try:
            self._emit(record)
        except BrokenPipeError:
            raise
        except Exception as error:
            self._give_up(error)
            self.own.handle(record)

    def _emit(self, record: logging.LogRecord) -> None:
        event = getattr(record, "event", None)
        if event is LogEvent.ERROR and (said := self._explained(record)):
            self._print(said)
            return
        if self.screen:
            self.screen.take(event, record, self.is_plain)
        if self.is_plan and record.levelno < logging.WARNING:
            return  # the table of costs follows
        if self.is_plain or not self.screen:
            self.own.handle(record)

    def _explained(self, record: logging.LogRecord) -> str:
        """A sentence about a target that no rule makes, in place of the exception."""
        if getattr(record, "exception", "") != "MissingRuleException":
            return ""
        from ntkpipe.terminal import misses

        found = misses.TARGET.search(str(record.msg))
        text = found and misses.miss(found[1], self.studies, self.results)
        return f"ntkpipe: {text}" if text else ""

    def _print(self, text: str) -> None:
        if self.screen:
            self.screen.print(text)
        else:
            print(text, file=sys.stderr)

    # ------------------------------------------------------------ its end

    def close(self) -> None:
        """Print the summary."""
        if not self._closed:
            self._closed = True
            try:
                if self.screen:
                    self.screen.end()
            except BrokenPipeError:
                pass
            except Exception as error:
                self._give_up(error)
        super().close()

    def _give_up(self, error: Exception) -> None:
        """Show Snakemake's own messages from now on."""
        screen, self.screen = self.screen, None
        if screen:
            screen.stop()
        print(
            f"ntkpipe: the panel stopped ({type(error).__name__}: {error}); the run "
            "goes on with Snakemake's own messages",
            file=sys.stderr,
        )

    def _snakemakes_own(self) -> logging.Handler:
        """The handler that Snakemake has without a plugin."""
        from snakemake.logging import (
            ColorizingTextHandler,
            DefaultFilter,
            DefaultFormatter,
        )

        settings: Any = self.common_settings
        handler = ColorizingTextHandler(
            nocolor=settings.nocolor,
            stream=sys.stdout if settings.stdout else sys.stderr,
        )
        handler.addFilter(
            DefaultFilter(
                settings.quiet,
                settings.debug_dag,
                settings.verbose,
                settings.dryrun,
                settings.printshellcmds,
            )
        )
        handler.setFormatter(
            DefaultFormatter(settings.quiet, settings.show_failed_logs)
        )
        return handler
