"""The kinds of figure of a study.

Each kind is a section with two methods. `table` does all the statistics and returns
what will be drawn as one tidy table, which is kept beside the figure as csv; `draw`
draws that table and nothing else. Neither knows a file. The drawing is in `plotting`,
imported only when something is drawn, because the workflow reads this module often.
"""

from __future__ import annotations

import contextlib
import fnmatch
import textwrap
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Protocol

import numpy as np
from pydantic import AfterValidator, Field

from ntkpipe import measurements
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
from ntkpipe.lazy import Lazy
from ntkpipe.models import HUGE
from ntkpipe.section import Fault, did_you_mean, section
from ntkpipe.training.loss import SQUARED

if TYPE_CHECKING:
    from ntkpipe.claims import Claim

pd = Lazy("pandas")


def _drawable(text: str) -> str:
    """Refuse a text with a formula that can't be drawn."""
    if "$" in text:  # else matplotlib is not needed
        from matplotlib import cbook, mathtext

        try:
            if cbook.is_math_text(text):
                mathtext.MathTextParser("path").parse(text)
        except ValueError as error:
            reason = str(error).splitlines()[-1].partition(": ")[2]
            reason = textwrap.shorten(reason, 70, placeholder=" …")
            raise ValueError(f"no formula between $ and $: {reason}") from None
    return text


Text = Annotated[str, AfterValidator(_drawable)]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
Axis = Literal["angle", "x"]
# times a width to the power of 10 it is still a number
Abscissa = Annotated[float, Field(ge=1 / HUGE, le=HUGE)]
Begin = Annotated[float, Field(gt=0)]
NO_TEST_KERNEL = Fault(
    ("points",),
    "no kernels among test points: say training.test_kernel: true, or points: train",
)
P10, P90 = -1.2815515655446004, 1.2815515655446004  # of the standard normal

LABELS = {
    "test_loss": "test loss",
    "residual_along": "residual along the targets",
    "residual_across": "residual across the targets",
}
"""How a quantity that is no metric is called on an axis."""


class Arrays(Protocol):
    """How a figure gets at the arrays of a study, and at its claims."""

    variants: tuple[str, ...]
    claims: tuple[Claim, ...]

    def widths(self, variant: str) -> tuple[int, ...]:
        """Widths that were run of a variant, ascending."""

    def experiment(self, variant: str) -> Experiment:
        """The settings of a variant."""

    def __call__(
        self, product: str, variant: str, width: int | None = None
    ) -> dict[str, np.ndarray]:
        """The arrays of `dataset`, `network`, `linearized` or `limit`."""


RECORDED = ("loss", "weight_change", "weight_distance", *LABELS)
"""Quantities that trainings record at each step, and no metric of the measurements."""


@section
class Panel:
    """A quantity drawn against training time."""

    quantity: str
    """loss, test_loss, weight_change (relative), weight_change/W2 (of one layer),
    weight_distance, residual_along or residual_across the targets, or a metric of the
    measurements such as ntk_change."""
    label: Text | None = None
    """Text of the axis; by default what the quantity is called."""
    log: bool = True
    """Logarithmic axis."""


@section
class Metric:
    """A metric drawn against width."""

    metric: str
    """Its name in the measurements, such as ntk_change or weight_change/W2."""
    label: Text | None = None
    """Text of the axis or legend; by default what the metric is called."""
    predicted: float | dict[str, float] | None = None
    """Predicted slope, drawn as a dashed line: of all variants, or by variant."""
    min_width: Begin | dict[str, Begin] | None = None
    """Where its fit begins, if not where the figure's do: of all variants, or by
    variant."""

    def slope(self, variant: str) -> float:
        """Predicted slope of a variant; NaN where nothing is predicted."""
        slope = self.predicted
        if isinstance(slope, dict):
            slope = slope.get(variant)
        return np.nan if slope is None else slope

    def begin(self, variant: str) -> float | None:
        """Where the fit of a variant begins; None where the figure's do."""
        begin = self.min_width
        return begin.get(variant) if isinstance(begin, dict) else begin


@section
class _Figure:
    """What all kinds of figure have."""

    name: Slug
    """File name, without ending."""
    title: str
    """Heading on the page."""
    caption: str
    """One or two sentences: what there is to see."""
    after: str = ""
    """The published figure that it regenerates."""
    variants: tuple[str, ...] | None = None
    """Variants shown, by default all."""
    widths: tuple[int, ...] | None = None
    """Widths shown, by default all."""
    labels: dict[str, Text] = Field(default_factory=dict)
    """How variants are called in the figure, by default by their names."""

    def metrics_read(self) -> Iterator[MetricRead]:
        """The metrics that the figure reads, and of which variants."""
        yield from ()  # what a kind adds

    def variants_read(self) -> tuple[str, ...]:
        """Variants it asks for by name."""
        return self.variants or ()

    def claims_shown(self, claims: Iterable[Claim]) -> tuple[Claim, ...]:
        """The claims of a study that it shows something of."""
        del claims
        return ()

    def unmet(self, e: Experiment) -> Iterator[Fault]:
        """Requirements of the figure that an experiment does not meet."""
        if "limit" in self.reads and not e.has_limit:
            yield Fault((), "no limit: say limit: steps or flow")
        if "linearized" in self.reads and not e.has_linearized:
            yield Fault((), "no linearised model: say linearize: steps or flow")
        if {"network", "linearized"} & set(self.reads):
            yield from unknown("widths", "width", self.widths or (), e.widths)
        yield from self._unmet(e)

    def _unmet(self, e: Experiment) -> Iterator[Fault]:
        del e
        yield from ()  # what a kind adds

    def _variants(self, available: tuple[str, ...]) -> tuple[str, ...]:
        chosen = self.variants or tuple(available)
        if missing := [v for v in chosen if v not in available]:
            raise ValueError(
                f"figure {self.name}: no variant {', '.join(missing)} in this study; "
                f"there are {', '.join(available)}"
            )
        return chosen

    def _runs(self, arrays: Arrays) -> Iterator[tuple[str, int]]:
        """(variant, width) of all runs shown."""
        for variant in self._variants(arrays.variants):
            available = arrays.widths(variant)
            for width in sorted(self.widths or available):
                if width not in available:
                    raise ValueError(
                        f"figure {self.name}: variant {variant} has no width {width}; "
                        f"it has {', '.join(map(str, available))}"
                    )
                yield variant, width

    def _named(self, table: pd.DataFrame) -> pd.DataFrame:
        """The table with variants called by their labels, for drawing."""
        return table.assign(variant=table["variant"].replace(self.labels))


@section
class _Moving(_Figure):
    """What the kinds of figure have that can be animated.

    `frames` draws the same table as `draw`, one figure after the other.
    """

    animated: bool = False
    """An animation (gif) with a still picture (png), no svg and pdf."""


# ------------------------------------------------------------------ trajectories


