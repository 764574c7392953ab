"""Networks as functions of x while they learn, animated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from ntkpipe.experiment import Experiment
from ntkpipe.figures.axes import (
    clock_text,
    coordinate_axis,
    inside_limits,
    last_step,
    nothing,
    outer_labels,
    panel_grid,
    panel_titles,
    rows_where,
    run_names,
    runs_of,
    same_y_limits,
    time_text,
)
from ntkpipe.figures.base import (
    Arrays,
    Axis,
    MovingFigure,
    check_angle,
    check_output,
    concatenated,
    coordinate,
    shown_seeds,
)
from ntkpipe.figures.style import TARGET, sequential_colors, style
from ntkpipe.lazy import Lazy
from ntkpipe.section import Fault, section

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

mcollections = Lazy("matplotlib.collections")
if TYPE_CHECKING:
    import pandas as pd
else:
    pd = Lazy("pandas")


def functions(table: pd.DataFrame, axis: str, steps: Sequence[int]) -> Figure:
    """Networks as thin lines: rows are runs, columns are steps."""
    runs = runs_of(table)
    if not runs:
        return nothing("all networks of this figure diverged")
    known = np.array(sorted(set(table["step"].dropna())))
    shown = sorted({known[np.abs(known - step).argmin()] for step in steps})
    with style():
        figure, axes = panel_grid(
            len(runs), len(shown), height=2.9, sharex=True, sharey=True
        )
        if shown == [0]:  # they know nothing of targets
            table = table[table["part"] != "data"]
        for row, (variant, width) in enumerate(runs):
            part = rows_where(table, variant=variant, width=width)
            data = rows_where(table, variant=variant, part="data")
            for ax, step in zip(axes[row], shown, strict=True):
                _many_lines(ax, part[part["step"] == step], data, axis)
        same_y_limits(axes, inside_limits(table))
        panel_titles(
            axes,
            run_names(runs),
            ["" if shown == [0] else f"step {step:,.0f}" for step in shown],
        )
        outer_labels(axes)
    return figure


def functions_frames(table: pd.DataFrame, axis: str) -> Iterator[Figure]:
    """Networks as thin lines: a panel for each run, a frame for each step."""
    runs = runs_of(table)
    if not runs:
        yield nothing("all networks of this figure diverged")
        return
    steps = sorted(set(table["step"].dropna()))
    with style():
        figure, axes = panel_grid(1, len(runs), height=3.2, sharex=True, sharey=True)
        lines, by_step = [], []
        for ax, (variant, width) in zip(axes.flat, runs, strict=True):
            part = rows_where(table, variant=variant, width=width)
            data = rows_where(table, variant=variant, part="data")
            groups = dict(list(part.groupby("step")))
            by_step.append(groups)
            lines.append(_many_lines(ax, groups[min(groups)], data, axis))
        same_y_limits(axes, inside_limits(table))
        panel_titles(axes, [""], run_names(runs))
        outer_labels(axes)
        clock = clock_text(figure)
    for step in steps:
        clock.set_text(time_text(step))
        for collection, groups in zip(lines, by_step, strict=True):
            collection.set_segments(_segments(groups[last_step(groups, step)]))
        yield figure


def _many_lines(ax: Axes, rows: pd.DataFrame, data: pd.DataFrame, axis: str):
    """All networks of one step and the training points; the collection of lines."""
    segments = _segments(rows)
    lines = mcollections.LineCollection(
        segments, colors=_by_order(len(segments)), linewidths=0.7, alpha=0.65
    )
    ax.add_collection(lines)
    ax.plot("x", "y", "o", data=data, color=TARGET, mec="white", ms=7, zorder=5)
    coordinate_axis(ax, axis)
    ax.set_ylabel("output f(x)")
    ax.set_xlim(rows["x"].min(), rows["x"].max())
    return lines


def _segments(rows: pd.DataFrame) -> list[np.ndarray]:
    """A line (m 2) for each column f1, f2, … that has numbers."""
    x = rows["x"].to_numpy(float)
    columns = [name for name in rows if name[0] == "f" and rows[name].notna().any()]
    return [np.stack([x, rows[name].to_numpy(float)], -1) for name in columns]


def _by_order(count: int) -> list[Any]:
    """A few alternating colours, so that neighbouring lines differ."""
    colors = [sequential_colors(6)[k] for k in (0, 3, 5, 1, 4, 2)]
    return [colors[k % 6] for k in range(count)]


@section
class Functions(MovingFigure):
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
    """Number of networks that are drawn."""
    steps: tuple[Annotated[int, Field(ge=0)], ...] = (0,)
    """Steps in the still picture; the nearest recorded steps are shown."""

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
            x = coordinate(data["x_test"], self.axis)
            order = np.argsort(x, kind="stable")
            kept = shown_seeds(network, None)[: self.seeds]
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
                    "x": coordinate(data["x_train"], self.axis),
                    "y": data["y_train"][:, self.output],
                }
                frames.append(pd.DataFrame(points))
        columns = ["variant", "width", "part", "step", "x", "y"]
        lines = dict.fromkeys(name for f in frames for name in f if name[0] == "f")
        return concatenated(frames, [*columns, *lines])

    def draw(self, table: pd.DataFrame):
        """Rows are runs, columns are steps."""
        return functions(self._named(table), self.axis, self.steps)

    def frames(self, table: pd.DataFrame):
        """A panel for each run, a frame for each recorded step."""
        return functions_frames(self._named(table), self.axis)


def _nearest(steps, step: int) -> int:
    """Index of the recorded step nearest to a step."""
    return int(np.abs(steps - step).argmin())
