"""`Metric`: the name, meaning, formula and conditions of a measured quantity.

An index follows the name after a slash: `weight_change/W2`, `kernel_at/16`. The manual,
the axes of figures, the claims and the check of a study file use these records. This
module is separate from `measurements`, so that recorders can import it.
"""

from __future__ import annotations

import fnmatch
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from ntkpipe.experiment import Experiment

When = Literal["snapshots", "ends", "groups", "last", "limit"]
"""Steps at which a metric has a value. `snapshots`: all snapshots. `ends`: the first
and last snapshot. `groups`: initialisation, with one value for each group of networks.
`last`: the last step. `limit`: a value at infinite width."""
Arrays = Mapping[str, np.ndarray]
Values = dict[str, tuple[np.ndarray, np.ndarray]]
"""Metric → (steps, values (s steps))."""


class Need(NamedTuple):
    """A condition on an experiment, and what it needs, in words."""

    met: Callable[[Experiment], bool]
    words: str


def given(key: str) -> Need:
    """The condition that a key, such as `measure.modes`, has a value other than 0."""
    value = operator.attrgetter(key)
    return Need(lambda e: bool(value(e)), f"`{key}`")


class Index(NamedTuple):
    """The index after the slash of a metric's name."""

    symbol: str
    """The symbol of the index in the manual."""
    of: Callable[[Experiment], Iterable | None]
    """The indices of an experiment; None if they depend on a user's data."""
    pattern: str = r"0|[1-9]\d*"
    """A regular expression that all possible indices match."""


@dataclass(frozen=True)
class Metric:
    """A measured quantity."""

    name: str
    """The name without the index."""
    meaning: str
    """What is measured, in words."""
    formula: str = ""
    _: KW_ONLY
    index: Index | None = None
    unit: str = ""
    label: str = ""
    """The label on an axis, with `{}` for the index; by default the name."""
    at: When
    when: tuple[Need, ...] = ()
    """Conditions on an experiment."""
    measures_change: bool = False
    """Whether the value is a kernel change: rounding noise where `unresolved` is 1."""
    recorded_with: str = ""
    """Another metric that is defined at every step at which this one is recorded."""
    missing_is_expected: bool = False
    """Whether missing values are expected: `undefined/…` does not count them."""

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
        """The first condition that an experiment does not meet, or None, in words."""
        for need in self.when:
            if not need.met(e):
                return f"needs {need.words}"
        indices = self.index.of(e) if self.index else None
        if index and indices is not None and not _is_pattern(index):
            names = [str(i) for i in indices]
            if index not in names:
                return f"there is no {index}; there are {_some(names) or 'none'}"
        return None


def _is_pattern(text: str) -> bool:
    return any(character in text for character in "*?[")


def _some(names: list[str]) -> str:
    return ", ".join(names[:8]) + ", …" * (len(names) > 8)


class Inputs(NamedTuple):
    """The products of one width; None for a product that the experiment lacks."""

    e: Experiment
    width: int
    network: Arrays
    data: Arrays
    linearized: Arrays | None
    limit: Arrays | None


class Group(NamedTuple):
    """Metrics that one function computes together."""

    metrics: tuple[Metric, ...]
    measure: Callable[[Inputs], Values]


LIMIT = Need(lambda e: e.has_limit, "`limit`")
SQUARES = Need(lambda e: e.training.loss.kind == "squared", "`training.loss: squared`")
DESCENT = Need(
    lambda e: e.training.is_plain,
    "`training.optimizer: gd` without batches and weight decay",
)
"""Rates and limits of stability are those of plain gradient descent."""
WEIGHTS = Need(lambda e: e.has_networks, "a network: not `model.kind: kernel`")
HIDDEN_LAYERS = Need(lambda e: e.model.has_last_layer, "a model with hidden layers")
