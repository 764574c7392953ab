"""The residual along eigenvectors of Θ, or frequencies, against time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np

from ntkpipe.experiment import Experiment
from ntkpipe.figures.axes import (
    color_entries,
    entry,
    log_ticks,
    log_time_axis,
    rows_where,
    run_panels,
    shared_legend,
)
from ntkpipe.figures.base import (
    Arrays,
    Count,
    NetworkFigure,
    TimeFigure,
    concatenated,
    learning_rate_of,
    only_squares,
    shown_seeds,
    traced_matrix,
)
from ntkpipe.figures.chart import Chart, Marks, Scale, of_runs, time_axis
from ntkpipe.figures.packages import maxes, mfigure, pd
from ntkpipe.figures.style import (
    GREY,
    INK,
    LINEARIZED,
    TIME,
    Look,
    category_colors,
    darker,
)
from ntkpipe.section import Fault, section

WORDS = {
    "eigenvectors": ("mode", r"residual $|v_i\cdot(f(t)-y)|$", "i"),
    "frequencies": ("k =", r"residual along $\cos k\gamma$", "k"),
}
"""Name of a mode, label of the axis, and index of an eigenvalue."""
PREDICTED = r"predicted $|1-\eta\lambda_%s|^{t/\eta}$"
MODE = {"step": "step", "predicted": "predicted", "eigenvalue": "eigenvalue λ"}
"""Columns that the interactive chart shows under the pointer."""


@section
class Modes(TimeFigure, NetworkFigure):
    """Residual along each eigenvector of the kernel at initialisation, against time.

    c_i(t) = v_i·(f(t) − y) with H(w₀) v_i = λ_i v_i, H = Θ/N; gradient descent on the
    linearised model predicts |c_i(t)| = |c_i(0)| |1 − ηλ_i|^{t/η}. For inputs at equal
    angles on the circle, the eigenvectors at infinite width are cos kγ and sin kγ; with
    `of: frequencies`, c_k is the Fourier component of the residual.
    """

    kind: Literal["modes"] = "modes"
    reads: ClassVar[tuple[str, ...]] = ("dataset", "network")
    modes: tuple[Count, ...] = (1, 2, 3, 4, 5, 6)
    """Modes shown; mode 1 has the largest eigenvalue. Missing modes are left out."""
    of: Literal["eigenvectors", "frequencies"] = "eigenvectors"
    """The modes: eigenvectors of H(w₀), or frequencies on the circle."""

    def _unmet(self, e: Experiment) -> Iterator[Fault]:
        yield from super()._unmet(e)
        yield from only_squares("kind", e)

    def table(self, measurements: pd.DataFrame, arrays: Arrays) -> pd.DataFrame:
        """|c_i(t)| measured and predicted, for each width and mode."""
        frames = []
        for variant, width in self._runs(arrays):
            network = arrays("network", variant, width)
            seeds = shown_seeds(network, self.seed)
            if not len(seeds):
                continue
            y = arrays("dataset", variant)["y_train"]
            residual = network["f_train"][seeds[0]] - y  # (t n k)
            along = ALONG[self.of]
            eigenvalues, component = along(network["ntk"][seeds[0], 0], residual)
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

    def columns(self, table: pd.DataFrame) -> Chart:
        """Measured and predicted lines; a panel for each run, a colour for a mode."""
        name, label, index = WORDS[self.of]
        shown = sorted(set(table["mode"]))
        colors = dict(zip(shown, category_colors(len(shown)), strict=True))
        names = {mode: f"{name} {mode}" for mode in shown}
        y = Scale(label, "log", lowest=1e-13)  # smaller ones are rounding errors
        panels = of_runs(table, time_axis(TIME["time"], self.log_x), y)
        theory: Look = {"name": PREDICTED % index, "dash": LINEARIZED, "leads": False}
        marks = [Marks("line", "component", name="network")]
        marks += [Marks("line", "predicted", **theory)]
        return Chart(table, "time", panels, marks, "mode", colors, names, MODE)

    def picture(self, table: pd.DataFrame) -> mfigure.Figure:
        """|c_i(t)| thin, over wide pale predictions |c_i(0)| |1 − ηλ_i|^{t/η}."""
        name, label, index = WORDS[self.of]
        shown = sorted(set(table["mode"]))
        colors = dict(zip(shown, category_colors(len(shown)), strict=True))
        figure, panels = run_panels(
            table, 2.0, TIME["time"], label, sharex="row", sharey="row"
        )
        look: Look = {"lw": 3.5, "alpha": 0.4, "zorder": 1.5}
        for ax, variant, _, rows in panels:
            for mode, curve in rows.groupby("mode"):
                color = colors[mode]
                ax.plot("time", "predicted", data=curve, color=color, **look)
                ax.plot("time", "component", data=curve, color=darker(color), lw=0.9)
            of_variant = rows_where(table, variant=variant)
            if self.log_x:
                log_time_axis(ax, of_variant["time"])
            _log_axis(ax, of_variant.loc[of_variant["component"] > 0, "component"])
        predicted = PREDICTED % index
        handles = color_entries(colors, lambda mode: f"{name} {mode}")
        handles += [
            entry("network", color=INK, lw=0.9),
            entry(predicted, color=GREY, **look),
        ]
        shared_legend(figure, handles)
        return figure


def _log_axis(ax: maxes.Axes, sizes: pd.Series) -> None:
    """Log axis for measured components without rounding errors and low predictions."""
    ax.set_yscale("log", nonpositive="mask")
    if len(sizes):
        low = max(sizes.min() / 3, sizes.max() * 1e-13)
        ax.set_ylim(low, sizes.max() * 3)
    log_ticks(ax)


def along_frequencies(ntk, residual):
    """ūᵀ(Θ/N)u for u = e^{ikγ}/√N, k = 1, 2, …, and Fourier components (t k)."""
    from ntkpipe.measurements.frequencies import fourier

    theta = traced_matrix(ntk)
    n = len(theta)
    twice = np.fft.fft(np.fft.ifft(theta, axis=1), axis=0).diagonal().real / n
    return twice[1 : n // 2], fourier(residual)[:, 1 : n // 2]


def along_eigenvectors(ntk, residual):
    """Eigenvalues of Θ/N, descending, and |v_i·residual| (t i) for each eigenvector."""
    rows = ntk.shape[0] * ntk.shape[1]
    eigenvalues, vectors = np.linalg.eigh(ntk.reshape(rows, rows) / ntk.shape[0])
    # a traced kernel has n rows for n·k residuals, so the norm is over the outputs
    along = vectors.T @ residual.reshape(len(residual), rows, -1)
    return eigenvalues[::-1], np.linalg.norm(along, axis=-1)[:, ::-1]


ALONG = {"eigenvectors": along_eigenvectors, "frequencies": along_frequencies}