@section
class Trajectories(_Figure):
    """Quantities against training time: colour is width, a row is a variant.

    With `color: variant` it is the other way round. Lines are medians over seeds,
    shades their 10 – 90 % range. A seed that stopped keeps its last value; a curve ends
    when half of its seeds have stopped. Of infinite width there are losses, as means
    over initialisations, and residuals.
    """

    kind: Literal["trajectories"] = "trajectories"
    panels: tuple[Panel, ...]
    """Quantities, side by side."""
    models: tuple[Literal["network", "linearized", "limit"], ...] = (
        "network",
        "linearized",
    )
    """Whether the linearised model, and infinite width, stand beside the network."""
    color: Literal["width", "variant"] = "width"
    """What is told apart by colour."""
    x: Literal["step", "time"] = "step"
    """Gradient steps or time t = η · step."""
    log_x: bool = False
    """Logarithmic axis of time, linear from 0 to the first recorded step."""

    @property
    def reads(self) -> tuple[str, ...]:
        """Products it reads."""
        targets = {"test_loss", "residual_along", "residual_across"}
        needed = "limit" in self.models or any(
            panel.quantity in targets for panel in self.panels
        )
        return ("network", *(m for m in self.models if m != "network")) + (
            ("dataset",) if needed else ()
        )

    def _measured(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """The keys of quantities that the measurements have, not the recordings."""
        for i, panel in enumerate(self.panels):
            base = panel.quantity.partition("/")[0]
            if base not in RECORDED:
                yield ("panels", str(i), "quantity"), panel.quantity

    def metrics_read(self) -> Iterator[MetricRead]:
        """The metrics shown, which `_unmet` looks for in each experiment."""
        for key, metric in self._measured():
            yield key, metric, []

    def _unmet(self, e: Experiment) -> Iterator[Fault]:
        if "network" not in self.models:
            return
        for panel in self.panels:
            name, _, layer = panel.quantity.partition("/")
            if name == "weight_change" and layer:
                yield from unknown("panels", "layer", [layer], e.model.layer_names)
        for key, metric in self._measured():
            if reason := measurements.unmet(metric, e):
                yield Fault(key, f"not recorded: {reason}")

    def table(self, measurements: pd.DataFrame, arrays: Arrays) -> pd.DataFrame:
        """Median and 10 – 90 % range over seeds of each quantity at each step."""
        frames = []
        for variant, width in self._runs(arrays):
            network = arrays("network", variant, width)
            kept = ~network["diverged"]
            if not kept.any():
                continue
            for panel in self.panels:
                for model in self.models:
                    of = None if model == "limit" else width
                    product = arrays(model, variant, of)
                    found = _trajectory(
                        panel.quantity, model, product, network, arrays, variant
                    )
                    if found is None and model == "network":
                        of_run = (measurements["variant"] == variant) & (
                            measurements["width"] == width
                        )
                        seeds = network["seed"]
                        found = _measured(panel.quantity, measurements[of_run], seeds)
                    if found is None:
                        continue
                    step, values, seeds = found
                    seeds = seeds & kept
                    if not seeds.any():
                        continue
                    if model != "limit":
                        values = values[seeds]
                    band = _seed_band(step, values, network["stop_step"][seeds])
                    rate = 1 if self.x == "step" else _rate(arrays, variant)
                    x = band["step"] * rate
                    frames.append(
                        band.assign(x=x, diverged=int((~kept).sum())).assign(
                            variant=variant,
                            width=width,
                            model=model,
                            quantity=panel.quantity,
                        )
                    )
        columns = ["variant", "width", "model", "quantity", "step", "x"]
        columns += ["median", "low", "high", "seeds", "diverged"]
        return _table(frames, columns)

    def draw(self, table: pd.DataFrame):
        """Rows are variants, columns are quantities."""
        from ntkpipe import plotting

        panels = [(p.quantity, _label(p.quantity, p.label), p.log) for p in self.panels]
        return plotting.trajectories(
            self._named(table), panels, self.x, self.log_x, self.color
        )


def _trajectory(quantity, model, product, network, arrays, variant):
    """Steps (t,), values (s t) and seeds (s,) of the recorded arrays, or None.

    Of infinite width there is one row of values for all seeds.
    """
    norm = np.sqrt((network["weight_norm"] ** 2).sum(-1))[:, None]  # (s, 1)
    name, _, layer = quantity.partition("/")
    values = None
    if quantity in ("residual_along", "residual_across"):
        from ntkpipe.measurements.limit import along_target

        f = product["mean_train"][None] if model == "limit" else product["f_train"]
        parts = along_target(f, arrays("dataset", variant)["y_train"])
        values = parts[quantity == "residual_across"]
    elif model == "limit":
        part = {"loss": "train", "test_loss": "test"}.get(quantity)
        if part:
            mean, sd = product[f"mean_{part}"], product[f"sd_{part}"][..., None]
            y = arrays("dataset", variant)[f"y_{part}"]
            spread = SQUARED.of_residual(np.sqrt(y.shape[-1]) * sd, len(y))
            values = (SQUARED.value(mean, y) + spread)[None]
    elif quantity == "loss":
        values = product["loss"]
    elif quantity == "test_loss":
        values = SQUARED.value(product["f_test"], arrays("dataset", variant)["y_test"])
    elif quantity in ("weight_change", "weight_distance"):
        change = product["weight_change"]
        if model == "network":
            change = np.sqrt((change**2).sum(-1))
        values = change / norm if quantity == "weight_change" else change
    elif name == "weight_change" and model == "network":
        layers = [str(known) for known in network["layer"]]
        if layer not in layers:
            raise ValueError(f"no layer {layer}; there are {', '.join(layers)}")
        index = layers.index(layer)
        values = (
            product["weight_change"][..., index] / network["weight_norm"][:, [index]]
        )
    if values is None:
        return None
    return product["step"], values, np.ones(len(norm), bool)


def _measured(quantity, known, seeds):
    """Steps (t,), values (s t) of a metric, and whether a seed has one at each step."""
    rows = known[known["metric"] == quantity]
    if rows.empty:
        raise ValueError(
            f"nothing is called {quantity} here; besides loss, test_loss, "
            f"weight_change and weight_distance there are "
            f"{', '.join(sorted(set(known['metric'])))}"
        )
    wide = rows.pivot_table(index="seed", columns="step", values="value")
    values = wide.reindex(seeds).to_numpy()
    return wide.columns.to_numpy(), values, np.isfinite(values).all(1)


def _seed_band(step, values, stop_step) -> pd.DataFrame:
    """Median and 10 – 90 % range over seeds (s t), until half the seeds stopped."""
    last = np.minimum(np.searchsorted(step, stop_step), len(step) - 1)
    index = np.arange(len(step))
    running = (last[:, None] >= index).mean(0) >= 0.5
    if len(values) == len(last):  # infinite width does not stop
        held = np.minimum(index, last[:, None])
        values = np.take_along_axis(values, held, axis=1)
    low, median, high = np.quantile(values[:, running], [0.1, 0.5, 0.9], axis=0)
    return pd.DataFrame(
        {
            "step": step[running],
            "median": median,
            "low": low,
            "high": high,
            "seeds": len(values),
        }
    )


# ------------------------------------------------------------------ against width


CONFIDENCE = 0.95  # of the intervals that are shown


@section
class Scaling(_Figure):
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
    """What has a panel of its own; the rest is told apart by colour."""
    along: Literal["width", "index"] | dict[str, Abscissa] = "width"
    """The abscissa: width, the number after a metric's slash (of `x/*`), or a number
    that differs between variants, such as {alpha10: 10, alpha30: 30}; widths are then
    told apart as variants are."""
    width_power: Annotated[float, Field(ge=-10, le=10)] = 0.0
    """With such numbers a, the abscissa is a·n^p: −1 for depth/width. Lines are then
    along the widths of each variant."""
    along_label: Text = "width n"
    """Text of the abscissa."""
    value_label: Text = "value"
    """Text of the vertical axis where several metrics share a panel."""
    step: Step = "final"
    """Of metrics at several steps, which is taken."""
    statistic: Statistic = "geometric_mean"
    """What is taken over the seeds."""
    min_width: Begin | None = None
    """Where the fit begins, by default at the smallest abscissa shown."""

    def variants_read(self) -> tuple[str, ...]:
        """Variants it asks for by name."""
        return (
            tuple(self.along) if isinstance(self.along, dict) else self.variants or ()
        )

    def metrics_read(self) -> Iterator[MetricRead]:
        """The metrics shown; one variant that records a metric is enough."""
        for i, metric in enumerate(self.metrics):
            yield ("metrics", str(i), "metric"), metric.metric, [self.variants_read()]

    def _unmet(self, e: Experiment) -> Iterator[Fault]:
        if not set(self.widths or e.widths) & set(e.widths):
            yield from unknown("widths", "width", self.widths, e.widths)

    def faults(self) -> Iterator[Fault]:
        """Metrics without a place on the axis are refused."""
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
        return _table(frames, columns)

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
        """The claims of a study whose fits it may show."""
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
        """The power law, as a claim about the same numbers has it or by its method.

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
        """Frames of what is drawn of one metric of one variant."""
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
        from ntkpipe import plotting

        return plotting.scaling(
            self._named(table),
            self.facet,
            {m.metric: _label(m.metric, m.label) for m in self.metrics},
            self.along_label,
            self.statistic,
            self.value_label,
        )


def _fits(measurements: pd.DataFrame, claims: Iterable[PowerLaw]) -> list[ScalingFit]:
    """The fits of claims, of those for which the table has the numbers."""
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
    """Whether networks are why there is no number: all diverged, or it is 0/0."""
    rows = measurements[measurements["variant"] == variant]
    fate = rows.loc[rows["metric"] == "diverged", "value"]
    undefined = fnmatch.filter(rows["metric"].unique(), f"undefined/{metric}")
    return bool(undefined) or (len(fate) > 0 and bool(fate.all()))


def _through_centre(law: ScalingFit, slope: float) -> np.ndarray:
    """The line of a predicted slope through the centre of the fitted one."""
    centre = np.exp(np.log(law.widths).mean())
    at_centre = np.exp(law.intercept) * centre**law.slope
    return at_centre * (law.grid / centre) ** slope


# ------------------------------------------------------------------ outputs in time


@section
class Dynamics(_Figure):
    """Outputs at chosen points against time: network, linearisation, infinite width.

    Of one seed, the infinite-width prediction starts from that network's f(x, 0) and
    follows gradient descent under the limit kernel; of all seeds, it is the mean over
    initialisations, and networks are shown by median and 10 – 90 % range.
    """

    kind: Literal["dynamics"] = "dynamics"
    train: tuple[Annotated[int, Field(ge=0)], ...] = (0, 1, 2, 3)
    """Training points shown, counted from 0; those that do not exist are left out."""
    test: tuple[Annotated[int, Field(ge=0)], ...] = ()
    """Test points shown."""
    output: Annotated[int, Field(ge=0)] = 0
    """Which output."""
    seed: Annotated[int, Field(ge=0)] | None = 0
    """One network, or null for the range over all."""
    models: tuple[Literal["network", "linearized", "limit"], ...] = (
        "network",
        "linearized",
        "limit",
    )
    """Which curves."""
    log_x: bool = False
    """Logarithmic axis of time, linear from 0 to the first recorded step."""

    @property
    def reads(self) -> tuple[str, ...]:
        """Products it reads."""
        return ("dataset", *dict.fromkeys(("network", *self.models)))

    def _unmet(self, e: Experiment) -> Iterator[Fault]:
        yield from check_output(self.output, e)
        yield from check_seed(self, e)

    def table(self, measurements: pd.DataFrame, arrays: Arrays) -> pd.DataFrame:
        """f(x, t) of each point and model: median and 10 – 90 % range over seeds."""
        del measurements
        frames = []
        for variant, width in self._runs(arrays):
            y = arrays("dataset", variant)["y_train"]
            network = arrays("network", variant, width)
            seeds = _seeds(network, self.seed)
            for model in self.models if len(seeds) else ():
                outputs = self._outputs(model, arrays, variant, width, network, seeds)
                for part, indices in (("train", self.train), ("test", self.test)):
                    step, values = outputs[part]
                    known = part == "train"  # what is asked for at a test point is not
                    for point in indices:
                        if point >= values.shape[2]:
                            continue
                        f = values[:, :, point, self.output]
                        if len(f) == 3 and model == "limit":
                            low, median, high = f
                        else:
                            low, median, high = np.quantile(f, [0.1, 0.5, 0.9], axis=0)
                        frame = {
                            "variant": variant,
                            "width": width,
                            "point": f"{part} {point + 1}",
                            "model": model,
                            "step": step,
                            "time": step * _rate(arrays, variant),
                            "median": median,
                            "low": low,
                            "high": high,
                            "target": y[point, self.output] if known else np.nan,
                        }
                        frames.append(pd.DataFrame(frame))
        columns = ["variant", "width", "point", "model", "step", "time"]
        return _table(frames, [*columns, "median", "low", "high", "target"])

    def _outputs(self, model, arrays, variant, width, network, seeds):
        """Steps (t,) and outputs (s t n k) at training and at test points."""
        if model == "limit":
            limit = arrays("limit", variant)
            if self.seed is None:
                return {
                    part: (limit["step"], _percentiles(limit, part))
                    for part in ("train", "test")
                }
            data, rate = arrays("dataset", variant), _rate(arrays, variant)
            return _limit_dynamics(limit, network, data, seeds[0], rate)
        product = arrays(model, variant, width)
        return {
            part: (product["step"], product[f"f_{part}"][seeds])
            for part in ("train", "test")
        }

    def draw(self, table: pd.DataFrame):
        """Rows are variants, columns are widths."""
        from ntkpipe import plotting

        return plotting.dynamics(self._named(table), self.log_x)


def _percentiles(limit, part):
    """P10, P50 and P90 (3 t n k) of the Gaussian over initialisations."""
    mean, sd = limit[f"mean_{part}"], limit[f"sd_{part}"][..., None]
    return np.stack([mean + z * sd for z in (P10, 0, P90)])


def _limit_dynamics(limit, network, data, seed, rate):
    """Gradient descent under the limit kernel from one network's f(x, 0)."""
    from ntkpipe import linear

    step = network["step"]
    prediction = linear.predict(
        limit["ntk_train_train"][:, None, :, None],
        network["f_train"][seed, 0],
        data["y_train"],
        step,
        rate,
        ntk_test=limit["ntk_test_train"][:, None, :, None],
        f0_test=network["f_test"][seed, 0],
    )
    return {
        "train": (step, np.asarray(prediction.f_train)[None]),
        "test": (step, np.asarray(prediction.f_test)[None]),
    }


@section
class Modes(_Figure):
    """Residual along each eigenvector of the kernel at initialisation, against time.

    c_i(t) = v_i·(f(t) − y) with H(w₀) v_i = λ_i v_i, H = Θ/N; gradient flow of the
    linearised model predicts |c_i(t)| = |c_i(0)| e^{−λ_i t}. At equal angles of the
    circle the eigenvectors of infinite width are cos kγ and sin kγ: with
    `of: frequencies` c_k is the residual's Fourier component.
    """

    kind: Literal["modes"] = "modes"
    reads: ClassVar[tuple[str, ...]] = ("dataset", "network")
    modes: tuple[Annotated[int, Field(ge=1)], ...] = (1, 2, 3, 4, 5, 6)
    """Modes shown, 1 that of the largest eigenvalue; missing ones are left out."""
    of: Literal["eigenvectors", "frequencies"] = "eigenvectors"
    """What the modes are: eigenvectors of H(w₀), or frequencies of the circle."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Which network."""
    log_x: bool = False
    """Logarithmic axis of time, linear from 0 to the first recorded step."""

    def _unmet(self, e: Experiment) -> Iterator[Fault]:
        yield from check_seed(self, e)

    def table(self, measurements: pd.DataFrame, arrays: Arrays) -> pd.DataFrame:
        """|c_i(t)| measured and predicted, for each width and mode."""
        del measurements
        frames = []
        for variant, width in self._runs(arrays):
            network = arrays("network", variant, width)
            seeds = _seeds(network, self.seed)
            if not len(seeds):
                continue
            y = arrays("dataset", variant)["y_train"]
            residual = network["f_train"][seeds[0]] - y  # (t n k)
            parts = _components if self.of == "eigenvectors" else _frequencies
            eigenvalues, component = parts(network["ntk"][seeds[0], 0], residual)
            time = network["step"] * _rate(arrays, variant)
            for mode in self.modes:
                if mode > len(eigenvalues):
                    continue
                size, rate = component[:, mode - 1], eigenvalues[mode - 1]
                frame = {
                    "variant": variant,
                    "width": width,
                    "mode": mode,
                    "eigenvalue": rate,
                    "step": network["step"],
                    "time": time,
                    "component": size,
                    "predicted": size[0] * np.exp(-rate * time),
                }
                frames.append(pd.DataFrame(frame))
        columns = ["variant", "width", "mode", "eigenvalue", "step", "time"]
        return _table(frames, [*columns, "component", "predicted"])

    def draw(self, table: pd.DataFrame):
        """Rows are variants, columns are widths."""
        from ntkpipe import plotting

        return plotting.modes(self._named(table), self.log_x, self.of)


def _frequencies(ntk, residual):
    """ūᵀ(Θ/N)u of u = e^{ikγ}/√N, k = 1, 2, …, and Fourier components (t k)."""
    from ntkpipe.measurements.frequencies import fourier

    theta = _scalar(ntk)
    n = len(theta)
    twice = np.fft.fft(np.fft.ifft(theta, axis=1), axis=0).diagonal().real / n
    return twice[1 : n // 2], fourier(residual)[:, 1 : n // 2]


def _components(ntk, residual):
    """Eigenvalues of Θ/N, descending, and size (t i) of the residual along each."""
    rows = ntk.shape[0] * ntk.shape[1]
    eigenvalues, vectors = np.linalg.eigh(ntk.reshape(rows, rows) / ntk.shape[0])
    # a traced kernel has n rows for n·k residuals: the size is over the outputs
    along = vectors.T @ residual.reshape(len(residual), rows, -1)
    return eigenvalues[::-1], np.linalg.norm(along, axis=-1)[:, ::-1]


# ------------------------------------------------------------------ functions of x


@section
class FunctionBand(_Figure):
    """Trained networks over the input, with P10, P50, P90 of the limiting Gaussian."""

    kind: Literal["function_band"] = "function_band"
    reads: ClassVar[tuple[str, ...]] = ("dataset", "network", "limit")
    axis: Axis = "angle"
    """Angle γ of x = (cos γ, sin γ), or x itself (its first coordinate)."""
    output: Annotated[int, Field(ge=0)] = 0
    """Which output."""
    seeds: Annotated[int, Field(ge=0)] = 10
    """How many networks are drawn one by one."""

    def _unmet(self, e: Experiment) -> Iterator[Fault]:
        yield from check_output(self.output, e)
        yield from check_angle("axis", self.axis, e)

    def table(self, measurements: pd.DataFrame, arrays: Arrays) -> pd.DataFrame:
        """Final outputs of networks, their percentiles, those of the limit, the data.

        Percentiles over networks are given where there are 20 or more.
        """
        del measurements
        frames, seen = [], set()
        for variant, width in self._runs(arrays):
            data = arrays("dataset", variant)
            x = _coordinate(data["x_test"], self.axis)
            network = arrays("network", variant, width)
            f = network["f_test"][_seeds(network, None), -1, :, self.output]
            common = {"variant": variant, "width": width}
            for seed, values in enumerate(f[: self.seeds]):
                frames.append(_curve(x, values, part="network", seed=seed, **common))
            if len(f) >= 20:
                for name, q in (("P10", 0.1), ("P50", 0.5), ("P90", 0.9)):
                    values = np.quantile(f, q, axis=0)
                    frames.append(_curve(x, values, part=f"networks {name}", **common))
            if variant not in seen:
                seen.add(variant)
                frames += self._reference(data, arrays("limit", variant), x, variant)
        columns = ["variant", "width", "part", "seed", "x", "value"]
        return _table(frames, columns)

    def _reference(self, data, limit, x, variant):
        """Percentiles of the limit and the training points, at width 0."""
        common = {"variant": variant, "width": 0}
        mean, sd = limit["mean_test"][-1, :, self.output], limit["sd_test"][-1]
        quantiles = (("P10", P10), ("P50", 0.0), ("P90", P90))
        x_train = _coordinate(data["x_train"], self.axis)
        y_train = data["y_train"][:, self.output]
        return [
            _curve(x, mean + z * sd, part=f"limit {name}", **common)
            for name, z in quantiles
        ] + [_curve(x_train, y_train, part="data", **common)]

    def draw(self, table: pd.DataFrame):
        """Rows are variants, columns are widths."""
        from ntkpipe import plotting

        return plotting.function_band(self._named(table), self.axis)


@section
class Functions(_Moving):
    """Networks as functions of the input, one line each, while they learn.

    The table has a column for each network (f1, f2, …) and a row for each step and x.
    """

    kind: Literal["functions"] = "functions"
    reads: ClassVar[tuple[str, ...]] = ("dataset", "network")
    axis: Axis = "x"
    """Angle γ of x = (cos γ, sin γ), or x itself (its first coordinate)."""
    output: Annotated[int, Field(ge=0)] = 0
    """Which output."""
    seeds: Annotated[int, Field(ge=1)] = 100
    """How many networks are drawn."""
    steps: tuple[Annotated[int, Field(ge=0)], ...] = (0,)
    """Steps of the still picture, side by side: those recorded nearest to these."""

    def _unmet(self, e: Experiment) -> Iterator[Fault]:
        yield from check_output(self.output, e)
        yield from check_angle("axis", self.axis, e)

    def table(self, measurements: pd.DataFrame, arrays: Arrays) -> pd.DataFrame:
        """f(x, t) of each network, to four decimals, and the training points."""
        del measurements
        frames, seen = [], set()
        for variant, width in self._runs(arrays):
            data = arrays("dataset", variant)
            network = arrays("network", variant, width)
            x = _coordinate(data["x_test"], self.axis)
            order = np.argsort(x, kind="stable")
            kept = _seeds(network, None)[: self.seeds]
            f = network["f_test"][kept][..., order, self.output].round(4)
            shown = range(len(network["step"]))
            if not self.animated:
                shown = sorted({_nearest(network["step"], s) for s in self.steps})
            for index in shown if len(kept) else ():
                columns = {"variant": variant, "width": width, "part": "network"}
                columns |= {"step": network["step"][index], "x": x[order]}
                columns |= {f"f{seed + 1}": f[i, index] for i, seed in enumerate(kept)}
                frames.append(pd.DataFrame(columns))
            if variant not in seen:
                seen.add(variant)
                points = {"variant": variant, "width": 0, "part": "data"}
                points |= {
                    "x": _coordinate(data["x_train"], self.axis),
                    "y": data["y_train"][:, self.output],
                }
                frames.append(pd.DataFrame(points))
        columns = ["variant", "width", "part", "step", "x", "y"]
        lines = dict.fromkeys(name for f in frames for name in f if name[0] == "f")
        return _table(frames, [*columns, *lines])

    def draw(self, table: pd.DataFrame):
        """Rows are runs, columns are steps."""
        from ntkpipe import plotting

        return plotting.functions(self._named(table), self.axis, self.steps)

    def frames(self, table: pd.DataFrame):
        """A panel for each run, a frame for each recorded step."""
        from ntkpipe import plotting

        return plotting.functions_frames(self._named(table), self.axis)


def _nearest(steps, step: int) -> int:
    """Index of the recorded step nearest to a step."""
    return int(np.abs(steps - step).argmin())


@section
class KernelSlice(_Figure):
    """Θ(x₀, x) against x for each network, before and after training, and the limit."""

    kind: Literal["kernel_slice"] = "kernel_slice"
    axis: Axis = "angle"
    """Angle γ of x = (cos γ, sin γ), or x itself (its first coordinate)."""
    points: Literal["test", "train"] = "test"
    """Among which points; the test points' kernels need training.test_kernel."""
    anchor: Annotated[int, Field(ge=0)] = 0
    """Which of these points is x₀, counted from 0."""
    seeds: Annotated[int, Field(ge=1)] = 10
    """How many networks are drawn."""
    limit: bool = True
    """Whether the limit kernel is drawn."""

    @property
    def reads(self) -> tuple[str, ...]:
        """Products it reads."""
        return ("dataset", "network", "limit") if self.limit else ("dataset", "network")

    def _unmet(self, e: Experiment) -> Iterator[Fault]:
        yield from check_angle("axis", self.axis, e)
        if self.points == "test" and not e.training.test_kernel:
            yield NO_TEST_KERNEL
        if sizes := e.dataset.stated_sizes:
            count = getattr(sizes, self.points)
            yield from out_of_range(
                "anchor", f"{self.points} point", self.anchor, count
            )

    def table(self, measurements: pd.DataFrame, arrays: Arrays) -> pd.DataFrame:
        """Θ(x₀, x) of each network and of the limit (width 0)."""
        del measurements
        frames, seen = [], set()
        for variant, width in self._runs(arrays):
            data = arrays("dataset", variant)
            x = _coordinate(data[f"x_{self.points}"], self.axis)
            network = arrays("network", variant, width)
            kernel = network["ntk" if self.points == "train" else "ntk_test"]
            self._check_anchor(len(x))
            common = {"variant": variant, "x0": x[self.anchor]}
            moments = {"before": 0, "after": -1}
            if network["step"][-1] == 0:
                del moments["after"]
            for seed in _seeds(network, None)[: self.seeds]:
                for when, index in moments.items():
                    values = _scalar(kernel[seed, index])[:, self.anchor]
                    curve = _curve(x, values, seed=seed, width=width, when=when)
                    frames.append(curve.assign(**common))
            if self.limit and variant not in seen:
                seen.add(variant)
                limit = arrays("limit", variant)[f"ntk_{self.points}_{self.points}"]
                values = limit[:, self.anchor]
                curve = _curve(x, values, seed=0, width=0, when="limit")
                frames.append(curve.assign(**common))
        columns = ["variant", "width", "when"]
        return _table(frames, [*columns, "seed", "x0", "x", "value"])

    def _check_anchor(self, points: int) -> None:
        if self.anchor >= points:
            raise ValueError(
                f"figure {self.name}: there is no {self.points} point {self.anchor}: "
                f"there are {points}, counted from 0"
            )

    def draw(self, table: pd.DataFrame):
        """Rows are variants, columns are widths."""
        from ntkpipe import plotting

        return plotting.kernel_slice(self._named(table), self.axis)


def _coordinate(x, axis: Axis):
    """The angle of points (m d) in their first two coordinates, or the first."""
    if axis == "x":
        return x[:, 0]
    if x.shape[1] < 2:
        raise ValueError("points of one coordinate have no angle: say `axis: x`")
    return np.arctan2(x[:, 1], x[:, 0])


def _curve(x, values, **columns) -> pd.DataFrame:
    """Values over the coordinate, ascending."""
    order = np.argsort(x, kind="stable")
    return pd.DataFrame({**columns, "x": x[order], "value": values[order]})


# ------------------------------------------------------------------ kernels


@section
class Heatmap(_Figure):
    """Kernel matrices side by side: before and after training, change, limit.

    Of networks that are not trained there are no kernel after it and no change.
    """

    kind: Literal["heatmap"] = "heatmap"
    kernel: Literal["ntk", "nngp"] = "ntk"
    """The tangent kernel, or the last layer's (NNGP, of training points only)."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Which network."""
    limit: bool = True
    """Whether the limit kernel is shown."""
    points: Literal["train", "test"] = "train"
    """Among which points; the test points' need training.test_kernel, and have to be
    equally spaced along `axis`."""
    axis: Axis = "x"
    """Coordinate of the test points: the angle γ, or x (its first coordinate)."""
    order: Literal["given", "angle"] = "given"
    """Order of the training points."""

    def faults(self) -> Iterator[Fault]:
        """A kernel that no product holds is refused."""
        if (self.points, self.kernel) == ("test", "nngp"):
            yield Fault(("kernel",), "nngp is kept among training points only")

    @property
    def reads(self) -> tuple[str, ...]:
        """Products it reads."""
        return ("dataset", "network", "limit") if self.limit else ("dataset", "network")

    def _unmet(self, e: Experiment) -> Iterator[Fault]:
        yield from check_seed(self, e)
        if self.kernel == "nngp":
            yield from check_last_layer(e)
        if self.points == "train":
            axis = "angle" if self.order == "angle" else "x"
            yield from check_angle("order", axis, e)
            return
        yield from check_angle("axis", self.axis, e)
        if not e.training.test_kernel:
            yield NO_TEST_KERNEL
        sizes, along = e.dataset.stated_sizes, e.dataset.test_axis
        if sizes and along not in (None, self.axis) and sizes.test > 2:
            yield Fault(
                ("axis",),
                f"no test points that are equally spaced along {self.axis}: say "
                "points: train, or take data with a grid or a circle",
            )

    def table(self, measurements: pd.DataFrame, arrays: Arrays) -> pd.DataFrame:
        """Entries of each kernel, traced over outputs.

        Rows and columns are numbers of training points, from 1, or coordinates of
        test points.
        """
        del measurements
        frames = []
        for variant, width in self._runs(arrays):
            network = arrays("network", variant, width)
            seeds = _seeds(network, self.seed)
            if not len(seeds):
                continue
            before, after = (self._kernel(network, seeds[0], when) for when in (0, -1))
            matrices = {"before": before}
            if not np.array_equal(before, after):  # or nothing was trained
                matrices |= {"after": after, "change": after - before}
            if self.limit:
                name = f"{self.kernel}_{self.points}_{self.points}"
                matrices["limit"] = arrays("limit", variant)[name]
            order, at = self._places(arrays("dataset", variant)[f"x_{self.points}"])
            for part, matrix in matrices.items():
                frame = {
                    "variant": variant,
                    "width": width,
                    "part": part,
                    "row": np.repeat(at, len(at)),
                    "column": np.tile(at, len(at)),
                    "value": matrix[np.ix_(order, order)].ravel(),
                }
                frames.append(pd.DataFrame(frame))
        columns = ["variant", "width", "part", "row", "column", "value"]
        return _table(frames, columns)

    def draw(self, table: pd.DataFrame):
        """Rows are runs, columns are kernels."""
        from ntkpipe import plotting

        axis = self.axis if self.points == "test" else None
        return plotting.heatmap(self._named(table), self.kernel, axis)

    def _kernel(self, network, seed: int, when: int) -> np.ndarray:
        """One kernel (n n): of a network, before (0) or after training (−1)."""
        if self.points == "train":
            return _kernel(network, self.kernel, seed, when)
        return _scalar(network["ntk_test"][seed, when])

    def _places(self, x) -> tuple[np.ndarray, np.ndarray]:
        """Order of points (n d), and where each is in the picture."""
        if self.points == "train":
            by_angle = self.order == "angle"
            by = _coordinate(x, "angle") if by_angle else np.arange(len(x))
            return np.argsort(by, kind="stable"), np.arange(len(x)) + 1
        at = _coordinate(x, self.axis)
        order = np.argsort(at, kind="stable")
        gaps = np.diff(at[order])
        if not np.allclose(gaps, gaps.mean(), rtol=1e-6, atol=0):
            raise ValueError(
                f"figure {self.name}: the test points are not equally spaced along "
                f"{self.axis}: say points: train, or take data with a grid or a circle"
            )
        return order, at[order]


@section
class Spectrum(_Figure):
    """Eigenvalues of the kernel over N against their index, log–log."""

    kind: Literal["spectrum"] = "spectrum"
    kernel: Literal["ntk", "nngp"] = "ntk"
    """The tangent kernel, or the last layer's (NNGP)."""
    when: tuple[Literal["before", "after"], ...] = ("before", "after")
    """Before or after training, or both."""
    limit: bool = True
    """Whether the limit kernel is drawn."""
    predicted: float | dict[str, float] | None = None
    """Predicted slope, drawn as a dashed line: of all variants, or by variant."""

    def slope(self, variant: str) -> float:
        """Predicted slope of a variant; NaN where nothing is predicted."""
        slope = self.predicted
        if isinstance(slope, dict):
            slope = slope.get(variant)
        return np.nan if slope is None else slope

    @property
    def reads(self) -> tuple[str, ...]:
        """Products it reads."""
        return ("network", "limit") if self.limit else ("network",)

    def _unmet(self, e: Experiment) -> Iterator[Fault]:
        if self.kernel == "nngp":
            yield from check_last_layer(e)

    def table(self, measurements: pd.DataFrame, arrays: Arrays) -> pd.DataFrame:
        """Median and 10 – 90 % range over seeds of each eigenvalue, limit at width 0.

        Eigenvalues that are rounding (below N·eps of the largest) are left out.
        """
        del measurements
        frames, seen = [], set()
        for variant, width in self._runs(arrays):
            network = arrays("network", variant, width)
            seeds = _seeds(network, None)
            for when in self.when if len(seeds) else ():
                index = {"before": 0, "after": -1}[when]
                kernels = [_kernel(network, self.kernel, s, index) for s in seeds]
                common = {"variant": variant, "width": width, "when": when}
                frames.append(_eigenvalues(np.stack(kernels)).assign(**common))
            if self.limit and variant not in seen:
                seen.add(variant)
                limit = arrays("limit", variant)[f"{self.kernel}_train_train"]
                common = {"variant": variant, "width": 0, "when": "limit"}
                frames.append(_eigenvalues(limit[None]).assign(**common))
        columns = ["variant", "width", "when", "index", "median", "low", "high"]
        return _table(frames, columns)

    def draw(self, table: pd.DataFrame):
        """One column for each variant."""
        from ntkpipe import plotting

        slopes = {self.labels.get(v, v): self.slope(v) for v in set(table["variant"])}
        return plotting.spectrum(self._named(table), self.kernel, slopes)


def _eigenvalues(kernels) -> pd.DataFrame:
    """Eigenvalues of kernels (s n n) over N, descending, those above rounding."""
    values = np.linalg.eigvalsh(kernels)[:, ::-1] / kernels.shape[-1]
    low, median, high = np.quantile(values, [0.1, 0.5, 0.9], axis=0)
    rounding = kernels.shape[-1] * np.finfo(kernels.dtype).eps * median[0]
    frame = pd.DataFrame({"median": median, "low": low, "high": high})
    frame.insert(0, "index", np.arange(1, len(median) + 1))
    return frame[frame["low"] > rounding]


@section
class Projections(_Figure):
    """Eigenvalues of the limit kernel, and how far down its spectrum the targets lie.

    Left λ_i of Θ_∞/N, right Σ_{j ≤ i} (v_j·y)²/‖y‖²: what of the targets lies in the i
    first eigenvectors. Colour is the variant.
    """

    kind: Literal["projections"] = "projections"
    reads: ClassVar[tuple[str, ...]] = ("dataset", "limit")

    def table(self, measurements: pd.DataFrame, arrays: Arrays) -> pd.DataFrame:
        """Eigenvalue and cumulative share of each eigenvector, by variant."""
        del measurements
        frames = []
        for variant in self._variants(arrays.variants):
            values, vectors = _principal(arrays("limit", variant))
            along = np.sum((vectors.T @ arrays("dataset", variant)["y_train"]) ** 2, 1)
            columns = {
                "variant": variant,
                "index": np.arange(1, len(values) + 1),
                "eigenvalue": values,
                "share": np.cumsum(along) / along.sum(),
            }
            frames.append(pd.DataFrame(columns))
        return _table(frames, ["variant", "index", "eigenvalue", "share"])

    def draw(self, table: pd.DataFrame):
        """Two panels, eigenvalues and shares."""
        from ntkpipe import plotting

        return plotting.projections(self._named(table))


@section
class Components(_Figure):
    """Training points in the plane of two principal components of the limit kernel.

    f^(i)(x) = √N v_i, of root mean square 1. Colour is the class: the largest output of
    a point's target, or the target's sign.
    """

    kind: Literal["components"] = "components"
    reads: ClassVar[tuple[str, ...]] = ("dataset", "limit")
    components: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] = (2, 3)
    """Which two, 1 that of the largest eigenvalue."""

    def _unmet(self, e: Experiment) -> Iterator[Fault]:
        last = max(self.components)
        if (sizes := e.dataset.stated_sizes) and last > sizes.train:
            text = f"no component {last}: there are {sizes.train} training points"
            yield Fault(("components",), text)

    def table(self, measurements: pd.DataFrame, arrays: Arrays) -> pd.DataFrame:
        """The two components of each point, its class, and their eigenvalues."""
        del measurements
        frames = []
        for variant in self._variants(arrays.variants):
            values, vectors = _principal(arrays("limit", variant))
            if max(self.components) > len(values):
                raise ValueError(
                    f"figure {self.name}: component {max(self.components)} of "
                    f"{len(values)} points"
                )
            y = arrays("dataset", variant)["y_train"]
            first, second = (i - 1 for i in self.components)
            columns = {
                "variant": variant,
                "x": np.sqrt(len(y)) * vectors[:, first],
                "y": np.sqrt(len(y)) * vectors[:, second],
                "class": y.argmax(1) if y.shape[1] > 1 else (y[:, 0] > 0).astype(int),
                "eigenvalue_x": values[first],
                "eigenvalue_y": values[second],
            }
            frames.append(pd.DataFrame(columns))
        columns = ["variant", "x", "y", "class", "eigenvalue_x", "eigenvalue_y"]
        return _table(frames, columns)

    def draw(self, table: pd.DataFrame):
        """One column for each variant."""
        from ntkpipe import plotting

        return plotting.components(self._named(table), self.components)


def _principal(limit):
    """Eigenvalues of Θ_∞/N, descending, and eigenvectors, each largest entry > 0."""
    theta = limit["ntk_train_train"]
    values, vectors = np.linalg.eigh(theta)
    values, vectors = values[::-1] / len(theta), vectors[:, ::-1]
    largest = np.abs(vectors).argmax(0)
    return values, vectors * np.sign(vectors[largest, np.arange(len(theta))])


@section
class Ellipses(_Moving):
    """The kernel of two outputs as an ellipse that the outputs carry along.

    {u : uᵀHu = c}, H = Θ/N, has semi-axes √(c/λ_i) along the eigenvectors v_i of H:
    descent is fast where it is thin. The outputs are f at two training points, or two
    outputs at one. Drawn, too, is f(t) = y + Σ_i v_i e^{−λ_i t} v_i·(f(0) − y) of a
    constant kernel.
    """

    kind: Literal["ellipses"] = "ellipses"
    reads: ClassVar[tuple[str, ...]] = ("dataset", "network")
    seed: Annotated[int, Field(ge=0)] = 0
    """Which network."""
    ellipses: Annotated[int, Field(ge=2, le=50)] = 6
    """How many ellipses the still picture has along each trajectory."""

    def _unmet(self, e: Experiment) -> Iterator[Fault]:
        yield from check_seed(self, e)
        sizes = e.dataset.stated_sizes
        if sizes and (count := sizes.train * sizes.outputs) != 2:
            text = f"no kernel of two outputs: there are {count}, of all points"
            yield Fault(("kind",), text)
        elif sizes and sizes.outputs == 2 and e.training.kernel == "trace":
            text = "no kernel of two outputs: say training.kernel: full"
            yield Fault(("kind",), text)

    def table(self, measurements: pd.DataFrame, arrays: Arrays) -> pd.DataFrame:
        """f(t), targets, f of the constant kernel, H and its change at each snapshot.

        `angle` is the direction, in degrees, of the eigenvector of λ1, the larger.
        """
        del measurements
        frames = []
        for variant, width in self._runs(arrays):
            network = arrays("network", variant, width)
            y = arrays("dataset", variant)["y_train"].ravel()
            rate = _rate(arrays, variant)
            for seed in _seeds(network, self.seed):
                frame = {"variant": variant, "width": width}
                frames.append(pd.DataFrame(frame | self._paths(network, seed, y, rate)))
        columns = ["variant", "width", "step", "time", "f1", "f2", "y1", "y2"]
        columns += ["constant1", "constant2", "lambda1", "lambda2", "angle", "change"]
        return _table(frames, columns)

    def _paths(self, network, seed, y, rate) -> dict[str, np.ndarray]:
        snapshot = network["snapshot"]
        ntk = network["ntk"][seed]  # (p n k n k)
        rows = ntk.shape[1] * ntk.shape[2]
        if rows != 2 or len(y) != 2:
            raise ValueError(
                f"figure {self.name}: an ellipse needs two outputs in all, at two "
                f"points or at one; there are {len(y)}"
            )
        theta = ntk.reshape(-1, rows, rows) / ntk.shape[1]
        values, vectors = np.linalg.eigh(theta)  # ascending; v_i is a column
        at = np.searchsorted(network["step"], snapshot)
        f = network["f_train"][seed, at].reshape(-1, rows)
        time = snapshot * rate
        along = (f[0] - y) @ vectors[0] * np.exp(-values[0] * time[:, None])
        constant = y + along @ vectors[0].T
        large = vectors[:, :, 1]
        change = np.linalg.norm(theta - theta[0], axis=(1, 2))
        paths = {"step": snapshot, "time": time, "lambda1": values[:, 1]}
        paths |= {"lambda2": values[:, 0], "y1": y[0], "y2": y[1]}
        paths |= {"f1": f[:, 0], "f2": f[:, 1]}
        paths |= {"constant1": constant[:, 0], "constant2": constant[:, 1]}
        paths["angle"] = np.degrees(np.arctan2(large[:, 1], large[:, 0])) % 180
        return paths | {"change": change / np.linalg.norm(theta[0])}

    def draw(self, table: pd.DataFrame):
        """A panel for each run, ellipses along each trajectory."""
        from ntkpipe import plotting

        return plotting.ellipses(self._named(table), self.ellipses)

    def frames(self, table: pd.DataFrame):
        """A panel for each run, one ellipse that moves; a frame for each snapshot."""
        from ntkpipe import plotting

        return plotting.ellipses_frames(self._named(table))


@section
class Landscapes(_Moving):
    """A network and its linearisation on the line through w₀ and the last weights.

    Left f at the first training point and its tangent at w₀, in the middle the loss
    L = Σ(f − y)²/(2Nα²) of both, right the same near w₀, with the least loss of each. A
    row, or a frame, is a run, as they follow in the study. Needs training.landscape.
    """

    kind: Literal["landscapes"] = "landscapes"
    reads: ClassVar[tuple[str, ...]] = ("dataset", "network")
    rows: Annotated[int, Field(ge=1, le=8)] = 3
    """How many runs the still picture shows, the first and the last included."""

    def _unmet(self, e: Experiment) -> Iterator[Fault]:
        if e.training.landscape is None:
            yield Fault(("kind",), "no landscape: say training.landscape: {}")

    def table(self, measurements: pd.DataFrame, arrays: Arrays) -> pd.DataFrame:
        """f, its tangent and both losses against the signed distance from w₀.

        `move` is ‖w(T) − w₀‖ of the network.
        """
        del measurements
        frames = []
        for variant, width in self._runs(arrays):
            network = arrays("network", variant, width)
            y = arrays("dataset", variant)["y_train"]
            if network["diverged"][0]:
                continue
            alpha = arrays.experiment(variant).model.alpha
            f, tangent = network["landscape_f"], network["landscape_linear"]
            frame = {
                "variant": variant,
                "width": width,
                "distance": network["landscape_at"],
                "y": y[0, 0],
                "f": f[:, 0, 0],
                "tangent": tangent[:, 0, 0],
                "loss": SQUARED.value(f, y, alpha),
                "loss_tangent": SQUARED.value(tangent, y, alpha),
                "move": np.linalg.norm(network["weight_change"][0, -1]),
            }
            frames.append(pd.DataFrame(frame))
        columns = ["variant", "width", "distance", "y", "f", "tangent"]
        return _table(frames, [*columns, "loss", "loss_tangent", "move"])

    def draw(self, table: pd.DataFrame):
        """A row for each of some runs."""
        from ntkpipe import plotting

        return plotting.landscapes(self._named(table), self.rows)

    def frames(self, table: pd.DataFrame):
        """A frame for each run."""
        from ntkpipe import plotting

        return plotting.landscapes_frames(self._named(table))


# ------------------------------------------------------------------ weights


@section
class Matrices(_Moving):
    """A corner of a weight matrix while the first network learns, and what it changed.

    Entries are in units of their root mean square at initialisation. The table has a
    row for each row of the corner at each step, and a column for each of its columns.
    Needs training.keep_matrix.
    """

    kind: Literal["matrices"] = "matrices"
    reads: ClassVar[tuple[str, ...]] = ("network",)

    def _unmet(self, e: Experiment) -> Iterator[Fault]:
        if e.training.keep_matrix is None:
            text = "no matrix: say training.keep_matrix: {layer: 2}"
            yield Fault(("kind",), text)

    def table(self, measurements: pd.DataFrame, arrays: Arrays) -> pd.DataFrame:
        """W(t) to four decimals, and ‖W(t) − W(0)‖/‖W(0)‖ of the corner."""
        del measurements
        frames = []
        for variant, width in self._runs(arrays):
            network = arrays("network", variant, width)
            matrix, steps = network["matrix"], network["step"]
            if network["diverged"][0]:
                continue
            matrix = matrix / np.sqrt((matrix[0] ** 2).mean())
            start = np.linalg.norm(matrix[0])
            shown = range(len(steps)) if self.animated else (0, len(steps) - 1)
            for index in shown:
                change = np.linalg.norm(matrix[index] - matrix[0]) / start
                columns = {"variant": variant, "width": width, "step": steps[index]}
                columns |= {"change": change, "row": np.arange(len(matrix[0])) + 1}
                entries = matrix[index].round(4).T
                columns |= {f"w{k + 1}": column for k, column in enumerate(entries)}
                frames.append(pd.DataFrame(columns))
        widest = max((len(frame.columns) for frame in frames), default=5) - 5
        columns = ["variant", "width", "step", "change", "row"]
        return _table(frames, columns + [f"w{k + 1}" for k in range(widest)])

    def draw(self, table: pd.DataFrame):
        """Before, after and change of each run."""
        from ntkpipe import plotting

        return plotting.matrices(self._named(table))

    def frames(self, table: pd.DataFrame):
        """A column for each run: the matrix above its change; a frame for each step."""
        from ntkpipe import plotting

        return plotting.matrices_frames(self._named(table))


Figure = Annotated[
    Trajectories
    | Scaling
    | Dynamics
    | Modes
    | FunctionBand
    | Functions
    | KernelSlice
    | Heatmap
    | Spectrum
    | Projections
    | Components
    | Ellipses
    | Landscapes
    | Matrices,
    Field(discriminator="kind"),
]


# ------------------------------------------------------------------ shared


def unknown(key: str, what: str, asked: Iterable, known: Iterable) -> Iterator[Fault]:
    """A fault for each of those asked for that are not known."""
    for missing in sorted(set(asked) - set(known)):
        there = ", ".join(map(str, known))
        near = did_you_mean(str(missing), known) if isinstance(missing, str) else ""
        yield Fault((key,), f"no {what} {missing}: there are {there}{near}")


def out_of_range(key: str, what: str, number: int, count: int) -> Iterator[Fault]:
    """A number that is not below the count of what there is."""
    if number >= count:
        there = f"there {'is' if count == 1 else 'are'} {count}, from 0"
        yield Fault((key,), f"no {what} {number}: {there}")


def check_output(output: int, e: Experiment) -> Iterator[Fault]:
    """Refuse an output that the networks do not have."""
    if sizes := e.dataset.stated_sizes:
        yield from out_of_range("output", "output", output, sizes.outputs)


def check_seed(figure, e: Experiment) -> Iterator[Fault]:
    """Refuse a network that is not among those of each width shown."""
    if figure.seed is not None:
        shown = [w for w in e.widths if w in (figure.widths or e.widths)]
        seeds = min(map(e.seeds_at, shown), default=figure.seed + 1)
        yield from out_of_range("seed", "seed", figure.seed, seeds)


def check_angle(key: str, axis: Axis, e: Experiment) -> Iterator[Fault]:
    """Refuse the angle of points of one coordinate."""
    sizes = e.dataset.stated_sizes
    if axis == "angle" and sizes and sizes.dimension == 1:
        text = "no angle, as the points have one coordinate: say axis: x"
        yield Fault((key,), text)


def check_last_layer(e: Experiment) -> Iterator[Fault]:
    """Refuse the kernel of the last hidden layer where there is none."""
    if not e.model.has_last_layer:
        yield Fault(("kernel",), "no last layer: say kernel: ntk")


def _rate(arrays, variant) -> float:
    """Learning rate η: time is η · step."""
    return arrays.experiment(variant).training.learning_rate


def _seeds(network, seed: int | None) -> np.ndarray:
    """Indices of the networks that did not diverge, or of the one asked for."""
    kept = np.flatnonzero(~network["diverged"])
    if seed is None:
        return kept
    if seed >= len(network["diverged"]):
        raise ValueError(
            f"there is no seed {seed}: there are {len(network['diverged'])}, from 0"
        )
    return kept[kept == seed]


def _scalar(kernel):
    """Trace over outputs of (m, k, n, k), divided by k: (m, n)."""
    return np.einsum("mknk->mn", kernel) / kernel.shape[1]


def _kernel(network, name, seed, when):
    """One kernel (n n) of a network: of its seed, at its first or last snapshot."""
    kernel = network[name][seed, when]
    return _scalar(kernel) if name == "ntk" else kernel


def _label(name: str, label: str | None) -> str:
    """What a quantity is called on an axis."""
    return label or LABELS.get(name) or measurements.label(name)


def _table(frames: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    """One table of the frames, with these columns even where there is none."""
    frames = [frame.reindex(columns=columns) for frame in frames]
    if not frames:
        return pd.DataFrame(columns=columns)
    return pd.concat(frames, ignore_index=True)
