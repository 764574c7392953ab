"""Claims of the literature, each judged on the table of measurements.

A claim says in a study file what is predicted, what is measured and how far the two
may lie apart; its verdict is *supported*, *contradicted* or *inconclusive*, and
*missing* when the table lacks what the claim reads. A control is a claim that is
expected to come out contradicted. The rules of verdict are those of
`ntkpipe.statistics`: equivalence of an interval, never "the interval contains p".
"""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from ntkpipe import statistics
from ntkpipe.lazy import Lazy
from ntkpipe.measurements import METRICS
from ntkpipe.section import section
from ntkpipe.statistics import Interval, Sample, ScalingFit, Statistic

pd = Lazy("pandas")

Step = Literal["final", "initial", "max"] | int
"""The last logged step, step 0, the largest value over all steps, or one step."""

# Metrics that have a value at each step at which λ_min of the same kernels has one.
LIKE_LEAST_EIGENVALUE = [m.name for m in METRICS if m.recorded_with == "ntk_min"]

Judgement = Literal["supported", "contradicted", "inconclusive", "missing"]
Confidence = Annotated[float, Field(gt=0.5, lt=1)]


# How far a kernel moved: rounding noise where `unresolved`, and not so for others.
OF_MOVES = frozenset(m.name for m in METRICS if m.measures_change)


class Verdict(NamedTuple):
    """A row of claims.csv. `tolerance` is the accepted band in words."""

    claim: str
    says: str
    source: str
    estimate: float
    ci_low: float
    ci_high: float
    expected: Literal["supported", "contradicted"]
    tolerance: str
    n: int
    verdict: Judgement
    as_expected: bool
    study: str = ""
    variant: str = ""
    metric: str = ""
    statistic: str = ""
    predicted: float = math.nan
    low: float = math.nan
    high: float = math.nan
    widths: str = ""
    detail: str = ""
    reason: str = ""


class Finding(NamedTuple):
    """What a kind of claim measured; a `Verdict` less what all claims have alike."""

    verdict: Judgement
    variant: str = ""
    metric: str = ""
    statistic: str = ""
    estimate: float = math.nan
    ci_low: float = math.nan
    ci_high: float = math.nan
    predicted: float = math.nan
    low: float = math.nan
    high: float = math.nan
    tolerance: str = ""
    n: int = 0
    widths: str = ""
    detail: str = ""


class Missing(Exception):
    """The table lacks what a claim reads; the message names what it has."""


class Reading(NamedTuple):
    """Values of the selected networks: one row a network, one column a metric."""

    values: pd.DataFrame  # index (width, seed)
    note: str

    @property
    def widths(self) -> list[int]:
        """The widths read, ascending."""
        return sorted(self.values.index.unique("width").tolist())

    def at(self, width: int) -> pd.DataFrame:
        """The values at one width: one row a seed."""
        return self.values.xs(width, level="width")


@section
class Statement:
    """What all claims have in common."""

    id: str
    """Of the list of claims, with what tells rows apart: `J-7/tanh/own`."""
    says: str
    """The claim in one sentence."""
    source: str
    """Who claims it."""
    variant: str | None = None
    """The variant it reads; not needed where the study has one only."""
    min_width: Annotated[int, Field(ge=0)] = 1
    """The narrowest width it reads. Width 0 is the infinite-width limit."""
    max_width: Annotated[int, Field(ge=0)] | None = None
    """The widest width it reads."""
    confidence: Confidence = 0.95
    """Level of the interval, two-sided unless the kind says otherwise."""
    exact: bool = False
    """One value carries no sampling error: a closed form, not one random network.
    Always so for the limit, width 0."""
    control: bool = False
    """The claim is a control: expected to come out contradicted."""
    reason: str | None = None
    """Why the accepted band is not the source's."""

    @model_validator(mode="after")
    def _widths_in_order(self):
        if self.max_width is not None and self.max_width < self.min_width:
            raise ValueError(
                f"max_width {self.max_width} is below min_width {self.min_width}"
            )
        return self

    def variants(self) -> tuple[str, ...]:
        """The names of the variants this claim reads."""
        return () if self.variant is None else (self.variant,)

    def evaluate(self, measurements: pd.DataFrame) -> Verdict:
        """Judge the claim on the tidy table of measurements; never raises."""
        try:
            found = self._judge(measurements)
        except Missing as missing:
            found = Finding(
                "missing", variant=", ".join(self.variants()), detail=str(missing)
            )
        expected = "contradicted" if self.control else "supported"
        return Verdict(
            claim=self.id,
            says=self.says,
            source=self.source,
            expected=expected,
            as_expected=found.verdict == expected,
            reason=self.reason or "",
            **found._asdict(),
        )

    def _judge(self, measurements: pd.DataFrame) -> Finding:
        raise NotImplementedError

    def _read(
        self,
        measurements: pd.DataFrame,
        metric: str,
        step: Step,
        variant: str | None = None,
    ) -> Reading:
        """Select the claim's rows of one variant; see `read`."""
        return read(
            measurements,
            metric,
            step,
            variant or self.variant,
            self.min_width,
            self.max_width,
        )

    def _is_exact(self, width: int) -> bool:
        return self.exact or width == 0


