"""A number stays on one side of a limit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, cast

from ntkpipe.claims.base import (
    Finding,
    Judgement,
    Statement,
    by_width,
    judge_all,
    worst_of,
)
from ntkpipe.claims.reading import Reading, Step, pooled
from ntkpipe.claims.statistics import (
    LOGARITHMIC,
    Interval,
    Statistic,
    bootstrap,
)
from ntkpipe.claims.words import notes, statistic
from ntkpipe.lazy import Lazy
from ntkpipe.section import Fault, section

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = Lazy("pandas")


@section
class Bound(Statement):
    """A number stays on one side of a limit, at each selected width.

    One-sided: supported if at every width the lower (upper) bound of level
    `confidence` lies beyond the limit, contradicted if at some width the opposite
    bound does, at a level corrected for the number of widths. `max` and `min` are
    statements about the trained networks themselves, without an interval.
    """

    kind: Literal["bound"] = "bound"
    metric: str
    """The measured quantity, or a pattern `x/*`, pooled."""
    step: Step = "final"
    """Which logged step."""
    statistic: Statistic | Literal["max", "min"] = "mean"
    """The statistic over seeds."""
    at_least: float | None = None
    """Lower limit of the number."""
    at_most: float | None = None
    """Upper limit of the number."""

    def faults(self) -> Iterator[Fault]:
        """Faults between the keys."""
        yield from super().faults()
        if (self.at_least is None) == (self.at_most is None):
            yield Fault((), "give one of at_least and at_most")

    def judge(self, measurements: pd.DataFrame) -> Finding:
        """The number at each width; the worst of them is shown."""
        reading = self.read(measurements, self.metric, self.step)
        low = -math.inf if self.at_least is None else self.at_least
        high = math.inf if self.at_most is None else self.at_most
        extreme = self.statistic in ("max", "min")
        judge = self._extremes if extreme else self._bounds
        verdict, results = judge(reading, low, high)
        worst = worst_of(results, low, high)
        level = "" if extreme else f", one-sided {self.level:.4g}"
        return self.found(
            verdict,
            reading,
            results[worst],
            (low, high),
            metric=self.metric,
            statistic=statistic(self.statistic) + level,
            detail=by_width(reading.widths, results, worst)
            + notes(*(r.note for r in results), reading.note),
        )

    def _bounds(
        self, reading: Reading, low: float, high: float
    ) -> tuple[Judgement, list[Interval]]:
        samples = [
            bootstrap(
                [pooled(reading.at(width))],
                cast(Statistic, self.statistic),  # extremes are judged elsewhere
                f"{self.id}/{width}",
                exact=self.is_exact(width),
            )
            for width in reading.widths
        ]
        return judge_all(
            samples,
            [1.0],
            2 * self.level - 1,
            (low, high),
            log=self.statistic in LOGARITHMIC,
        )

    def _extremes(
        self, reading: Reading, low: float, high: float
    ) -> tuple[Judgement, list[Interval]]:
        results, single = [], False
        for width in reading.widths:
            values = reading.at(width).to_numpy()
            single |= len(values) == 1 and not self.is_exact(width)
            value = float(values.max() if self.statistic == "max" else values.min())
            results.append(Interval(value, value, value, 0.0, math.inf))
        if any(not low <= r.estimate <= high for r in results):
            return "contradicted", results
        if single:
            note = "an extreme needs two seeds or more"
            return "inconclusive", [r._replace(note=note) for r in results]
        return "supported", results
