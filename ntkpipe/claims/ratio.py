"""The ratio of two numbers lies in a band."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from ntkpipe.claims.base import (
    Equivalence,
    Finding,
    MetricRead,
    by_width,
    judge_all,
    worst_of,
)
from ntkpipe.claims.reading import Missing, Step, paired, together
from ntkpipe.claims.statistics import Statistic, bootstrap
from ntkpipe.claims.words import listed, notes, statistic
from ntkpipe.lazy import Lazy
from ntkpipe.section import Fault, section

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = Lazy("pandas")


@section
class Ratio(Equivalence):
    """The ratio of two numbers lies in the band (`high: 1` for "smaller than").

    Of two variants, or of two metrics, or both; paired where the seeds are the same.
    The metrics that match a pattern `x/*` are pooled. At each selected width:
    supported if at all, contradicted if at one, there at a level corrected for the
    number of widths.
    """

    kind: Literal["ratio"] = "ratio"
    metric: str
    """The quantity in the numerator, or a pattern `x/*`."""
    over_metric: str | None = None
    """The quantity in the denominator, or a pattern; default: that of the numerator."""
    over_variant: str | None = None
    """The variant of the denominator; default: that of the numerator."""
    step: Step = "final"
    """Which logged step of the numerator."""
    over_step: Step | None = None
    """Which logged step of the denominator; default: that of the numerator."""
    statistic: Statistic = "geometric_mean"
    """The statistic over seeds, taken before dividing."""

    def faults(self) -> Iterator[Fault]:
        """Faults between the keys, also those of the band."""
        yield from super().faults()
        if self.over_metric is self.over_variant is self.over_step is None:
            text = "give over_variant, over_metric or over_step: a ratio needs two"
            yield Fault((), text)

    def metrics_read(self) -> Iterator[MetricRead]:
        """The metrics of numerator and denominator, each with its variant."""
        top, bottom = (self.variant,), (self.over_variant or self.variant,)
        above, below = ((v,) if v else () for (v,) in (top, bottom))
        yield ("metric",), self.metric, [above]
        key = "over_metric" if self.over_metric else "metric"
        yield (key,), self.over_metric or self.metric, [below]

    def variants(self) -> tuple[str, ...]:
        """The names of the variants this claim reads."""
        return tuple(v for v in (self.variant, self.over_variant) if v is not None)

    def judge(self, measurements: pd.DataFrame) -> Finding:
        """The ratio at each width; the worst of them is shown."""
        top = self.read(measurements, self.metric, self.step)
        bottom = self.read(
            measurements,
            self.over_metric or self.metric,
            self.step if self.over_step is None else self.over_step,
            self.over_variant,
        )
        above, below = (one.values.shape[1] for one in (top, bottom))
        if above != below:
            raise Missing(f"numerator and denominator have {above} and {below} metrics")
        widths = sorted(set(top.widths) & set(bottom.widths))
        if not widths:
            raise Missing(
                f"no common width: {listed(top.widths)} over {listed(bottom.widths)}"
            )
        samples = [
            bootstrap(
                paired([top.at(width), bottom.at(width)]),
                self.statistic,
                f"{self.id}/{width}",
                log=True,
                exact=self.is_exact(width),
            )
            for width in widths
        ]
        band = self.band()
        verdict, results = judge_all(samples, [1.0, -1.0], self.level, band, log=True)
        worst = worst_of(results, *band)
        both = together([top, bottom])
        return self.found_in_band(
            results[worst],
            both,
            verdict,
            variant=" / ".join(self.variants()),
            metric=f"{self.metric} / {self.over_metric or self.metric}",
            statistic=f"ratio of {statistic(self.statistic)}s",
            widths=listed(widths),
            detail=by_width(widths, results, worst)
            + notes(*(r.note for r in results), both.note),
        )
