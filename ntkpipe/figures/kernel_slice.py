"""Θ(x₀, x) as a function of x."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from ntkpipe.experiment import Experiment
from ntkpipe.figures.axes import (
    COORDINATES,
    coordinate_axis,
    draw_lines,
    entry,
    rows_where,
    run_panels,
    shared_legend,
    unique_values,
)
from ntkpipe.figures.base import (
    NO_TEST_KERNEL,
    Arrays,
    Count,
    Index,
    InputFigure,
    LimitFigure,
    concatenated,
    coordinate,
    curve_rows,
    out_of_range,
    shown_seeds,
    traced_matrix,
)
from ntkpipe.figures.chart import SEED, Chart, Dash, Marks, Scale, input_axis, of_runs
from ntkpipe.figures.packages import mfigure, pd
from ntkpipe.figures.style import GREY, INK, LIMIT, LINEARIZED, Look, category_colors
from ntkpipe.section import Fault, section

KERNEL = "kernel Θ(x₀, x)"
NAMES = {"before": "one network, before training", "after": "after training"}


@section
class KernelSlice(InputFigure, LimitFigure):
    """Θ(x₀, x) against x for each network, before and after training, and the limit."""

    kind: Literal["kernel_slice"] = "kernel_slice"
    points: Literal["test", "train"] = "test"
    """The points of the kernel. Test points need training.test_kernel."""
    anchor: Index = 0
    """The index of x₀ among the points, counted from 0."""
    seeds: Count = 10
    """Number of networks that are drawn."""

    def _unmet(self, e: Experiment) -> Iterator[Fault]:
        yield from super()._unmet(e)
        if self.points == "test" and not e.training.test_kernel:
            yield NO_TEST_KERNEL
        if sizes := e.dataset.stated_sizes:
            count = getattr(sizes, self.points)
            yield from out_of_range(
                "anchor", f"{self.points} point", self.anchor, count
            )

    def table(self, measurements: pd.DataFrame, arrays: Arrays) -> pd.DataFrame:
        """Θ(x₀, x) of each network and of the limit (width 0)."""
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
                f"figure {self.name}: no {self.points} point {self.anchor}: there are "
                f"{points}, counted from 0"
            )

    def columns(self, table: pd.DataFrame) -> Chart:
        """Thin lines before and after training, and the limit; a panel for each run."""
        colors, lines = _looks(table)
        one: Look = {"each": ("seed",)}
        marks = [Marks("rule", "x0", name="x₀", color=GREY, dash=LIMIT)]
        marks += [
            Marks("thin", "value", where={"when": w}, dash=lines[w], **one)
            for w in colors
        ]
        limit = {"when": "limit"}
        marks += [Marks("line", "value", where=limit, name="infinite width", color=INK)]
        panels = of_runs(table, input_axis(self.axis), Scale(KERNEL))
        return Chart(table, "x", panels, marks, "when", colors, NAMES, SEED)

    def picture(self, table: pd.DataFrame) -> mfigure.Figure:
        """Networks are dashed before and solid after training; the limit is black."""
        colors, lines = _looks(table)
        figure, panels = run_panels(
            table,
            2.0,
            COORDINATES[self.axis],
            KERNEL,
            sharex=True,
            sharey="row",
        )
        for ax, variant, _, rows in panels:
            for when in colors:
                curves = rows[rows["when"] == when]
                draw_lines(ax, curves, colors[when], alpha=0.55, ls=lines[when])
            limit = rows_where(table, variant=variant, width=0)
            ax.plot("x", "value", data=limit, color=INK, linewidth=1.5, zorder=4)
            ax.axvline(rows["x0"].iloc[0], color=GREY, lw=0.9, ls=LIMIT, zorder=1)
            coordinate_axis(ax, self.axis)
        handles = [
            entry(NAMES[when], color=colors[when], lw=1.1, ls=lines[when])
            for when in colors
        ]
        if (table["width"] == 0).any():
            handles.append(entry("infinite width", color=INK, lw=1.5))
        handles.append(entry("x₀", color=GREY, lw=0.9, ls=LIMIT))
        shared_legend(figure, handles)
        return figure


def _looks(table: pd.DataFrame) -> tuple[dict[str, str], dict[str, Dash]]:
    """Colours and lines of networks before and after training."""
    moments = unique_values(table[table["width"] > 0], "when")
    colors = dict(zip(("before", "after"), category_colors(2), strict=True))
    lines: dict[str, Dash] = {
        "before": LINEARIZED if len(moments) > 1 else "-",
        "after": "-",
    }
    return {when: colors[when] for when in moments}, lines
