"""Common to all kinds of claim: keys, accepted band, verdict."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Literal,
    NamedTuple,
    get_type_hints,
)

import numpy as np
from pydantic import Field

from ntkpipe.claims.reading import Missing, Reading, Readings, Step, read
from ntkpipe.claims.statistics import (
    Interval,
    Sample,
    equivalence,
    interval,
    natural,
    undefined,
)
from ntkpipe.claims.words import NOTE, Detail, as_json, listed
from ntkpipe.lazy import Lazy
from ntkpipe.section import Fault, section

if TYPE_CHECKING:
    import pandas as pd

    from ntkpipe.experiment import Experiment
else:
    pd = Lazy("pandas")

Nature = Literal["law", "identity", "control"]
Set = Literal["before", "after pilot", "after result"]
Expected = Literal["supported", "consistent", "contradicted"]
Judgement = Literal[
    "supported", "consistent", "contradicted", "inconclusive", "missing"
]
IntervalKind = Literal["two-sided", "one-sided", "prediction", "none"]
Confidence = Annotated[float, Field(gt=0.5, lt=1)]
UNKNOWN = undefined()
UNSTATED = (
    "is missing: write `set: before` if the band is the source's or the theory's, "
    "`set: after pilot` if it was chosen with a simulation at hand, or "
    "`set: after result` if it was changed after a result"
)


class Verdict(NamedTuple):
    """A row of claims.csv: [low, high] is the accepted band.

    `level` is that of the interval [ci_low, ci_high], or of each of its ends if the
    interval is one-sided. An extreme or a closed form has no interval.
    """

    claim: str
    says: str
    source: str
    estimate: float
    ci_low: float
    ci_high: float
    expected: Expected
    n: int
    verdict: Judgement
    as_expected: bool
    nature: Nature = "law"
    set: Set = "before"
    known: str = ""
    level: float = math.nan
    interval: IntervalKind = "none"
    study: str = ""
    variant: str = ""
    metric: str = ""
    statistic: str = ""
    predicted: float = math.nan
    low: float = math.nan
    high: float = math.nan
    widths: str = ""
    detail: Detail = ()
    reason: str = ""


class Finding(NamedTuple):
    """The result of one kind of claim: a `Verdict` without the keys of all claims."""

    verdict: Judgement
    variant: str = ""
    metric: str = ""
    statistic: str = ""
    estimate: float = math.nan
    ci_low: float = math.nan
    ci_high: float = math.nan
    level: float = math.nan
    interval: IntervalKind = "none"
    predicted: float = math.nan
    low: float = math.nan
    high: float = math.nan
    n: int = 0
    widths: str = ""
    detail: Detail = ()


MetricRead = tuple[tuple[str, ...], str, list[tuple[str, ...]]]
"""A key, the metric that it names, and groups of variants. At least one variant of
each group must record the metric. An empty group stands for all variants."""


@section
class Statement:
    """The keys of all claims."""

    verdict_if_true: ClassVar[Expected] = "supported"

    id: str
    """Name of the claim, unique in the study: `J-7/tanh/own`."""
    says: str
    """The claim in one sentence."""
    source: str
    """The publication that makes the claim."""
    variant: str | None = None
    """The variant it reads; may be omitted if the study has only one."""
    min_width: Annotated[int, Field(ge=0)] = 1
    """The narrowest width it reads. Width 0 is the infinite-width limit."""
    max_width: Annotated[int, Field(ge=0)] | None = None
    """The widest width it reads."""
    confidence: Confidence = 0.95
    """Level of the two-sided interval. Each end is a bound of level (1 + confidence)/2,
    and so are one-sided bounds, shares and orderings."""
    exact: bool = False
    """A value of one network has no sampling error (closed form). Implied for width 0,
    the infinite-width limit. Several values at width 0, one for each draw of the data
    (`measure.limit_draws`), have the interval over these draws."""
    nature: Nature = "law"
    """`law`: a law or a number that networks could refute. `identity`: it holds
    exactly and verifies the code. `control`: it is false; `contradicted` is expected.
    """
    set: Set | None = None
    """When the band was set. `before`: it is the source's or the theory's. `after
    pilot`: it was chosen with a simulation at hand. `after result`: the band, the
    quantity or the range of widths was changed after a result of the study. Laws and
    numbers must state it; for identities and controls the default is `before`."""
    known: Literal["contradicted"] | None = None
    """The law is known to be contradicted; `reason` states why. It is listed apart."""
    looks: Annotated[int, Field(ge=1)] = 1
    """How often the result was looked at while seeds were added. The level becomes
    1 − (1 − confidence)/looks."""
    reason: str | None = None
    """Why the accepted band differs from the source's, or why the law is contradicted.
    """

    def faults(self) -> Iterator[Fault]:
        """Faults between the keys."""
        if self.max_width is not None and self.max_width < self.min_width:
            text = f"{self.max_width} is below min_width {self.min_width}"
            yield Fault(("max_width",), text)
        for key, needs in (("known", self.known), ("set", self.set == "after result")):
            if needs and not self.reason:
                yield Fault((key,), f"{getattr(self, key)} needs a reason")
        if self.nature == "law" and self.set is None:
            yield Fault(("set",), UNSTATED)
        if self.known and self.nature != "law":
            yield Fault(("known",), "is for laws; a control is false by design")

    @property
    def level(self) -> float:
        """Level of a two-sided interval, Bonferroni-corrected for `looks`.

        Each end alone is a one-sided bound of level (1 + level)/2.
        """
        return 1 - (1 - self.confidence) / self.looks

    @property
    def band_set(self) -> Set:
        """When the band was set."""
        return self.set or "before"

    @property
    def expected(self) -> Expected:
        """The verdict that the study file expects."""
        false = self.nature == "control" or self.known == "contradicted"
        return "contradicted" if false else self.verdict_if_true

    def metrics_read(self) -> Iterator[MetricRead]:
        """The metrics that the claim reads, and of which variants."""
        for key in ("metric", "over_metric"):
            if name := getattr(self, key, None):
                yield (key,), name, [(v,) for v in self.variants()] or [()]

    def variants(self) -> tuple[str, ...]:
        """The names of the variants this claim reads."""
        return () if self.variant is None else (self.variant,)

    def unmet(self, experiment: Experiment) -> Iterator[Fault]:
        """What the claim needs and a variant that it reads lacks."""
        yield from ()

    def evaluate(self, measurements: pd.DataFrame | Readings) -> Verdict:
        """Judge the claim on the tidy table of measurements; never raises."""
        try:
            found = self.judge(measurements)
        except Missing as missing:
            found = Finding(
                "missing",
                variant=", ".join(self.variants()),
                detail=((NOTE, str(missing)),),
            )
        expected = self.expected
        return Verdict(
            claim=self.id,
            says=self.says,
            source=self.source,
            expected=expected,
            as_expected=found.verdict == expected,
            nature=self.nature,
            set=self.band_set,
            known=self.known or "",
            reason=self.reason or "",
            **found._asdict(),
        )

    def judge(self, measurements: pd.DataFrame | Readings) -> Finding:
        """Read the table and judge; raise `Missing` if the table lacks values."""
        raise NotImplementedError

    def found(
        self,
        verdict: Judgement,
        reading: Reading,
        result: Interval = UNKNOWN,
        band: tuple[float, float] = (math.nan, math.nan),
        **more,
    ) -> Finding:
        """A verdict with its interval and the networks that were read.

        An interval is one-sided if the band has one end.
        """
        kind: IntervalKind = "one-sided" if math.inf in map(abs, band) else "two-sided"
        kind = more.pop("interval", kind)
        if not result.low < result.high:  # a closed form, an extreme, or no interval
            kind, result = "none", result._replace(low=math.nan, high=math.nan)
        levels = {"two-sided": self.level, "one-sided": (1 + self.level) / 2}
        fields: dict[str, Any] = {
            "variant": self.variant or "",
            "n": len(reading.values),
            "widths": listed(reading.widths),
            "interval": kind,
            "level": levels.get(kind, math.nan),
        }
        return Finding(
            verdict,
            estimate=result.estimate,
            ci_low=result.low,
            ci_high=result.high,
            low=band[0],
            high=band[1],
            **(fields | more),
        )

    def read(
        self,
        measurements: pd.DataFrame | Readings,
        metric: str,
        step: Step,
        variant: str | None = None,
    ) -> Reading:
        """Select the claim's rows of one variant; see `read`."""
        variant = variant or self.variant
        key = (metric, step, variant, self.min_width, self.max_width)
        if isinstance(measurements, Readings):
            return measurements[key]
        return read(measurements, *key)

    def is_exact(self, width: int) -> bool:
        """Whether one value at this width has no sampling error."""
        return self.exact or width == 0


