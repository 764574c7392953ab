"""Scores are standard normal."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import scipy  # its `stats` is loaded on first use
from pydantic import Field

from ntkpipe.claims.base import Finding, Judgement, Statement, judge_all, worst_of
from ntkpipe.claims.reading import Reading, Step, one_width
from ntkpipe.claims.statistics import (
    Interval,
    bootstrap,
    equivalence,
    holm,
    normality,
    one_sample,
)
from ntkpipe.claims.words import Detail, notes
from ntkpipe.lazy import Lazy
from ntkpipe.section import Fault, section

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

    With `margin` the mean is judged by equivalence, too, and no test has to accept:
    supported iff also the interval of the mean lies in ± margin at every index,
    contradicted iff one is disjoint from it, at a level corrected for the indices. With
    `distance`, so is the shape. Let D = sup_z |F_S(z) − Φ(z)| be the distance of the
    distribution function of S scores from that of the standard normal law. The distance
    of the true distribution function is within D ± r, r = √(log(2K/α)/2S), at all K
    indices with probability 1 − α (Massart 1990).
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
    margin: Annotated[float, Field(gt=0)] | None = None
    """Accepted |mean of the scores|, in units of the limit's spread, at every index."""
    distance: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Accepted distance of distribution functions at every index; needs `margin`."""
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Family-wise level of the tests with Holm's correction."""

    def faults(self) -> Iterator[Fault]:
        """Faults between the keys."""
        yield from super().faults()
        if self.distance is not None and self.margin is None:
            yield Fault(("distance",), "needs margin: the tests judge the shape, too")

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
        if self.margin is not None:
            return found._replace(**self._by_margin(scores, result, reading))
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

    def _by_margin(
        self, scores: np.ndarray, variance: Interval, reading: Reading
    ) -> dict[str, Any]:
        """Verdict and detail of the equivalence of all means and of the variance."""
        assert self.margin is not None
        band = -self.margin, self.margin
        names = list(reading.values)
        samples = [
            bootstrap([z[:, None, None]], "mean", f"{self.id}/{name}")
            for name, z in zip(names, scores.T, strict=True)
        ]
        means, results = judge_all(samples, [1.0], self.level, band, log=False)
        tolerance = self.variance_tolerance
        spread = equivalence(variance.low, variance.high, 1 - tolerance, 1 + tolerance)
        shape, distances = self._shape(scores)
        parts = {means, spread, shape}
        verdict: Judgement = "inconclusive"
        if parts == {"supported"}:
            verdict = "supported"
        elif "contradicted" in parts:
            verdict = "contradicted"
        worst = worst_of(results, *band)
        detail = (
            ("mean farthest from 0", results[worst].estimate),
            ("its interval from", results[worst].low),
            ("to", results[worst].high),
            ("at", names[worst]),
            ("accepted |mean| ≤", self.margin),
            *distances,
        )
        return {"verdict": verdict, "detail": detail + notes(reading.note)}

    def _shape(self, scores: np.ndarray) -> tuple[Judgement, Detail]:
        """Verdict and detail of the distance from the standard normal distribution."""
        if self.distance is None:
            return "supported", ()
        samples, indices = scores.shape
        found = max(scipy.stats.kstest(z, "norm").statistic for z in scores.T)
        radius = math.sqrt(math.log(2 * indices / (1 - self.level)) / (2 * samples))
        detail = (
            ("largest distance of distribution functions", float(found)),
            ("known within", radius),
            ("accepted ≤", self.distance),
        )
        verdict: Judgement = "inconclusive"
        if found + radius <= self.distance:
            verdict = "supported"
        elif found - radius > self.distance:
            verdict = "contradicted"
        return verdict, detail
