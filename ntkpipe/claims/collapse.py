"""A number of several variants and widths is a function of one number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from ntkpipe.claims.base import Finding, Statement
from ntkpipe.claims.fits import collapse
from ntkpipe.claims.reading import Step, one_metric, paired, together
from ntkpipe.claims.statistics import Statistic, bootstrap, equivalence
from ntkpipe.claims.words import notes
from ntkpipe.lazy import Lazy
from ntkpipe.section import section

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = Lazy("pandas")


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
    """The statistic over seeds."""
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

    def judge(self, measurements: pd.DataFrame) -> Finding:
        """R² of the fit over all variants and widths."""
        readings = {
            name: self.read(measurements, self.metric, self.step, name)
            for name in self.along
        }
        for reading in readings.values():
            one_metric(reading, self.metric)
        x, blocks = [], []
        for width in sorted({w for r in readings.values() for w in r.widths if w}):
            names = [name for name, r in readings.items() if width in r.widths]
            # variants share their seeds, widths do not
            blocks += paired([readings[name].at(width) for name in names])
            x += [self.along[name] * width**self.width_power for name in names]
        sample = bootstrap(blocks, self.statistic, self.id, log=True, exact=self.exact)
        result = collapse(x, sample, self.degree, self.id, confidence=self.level)
        both = together(list(readings.values()))
        each = sorted(zip(x, np.exp(sample.point).tolist(), strict=True))
        return self.found(
            equivalence(result.low, result.high, self.at_least),
            both,
            result,
            (self.at_least, 1.0),
            interval="one-sided",
            variant=", ".join(self.along),
            metric=self.metric,
            statistic=f"R² of a fit of degree {self.degree} to {len(x)} points",
            detail=(
                ("at x", tuple((f"{a:.4g}", q) for a, q in each)),
                *notes(result.note, both.note),
            ),
        )
