"""The residual along eigenvectors of Θ, or frequencies, against time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from ntkpipe.experiment import Experiment
from ntkpipe.figures.axes import (
    facets,
    log_ticks,
    log_time_axis,
    nothing,
    outer_labels,
    panel_grid,
    panel_titles,
    shared_legend,
    unique_values,
)
from ntkpipe.figures.base import (
    Arrays,
    BaseFigure,
    check_seed,
    concatenated,
    learning_rate_of,
    shown_seeds,
    traced_matrix,
)
from ntkpipe.figures.style import (
    GREY,
    INK,
    LINEARIZED,
    TIME,
    category_colors,
    darker,
    style,
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


def modes(table: pd.DataFrame, log_x: bool, of: str = "eigenvectors") -> Figure:
    """|c_i(t)|, solid, with its predicted power of the steps, dashed."""
    name, what, index = {
        "eigenvectors": ("mode", r"residual $|v_i\cdot(f(t)-y)|$", "i"),
        "frequencies": ("k =", r"residual along $\cos k\gamma$", "k"),
    }[of]
    if table.empty:
        return nothing("the network of this figure diverged")
    variants, widths = unique_values(table, "variant"), sorted(set(table["width"]))
    shown = sorted(set(table["mode"]))
    colors = dict(zip(shown, category_colors(len(shown)), strict=True))
    with style():
        figure, axes = panel_grid(
            len(variants), len(widths), height=2.8, sharex="row", sharey="row"
        )
        for ax, part in facets(axes, table, variants, widths):
            for mode, curve in part.groupby("mode"):
                ax.plot("time", "component", data=curve, color=colors[mode], alpha=0.85)
                ax.plot(
                    "time",
                    "predicted",
                    data=curve,
                    color=darker(colors[mode]),
                    linestyle=LINEARIZED,
                    linewidth=1.1,
                )
            if log_x:
                same = table["variant"] == part["variant"].iloc[0]
                log_time_axis(ax, table.loc[same, "time"])
            ax.set(xlabel=TIME["time"], ylabel=what)
        for row, variant in enumerate(variants):
            inside = table[table["variant"] == variant]
            sizes = inside.loc[inside["component"] > 0, "component"]
            for ax in axes[row]:
                ax.set_yscale("log", nonpositive="mask")
                if len(sizes):
                    # predictions go on below what the network reaches
                    # and rounding is not shown
                    low = max(sizes.min() / 3, sizes.max() * 1e-13)
                    ax.set_ylim(low, sizes.max() * 3)
                log_ticks(ax)
        panel_titles(axes, variants, [f"n = {width}" for width in widths])
        outer_labels(axes)
        handles = [
            mlines.Line2D([], [], color=colors[mode], label=f"{name} {mode}")
            for mode in shown
        ]
        handles += [
            mlines.Line2D([], [], color=GREY, label="network"),
            mlines.Line2D(
                [],
                [],
                color=INK,
                lw=1.1,
                ls=LINEARIZED,
                label=rf"predicted $|1-\eta\lambda_{index}|^{{t/\eta}}$",
            ),
        ]
        shared_legend(figure, handles)
    return figure


@section
class Modes(BaseFigure):
    """Residual along each eigenvector of the kernel at initialisation, against time.

    c_i(t) = v_i·(f(t) − y) with H(w₀) v_i = λ_i v_i, H = Θ/N; gradient descent on the
    linearised model predicts |c_i(t)| = |c_i(0)| |1 − ηλ_i|^{t/η}. At equal angles of
    the circle the eigenvectors of infinite width are cos kγ and sin kγ: with
    `of: frequencies` c_k is the residual's Fourier component.
    """

    kind: Literal["modes"] = "modes"
    reads: ClassVar[tuple[str, ...]] = ("dataset", "network")
    modes: tuple[Annotated[int, Field(ge=1)], ...] = (1, 2, 3, 4, 5, 6)
    """Modes shown; mode 1 has the largest eigenvalue. Missing modes are left out."""
    of: Literal["eigenvectors", "frequencies"] = "eigenvectors"
    """The modes: eigenvectors of H(w₀), or frequencies on the circle."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Which network."""
    log_x: bool = False
    """Logarithmic axis of time, linear from 0 to the first recorded step."""

    def _unmet(self, e: Experiment) -> Iterator[Fault]:
        yield from check_seed(self, e)

    def table(self, measurements: pd.DataFrame, arrays: Arrays) -> pd.DataFrame:
        """|c_i(t)| measured and predicted, for each width and mode."""
        del measurements
        frames = []
        for variant, width in self._runs(arrays):
            network = arrays("network", variant, width)
            seeds = shown_seeds(network, self.seed)
            if not len(seeds):
                continue
            y = arrays("dataset", variant)["y_train"]
            residual = network["f_train"][seeds[0]] - y  # (t n k)
            parts = _components if self.of == "eigenvectors" else _frequencies
            eigenvalues, component = parts(network["ntk"][seeds[0], 0], residual)
            step, eta = network["step"], learning_rate_of(arrays, variant)
            for mode in self.modes:
                if mode > len(eigenvalues):
                    continue
                size, rate = component[:, mode - 1], eigenvalues[mode - 1]
                frame = {
                    "variant": variant,
                    "width": width,
                    "mode": mode,
                    "eigenvalue": rate,
                    "step": step,
                    "time": eta * step,
                    "component": size,
                    "predicted": size[0] * np.abs(1 - eta * rate) ** step,
                }
                frames.append(pd.DataFrame(frame))
        columns = ["variant", "width", "mode", "eigenvalue", "step", "time"]
        return concatenated(frames, [*columns, "component", "predicted"])

    def draw(self, table: pd.DataFrame):
        """Rows are variants, columns are widths."""
        return modes(self._named(table), self.log_x, self.of)


def _frequencies(ntk, residual):
    """ūᵀ(Θ/N)u of u = e^{ikγ}/√N, k = 1, 2, …, and Fourier components (t k)."""
    from ntkpipe.measurements.frequencies import fourier

    theta = traced_matrix(ntk)
    n = len(theta)
    twice = np.fft.fft(np.fft.ifft(theta, axis=1), axis=0).diagonal().real / n
    return twice[1 : n // 2], fourier(residual)[:, 1 : n // 2]


def _components(ntk, residual):
    """Eigenvalues of Θ/N, descending, and size (t i) of the residual along each."""
    rows = ntk.shape[0] * ntk.shape[1]
    eigenvalues, vectors = np.linalg.eigh(ntk.reshape(rows, rows) / ntk.shape[0])
    # a traced kernel has n rows for n·k residuals: the size is over the outputs
    along = vectors.T @ residual.reshape(len(residual), rows, -1)
    return eigenvalues[::-1], np.linalg.norm(along, axis=-1)[:, ::-1]
