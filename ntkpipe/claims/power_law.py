"""Q ~ n^p."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from ntkpipe.claims.base import Equivalence, Finding
from ntkpipe.claims.fits import (
    ScalingFit,
    corrected_fit,
    scaling_fit,
    slope_coefficients,
)
from ntkpipe.claims.reading import (
    Missing,
    Step,
    block,
    index_of,
    one_metric,
    one_width,
    paired,
    together,
)
from ntkpipe.claims.statistics import Interval, Sample, Statistic, bootstrap
from ntkpipe.claims.words import Detail, listed, notes, statistic
from ntkpipe.lazy import Lazy
from ntkpipe.section import Fault, section

if TYPE_CHECKING:
    import pandas as pd

    from ntkpipe.experiment import Experiment
else:
    pd = Lazy("pandas")


@section
class PowerLaw(Equivalence):
    """Q ~ n^p: the slope of log Q on log n lies in the accepted band.

    Q is the geometric mean over seeds (or another `statistic`: `std` for the
    fluctuations of Q) at each width. With `correction` the fit is
    log Q = c + p·log n + log(1 + b/n), and the claim is about p.
    """

    kind: Literal["power_law"] = "power_law"
    metric: str
    """The measured quantity; a pattern `x/*` for `along: index`."""
    step: Step = "final"
    """Which logged step."""
    statistic: Statistic = "geometric_mean"
    """The statistic over seeds."""
    along: Literal["width", "index"] | dict[str, Annotated[float, Field(gt=0)]] = (
        "width"
    )
    """The abscissa n: the width, the number after the metric's slash, or a number for
    each variant: {alpha10: 10, alpha30: 30}."""
    min_index: Annotated[int, Field(ge=1)] = 1
    """The smallest index in the fit, for `along: index`."""
    correction: bool = False
    """Whether the fit has a correction 1 + b/n; it needs four n or more."""

    def faults(self) -> Iterator[Fault]:
        """Faults between the keys, also those of the band."""
        yield from super().faults()
        if isinstance(self.along, dict) and len(self.along) < 4 and self.correction:
            text = f"needs four variants along n, there are {len(self.along)}"
            yield Fault(("correction",), text)

    def unmet(self, experiment: Experiment) -> Iterator[Fault]:
        """The widths of a variant that a correction lacks."""
        last = math.inf if self.max_width is None else self.max_width
        widths = [n for n in experiment.widths if self.min_width <= n <= last]
        if self.correction and self.along == "width" and len(widths) < 4:
            text = f"needs four widths, there are {len(widths)}: {listed(widths)}"
            yield Fault(("correction",), text)

    def variants(self) -> tuple[str, ...]:
        """The names of the variants this claim reads."""
        if isinstance(self.along, dict):
            return tuple(self.along)
        return () if self.variant is None else (self.variant,)

    def fit(self, measurements: pd.DataFrame) -> ScalingFit:
        """The fitted line with its band; raises `Missing` without data."""
        n, sample, _, _ = self._points(measurements)
        return self._fitted(n, sample)

    def _fitted(self, n: Sequence[float], sample: Sample) -> ScalingFit:
        fit = corrected_fit if self.correction else scaling_fit
        return fit(n, sample, confidence=self.level)

    def _points(self, measurements: pd.DataFrame):
        """The n, log Q with its covariance, the networks read, and the variants."""
        if self.along == "width":
            return self._along_widths(measurements)
        if self.along == "index":
            return self._along_index(measurements)
        return self._along_variants(measurements)

    def _along_widths(self, measurements: pd.DataFrame):
        reading = self.read(measurements, self.metric, self.step)
        one_metric(reading, self.metric)
        # The limit has no place on a logarithmic axis.
        widths = [width for width in reading.widths if width > 0]
        if not widths:
            raise Missing(f"{self.metric} exists at width 0 (the limit) only")
        blocks = [block(reading.at(width)) for width in widths]
        sample = self._bootstrap(blocks)
        return widths, sample, reading, self.variant or ""

    def _along_index(self, measurements: pd.DataFrame):
        reading = self.read(measurements, self.metric, self.step)
        width = one_width(reading)
        index = {name: index_of(name) for name in reading.values}
        index = {
            name: n for name, n in index.items() if n >= self.min_index or not n > 0
        }
        if not index:
            raise Missing(f"no index of {self.metric} is {self.min_index} or more")
        if not all(0 < n < math.inf for n in index.values()):
            raise Missing(f"along index needs metrics x/1, x/2, …: {listed([*index])}")
        names = sorted(index, key=index.__getitem__)
        # All indices of one network are drawn together: (seeds, indices, 1).
        networks = reading.at(width)[names].to_numpy()[:, :, None]
        sample = self._bootstrap([networks], exact=self.is_exact(width))
        return [index[name] for name in names], sample, reading, self.variant or ""

    def _along_variants(self, measurements: pd.DataFrame):
        assert isinstance(self.along, dict)
        names = sorted(self.along, key=self.along.__getitem__)
        readings = [
            self.read(measurements, self.metric, self.step, name) for name in names
        ]
        width = one_width(*readings)
        for reading in readings:
            one_metric(reading, self.metric)
        blocks = paired([reading.at(width) for reading in readings])
        sample = self._bootstrap(blocks, exact=self.is_exact(width))
        n = [self.along[name] for name in names]
        return n, sample, together(readings), ", ".join(names)

    def _bootstrap(self, blocks: Sequence[np.ndarray], exact: bool = False) -> Sample:
        return bootstrap(
            blocks, self.statistic, self.id, log=True, exact=exact or self.exact
        )

    def judge(self, measurements: pd.DataFrame) -> Finding:
        """The slope, its interval, the slopes between neighbouring n, the misfit."""
        n, sample, reading, variant = self._points(measurements)
        fit = self._fitted(n, sample)
        slope = Interval(fit.slope, fit.slope_low, fit.slope_high, math.nan, math.nan)
        detail: Detail = ()
        if self.correction:
            straight = slope_coefficients(np.log(fit.widths)) @ sample.point
            detail = (("b", fit.b), ("slope without correction", float(straight)))
        if fit.misfit is not None:
            freedom = ("degrees of freedom", fit.misfit.freedom)
            detail += ("χ² of the fit", fit.misfit.chi2), freedom, ("p", fit.misfit.p)
        steps = zip(fit.widths, fit.widths[1:], fit.local_slopes, strict=False)
        local = tuple((f"{a:g}→{b:g}", float(p)) for a, b, p in steps)
        return self.found_in_band(
            slope,
            reading,
            variant=variant,
            metric=self.metric,
            statistic=f"slope of the {statistic(self.statistic)}",
            detail=(("local slopes", local),) * bool(local)
            + detail
            + notes(fit.note, reading.note),
        )
