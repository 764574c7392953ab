"""`Metric`: name, meaning, formula, and what an experiment needs to have the metric.

A metric with an index has the index after a slash: `weight_change/W2`, `kernel_at/16`.
The manual, the axes of figures, claims and the check of a study file read these
records.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from ntkpipe.section import did_you_mean

if TYPE_CHECKING:
    from ntkpipe.experiment import Experiment

When = Literal["snapshots", "ends", "groups", "last", "limit"]
"""Steps with a value: `snapshots`; `ends`, the first and last snapshot; `groups`,
initialisation, one value for each group of networks; `last`, the last step; `limit`,
one value at infinite width."""


class Need(NamedTuple):
    """A condition on an experiment, and how to meet it, in words."""

    met: Callable[[Experiment], bool]
    words: str


class Index(NamedTuple):
    """The index after the slash of a metric's name."""

    symbol: str
    """The index in the manual."""
    pattern: str
    """A regular expression of all possible indices."""
    of: Callable[[Experiment], Iterable | None] = lambda e: None
    """The indices of an experiment; None if they depend on a user's data."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A measured quantity."""

    name: str
    """Without its index."""
    index: Index | None = None
    meaning: str
    """What is measured, in words."""
    formula: str = ""
    unit: str = ""
    label: str = ""
    """On an axis; `{}` is the index. By default the name."""
    at: When
    when: tuple[Need, ...] = ()
    """Conditions on an experiment."""
    needs: tuple[str, ...] = ("network",)
    """The products that the metric is computed from."""
    measures_change: bool = False
    """Whether it is a change of the kernel, which is noise if `unresolved` is 1."""
    recorded_with: str = ""
    """Another metric that is defined at every step at which this one is recorded."""
    missing_is_expected: bool = False
    """Whether missing values are no fault and are not counted in `undefined/…`."""

    @property
    def written(self) -> str:
        """The name with its index in the manual: `weight_change/W1`."""
        return f"{self.name}/{self.index.symbol}" if self.index else self.name

    def matches(self, name: str) -> bool:
        """Whether the metric has this name, or matches this pattern (`fit_time/*`)."""
        if self.index is None:
            return fnmatch.fnmatchcase(self.name, name)
        base, _, index = name.partition("/")
        if not fnmatch.fnmatchcase(self.name, base):
            return fnmatch.fnmatchcase(self.written, name)
        if _is_pattern(index):
            return True
        return bool(re.fullmatch(self.index.pattern, index))

    def unmet(self, e: Experiment, index: str = "") -> str | None:
        """The condition that an experiment does not meet, in words; None if none."""
        for need in self.when:
            if not need.met(e):
                return f"needs {need.words}"
        indices = self.index.of(e) if self.index else None
        if index and indices is not None and not _is_pattern(index):
            names = [str(i) for i in indices]
            if index not in names:
                return f"there is no {index}; there are {_some(names) or 'none'}"
        return None


def find(name: str, metrics: Iterable[Metric]) -> Metric | None:
    """The first metric with this name, or matching this pattern (`fit_time/*`)."""
    return next((metric for metric in metrics if metric.matches(name)), None)


def unknown(name: str, metrics: Iterable[Metric]) -> str | None:
    """Why no metric has this name, with the closest names; None if there is one."""
    metrics = tuple(metrics)
    if find(name, metrics):
        return None
    base, slash, index = name.partition("/")
    for metric in metrics:
        if metric.name == base and metric.index and slash:
            return f"{base} has no index {index!r}: it is {metric.written}"
    written = list(dict.fromkeys(metric.written for metric in metrics))
    near = did_you_mean(name, written, most=3) or did_you_mean(base, written, most=3)
    return f"no metric {name}{near}"


def unmet(name: str, e: Experiment, metrics: Iterable[Metric]) -> str | None:
    """Why an experiment has no value of a metric; None if it has, or may have, one.

    A pattern needs one matching metric that the experiment has.
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
    """The label of a metric on an axis."""
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
