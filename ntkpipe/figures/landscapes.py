"""Loss and outputs on a line through the weights, animated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from ntkpipe.experiment import Experiment
from ntkpipe.figures.axes import (
    Runs,
    entry,
    panel_grid,
    rows_where,
    run_names,
    runs_of,
    shared_legend,
)
from ntkpipe.figures.base import Arrays, MovingFigure, concatenated
from ntkpipe.figures.packages import mfigure, pd, ticker
from ntkpipe.figures.style import GREY, INK, LIMIT, LINEARIZED, TARGET, style
from ntkpipe.section import Fault, section


@section
class Landscapes(MovingFigure):
    """A network and its linearisation on the line through w₀ and the last weights.

    Left: f at the first training point, and its tangent at w₀. Middle: the losses of
    both, over α², with dots at the minima near w₀. Right: the same near w₀. Each row or
    frame is a run, in the order of the study. Needs training.landscape.
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
        frames = []
        for variant, width in self._runs(arrays):
            network = arrays("network", variant, width)
            y = arrays("dataset", variant)["y_train"]
            if network["diverged"][0]:
                continue
            e = arrays.experiment(variant)
            loss, alpha = e.training.loss, e.model.alpha
            f, tangent = network["landscape_f"], network["landscape_linear"]
            frame = {
                "variant": variant,
                "width": width,
                "distance": network["landscape_at"],
                "y": y[0, 0],
                "f": f[:, 0, 0],
                "tangent": tangent[:, 0, 0],
                "loss": np.asarray(loss.value(f, y, alpha)),
                "loss_tangent": np.asarray(loss.value(tangent, y, alpha)),
                "move": np.linalg.norm(network["weight_change"][0, -1]),
            }
            frames.append(pd.DataFrame(frame))
        columns = ["variant", "width", "distance", "y", "f", "tangent"]
        return concatenated(frames, [*columns, "loss", "loss_tangent", "move"])

    def picture(self, table: pd.DataFrame) -> mfigure.Figure:
        """f and loss on the line through w₀, and those of the tangent, by run."""
        runs = runs_of(table)
        chosen = np.linspace(0, len(runs) - 1, min(self.rows, len(runs)))
        shown = [runs[k] for k in chosen.round().astype(int)]
        figure, axes = _landscape_axes(table, runs, len(shown))
        for row, run, name in zip(axes, shown, run_names(shown), strict=True):
            _show_landscape(row, table, run, name)
        for ax in axes[:-1].flat:
            ax.set_xlabel("")
        return figure

    def moving(self, table: pd.DataFrame) -> Iterator[mfigure.Figure]:
        """The same picture for one run after the other, on the same axes."""
        runs = runs_of(table)
        for run, name in zip(runs, run_names(runs), strict=True):
            with style():
                figure, axes = _landscape_axes(table, runs, 1)
                _show_landscape(axes[0], table, run, name)
            yield figure


def _landscape_axes(
    table: pd.DataFrame, runs: Runs, rows: int
) -> tuple[mfigure.Figure, np.ndarray]:
    """Panels of f, of the loss and of the loss near w₀, with scales from the first run.

    Each run shows `w − w₀` as far as all runs go.
    """
    figure, axes = panel_grid(rows, 3, height=1.5, fixed=True)
    first = rows_where(table, variant=runs[0][0], width=runs[0][1])
    ends = table.groupby(["variant", "width"])["distance"].agg(["min", "max"]).abs()
    reach = ends.min(axis=None)
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
        entry("the model", color=INK),
        entry("its linearisation at w₀", color=GREY, ls=LINEARIZED),
        entry("target y", color=TARGET, lw=1),
        entry("least loss", color=INK, ls="", marker="o", ms=4),
    ]
    shared_legend(figure, handles)
    return figure, axes


def _show_landscape(axes, table: pd.DataFrame, key: tuple[str, int], name: str) -> None:
    """Draw the run with this (variant, width) in its three panels."""
    run = rows_where(table, variant=key[0], width=key[1])
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
                continue  # the loss still falls at the end, so this is no minimum
            ax.plot("distance", column, "o", data=least, color=color, ms=4, zorder=4)
    zoom = 2 * run["move"].iloc[0]
    at_start = np.interp(0, run["distance"], run["loss"])
    right.set(xlim=(-zoom, zoom), ylim=(-0.08 * at_start, 2.5 * at_start))
    right.xaxis.set_major_locator(ticker.MaxNLocator(3))
    for ax in axes:
        ax.axvline(0, color=GREY, lw=0.6, ls=LIMIT)
