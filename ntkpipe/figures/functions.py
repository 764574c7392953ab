"""Networks as functions of x while they learn, animated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import numpy as np

from ntkpipe.figures.axes import (
    COORDINATES,
    Runs,
    clock_text,
    coordinate_axis,
    inside_limits,
    last_step,
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
    Count,
    Index,
    InputFigure,
    MovingFigure,
    OutputFigure,
    concatenated,
    coordinate,
    shown_seeds,
)
from ntkpipe.figures.chart import Chart, Marks, Plot, Scale, input_axis
from ntkpipe.figures.packages import maxes, mcollections, mfigure, pd
from ntkpipe.figures.style import TARGET, sequential_colors, style
from ntkpipe.section import section

OUTPUT = "output f(x)"


@section
class Functions(InputFigure, OutputFigure, MovingFigure):
    """Networks as functions of the input, one line each, while they learn.

    The table has a column for each network (f1, f2, …) and a row for each step and x.
    """

    kind: Literal["functions"] = "functions"
    reads: ClassVar[tuple[str, ...]] = ("dataset", "network")
    axis: Axis = "x"
    seeds: Count = 100
    """Number of networks that are drawn."""
    steps: tuple[Index, ...] = (0,)
    """Steps in the still picture; the nearest recorded steps are shown."""

    def table(self, measurements: pd.DataFrame, arrays: Arrays) -> pd.DataFrame:
        """f(x, t) of each network, to four decimals, and the training points."""
        frames, seen = [], set()
        for variant, width in self._runs(arrays):
            data = arrays("dataset", variant)
            network = arrays("network", variant, width)
            x = coordinate(data["x_test"], self.axis)
            order = np.argsort(x, kind="stable")
            kept = shown_seeds(network, None)[: self.seeds]
            f = network["f_test"][kept][..., order, self.output].round(4)
            known = network["step"]
            shown = {int(np.abs(known - step).argmin()) for step in self.steps}
            if self.animated:
                shown = set(range(len(known)))
            run = {"variant": variant, "width": width, "part": "network", "x": x[order]}
            for index in sorted(shown) if len(kept) else ():
                lines = {f"f{seed + 1}": f[i, index] for i, seed in enumerate(kept)}
                frames.append(pd.DataFrame(run | {"step": known[index]} | lines))
            if variant not in seen:
                seen.add(variant)
                points = {"variant": variant, "width": 0, "part": "data"}
                points["x"] = coordinate(data["x_train"], self.axis)
                points["y"] = data["y_train"][:, self.output]
                frames.append(pd.DataFrame(points))
        columns = ["variant", "width", "part", "step", "x", "y"]
        networks = dict.fromkeys(name for f in frames for name in f if name[0] == "f")
        return concatenated(frames, [*columns, *networks])

    def columns(self, table: pd.DataFrame) -> Chart | None:
        """A line for each network; a panel for each run and step of the picture."""
        if self.animated:
            return None
        runs, shown = runs_of(table), self._shown(table)
        names = [name for name in table if name[0] == "f"]
        about = [name for name in table if name not in (*names, "y")]
        long = (
            table.drop(columns="y")
            .melt(about, names, "network", "value")
            .dropna(subset="value")
        )
        data = table[table["part"] == "data"].rename(columns={"y": "value"})[
            [*about, "value"]
        ]
        x, y = input_axis(self.axis), Scale(OUTPUT)
        panels = [
            Plot({"variant": v, "width": (n, 0), "step": (step, np.nan)}, x, y, title)
            for (v, n), name in zip(runs, run_names(runs), strict=True)
            for step in shown
            for title in [", ".join([name] + [time_text(step)] * (shown != [0]))]
        ]
        marks = [
            Marks(
                "thin",
                "value",
                where={"part": "network"},
                each=("network",),
                color=sequential_colors(6)[3],
                name="one network",
            )
        ]
        if shown != [0]:
            marks.append(
                Marks(
                    "dot",
                    "value",
                    where={"part": "data"},
                    color=TARGET,
                    name="training points",
                )
            )
        return Chart(
            pd.concat([long, data]), "x", panels, marks, tells={"network": "network"}
        )

    def _shown(self, table: pd.DataFrame) -> list[float]:
        """The recorded steps of the still picture."""
        known = np.array(sorted(set(table["step"].dropna())))
        return sorted({known[np.abs(known - step).argmin()] for step in self.steps})

    def picture(self, table: pd.DataFrame) -> mfigure.Figure:
        """Networks as thin lines: rows are runs, columns are steps."""
        runs, shown = runs_of(table), self._shown(table)
        figure, axes = panel_grid(
            len(runs), len(shown), height=2.0, sharex=True, sharey=True
        )
        if shown == [0]:  # untrained networks do not depend on the targets
            table = table[table["part"] != "data"]
        for row, (part, data) in zip(axes, _parts(table, runs), strict=True):
            for ax, step in zip(row, shown, strict=True):
                _many_lines(ax, part[part["step"] == step], data, self.axis)
        same_y_limits(axes, inside_limits(table))
        steps = ["" if shown == [0] else time_text(step) for step in shown]
        panel_titles(axes, run_names(runs), steps)
        outer_labels(axes)
        return figure

    def moving(self, table: pd.DataFrame) -> Iterator[mfigure.Figure]:
        """A panel for each run, a frame for each recorded step."""
        runs = runs_of(table)
        with style():
            figure, axes = panel_grid(
                1, len(runs), height=2.3, sharex=True, sharey=True
            )
            lines, by_step = [], []
            for ax, (part, data) in zip(axes.flat, _parts(table, runs), strict=True):
                groups = dict(list(part.groupby("step")))
                by_step.append(groups)
                lines.append(_many_lines(ax, groups[min(groups)], data, self.axis))
            same_y_limits(axes, inside_limits(table))
            panel_titles(axes, [""], run_names(runs))
            outer_labels(axes)
            clock = clock_text(figure)
        for step in sorted(set(table["step"].dropna())):
            clock.set_text(time_text(step))
            for collection, groups in zip(lines, by_step, strict=True):
                collection.set_segments(_segments(groups[last_step(groups, step)]))
            yield figure


def _parts(table: pd.DataFrame, runs: Runs) -> list[tuple[pd.DataFrame, pd.DataFrame]]:
    """Rows of the networks and of the training points of each run."""
    return [
        (
            rows_where(table, variant=variant, width=width),
            rows_where(table, variant=variant, part="data"),
        )
        for variant, width in runs
    ]


def _many_lines(ax: maxes.Axes, rows: pd.DataFrame, data: pd.DataFrame, axis: str):
    """Draw all networks of one step and the training points; return the lines."""
    segments = _segments(rows)
    lines = mcollections.LineCollection(
        segments, colors=_by_order(len(segments)), linewidths=0.7, alpha=0.65
    )
    ax.add_collection(lines)
    ax.plot("x", "y", "o", data=data, color=TARGET, mec="white", ms=4.5, zorder=5)
    coordinate_axis(ax, axis)
    ax.set(xlabel=COORDINATES[axis], ylabel=OUTPUT)
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
