"""Scores are standard normal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from ntkpipe.claims.base import Finding, Statement
from ntkpipe.claims.reading import Step, one_width
from ntkpipe.claims.statistics import equivalence, holm, normality, one_sample
from ntkpipe.claims.words import notes
from ntkpipe.lazy import Lazy
from ntkpipe.section import section

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = Lazy("pandas")


@section
class Normal(Statement):
    """Standardised values are those of the limiting Gaussian, as an equivalence.

    The metric holds z-scores (f − μ_∞)/σ_∞, one index a point. Supported iff the
    interval of the variance ratio, pooled over indices, lies in 1 ± variance_tolerance
    and every mean has |z| < max_z and no Kolmogorov–Smirnov test rejects after Holm.
    Contradicted iff the interval is disjoint from the band, or a mean with |z| ≥ max_z
    is rejected after Holm. A rejected shape alone is inconclusive: with enough seeds
    it shows any finite width. Seeds are resampled: indices of a network are correlated.
    """

    kind: Literal["normal"] = "normal"
    metric: str
    """The pattern of the z-scores: `limit_z/*`."""
    step: Step = "final"
    """Which logged step."""
    variance_tolerance: Annotated[float, Field(gt=0, lt=1)] = 0.10
    """Accepted relative error of the variance."""
    max_z: Annotated[float, Field(gt=0)] = 3.0
    """Accepted |z| = √S·|mean of the scores| at every index."""
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Family-wise level of the tests with Holm's correction."""

    def judge(self, measurements: pd.DataFrame) -> Finding:
        """The pooled variance ratio, and tests at each index."""
        reading = self.read(measurements, self.metric, self.step)
        scores = reading.at(one_width(reading)).to_numpy()
        low, high = 1 - self.variance_tolerance, 1 + self.variance_tolerance
        result = one_sample(scores, "variance", self.id, confidence=self.level)
        found = self.found(
            "inconclusive",
            reading,
            result,
            (low, high),
            metric=self.metric,
            statistic=f"variance ratio pooled over {scores.shape[1]} indices",
            predicted=1.0,
            detail=notes(result.note, reading.note),
        )
        if math.isnan(result.low):
            return found
        tests = normality(scores)
        mean = int(np.argmax(np.abs(tests.mean_z)))
        far = bool(abs(tests.mean_z[mean]) >= self.max_z)
        shape = holm(tests.p_distribution).min()
        verdict = equivalence(result.low, result.high, low, high)
        if far and holm(tests.p_mean)[mean] < self.alpha:
            verdict = "contradicted"
        elif verdict == "supported" and (far or shape < self.alpha):
            verdict = "inconclusive"
        detail = (
            ("largest |z|", float(abs(tests.mean_z[mean]))),
            ("at", list(reading.values)[mean]),
            ("accepted |z| <", self.max_z),
            ("smallest variance ratio", float(tests.variance_ratio.min())),
            ("largest", float(tests.variance_ratio.max())),
            ("smallest p after Holm of χ²", float(holm(tests.p_variance).min())),
            ("of Kolmogorov–Smirnov", float(shape)),
            ("accepted p ≥", self.alpha),
        )
        return found._replace(verdict=verdict, detail=detail + notes(reading.note))