@section
class Equivalence(Statement):
    """A claim that a number lies in a band: supported iff its interval does.

    The band is predicted ± tolerance, predicted·(1 ± relative), or [low, high], of
    which one end may be left out.
    """

    predicted: float | None = None
    """The predicted number."""
    tolerance: Annotated[float, Field(gt=0)] | None = None
    """Half-width of the accepted band."""
    relative: Annotated[float, Field(gt=0)] | None = None
    """Half-width of the accepted band in units of |predicted|."""
    low: float | None = None
    """Lower end of the accepted band."""
    high: float | None = None
    """Upper end of the accepted band."""

    @model_validator(mode="after")
    def _one_band(self):
        ends = self.low is not None or self.high is not None
        given = [self.tolerance is not None, self.relative is not None, ends]
        if sum(given) != 1:
            raise ValueError(
                "give the accepted band in one way: tolerance, relative, or low/high"
            )
        if not ends and self.predicted is None:
            raise ValueError("tolerance and relative need predicted")
        if self.relative is not None and self.predicted == 0:
            raise ValueError("relative to a predicted 0 is no band: give tolerance")
        low, high = self.band()
        if low > high:
            raise ValueError(f"low {low:g} is above high {high:g}")
        if self.predicted is not None and not low <= self.predicted <= high:
            raise ValueError(
                f"predicted {self.predicted:g} lies outside [{low:g}, {high:g}]"
            )
        return self

    def band(self) -> tuple[float, float]:
        """The accepted band."""
        if self.tolerance is None and self.relative is None:
            low = -math.inf if self.low is None else self.low
            high = math.inf if self.high is None else self.high
            return low, high
        p = self.predicted
        half = self.relative * abs(p) if self.tolerance is None else self.tolerance
        return p - half, p + half

    def _find(self, result: Interval, **found) -> Finding:
        """Verdict of an interval on the natural scale."""
        low, high = self.band()
        return Finding(
            statistics.equivalence(result.low, result.high, low, high),
            estimate=result.estimate,
            ci_low=result.low,
            ci_high=result.high,
            predicted=math.nan if self.predicted is None else self.predicted,
            low=low,
            high=high,
            tolerance=_band_text(low, high),
            **found,
        )


