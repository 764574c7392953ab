"""Metrics against width, with power laws."""

from __future__ import annotations

import contextlib
import fnmatch
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from ntkpipe.claims.base import MetricRead
from ntkpipe.claims.power_law import PowerLaw
from ntkpipe.claims.reading import Missing, Reading, Step, block, paired, read
from ntkpipe.claims.statistics import (
    SPREADS,
    ScalingFit,
    Statistic,
    bootstrap,
    scaling_fit,
)
from ntkpipe.experiment import Experiment
from ntkpipe.figures.axes import (
    log_ticks,
    panel_grid,
    panel_letters,
    rows_where,
    shared_legend,
    width_axis,
    wrapped,
)
from ntkpipe.figures.base import (
    Abscissa,
    Arrays,
    BaseFigure,
    Begin,
    Text,
    concatenated,
    unknown,
)
from ntkpipe.figures.labels import axis_label
from ntkpipe.figures.style import (
    GREY,
    INK,
    LINEARIZED,
    STATISTICS,
    category_colors,
    style,
)
from ntkpipe.lazy import Lazy
from ntkpipe.section import Fault, section
from ntkpipe.text import decimal, minus

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from ntkpipe.claims import Claim

mtransforms = Lazy("matplotlib.transforms")
mlines = Lazy("matplotlib.lines")
mpatches = Lazy("matplotlib.patches")
if TYPE_CHECKING:
    import pandas as pd
else:
    pd = Lazy("pandas")


