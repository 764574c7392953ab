"""A published slope is typical of single networks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from ntkpipe.claims.base import Confidence, Expected, Finding, Statement
from ntkpipe.claims.reading import Step, one_metric
from ntkpipe.claims.words import notes
from ntkpipe.lazy import Lazy
from ntkpipe.section import section

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = Lazy("pandas")


@section
class Typical(Statement):
    """A published slope, fitted to one network of each width, is a typical one.

    The slope of log Q on log n is fitted to replicate r of every width, for all r;
    consistent if the published slope lies within the central `share` of these slopes,
    contradicted if not. The row shows the median of the slopes and the central range,
    and the two-sided p of the published slope among them. Consistent is less than
    supported: a wide range of slopes is consistent with much.
    """

    verdict_if_true: ClassVar[Expected] = "consistent"

    kind: Literal["typical"] = "typical"
    metric: str
    """The measured quantity."""
    step: Step = "final"
    """Which logged step."""
    published: float
    """The published slope."""
    share: Confidence = 0.99
    """Share of simulated slopes that counts as typical."""

    def judge(self, measurements: pd.DataFrame) -> Finding:
        """Compare the published slope with the slopes of all replicates."""
        reading = self.read(measurements, self.metric, self.step)
        one_metric(reading, self.metric)
        column = reading.values.iloc[:, 0].rename("value").reset_index()
        values = column.pivot_table(index="seed", columns="width", values="value")
        values = values.dropna()
        found = self.found(
            "inconclusive",
            reading,
            metric=self.metric,
            statistic=f"slope of one network a width, central {self.share:.4g}",
            predicted=self.published,
            n=len(values),
            detail=notes(reading.note),
        )
        # below this many slopes the range is their extremes
        needed = math.ceil(2 / (1 - self.share))
        if len(values) < needed or values.shape[1] < 2 or (values <= 0).any(axis=None):
            lacks = (
                f"needs {needed} networks with positive values at two widths or more, "
                f"there are {len(values)} at {values.shape[1]}"
            )
            return found._replace(detail=notes(lacks, reading.note))
        log_n = np.log(values.columns.to_numpy(float))
        slopes = np.polyfit(log_n, np.log(values.to_numpy()).T, 1)[0]
        edge = (1 - self.share) / 2
        low, middle, high = np.quantile(slopes, [edge, 0.5, 1 - edge], method="weibull")
        inside = low <= self.published <= high
        beyond = np.mean(slopes <= self.published), np.mean(slopes >= self.published)
        p = min(1.0, 2 * float(min(beyond)))
        return found._replace(
            verdict="consistent" if inside else "contradicted",
            estimate=middle,
            ci_low=low,
            ci_high=high,
            low=low,
            high=high,
            level=self.share,
            interval="prediction",
            detail=(("two-sided p", p), *notes(reading.note)),
        )