@section
class PowerLaw(Equivalence):
    """Q ~ n^p: the slope of log Q on log n lies in the accepted band.

    Q is the geometric mean over seeds (or another `statistic`: `std` for the
    fluctuations of Q) at each width.
    """

    kind: Literal["power_law"] = "power_law"
    metric: str
    """The measured quantity; a pattern `x/*` where `along` is `index`."""
    step: Step = "final"
    """Which logged step."""
    statistic: Statistic = "geometric_mean"
    """What is taken over the seeds."""
    along: Literal["width", "index"] | dict[str, Annotated[float, Field(gt=0)]] = (
        "width"
    )
    """What n is: the width, the number after the metric's slash, or a number that
    differs between variants: {alpha10: 10, alpha30: 30}."""
    min_index: Annotated[int, Field(ge=1)] = 1
    """The smallest index that is fitted, where `along` is `index`."""

    def variants(self) -> tuple[str, ...]:
        """The names of the variants this claim reads."""
        if isinstance(self.along, dict):
            return tuple(self.along)
        return () if self.variant is None else (self.variant,)

    def fit(self, measurements: pd.DataFrame) -> ScalingFit:
        """The fitted line with its band; raises `Missing` without data."""
        return self._fit(measurements)[0]

    def _fit(self, measurements: pd.DataFrame) -> tuple[ScalingFit, Reading, str]:
        if self.along == "width":
            n, sample, reading, variant = self._along_widths(measurements)
        elif self.along == "index":
            n, sample, reading, variant = self._along_index(measurements)
        else:
            n, sample, reading, variant = self._along_variants(measurements)
        fit = statistics.scaling_fit(n, sample, confidence=self.confidence)
        return fit, reading, variant

    def _along_widths(self, measurements: pd.DataFrame):
        reading = self._read(measurements, self.metric, self.step)
        _one_metric(reading, self.metric)
        # The limit has no place on a logarithmic axis.
        widths = [width for width in reading.widths if width > 0]
        if not widths:
            raise Missing(f"{self.metric} exists at width 0 (the limit) only")
        blocks = [_block(reading.at(width)) for width in widths]
        sample = self._bootstrap(blocks)
        return widths, sample, reading, self.variant or ""

    def _along_index(self, measurements: pd.DataFrame):
        reading = self._read(measurements, self.metric, self.step)
        width = _one_width(reading)
        index = {name: _index(name) for name in reading.values}
        index = {
            name: n for name, n in index.items() if n >= self.min_index or not n > 0
        }
        if not index:
            raise Missing(f"no index of {self.metric} is {self.min_index} or more")
        if not all(0 < n < math.inf for n in index.values()):
            raise Missing(f"along index needs metrics x/1, x/2, …: {_list(index)}")
        names = sorted(index, key=index.__getitem__)
        # All indices of one network are drawn together: (seeds, indices, 1).
        block = reading.at(width)[names].to_numpy()[:, :, None]
        sample = self._bootstrap([block], exact=self._is_exact(width))
        return [index[name] for name in names], sample, reading, self.variant or ""

    def _along_variants(self, measurements: pd.DataFrame):
        names = sorted(self.along, key=self.along.__getitem__)
        readings = [
            self._read(measurements, self.metric, self.step, name) for name in names
        ]
        width = _one_width(*readings)
        for reading in readings:
            _one_metric(reading, self.metric)
        blocks = _paired([reading.at(width) for reading in readings])
        sample = self._bootstrap(blocks, exact=self._is_exact(width))
        n = [self.along[name] for name in names]
        return n, sample, _joined(readings), ", ".join(names)

    def _bootstrap(self, blocks: Sequence[np.ndarray], exact: bool = False) -> Sample:
        return statistics.bootstrap(
            blocks, self.statistic, self.id, log=True, exact=exact or self.exact
        )

    def _judge(self, measurements: pd.DataFrame) -> Finding:
        fit, reading, variant = self._fit(measurements)
        slope = Interval(
            fit.slope, fit.slope_low, fit.slope_high, math.nan, math.nan, fit.note
        )
        local = ", ".join(
            f"{a:g}→{b:g} {p:.3g}"
            for a, b, p in zip(
                fit.widths, fit.widths[1:], fit.local_slopes, strict=False
            )
        )
        return self._find(
            slope,
            variant=variant,
            metric=self.metric,
            statistic=f"slope of the {_words(self.statistic)}",
            n=len(reading.values),
            widths=_list(reading.widths),
            detail=_join(local and f"local slopes {local}", fit.note, reading.note),
        )


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
    """What is taken over the seeds."""

    def _judge(self, measurements: pd.DataFrame) -> Finding:
        reading = self._read(measurements, self.metric, self.step)
        widths = reading.widths
        blocks = [_pooled(reading.at(width)) for width in widths]
        exact = all(self._is_exact(width) for width in widths)
        sample = statistics.bootstrap(blocks, self.statistic, self.id, exact=exact)
        share = np.full(len(blocks), 1 / len(blocks))
        result = statistics.interval(sample, share, self.confidence)
        if self.statistic in statistics.LOGARITHMIC:
            result = statistics.natural(result)
        return self._find(
            result,
            variant=self.variant or "",
            metric=self.metric,
            statistic=_words(self.statistic),
            n=len(reading.values),
            widths=_list(widths),
            detail=_join(result.note, reading.note),
        )


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
    """What is taken over the seeds."""
    at_least: float | None = None
    """The number is this or more."""
    at_most: float | None = None
    """The number is this or less."""

    @model_validator(mode="after")
    def _one_side(self):
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("give one of at_least and at_most")
        return self

    def _judge(self, measurements: pd.DataFrame) -> Finding:
        reading = self._read(measurements, self.metric, self.step)
        low = -math.inf if self.at_least is None else self.at_least
        high = math.inf if self.at_most is None else self.at_most
        extreme = self.statistic in ("max", "min")
        judge = self._extremes if extreme else self._bounds
        verdict, results = judge(reading, low, high)
        worst = _worst(results, low, high)
        result = results[worst]
        percent = f"one-sided {self.confidence:.4g}"
        found = [
            f"{width}: {r.estimate:.3g}"
            for width, r in zip(reading.widths, results, strict=True)
        ]
        return Finding(
            verdict,
            variant=self.variant or "",
            metric=self.metric,
            statistic=_words(self.statistic) + ("" if extreme else f", {percent}"),
            estimate=result.estimate,
            ci_low=result.low,
            ci_high=result.high,
            low=low,
            high=high,
            tolerance=_band_text(low, high),
            n=len(reading.values),
            widths=_list(reading.widths),
            detail=_join(
                len(found) > 1
                and f"by width {', '.join(found)}; the estimate is that of width "
                f"{reading.widths[worst]}",
                *dict.fromkeys(r.note for r in results),
                reading.note,
            ),
        )

    def _bounds(
        self, reading: Reading, low: float, high: float
    ) -> tuple[Judgement, list[Interval]]:
        samples = [
            statistics.bootstrap(
                [_pooled(reading.at(width))],
                self.statistic,
                f"{self.id}/{width}",
                exact=self._is_exact(width),
            )
            for width in reading.widths
        ]
        return judge_all(
            samples,
            [1.0],
            2 * self.confidence - 1,
            (low, high),
            log=self.statistic in statistics.LOGARITHMIC,
        )

    def _extremes(
        self, reading: Reading, low: float, high: float
    ) -> tuple[Judgement, list[Interval]]:
        results, lonely = [], False
        for width in reading.widths:
            values = reading.at(width).to_numpy()
            lonely |= len(values) == 1 and not self._is_exact(width)
            value = float(values.max() if self.statistic == "max" else values.min())
            results.append(Interval(value, value, value, 0.0, math.inf))
        if any(not low <= r.estimate <= high for r in results):
            return "contradicted", results
        if lonely:
            note = "one seed shows no extreme"
            return "inconclusive", [r._replace(note=note) for r in results]
        return "supported", results


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
                raise Missing(f"one width only, {_list(reading.widths)}: no order")
            labels = [str(width) for width in reading.widths]
            blocks = [_block(reading.at(width)) for width in reading.widths]
            exact = self.exact
        else:
            readings = [
                self._read(measurements, self.metric, self.step, name)
                for name in self.along
            ]
            width = _one_width(*readings)
            reading = _joined(readings)
            labels = list(self.along)
            blocks = _paired([r.at(width) for r in readings])
            exact = self._is_exact(width)
        for each in readings:
            _one_metric(each, self.metric)
        sample = statistics.bootstrap(blocks, self.statistic, self.id, exact=exact)
        sign = 1.0 if self.direction == "increasing" else -1.0
        steps = sign * np.diff(np.eye(len(labels)), axis=0)
        results = [statistics.interval(sample, c, self.confidence) for c in steps]
        worst = _worst(results, 0.0, math.inf)
        result = results[worst]
        log = self.statistic in statistics.LOGARITHMIC
        points = np.exp(sample.point) if log else sample.point
        return Finding(
            _ordered(results, 1 - self.confidence),
            variant=self.variant or ", ".join(self.variants()),
            metric=self.metric,
            statistic=f"{'log ' * log}{_words(self.statistic)}, smallest step in the "
            f"claimed direction ({labels[worst]}→{labels[worst + 1]})",
            estimate=result.estimate,
            ci_low=result.low,
            ci_high=result.high,
            low=0.0,
            high=math.inf,
            tolerance=f"{self.direction}, Holm {self.confidence:.4g}",
            n=len(reading.values),
            widths=_list(reading.widths),
            detail=_join(
                ", ".join(
                    f"{name}: {value:.3g}"
                    for name, value in zip(labels, points, strict=True)
                ),
                sample.note,
                reading.note,
            ),
        )


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

    def _judge(self, measurements: pd.DataFrame) -> Finding:
        reading = self._read(measurements, self.metric, self.step)
        scores = reading.at(_one_width(reading)).to_numpy()
        low, high = 1 - self.variance_tolerance, 1 + self.variance_tolerance
        result = statistics.one_sample(
            scores, "variance", self.id, confidence=self.confidence
        )
        found = Finding(
            "inconclusive",
            variant=self.variant or "",
            metric=self.metric,
            statistic=f"variance ratio pooled over {scores.shape[1]} indices",
            estimate=result.estimate,
            ci_low=result.low,
            ci_high=result.high,
            predicted=1.0,
            low=low,
            high=high,
            tolerance=f"{_band_text(low, high)}, |z| < {self.max_z:g}, "
            f"Kolmogorov–Smirnov {self.alpha:g}",
            n=len(scores),
            widths=_list(reading.widths),
            detail=_join(result.note, reading.note),
        )
        if math.isnan(result.low):
            return found
        tests = statistics.normality(scores)
        names = list(reading.values)
        mean = int(np.argmax(np.abs(tests.mean_z)))
        far = bool(abs(tests.mean_z[mean]) >= self.max_z)
        shape = statistics.holm(tests.p_distribution)
        spread = statistics.holm(tests.p_variance)
        refuted = far and statistics.holm(tests.p_mean)[mean] < self.alpha
        verdict = statistics.equivalence(result.low, result.high, low, high)
        if refuted:
            verdict = "contradicted"
        elif verdict == "supported" and (far or shape.min() < self.alpha):
            verdict = "inconclusive"
        detail = (
            f"largest |z| {abs(tests.mean_z[mean]):.3g} at {names[mean]}"
            f"{', far out' if far else ''}; variance ratios "
            f"{tests.variance_ratio.min():.3g} to {tests.variance_ratio.max():.3g}, "
            f"smallest p after Holm: χ² {spread.min():.2g}, "
            f"Kolmogorov–Smirnov {shape.min():.2g}"
        )
        return found._replace(verdict=verdict, detail=_join(detail, reading.note))