def scaling(
    table: pd.DataFrame,
    facet: str,
    labels: Mapping[str, str],
    along: str,
    statistic: str,
    several: str = "value",
) -> Figure:
    """Seeds, statistic, fit and prediction; panels by `facet`, colours by the rest."""
    seeds = table[table["part"] == "seed"]
    if (
        alone := not seeds.empty
        and not seeds.duplicated(["variant", "metric", "x"]).any()
    ):
        table = table.drop(seeds.index)  # its statistic is that seed
    pairs = table[["variant", "metric"]].drop_duplicates()
    panel_of = pairs[facet] if facet != "none" else pd.Series("", pairs.index)
    hues = [c for c in ("variant", "metric") if c != facet]
    hue_of = list(pairs[hues].itertuples(index=False, name=None))
    colors = dict(
        zip(dict.fromkeys(hue_of), category_colors(len(set(hue_of))), strict=True)
    )
    # only what differs is said in the legend
    told = [column for column in hues if pairs[column].drop_duplicates().size > 1]
    panels = list(dict.fromkeys(panel_of))
    lines = 1 + 2.2 * panel_of.value_counts().max()
    columns = min(len(panels), 3)
    with style():
        figure, axes = panel_grid(
            -(-len(panels) // columns),
            columns,
            height=2.9 + 0.16 * lines,
            sharey=facet == "variant",
        )
        edges = []
        for ax, name in zip(axes.flat, panels, strict=False):
            inside = pairs[panel_of == name]
            parts = [
                rows_where(table, variant=pair.variant, metric=pair.metric)
                for pair in inside.itertuples(index=False)
            ]
            begins = [_begin(part) for part in parts]
            begin = begins[0] if len(set(begins)) == 1 else None
            handles = []
            for pair, part in zip(inside.itertuples(index=False), parts, strict=True):
                hue = tuple(getattr(pair, column) for column in hues)
                names = [getattr(pair, column) for column in told]
                said = ", ".join(labels.get(n, n) for n in names)
                words = _slope_words(part, begin is None)
                order = list(colors).index(hue), len(colors)
                handles.append(
                    _power_law(ax, part, colors[hue], order, said, words, columns > 2)
                )
            metrics = set(inside["metric"])
            ax.set_ylabel(
                wrapped(labels[metrics.pop()]) if len(metrics) == 1 else several
            )
            shown = sorted(
                {x for p in parts for x in rows_where(p, part="statistic")["x"]}
            )
            width_axis(ax, shown, along, begins, 7 if columns > 2 else 9)
            ax.set_yscale("log", nonpositive="mask")
            log_ticks(ax)
            if begin is not None:
                edges.append(begin)
                left, right = ax.get_xlim()[0], _between(shown, begin)
                ax.axvspan(left, right, color="#f1f1f1", zorder=0)
                ax.set_xlim(left=left)
            ax.legend(
                handles=handles,
                loc="upper left",
                # below the axis' label, which is 36 points high with its ticks
                bbox_to_anchor=(0, 0),
                bbox_transform=ax.transAxes
                + mtransforms.ScaledTranslation(0, -0.5, figure.dpi_scale_trans),
                borderaxespad=0,
                borderpad=0,
                handlelength=1.6,
            )
            if facet == "variant" and len(panels) > 1:
                ax.set_title(name)
        for ax in axes.flat[len(panels) :]:
            ax.set_visible(False)
        if len(panels) > 1:
            panel_letters(axes.flat[: len(panels)])
        shared_legend(
            figure, _scaling_handles(table, None if alone else statistic, edges)
        )
    return figure


def _begin(part: pd.DataFrame) -> float | None:
    """The smallest abscissa of the fit, if there are points below it."""
    first = rows_where(part, part="fit")["x"].min()
    return first if first > 1.0001 * part["x"].min() else None


def _between(shown: Sequence[float], edge: float) -> float:
    """The geometric mean between the last point below the fit and the first in it."""
    before = max(x for x in shown if x < edge / 1.0001)
    return float(np.sqrt(before * edge))


def _power_law(
    ax: Axes,
    part: pd.DataFrame,
    color: str,
    order: tuple[int, int],
    name: str,
    words: Sequence[str],
    narrow: bool,
) -> Line2D:
    """Draw one power law, the first, second … of several; its line for the legend.

    Overlapping lines and points stay visible: thin over thick, open around full.
    """
    seed, mean, fit, predicted = (
        part[part["part"] == kind] for kind in ("seed", "statistic", "fit", "predicted")
    )
    index, count = order
    line = {"lw": 1.6 if count == 1 else 2.2 - index / (count - 1)}
    look = {"color": color, "marker": "osD^v"[index % 5], "ms": 5.5, "mec": "white"}
    if index:
        look |= {"ms": 7.5, "mew": 1.2, "mfc": "none", "mec": color}
    ax.plot("x", "value", ".", data=seed, color=color, alpha=0.4, ms=4.5, mew=0)
    ax.plot("x", "value", data=mean, ls="", zorder=5, **look)
    if seed.empty:
        ax.vlines(mean["x"], mean["low"], mean["high"], color=color, linewidth=1.2)
    ax.fill_between(
        fit["x"], fit["low"], fit["high"], color=color, alpha=0.25, linewidth=0
    )
    ax.plot("x", "value", data=fit, color=color, **line)
    ax.plot("x", "value", data=predicted, color=INK, lw=1, ls=LINEARIZED, zorder=4)
    lines = [f"{wrapped(name, 36 if narrow else 48)}:"] if name else []
    long = narrow or len(", ".join(words)) > 46
    lines.append((",\n" if long else ", ").join(words))
    return mlines.Line2D([], [], label="\n".join(lines), **line, **look)


def _slope_words(part: pd.DataFrame, say_begin: bool) -> list[str]:
    """Such as: slope −0.98 [−1.02, −0.95] from 256 on; predicted −1."""
    fit = part[part["part"] == "fit"]
    if fit.empty:
        return ["no width in the fitted range"]
    first = fit.iloc[0]
    if np.isnan(first["slope"]):
        said = str(first["note"]) if pd.notna(first["note"]) else "no slope"
        return [said if said.startswith("no slope") else f"no slope: {said}"]
    slope, low, high = first[["slope", "slope_low", "slope_high"]]
    said = decimal(slope)
    if high - low < 1e-3:  # rounding, or an exact number
        said = decimal(slope, 0.01)
    elif low < high:
        said = "{} [{}, {}]".format(
            *(decimal(v, high - low) for v in (slope, low, high))
        )
    begin = _begin(part) if say_begin else None
    words = [f"slope {said}" + (f" from {begin:g} on" if begin else "")]
    if np.isfinite(first["predicted"]):
        words.append("predicted " + minus(f"{first['predicted']:g}"))
    return words


def _scaling_handles(
    table: pd.DataFrame, statistic: str | None, edges: Sequence[float]
) -> list[Any]:
    points = {"color": GREY, "ls": ""}
    handles = []
    if statistic:
        name = STATISTICS[statistic]
        handles.append(
            mlines.Line2D([], [], marker="o", mec="white", ms=6, label=name, **points)
        )
    if (table["part"] == "seed").any():
        handles.append(
            mlines.Line2D([], [], marker=".", alpha=0.6, label="one seed", **points)
        )
    handles.append(mlines.Line2D([], [], color=GREY, label="fit"))
    if table.loc[table["part"] == "fit", "low"].notna().any():
        handles.append(
            mpatches.Patch(color=GREY, alpha=0.25, lw=0, label="95 % interval")
        )
    if (table["part"] == "predicted").any():
        dashed = {"color": INK, "lw": 1, "ls": LINEARIZED}
        handles.append(mlines.Line2D([], [], label="predicted slope", **dashed))
    if edges:
        below = f" (below {edges[0]:g})" if len(set(edges)) == 1 else ""
        label = f"not fitted{below}"
        handles.append(mpatches.Patch(fc="#f1f1f1", ec="#d5d5d5", label=label))
    return handles


@section
class Metric:
    """A metric drawn against width."""

    metric: str
    """Name of the metric, such as ntk_change or weight_change/W2."""
    label: Text | None = None
    """Text of the axis or legend, by default the label of the metric."""
    predicted: float | dict[str, float] | None = None
    """Predicted slope (dashed line), for all variants or by variant."""
    min_width: Begin | dict[str, Begin] | None = None
    """Smallest abscissa of its fit, for all variants or by variant; by default that of
    the figure."""

    def slope(self, variant: str) -> float:
        """Predicted slope of a variant; NaN where nothing is predicted."""
        slope = self.predicted
        if isinstance(slope, dict):
            slope = slope.get(variant)
        return np.nan if slope is None else slope

    def begin(self, variant: str) -> float | None:
        """Smallest abscissa of the fit of a variant; None for that of the figure."""
        begin = self.min_width
        return begin.get(variant) if isinstance(begin, dict) else begin


CONFIDENCE = 0.95  # of the intervals that are shown


@section
class Scaling(BaseFigure):
    """Metrics against width, log–log, with fitted and predicted power laws.

    The fit is least squares through the statistic of each width, with a bootstrap over
    seeds for its 95 % interval. Where the study makes a claim about the same numbers,
    fit and interval are those of the claim.
    """

    kind: Literal["scaling"] = "scaling"
    reads: ClassVar[tuple[str, ...]] = ()
    metrics: tuple[Metric, ...]
    """Metrics shown."""
    facet: Literal["metric", "variant", "none"] = "metric"
    """What the panels show; colours distinguish the rest."""
    along: Literal["width", "index"] | dict[str, Abscissa] = "width"
    """The abscissa: width, the number after a metric's slash (of `x/*`), or a number
    for each variant, such as {alpha10: 10, alpha30: 30}; colours then distinguish
    widths, too."""
    width_power: Annotated[float, Field(ge=-10, le=10)] = 0.0
    """With such numbers a, the abscissa is a·n^p: −1 for depth/width. Lines are then
    along the widths of each variant."""
    along_label: Text = "width n"
    """Text of the abscissa."""
    value_label: Text = "value"
    """Text of the vertical axis where several metrics share a panel."""
    step: Step = "final"
    """The step at which metrics are read, if they have several."""
    statistic: Statistic = "geometric_mean"
    """The statistic over seeds."""
    min_width: Begin | None = None
    """Smallest abscissa of the fit, by default the smallest one shown."""

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
        if not set(self.widths or e.widths) & set(e.widths):
            yield from unknown("widths", "width", self.widths, e.widths)

    def faults(self) -> Iterator[Fault]:
        """Refuse metrics that have no abscissa."""
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
        frames, reason = [], "no metric is asked for"
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
        columns += ["slope", "slope_low", "slope_high", "predicted", "note"]
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
            and claim.confidence == CONFIDENCE
        )

    def _fit(
        self, rows: pd.DataFrame, key: str, claimed: Iterable[ScalingFit]
    ) -> ScalingFit:
        """The power law of a claim about the same numbers, or a fit by its method.

        Variants share their seeds, widths do not.
        """
        x, each = zip(*rows.set_index("seed").groupby("x")[["value"]], strict=True)
        if self.along == "width" or self.width_power:
            blocks = [block(values) for values in each]
        else:
            blocks = paired(each)
        sample = bootstrap(blocks, self.statistic, key, log=True)
        own = scaling_fit(x, sample, confidence=CONFIDENCE)
        return next((fit for fit in claimed if _is_of_same(fit, own)), own)

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
                "predicted": predicted,
                "note": law.note or None,
            }
        )
        if np.isfinite(predicted) and np.isfinite(law.slope):
            line = {"x": law.grid, "value": _through_centre(law, predicted)}
            yield pd.DataFrame({"part": "predicted", "predicted": predicted, **line})

    def draw(self, table: pd.DataFrame):
        """One panel for each metric or variant."""
        return scaling(
            self._named(table),
            self.facet,
            {m.metric: axis_label(m.metric, m.label) for m in self.metrics},
            self.along_label,
            self.statistic,
            self.value_label,
        )


