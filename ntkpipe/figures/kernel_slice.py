"""Θ(x₀, x) as a function of x."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ntkpipe.experiment import Experiment
from ntkpipe.figures.axes import (
    coordinate_axis,
    draw_lines,
    facets,
    nothing,
    outer_labels,
    panel_grid,
    panel_titles,
    rows_where,
    shared_legend,
    unique_values,
)
from ntkpipe.figures.base import (
    NO_TEST_KERNEL,
    Arrays,
    Axis,
    BaseFigure,
    check_angle,
    concatenated,
    coordinate,
    curve_rows,
    out_of_range,
    shown_seeds,
    traced_matrix,
)
from ntkpipe.figures.style import GREY, INK, LIMIT, LINEARIZED, style
from ntkpipe.lazy import Lazy
from ntkpipe.section import Fault, section

if TYPE_CHECKING:
    from matplotlib.figure import Figure

mlines = Lazy("matplotlib.lines")
sns = Lazy("seaborn")
if TYPE_CHECKING:
    import pandas as pd
else:
    pd = Lazy("pandas")


def kernel_slice(table: pd.DataFrame, axis: str) -> Figure:
    """Θ(x₀, x) of each network: dashed before, solid after training; limit black."""
    runs = table[table["width"] > 0]
    if runs.empty:
        return nothing("all networks of this figure diverged")
    variants, widths = unique_values(table, "variant"), sorted(set(runs["width"]))
    moments = unique_values(runs, "when")
    before, after = (
        sns.color_palette("colorblind")[0],
        sns.color_palette("colorblind")[1],
    )
    colors = {"before": before, "after": after}
    styles = (
        {"before": LINEARIZED, "after": "-"} if len(moments) > 1 else {"before": "-"}
    )
    with style():
        figure, axes = panel_grid(
            len(variants), len(widths), height=2.9, sharex=True, sharey="row"
        )
        for ax, part in facets(axes, table, variants, widths):
            variant = part["variant"].iloc[0]
            for when in moments:
                curves = part[part["when"] == when]
                draw_lines(ax, curves, colors[when], alpha=0.55, ls=styles[when])
            limit = rows_where(table, variant=variant, width=0)
            ax.plot("x", "value", data=limit, color=INK, linewidth=1.5, zorder=4)
            ax.axvline(part["x0"].iloc[0], color=GREY, lw=0.9, ls=LIMIT, zorder=1)
            coordinate_axis(ax, axis)
            ax.set_ylabel("kernel Θ(x₀, x)")
        panel_titles(axes, variants, [f"n = {width}" for width in widths])
        outer_labels(axes)
        names = {"before": "one network, before training", "after": "after training"}
        handles = [
            mlines.Line2D([], [], color=colors[w], lw=1.1, ls=styles[w], label=names[w])
            for w in moments
        ]
        if (table["width"] == 0).any():
            handles.append(
                mlines.Line2D([], [], color=INK, lw=1.5, label="infinite width")
            )
        handles.append(mlines.Line2D([], [], color=GREY, lw=0.9, ls=LIMIT, label="x₀"))
        shared_legend(figure, handles)
    return figure


@section
class KernelSlice(BaseFigure):
    """Θ(x₀, x) against x for each network, before and after training, and the limit."""

    kind: Literal["kernel_slice"] = "kernel_slice"
    axis: Axis = "angle"
    """Angle γ of x = (cos γ, sin γ), or x itself (its first coordinate)."""
    points: Literal["test", "train"] = "test"
    """The points of the kernel. Test points need training.test_kernel."""
    anchor: Annotated[int, Field(ge=0)] = 0
    """The index of x₀ among the points, from 0."""
    seeds: Annotated[int, Field(ge=1)] = 10
    """Number of networks that are drawn."""
    limit: bool = True
    """Whether the kernel of infinite width is drawn."""

    @property
    def reads(self) -> tuple[str, ...]:
        """The products that the figure reads."""
        return ("dataset", "network", "limit") if self.limit else ("dataset", "network")

    def _unmet(self, e: Experiment) -> Iterator[Fault]:
        yield from check_angle("axis", self.axis, e)
        if self.points == "test" and not e.training.test_kernel:
            yield NO_TEST_KERNEL
        if sizes := e.dataset.stated_sizes:
            count = getattr(sizes, self.points)
            yield from out_of_range(
                "anchor", f"{self.points} point", self.anchor, count
            )

    def table(self, measurements: pd.DataFrame, arrays: Arrays) -> pd.DataFrame:
        """Θ(x₀, x) of each network and of the limit (width 0)."""
        del measurements
        frames, seen = [], set()
        for variant, width in self._runs(arrays):
            data = arrays("dataset", variant)
            x = coordinate(data[f"x_{self.points}"], self.axis)
            network = arrays("network", variant, width)
            kernel = network["ntk" if self.points == "train" else "ntk_test"]
            self._check_anchor(len(x))
            common = {"variant": variant, "x0": x[self.anchor]}
            moments = {"before": 0, "after": -1}
            if network["step"][-1] == 0:
                del moments["after"]
            for seed in shown_seeds(network, None)[: self.seeds]:
                for when, index in moments.items():
                    values = traced_matrix(kernel[seed, index])[:, self.anchor]
                    curve = curve_rows(x, values, seed=seed, width=width, when=when)
                    frames.append(curve.assign(**common))
            if self.limit and variant not in seen:
                seen.add(variant)
                limit = arrays("limit", variant)[f"ntk_{self.points}_{self.points}"]
                values = limit[:, self.anchor]
                curve = curve_rows(x, values, seed=0, width=0, when="limit")
                frames.append(curve.assign(**common))
        columns = ["variant", "width", "when"]
        return concatenated(frames, [*columns, "seed", "x0", "x", "value"])

    def _check_anchor(self, points: int) -> None:
        if self.anchor >= points:
            raise ValueError(
                f"figure {self.name}: there is no {self.points} point {self.anchor}: "
                f"there are {points}, counted from 0"
            )

    def draw(self, table: pd.DataFrame):
        """Rows are variants, columns are widths."""
        return kernel_slice(self._named(table), self.axis)