@section
class Ratio(Equivalence):
    """The ratio of two numbers lies in the band (`high: 1` for "smaller than").

    Of two variants, or of two metrics, or both; paired where the seeds are the same.
    At each selected width: supported if at all, contradicted if at one, there at a
    level corrected for the number of widths.
    """

    kind: Literal["ratio"] = "ratio"
    metric: str
    """The numerator's quantity."""
    over_metric: str | None = None
    """The denominator's; default: the numerator's."""
    over_variant: str | None = None
    """The denominator's variant; default: the numerator's."""
    step: Step = "final"
    """Which logged step, of the numerator."""
    over_step: Step | None = None
    """Which logged step of the denominator; default: the numerator's."""
    statistic: Statistic = "geometric_mean"
    """What is taken over the seeds before dividing."""

    @model_validator(mode="after")
    def _two_things(self):
        if self.over_metric is None and self.over_variant is None:
            if self.over_step is None:
                raise ValueError(
                    "give over_variant, over_metric or over_step: a ratio needs two"
                )
        return self

    def variants(self) -> tuple[str, ...]:
        """The names of the variants this claim reads."""
        return tuple(v for v in (self.variant, self.over_variant) if v is not None)

    def _judge(self, measurements: pd.DataFrame) -> Finding:
        top = self._read(measurements, self.metric, self.step)
        bottom = self._read(
            measurements,
            self.over_metric or self.metric,
            self.step if self.over_step is None else self.over_step,
            self.over_variant,
        )
        _one_metric(top, self.metric)
        _one_metric(bottom, self.over_metric or self.metric)
        widths = sorted(set(top.widths) & set(bottom.widths))
        if not widths:
            raise Missing(
                f"no common width: {_list(top.widths)} over {_list(bottom.widths)}"
            )
        samples = [
            statistics.bootstrap(
                _paired([top.at(width), bottom.at(width)]),
                self.statistic,
                f"{self.id}/{width}",
                log=True,
                exact=self._is_exact(width),
            )
            for width in widths
        ]
        low, high = self.band()
        verdict, results = judge_all(
            samples, [1.0, -1.0], self.confidence, (low, high), log=True
        )
        worst = _worst(results, low, high)
        both = _joined([top, bottom])
        found = self._find(
            results[worst],
            variant=" / ".join(self.variants()),
            metric=f"{self.metric} / {self.over_metric or self.metric}",
            statistic=f"ratio of {_words(self.statistic)}s",
            n=len(both.values),
            widths=_list(widths),
            detail=_join(
                len(widths) > 1
                and "by width "
                + ", ".join(
                    f"{w}: {r.estimate:.3g}"
                    for w, r in zip(widths, results, strict=True)
                )
                + f"; the estimate is that of width {widths[worst]}",
                *dict.fromkeys(r.note for r in results),
                both.note,
            ),
        )
        return found._replace(verdict=verdict)


