"""Quantities against training time, over seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from ntkpipe import measurements
from ntkpipe.claims.base import MetricRead
from ntkpipe.experiment import Experiment
from ntkpipe.figures.axes import (
    log_time_axis,
    log_y_axis,
    model_handles,
    nothing,
    panel_grid,
    panel_titles,
    range_handle,
    rows_where,
    shared_legend,
    unique_values,
    width_label,
    wrapped,
)
from ntkpipe.figures.base import (
    RECORDED,
    Arrays,
    BaseFigure,
    Text,
    concatenated,
    learning_rate_of,
    unknown,
)
from ntkpipe.figures.labels import axis_label
from ntkpipe.figures.style import (
    MODELS,
    TIME,
    category_colors,
    darker,
    style,
    width_colors,
)
from ntkpipe.lazy import Lazy
from ntkpipe.section import Fault, section
from ntkpipe.training.loss import SQUARED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

mlines = Lazy("matplotlib.lines")
if TYPE_CHECKING:
    import pandas as pd
else:
    pd = Lazy("pandas")


def trajectories(
    table: pd.DataFrame,
    panels: Sequence[tuple[str, str, bool]],
    x: str,
    log_x: bool,
    color: str = "width",
) -> Figure:
    """Median and range against steps; (quantity, label, log) of each column.

    Colour distinguishes the values of the column `color`, rows those of the other one.
    """
    if table.empty:
        return nothing("all networks of this figure diverged")
    variants, widths = unique_values(table, "variant"), sorted(set(table["width"]))
    names = {width: width_label(table, width) for width in widths}
    rows, other = variants, "variant"
    colors = width_colors(widths)
    if color == "variant":
        rows, other = widths, "width"
        colors = dict(zip(variants, category_colors(len(variants)), strict=True))
    with style():
        figure, axes = panel_grid(len(rows), len(panels), height=2.7, sharex="row")
        for row, name in enumerate(rows):
            for column, (quantity, label, log) in enumerate(panels):
                ax = axes[row, column]
                part = rows_where(table, quantity=quantity, **{other: name})
                _bands(ax, part, colors, color)
                if log_x:
                    log_time_axis(ax, table.loc[table[other] == name, "x"])
                if log:
                    log_y_axis(ax, part)
                else:
                    ax.set_ylim(bottom=min(0, ax.get_ylim()[0]))
                ax.set(xlabel=TIME[x], ylabel=wrapped(label))
        panel_titles(axes, [names.get(row, row) for row in rows], [""] * len(panels))
        handles = [
            mlines.Line2D([], [], color=colors[hue], label=names.get(hue, hue))
            for hue in colors
        ]
        handles += model_handles(unique_values(table, "model"))
        if table["seeds"].max() > 1:
            handles.append(range_handle())
        shared_legend(figure, handles)
    return figure


def _bands(ax: Axes, part: pd.DataFrame, colors: Mapping, by: str = "width") -> None:
    """Lines of all widths, or variants; predictions lie dashed over their networks."""
    for (hue, model), curve in part.groupby([by, "model"]):
        network = model == "network"
        ax.plot(
            "x",
            "median",
            data=curve,
            color=colors[hue] if network else darker(colors[hue]),
            linestyle=MODELS[model][1],
            linewidth=1.8 if network else 1.2,
            zorder=2 if network else 3,
        )
        if network and curve["seeds"].max() > 1:
            ax.fill_between(
                curve["x"],
                curve["low"],
                curve["high"],
                color=colors[hue],
                alpha=0.18,
                linewidth=0,
            )
        if network:
            end = curve.iloc[-1]
            ax.plot(end["x"], end["median"], "o", color=colors[hue], ms=3.2, zorder=4)


@section
class Panel:
    """A quantity drawn against training time."""

    quantity: str
    """loss, test_loss, weight_change (relative), weight_change/W2 (of one layer),
    weight_distance, residual_along or residual_across the targets, or a metric of the
    measurements such as ntk_change."""
    label: Text | None = None
    """Text of the axis, by default the label of the quantity."""
    log: bool = True
    """Logarithmic axis."""


@section
class Trajectories(BaseFigure):
    """Quantities against training time: colour is width, a row is a variant.

    With `color: variant` colour is the variant and a row is a width. Lines are medians
    over seeds, shades their 10 – 90 % range. Networks that reached the stopping loss
    keep their last value; a curve ends once half of them have stopped. For infinite
    width, losses (means over initialisations) and residuals are available.
    """

    kind: Literal["trajectories"] = "trajectories"
    panels: tuple[Panel, ...]
    """Quantities, side by side."""
    models: tuple[Literal["network", "linearized", "limit"], ...] = (
        "network",
        "linearized",
    )
    """The models shown: networks, linearised models, infinite width."""
    color: Literal["width", "variant"] = "width"
    """Whether colour is the width or the variant."""
    x: Literal["step", "time"] = "step"
    """Gradient steps or time t = η · step."""
    log_x: bool = False
    """Logarithmic axis of time, linear from 0 to the first recorded step."""

    @property
    def reads(self) -> tuple[str, ...]:
        """The products that the figure reads."""
        targets = {"test_loss", "residual_along", "residual_across"}
        needed = "limit" in self.models or any(
            panel.quantity in targets for panel in self.panels
        )
        return ("network", *(m for m in self.models if m != "network")) + (
            ("dataset",) if needed else ()
        )

    def _measured(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """The keys of quantities that are metrics, not recordings."""
        for i, panel in enumerate(self.panels):
            base = panel.quantity.partition("/")[0]
            if base not in RECORDED:
                yield ("panels", str(i), "quantity"), panel.quantity

    def metrics_read(self) -> Iterator[MetricRead]:
        """The metrics shown; `_unmet` checks them in each experiment."""
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
                    rate = 1 if self.x == "step" else learning_rate_of(arrays, variant)
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
        return concatenated(frames, columns)

    def draw(self, table: pd.DataFrame):
        """Rows are variants, columns are quantities."""
        panels = [
            (p.quantity, axis_label(p.quantity, p.label), p.log) for p in self.panels
        ]
        return trajectories(self._named(table), panels, self.x, self.log_x, self.color)


def _trajectory(quantity, model, product, network, arrays, variant):
    """Steps (t,), values (s t) and seeds (s,) of the recorded arrays, or None.

    For infinite width there is one row of values for all seeds.
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
            f"no quantity {quantity}; besides loss, test_loss, "
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
