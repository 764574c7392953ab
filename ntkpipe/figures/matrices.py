"""A corner of a weight matrix while a network learns, animated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from ntkpipe.experiment import Experiment
from ntkpipe.figures.axes import (
    clock_text,
    last_step,
    nothing,
    panel_grid,
    rows_where,
    run_names,
    runs_of,
    time_text,
)
from ntkpipe.figures.base import Arrays, MovingFigure, concatenated
from ntkpipe.figures.style import PAGE, change_colors, style
from ntkpipe.lazy import Lazy
from ntkpipe.section import Fault, section

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = Lazy("pandas")


def matrices(table: pd.DataFrame) -> Figure:
    """Rows are runs; columns are the matrix before, after, and its change."""
    runs = runs_of(table)
    if not runs:
        return nothing("the network of this figure diverged")
    names = ("W before training", "W after training", "change")
    with style():
        figure, axes = panel_grid(len(runs), 3, height=2.65, width=PAGE)
        for row, (name, (variant, width)) in enumerate(
            zip(run_names(runs), runs, strict=True)
        ):
            run = rows_where(table, variant=variant, width=width)
            first, last = run["step"].min(), run["step"].max()
            before, after = (_entries(run[run["step"] == s]) for s in (first, last))
            for ax, title, matrix in zip(
                axes[row], names, (before, after, after - before), strict=True
            ):
                image = _show_matrix(ax, matrix)
                ax.set_title(title if row == 0 else "")
            change = run.loc[run["step"] == last, "change"].iloc[0]
            axes[row, 2].set_xlabel(_corner_changed(change))
            axes[row, 0].set_ylabel(name)
        _matrix_bar(figure, image, axes)
    return figure


def matrices_frames(table: pd.DataFrame) -> Iterator[Figure]:
    """Columns are runs: the matrix above its change, on one scale."""
    runs = runs_of(table)
    if not runs:
        yield nothing("the network of this figure diverged")
        return
    with style():
        figure, axes = panel_grid(2, len(runs), height=2.45, width=PAGE)
        parts = []
        for column, (name, (variant, width)) in enumerate(
            zip(run_names(runs), runs, strict=True)
        ):
            run = rows_where(table, variant=variant, width=width)
            states = {
                step: (_entries(rows), rows["change"].iloc[0])
                for step, rows in run.groupby("step")
            }
            start = states[min(states)][0]
            upper, lower = axes[:, column]
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
        for states, start, (upper, lower), text in parts:
            matrix, change = states[last_step(states, step)]
            upper.set_data(matrix)
            lower.set_data(matrix - start)
            text.set_text(_corner_changed(change))
        yield figure


def _corner_changed(change: float) -> str:
    return f"shown: ‖ΔW‖/‖W₀‖ = {change:.3f}"


def _entries(rows: pd.DataFrame) -> np.ndarray:
    """The matrix in the columns w1, w2, … of the table."""
    columns = [name for name in rows if name[0] == "w" and name != "width"]
    return rows[columns].dropna(axis=1).to_numpy(float)


def _show_matrix(ax: Axes, matrix: np.ndarray):
    ax.grid(False)
    ax.set(xticks=[], yticks=[])
    return ax.imshow(
        matrix, cmap=change_colors(), vmin=-2, vmax=2, interpolation="nearest"
    )


def _matrix_bar(figure: Figure, image, axes) -> None:
    bar = figure.colorbar(image, ax=axes, shrink=0.5, aspect=24, pad=0.02)
    bar.set_label("entry / root mean square of W(0)")
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=2, labelsize=7)


@section
class Matrices(MovingFigure):
    """The corner of a weight matrix while the first network learns, and its change.

    Entries are in units of their root mean square at initialisation. The table has a
    row for each row of the corner at each step, and a column for each of its columns.
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
        return concatenated(frames, columns + [f"w{k + 1}" for k in range(widest)])

    def draw(self, table: pd.DataFrame):
        """Before, after and change of each run."""
        return matrices(self._named(table))

    def frames(self, table: pd.DataFrame):
        """A column for each run: the matrix above its change; a frame for each step."""
        return matrices_frames(self._named(table))
