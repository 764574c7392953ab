"""Progress of a training: a bar on a terminal, a line every ten seconds in a log."""

import sys
import time
from typing import TextIO

BAR = 30
SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """A function (what, done, total) that shows progress at limited intervals."""

    def __init__(self, stream: TextIO | None = None):
        self.stream = stream or sys.stderr
        self.terminal = self.stream.isatty()
        self.begin = self.shown = time.monotonic()

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show that `done` of `total` steps of `what` are done."""
        now = time.monotonic()
        finished = done >= total
        pause = 0.1 if self.terminal else SECONDS_BETWEEN_LINES
        if now - self.shown < pause and not (finished and self.terminal):
            return
        self.shown = now
        share = done / total if total else 1.0
        text = f"{what}: step {done:,} of {total:,} ({share:.0%}, "
        text += f"{now - self.begin:.0f} s)"
        if self.terminal:
            bar = "█" * round(BAR * share)
            end = "\n" if finished else ""
            self.stream.write(f"\r\x1b[K{bar:░<{BAR}} {text}{end}")
        else:
            self.stream.write(f"{text}\n")
        self.stream.flush()
