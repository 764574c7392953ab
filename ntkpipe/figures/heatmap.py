"""A kernel as a matrix, or its change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from ntkpipe.experiment import Experiment
from ntkpipe.figures.axes import (
    angle_ticks,
    color_bar,
    index_ticks,
    nothing,
    panel_grid,
    rows_where,
    unique_values,
)
from ntkpipe.figures.base import (
    NO_TEST_KERNEL,
    Arrays,
    Axis,
    BaseFigure,
    check_angle,
    check_last_layer,
    check_seed,
    concatenated,
    coordinate,
    kernel_at,
    shown_seeds,
    traced_matrix,
)
from ntkpipe.figures.style import PAGE, change_colors, style
from ntkpipe.lazy import Lazy
from ntkpipe.section import Fault, section

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

cm = Lazy("matplotlib.cm")
mcolors = Lazy("matplotlib.colors")
ticker = Lazy("matplotlib.ticker")
if TYPE_CHECKING:
    import pandas as pd
else:
    pd = Lazy("pandas")


def heatmap(table: pd.DataFrame, kernel: str, axis: str | None = None) -> Figure:
    """Matrices side by side: kernels of a row on one scale, all changes on one.

    Rows and columns are points by number, or coordinates along `axis`.
    """
    if table.empty:
        return nothing("the network of this figure diverged")
    runs = list(dict.fromkeys(zip(table["variant"], table["width"], strict=True)))
    parts = unique_values(table, "part")
    changes = table.loc[table["part"] == "change", "value"]
    changed = mcolors.CenteredNorm(halfrange=changes.abs().max() or 1.0)
    symbol = {"ntk": "Θ", "nngp": "Σ"}[kernel]
    names = {
        "before": f"{symbol} before training",
        "after": f"{symbol} after training",
        "change": "change",
        "limit": f"{symbol}, infinite width",
    }
    cell = PAGE / len(parts)
    with style():
        figure, axes = panel_grid(
            len(runs), len(parts), height=cell * 1.08, width=PAGE + 1.2
        )
        for row, (variant, width) in enumerate(runs):
            run = rows_where(table, variant=variant, width=width)
            shared = run.loc[run["part"] != "change", "value"]
            norm = mcolors.Normalize(min(shared.min(), 0), shared.max())
            for ax, part in zip(axes[row], parts, strict=True):
                matrix = run[run["part"] == part].pivot_table(
                    index="row", columns="column", values="value"
                )
                change = part == "change"
                image = ax.imshow(
                    matrix,
                    cmap=change_colors() if change else "mako",
                    norm=changed if change else norm,
                    extent=_edges(matrix.index),
                    interpolation="nearest",
                )
                ax.grid(False)
                ax.set_title(names[part] if row == 0 else "")
                _matrix_axes(ax, axis, len(matrix))
                if change:
                    color_bar(figure, image, ax)
            same = [
                a for a, part in zip(axes[row], parts, strict=True) if part != "change"
            ]
            color_bar(figure, cm.ScalarMappable(norm, "mako"), same[-1])
            several = len({v for v, _ in runs}) > 1
            lead = f"{variant}\n" if several else ""
            label = axes[row, 0].get_ylabel()
            axes[row, 0].set_ylabel(f"{lead}n = {width}\n{label}")
        for ax in axes[:, 1:].flat:
            ax.set_ylabel("")
        for ax in axes[:-1].flat:
            ax.set_xlabel("")
    return figure


def _edges(index) -> tuple[float, float, float, float]:
    """The extent of a matrix whose rows lie at these coordinates, y downwards."""
    half = (index[-1] - index[0]) / max(len(index) - 1, 1) / 2 or 0.5
    low, high = index[0] - half, index[-1] + half
    return low, high, high, low


def _matrix_axes(ax: Axes, axis: str | None, count: int) -> None:
    """Labels and ticks of a kernel matrix."""
    if axis is None:
        ax.set(xlabel="point j", ylabel="point i")
        index_ticks(ax, count)
        return
    name = {"x": "x", "angle": "γ"}[axis]
    ax.set(xlabel=f"{name}′", ylabel=name)
    for line in (ax.xaxis, ax.yaxis):
        angle_ticks(line) if axis == "angle" else line.set_major_locator(
            ticker.MaxNLocator(4)
        )


@section
class Heatmap(BaseFigure):
    """Kernel matrices side by side: before and after training, change, limit.

    The changes of all rows have one scale. Networks that are not trained have no kernel
    after training and no change.
    """

    kind: Literal["heatmap"] = "heatmap"
    kernel: Literal["ntk", "nngp"] = "ntk"
    """The tangent kernel, or the last layer's (NNGP, of training points only)."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Which network."""
    limit: bool = True
    """Whether the kernel of infinite width is shown."""
    points: Literal["train", "test"] = "train"
    """The points of the kernel. Test points need training.test_kernel and must be
    equally spaced along `axis`."""
    axis: Axis = "x"
    """Coordinate of the test points: the angle γ, or x (its first coordinate)."""
    order: Literal["given", "angle"] = "given"
    """Order of the training points."""

    def faults(self) -> Iterator[Fault]:
        """Refuse a kernel that no product contains."""
        if (self.points, self.kernel) == ("test", "nngp"):
            yield Fault(("kernel",), "nngp is kept among training points only")

    @property
    def reads(self) -> tuple[str, ...]:
        """The products that the figure reads."""
        return ("dataset", "network", "limit") if self.limit else ("dataset", "network")

    def _unmet(self, e: Experiment) -> Iterator[Fault]:
        yield from check_seed(self, e)
        if self.kernel == "nngp":
            yield from check_last_layer(e)
        if self.points == "train":
            axis = "angle" if self.order == "angle" else "x"
            yield from check_angle("order", axis, e)
            return
        yield from check_angle("axis", self.axis, e)
        if not e.training.test_kernel:
            yield NO_TEST_KERNEL
        sizes, along = e.dataset.stated_sizes, e.dataset.test_axis
        if sizes and along not in (None, self.axis) and sizes.test > 2:
            yield Fault(
                ("axis",),
                f"no test points that are equally spaced along {self.axis}: say "
                "points: train, or take data with a grid or a circle",
            )

    def table(self, measurements: pd.DataFrame, arrays: Arrays) -> pd.DataFrame:
        """Entries of each kernel, traced over outputs.

        Rows and columns are numbers of training points, from 1, or coordinates of
        test points.
        """
        del measurements
        frames = []
        for variant, width in self._runs(arrays):
            network = arrays("network", variant, width)
            seeds = shown_seeds(network, self.seed)
            if not len(seeds):
                continue
            before, after = (self._kernel(network, seeds[0], when) for when in (0, -1))
            matrices = {"before": before}
            if not np.array_equal(before, after):  # or nothing was trained
                matrices |= {"after": after, "change": after - before}
            if self.limit:
                name = f"{self.kernel}_{self.points}_{self.points}"
                matrices["limit"] = arrays("limit", variant)[name]
            order, at = self._places(arrays("dataset", variant)[f"x_{self.points}"])
            for part, matrix in matrices.items():
                frame = {
                    "variant": variant,
                    "width": width,
                    "part": part,
                    "row": np.repeat(at, len(at)),
                    "column": np.tile(at, len(at)),
                    "value": matrix[np.ix_(order, order)].ravel(),
                }
                frames.append(pd.DataFrame(frame))
        columns = ["variant", "width", "part", "row", "column", "value"]
        return concatenated(frames, columns)

    def draw(self, table: pd.DataFrame):
        """Rows are runs, columns are kernels."""
        axis = self.axis if self.points == "test" else None
        return heatmap(self._named(table), self.kernel, axis)

    def _kernel(self, network, seed: int, when: int) -> np.ndarray:
        """One kernel (n n): of a network, before (0) or after training (−1)."""
        if self.points == "train":
            return kernel_at(network, self.kernel, seed, when)
        return traced_matrix(network["ntk_test"][seed, when])

    def _places(self, x) -> tuple[np.ndarray, np.ndarray]:
        """The order of points (n d), and their coordinates in the picture."""
        if self.points == "train":
            by_angle = self.order == "angle"
            by = coordinate(x, "angle") if by_angle else np.arange(len(x))
            return np.argsort(by, kind="stable"), np.arange(len(x)) + 1
        at = coordinate(x, self.axis)
        order = np.argsort(at, kind="stable")
        gaps = np.diff(at[order])
        if not np.allclose(gaps, gaps.mean(), rtol=1e-6, atol=0):
            raise ValueError(
                f"figure {self.name}: the test points are not equally spaced along "
                f"{self.axis}: say points: train, or take data with a grid or a circle"
            )
        return order, at[order]