@section
class Equivalence(Statement):
    """A claim that a number lies in a band: supported iff its interval does.

    The band is predicted ± tolerance, predicted·(1 ± relative), or [low, high]. One of
    `low` and `high` may be omitted.
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

    def faults(self) -> Iterator[Fault]:
        """Faults between the keys, also those of the band."""
        yield from super().faults()
        ends = self.low is not None or self.high is not None
        given = [self.tolerance is not None, self.relative is not None, ends]
        if sum(given) != 1:
            text = "give the accepted band in one way: tolerance, relative, or low/high"
            yield Fault((), text)
        if any(given[:2]) and self.predicted is None:
            yield Fault((), "tolerance and relative need predicted")
        if self.relative is not None and self.predicted == 0:
            text = "needs a predicted number other than 0: give tolerance"
            yield Fault(("relative",), text)
        low, high = self.band()
        if low > high:
            yield Fault(("low",), f"low {low:g} is above high {high:g}")
        elif self.predicted is not None and not low <= self.predicted <= high:
            text = f"{self.predicted:g} lies outside [{low:g}, {high:g}]"
            yield Fault(("predicted",), text)

    def band(self) -> tuple[float, float]:
        """The accepted band."""
        p = self.predicted
        if p is not None and self.tolerance is not None:
            return p - self.tolerance, p + self.tolerance
        if p is not None and self.relative is not None:
            return p - self.relative * abs(p), p + self.relative * abs(p)
        low = -math.inf if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        return low, high

    def found_in_band(
        self,
        result: Interval,
        reading: Reading,
        verdict: Judgement | None = None,
        **more,
    ) -> Finding:
        """A verdict, by default the one that follows from the interval and the band."""
        band = self.band()
        return self.found(
            verdict or equivalence(result.low, result.high, *band),
            reading,
            result,
            band,
            predicted=math.nan if self.predicted is None else self.predicted,
            **more,
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
    for the number of widths (Bonferroni), because one disjoint interval suffices.
    """
    corrected = 1 - (1 - confidence) / len(samples)

    def intervals(level: float) -> list[Interval]:
        results = [interval(s, coefficients, level) for s in samples]
        return [natural(r) for r in results] if log else results

    results = intervals(confidence)
    verdicts = [equivalence(r.low, r.high, *band) for r in results]
    wide = [equivalence(r.low, r.high, *band) for r in intervals(corrected)]
    if "contradicted" in wide:
        return "contradicted", results
    if set(verdicts) == {"supported"}:
        return "supported", results
    return "inconclusive", results


def worst_of(results: Sequence[Interval], low: float, high: float) -> int:
    """Index of the result that lies least inside, or furthest outside, the band."""
    room = [min(r.estimate - low, high - r.estimate) for r in results]
    return int(np.argmin(np.nan_to_num(room, nan=-math.inf)))


def by_width(widths: Sequence[int], results: Sequence[Interval], worst: int) -> Detail:
    """The estimate at each width and the deciding width, if there are several."""
    if len(widths) == 1:
        return ()
    each = tuple((f"{w}", r.estimate) for w, r in zip(widths, results, strict=True))
    return ("by width", each), ("the estimate is that of width", widths[worst])


def table(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """Verdicts as the rows of claims.csv, in the order given."""
    rows = [
        verdict._replace(detail=as_json(verdict.detail))  # type: ignore[arg-type]  # text
        for verdict in verdicts
    ]
    types = {float: "float64", int: "int64", bool: "bool"}
    hints = get_type_hints(Verdict).items()
    columns = {name: types.get(hint, "str") for name, hint in hints}
    return pd.DataFrame(rows, columns=list(columns)).astype(columns)
