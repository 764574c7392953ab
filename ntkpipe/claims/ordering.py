"""A number increases or decreases."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from ntkpipe.claims.base import Finding, Judgement, Statement, worst_of
from ntkpipe.claims.reading import (
    Missing,
    Step,
    block,
    joined,
    one_metric,
    one_width,
    paired,
)
from ntkpipe.claims.statistics import (
    LOGARITHMIC,
    Interval,
    Statistic,
    above_zero,
    bootstrap,
    holm,
    interval,
)
from ntkpipe.claims.words import in_words, join, listed
from ntkpipe.lazy import Lazy
from ntkpipe.section import section

pd = Lazy("pandas")


@section
class Ordering(Statement):
    """A number increases (decreases) strictly along the widths or along variants.

    Each successive difference is tested one-sided, with Holm's correction: supported
    if all have the claimed sign at level 1 − `confidence`, contradicted if one has
    the opposite sign. `geometric_mean` and spreads are compared as logarithms.
    """

    kind: Literal["ordering"] = "ordering"
    metric: str
    """The measured quantity."""
    step: Step = "final"
    """Which logged step."""
    statistic: Statistic = "geometric_mean"
    """What is taken over the seeds."""
    direction: Literal["increasing", "decreasing"]
    """Which way it goes along the widths or variants as listed."""
    along: Literal["width"] | Annotated[tuple[str, ...], Field(min_length=2)] = "width"
    """The widths, narrow to wide, or two variants or more in the claimed order."""

    def variants(self) -> tuple[str, ...]:
        """The names of the variants this claim reads."""
        if self.along == "width":
            return () if self.variant is None else (self.variant,)
        return self.along

    def _judge(self, measurements: pd.DataFrame) -> Finding:
        if self.along == "width":
            readings = [self._read(measurements, self.metric, self.step)]
            reading = readings[0]
            if len(reading.widths) < 2:
                raise Missing(f"one width only, {listed(reading.widths)}: no order")
            labels = [str(width) for width in reading.widths]
            blocks = [block(reading.at(width)) for width in reading.widths]
            exact = self.exact
        else:
            readings = [
                self._read(measurements, self.metric, self.step, name)
                for name in self.along
            ]
            width = one_width(*readings)
            reading = joined(readings)
            labels = list(self.along)
            blocks = paired([r.at(width) for r in readings])
            exact = self._is_exact(width)
        for each in readings:
            one_metric(each, self.metric)
        sample = bootstrap(blocks, self.statistic, self.id, exact=exact)
        sign = 1.0 if self.direction == "increasing" else -1.0
        steps = sign * np.diff(np.eye(len(labels)), axis=0)
        results = [interval(sample, c, self.confidence) for c in steps]
        worst = worst_of(results, 0.0, math.inf)
        result = results[worst]
        log = self.statistic in LOGARITHMIC
        points = np.exp(sample.point) if log else sample.point
        return Finding(
            _ordered(results, 1 - self.confidence),
            variant=self.variant or ", ".join(self.variants()),
            metric=self.metric,
            statistic=f"{'log ' * log}{in_words(self.statistic)}, smallest step in the "
            f"claimed direction ({labels[worst]}→{labels[worst + 1]})",
            estimate=result.estimate,
            ci_low=result.low,
            ci_high=result.high,
            low=0.0,
            high=math.inf,
            tolerance=f"{self.direction}, Holm {self.confidence:.4g}",
            n=len(reading.values),
            widths=listed(reading.widths),
            detail=join(
                ", ".join(
                    f"{name}: {value:.3g}"
                    for name, value in zip(labels, points, strict=True)
                ),
                sample.note,
                reading.note,
            ),
        )


def _ordered(results: Sequence[Interval], alpha: float) -> Judgement:
    """Verdict on "all differences are positive"."""
    opposite = [r._replace(estimate=-r.estimate) for r in results]
    against = holm([above_zero(r) for r in opposite])
    if against.min() < alpha:
        return "contradicted"
    towards = holm([above_zero(r) for r in results])
    return "supported" if towards.max() < alpha else "inconclusive"
