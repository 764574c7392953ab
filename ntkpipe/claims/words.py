"""Words for what claims measured."""

from __future__ import annotations

import math
from collections.abc import Sequence


def in_words(statistic: str) -> str:
    """A statistic as it is called in a sentence."""
    return {"std": "standard deviation"}.get(statistic, statistic.replace("_", " "))


def band_text(low: float, high: float) -> str:
    """An accepted band; one end may be infinite."""
    if low == -math.inf:
        return f"≤ {high:.6g}"
    if high == math.inf:
        return f"≥ {low:.6g}"
    return f"[{low:.6g}, {high:.6g}]"


def listed(values: Sequence) -> str:
    """Values one after the other."""
    return ", ".join(str(value) for value in values)


def join(*notes: str | bool) -> str:
    """The notes that are not empty."""
    return "; ".join(note for note in notes if note)