def _fits(measurements: pd.DataFrame, claims: Iterable[PowerLaw]) -> list[ScalingFit]:
    """The fits of the claims for which the table has numbers."""
    fits = []
    for claim in claims:
        with contextlib.suppress(Missing):
            fits.append(claim.fit(measurements))
    return fits


def _is_of_same(first: ScalingFit, second: ScalingFit) -> bool:
    """Whether two lines are fitted to the same numbers."""
    return np.array_equal(first.widths, second.widths) and np.array_equal(
        first.means, second.means
    )


def _is_lost(measurements: pd.DataFrame, variant: str, metric: str) -> bool:
    """Whether a number is missing because all networks diverged, or it is 0/0."""
    rows = measurements[measurements["variant"] == variant]
    diverged = rows.loc[rows["metric"] == "diverged", "value"]
    undefined = fnmatch.filter(rows["metric"].unique(), f"undefined/{metric}")
    return bool(undefined) or (len(diverged) > 0 and bool(diverged.all()))


def _through_centre(law: ScalingFit, slope: float) -> np.ndarray:
    """The line of a predicted slope through the centre of the fitted one."""
    centre = np.exp(np.log(law.widths).mean())
    at_centre = np.exp(law.intercept) * centre**law.slope
    return at_centre * (law.grid / centre) ** slope
