"""What a metric is: its name, its meaning, and what an experiment needs to have it.

A metric with an index has the index after a slash: `weight_change/W2`, `kernel_at/16`.
The manual, the axes of figures, claims and the check of a study file read these
records.
"""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from ntkpipe.experiment import Experiment

When = Literal["snapshots", "ends", "groups", "last", "limit"]
"""Where a metric has values: at each snapshot, at the first and last, at initialisation
once a group of networks, at the last step, or of infinite width."""


class Need(NamedTuple):
    """A condition on an experiment, and the words for what meets it."""

    met: Callable[[Experiment], bool]
    words: str


class Index(NamedTuple):
    """What stands after the slash of a metric with an index."""

    symbol: str
    """As the manual writes it."""
    pattern: str
    """A regular expression of all indices that there can be."""
    of: Callable[[Experiment], Iterable | None] = lambda e: None
    """The indices of an experiment, or None where only its data tell."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A measured quantity."""

    name: str
    """Without its index."""
    index: Index | None = None
    meaning: str
    """In plain words."""
    formula: str = ""
    unit: str = ""
    label: str = ""
    """On an axis; `{}` is the index. By default the name."""
    at: When
    when: tuple[Need, ...] = ()
    """What an experiment needs in order to have the metric."""
    needs: tuple[str, ...] = ("network",)
    """The products that the metric is computed from."""
    measures_change: bool = False
    """It is a distance of the kernel from its start: noise where `unresolved` is 1."""
    recorded_with: str = ""
    """A metric that has a value at each step at which this one could have one."""
    missing_is_expected: bool = False
    """No value is no fault, and is not counted in `undefined/…`."""

    @property
    def written(self) -> str:
        """The name as the manual has it: `weight_change/W1`."""
        return f"{self.name}/{self.index.symbol}" if self.index else self.name

    def matches(self, name: str) -> bool:
        """Whether this is the metric of a name, or of a pattern (`fit_time/*`)."""
        if self.index is None:
            return fnmatch.fnmatchcase(self.name, name)
        base, _, index = name.partition("/")
        if not fnmatch.fnmatchcase(self.name, base):
            return fnmatch.fnmatchcase(self.written, name)
        if _is_pattern(index):
            return True
        return bool(re.fullmatch(self.index.pattern, index))

    def unmet(self, e: Experiment, index: str = "") -> str | None:
        """What an experiment lacks of what the metric needs, in words."""
        for need in self.when:
            if not need.met(e):
                return f"needs {need.words}"
        there = self.index.of(e) if self.index else None
        if index and there is not None and not _is_pattern(index):
            names = [str(i) for i in there]
            if index not in names:
                return f"there is no {index}; there are {_some(names) or 'none'}"
        return None


def find(name: str, metrics: Iterable[Metric]) -> Metric | None:
    """The first metric of a name, or of a pattern (`fit_time/*`)."""
    return next((metric for metric in metrics if metric.matches(name)), None)


def unknown(name: str, metrics: Iterable[Metric]) -> str | None:
    """Why there is no metric of a name, with the closest names; None where there is."""
    metrics = tuple(metrics)
    if find(name, metrics):
        return None
    base, slash, index = name.partition("/")
    for metric in metrics:
        if metric.name == base and metric.index and slash:
            return f"{base} has no index {index!r}: it is {metric.written}"
    there = list(dict.fromkeys(metric.written for metric in metrics))
    close = difflib.get_close_matches(name, there, n=3, cutoff=0.6)
    close = close or difflib.get_close_matches(base, there, n=3, cutoff=0.6)
    return f"no metric {name}" + (f"; did you mean {' or '.join(close)}?" * bool(close))


def unmet(name: str, e: Experiment, metrics: Iterable[Metric]) -> str | None:
    """Why an experiment has no value of a metric; None where it has, or may have, one.

    Of a pattern, one metric of those that match is enough.
    """
    reasons = []
    for metric in metrics:
        if metric.matches(name):
            reason = metric.unmet(e, name.partition("/")[2])
            if reason is None:
                return None
            reasons.append(reason)
    return f"{name}: {reasons[0]}" if reasons else None


def label(name: str, metrics: Iterable[Metric]) -> str:
    """What a metric is called on an axis."""
    metric = find(name, metrics)
    text = (metric and metric.label) or name.partition("/")[0].replace("_", " ")
    index = name.partition("/")[2]
    if "{}" in text:
        return text.format(index)
    return f"{text}, {index}" if index else text


def _is_pattern(text: str) -> bool:
    return any(character in text for character in "*?[")


def _some(names: list[str]) -> str:
    return ", ".join(names[:8]) + ", …" * (len(names) > 8)