@section
class Condition:
    """A metric of a network is above, or below, a number."""

    metric: str
    """The measured quantity."""
    step: Step = "final"
    """Which logged step."""
    above: float | None = None
    """Holds where the value is greater."""
    below: float | None = None
    """Holds where the value is smaller."""

    @model_validator(mode="after")
    def _one_side(self):
        if (self.above is None) == (self.below is None):
            raise ValueError("give one of above and below")
        return self

    def holds(self, values: pd.Series) -> pd.Series:
        """Whether the condition holds, network by network."""
        return values > self.above if self.below is None else values < self.below

    def __str__(self) -> str:
        if self.below is None:
            return f"{self.metric} > {self.above:g}"
        return f"{self.metric} < {self.below:g}"


@section
class Fraction(Statement):
    """A share of networks, at least, has a property, or a relation of two.

    `that` alone, or `that` iff (or if) `given`; networks whose value of `given` lies
    in the band `exclude` do not count. With Wilson's one-sided bounds: supported if
    the lower one is `at_least` or more, contradicted if the upper one is less.
    `at_least: 1` means every trained network: one counter-example contradicts it.
    """

    kind: Literal["fraction"] = "fraction"
    that: Condition
    """What is claimed of a network."""
    given: Condition | None = None
    """The condition it is tied to."""
    relation: Literal["iff", "if"] = "iff"
    """`that` iff `given`, or `that` where `given` holds."""
    exclude: tuple[float, float] | None = None
    """Networks with a value of `given` in this closed band do not count."""
    at_least: Annotated[float, Field(gt=0, le=1)] = 0.95
    """The claimed share."""

    @model_validator(mode="after")
    def _exclude_needs_given(self):
        if self.exclude is not None and self.given is None:
            raise ValueError("exclude is a band of given's values: give given")
        if self.exclude is not None and self.exclude[0] > self.exclude[1]:
            raise ValueError("exclude is [low, high]")
        return self

    def _judge(self, measurements: pd.DataFrame) -> Finding:
        that = self._read(measurements, self.that.metric, self.that.step)
        _one_metric(that, self.that.metric)
        hits, note = self.that.holds(that.values.iloc[:, 0]), that.note
        words = str(self.that)
        if self.given is not None:
            given = self._read(measurements, self.given.metric, self.given.step)
            _one_metric(given, self.given.metric)
            hits = self._related(hits, given.values.iloc[:, 0])
            note = _join(note, given.note if given.note != note else "")
            words += f" {self.relation} {self.given}"
        found = Finding(
            "inconclusive",
            variant=self.variant or "",
            metric=words,
            statistic=f"share of networks, one-sided {self.confidence:.4g}",
            predicted=math.nan,
            low=self.at_least,
            high=1.0,
            tolerance=f"≥ {self.at_least:g}",
            n=len(hits),
            widths=_list(that.widths),
            detail=_join("no network to count" if hits.empty else "", note),
        )
        if hits.empty:
            return found
        count, total = int(hits.sum()), len(hits)
        result = statistics.share(count, total, 2 * self.confidence - 1)
        return found._replace(
            verdict=self._verdict(count, total, result),
            estimate=result.estimate,
            ci_low=result.low,
            ci_high=result.high,
            detail=_join(
                f"{count} of {total} networks, Wilson's lower bound {result.low:.3g}",
                note,
            ),
        )

    def _related(self, hits: pd.Series, value: pd.Series) -> pd.Series:
        common = hits.index.intersection(value.index)
        hits, value = hits[common], value[common]
        if self.exclude is not None:
            kept = ~value.between(*self.exclude)
            hits, value = hits[kept], value[kept]
        condition = self.given.holds(value)
        return hits == condition if self.relation == "iff" else hits[condition]

    def _verdict(self, count: int, total: int, result: Interval) -> Judgement:
        if self.exact or self.at_least == 1:
            if result.estimate < self.at_least:
                return "contradicted"
            return "supported" if total > 1 or self.exact else "inconclusive"
        return statistics.equivalence(result.low, result.high, self.at_least)


