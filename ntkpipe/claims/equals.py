"""A number is as predicted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ntkpipe.claims.base import Equivalence, Finding, judge_all, worst_of
from ntkpipe.claims.reading import Step, pooled
from ntkpipe.claims.statistics import (
    LOGARITHMIC,
    Statistic,
    bootstrap,
)
from ntkpipe.claims.words import notes, statistic
from ntkpipe.lazy import Lazy
from ntkpipe.section import section

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = Lazy("pandas")


@section
class Equals(Equivalence):
    """A number is as predicted: the interval of a statistic lies in the band.

    Values of several widths, and of all metrics that match a pattern `x/*`, are
    pooled; seeds are resampled, so that values of one network stay together. A spread
    is that of the networks at each width and index, averaged over these.

    With `each`, every metric is judged alone: supported if all intervals lie in the
    band, contradicted if one is disjoint from it, at a level corrected for the number
    of metrics. The one farthest from the middle of the band is shown.
    """

    kind: Literal["equals"] = "equals"
    metric: str
    """The measured quantity, or a pattern `x/*`."""
    step: Step = "final"
    """Which logged step."""
    statistic: Statistic = "mean"
    """The statistic over seeds."""
    each: bool = False
    """Judge each metric that matches the pattern, instead of pooling them."""

    def judge(self, measurements: pd.DataFrame) -> Finding:
        """The statistic over all networks, each width weighing alike."""
        reading = self.read(measurements, self.metric, self.step)
        widths = reading.widths
        exact = all(self.is_exact(width) for width in widths)
        names = list(reading.values)
        groups = [[name] for name in names] if self.each else [names]
        samples = [
            bootstrap(
                [pooled(reading.at(width)[group]) for width in widths],
                self.statistic,
                "/".join([self.id, *(group if self.each else [])]),
                exact=exact,
            )
            for group in groups
        ]
        band, log = self.band(), self.statistic in LOGARITHMIC
        share = [1 / len(widths)] * len(widths)
        verdict, results = judge_all(samples, share, self.level, band, log=log)
        worst = worst_of(results, *band)
        at = (("at", names[worst]),) if self.each else ()
        return self.found_in_band(
            results[worst],
            reading,
            verdict,
            metric=self.metric,
            statistic=statistic(self.statistic),
            detail=(*at, *notes(results[worst].note, reading.note)),
        )
