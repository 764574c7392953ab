"""A share of networks has a property."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ntkpipe.claims.base import UNKNOWN, Finding, Judgement, MetricRead, Statement
from ntkpipe.claims.reading import Step, one_metric
from ntkpipe.claims.statistics import Interval, equivalence, share
from ntkpipe.claims.words import joined, notes
from ntkpipe.lazy import Lazy
from ntkpipe.section import Fault, section

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = Lazy("pandas")


@section
class Condition:
    """A metric of a network is above, or below, a number."""

    metric: str
    """The measured quantity."""
    step: Step = "final"
    """Which logged step."""
    above: float | None = None
    """The condition holds if the value is greater."""
    below: float | None = None
    """The condition holds if the value is smaller."""

    def faults(self) -> Iterator[Fault]:
        """Faults between the keys."""
        if (self.above is None) == (self.below is None):
            yield Fault((), "give one of above and below")

    def holds(self, values: pd.Series) -> pd.Series:
        """Whether the condition holds, network by network."""
        return values > self.above if self.below is None else values < self.below

    def __str__(self) -> str:
        if self.below is None:
            return f"{self.metric} > {self.above:g}"
        return f"{self.metric} < {self.below:g}"


@section
class Fraction(Statement):
    """At least a given share of the networks has a property, or a relation of two.

    `that` alone, or `that` iff (or if) `given`; networks whose value of `given` lies
    in the band `exclude` do not count. With the exact bounds of Clopper and Pearson:
    supported if the lower one is `at_least` or more, contradicted if the upper one is
    less. `at_least: 1` says that no network violates it: one counter-example
    contradicts the claim, and the lower bound shows what the networks prove.
    """

    kind: Literal["fraction"] = "fraction"
    that: Condition
    """The claimed condition on a network."""
    given: Condition | None = None
    """The condition to which `that` is compared."""
    relation: Literal["iff", "if"] = "iff"
    """`that` iff `given`, or `that` where `given` holds."""
    exclude: tuple[float, float] | None = None
    """Networks with a value of `given` in this closed band are ignored."""
    at_least: Annotated[float, Field(gt=0, le=1)] = 0.95
    """The claimed share."""

    def faults(self) -> Iterator[Fault]:
        """Faults between the keys; those of the conditions are their own."""
        yield from super().faults()
        if self.exclude is not None and self.given is None:
            yield Fault(("exclude",), "is a band of given's values: give given")
        if self.exclude is not None and self.exclude[0] > self.exclude[1]:
            yield Fault(("exclude",), "is [low, high]")

    def metrics_read(self) -> Iterator[MetricRead]:
        """The metrics of both conditions."""
        for key in ("that", "given"):
            if condition := getattr(self, key):
                groups: list[tuple[str, ...]] = [(v,) for v in self.variants()]
                groups = groups or [()]
                yield (key, "metric"), condition.metric, groups

    def judge(self, measurements: pd.DataFrame) -> Finding:
        """The share of networks and its exact bounds."""
        that = self.read(measurements, self.that.metric, self.that.step)
        one_metric(that, self.that.metric)
        hits, note = self.that.holds(that.values.iloc[:, 0]), that.note
        words = str(self.that)
        if self.given is not None:
            given = self.read(measurements, self.given.metric, self.given.step)
            one_metric(given, self.given.metric)
            hits = self._related(self.given, hits, given.values.iloc[:, 0])
            note = joined(note, given.note)
            words += f" {self.relation} {self.given}"
        count, total = int(hits.sum()), len(hits)
        result = share(count, total, self.level) if total else UNKNOWN
        counted = ("networks counted", total), ("with the property", count)
        return self.found(
            self._verdict(total, result) if total else "inconclusive",
            that,
            result,
            (self.at_least, 1.0),
            metric=words,
            interval="one-sided",
            statistic="share of networks",
            n=total,
            detail=counted + notes(note),
        )

    def _related(
        self, given: Condition, hits: pd.Series, value: pd.Series
    ) -> pd.Series:
        common = hits.index.intersection(value.index)
        hits, value = hits[common], value[common]
        if self.exclude is not None:
            kept = ~value.between(*self.exclude)
            hits, value = hits[kept], value[kept]
        condition = given.holds(value)
        return hits == condition if self.relation == "iff" else hits[condition]

    def _verdict(self, total: int, result: Interval) -> Judgement:
        if self.exact or self.at_least == 1:
            if result.estimate < self.at_least:
                return "contradicted"
            return "supported" if total > 1 or self.exact else "inconclusive"
        return equivalence(result.low, result.high, self.at_least)
