"""A kernel as a matrix, or its change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

from ntkpipe.experiment import Experiment
from ntkpipe.figures.axes import (
    angle_ticks,
    color_bar,
    index_ticks,
    panel_grid,
    rows_where,
    runs_of,
    unique_values,
)
from ntkpipe.figures.base import (
    NO_TEST_KERNEL,
    SYMBOLS,
    Arrays,
    Axis,
    KernelFigure,
    LimitFigure,
    NetworkFigure,
    check_angle,
    concatenated,
    coordinate,
    kernel_at,
    shown_seeds,
    traced_matrix,
)
from ntkpipe.figures.packages import cm, maxes, mcolors, mfigure, mpl, pd, ticker
from ntkpipe.figures.style import change_colors
from ntkpipe.section import Fault, section


@section
class Heatmap(NetworkFigure, KernelFigure, LimitFigure):
    """Kernel matrices side by side: before and after training, change, limit.

    The changes of all rows share one scale. Networks that are not trained have neither
    a kernel after training nor a change.
    """

    kind: Literal["heatmap"] = "heatmap"
    kernel: Literal["ntk", "nngp"] = "ntk"
    """`ntk` is the tangent kernel, `nngp` the kernel of the last layer, which is stored
    for training points only."""
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
        """A fault if the kernel is not stored for these points."""
        if (self.points, self.kernel) == ("test", "nngp"):
            text = "nngp is stored for training points only: set points: train"
            yield Fault(("kernel",), text)

    def _unmet(self, e: Experiment) -> Iterator[Fault]:
        yield from super()._unmet(e)
        if self.points == "train":
            if self.order == "angle":
                yield from check_angle("order", "angle", e)
            return
        yield from check_angle("axis", self.axis, e)
        if not e.training.test_kernel:
            yield NO_TEST_KERNEL
        sizes, along = e.dataset.stated_sizes, e.dataset.test_axis
        if sizes and along not in (None, self.axis) and sizes.test > 2:
            yield Fault(
                ("axis",),
                f"the test points are not equally spaced along {self.axis}: set "
                "points: train, or use test points on a grid or a circle",
            )

    def table(self, measurements: pd.DataFrame, arrays: Arrays) -> pd.DataFrame:
        """Entries of each kernel, traced over outputs.

        Rows and columns are numbers of training points, from 1, or coordinates of
        test points.
        """
        frames = []
        for variant, width in self._runs(arrays):
            network = arrays("network", variant, width)
            seeds = shown_seeds(network, self.seed)
            if not len(seeds):
                continue
            before, after = (self._kernel(network, seeds[0], when) for when in (0, -1))
            matrices = {"before": before}
            if not np.array_equal(before, after):  # equal if nothing was trained
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

    def picture(self, table: pd.DataFrame) -> mfigure.Figure:
        """Rows are runs, columns are kernels.

        The kernels of all rows share one scale, the changes another.
        """
        runs, parts = runs_of(table), unique_values(table, "part")
        symbol = SYMBOLS[self.kernel]
        names = {"change": "change", "limit": f"{symbol}, n = ∞"}
        names |= {when: f"{symbol} {when}" for when in ("before", "after")}
        figure, axes = panel_grid(
            len(runs),
            len(parts),
            height=mpl.rcParams["figure.figsize"][0] / len(parts) * 0.92,
            fixed=True,
        )
        several = len({variant for variant, _ in runs}) > 1
        changes = rows_where(table, part="change")["value"]
        changed = mcolors.CenteredNorm(halfrange=changes.abs().max() or 1.0)
        shared = table.loc[table["part"] != "change", "value"]
        norm = mcolors.Normalize(min(shared.min(), 0), shared.max())
        for row, (variant, width) in zip(axes, runs, strict=True):
            run = rows_where(table, variant=variant, width=width)
            for ax, part in zip(row, parts, strict=True):
                of_part = changed if part == "change" else norm
                self._draw_matrix(ax, rows_where(run, part=part), of_part)
            lead = f"{variant}\n" if several else ""
            row[0].set_ylabel(f"{lead}n = {width}\n{row[0].get_ylabel()}")
        for ax, part in zip(axes[0], parts, strict=True):
            ax.set_title(names[part])
        for ax in axes.flat:
            ax.label_outer(remove_inner_ticks=True)
        look = {"orientation": "horizontal", "aspect": 12, "shrink": 0.9, "pad": 0.02}
        for k, part in enumerate(parts):
            if part in ("before", "change"):
                scale = changed if part == "change" else norm
                colors = change_colors() if part == "change" else "mako"
                image = cm.ScalarMappable(scale, colors)
                bar = color_bar(figure, image, axes[:, k], **look)
                bar.set_label("change" if part == "change" else symbol)
        return figure

    def _draw_matrix(
        self, ax: maxes.Axes, rows: pd.DataFrame, norm: mcolors.Normalize
    ) -> None:
        """Draw one kernel, or a change, in the colours of `norm`."""
        matrix = rows.pivot_table(index="row", columns="column", values="value")
        change = rows["part"].iloc[0] == "change"
        ax.imshow(
            matrix,
            cmap=change_colors() if change else "mako",
            norm=norm,
            extent=_edges(matrix.index),
            interpolation="nearest",
        )
        ax.grid(False)
        axis = self.axis if self.points == "test" else None
        _matrix_axes(ax, axis, len(matrix))

    def _kernel(self, network, seed: int, when: int) -> np.ndarray:
        """The kernel (n n) of a network before (0) or after training (−1)."""
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
                f"{self.axis}: set points: train, or use test points on a grid or a "
                "circle"
            )
        return order, at[order]


def _edges(index) -> tuple[float, float, float, float]:
    """The extent of a matrix whose rows lie at these coordinates, y downwards."""
    half = (index[-1] - index[0]) / max(len(index) - 1, 1) / 2 or 0.5
    low, high = index[0] - half, index[-1] + half
    return low, high, high, low


def _matrix_axes(ax: maxes.Axes, axis: str | None, count: int) -> None:
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
