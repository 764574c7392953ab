"""A number is as predicted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from ntkpipe.claims.base import Equivalence, Finding
from ntkpipe.claims.reading import Step, pooled
from ntkpipe.claims.statistics import (
    LOGARITHMIC,
    Statistic,
    bootstrap,
    interval,
    natural,
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
    """

    kind: Literal["equals"] = "equals"
    metric: str
    """The measured quantity, or a pattern `x/*`."""
    step: Step = "final"
    """Which logged step."""
    statistic: Statistic = "mean"
    """The statistic over seeds."""

    def judge(self, measurements: pd.DataFrame) -> Finding:
        """The statistic over all networks, each width weighing alike."""
        reading = self.read(measurements, self.metric, self.step)
        widths = reading.widths
        blocks = [pooled(reading.at(width)) for width in widths]
        exact = all(self.is_exact(width) for width in widths)
        sample = bootstrap(blocks, self.statistic, self.id, exact=exact)
        share = np.full(len(blocks), 1 / len(blocks))
        result = interval(sample, share, self.level)
        if self.statistic in LOGARITHMIC:
            result = natural(result)
        return self.found_in_band(
            result,
            reading,
            metric=self.metric,
            statistic=statistic(self.statistic),
            detail=notes(result.note, reading.note),
        )
