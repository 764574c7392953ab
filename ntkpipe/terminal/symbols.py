"""The symbols of the terminal, and what stands for them where they can't be shown."""

from __future__ import annotations

import unicodedata
from typing import Any, TextIO

DONE, RUNNING, FAILED, AGAIN = "✓", "▶", "✗", "↻"
FULL, EMPTY, RULE, DOT = "█", "░", "─", "·"
# one character each, so that lines keep their length
PLAIN = str.maketrans(
    {DONE: "+", RUNNING: ">", FAILED: "x", AGAIN: "~", FULL: "#", EMPTY: "."}
    | {RULE: "-", DOT: "-", "−": "-", "–": "-", "—": "-", "×": "x", "…": "~"}
    | {"≤": "<", "≥": ">", "’": "'", "“": '"', "”": '"'}
)


def bar(share: float, width: int) -> str:
    """A bar of `width` characters, of which a share is full."""
    full = round(min(max(share, 0.0), 1.0) * width)
    return FULL * full + EMPTY * (width - full)


def plain(text: str, encoding: str) -> str:
    """The text with characters that the encoding has.

    Known symbols have a substitute of one character; λ₁ becomes ?1.
    """
    try:
        text.encode(encoding)
        return text
    except UnicodeEncodeError:
        pass
    text = unicodedata.normalize("NFKC", text.translate(PLAIN))
    return text.encode(encoding, "replace").decode(encoding)


class Stream:
    """A text stream that writes every character, if need be as another one."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text."""
        encoding = getattr(self._stream, "encoding", None) or "ascii"
        return self._stream.write(plain(text, encoding))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
