"""Training along principal components of the kernel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np

from ntkpipe.experiment import Experiment
from ntkpipe.figures.axes import (
    color_entries,
    index_axis,
    log_ticks,
    panel_grid,
    panel_letters,
    panel_titles,
    shared_legend,
    unique_values,
)
from ntkpipe.figures.base import Arrays, BaseFigure, Count, concatenated
from ntkpipe.figures.chart import Chart, Marks, Plot, Scale
from ntkpipe.figures.packages import mfigure, pd
from ntkpipe.figures.style import INK, Look, category_colors
from ntkpipe.section import Fault, section

INDEX, SHARE = "index of the eigenvector", "cumulative share of ‖y‖²"
EIGENVALUE = r"eigenvalue of $\Theta_\infty/N$"


@section
class Projections(BaseFigure):
    """Eigenvalues of the limit kernel, and the share of the targets along eigenvectors.

    Left: λ_i of Θ_∞/N. Right: Σ_{j ≤ i} (v_j·y)²/‖y‖², the share of the targets along
    the first i eigenvectors. Colour is the variant.
    """

    kind: Literal["projections"] = "projections"
    reads: ClassVar[tuple[str, ...]] = ("dataset", "limit")

    def table(self, measurements: pd.DataFrame, arrays: Arrays) -> pd.DataFrame:
        """Eigenvalue and cumulative share of each eigenvector, by variant."""
        frames = []
        for variant in self._variants(arrays.variants):
            values, vectors = _principal(arrays("limit", variant))
            along = np.sum((vectors.T @ arrays("dataset", variant)["y_train"]) ** 2, 1)
            columns = {
                "variant": variant,
                "index": np.arange(1, len(values) + 1),
                "eigenvalue": values,
                "share": np.cumsum(along) / along.sum(),
            }
            frames.append(pd.DataFrame(columns))
        return concatenated(frames, ["variant", "index", "eigenvalue", "share"])

    def columns(self, table: pd.DataFrame) -> Chart:
        """A line for each variant; the panels are the eigenvalues and the shares."""
        variants = unique_values(table, "variant")
        colors = dict(zip(variants, category_colors(len(variants)), strict=True))
        long = table.melt(["variant", "index"], var_name="quantity", value_name="value")
        x = Scale(INDEX, "log")
        panels = [
            Plot({"quantity": "eigenvalue"}, x, Scale(EIGENVALUE, "log")),
            Plot({"quantity": "share"}, x, Scale(SHARE, zero=True)),
        ]
        marks = [Marks("line", "value")]
        if _all_equal(table, "eigenvalue"):
            one = {"quantity": "eigenvalue", "variant": variants[0]}
            marks = [
                Marks("line", "value", where=one, color=INK),
                Marks("line", "value", where={"quantity": "share"}),
            ]
        return Chart(long, "index", panels, marks, "variant", colors)

    def picture(self, table: pd.DataFrame) -> mfigure.Figure:
        """Eigenvalues, and the cumulative share of the targets, against the index."""
        variants = unique_values(table, "variant")
        colors = dict(zip(variants, category_colors(len(variants)), strict=True))
        figure, axes = panel_grid(1, 2, height=2.1)
        for ax, column in zip(axes[0], ("eigenvalue", "share"), strict=True):
            curves = dict(list(table.groupby("variant", sort=False)))
            if _all_equal(table, column):
                ax.plot("index", column, data=curves[variants[0]], color=INK)
            else:
                for variant, part in curves.items():
                    ax.plot("index", column, data=part, color=colors[variant])
            ax.set_xscale("log")
            index_axis(ax, int(table["index"].max()))
            ax.set_xlabel(INDEX)
        left, right = axes[0]
        positive = table.loc[table["eigenvalue"] > 0, "eigenvalue"]
        left.set_yscale("log", nonpositive="mask")
        left.set_ylim(positive.min() / 1.5, positive.max() * 1.5)
        log_ticks(left)
        left.set_ylabel(EIGENVALUE)
        right.set(ylim=(0, 1.04), ylabel=SHARE)
        panel_letters(axes.flat)
        shared_legend(figure, color_entries(colors))
        return figure


@section
class Components(BaseFigure):
    """Training points in the plane of two principal components of the limit kernel.

    f^(i)(x) = √N v_i, of root mean square 1. Colour is the class: the largest output of
    a point's target, or the target's sign.
    """

    kind: Literal["components"] = "components"
    reads: ClassVar[tuple[str, ...]] = ("dataset", "limit")
    components: tuple[Count, Count] = (2, 3)
    """The two components; component 1 has the largest eigenvalue."""

    def _unmet(self, e: Experiment) -> Iterator[Fault]:
        last = max(self.components)
        if (sizes := e.dataset.stated_sizes) and last > sizes.train:
            text = f"no component {last}: there are {sizes.train} training points"
            yield Fault(("components",), text)

    def table(self, measurements: pd.DataFrame, arrays: Arrays) -> pd.DataFrame:
        """The two components of each point, its class, and their eigenvalues."""
        frames = []
        for variant in self._variants(arrays.variants):
            values, vectors = _principal(arrays("limit", variant))
            if max(self.components) > len(values):
                raise ValueError(
                    f"figure {self.name}: no component {max(self.components)}: there "
                    f"are {len(values)} training points"
                )
            y = arrays("dataset", variant)["y_train"]
            first, second = (i - 1 for i in self.components)
            frame = {
                "variant": variant,
                "x": np.sqrt(len(y)) * vectors[:, first],
                "y": np.sqrt(len(y)) * vectors[:, second],
                "class": y.argmax(1) if y.shape[1] > 1 else (y[:, 0] > 0).astype(int),
                "eigenvalue_x": values[first],
                "eigenvalue_y": values[second],
            }
            frames.append(pd.DataFrame(frame))
        columns = ["variant", "x", "y", "class", "eigenvalue_x", "eigenvalue_y"]
        return concatenated(frames, columns)

    def columns(self, table: pd.DataFrame) -> Chart:
        """A point for each training point; a panel for each variant."""
        variants, classes = unique_values(table, "variant"), sorted(set(table["class"]))
        colors = dict(zip(classes, category_colors(len(classes)), strict=True))
        titles = variants if len(variants) > 1 else [""]
        panels = [
            Plot({"variant": variant}, Scale(x), Scale(y), title, variant)
            for variant, title in zip(variants, titles, strict=True)
            for x, y in [self._labels(table[table["variant"] == variant])]
        ]
        return Chart(table, "x", panels, [Marks("scatter", "y")], "class", colors)

    def _labels(self, part: pd.DataFrame) -> tuple[str, str]:
        """The labels of both axes, with the eigenvalues of a variant."""
        first = part.iloc[0]
        x, y = (
            rf"component {i}, $\lambda_{{{i}}}$ = {first[f'eigenvalue_{a}']:#.3g}"
            for a, i in zip("xy", self.components, strict=True)
        )
        return x, y

    def picture(self, table: pd.DataFrame) -> mfigure.Figure:
        """One column for each variant; the numeral of a point is its class."""
        variants, classes = unique_values(table, "variant"), sorted(set(table["class"]))
        colors = dict(zip(classes, category_colors(len(classes)), strict=True))
        figure, axes = panel_grid(1, len(variants), height=2.9)
        look: Look = {"ms": 4.2, "alpha": 0.85, "mew": 0}
        for ax, variant in zip(axes[0], variants, strict=True):
            part = table[table["variant"] == variant]
            for name, points in part.groupby("class"):
                look |= {"ls": "", "marker": f"${name}$", "color": colors[name]}
                ax.plot(points["x"], points["y"], **look)
            ax.set(**dict(zip(("xlabel", "ylabel"), self._labels(part), strict=True)))
        panel_titles(axes, [""], variants if len(variants) > 1 else [""])
        return figure


def _all_equal(table: pd.DataFrame, column: str) -> bool:
    """Whether all variants have the same values."""
    first, *others = (part[column] for _, part in table.groupby("variant"))
    return all(np.array_equal(first, other) for other in others)


def _principal(limit):
    """Eigenvalues of Θ_∞/N, descending, and eigenvectors with largest entry > 0."""
    theta = limit["ntk_train_train"]
    values, vectors = np.linalg.eigh(theta)
    values, vectors = values[::-1] / len(theta), vectors[:, ::-1]
    largest = np.abs(vectors).argmax(0)
    return values, vectors * np.sign(vectors[largest, np.arange(len(theta))])
