"""Loss and outputs on a line through the weights, animated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from ntkpipe.experiment import Experiment
from ntkpipe.figures.axes import (
    nothing,
    panel_grid,
    rows_where,
    run_names,
    runs_of,
    shared_legend,
)
from ntkpipe.figures.base import Arrays, MovingFigure, concatenated
from ntkpipe.figures.style import GREY, INK, LIMIT, LINEARIZED, PAGE, TARGET, style
from ntkpipe.lazy import Lazy
from ntkpipe.section import Fault, section
from ntkpipe.training.loss import SQUARED

if TYPE_CHECKING:
    from matplotlib.figure import Figure

mlines = Lazy("matplotlib.lines")
ticker = Lazy("matplotlib.ticker")
if TYPE_CHECKING:
    import pandas as pd
else:
    pd = Lazy("pandas")


def landscapes(table: pd.DataFrame, rows: int) -> Figure:
    """f and loss on the line through w₀, with the tangent's, a row for each run."""
    runs = runs_of(table)
    if not runs:
        return nothing("all networks of this figure diverged")
    chosen = np.linspace(0, len(runs) - 1, min(rows, len(runs))).round().astype(int)
    shown = [runs[k] for k in chosen]
    with style():
        figure, axes = _landscape_axes(table, runs, len(shown))
        for row, run, name in zip(axes, shown, run_names(shown), strict=True):
            _show_landscape(row, rows_where(table, variant=run[0], width=run[1]), name)
        for ax in axes[:-1].flat:
            ax.set_xlabel("")
    return figure


def landscapes_frames(table: pd.DataFrame) -> Iterator[Figure]:
    """f and loss of one run after the other, on the same axes."""
    runs = runs_of(table)
    if not runs:
        yield nothing("all networks of this figure diverged")
        return
    for run, name in zip(runs, run_names(runs), strict=True):
        with style():
            figure, axes = _landscape_axes(table, runs, 1)
            _show_landscape(
                axes[0], rows_where(table, variant=run[0], width=run[1]), name
            )
        yield figure


def _landscape_axes(table: pd.DataFrame, runs, rows: int) -> tuple[Figure, np.ndarray]:
    """Panels of f, of the loss and of the loss near w₀; y scales are of all runs."""
    figure, axes = panel_grid(rows, 3, height=2.1, width=PAGE + 1.5)
    first = rows_where(table, variant=runs[0][0], width=runs[0][1])
    ends = table.groupby(["variant", "width"])["distance"].agg(["min", "max"]).abs()
    reach = ends.min(axis=None)  # as far as all runs go
    at_start = np.interp(0, first["distance"], first["loss"])
    start, y = np.interp(0, first["distance"], first["f"]), first["y"].iloc[0]
    for left, middle, right in axes:
        room = 2 * abs(y - start)
        ends = sorted((start - 0.75 * room, y + 0.75 * room))
        left.set(xlim=(-reach, reach), ylim=ends, ylabel="f(w)")
        middle.set(xlim=(-reach, reach), ylabel="loss")
        middle.set_ylim(-0.04 * at_start, 1.25 * at_start)
        right.set_ylabel("loss near w₀")
        for ax in (left, middle, right):
            ax.set_xlabel("w − w₀")
    handles = [
        mlines.Line2D([], [], color=INK, label="the model"),
        mlines.Line2D(
            [], [], color=GREY, ls=LINEARIZED, label="its linearisation at w₀"
        ),
        mlines.Line2D([], [], color=TARGET, lw=1, label="target y"),
        mlines.Line2D([], [], color=INK, ls="", marker="o", ms=4, label="least loss"),
    ]
    shared_legend(figure, handles)
    return figure, axes


def _show_landscape(axes, run: pd.DataFrame, name: str) -> None:
    """One run in its three panels."""
    left, middle, right = axes
    left.plot("distance", "tangent", data=run, color=GREY, ls=LINEARIZED)
    left.plot("distance", "f", data=run, color=INK)
    left.axhline(run["y"].iloc[0], color=TARGET, lw=1)
    left.set_title(name)
    for ax in (middle, right):
        ax.plot("distance", "loss_tangent", data=run, color=GREY, ls=LINEARIZED)
        ax.plot("distance", "loss", data=run, color=INK)
        near = run[run["distance"].abs() <= 2 * run["move"]]
        for column, color in (("loss_tangent", GREY), ("loss", INK)):
            least = near.loc[[near[column].idxmin()]]
            if least.index[0] in near.index[[0, -1]]:
                continue  # it goes on falling
            ax.plot("distance", column, "o", data=least, color=color, ms=4, zorder=4)
    zoom = 2 * run["move"].iloc[0]
    at_start = np.interp(0, run["distance"], run["loss"])
    right.set(xlim=(-zoom, zoom), ylim=(-0.08 * at_start, 2.5 * at_start))
    right.xaxis.set_major_locator(ticker.MaxNLocator(3))
    for ax in axes:
        ax.axvline(0, color=GREY, lw=0.6, ls=LIMIT)


@section
class Landscapes(MovingFigure):
    """A network and its linearisation on the line through w₀ and the last weights.

    Left f at the first training point and its tangent at w₀, in the middle the loss
    L = Σ(f − y)²/(2Nα²) of both, right the same near w₀, with the least loss of each. A
    row, or a frame, is a run, as they follow in the study. Needs training.landscape.
    """

    kind: Literal["landscapes"] = "landscapes"
    reads: ClassVar[tuple[str, ...]] = ("dataset", "network")
    rows: Annotated[int, Field(ge=1, le=8)] = 3
    """Number of runs in the still picture, including the first and the last."""

    def _unmet(self, e: Experiment) -> Iterator[Fault]:
        if e.training.landscape is None:
            yield Fault(("kind",), "no landscape: set training.landscape: {}")

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
        return concatenated(frames, [*columns, "loss", "loss_tangent", "move"])

    def draw(self, table: pd.DataFrame):
        """A row for each of some runs."""
        return landscapes(self._named(table), self.rows)

    def frames(self, table: pd.DataFrame):
        """A frame for each run."""
        return landscapes_frames(self._named(table))
