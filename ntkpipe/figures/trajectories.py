"""Quantities against training time, over seeds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

import numpy as np

from ntkpipe import measurements
from ntkpipe.claims.base import MetricRead
from ntkpipe.data.base import of_networks
from ntkpipe.experiment import Experiment
from ntkpipe.figures.axes import (
    color_entries,
    draw_range,
    log_time_axis,
    log_y_axis,
    model_handles,
    outer_x_labels,
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
    Text,
    TimeFigure,
    concatenated,
    learning_rate_of,
    only_squares,
    unknown,
)
from ntkpipe.figures.chart import SEEDS, Chart, Marks, Plot, Scale, line_of, time_axis
from ntkpipe.figures.labels import axis_label
from ntkpipe.figures.packages import maxes, mfigure, pd
from ntkpipe.figures.style import (
    MODELS,
    TIME,
    Look,
    category_colors,
    darker,
    width_colors,
)
from ntkpipe.section import Fault, section
from ntkpipe.training.losses.squared import SQUARED


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

    @property
    def axis(self) -> Scale:
        """The vertical axis of the interactive panel."""
        label = axis_label(self.quantity, self.label)
        return Scale(label, "log" if self.log else "linear", zero=not self.log)


@section
class Trajectories(TimeFigure):
    """Quantities against training time: colour is width, a row is a variant.

    With `color: variant` colour is the variant and a row is a width. Lines are medians
    over seeds, shades their 10 – 90 % range. Networks that reached the stopping loss
    keep their last value; a curve ends once half of them have stopped. For infinite
    width, losses (means over initialisations) and residuals are available.
    """

    kind: Literal["trajectories"] = "trajectories"
    takes_redrawn: ClassVar[bool] = True
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

    def _metric_keys(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """(key, name) of the quantities that are metrics, not recorded by training."""
        for i, panel in enumerate(self.panels):
            base = panel.quantity.partition("/")[0]
            if base not in RECORDED:
                yield ("panels", str(i), "quantity"), panel.quantity

    def metrics_read(self) -> Iterator[MetricRead]:
        """The metrics shown; `_unmet` checks them in each experiment."""
        for key, metric in self._metric_keys():
            yield key, metric, []

    def _unmet(self, e: Experiment) -> Iterator[Fault]:
        if "network" not in self.models:
            return
        for i, panel in enumerate(self.panels):
            name, _, layer = panel.quantity.partition("/")
            if name == "weight_change" and not e.has_networks:
                reason = measurements.unmet("weight_change", e)
                yield Fault(("panels", str(i), "quantity"), f"not recorded: {reason}")
            if name in ("residual_along", "residual_across"):
                yield from only_squares("panels", e)
            if name == "weight_change" and layer and e.model.layer_names:
                yield from unknown("panels", "layer", [layer], e.model.layer_names)
        for key, metric in self._metric_keys():
            if reason := measurements.unmet(metric, e):
                yield Fault(key, f"not recorded: {reason}")

    def table(self, measurements: pd.DataFrame, arrays: Arrays) -> pd.DataFrame:
        """Median and 10 – 90 % range over seeds of each quantity at each step."""
        frames = []
        for variant, width in self._runs(arrays):
            network = arrays("network", variant, width)
            kept = ~network["diverged"]
            rate = 1 if self.x == "step" else learning_rate_of(arrays, variant)
            for panel, model in itertools.product(self.panels, self.models):
                if not kept.any():
                    break
                product = arrays(model, variant, None if model == "limit" else width)
                found = _trajectory(
                    panel.quantity, model, product, network, arrays, variant
                )
                if found is None and model == "network":
                    rows = rows_where(measurements, variant=variant, width=width)
                    found = _measured(panel.quantity, rows, network["seed"])
                if found is None:
                    continue
                step, values, seeds = found
                seeds = seeds & kept
                if not seeds.any():
                    continue
                if model != "limit":
                    values = values[seeds]
                band = _seed_band(step, values, network["stop_step"][seeds])
                about = {"variant": variant, "width": width, "model": model}
                about |= {"quantity": panel.quantity, "diverged": int((~kept).sum())}
                frames.append(band.assign(x=band["step"] * rate, **about))
        columns = ["variant", "width", "model", "quantity", "step", "x"]
        columns += ["median", "low", "high", "seeds", "diverged"]
        return concatenated(frames, columns)

    def columns(self, table: pd.DataFrame) -> Chart:
        """Lines with bands; a panel for each quantity of a row of the picture."""
        widths, variants = sorted(set(table["width"])), unique_values(table, "variant")
        names: dict = {width: width_label(table, width) for width in widths}
        rows, other, colors = variants, "variant", width_colors(widths)
        if self.color == "variant":
            rows, other = widths, "width"
            colors = dict(zip(variants, category_colors(len(variants)), strict=True))
        x = time_axis(TIME[self.x], self.log_x)
        panels = [
            Plot({other: row, "quantity": p.quantity}, x, p.axis, title, row)
            for row in rows
            for p in self.panels
            for title in [str(names.get(row, row)) if len(rows) > 1 else ""]
        ]
        marks = [Marks("band", "low", "high", {"model": "network"}, SEEDS)]
        marks += [line_of(model, "median") for model in self.models]
        tells = {"step": "step", "seeds": "networks"}
        return Chart(table, "x", panels, marks, self.color, colors, names, tells)

    def picture(self, table: pd.DataFrame) -> mfigure.Figure:
        """Columns are quantities, rows variants, or widths if colour is the variant."""
        variants = unique_values(table, "variant")
        widths = sorted(set(table["width"]))
        names = {width: width_label(table, width) for width in widths}
        rows, other, colors = variants, "variant", width_colors(widths)
        if self.color == "variant":
            rows, other = widths, "width"
            colors = dict(zip(variants, category_colors(len(variants)), strict=True))
        # one axis for all rows, unless the curves of one row would be invisible
        ends = table.groupby(other)["x"].max()
        share = True if ends.max() <= 4 * ends.min() else "row"
        figure, axes = panel_grid(len(rows), len(self.panels), height=1.9, sharex=share)
        for line, name in zip(axes, rows, strict=True):
            of_row = rows_where(table, **{other: name})
            for ax, panel in zip(line, self.panels, strict=True):
                part = rows_where(of_row, quantity=panel.quantity)
                _draw_bands(ax, part, colors, self.color)
                if self.log_x:
                    log_time_axis(ax, (table if share is True else of_row)["x"])
                if panel.log:
                    log_y_axis(ax, part)
                    _name_diverging(ax, part)
                else:
                    ax.set_ylim(bottom=min(0, ax.get_ylim()[0]))
                label = axis_label(panel.quantity, panel.label)
                ax.set(xlabel=TIME[self.x], ylabel=wrapped(label))
        panel_titles(axes, [names.get(row, row) for row in rows], [""] * axes.shape[1])
        outer_x_labels(axes)
        handles = color_entries(colors, lambda hue: names.get(hue, hue))
        handles += model_handles(unique_values(table, "model"))
        if table["seeds"].max() > 1:
            handles.append(range_handle())
        shared_legend(figure, handles)
        return figure


def _draw_bands(ax: maxes.Axes, part: pd.DataFrame, colors: Mapping, by: str) -> None:
    """Draw the lines of all widths or variants; predictions lie over networks."""
    for (hue, model), curve in part.groupby([by, "model"]):
        color, ls = colors[hue], MODELS[model][1]
        if model != "network":
            look: Look = {"color": darker(color), "ls": ls, "lw": 1.2, "zorder": 3}
            ax.plot("x", "median", data=curve, **look)
            continue
        ax.plot("x", "median", data=curve, color=color, ls=ls, lw=1.4, zorder=2)
        draw_range(ax, "x", curve, color, 0.18)
        end = curve.iloc[-1]
        ax.plot(end["x"], end["median"], "o", color=color, ms=3.2, zorder=4)


def _name_diverging(ax: maxes.Axes, part: pd.DataFrame) -> None:
    """Words where the first linearised model leaves the top of the axis."""
    top = ax.get_ylim()[1]
    above = part[(part["model"] == "linearized") & (part["median"] > top)]
    if len(above):
        look: Look = {"va": "top", "ha": "right", "fontsize": 7}
        ax.annotate(
            "linearised: diverges ",
            (above["x"].min(), top),
            (-12, -1),
            textcoords="offset points",
            **look,
        )


def _trajectory(quantity, model, product, network, arrays, variant):
    """Steps (t,), values (s t) and seeds (s,) of the recorded arrays, or None.

    For infinite width there is one row of values for all seeds.
    """
    networks = len(network["seed"])

    def data():
        return of_networks(arrays("dataset", variant), networks)

    name, _, layer = quantity.partition("/")
    values = None
    if quantity in ("residual_along", "residual_across"):
        from ntkpipe.measurements.limit import along_target

        f = product["mean_train"][None] if model == "limit" else product["f_train"]
        parts = along_target(f, data()["y_train"])
        values = parts[quantity == "residual_across"]
    elif model == "limit":
        part = {"loss": "train", "test_loss": "test"}.get(quantity)
        if part:
            mean, sd = product[f"mean_{part}"], product[f"sd_{part}"][..., None]
            y = data()[f"y_{part}"]
            # with another loss than the squared loss there is no spread
            spread = SQUARED.of_residual(np.sqrt(y.shape[-1]) * sd, len(y))
            loss = arrays.experiment(variant).training.loss
            values = (np.asarray(loss.value(mean, y)) + spread)[None]
    elif quantity == "loss":
        values = product["loss"]
    elif quantity == "test_loss":
        loss = arrays.experiment(variant).training.loss
        values = np.asarray(loss.value(product["f_test"], data()["y_test"]))
    elif quantity in ("weight_change", "weight_distance"):
        change = product["weight_change"]
        if model == "network":
            change = np.sqrt((change**2).sum(-1))
        if quantity == "weight_change":
            change = change / np.linalg.norm(network["weight_norm"], axis=-1)[:, None]
        values = change
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
    return product["step"], values, np.ones(networks, bool)


def _measured(quantity, known, seeds):
    """Steps (t,), values (s t) of a metric, and (s,) whether a seed has all values."""
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
    band = {"step": step[running], "median": median, "low": low, "high": high}
    return pd.DataFrame(band | {"seeds": len(values)})
