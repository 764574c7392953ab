"""Trained networks as functions of x, and the Gaussian of the limit."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from ntkpipe.figures.axes import (
    COORDINATES,
    coordinate_axis,
    draw_lines,
    draw_percentiles,
    entry,
    rows_where,
    run_panels,
    shared_legend,
)
from ntkpipe.figures.base import (
    P10,
    P90,
    Arrays,
    Index,
    InputFigure,
    OutputFigure,
    concatenated,
    coordinate,
    curve_rows,
    shown_seeds,
)
from ntkpipe.figures.chart import SEED, Chart, Marks, Scale, input_axis, of_runs
from ntkpipe.figures.packages import mfigure, pd
from ntkpipe.figures.style import (
    GREY,
    INK,
    LINEARIZED,
    TARGET,
    Look,
    category_colors,
    darker,
    width_colors,
)
from ntkpipe.section import section

OUTPUT = "output f(x) after training"
ONE, POINTS = "one network", "training points"
MANY, INFINITE = (f"P10, P50, P90 {of}" for of in ("of networks", "at infinite width"))


@section
class FunctionBand(InputFigure, OutputFigure):
    """Trained networks over the input, with P10, P50, P90 of the limiting Gaussian."""

    kind: Literal["function_band"] = "function_band"
    reads: ClassVar[tuple[str, ...]] = ("dataset", "network", "limit")
    seeds: Index = 10
    """Number of networks that are drawn as single lines."""

    def table(self, measurements: pd.DataFrame, arrays: Arrays) -> pd.DataFrame:
        """Final outputs of networks, their percentiles, those of the limit, the data.

        Percentiles over networks are given where there are 20 or more.
        """
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

    def columns(self, table: pd.DataFrame) -> Chart:
        """Single networks, percentiles and data; a panel for each run."""
        colors = width_colors(sorted({w for w in table["width"] if w}))
        panels = of_runs(table, input_axis(self.axis), Scale(OUTPUT))
        limit: Look = {"color": INK, "dash": LINEARIZED, "each": ("part",)}
        marks = [
            Marks("thin", "value", where={"part": "network"}, name=ONE, each=("seed",)),
            Marks("line", "value", where=_parts("networks"), name=MANY, each=("part",)),
            Marks("line", "value", where=_parts("limit"), name=INFINITE, **limit),
            Marks("dot", "value", where={"part": "data"}, name=POINTS, color=TARGET),
        ]
        names = {width: f"n = {width}" for width in colors}
        return Chart(table, "x", panels, marks, "width", colors, names, SEED)

    def picture(self, table: pd.DataFrame) -> mfigure.Figure:
        """Networks as thin lines, the limit's percentiles dashed, data as dots."""
        colors = width_colors(sorted({w for w in table["width"] if w}))
        figure, panels = run_panels(
            table,
            2.0,
            COORDINATES[self.axis],
            OUTPUT,
            sharex=True,
            sharey="row",
        )
        dots: Look = {"color": category_colors(4)[3], "mec": "white", "ms": 6.5}
        for ax, variant, width, rows in panels:
            reference = rows_where(table, variant=variant, width=0)
            networks = rows[rows["part"] == "network"]
            draw_lines(ax, networks, colors[width], alpha=0.45)
            draw_percentiles(ax, rows, "networks", darker(colors[width]), "-", 1.6)
            draw_percentiles(ax, reference, "limit", INK, LINEARIZED, 1.5)
            data = reference[reference["part"] == "data"]
            ax.plot("x", "value", "o", data=data, zorder=5, **dots)
            coordinate_axis(ax, self.axis)
        handles = [entry(f"{ONE} (colour: width)", color=GREY, lw=0.8)]
        if table["part"].str.startswith("networks").any():
            handles.append(entry(MANY, color=INK, lw=1.6))
        look = {"color": INK, "lw": 1.5, "ls": LINEARIZED}
        handles.append(entry(INFINITE, **look))
        handles.append(entry(POINTS, marker="o", ls="", **dots))
        shared_legend(figure, handles)
        return figure


def _parts(source: str) -> dict[str, tuple[str, ...]]:
    """The rows of the percentiles of `networks` or of the `limit`."""
    return {"part": tuple(f"{source} {name}" for name in ("P10", "P50", "P90"))}
