"""Metrics against width, with power laws."""

from __future__ import annotations

import contextlib
import fnmatch
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from ntkpipe.claims.base import MetricRead
from ntkpipe.claims.fits import ScalingFit, scaling_fit
from ntkpipe.claims.power_law import PowerLaw
from ntkpipe.claims.reading import Missing, Reading, Step, block, paired, read
from ntkpipe.claims.statistics import SPREADS, Statistic, bootstrap
from ntkpipe.experiment import Experiment
from ntkpipe.figures.axes import (
    is_column,
    panel_grid,
    panel_letters,
    rows_where,
    shared_legend,
    wrapped,
)
from ntkpipe.figures.base import (
    Abscissa,
    Arrays,
    BaseFigure,
    Begin,
    Prediction,
    Text,
    concatenated,
    unknown,
)
from ntkpipe.figures.chart import SEED, Chart, Plot, Scale
from ntkpipe.figures.labels import axis_label
from ntkpipe.figures.packages import mfigure, pd
from ntkpipe.figures.power_laws import (
    Law,
    draw_laws,
    law_handles,
    law_marks,
    slope_words,
    through_centre,
)
from ntkpipe.figures.style import Look, category_colors
from ntkpipe.section import Fault, section

if TYPE_CHECKING:
    from ntkpipe.claims import Claim


@section
class Metric(Prediction):
    """A metric drawn against width."""

    metric: str
    """Name of the metric, such as ntk_change or weight_change/W2."""
    label: Text | None = None
    """Text of the axis or legend, by default the label of the metric."""
    predicted_value: float | None = None
    """Predicted value (dashed line), in place of a slope."""
    min_width: Begin | dict[str, Begin] | None = None
    """Smallest abscissa of the fit, for all variants or by variant; by default
    `min_width` of the figure."""

    def begin(self, variant: str) -> float | None:
        """Smallest abscissa of the fit of a variant; None for that of the figure."""
        begin = self.min_width
        return begin.get(variant) if isinstance(begin, dict) else begin


CONFIDENCE = 0.95  # of the intervals of a fit that no claim is about


