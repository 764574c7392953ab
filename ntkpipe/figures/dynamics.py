"""Outputs at chosen points against training time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from ntkpipe.experiment import Experiment
from ntkpipe.figures.axes import (
    color_entries,
    draw_range,
    entry,
    log_time_axis,
    point_name,
    range_handle,
    rows_where,
    run_panels,
    shared_legend,
    unique_values,
)
from ntkpipe.figures.base import (
    P10,
    P90,
    Arrays,
    Index,
    OutputFigure,
    TimeFigure,
    check_seed,
    concatenated,
    learning_rate_of,
    shown_seeds,
)
from ntkpipe.figures.chart import (
    SEEDS,
    STEP,
    Chart,
    Marks,
    Scale,
    line_of,
    of_runs,
    time_axis,
)
from ntkpipe.figures.packages import maxes, mfigure, pd
from ntkpipe.figures.style import (
    GREY,
    INK,
    LINEARIZED,
    MODELS,
    TIME,
    Look,
    category_colors,
    darker,
)
from ntkpipe.section import Fault, section

OUTPUT = "output f(x, t)"
LOOKS: dict[str, Look] = {
    "network": {"lw": 0.9, "zorder": 3},
    "linearized": {"lw": 1.1, "ls": LINEARIZED, "zorder": 2.5},
    "limit": {"lw": 3.5, "alpha": 0.4, "zorder": 1.5},
}
"""Infinite width is a wide pale line below the thin dark one of the network."""


@section
class Dynamics(TimeFigure, OutputFigure):
    """Outputs at chosen points against time: network, linearisation, infinite width.

    With one seed, the infinite-width prediction starts from the f(x, 0) of this network
    and follows gradient descent under the limit kernel. With all seeds, it is the mean
    over initialisations, and networks are shown by median and 10 – 90 % range.
    """

    kind: Literal["dynamics"] = "dynamics"
    train: tuple[Index, ...] = (0, 1, 2, 3)
    """Training points shown, counted from 0; those that do not exist are left out."""
    test: tuple[Index, ...] = ()
    """Test points shown, counted from 0; those that do not exist are left out."""
    seed: Index | None = 0
    """The network that is shown, counted from 0; null shows the range over all."""
    models: tuple[Literal["network", "linearized", "limit"], ...] = (
        "network",
        "linearized",
        "limit",
    )
    """The curves shown: networks, linearised models, infinite width."""

    @property
    def reads(self) -> tuple[str, ...]:
        """The products that the figure reads."""
        return ("dataset", *dict.fromkeys(("network", *self.models)))

    def _unmet(self, e: Experiment) -> Iterator[Fault]:
        yield from super()._unmet(e)
        yield from check_seed(self.seed, self.widths, e)

    def table(self, measurements: pd.DataFrame, arrays: Arrays) -> pd.DataFrame:
        """f(x, t) of each point and model: median and 10 – 90 % range over seeds."""
        frames = []
        for variant, width in self._runs(arrays):
            y = arrays("dataset", variant)["y_train"][:, self.output]
            network = arrays("network", variant, width)
            rate = learning_rate_of(arrays, variant)
            seeds = shown_seeds(network, self.seed)
            for model in self.models if len(seeds) else ():
                outputs = self._outputs(model, arrays, variant, width, network, seeds)
                for name, step, f, target in self._points(outputs, y):
                    given = len(f) == 3 and model == "limit"
                    band = f if given else np.quantile(f, [0.1, 0.5, 0.9], axis=0)
                    about = {"variant": variant, "width": width, "model": model}
                    about |= {"point": name, "step": step, "time": step * rate}
                    about |= dict(zip(("low", "median", "high"), band, strict=True))
                    frames.append(pd.DataFrame(about | {"target": target}))
        columns = ["variant", "width", "point", "model", "step", "time"]
        return concatenated(frames, [*columns, "median", "low", "high", "target"])

    def _points(self, outputs, y) -> Iterator[tuple[str, np.ndarray, np.ndarray, Any]]:
        """Name, steps (t,), outputs (s t) and target of each point that exists.

        Only training points have a target; that of test points is NaN.
        """
        for part, indices in (("train", self.train), ("test", self.test)):
            step, f = outputs[part]
            for point in indices:
                if point < f.shape[2]:
                    target = y[point] if part == "train" else np.nan
                    yield (
                        f"{part} {point + 1}",
                        step,
                        f[:, :, point, self.output],
                        target,
                    )

    def _outputs(self, model, arrays, variant, width, network, seeds):
        """Steps (t,) and outputs (s t n k) at training and at test points."""
        parts = ("train", "test")
        if model != "limit":
            product = arrays(model, variant, width)
            return {
                part: (product["step"], product[f"f_{part}"][seeds]) for part in parts
            }
        limit = arrays("limit", variant)
        if self.seed is None:
            return {part: (limit["step"], _percentiles(limit, part)) for part in parts}
        data, training = arrays("dataset", variant), arrays.experiment(variant).training
        return _limit_dynamics(limit, network, data, seeds[0], training)

    def columns(self, table: pd.DataFrame) -> Chart:
        """Lines with bands; a panel for each run, a colour for each point."""
        points = unique_values(table, "point")
        colors = dict(zip(points, category_colors(len(points)), strict=True))
        names = {point: point_name(point) for point in points}
        curve = ["variant", "width", "point", "model"]
        table = table.assign(ends=~table.duplicated(curve, keep="last"))
        x = time_axis(TIME["time"], self.log_x)
        last = {"model": "network", "ends": True}
        marks = [Marks("band", "low", "high", {"model": "network"}, SEEDS)]
        marks += [line_of(model, "median") for model in self.models]
        marks += [Marks("dot", "target", where=last, name="target y")]
        panels = of_runs(table, x, Scale(OUTPUT))
        return Chart(table, "time", panels, marks, "point", colors, names, STEP)

    def picture(self, table: pd.DataFrame) -> mfigure.Figure:
        """Rows are variants, columns are widths, colours are points."""
        points = unique_values(table, "point")
        colors = dict(zip(points, category_colors(len(points)), strict=True))
        figure, panels = run_panels(
            table, 1.8, TIME["time"], OUTPUT, sharex="row", sharey="row"
        )
        for ax, variant, _, rows in panels:
            for (point, model), curve in rows.groupby(["point", "model"], sort=False):
                _draw_outputs(ax, curve, model, colors[point])
            if self.log_x:
                log_time_axis(ax, rows_where(table, variant=variant)["time"])
        handles = color_entries(colors, point_name)
        models = unique_values(table, "model")
        for model in models if len(models) > 1 else ():
            handles.append(entry(MODELS[model][0], color=INK, **LOOKS[model]))
        handles.append(entry("target y", ls="", marker="D", color=GREY, mec="white"))
        if (table["high"] > table["low"]).any():
            handles.append(range_handle())
        shared_legend(figure, handles)
        return figure


def _draw_outputs(ax: maxes.Axes, curve: pd.DataFrame, model: str, color: str) -> None:
    """Draw f(x, t) of one point; for networks also the range, and the target."""
    if model != "network":
        color = color if model == "limit" else darker(color)
        ax.plot("time", "median", data=curve, color=color, **LOOKS[model])
        return
    ax.plot("time", "median", data=curve, color=darker(color), **LOOKS[model])
    draw_range(ax, "time", curve, color, 0.15)
    if curve["target"].notna().all():
        look: Look = {
            "marker": "D",
            "mec": "white",
            "ms": 4.5,
            "clip_on": False,
            "zorder": 5,
        }
        ax.plot("time", "target", data=curve.iloc[[-1]], color=color, **look)


def _percentiles(limit, part):
    """P10, P50 and P90 (3 t n k) of the Gaussian over initialisations."""
    mean, sd = limit[f"mean_{part}"], limit[f"sd_{part}"][..., None]
    return np.stack([mean + z * sd for z in (P10, 0, P90)])


def _limit_dynamics(limit, network, data, seed, training):
    """Gradient descent under the limit kernel from one network's f(x, 0)."""
    from ntkpipe.training import function_space

    step = network["step"]
    prediction = function_space.train(
        training,
        limit["ntk_train_train"][:, None, :, None],
        network["f_train"][seed, 0],
        data["y_train"],
        step,
        ntk_test=limit["ntk_test_train"][:, None, :, None],
        f0_test=network["f_test"][seed, 0],
    )
    return {
        "train": (step, np.asarray(prediction.f_train)[None]),
        "test": (step, np.asarray(prediction.f_test)[None]),
    }
