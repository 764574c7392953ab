"""A number increases or decreases."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from ntkpipe.claims.base import Finding, Judgement, Statement, worst_of
from ntkpipe.claims.reading import (
    Missing,
    Step,
    block,
    one_metric,
    one_width,
    paired,
    together,
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
from ntkpipe.claims.words import listed, notes, statistic
from ntkpipe.lazy import Lazy
from ntkpipe.section import section

if TYPE_CHECKING:
    import pandas as pd
else:
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
    """The statistic over seeds."""
    direction: Literal["increasing", "decreasing"]
    """The claimed direction along the widths or the listed variants."""
    along: Literal["width"] | Annotated[tuple[str, ...], Field(min_length=2)] = "width"
    """The widths, narrow to wide, or two variants or more in the claimed order."""

    def variants(self) -> tuple[str, ...]:
        """The names of the variants this claim reads."""
        if self.along == "width":
            return () if self.variant is None else (self.variant,)
        return self.along

    def judge(self, measurements: pd.DataFrame) -> Finding:
        """The differences of successive widths or variants; the smallest is shown."""
        if self.along == "width":
            readings = [self.read(measurements, self.metric, self.step)]
            reading = readings[0]
            if len(reading.widths) < 2:
                raise Missing(f"one width only, {listed(reading.widths)}: no order")
            labels = [str(width) for width in reading.widths]
            blocks = [block(reading.at(width)) for width in reading.widths]
            exact = self.exact
        else:
            readings = [
                self.read(measurements, self.metric, self.step, name)
                for name in self.along
            ]
            width = one_width(*readings)
            reading = together(readings)
            labels = list(self.along)
            blocks = paired([r.at(width) for r in readings])
            exact = self.is_exact(width)
        for one in readings:
            one_metric(one, self.metric)
        sample = bootstrap(blocks, self.statistic, self.id, exact=exact)
        sign = 1.0 if self.direction == "increasing" else -1.0
        steps = sign * np.diff(np.eye(len(labels)), axis=0)
        results = [interval(sample, c, self.level) for c in steps]
        worst = worst_of(results, 0.0, math.inf)
        log = self.statistic in LOGARITHMIC
        points = np.exp(sample.point) if log else sample.point
        each = tuple(zip(labels, points.tolist(), strict=True))
        return self.found(
            _ordered(results, 1 - self.level),
            reading,
            results[worst],
            (0.0, math.inf),
            variant=self.variant or ", ".join(self.variants()),
            metric=self.metric,
            statistic=f"{'log ' * log}{statistic(self.statistic)}, smallest step in "
            f"the claimed direction ({labels[worst]}→{labels[worst + 1]})",
            detail=(
                (self.direction, each),
                ("level of Holm's tests", self.level),
                *notes(sample.note, reading.note),
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
