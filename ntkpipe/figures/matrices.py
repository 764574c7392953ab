"""A corner of a weight matrix while a network learns, animated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np

from ntkpipe.experiment import Experiment
from ntkpipe.figures.axes import (
    Runs,
    clock_text,
    color_bar,
    last_step,
    panel_grid,
    rows_where,
    run_names,
    runs_of,
    time_text,
)
from ntkpipe.figures.base import Arrays, MovingFigure, concatenated
from ntkpipe.figures.packages import maxes, mfigure, mpl, pd
from ntkpipe.figures.style import change_colors, style
from ntkpipe.section import Fault, section


@section
class Matrices(MovingFigure):
    """The corner of a weight matrix while the first network learns, and its change.

    Entries are divided by their root mean square at initialisation. The table has a row
    for each step and row of the corner, and a column for each column of the corner.
    Needs training.keep_matrix.
    """

    kind: Literal["matrices"] = "matrices"
    reads: ClassVar[tuple[str, ...]] = ("network",)

    def _unmet(self, e: Experiment) -> Iterator[Fault]:
        if e.training.keep_matrix is None:
            text = "no matrix: set training.keep_matrix: {layer: 2}"
            yield Fault(("kind",), text)

    def table(self, measurements: pd.DataFrame, arrays: Arrays) -> pd.DataFrame:
        """W(t) to four decimals, and ‖W(t) − W(0)‖/‖W(0)‖ of the corner."""
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
                about = {"variant": variant, "width": width, "step": steps[index]}
                about |= {"change": change, "row": np.arange(len(matrix[0])) + 1}
                entries = enumerate(matrix[index].round(4).T)
                about |= {f"w{k + 1}": column for k, column in entries}
                frames.append(pd.DataFrame(about))
        widest = max((len(frame.columns) for frame in frames), default=5) - 5
        columns = ["variant", "width", "step", "change", "row"]
        return concatenated(frames, columns + [f"w{k + 1}" for k in range(widest)])

    def picture(self, table: pd.DataFrame) -> mfigure.Figure:
        """Rows are runs; columns are the matrix before, after, and its change."""
        names = ("W before training", "W after training", "change")
        runs = runs_of(table)
        figure, axes = panel_grid(
            len(runs), 3, height=mpl.rcParams["figure.figsize"][0] / 3.3, fixed=True
        )
        for row, name, states in zip(
            axes, run_names(runs), _states(table, runs), strict=True
        ):
            before, _ = states[min(states)]
            after, change = states[max(states)]
            for ax, matrix in zip(row, (before, after, after - before), strict=True):
                image = _show_matrix(ax, matrix)
            row[2].set_xlabel(_corner_changed(change))
            row[0].set_ylabel(name)
        for ax, name in zip(axes[0], names, strict=True):
            ax.set_title(name)
        _matrix_bar(figure, image, axes)
        return figure

    def moving(self, table: pd.DataFrame) -> Iterator[mfigure.Figure]:
        """A column for each run: the matrix above its change; a frame for each step."""
        runs = runs_of(table)
        with style():
            figure, axes = panel_grid(2, len(runs), height=2.1, fixed=True)
            parts = []
            for (upper, lower), name, states in zip(
                axes.T, run_names(runs), _states(table, runs), strict=True
            ):
                start, _ = states[min(states)]
                images = _show_matrix(upper, start), _show_matrix(lower, start * 0)
                upper.set_title(name)
                text = lower.set_xlabel(_corner_changed(0))
                parts.append((states, start, images, text))
            axes[0, 0].set_ylabel("W(t)")
            axes[1, 0].set_ylabel("W(t) − W(0)")
            _matrix_bar(figure, images[0], axes)
            clock = clock_text(figure)
        for step in sorted(set(table["step"])):
            clock.set_text(time_text(step))
            for states, start, (first, second), text in parts:
                matrix, change = states[last_step(states, step)]
                first.set_data(matrix)
                second.set_data(matrix - start)
                text.set_text(_corner_changed(change))
            yield figure


def _states(
    table: pd.DataFrame, runs: Runs
) -> list[dict[float, tuple[np.ndarray, float]]]:
    """The matrix of each run, and its change, by step."""
    return [
        {
            step: (_entries(rows), rows["change"].iloc[0])
            for step, rows in rows_where(table, variant=v, width=n).groupby("step")
        }
        for v, n in runs
    ]


def _corner_changed(change: float) -> str:
    return f"shown: ‖ΔW‖/‖W₀‖ = {change:.3f}"


def _entries(rows: pd.DataFrame) -> np.ndarray:
    """The matrix in the columns w1, w2, … of the table."""
    columns = [name for name in rows if name[0] == "w" and name != "width"]
    return rows[columns].dropna(axis=1).to_numpy(float)


def _show_matrix(ax: maxes.Axes, matrix: np.ndarray):
    ax.grid(False)
    ax.set(xticks=[], yticks=[])
    return ax.imshow(
        matrix, cmap=change_colors(), vmin=-2, vmax=2, interpolation="nearest"
    )


def _matrix_bar(figure: mfigure.Figure, image, axes) -> None:
    bar = color_bar(figure, image, axes, shrink=0.5, aspect=24, pad=0.02)
    bar.set_label("entry / root mean square of W(0)")