@section
class Typical(Statement):
    """A published slope, fitted to one network of each width, is a typical one.

    The slope of log Q on log n is fitted to replicate r of every width, for all r;
    supported if the published one lies within the central `share` of these slopes,
    contradicted if not. The row shows their median and that range.
    """

    kind: Literal["typical"] = "typical"
    metric: str
    """The measured quantity."""
    step: Step = "final"
    """Which logged step."""
    published: float
    """The slope that was printed."""
    share: Confidence = 0.99
    """Share of simulated slopes that counts as typical."""

    def _judge(self, measurements: pd.DataFrame) -> Finding:
        reading = self._read(measurements, self.metric, self.step)
        _one_metric(reading, self.metric)
        column = reading.values.iloc[:, 0].rename("value").reset_index()
        values = column.pivot_table(index="seed", columns="width", values="value")
        values = values.dropna()
        found = Finding(
            "inconclusive",
            variant=self.variant or "",
            metric=self.metric,
            statistic=f"slope of one network a width, central {self.share:.4g}",
            predicted=self.published,
            n=len(values),
            widths=_list(reading.widths),
            detail=reading.note,
        )
        # below this many slopes the range is their extremes
        needed = math.ceil(2 / (1 - self.share))
        if len(values) < needed or values.shape[1] < 2 or (values <= 0).any(axis=None):
            return found._replace(
                detail=_join(
                    f"needs {needed} networks with positive values at two widths or "
                    f"more, there are {len(values)} at {values.shape[1]}",
                    reading.note,
                )
            )
        log_n = np.log(values.columns.to_numpy(float))
        slopes = np.polyfit(log_n, np.log(values.to_numpy()).T, 1)[0]
        edge = (1 - self.share) / 2
        low, middle, high = np.quantile(slopes, [edge, 0.5, 1 - edge])
        inside = low <= self.published <= high
        return found._replace(
            verdict="supported" if inside else "contradicted",
            estimate=middle,
            ci_low=low,
            ci_high=high,
            low=low,
            high=high,
            tolerance=f"published {self.published:g} within the simulated range",
            detail=_join(
                f"{np.mean(slopes < self.published):.1%} of simulated slopes are lower",
                reading.note,
            ),
        )


@section
class Collapse(Statement):
    """A number of several variants and widths is a function of one x = a·n^p.

    A polynomial in log x is fitted to log Q over all variants and widths n: supported
    if R², with its interval, is `at_least`, contradicted if it is less.
    """

    kind: Literal["collapse"] = "collapse"
    metric: str
    """The measured quantity Q."""
    step: Step = "final"
    """Which logged step."""
    statistic: Statistic = "mean"
    """What is taken over the seeds."""
    along: Annotated[dict[str, Annotated[float, Field(gt=0)]], Field(min_length=1)]
    """The number a of each variant: {d2: 2, d4: 4}."""
    width_power: Annotated[float, Field(ge=-10, le=10)] = 0.0
    """The power p of the width; −1 for depth/width."""
    degree: Annotated[int, Field(ge=1, le=3)] = 1
    """Degree of the polynomial."""
    at_least: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """The claimed R²."""

    def variants(self) -> tuple[str, ...]:
        """The names of the variants this claim reads."""
        return tuple(self.along)

    def _judge(self, measurements: pd.DataFrame) -> Finding:
        readings = {
            name: self._read(measurements, self.metric, self.step, name)
            for name in self.along
        }
        for reading in readings.values():
            _one_metric(reading, self.metric)
        x, blocks = [], []
        for width in sorted({w for r in readings.values() for w in r.widths if w}):
            names = [name for name, r in readings.items() if width in r.widths]
            # variants share their seeds, widths do not
            blocks += _paired([readings[name].at(width) for name in names])
            x += [self.along[name] * width**self.width_power for name in names]
        sample = statistics.bootstrap(
            blocks, self.statistic, self.id, log=True, exact=self.exact
        )
        result = statistics.collapse(
            x, sample, self.degree, self.id, confidence=self.confidence
        )
        both = _joined(list(readings.values()))
        return Finding(
            statistics.equivalence(result.low, result.high, self.at_least),
            variant=", ".join(self.along),
            metric=self.metric,
            statistic=f"R² of a fit of degree {self.degree} to {len(x)} points",
            estimate=result.estimate,
            ci_low=result.low,
            ci_high=result.high,
            low=self.at_least,
            high=1.0,
            tolerance=f"≥ {self.at_least:g}",
            n=len(both.values),
            widths=_list(both.widths),
            detail=_join(
                ", ".join(
                    f"{a:.4g}: {q:.3g}"
                    for a, q in sorted(zip(x, np.exp(sample.point), strict=True))
                ),
                result.note,
                both.note,
            ),
        )


