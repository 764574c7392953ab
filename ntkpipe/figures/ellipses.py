"""The kernel of two points as an ellipse while a network learns, animated."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from ntkpipe.experiment import Experiment
from ntkpipe.figures.axes import (
    Runs,
    entry,
    is_column,
    panel_grid,
    rows_where,
    run_names,
    runs_of,
    shared_legend,
    time_text,
)
from ntkpipe.figures.base import (
    Arrays,
    MovingFigure,
    NetworkFigure,
    concatenated,
    learning_rate_of,
    only_squares,
    shown_seeds,
)
from ntkpipe.figures.packages import (
    maxes,
    mcolors,
    mfigure,
    mlines,
    mpatches,
    mpl,
    pd,
    ticker,
)
from ntkpipe.figures.style import (
    GREY,
    INK,
    LIMIT,
    LINEARIZED,
    TARGET,
    Look,
    sequential_colors,
    style,
)
from ntkpipe.section import Fault, section


@section
class Ellipses(NetworkFigure, MovingFigure):
    """The kernel of two outputs as an ellipse that moves with the outputs.

    {u : uᵀHu = c}, H = Θ/N, has semi-axes √(c/λ_i) along the eigenvectors v_i of H, so
    gradient descent is fast along the short axis. The two outputs are f at two training
    points, or the two components of f at one training point. A dashed line shows the
    f(t) = y + Σ_i v_i e^{−λ_i t} v_i·(f(0) − y) of a constant kernel.
    """

    kind: Literal["ellipses"] = "ellipses"
    reads: ClassVar[tuple[str, ...]] = ("dataset", "network")
    ellipses: Annotated[int, Field(ge=2, le=50)] = 6
    """Number of ellipses along each trajectory in the still picture."""

    def _unmet(self, e: Experiment) -> Iterator[Fault]:
        yield from super()._unmet(e)
        yield from only_squares("kind", e)
        sizes = e.dataset.stated_sizes
        if sizes and (count := sizes.train * sizes.outputs) != 2:
            text = f"needs two outputs in all, not {count} over all training points"
            yield Fault(("kind",), text)
        elif sizes and sizes.outputs == 2 and e.training.kernel == "trace":
            text = "needs the kernel of both outputs: set training.kernel: full"
            yield Fault(("kind",), text)

    def table(self, measurements: pd.DataFrame, arrays: Arrays) -> pd.DataFrame:
        """f(t), targets, f of the constant kernel, H and its change at each snapshot.

        `angle` is the direction, in degrees, of the eigenvector of λ1, the larger.
        """
        frames = []
        for variant, width in self._runs(arrays):
            network = arrays("network", variant, width)
            y = arrays("dataset", variant)["y_train"].ravel()
            rate = learning_rate_of(arrays, variant)
            for seed in shown_seeds(network, self.seed):
                frame = {"variant": variant, "width": width}
                frames.append(pd.DataFrame(frame | self._paths(network, seed, y, rate)))
        columns = ["variant", "width", "step", "time", "f1", "f2", "y1", "y2"]
        columns += ["constant1", "constant2", "lambda1", "lambda2", "angle", "change"]
        return concatenated(frames, columns)

    def _paths(self, network, seed, y, rate) -> dict[str, np.ndarray]:
        snapshot = network["snapshot"]
        ntk = network["ntk"][seed]  # (p n k n k)
        rows = ntk.shape[1] * ntk.shape[2]
        if rows != 2 or len(y) != 2:
            raise ValueError(
                f"figure {self.name}: needs two outputs in all, not {len(y)} over all "
                "training points"
            )
        theta = ntk.reshape(-1, rows, rows) / ntk.shape[1]
        values, vectors = np.linalg.eigh(theta)  # ascending; v_i is a column
        at = np.searchsorted(network["step"], snapshot)
        f = network["f_train"][seed, at].reshape(-1, rows)
        time = snapshot * rate
        along = (f[0] - y) @ vectors[0] * np.exp(-values[0] * time[:, None])
        constant = y + along @ vectors[0].T
        large = vectors[:, :, 1]
        change = np.linalg.norm(theta - theta[0], axis=(1, 2))
        paths = {"step": snapshot, "time": time, "lambda1": values[:, 1]}
        paths |= {"lambda2": values[:, 0], "y1": y[0], "y2": y[1]}
        paths |= {"f1": f[:, 0], "f2": f[:, 1]}
        paths |= {"constant1": constant[:, 0], "constant2": constant[:, 1]}
        paths["angle"] = np.degrees(np.arctan2(large[:, 1], large[:, 0])) % 180
        return paths | {"change": change / np.linalg.norm(theta[0])}

    def picture(self, table: pd.DataFrame) -> mfigure.Figure:
        """A panel for each run, with ellipses along its trajectory."""
        count, runs = self.ellipses, runs_of(table)
        colors = sequential_colors(count)
        figure, axes = _planes(table, runs)
        for ax, path in zip(axes, _paths(table, runs), strict=False):
            _landmarks(ax, path)
            ax.plot("f1", "f2", data=path, color=INK, lw=1.1, zorder=3)
            for color, index in zip(colors, _along(path, count), strict=True):
                ax.add_patch(_ellipse(table, path.iloc[index], color))
                at = path.loc[[index]]
                ax.plot("f1", "f2", ".", data=at, color=color, ms=5, zorder=5)
            _change_text(ax, path.iloc[-1])
        names = {0: "kernel at the beginning", count - 1: "kernel at the end"}
        if count > 2:
            names[count // 2] = "in between, at equal distances along the path"
        kernels = [_kernel_handle(names[k], colors[k]) for k in sorted(names)]
        handles = [*kernels, *_path_handles()]
        if len(axes) > len(runs):
            _key_in(axes[-1], handles)
        else:
            shared_legend(figure, handles)
        return figure

    def moving(self, table: pd.DataFrame) -> Iterator[mfigure.Figure]:
        """A panel for each run with one moving ellipse; a frame for each snapshot."""
        color, runs = sequential_colors(6)[3], runs_of(table)
        with style():
            figure, axes = _planes(table, runs)
            parts = []
            for ax, path in zip(axes, _paths(table, runs), strict=False):
                _landmarks(ax, path)
                ax.add_patch(_ellipse(table, path.iloc[0], GREY, filled=False))
                (line,) = ax.plot([], [], color=INK, lw=1.1, zorder=3)
                look: Look = {"color": color, "mec": "white", "ms": 4.5, "zorder": 5}
                (point,) = ax.plot([], [], "o", **look)
                patch = ax.add_patch(_ellipse(table, path.iloc[0], color))
                text = _change_text(ax, path.iloc[0])
                parts.append((path, line, point, patch, text))
            now = _kernel_handle("kernel", color)
            label = "kernel at the beginning"
            then = mpatches.Patch(fc="none", ec=GREY, ls=LIMIT, label=label)
            shared_legend(figure, [now, then, *_path_handles()])
        for step in sorted(set(table["step"])):
            for path, line, point, patch, text in parts:
                so_far = path[path["step"] <= step]
                row = so_far.iloc[-1]
                line.set_data(so_far["f1"], so_far["f2"])
                point.set_data([row["f1"]], [row["f2"]])
                patch.set(center=(row["f1"], row["f2"]), **_axes_of(table, row))
                # each panel shows its own step, because some runs end earlier
                text.set_text(f"{time_text(row['step'])}\n{_changed(row)}")
            yield figure


def _key_in(ax: maxes.Axes, handles: list) -> None:
    """The legend in a cell that has no panel."""
    for handle in handles:
        handle.set_label(textwrap.fill(handle.get_label(), 22))
    place: Look = {"loc": "center", "bbox_to_anchor": (0.5, 0.5), "handlelength": 1.4}
    ax.legend(handles=handles, borderaxespad=0, **place).set_in_layout(False)


def _paths(table: pd.DataFrame, runs: Runs) -> list[pd.DataFrame]:
    return [
        rows_where(table, variant=variant, width=width).reset_index(drop=True)
        for variant, width in runs
    ]


def _planes(table: pd.DataFrame, runs: Runs) -> tuple[mfigure.Figure, list[maxes.Axes]]:
    """Panels of the plane of two outputs, four in a row, on one scale."""
    columns = min(2 if is_column() else 4, len(runs))
    rows = -(-len(runs) // columns)
    low, high = _plane(table)
    width = mpl.rcParams["figure.figsize"][0]
    shape = (high[1] - low[1]) / (high[0] - low[0])
    # low enough to leave width over, because constrained layout ignores lack of height
    height = (width / columns - 0.6) * shape + 0.5
    figure, axes = panel_grid(rows, columns, height=height, fixed=True)
    for ax, name in zip(axes.flat, run_names(runs), strict=False):
        ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        ax.set_aspect("equal", anchor="W")
        ax.set(xlabel="f(x₁)", ylabel="f(x₂)", title=name)
        ax.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
        ax.yaxis.set_major_locator(ticker.MaxNLocator(4, integer=True))
    for ax in axes.flat[len(runs) :]:
        ax.axis("off")
    for ax in axes[:, 1:].flat:
        ax.set_ylabel("")
    for ax in axes[:-1].flat:
        ax.set_xlabel("")
    return figure, list(axes.flat)


def _plane(table: pd.DataFrame):
    """Lower left and upper right corner of the plotted region: f(0), y and a margin."""
    first = table.iloc[0]
    ends = np.array([[first["f1"], first["f2"]], [first["y1"], first["y2"]]])
    room = 0.5 * np.linalg.norm(ends[1] - ends[0])
    return ends.min(0) - room * np.array([0.85, 0.75]), ends.max(0) + room * 0.6


def _landmarks(ax: maxes.Axes, path: pd.DataFrame) -> None:
    """Draw the target, and the path to it under a constant kernel."""
    ax.plot("constant1", "constant2", data=path, color=GREY, lw=1.1, ls=LINEARIZED)
    end = path.iloc[[0]]
    ax.plot("y1", "y2", "D", data=end, color=TARGET, mec="white", ms=6, zorder=6)


def _ellipse(
    table: pd.DataFrame, row: pd.Series, color, filled=True
) -> mpatches.Ellipse:
    shape = _axes_of(table, row)
    look = {"facecolor": mcolors.to_rgba(color, 0.2), "edgecolor": color, "lw": 1.1}
    if not filled:
        look = {"facecolor": "none", "edgecolor": color, "lw": 1, "linestyle": LIMIT}
    return mpatches.Ellipse((row["f1"], row["f2"]), **shape, **look, zorder=2.5)


def _axes_of(table: pd.DataFrame, row: pd.Series) -> dict[str, float]:
    """Axes 2√(c/λ_i) of {u : uᵀHu = c}; c makes the long one of the first H 1.2."""
    scale = 1.2 * np.sqrt(table["lambda2"].iloc[0])
    thin, long = scale / np.sqrt([row["lambda1"], row["lambda2"]])
    return {"width": thin, "height": long, "angle": row["angle"]}


def _along(path: pd.DataFrame, count: int) -> list[int]:
    """Indices of rows at equal distances along the path."""
    way = np.hypot(path["f1"].diff(), path["f2"].diff()).fillna(0).cumsum()
    return [
        int((way - way.iloc[-1] * share).abs().idxmin())
        for share in np.linspace(0, 1, count)
    ]


def _change_text(ax: maxes.Axes, row: pd.Series):
    return ax.text(
        0.03, 0.03, _changed(row), transform=ax.transAxes, va="bottom", fontsize=7
    )


def _changed(row: pd.Series) -> str:
    change = row["change"]
    digits = f"{change:.0f}" if change >= 10 else f"{change:.2g}"
    return f"‖ΔΘ‖/‖Θ₀‖ = {digits}"


def _kernel_handle(label: str, color: str) -> mpatches.Patch:
    return mpatches.Patch(fc=mcolors.to_rgba(color, 0.2), ec=color, label=label)


def _path_handles() -> list[mlines.Line2D]:
    return [
        entry("outputs f(t)", color=INK, lw=1.1),
        entry("f(t) of a constant kernel", color=GREY, lw=1.1, ls=LINEARIZED),
        entry("targets y", ls="", marker="D", color=TARGET, mec="white", ms=6),
    ]
