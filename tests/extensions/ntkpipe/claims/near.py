"""A number is near zero."""

from __future__ import annotations

from typing import Annotated, Literal

import pandas as pd
from pydantic import Field

from ntkpipe.claims import words
from ntkpipe.claims.base import Finding, Statement
from ntkpipe.claims.reading import Step, one_metric, one_width, pooled
from ntkpipe.claims.statistics import Statistic, bootstrap, equivalence, interval
from ntkpipe.section import section


@section
class Near(Statement):
    """A number is within `within` of zero: its interval is."""

    kind: Literal["near"] = "near"
    metric: str
    """The measured quantity."""
    step: Step = "final"
    """Which logged step."""
    statistic: Statistic = "mean"
    """What is taken over the seeds."""
    within: Annotated[float, Field(gt=0)]
    """The accepted distance."""

    def judge(self, measurements: pd.DataFrame) -> Finding:
        """The interval of the statistic against ± within."""
        reading = self.read(measurements, self.metric, self.step)
        one_metric(reading, self.metric)
        values = reading.at(one_width(reading))
        sample = bootstrap([pooled(values)], self.statistic, self.id)
        result = interval(sample, [1.0], self.confidence)
        band = -self.within, self.within
        return self.found(
            equivalence(result.low, result.high, *band),
            reading,
            result,
            band,
            metric=self.metric,
            statistic=self.statistic,
            detail=(
                ("largest value", float(values.max(axis=None))),
                *words.notes(result.note, reading.note),
            ),
        )