Claim = Annotated[
    PowerLaw
    | Equals
    | Bound
    | Ordering
    | Normal
    | Ratio
    | Fraction
    | Typical
    | Collapse,
    Field(discriminator="kind"),
]


def read(
    measurements: pd.DataFrame,
    metric: str,
    step: Step,
    variant: str | None,
    min_width: int,
    max_width: int | None,
) -> Reading:
    """Values of the matching metrics at one step: one row a network.

    A network without a finite value of every metric is left out, and the note says so.
    """
    rows = measurements
    if rows.empty:
        raise Missing("the table of measurements is empty")
    known = sorted(rows["variant"].unique())
    if variant is None and len(known) > 1:
        raise Missing(f"several variants, name one: {', '.join(known)}")
    if variant is not None:
        rows = rows[rows["variant"] == variant]
    if rows.empty:
        raise Missing(f"no variant {variant}; the table has {_list(known)}")
    named = [m for m in rows["metric"].unique() if fnmatch.fnmatchcase(m, metric)]
    if not named:
        raise Missing(
            f"no metric {metric}{f' for {variant}' if variant else ''}; there are "
            f"{', '.join(sorted(rows['metric'].unique()))}"
        )
    widest = math.inf if max_width is None else max_width
    inside = rows[rows["width"].between(min_width, widest)]
    chosen = inside[inside["metric"].isin(named)]
    if chosen.empty:
        widths = sorted(rows.loc[rows["metric"].isin(named), "width"].unique())
        raise Missing(f"no width from {min_width} to {widest:g}: {_list(widths)}")
    values = _at_step(inside, chosen, step)
    if values.empty:
        raise Missing(f"{metric} has no finite value")
    names = sorted(values, key=lambda name: (_index(name), name))
    values = values[names].sort_index()
    finite = values[np.isfinite(values).all(axis=1)]
    if finite.empty:
        raise Missing(f"{metric} has no finite value")
    noise = "" if OF_MOVES.isdisjoint(names) else _unresolved(inside, finite)
    return Reading(finite, _join(_left_out(inside, finite), noise))


def _at_step(inside: pd.DataFrame, rows: pd.DataFrame, step: Step) -> pd.DataFrame:
    """One row a (width, seed), one column a metric; `rows` are those to choose from."""
    if step == "max":
        at = rows
    elif step == "final":
        index = pd.MultiIndex.from_frame(rows[["width", "metric"]])
        at = rows[rows["step"].to_numpy() == _last_step(inside, rows)[index].to_numpy()]
    else:
        at = rows[rows["step"] == (0 if step == "initial" else step)]
        if at.empty:
            there = _list(sorted(rows["step"].unique()))
            raise Missing(f"no step {step}; there are {there}")
    return at.pivot_table(
        index=["width", "seed"], columns="metric", values="value", aggfunc="max"
    )


def _last_step(inside: pd.DataFrame, rows: pd.DataFrame) -> pd.Series:
    """The last recorded step of each (width, metric), even if none has a value there.

    A network that dies in training has no row there, and its last one is of before.
    """
    names = rows["metric"].unique()
    undefined = inside[inside["metric"].isin([f"undefined/{name}" for name in names])]
    undefined = undefined.assign(
        metric=undefined["metric"].str.removeprefix("undefined/")
    )
    least = inside[inside["metric"] == "ntk_min"]
    alike = [least.assign(metric=n) for n in LIKE_LEAST_EIGENVALUE if n in names]
    recorded = pd.concat([rows, undefined, *alike])
    return recorded.groupby(["width", "metric"])["step"].max()