@section
class Scaling(BaseFigure):
    """Metrics against width, log–log, with fitted and predicted power laws.

    The fit is least squares through the statistic of each width, with a bootstrap over
    seeds for its 95 % interval. Where the study makes a claim about the same numbers,
    fit and interval are those of the claim: its level, and its correction 1 + b/n.
    """

    kind: Literal["scaling"] = "scaling"
    metrics: tuple[Metric, ...]
    """Metrics shown."""
    facet: Literal["metric", "variant", "none"] = "metric"
    """What the panels show; colours distinguish the rest."""
    along: Literal["width", "index"] | dict[str, Abscissa] = "width"
    """The abscissa: the width, the number after the slash of metrics `x/*`, or a number
    for each variant, such as {alpha10: 10, alpha30: 30}. With such numbers colours
    distinguish widths, too."""
    width_power: Annotated[float, Field(ge=-10, le=10)] = 0.0
    """The exponent p: where `along` gives numbers a, the abscissa is a·n^p. Then p = −1
    gives depth/width, and a line connects the widths of a variant."""
    along_label: Text = "width n"
    """Text of the abscissa."""
    value_label: Text = "value"
    """Text of the vertical axis where several metrics share a panel."""
    step: Step = "final"
    """The step at which metrics are read, if they have several."""
    statistic: Statistic = "geometric_mean"
    """The statistic over seeds."""
    min_width: Begin | None = None
    """Smallest abscissa of the fits, by default the smallest one shown."""

    def variants_read(self) -> tuple[str, ...]:
        """The variants that the figure names."""
        return (
            tuple(self.along) if isinstance(self.along, dict) else self.variants or ()
        )

    def metrics_read(self) -> Iterator[MetricRead]:
        """The metrics shown, each recorded by at least one variant."""
        for i, metric in enumerate(self.metrics):
            yield ("metrics", str(i), "metric"), metric.metric, [self.variants_read()]

    def _unmet(self, e: Experiment) -> Iterator[Fault]:
        if self.widths and not set(self.widths) & set(e.widths):
            yield from unknown("widths", "width", self.widths, e.widths)

    def faults(self) -> Iterator[Fault]:
        """Faults of metrics that have no abscissa."""
        if not self.metrics:
            yield Fault(("metrics",), "none is given")
        for metric in (m.metric for m in self.metrics) if self.along == "index" else ():
            family, slash, _ = metric.rpartition("/")
            if family in ("weight_change", "undefined") or not (
                slash or "*" in metric or "?" in metric or "[" in metric
            ):
                text = f"index needs a number after the slash of {metric}"
                yield Fault(("along",), text)

    def table(
        self, measurements: pd.DataFrame, arrays: Arrays | None = None
    ) -> pd.DataFrame:
        """Seeds, statistic of each width, fitted line with band, predicted line."""
        frames, reason = [], "no metric is given"
        claims = self.claims_shown(arrays.claims if arrays else ())
        for metric in self.metrics:
            try:
                series = self._series(measurements, metric.metric)
            except Missing as missing:
                reason = str(missing)
                continue
            fits = _fits(measurements, [c for c in claims if c.metric == metric.metric])
            for variant, values in series.groupby("variant", sort=False):
                for part in self._parts(values, metric, fits):
                    frames.append(part.assign(variant=variant, metric=metric.metric))
        if not frames:
            raise ValueError(f"figure {self.name}: {reason}")
        columns = ["variant", "metric", "part", "x", "seed", "value", "low", "high"]
        columns += ["slope", "slope_low", "slope_high", "level", "predicted", "note"]
        return concatenated(frames, columns)

    def _series(self, measurements: pd.DataFrame, metric: str) -> pd.DataFrame:
        """Columns variant, x, seed, value of one metric."""
        along = self.along if isinstance(self.along, dict) else None
        variants = along or self._variants(
            tuple(dict.fromkeys(measurements["variant"]))
        )
        frames = []
        for variant in variants:
            try:
                reading = read(measurements, metric, self.step, variant, 1, None)
            except Missing as missing:
                if not _is_lost(measurements, variant, metric):
                    raise
                lost = missing
                continue
            if self.along == "index":
                frames.append(self._along_index(reading, variant))
                continue
            rows = reading.values.iloc[:, 0].rename("value").reset_index()
            rows = rows[rows["width"].isin(self.widths or rows["width"])]
            rows = rows.assign(variant=variant, x=rows["width"])
            if along and self.width_power:
                rows["x"] = along[variant] * rows["width"] ** self.width_power
            elif along:
                named = [f"n = {width}" for width in rows["width"]]
                rows = rows.assign(variant=named, x=along[variant])
            frames.append(rows[["variant", "x", "seed", "value"]])
        if not frames:
            raise lost
        return pd.concat(frames, ignore_index=True)

    def _along_index(self, reading: Reading, variant: str) -> pd.DataFrame:
        """Columns variant, x, seed, value of the metrics x/1, x/2, … of a variant."""
        rows = reading.values.reset_index().melt(["width", "seed"], var_name="metric")
        rows = rows[rows["width"].isin(self.widths or rows["width"])]
        numbers = rows["metric"].astype(str).str.rpartition("/")[2]
        x = pd.to_numeric(numbers, errors="coerce")
        if x.isna().any():
            raise ValueError(
                f"figure {self.name}: along: index needs a number after the slash of "
                f"{rows['metric'][x.isna()].iloc[0]}"
            )
        one = len(set(rows["width"])) == 1
        named = variant if one else [f"{variant}, n = {n}" for n in rows["width"]]
        rows = rows.assign(variant=named, x=x).sort_values(["x", "seed"])
        return rows[["variant", "x", "seed", "value"]]

    def claims_shown(self, claims: Iterable[Claim]) -> tuple[PowerLaw, ...]:
        """The claims of a study whose fits the figure may show."""
        metrics = {metric.metric for metric in self.metrics}
        return tuple(
            claim
            for claim in claims
            if isinstance(claim, PowerLaw)
            and claim.metric in metrics
            and (claim.step, claim.statistic) == (self.step, self.statistic)
        )

    def _fit(
        self, rows: pd.DataFrame, key: str, claimed: Iterable[ScalingFit]
    ) -> ScalingFit:
        """The fit of a claim about the same numbers, or else a fit by the same method.

        Points of different widths are independent. All other points share their seeds,
        so the bootstrap resamples them together.
        """
        x, each = zip(*rows.set_index("seed").groupby("x")[["value"]], strict=True)
        if self.along == "width" or self.width_power:
            blocks = [block(values) for values in each]
        else:
            blocks = paired(each)
        sample = bootstrap(blocks, self.statistic, key, log=True)
        own = scaling_fit(x, sample, confidence=CONFIDENCE)
        return next((fit for fit in claimed if _same_numbers(fit, own)), own)

    def _parts(
        self, rows: pd.DataFrame, metric: Metric, claimed: Iterable[ScalingFit]
    ) -> Iterator[pd.DataFrame]:
        """The rows to draw for one metric of one variant."""
        if self.statistic not in SPREADS:
            yield rows[["x", "seed", "value"]].assign(part="seed")
        variant = rows["variant"].iloc[0]
        key = f"{variant} {metric.metric}"
        every = self._fit(rows, key, claimed)
        yield pd.DataFrame(
            {
                "part": "statistic",
                "x": every.widths,
                "value": every.means,
                "low": every.means_low,
                "high": every.means_high,
            }
        )
        begin = metric.begin(variant) or self.min_width or 0
        fitted = rows[rows["x"] >= begin]
        if fitted.empty:
            return
        law = every if len(fitted) == len(rows) else self._fit(fitted, key, claimed)
        predicted = metric.slope(variant)
        yield pd.DataFrame(
            {
                "part": "fit",
                "x": law.grid,
                "value": law.line,
                "low": law.band_low,
                "high": law.band_high,
                "slope": law.slope,
                "slope_low": law.slope_low,
                "slope_high": law.slope_high,
                "level": law.level,
                "predicted": predicted,
                "note": law.note or None,
            }
        )
        if np.isfinite(predicted) and np.isfinite(law.slope):
            line = {"x": law.grid, "value": through_centre(law, predicted)}
            yield pd.DataFrame({"part": "predicted", "predicted": predicted, **line})
        if metric.predicted_value is not None:
            level = np.full(len(law.grid), metric.predicted_value)
            yield pd.DataFrame({"part": "predicted", "x": law.grid, "value": level})

    def columns(self, table: pd.DataFrame) -> Chart:
        """Strips of seeds, points and fits; panels and colours are of the picture."""
        laws = self._laws(table)
        rows = pd.concat([law.rows.assign(law=law.name) for law in laws])
        ticks = tuple(sorted(set(rows.loc[rows["part"] == "statistic", "x"])))
        x, panels = Scale(self.along_label, "log", ticks), []
        for name in dict.fromkeys(law.panel for law in laws):
            inside = [law for law in laws if law.panel == name]
            positive = any((law.rows["value"] > 0).any() for law in inside)
            y = Scale(self._value_label(inside), "log" if positive else "linear")
            where: Look = {} if self.facet == "none" else {self.facet: name}
            row, title = (0, name) if self.facet == "variant" else (name, "")
            said = [(w.name, ", ".join(slope_words(w.rows, True))) for w in inside]
            panels.append(Plot(where, x, y, title, row, said))
        marks, colors = law_marks(rows, self.statistic), {w.name: w.color for w in laws}
        return Chart(
            rows,
            "x",
            panels,
            marks,
            "law",
            colors,
            tells=SEED,
            columns=min(3, len(panels)),
        )

    def picture(self, table: pd.DataFrame) -> mfigure.Figure:
        """One panel for each metric or variant; colours distinguish the rest."""
        seeds = table[table["part"] == "seed"]
        each = ["variant", "metric", "x"]
        alone = not seeds.empty and not seeds.duplicated(each).any()
        if alone:
            table = table.drop(seeds.index)  # the statistic of one seed is its value
        laws = self._laws(table)
        panels = list(dict.fromkeys(law.panel for law in laws))
        most = max(Counter(law.panel for law in laws).values())
        columns = 1 if is_column() else min(len(panels), 3)
        figure, axes = panel_grid(
            -(-len(panels) // columns),
            columns,
            height=1.9 + 0.13 * (1 + 2.2 * most),
            sharey=self.facet == "variant",
        )
        edges = []
        for ax, name in zip(axes.flat, panels, strict=False):
            inside = [law for law in laws if law.panel == name]
            begin = draw_laws(ax, inside, self.along_label, columns > 2)
            edges += [] if begin is None else [begin]
            ax.set_ylabel(self._value_label(inside))
            if len(panels) > 1:
                title = name if self.facet == "variant" else self._labels()[name]
                ax.set_title(wrapped(title, 20 if columns > 2 else 38))
        for ax in axes.flat[len(panels) :]:
            ax.set_visible(False)
        if len(panels) > 1:
            panel_letters(axes.flat[: len(panels)])
        handles = law_handles(table, None if alone else self.statistic, edges)
        shared_legend(figure, handles)
        return figure

    def _laws(self, table: pd.DataFrame) -> list[Law]:
        """The power laws of a table: panels by `facet`, colours by the rest."""
        pairs = table[["variant", "metric"]].drop_duplicates()
        hues = [column for column in ("variant", "metric") if column != self.facet]
        # the legend names only what differs
        varying = [column for column in hues if pairs[column].nunique() > 1]
        colored = list(pairs[hues].drop_duplicates().itertuples(index=False, name=None))
        colors = category_colors(len(colored))
        labels = self._labels()
        laws = []
        for pair in pairs.to_dict("records"):
            index = colored.index(tuple(pair[column] for column in hues))
            laws.append(
                Law(
                    rows=rows_where(table, **pair),
                    panel=pair.get(self.facet, ""),
                    name=", ".join(labels.get(pair[c], pair[c]) for c in varying),
                    color=colors[index],
                    place=index,
                    lw=2.2 - index / (len(colors) - 1) if len(colors) > 1 else 1.6,
                )
            )
        return laws

    def _labels(self) -> dict[str, str]:
        return {m.metric: axis_label(m.metric, m.label) for m in self.metrics}

    def _value_label(self, laws: Iterable[Law]) -> str:
        """The label of the panel's metric, or `value_label` for several metrics."""
        metrics = {law.rows["metric"].iloc[0] for law in laws}
        if len(metrics) > 1:
            return self.value_label
        return wrapped(self._labels()[metrics.pop()])


def _fits(measurements: pd.DataFrame, claims: Iterable[PowerLaw]) -> list[ScalingFit]:
    """The fits of the claims for which the table has numbers."""
    fits = []
    for claim in claims:
        with contextlib.suppress(Missing):
            fits.append(claim.fit(measurements))
    return fits


def _same_numbers(first: ScalingFit, second: ScalingFit) -> bool:
    """Whether two lines are fitted to the same numbers."""
    return np.array_equal(first.widths, second.widths) and np.array_equal(
        first.means, second.means
    )


def _is_lost(measurements: pd.DataFrame, variant: str, metric: str) -> bool:
    """Whether a metric is missing because all networks diverged or its value is 0/0."""
    rows = measurements[measurements["variant"] == variant]
    diverged = rows.loc[rows["metric"] == "diverged", "value"]
    undefined = fnmatch.filter(rows["metric"].unique(), f"undefined/{metric}")
    return bool(undefined) or (len(diverged) > 0 and bool(diverged.all()))
