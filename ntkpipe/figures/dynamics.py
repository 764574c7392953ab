"""Outputs at chosen points against training time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from ntkpipe.experiment import Experiment
from ntkpipe.figures.axes import (
    facets,
    log_time_axis,
    model_handles,
    nothing,
    outer_labels,
    panel_grid,
    panel_titles,
    point_name,
    range_handle,
    shared_legend,
    unique_values,
)
from ntkpipe.figures.base import (
    P10,
    P90,
    Arrays,
    BaseFigure,
    check_output,
    check_seed,
    concatenated,
    learning_rate_of,
    shown_seeds,
)
from ntkpipe.figures.style import GREY, MODELS, TIME, category_colors, darker, style
from ntkpipe.lazy import Lazy
from ntkpipe.section import Fault, section

if TYPE_CHECKING:
    from matplotlib.figure import Figure

mlines = Lazy("matplotlib.lines")
if TYPE_CHECKING:
    import pandas as pd
else:
    pd = Lazy("pandas")


def dynamics(table: pd.DataFrame, log_x: bool) -> Figure:
    """f(x, t) of each point: colour is the point, line style the model."""
    if table.empty:
        return nothing("all networks of this figure diverged")
    variants, widths = unique_values(table, "variant"), sorted(set(table["width"]))
    points = unique_values(table, "point")
    colors = dict(zip(points, category_colors(len(points)), strict=True))
    with style():
        figure, axes = panel_grid(
            len(variants), len(widths), height=2.7, sharex="row", sharey="row"
        )
        for ax, part in facets(axes, table, variants, widths):
            for (point, model), curve in part.groupby(["point", "model"], sort=False):
                network = model == "network"
                ax.plot(
                    "time",
                    "median",
                    data=curve,
                    color=colors[point] if network else darker(colors[point]),
                    linestyle=MODELS[model][1],
                    linewidth=2.2 if network else 1.3,
                    alpha=0.75 if network else 1,
                    zorder=2 if network else 3,
                )
                if network and (curve["high"] > curve["low"]).any():
                    ax.fill_between(
                        curve["time"],
                        curve["low"],
                        curve["high"],
                        color=colors[point],
                        alpha=0.15,
                        linewidth=0,
                    )
                if network and curve["target"].notna().all():
                    ax.plot(
                        curve["time"].iloc[-1],
                        curve["target"].iloc[0],
                        marker="D",
                        color=colors[point],
                        mec="white",
                        ms=6,
                        clip_on=False,
                        zorder=5,
                    )
            if log_x:
                same = table["variant"] == part["variant"].iloc[0]
                log_time_axis(ax, table.loc[same, "time"])
            ax.set(xlabel=TIME["time"], ylabel="output f(x, t)")
        panel_titles(axes, variants, [f"n = {width}" for width in widths])
        outer_labels(axes)
        handles = [
            mlines.Line2D([], [], color=colors[point], label=f"{point_name(point)}")
            for point in points
        ]
        handles += model_handles(unique_values(table, "model"))
        handles.append(
            mlines.Line2D(
                [], [], ls="", marker="D", color=GREY, mec="white", label="target y"
            )
        )
        if (table["high"] > table["low"]).any():
            handles.append(range_handle())
        shared_legend(figure, handles)
    return figure


@section
class Dynamics(BaseFigure):
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
            seeds = shown_seeds(network, self.seed)
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
                            "time": step * learning_rate_of(arrays, variant),
                            "median": median,
                            "low": low,
                            "high": high,
                            "target": y[point, self.output] if known else np.nan,
                        }
                        frames.append(pd.DataFrame(frame))
        columns = ["variant", "width", "point", "model", "step", "time"]
        return concatenated(frames, [*columns, "median", "low", "high", "target"])

    def _outputs(self, model, arrays, variant, width, network, seeds):
        """Steps (t,) and outputs (s t n k) at training and at test points."""
        if model == "limit":
            limit = arrays("limit", variant)
            if self.seed is None:
                return {
                    part: (limit["step"], _percentiles(limit, part))
                    for part in ("train", "test")
                }
            data, rate = arrays("dataset", variant), learning_rate_of(arrays, variant)
            return _limit_dynamics(limit, network, data, seeds[0], rate)
        product = arrays(model, variant, width)
        return {
            part: (product["step"], product[f"f_{part}"][seeds])
            for part in ("train", "test")
        }

    def draw(self, table: pd.DataFrame):
        """Rows are variants, columns are widths."""
        return dynamics(self._named(table), self.log_x)


def _percentiles(limit, part):
    """P10, P50 and P90 (3 t n k) of the Gaussian over initialisations."""
    mean, sd = limit[f"mean_{part}"], limit[f"sd_{part}"][..., None]
    return np.stack([mean + z * sd for z in (P10, 0, P90)])


def _limit_dynamics(limit, network, data, seed, rate):
    """Gradient descent under the limit kernel from one network's f(x, 0)."""
    from ntkpipe.kernels import linear

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
