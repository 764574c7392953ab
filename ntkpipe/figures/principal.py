"""Training along principal components of the kernel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from ntkpipe.experiment import Experiment
from ntkpipe.figures.axes import (
    index_axis,
    log_ticks,
    panel_grid,
    panel_letters,
    panel_titles,
    shared_legend,
    unique_values,
)
from ntkpipe.figures.base import Arrays, BaseFigure, concatenated
from ntkpipe.figures.style import INK, category_colors, style
from ntkpipe.lazy import Lazy
from ntkpipe.section import Fault, section

if TYPE_CHECKING:
    from matplotlib.figure import Figure

mlines = Lazy("matplotlib.lines")
if TYPE_CHECKING:
    import pandas as pd
else:
    pd = Lazy("pandas")


def projections(table: pd.DataFrame) -> Figure:
    """Eigenvalues, and the cumulative share of the targets, against the index."""
    variants = unique_values(table, "variant")
    colors = dict(zip(variants, category_colors(len(variants)), strict=True))
    with style():
        figure, axes = panel_grid(1, 2, height=3.0)
        for column, label in enumerate(("eigenvalue", "share")):
            ax = axes[0, column]
            curves = dict(list(table.groupby("variant", sort=False)))
            first = curves[variants[0]][label].to_numpy()
            if all(np.array_equal(part[label], first) for part in curves.values()):
                ax.plot(curves[variants[0]]["index"], first, color=INK)  # that of all
            else:
                for variant, part in curves.items():
                    ax.plot("index", label, data=part, color=colors[variant])
            ax.set_xscale("log")
            index_axis(ax, int(table["index"].max()))
            ax.set_xlabel("index of the eigenvector")
        positive = table.loc[table["eigenvalue"] > 0, "eigenvalue"]
        axes[0, 0].set_yscale("log", nonpositive="mask")
        axes[0, 0].set_ylim(positive.min() / 1.5, positive.max() * 1.5)
        log_ticks(axes[0, 0])
        axes[0, 0].set_ylabel(r"eigenvalue of $\Theta_\infty/N$")
        axes[0, 1].set(ylim=(0, 1.04), ylabel="cumulative share of ‖y‖²")
        panel_letters(axes.flat)
        shared_legend(
            figure, [mlines.Line2D([], [], color=colors[v], label=v) for v in variants]
        )
    return figure


def components(table: pd.DataFrame, which: Sequence[int]) -> Figure:
    """Points by two principal components, coloured by class."""
    variants, classes = unique_values(table, "variant"), sorted(set(table["class"]))
    colors = dict(zip(classes, category_colors(len(classes)), strict=True))
    with style():
        figure, axes = panel_grid(
            1, len(variants), height=3.3, width=3.9 * len(variants)
        )
        for ax, variant in zip(axes[0], variants, strict=True):
            part = table[table["variant"] == variant]
            for name, points in part.groupby("class"):
                ax.plot(
                    "x", "y", "o", data=points, color=colors[name], ms=3.2, alpha=0.75,
                    mew=0,
                )  # fmt: skip
            first = part.iloc[0]
            values = [f"{first[f'eigenvalue_{a}']:#.3g}" for a in "xy"]
            labels = [
                rf"component {i}, $\lambda_{{{i}}}$ = {value}"
                for i, value in zip(which, values, strict=True)
            ]
            ax.set(xlabel=labels[0], ylabel=labels[1])
        panel_titles(axes, [""], variants if len(variants) > 1 else [""])
        handles = [
            mlines.Line2D(
                [], [], ls="", marker="o", ms=4, color=colors[c], label=str(c)
            )
            for c in classes
        ]
        shared_legend(figure, handles)
    return figure


@section
class Projections(BaseFigure):
    """Eigenvalues of the limit kernel, and how far down its spectrum the targets lie.

    Left λ_i of Θ_∞/N, right Σ_{j ≤ i} (v_j·y)²/‖y‖²: the share of the targets in the
    first i eigenvectors. Colour is the variant.
    """

    kind: Literal["projections"] = "projections"
    reads: ClassVar[tuple[str, ...]] = ("dataset", "limit")

    def table(self, measurements: pd.DataFrame, arrays: Arrays) -> pd.DataFrame:
        """Eigenvalue and cumulative share of each eigenvector, by variant."""
        del measurements
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

    def draw(self, table: pd.DataFrame):
        """Two panels, eigenvalues and shares."""
        return projections(self._named(table))


@section
class Components(BaseFigure):
    """Training points in the plane of two principal components of the limit kernel.

    f^(i)(x) = √N v_i, of root mean square 1. Colour is the class: the largest output of
    a point's target, or the target's sign.
    """

    kind: Literal["components"] = "components"
    reads: ClassVar[tuple[str, ...]] = ("dataset", "limit")
    components: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] = (2, 3)
    """The two components; component 1 has the largest eigenvalue."""

    def _unmet(self, e: Experiment) -> Iterator[Fault]:
        last = max(self.components)
        if (sizes := e.dataset.stated_sizes) and last > sizes.train:
            text = f"no component {last}: there are {sizes.train} training points"
            yield Fault(("components",), text)

    def table(self, measurements: pd.DataFrame, arrays: Arrays) -> pd.DataFrame:
        """The two components of each point, its class, and their eigenvalues."""
        del measurements
        frames = []
        for variant in self._variants(arrays.variants):
            values, vectors = _principal(arrays("limit", variant))
            if max(self.components) > len(values):
                raise ValueError(
                    f"figure {self.name}: component {max(self.components)} of "
                    f"{len(values)} points"
                )
            y = arrays("dataset", variant)["y_train"]
            first, second = (i - 1 for i in self.components)
            columns = {
                "variant": variant,
                "x": np.sqrt(len(y)) * vectors[:, first],
                "y": np.sqrt(len(y)) * vectors[:, second],
                "class": y.argmax(1) if y.shape[1] > 1 else (y[:, 0] > 0).astype(int),
                "eigenvalue_x": values[first],
                "eigenvalue_y": values[second],
            }
            frames.append(pd.DataFrame(columns))
        columns = ["variant", "x", "y", "class", "eigenvalue_x", "eigenvalue_y"]
        return concatenated(frames, columns)

    def draw(self, table: pd.DataFrame):
        """One column for each variant."""
        return components(self._named(table), self.components)


def _principal(limit):
    """Eigenvalues of Θ_∞/N, descending, and eigenvectors, each largest entry > 0."""
    theta = limit["ntk_train_train"]
    values, vectors = np.linalg.eigh(theta)
    values, vectors = values[::-1] / len(theta), vectors[:, ::-1]
    largest = np.abs(vectors).argmax(0)
    return values, vectors * np.sign(vectors[largest, np.arange(len(theta))])