def _left_out(inside: pd.DataFrame, used: pd.DataFrame) -> str:
    """How many of the trained networks have no value, and how many diverged."""
    everything = inside[["width", "seed"]].drop_duplicates()
    lost = len(everything) - len(used)
    if lost <= 0:
        return ""
    diverged = inside[(inside["metric"] == "diverged") & (inside["value"] == 1)]
    wild = len(diverged[["width", "seed"]].drop_duplicates())
    return f"{lost} of {len(everything)} networks have no value, {wild} diverged"


def _unresolved(inside: pd.DataFrame, used: pd.DataFrame) -> str:
    """How many of the networks that are used moved their kernel by rounding only."""
    rows = inside[inside["metric"] == "unresolved"]
    fate = rows.groupby(["width", "seed"])["value"].max().reindex(used.index)
    if not fate.any():
        return ""
    return (
        f"{fate.sum():.0f} of {len(used)} networks moved their kernel by less than "
        "rounding does"
    )


def judge_all(
    samples: Sequence[Sample],
    coefficients: Sequence[float],
    confidence: float,
    band: tuple[float, float],
    *,
    log: bool,
) -> tuple[Judgement, list[Interval]]:
    """Verdict on "in the band at every width", and the interval of each.

    Supported if every interval lies in the band (an intersection–union test, which
    needs no correction); contradicted if one is disjoint from it at a level corrected
    for their number (Bonferroni), since any would do.
    """
    corrected = 1 - (1 - confidence) / len(samples)

    def intervals(level: float) -> list[Interval]:
        results = [statistics.interval(s, coefficients, level) for s in samples]
        return [statistics.natural(r) for r in results] if log else results

    results = intervals(confidence)
    verdicts = [statistics.equivalence(r.low, r.high, *band) for r in results]
    wide = [statistics.equivalence(r.low, r.high, *band) for r in intervals(corrected)]
    if "contradicted" in wide:
        return "contradicted", results
    if set(verdicts) == {"supported"}:
        return "supported", results
    return "inconclusive", results


def _ordered(results: Sequence[Interval], alpha: float) -> Judgement:
    """Verdict on "all differences are positive"."""
    opposite = [r._replace(estimate=-r.estimate) for r in results]
    against = statistics.holm([statistics.above_zero(r) for r in opposite])
    if against.min() < alpha:
        return "contradicted"
    towards = statistics.holm([statistics.above_zero(r) for r in results])
    return "supported" if towards.max() < alpha else "inconclusive"


def _worst(results: Sequence[Interval], low: float, high: float) -> int:
    """The result that lies least inside, or furthest outside, the band."""
    room = [min(r.estimate - low, high - r.estimate) for r in results]
    return int(np.argmin(np.nan_to_num(room, nan=-math.inf)))


def _block(values: pd.DataFrame) -> np.ndarray:
    """(n, 1, 1) from the one column of networks."""
    return values.to_numpy()[:, :, None]


def _pooled(values: pd.DataFrame) -> np.ndarray:
    """(n, 1, i): all columns are values of one quantity."""
    return values.to_numpy()[:, None, :]


def _paired(values: Sequence[pd.DataFrame]) -> list[np.ndarray]:
    """One block (n, q, 1) where all have the same seeds, else a block for each.

    With other seeds on either side the difference of two correlated numbers is taken
    for that of independent ones, which errs on the side of a wider interval.
    """
    first = values[0].index
    if all(v.index.equals(first) for v in values):
        return [np.stack([v.to_numpy()[:, 0] for v in values], axis=1)[:, :, None]]
    return [_block(v) for v in values]


def _joined(readings: Sequence[Reading]) -> Reading:
    values = pd.concat([reading.values for reading in readings])
    return Reading(values, _join(*dict.fromkeys(r.note for r in readings)))


def _one_metric(reading: Reading, metric: str) -> None:
    if reading.values.shape[1] > 1:
        raise Missing(f"{metric} matches several: {', '.join(reading.values)}")


def _one_width(*readings: Reading) -> int:
    widths = sorted({width for reading in readings for width in reading.widths})
    for reading in readings:
        if widths != reading.widths:
            raise Missing(f"the variants differ in width: {_list(widths)}")
    if len(widths) > 1:
        raise Missing(
            f"several widths, {_list(widths)}: choose one by min_width and max_width"
        )
    return widths[0]


def _index(name: str) -> float:
    """The number after the slash, or infinity."""
    try:
        return float(name.rpartition("/")[2])
    except ValueError:
        return math.inf


def _words(statistic: str) -> str:
    return {"std": "standard deviation"}.get(statistic, statistic.replace("_", " "))


def _band_text(low: float, high: float) -> str:
    if low == -math.inf:
        return f"≤ {high:.6g}"
    if high == math.inf:
        return f"≥ {low:.6g}"
    return f"[{low:.6g}, {high:.6g}]"


def _list(values: Sequence) -> str:
    return ", ".join(str(value) for value in values)


def _join(*notes: str | bool) -> str:
    return "; ".join(note for note in notes if note)


def table(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """Verdicts as the rows of claims.csv, in the order given."""
    return pd.DataFrame(list(verdicts), columns=list(Verdict._fields))
