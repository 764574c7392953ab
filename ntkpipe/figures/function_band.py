"""Trained networks as functions of x, and the Gaussian of the limit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from ntkpipe.experiment import Experiment
from ntkpipe.figures.axes import (
    coordinate_axis,
    draw_lines,
    draw_percentiles,
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
    P10,
    P90,
    Arrays,
    Axis,
    BaseFigure,
    check_angle,
    check_output,
    concatenated,
    coordinate,
    curve_rows,
    shown_seeds,
)
from ntkpipe.figures.style import (
    GREY,
    INK,
    LINEARIZED,
    category_colors,
    darker,
    style,
    width_colors,
)
from ntkpipe.lazy import Lazy
from ntkpipe.section import Fault, section

if TYPE_CHECKING:
    from matplotlib.figure import Figure

mlines = Lazy("matplotlib.lines")
if TYPE_CHECKING:
    import pandas as pd
else:
    pd = Lazy("pandas")


def function_band(table: pd.DataFrame, axis: str) -> Figure:
    """Networks as thin lines, the limit's percentiles dashed, data as dots."""
    runs = table[table["width"] > 0]
    if runs.empty:
        return nothing("all networks of this figure diverged")
    variants, widths = unique_values(table, "variant"), sorted(set(runs["width"]))
    colors = width_colors(widths)
    with style():
        figure, axes = panel_grid(
            len(variants), len(widths), height=2.9, sharex=True, sharey="row"
        )
        for ax, part in facets(axes, table, variants, widths):
            width = int(part["width"].iloc[0])
            variant = part["variant"].iloc[0]
            reference = rows_where(table, variant=variant, width=0)
            draw_lines(ax, part[part["part"] == "network"], colors[width], alpha=0.45)
            limit = reference[reference["part"].str.startswith("limit")]
            draw_percentiles(ax, part, "networks", darker(colors[width]), "-", 1.6)
            draw_percentiles(ax, limit, "limit", INK, LINEARIZED, 1.5)
            ax.plot(
                "x",
                "value",
                "o",
                data=reference[reference["part"] == "data"],
                color=category_colors(4)[3],
                mec="white",
                ms=6.5,
                zorder=5,
            )
            coordinate_axis(ax, axis)
            ax.set_ylabel("output f(x) after training")
        panel_titles(axes, variants, [f"n = {width}" for width in widths])
        outer_labels(axes)
        handles = [
            mlines.Line2D(
                [], [], color=GREY, lw=0.8, label="one network (colour: width)"
            )
        ]
        if runs["part"].str.startswith("networks").any():
            handles.append(
                mlines.Line2D(
                    [], [], color=INK, lw=1.6, label="P10, P50, P90 of networks"
                )
            )
        handles += [
            mlines.Line2D(
                [],
                [],
                color=INK,
                lw=1.5,
                ls=LINEARIZED,
                label="P10, P50, P90 at infinite width",
            ),
            mlines.Line2D(
                [],
                [],
                color=category_colors(4)[3],
                marker="o",
                mec="white",
                ls="",
                ms=6.5,
                label="training points",
            ),
        ]
        shared_legend(figure, handles)
    return figure


@section
class FunctionBand(BaseFigure):
    """Trained networks over the input, with P10, P50, P90 of the limiting Gaussian."""

    kind: Literal["function_band"] = "function_band"
    reads: ClassVar[tuple[str, ...]] = ("dataset", "network", "limit")
    axis: Axis = "angle"
    """Angle γ of x = (cos γ, sin γ), or x itself (its first coordinate)."""
    output: Annotated[int, Field(ge=0)] = 0
    """Which output."""
    seeds: Annotated[int, Field(ge=0)] = 10
    """Number of networks that are drawn as single lines."""

    def _unmet(self, e: Experiment) -> Iterator[Fault]:
        yield from check_output(self.output, e)
        yield from check_angle("axis", self.axis, e)

    def table(self, measurements: pd.DataFrame, arrays: Arrays) -> pd.DataFrame:
        """Final outputs of networks, their percentiles, those of the limit, the data.

        Percentiles over networks are given where there are 20 or more.
        """
        del measurements
        frames, seen = [], set()
        for variant, width in self._runs(arrays):
            data = arrays("dataset", variant)
            x = coordinate(data["x_test"], self.axis)
            network = arrays("network", variant, width)
            f = network["f_test"][shown_seeds(network, None), -1, :, self.output]
            common = {"variant": variant, "width": width}
            for seed, values in enumerate(f[: self.seeds]):
                frames.append(
                    curve_rows(x, values, part="network", seed=seed, **common)
                )
            if len(f) >= 20:
                for name, q in (("P10", 0.1), ("P50", 0.5), ("P90", 0.9)):
                    values = np.quantile(f, q, axis=0)
                    frames.append(
                        curve_rows(x, values, part=f"networks {name}", **common)
                    )
            if variant not in seen:
                seen.add(variant)
                frames += self._reference(data, arrays("limit", variant), x, variant)
        columns = ["variant", "width", "part", "seed", "x", "value"]
        return concatenated(frames, columns)

    def _reference(self, data, limit, x, variant):
        """Percentiles of the limit and the training points, at width 0."""
        common = {"variant": variant, "width": 0}
        mean, sd = limit["mean_test"][-1, :, self.output], limit["sd_test"][-1]
        quantiles = (("P10", P10), ("P50", 0.0), ("P90", P90))
        x_train = coordinate(data["x_train"], self.axis)
        y_train = data["y_train"][:, self.output]
        return [
            curve_rows(x, mean + z * sd, part=f"limit {name}", **common)
            for name, z in quantiles
        ] + [curve_rows(x_train, y_train, part="data", **common)]

    def draw(self, table: pd.DataFrame):
        """Rows are variants, columns are widths."""
        return function_band(self._named(table), self.axis)
