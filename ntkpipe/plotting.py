"""Drawing: tidy tables in, matplotlib figures out; no statistics and no files.

One look for all figures is in `style`. Figures are made without pyplot, so that none
is kept behind and no display is asked for. matplotlib, seaborn and Pillow take half a
second to import: they are imported when the first figure is drawn.
"""

from __future__ import annotations

import contextlib
import functools
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntkpipe import io
from ntkpipe.lazy import Lazy
from ntkpipe.text import decimal, minus, tick

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Ellipse, Patch

mpl = Lazy("matplotlib")
backend = Lazy("matplotlib.backends.backend_agg")
cm = Lazy("matplotlib.cm")
mcollections = Lazy("matplotlib.collections")
mcolors = Lazy("matplotlib.colors")
mfigure = Lazy("matplotlib.figure")
layout_engine = Lazy("matplotlib.layout_engine")
mlines = Lazy("matplotlib.lines")
mpatches = Lazy("matplotlib.patches")
ticker = Lazy("matplotlib.ticker")
mtransforms = Lazy("matplotlib.transforms")
Image = Lazy("PIL.Image")
pd = Lazy("pandas")
sns = Lazy("seaborn")


PAGE = 8.0  # inches: the width of a page
INK, GREY, TARGET = "#262626", "#767676", "#d55e00"

STYLE: dict[str, Any] = {  # on top of seaborn's `ticks`
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.title_fontsize": 8,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "axes.titlelocation": "left",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "mathtext.fontset": "dejavusans",
    "axes.formatter.use_mathtext": True,
    "axes.formatter.limits": (-3, 4),
    "savefig.dpi": 160,
    # the same bytes on every run
    "svg.hashsalt": "ntkpipe",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
}

NETWORK, LINEARIZED, LIMIT = "-", (0, (4, 2)), (0, (1, 1.4))
MODELS = {
    "network": ("network", NETWORK),
    "linearized": ("its linearised model", LINEARIZED),
    "limit": ("infinite width", LIMIT),
}
TIME = {"step": "gradient steps", "time": "time t = η · step"}
STATISTICS = {
    "geometric_mean": "geometric mean",
    "median": "median",
    "mean": "mean",
    "std": "standard deviation over seeds",
    "variance": "variance over seeds",
}


@functools.cache
def change_colors() -> Colormap:
    """Colours of a change: white in the middle, so that what did not change is pale."""
    vlag = sns.color_palette("vlag", as_cmap=True)
    ends = [*map(vlag, (0.0, 0.25)), "white", *map(vlag, (0.75, 1.0))]
    return mcolors.LinearSegmentedColormap.from_list("change", ends, 257)


@functools.cache
def width_colormap() -> Colormap:
    """Viridis without its yellow end, which is too pale on white."""
    shades = mpl.colormaps["viridis"](np.linspace(0.86, 0.0, 256))
    return mcolors.LinearSegmentedColormap.from_list("widths", shades)


METADATA: dict[str, dict[str, str | None]] = {
    # neither dates nor versions: the bytes depend on the figure only
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
# of animations: few pixels and colours, as every frame is sent
GIF_DPI, GIF_COLORS, GIF_PER_SECOND, GIF_SHORTEST_S, GIF_HOLD_S = 84, 44, 10, 6, 2


def encode(figure: Figure, kind: str) -> bytes:
    """The bytes of a figure as png, svg or pdf."""
    if kind not in METADATA:
        raise ValueError(f"figures are png, svg or pdf, not {kind}")
    stream = BytesIO()
    with style():
        _lay_out(figure)
        figure.savefig(stream, format=kind, metadata=METADATA[kind])
    return stream.getvalue()


def animate(frames: Iterable[Figure]) -> bytes:
    """The bytes of an animation (gif) that goes round, with a rest at its end.

    All frames have one palette: with one for each the background would flicker.
    """
    images = []
    with style():
        for figure in frames:
            figure.set_dpi(GIF_DPI)
            canvas = backend.FigureCanvasAgg(figure)
            _lay_out(figure)
            canvas.draw()
            images.append(Image.fromarray(np.array(canvas.buffer_rgba())[..., :3]))
    # what colours there are, at the beginning, in the middle and at the end
    chosen = [images[k] for k in sorted({0, len(images) // 2, len(images) - 1})]
    sample = Image.fromarray(np.concatenate([np.asarray(image) for image in chosen]))
    found = sample.quantize(GIF_COLORS, Image.Quantize.MEDIANCUT).getpalette()
    palette = Image.new("P", (1, 1))
    # small areas, whose colours a palette by frequency would not have
    fixed = [
        round(255 * part)
        for color in ("#ffffff", INK, GREY, TARGET)
        for part in mcolors.to_rgb(color)
    ]
    palette.putpalette([*found[: 3 * GIF_COLORS], *fixed])
    first, *others = [
        image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images
    ]
    a_frame = max(1000 // GIF_PER_SECOND, 1000 * GIF_SHORTEST_S // len(images))
    times = [a_frame] * len(others) + [1000 * GIF_HOLD_S]
    stream = BytesIO()
    first.save(
        stream,
        "GIF",
        save_all=True,
        append_images=others,
        duration=times,
        loop=0,
        optimize=False,
    )
    return stream.getvalue()


def _lay_out(figure: Figure) -> None:
    """Place the panels once: each drawing would move them a little further."""
    if isinstance(figure.get_layout_engine(), layout_engine.ConstrainedLayoutEngine):
        figure.draw_without_rendering()
        figure.set_layout_engine("none")


def save(
    figure: Figure,
    paths: Iterable[str | PathLike[str]],
    frames: Iterable[Figure] | None = None,
) -> dict[str, str]:
    """Write a figure to all paths, whose endings say how, each whole or not at all.

    A path that ends in .gif gets the animation of `frames`. Returns the checksum of
    each, by its ending.
    """
    written = {}
    for path in paths:
        kind = Path(path).suffix.removeprefix(".")
        moving = kind == "gif" and frames is not None
        body = animate(frames) if moving else encode(figure, kind)
        io.write(path, lambda file, body=body: file.write(body))
        written[kind] = io.checksum(body)
    return written


@contextlib.contextmanager
def style() -> Iterator[None]:
    """The look of all figures."""
    with mpl.rc_context(sns.axes_style("ticks") | STYLE):
        yield


# ------------------------------------------------------------------ the kinds


def trajectories(
    table: pd.DataFrame,
    panels: Sequence[tuple[str, str, bool]],
    x: str,
    log_x: bool,
    color: str = "width",
) -> Figure:
    """Median and range against steps; (quantity, label, log) of each column.

    `color` is the column of what is told apart by colour, rows are the other one.
    """
    if table.empty:
        return nothing("all networks of this figure diverged")
    variants, widths = _unique(table, "variant"), sorted(set(table["width"]))
    names = {width: _width_label(table, width) for width in widths}
    rows, other = variants, "variant"
    colors = width_colors(widths)
    if color == "variant":
        rows, other = widths, "width"
        colors = dict(zip(variants, _categories(len(variants)), strict=True))
    with style():
        figure, axes = _grid(len(rows), len(panels), height=2.7, sharex="row")
        for row, name in enumerate(rows):
            for column, (quantity, label, log) in enumerate(panels):
                ax = axes[row, column]
                part = _where(table, quantity=quantity, **{other: name})
                _bands(ax, part, colors, color)
                if log_x:
                    _log_time(ax, table.loc[table[other] == name, "x"])
                if log:
                    _log_y(ax, part)
                else:
                    ax.set_ylim(bottom=min(0, ax.get_ylim()[0]))
                ax.set(xlabel=TIME[x], ylabel=_wrap(label))
        _titles(axes, [names.get(row, row) for row in rows], [""] * len(panels))
        handles = [
            mlines.Line2D([], [], color=colors[hue], label=names.get(hue, hue))
            for hue in colors
        ]
        handles += _model_handles(_unique(table, "model"))
        if table["seeds"].max() > 1:
            handles.append(_range_handle())
        _legend(figure, handles)
    return figure


def _bands(ax: Axes, part: pd.DataFrame, colors: Mapping, by: str = "width") -> None:
    """Lines of all widths, or variants; predictions lie dashed over their networks."""
    for (hue, model), curve in part.groupby([by, "model"]):
        network = model == "network"
        ax.plot(
            "x",
            "median",
            data=curve,
            color=colors[hue] if network else _darker(colors[hue]),
            linestyle=MODELS[model][1],
            linewidth=1.8 if network else 1.2,
            zorder=2 if network else 3,
        )
        if network and curve["seeds"].max() > 1:
            ax.fill_between(
                curve["x"],
                curve["low"],
                curve["high"],
                color=colors[hue],
                alpha=0.18,
                linewidth=0,
            )
        if network:
            end = curve.iloc[-1]
            ax.plot(end["x"], end["median"], "o", color=colors[hue], ms=3.2, zorder=4)


def scaling(
    table: pd.DataFrame,
    facet: str,
    labels: Mapping[str, str],
    along: str,
    statistic: str,
    several: str = "value",
) -> Figure:
    """Seeds, statistic, fit and prediction; panels by `facet`, colours by the rest."""
    seeds = table[table["part"] == "seed"]
    if (
        alone := not seeds.empty
        and not seeds.duplicated(["variant", "metric", "x"]).any()
    ):
        table = table.drop(seeds.index)  # its statistic is that seed
    pairs = table[["variant", "metric"]].drop_duplicates()
    panel_of = pairs[facet] if facet != "none" else pd.Series("", pairs.index)
    hues = [c for c in ("variant", "metric") if c != facet]
    hue_of = list(pairs[hues].itertuples(index=False, name=None))
    colors = dict(
        zip(dict.fromkeys(hue_of), _categories(len(set(hue_of))), strict=True)
    )
    # only what differs is said in the legend
    told = [column for column in hues if pairs[column].drop_duplicates().size > 1]
    panels = list(dict.fromkeys(panel_of))
    lines = 1 + 2.2 * panel_of.value_counts().max()
    columns = min(len(panels), 3)
    with style():
        figure, axes = _grid(
            -(-len(panels) // columns),
            columns,
            height=2.9 + 0.16 * lines,
            sharey=facet == "variant",
        )
        edges = []
        for ax, name in zip(axes.flat, panels, strict=False):
            inside = pairs[panel_of == name]
            parts = [
                _where(table, variant=pair.variant, metric=pair.metric)
                for pair in inside.itertuples(index=False)
            ]
            begins = [_begin(part) for part in parts]
            begin = begins[0] if len(set(begins)) == 1 else None
            handles = []
            for pair, part in zip(inside.itertuples(index=False), parts, strict=True):
                hue = tuple(getattr(pair, column) for column in hues)
                names = [getattr(pair, column) for column in told]
                said = ", ".join(labels.get(n, n) for n in names)
                words = _slope_words(part, begin is None)
                order = list(colors).index(hue), len(colors)
                handles.append(
                    _power_law(ax, part, colors[hue], order, said, words, columns > 2)
                )
            metrics = set(inside["metric"])
            ax.set_ylabel(
                _wrap(labels[metrics.pop()]) if len(metrics) == 1 else several
            )
            shown = sorted({x for p in parts for x in _where(p, part="statistic")["x"]})
            _width_axis(ax, shown, along, begins, 7 if columns > 2 else 9)
            ax.set_yscale("log", nonpositive="mask")
            _log_ticks(ax)
            if begin is not None:
                edges.append(begin)
                left, right = ax.get_xlim()[0], _between(shown, begin)
                ax.axvspan(left, right, color="#f1f1f1", zorder=0)
                ax.set_xlim(left=left)
            ax.legend(
                handles=handles,
                loc="upper left",
                # below the axis' label, which is 36 points high with its ticks
                bbox_to_anchor=(0, 0),
                bbox_transform=ax.transAxes
                + mtransforms.ScaledTranslation(0, -0.5, figure.dpi_scale_trans),
                borderaxespad=0,
                borderpad=0,
                handlelength=1.6,
            )
            if facet == "variant" and len(panels) > 1:
                ax.set_title(name)
        for ax in axes.flat[len(panels) :]:
            ax.set_visible(False)
        if len(panels) > 1:
            _letters(axes.flat[: len(panels)])
        _legend(figure, _scaling_handles(table, None if alone else statistic, edges))
    return figure


def _begin(part: pd.DataFrame) -> float | None:
    """Where the fit begins, if there are points before it."""
    first = _where(part, part="fit")["x"].min()
    return first if first > 1.0001 * part["x"].min() else None


def _between(shown: Sequence[float], edge: float) -> float:
    """The middle, on a logarithmic axis, between what is fitted and what is not."""
    before = max(x for x in shown if x < edge / 1.0001)
    return float(np.sqrt(before * edge))


def _power_law(
    ax: Axes,
    part: pd.DataFrame,
    color: str,
    order: tuple[int, int],
    name: str,
    words: Sequence[str],
    narrow: bool,
) -> Line2D:
    """Draw one power law, the first, second … of several; its line for the legend.

    What lies on another is seen all the same: thin over thick, open around full.
    """
    seed, mean, fit, predicted = (
        part[part["part"] == kind] for kind in ("seed", "statistic", "fit", "predicted")
    )
    index, count = order
    line = {"lw": 1.6 if count == 1 else 2.2 - index / (count - 1)}
    look = {"color": color, "marker": "osD^v"[index % 5], "ms": 5.5, "mec": "white"}
    if index:
        look |= {"ms": 7.5, "mew": 1.2, "mfc": "none", "mec": color}
    ax.plot("x", "value", ".", data=seed, color=color, alpha=0.4, ms=4.5, mew=0)
    ax.plot("x", "value", data=mean, ls="", zorder=5, **look)
    if seed.empty:
        ax.vlines(mean["x"], mean["low"], mean["high"], color=color, linewidth=1.2)
    ax.fill_between(
        fit["x"], fit["low"], fit["high"], color=color, alpha=0.25, linewidth=0
    )
    ax.plot("x", "value", data=fit, color=color, **line)
    ax.plot("x", "value", data=predicted, color=INK, lw=1, ls=LINEARIZED, zorder=4)
    lines = [f"{_wrap(name, 36 if narrow else 48)}:"] if name else []
    long = narrow or len(", ".join(words)) > 46
    lines.append((",\n" if long else ", ").join(words))
    return mlines.Line2D([], [], label="\n".join(lines), **line, **look)


def _slope_words(part: pd.DataFrame, say_begin: bool) -> list[str]:
    """Such as: slope −0.98 [−1.02, −0.95] from 256 on; predicted −1."""
    fit = part[part["part"] == "fit"]
    if fit.empty:
        return ["no width in the fitted range"]
    first = fit.iloc[0]
    if np.isnan(first["slope"]):
        said = str(first["note"]) if pd.notna(first["note"]) else "no slope"
        return [said if said.startswith("no slope") else f"no slope: {said}"]
    slope, low, high = first[["slope", "slope_low", "slope_high"]]
    said = decimal(slope)
    if np.isfinite(low):
        said = "{} [{}, {}]".format(
            *(decimal(v, high - low) for v in (slope, low, high))
        )
    begin = _begin(part) if say_begin else None
    words = [f"slope {said}" + (f" from {begin:g} on" if begin else "")]
    if np.isfinite(first["predicted"]):
        words.append("predicted " + minus(f"{first['predicted']:g}"))
    return words


def _scaling_handles(
    table: pd.DataFrame, statistic: str | None, edges: Sequence[float]
) -> list[Any]:
    points = {"color": GREY, "ls": ""}
    handles = []
    if statistic:
        name = STATISTICS[statistic]
        handles.append(
            mlines.Line2D([], [], marker="o", mec="white", ms=6, label=name, **points)
        )
    if (table["part"] == "seed").any():
        handles.append(
            mlines.Line2D([], [], marker=".", alpha=0.6, label="one seed", **points)
        )
    handles.append(mlines.Line2D([], [], color=GREY, label="fit"))
    if table.loc[table["part"] == "fit", "low"].notna().any():
        handles.append(
            mpatches.Patch(color=GREY, alpha=0.25, lw=0, label="95 % interval")
        )
    if (table["part"] == "predicted").any():
        dashed = {"color": INK, "lw": 1, "ls": LINEARIZED}
        handles.append(mlines.Line2D([], [], label="predicted slope", **dashed))
    if edges:
        below = f" (below {edges[0]:g})" if len(set(edges)) == 1 else ""
        label = f"not fitted{below}"
        handles.append(mpatches.Patch(fc="#f1f1f1", ec="#d5d5d5", label=label))
    return handles


def dynamics(table: pd.DataFrame, log_x: bool) -> Figure:
    """f(x, t) of each point: colour is the point, line style the model."""
    if table.empty:
        return nothing("all networks of this figure diverged")
    variants, widths = _unique(table, "variant"), sorted(set(table["width"]))
    points = _unique(table, "point")
    colors = dict(zip(points, _categories(len(points)), strict=True))
    with style():
        figure, axes = _grid(
            len(variants), len(widths), height=2.7, sharex="row", sharey="row"
        )
        for ax, part in _facets(axes, table, variants, widths):
            for (point, model), curve in part.groupby(["point", "model"], sort=False):
                network = model == "network"
                ax.plot(
                    "time",
                    "median",
                    data=curve,
                    color=colors[point] if network else _darker(colors[point]),
                    linestyle=MODELS[model][1],
                    linewidth=2.2 if network else 1.3,
                    alpha=0.75 if network else 1,
                    zorder=2 if network else 3,
                )
                if network and (curve["high"] > curve["low"]).any():
                    ax.fill_between(
                        curve["time"],
                        curve["low"],
                        curve["high"],
                        color=colors[point],
                        alpha=0.15,
                        linewidth=0,
                    )
                if network and curve["target"].notna().all():
                    ax.plot(
                        curve["time"].iloc[-1],
                        curve["target"].iloc[0],
                        marker="D",
                        color=colors[point],
                        mec="white",
                        ms=6,
                        clip_on=False,
                        zorder=5,
                    )
            if log_x:
                same = table["variant"] == part["variant"].iloc[0]
                _log_time(ax, table.loc[same, "time"])
            ax.set(xlabel=TIME["time"], ylabel="output f(x, t)")
        _titles(axes, variants, [f"n = {width}" for width in widths])
        _outer(axes)
        handles = [
            mlines.Line2D([], [], color=colors[point], label=f"{_point_name(point)}")
            for point in points
        ]
        handles += _model_handles(_unique(table, "model"))
        handles.append(
            mlines.Line2D(
                [], [], ls="", marker="D", color=GREY, mec="white", label="target y"
            )
        )
        if (table["high"] > table["low"]).any():
            handles.append(_range_handle())
        _legend(figure, handles)
    return figure


def modes(table: pd.DataFrame, log_x: bool, of: str = "eigenvectors") -> Figure:
    """|c_i(t)|, solid, with its predicted exponential, dashed."""
    name, what, exponent = {
        "eigenvectors": ("mode", r"residual $|v_i\cdot(f(t)-y)|$", r"-\lambda_i t"),
        "frequencies": ("k =", r"residual along $\cos k\gamma$", r"-\lambda_k t"),
    }[of]
    if table.empty:
        return nothing("the network of this figure diverged")
    variants, widths = _unique(table, "variant"), sorted(set(table["width"]))
    shown = sorted(set(table["mode"]))
    colors = dict(zip(shown, _categories(len(shown)), strict=True))
    with style():
        figure, axes = _grid(
            len(variants), len(widths), height=2.8, sharex="row", sharey="row"
        )
        for ax, part in _facets(axes, table, variants, widths):
            for mode, curve in part.groupby("mode"):
                ax.plot("time", "component", data=curve, color=colors[mode], alpha=0.85)
                ax.plot(
                    "time",
                    "predicted",
                    data=curve,
                    color=_darker(colors[mode]),
                    linestyle=LINEARIZED,
                    linewidth=1.1,
                )
            if log_x:
                same = table["variant"] == part["variant"].iloc[0]
                _log_time(ax, table.loc[same, "time"])
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
                _log_ticks(ax)
        _titles(axes, variants, [f"n = {width}" for width in widths])
        _outer(axes)
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
                label=rf"predicted $e^{{{exponent}}}$",
            ),
        ]
        _legend(figure, handles)
    return figure


def function_band(table: pd.DataFrame, axis: str) -> Figure:
    """Networks as thin lines, the limit's percentiles dashed, data as dots."""
    runs = table[table["width"] > 0]
    if runs.empty:
        return nothing("all networks of this figure diverged")
    variants, widths = _unique(table, "variant"), sorted(set(runs["width"]))
    colors = width_colors(widths)
    with style():
        figure, axes = _grid(
            len(variants), len(widths), height=2.9, sharex=True, sharey="row"
        )
        for ax, part in _facets(axes, table, variants, widths):
            width = int(part["width"].iloc[0])
            variant = part["variant"].iloc[0]
            reference = _where(table, variant=variant, width=0)
            _lines(ax, part[part["part"] == "network"], colors[width], alpha=0.45)
            limit = reference[reference["part"].str.startswith("limit")]
            _percentiles(ax, part, "networks", _darker(colors[width]), "-", 1.6)
            _percentiles(ax, limit, "limit", INK, LINEARIZED, 1.5)
            ax.plot(
                "x",
                "value",
                "o",
                data=reference[reference["part"] == "data"],
                color=_categories(4)[3],
                mec="white",
                ms=6.5,
                zorder=5,
            )
            _coordinate_axis(ax, axis)
            ax.set_ylabel("output f(x) after training")
        _titles(axes, variants, [f"n = {width}" for width in widths])
        _outer(axes)
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
                color=_categories(4)[3],
                marker="o",
                mec="white",
                ls="",
                ms=6.5,
                label="training points",
            ),
        ]
        _legend(figure, handles)
    return figure


def kernel_slice(table: pd.DataFrame, axis: str) -> Figure:
    """Θ(x₀, x) of each network: dashed before, solid after training; limit black."""
    runs = table[table["width"] > 0]
    if runs.empty:
        return nothing("all networks of this figure diverged")
    variants, widths = _unique(table, "variant"), sorted(set(runs["width"]))
    moments = _unique(runs, "when")
    before, after = (
        sns.color_palette("colorblind")[0],
        sns.color_palette("colorblind")[1],
    )
    colors = {"before": before, "after": after}
    styles = (
        {"before": LINEARIZED, "after": "-"} if len(moments) > 1 else {"before": "-"}
    )
    with style():
        figure, axes = _grid(
            len(variants), len(widths), height=2.9, sharex=True, sharey="row"
        )
        for ax, part in _facets(axes, table, variants, widths):
            variant = part["variant"].iloc[0]
            for when in moments:
                curves = part[part["when"] == when]
                _lines(ax, curves, colors[when], alpha=0.55, ls=styles[when])
            limit = _where(table, variant=variant, width=0)
            ax.plot("x", "value", data=limit, color=INK, linewidth=1.5, zorder=4)
            ax.axvline(part["x0"].iloc[0], color=GREY, lw=0.9, ls=LIMIT, zorder=1)
            _coordinate_axis(ax, axis)
            ax.set_ylabel("kernel Θ(x₀, x)")
        _titles(axes, variants, [f"n = {width}" for width in widths])
        _outer(axes)
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
        _legend(figure, handles)
    return figure


def heatmap(table: pd.DataFrame, kernel: str, axis: str | None = None) -> Figure:
    """Matrices side by side: kernels of a row on one scale, the change on its own.

    Rows and columns are points by number, or coordinates along `axis`.
    """
    if table.empty:
        return nothing("the network of this figure diverged")
    runs = list(dict.fromkeys(zip(table["variant"], table["width"], strict=True)))
    parts = _unique(table, "part")
    symbol = {"ntk": "Θ", "nngp": "Σ"}[kernel]
    names = {
        "before": f"{symbol} before training",
        "after": f"{symbol} after training",
        "change": "change",
        "limit": f"{symbol}, infinite width",
    }
    cell = PAGE / len(parts)
    with style():
        figure, axes = _grid(
            len(runs), len(parts), height=cell * 1.08, width=PAGE + 1.2
        )
        for row, (variant, width) in enumerate(runs):
            run = _where(table, variant=variant, width=width)
            shared = run.loc[run["part"] != "change", "value"]
            norm = mcolors.Normalize(min(shared.min(), 0), shared.max())
            for ax, part in zip(axes[row], parts, strict=True):
                matrix = run[run["part"] == part].pivot_table(
                    index="row", columns="column", values="value"
                )
                change = part == "change"
                image = ax.imshow(
                    matrix,
                    cmap=change_colors() if change else "mako",
                    norm=mcolors.CenteredNorm() if change else norm,
                    extent=_edges(matrix.index),
                    interpolation="nearest",
                )
                ax.grid(False)
                ax.set_title(names[part] if row == 0 else "")
                _matrix_axes(ax, axis, len(matrix))
                if change:
                    _bar(figure, image, ax)
            same = [
                a for a, part in zip(axes[row], parts, strict=True) if part != "change"
            ]
            _bar(figure, cm.ScalarMappable(norm, "mako"), same[-1])
            several = len({v for v, _ in runs}) > 1
            lead = f"{variant}\n" if several else ""
            label = axes[row, 0].get_ylabel()
            axes[row, 0].set_ylabel(f"{lead}n = {width}\n{label}")
        for ax in axes[:, 1:].flat:
            ax.set_ylabel("")
        for ax in axes[:-1].flat:
            ax.set_xlabel("")
    return figure


def _edges(index) -> tuple[float, float, float, float]:
    """Where a matrix whose rows lie at these places begins and ends, y down."""
    half = (index[-1] - index[0]) / max(len(index) - 1, 1) / 2 or 0.5
    low, high = index[0] - half, index[-1] + half
    return low, high, high, low


def _matrix_axes(ax: Axes, axis: str | None, count: int) -> None:
    """Labels and ticks of a kernel matrix."""
    if axis is None:
        ax.set(xlabel="point j", ylabel="point i")
        _index_ticks(ax, count)
        return
    name = {"x": "x", "angle": "γ"}[axis]
    ax.set(xlabel=f"{name}′", ylabel=name)
    for line in (ax.xaxis, ax.yaxis):
        _angle_ticks(line) if axis == "angle" else line.set_major_locator(
            ticker.MaxNLocator(4)
        )


def spectrum(table: pd.DataFrame, kernel: str, slopes: dict[str, float]) -> Figure:
    """Eigenvalues against index; colour is width, dashed before training.

    `slopes` are those predicted of each variant, NaN where none is.
    """
    if table.empty:
        return nothing("all networks of this figure diverged")
    variants = _unique(table, "variant")
    widths = sorted(set(table.loc[table["width"] > 0, "width"]))
    colors = width_colors(widths)
    moments = [w for w in ("before", "after") if (table["when"] == w).any()]
    styles = dict(zip(moments[::-1], ("-", LINEARIZED), strict=False))
    symbol = {"ntk": "Θ", "nngp": "Σ"}[kernel]
    few = table["index"].max() <= 64
    with style():
        figure, axes = _grid(
            1,
            len(variants),
            height=3.5,
            width=5.6 if len(variants) == 1 else PAGE + 1,
            sharex=True,
            sharey=True,
        )
        for ax, variant in zip(axes[0], variants, strict=True):
            part = table[table["variant"] == variant]
            for (width, when), curve in part.groupby(["width", "when"]):
                limit = width == 0
                color = INK if limit else colors[width]
                ax.plot(
                    "index",
                    "median",
                    data=curve,
                    color=color,
                    linestyle=LIMIT if limit else styles[when],
                    linewidth=1.8 if limit else 1.4,
                    marker="o" if few and not (limit and widths) else None,
                    ms=2.6,
                    zorder=4 if limit else 2,
                )
                if not limit and (curve["high"] > curve["low"]).any():
                    ax.fill_between(
                        curve["index"],
                        curve["low"],
                        curve["high"],
                        color=color,
                        alpha=0.13,
                        linewidth=0,
                    )
            if np.isfinite(slope := slopes[variant]):
                top = part[part["index"] == 1]["median"].max()
                index = np.array([1, part["index"].max()])
                ax.plot(index, 2 * top * index**slope, color=GREY, lw=1, ls=LINEARIZED)
            ax.set_xscale("log")
            ax.set_yscale("log", nonpositive="mask")
            _log_ticks(ax)
            ax.set(xlabel="index of the eigenvalue", ylabel=f"eigenvalue of {symbol}/N")
            _index_axis(ax, int(table["index"].max()))
        _titles(axes, [""], variants if len(variants) > 1 else [""])
        _outer(axes)
        handles = [
            mlines.Line2D([], [], color=colors[w], label=f"n = {w}") for w in widths
        ]
        if len(moments) > 1:
            handles += [
                mlines.Line2D([], [], color=GREY, ls=styles[w], label=f"{w} training")
                for w in moments
            ]
        if (table["width"] == 0).any():
            handles.append(
                mlines.Line2D(
                    [], [], color=INK, ls=LIMIT, lw=1.8, label="infinite width"
                )
            )
        drawn = dict.fromkeys(slopes[v] for v in variants if np.isfinite(slopes[v]))
        if drawn:
            text = f"predicted slope {', '.join(minus(f'{s:g}') for s in drawn)}"
            handles.append(
                mlines.Line2D([], [], color=GREY, lw=1, ls=LINEARIZED, label=text)
            )
        if (table["high"] > table["low"]).any():
            handles.append(_range_handle())
        _legend(figure, handles)
    return figure


def projections(table: pd.DataFrame) -> Figure:
    """Eigenvalues, and the cumulative share of the targets, against the index."""
    variants = _unique(table, "variant")
    colors = dict(zip(variants, _categories(len(variants)), strict=True))
    with style():
        figure, axes = _grid(1, 2, height=3.0)
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
            _index_axis(ax, int(table["index"].max()))
            ax.set_xlabel("index of the eigenvector")
        positive = table.loc[table["eigenvalue"] > 0, "eigenvalue"]
        axes[0, 0].set_yscale("log", nonpositive="mask")
        axes[0, 0].set_ylim(positive.min() / 1.5, positive.max() * 1.5)
        _log_ticks(axes[0, 0])
        axes[0, 0].set_ylabel(r"eigenvalue of $\Theta_\infty/N$")
        axes[0, 1].set(ylim=(0, 1.04), ylabel="cumulative share of ‖y‖²")
        _letters(axes.flat)
        _legend(
            figure, [mlines.Line2D([], [], color=colors[v], label=v) for v in variants]
        )
    return figure


def components(table: pd.DataFrame, which: Sequence[int]) -> Figure:
    """Points by two principal components, coloured by class."""
    variants, classes = _unique(table, "variant"), sorted(set(table["class"]))
    colors = dict(zip(classes, _categories(len(classes)), strict=True))
    with style():
        figure, axes = _grid(1, len(variants), height=3.3, width=3.9 * len(variants))
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
        _titles(axes, [""], variants if len(variants) > 1 else [""])
        handles = [
            mlines.Line2D(
                [], [], ls="", marker="o", ms=4, color=colors[c], label=str(c)
            )
            for c in classes
        ]
        _legend(figure, handles)
    return figure


# ------------------------------------------------------------------ the moving kinds


def functions(table: pd.DataFrame, axis: str, steps: Sequence[int]) -> Figure:
    """Networks as thin lines: rows are runs, columns are steps."""
    runs = _runs(table)
    if not runs:
        return nothing("all networks of this figure diverged")
    known = np.array(sorted(set(table["step"].dropna())))
    shown = sorted({known[np.abs(known - step).argmin()] for step in steps})
    with style():
        figure, axes = _grid(
            len(runs), len(shown), height=2.9, sharex=True, sharey=True
        )
        if shown == [0]:  # they know nothing of targets
            table = table[table["part"] != "data"]
        for row, (variant, width) in enumerate(runs):
            part = _where(table, variant=variant, width=width)
            data = _where(table, variant=variant, part="data")
            for ax, step in zip(axes[row], shown, strict=True):
                _many_lines(ax, part[part["step"] == step], data, axis)
        _same_y(axes, _inside(table))
        _titles(
            axes,
            _run_names(runs),
            ["" if shown == [0] else f"step {step:,.0f}" for step in shown],
        )
        _outer(axes)
    return figure


def functions_frames(table: pd.DataFrame, axis: str) -> Iterator[Figure]:
    """The same, a panel for each run and a frame for each step."""
    runs = _runs(table)
    if not runs:
        yield nothing("all networks of this figure diverged")
        return
    steps = sorted(set(table["step"].dropna()))
    with style():
        figure, axes = _grid(1, len(runs), height=3.2, sharex=True, sharey=True)
        lines, by_step = [], []
        for ax, (variant, width) in zip(axes.flat, runs, strict=True):
            part = _where(table, variant=variant, width=width)
            data = _where(table, variant=variant, part="data")
            groups = dict(list(part.groupby("step")))
            by_step.append(groups)
            lines.append(_many_lines(ax, groups[min(groups)], data, axis))
        _same_y(axes, _inside(table))
        _titles(axes, [""], _run_names(runs))
        _outer(axes)
        clock = _clock(figure)
    for step in steps:
        clock.set_text(_time(step))
        for collection, groups in zip(lines, by_step, strict=True):
            collection.set_segments(_segments(groups[_last(groups, step)]))
        yield figure


def _many_lines(ax: Axes, rows: pd.DataFrame, data: pd.DataFrame, axis: str):
    """All networks of one step and the training points; the collection of lines."""
    segments = _segments(rows)
    lines = mcollections.LineCollection(
        segments, colors=_by_order(len(segments)), linewidths=0.7, alpha=0.65
    )
    ax.add_collection(lines)
    ax.plot("x", "y", "o", data=data, color=TARGET, mec="white", ms=7, zorder=5)
    _coordinate_axis(ax, axis)
    ax.set_ylabel("output f(x)")
    ax.set_xlim(rows["x"].min(), rows["x"].max())
    return lines


def _segments(rows: pd.DataFrame) -> list[np.ndarray]:
    """A line (m 2) for each column f1, f2, … that has numbers."""
    x = rows["x"].to_numpy(float)
    columns = [name for name in rows if name[0] == "f" and rows[name].notna().any()]
    return [np.stack([x, rows[name].to_numpy(float)], -1) for name in columns]


def _by_order(count: int) -> list[Any]:
    """Few colours that alternate, so that neighbours are told apart."""
    colors = [_sequence(6)[k] for k in (0, 3, 5, 1, 4, 2)]
    return [colors[k % 6] for k in range(count)]


def _inside(table: pd.DataFrame) -> tuple[float, float]:
    """Range of all functions and targets, with some room."""
    values = table[[name for name in table if name[0] == "f"]].to_numpy(float)
    values = [np.nanmin(values), np.nanmax(values), *table["y"].dropna()]
    low, high = min(values), max(values)
    return low - 0.06 * (high - low), high + 0.06 * (high - low)


def _same_y(axes, limits: tuple[float, float]) -> None:
    for ax in axes.flat:
        ax.set_ylim(*limits)


def ellipses(table: pd.DataFrame, count: int) -> Figure:
    """Trajectories of two outputs with ellipses of the kernel, a panel for each run."""
    runs = _runs(table)
    if not runs:
        return nothing("all networks of this figure diverged")
    colors = _sequence(count)
    with style():
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
            names[count // 2] = "in between, equally far apart along the way"
        kernels = [
            mpatches.Patch(
                fc=mcolors.to_rgba(colors[k], 0.2), ec=colors[k], label=names[k]
            )
            for k in sorted(names)
        ]
        _legend(figure, [*kernels, *_ellipse_handles()])
    return figure


def ellipses_frames(table: pd.DataFrame) -> Iterator[Figure]:
    """The same with one ellipse that moves; panels have their own recorded steps."""
    runs = _runs(table)
    if not runs:
        yield nothing("all networks of this figure diverged")
        return
    color = _sequence(6)[3]
    with style():
        figure, axes = _planes(table, runs)
        parts = []
        for ax, path in zip(axes, _paths(table, runs), strict=False):
            _landmarks(ax, path)
            ax.add_patch(_ellipse(table, path.iloc[0], GREY, filled=False))
            (line,) = ax.plot([], [], color=INK, lw=1.1, zorder=3)
            (point,) = ax.plot([], [], "o", color=color, mec="white", ms=4.5, zorder=5)
            patch = ax.add_patch(_ellipse(table, path.iloc[0], color))
            text = _change_text(ax, path.iloc[0])
            parts.append((path, line, point, patch, text))
        now = mpatches.Patch(fc=mcolors.to_rgba(color, 0.2), ec=color, label="kernel")
        then = mpatches.Patch(
            fc="none", ec=GREY, ls=LIMIT, label="kernel at the beginning"
        )
        _legend(figure, [now, then, *_ellipse_handles()])
    for step in sorted(set(table["step"])):
        for path, line, point, patch, text in parts:
            so_far = path[path["step"] <= step]
            row = so_far.iloc[-1]
            line.set_data(so_far["f1"], so_far["f2"])
            point.set_data([row["f1"]], [row["f2"]])
            patch.set(center=(row["f1"], row["f2"]), **_axes_of(table, row))
            # each its own, as not all networks are trained as long as one another
            text.set_text(f"{_time(row['step'])}\n{_changed(row)}")
        yield figure


def _paths(table: pd.DataFrame, runs) -> list[pd.DataFrame]:
    return [
        _where(table, variant=variant, width=width).reset_index(drop=True)
        for variant, width in runs
    ]


def _planes(table: pd.DataFrame, runs) -> tuple[Figure, list[Axes]]:
    """Panels of the plane of two outputs, four in a row, on one scale."""
    columns = min(4, len(runs))
    rows = -(-len(runs) // columns)
    low, high = _plane(table)
    width = {1: 5.2, 2: PAGE}.get(columns, 9.6)
    shape = (high[1] - low[1]) / (high[0] - low[0])
    # so low that width is left over: constrained layout does not see missing height
    height = (width / columns - 0.6) * shape + 0.5
    figure, axes = _grid(rows, columns, height=height, width=width)
    for ax, name in zip(axes.flat, _run_names(runs), strict=False):
        ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        ax.set_aspect("equal", anchor="W")
        ax.set(xlabel="f(x₁)", ylabel="f(x₂)", title=name)
        ax.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
        ax.yaxis.set_major_locator(ticker.MaxNLocator(4, integer=True))
    for ax in axes.flat[len(runs) :]:
        ax.set_visible(False)
    for ax in axes[:, 1:].flat:
        ax.set_ylabel("")
    for ax in axes.flat[: max(len(runs) - columns, 0)]:
        ax.set_xlabel("")
    return figure, list(axes.flat)


def _plane(table: pd.DataFrame):
    """Lower left and upper right corner of what is seen: where the targets are."""
    first = table.iloc[0]
    ends = np.array([[first["f1"], first["f2"]], [first["y1"], first["y2"]]])
    room = 0.5 * np.linalg.norm(ends[1] - ends[0])
    return ends.min(0) - room * np.array([0.85, 0.75]), ends.max(0) + room * 0.6


def _landmarks(ax: Axes, path: pd.DataFrame) -> None:
    """The target, and the way that a constant kernel takes to it."""
    ax.plot("constant1", "constant2", data=path, color=GREY, lw=1.1, ls=LINEARIZED)
    end = path.iloc[[0]]
    ax.plot("y1", "y2", "D", data=end, color=TARGET, mec="white", ms=6, zorder=6)


def _ellipse(table: pd.DataFrame, row: pd.Series, color, filled=True) -> Ellipse:
    shape = _axes_of(table, row)
    look = {"facecolor": mcolors.to_rgba(color, 0.2), "edgecolor": color, "lw": 1.1}
    if not filled:
        look = {"facecolor": "none", "edgecolor": color, "lw": 1, "linestyle": LIMIT}
    return mpatches.Ellipse((row["f1"], row["f2"]), **shape, **look, zorder=2.5)


def _axes_of(table: pd.DataFrame, row: pd.Series) -> dict[str, float]:
    """Axes of {u : uᵀHu = c}: 2√(c/λ_i); of the table's first H the longer is 1.2."""
    scale = 1.2 * np.sqrt(table["lambda2"].iloc[0])
    thin, long = scale / np.sqrt([row["lambda1"], row["lambda2"]])
    return {"width": thin, "height": long, "angle": row["angle"]}


def _along(path: pd.DataFrame, count: int) -> list[int]:
    """Rows at equal distances along the way."""
    way = np.hypot(path["f1"].diff(), path["f2"].diff()).fillna(0).cumsum()
    return [
        int((way - way.iloc[-1] * share).abs().idxmin())
        for share in np.linspace(0, 1, count)
    ]


def _change_text(ax: Axes, row: pd.Series):
    place = {"transform": ax.transAxes, "va": "bottom", "fontsize": 8}
    return ax.text(0.03, 0.03, _changed(row), **place)


def _changed(row: pd.Series) -> str:
    change = row["change"]
    digits = f"{change:.0f}" if change >= 10 else f"{change:.2g}"
    return f"‖ΔΘ‖/‖Θ₀‖ = {digits}"


def _clock(figure: Figure):
    """The text that tells the step, above the panels."""
    return figure.suptitle(_time(0), ha="left", x=0.02, fontsize=10)


def _time(step: float) -> str:
    return f"step {step:,.0f}"


def _ellipse_handles() -> list[Line2D]:
    return [
        mlines.Line2D([], [], color=INK, lw=1.1, label="outputs f(t)"),
        mlines.Line2D(
            [],
            [],
            color=GREY,
            lw=1.1,
            ls=LINEARIZED,
            label="those of a constant kernel",
        ),
        mlines.Line2D(
            [],
            [],
            ls="",
            marker="D",
            color=TARGET,
            mec="white",
            ms=6,
            label="targets y",
        ),
    ]


def landscapes(table: pd.DataFrame, rows: int) -> Figure:
    """f and loss on the line through w₀, with the tangent's, a row for each run."""
    runs = _runs(table)
    if not runs:
        return nothing("all networks of this figure diverged")
    chosen = np.linspace(0, len(runs) - 1, min(rows, len(runs))).round().astype(int)
    shown = [runs[k] for k in chosen]
    with style():
        figure, axes = _landscape_axes(table, runs, len(shown))
        for row, run, name in zip(axes, shown, _run_names(shown), strict=True):
            _show_landscape(row, _where(table, variant=run[0], width=run[1]), name)
        for ax in axes[:-1].flat:
            ax.set_xlabel("")
    return figure


def landscapes_frames(table: pd.DataFrame) -> Iterator[Figure]:
    """The same, one run after the other on the same axes."""
    runs = _runs(table)
    if not runs:
        yield nothing("all networks of this figure diverged")
        return
    for run, name in zip(runs, _run_names(runs), strict=True):
        with style():
            figure, axes = _landscape_axes(table, runs, 1)
            _show_landscape(axes[0], _where(table, variant=run[0], width=run[1]), name)
        yield figure


def _landscape_axes(table: pd.DataFrame, runs, rows: int) -> tuple[Figure, np.ndarray]:
    """Panels of f, of the loss and of the loss near w₀; y scales are of all runs."""
    figure, axes = _grid(rows, 3, height=2.1, width=PAGE + 1.5)
    first = _where(table, variant=runs[0][0], width=runs[0][1])
    ends = table.groupby(["variant", "width"])["distance"].agg(["min", "max"]).abs()
    reach = ends.min(axis=None)  # as far as all runs go
    at_start = np.interp(0, first["distance"], first["loss"])
    start, y = np.interp(0, first["distance"], first["f"]), first["y"].iloc[0]
    for left, middle, right in axes:
        room = 2 * abs(y - start)
        ends = sorted((start - 0.75 * room, y + 0.75 * room))
        left.set(xlim=(-reach, reach), ylim=ends, ylabel="f(w)")
        middle.set(xlim=(-reach, reach), ylabel="loss")
        middle.set_ylim(-0.04 * at_start, 1.25 * at_start)
        right.set_ylabel("loss near w₀")
        for ax in (left, middle, right):
            ax.set_xlabel("w − w₀")
    handles = [
        mlines.Line2D([], [], color=INK, label="the model"),
        mlines.Line2D(
            [], [], color=GREY, ls=LINEARIZED, label="its linearisation at w₀"
        ),
        mlines.Line2D([], [], color=TARGET, lw=1, label="target y"),
        mlines.Line2D([], [], color=INK, ls="", marker="o", ms=4, label="least loss"),
    ]
    _legend(figure, handles)
    return figure, axes


def _show_landscape(axes, run: pd.DataFrame, name: str) -> None:
    """One run in its three panels."""
    left, middle, right = axes
    left.plot("distance", "tangent", data=run, color=GREY, ls=LINEARIZED)
    left.plot("distance", "f", data=run, color=INK)
    left.axhline(run["y"].iloc[0], color=TARGET, lw=1)
    left.set_title(name)
    for ax in (middle, right):
        ax.plot("distance", "loss_tangent", data=run, color=GREY, ls=LINEARIZED)
        ax.plot("distance", "loss", data=run, color=INK)
        near = run[run["distance"].abs() <= 2 * run["move"]]
        for column, color in (("loss_tangent", GREY), ("loss", INK)):
            least = near.loc[[near[column].idxmin()]]
            if least.index[0] in near.index[[0, -1]]:
                continue  # it goes on falling
            ax.plot("distance", column, "o", data=least, color=color, ms=4, zorder=4)
    zoom = 2 * run["move"].iloc[0]
    at_start = np.interp(0, run["distance"], run["loss"])
    right.set(xlim=(-zoom, zoom), ylim=(-0.08 * at_start, 2.5 * at_start))
    right.xaxis.set_major_locator(ticker.MaxNLocator(3))
    for ax in axes:
        ax.axvline(0, color=GREY, lw=0.6, ls=LIMIT)


def matrices(table: pd.DataFrame) -> Figure:
    """Rows are runs; columns are the matrix before, after, and its change."""
    runs = _runs(table)
    if not runs:
        return nothing("the network of this figure diverged")
    names = ("W before training", "W after training", "change")
    with style():
        figure, axes = _grid(len(runs), 3, height=2.65, width=PAGE)
        for row, (name, (variant, width)) in enumerate(
            zip(_run_names(runs), runs, strict=True)
        ):
            run = _where(table, variant=variant, width=width)
            first, last = run["step"].min(), run["step"].max()
            before, after = (_entries(run[run["step"] == s]) for s in (first, last))
            for ax, title, matrix in zip(
                axes[row], names, (before, after, after - before), strict=True
            ):
                image = _show_matrix(ax, matrix)
                ax.set_title(title if row == 0 else "")
            change = run.loc[run["step"] == last, "change"].iloc[0]
            axes[row, 2].set_xlabel(_corner_changed(change))
            axes[row, 0].set_ylabel(name)
        _matrix_bar(figure, image, axes)
    return figure


def matrices_frames(table: pd.DataFrame) -> Iterator[Figure]:
    """Columns are runs: the matrix above what has changed of it, on one scale."""
    runs = _runs(table)
    if not runs:
        yield nothing("the network of this figure diverged")
        return
    with style():
        figure, axes = _grid(2, len(runs), height=2.45, width=PAGE)
        parts = []
        for column, (name, (variant, width)) in enumerate(
            zip(_run_names(runs), runs, strict=True)
        ):
            run = _where(table, variant=variant, width=width)
            states = {
                step: (_entries(rows), rows["change"].iloc[0])
                for step, rows in run.groupby("step")
            }
            start = states[min(states)][0]
            upper, lower = axes[:, column]
            images = _show_matrix(upper, start), _show_matrix(lower, start * 0)
            upper.set_title(name)
            text = lower.set_xlabel(_corner_changed(0))
            parts.append((states, start, images, text))
        axes[0, 0].set_ylabel("W(t)")
        axes[1, 0].set_ylabel("W(t) − W(0)")
        _matrix_bar(figure, images[0], axes)
        clock = _clock(figure)
    for step in sorted(set(table["step"])):
        clock.set_text(_time(step))
        for states, start, (upper, lower), text in parts:
            matrix, change = states[_last(states, step)]
            upper.set_data(matrix)
            lower.set_data(matrix - start)
            text.set_text(_corner_changed(change))
        yield figure


def _corner_changed(change: float) -> str:
    return f"shown: ‖ΔW‖/‖W₀‖ = {change:.3f}"


def _entries(rows: pd.DataFrame) -> np.ndarray:
    """The matrix whose rows and columns w1, w2, … these are."""
    columns = [name for name in rows if name[0] == "w" and name != "width"]
    return rows[columns].dropna(axis=1).to_numpy(float)


def _show_matrix(ax: Axes, matrix: np.ndarray):
    ax.grid(False)
    ax.set(xticks=[], yticks=[])
    return ax.imshow(
        matrix, cmap=change_colors(), vmin=-2, vmax=2, interpolation="nearest"
    )


def _matrix_bar(figure: Figure, image, axes) -> None:
    bar = figure.colorbar(image, ax=axes, shrink=0.5, aspect=24, pad=0.02)
    bar.set_label("entry / root mean square of W(0)")
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=2, labelsize=7)


def _runs(table: pd.DataFrame) -> list[tuple[str, int]]:
    """(variant, width) of all runs, in the order of the table."""
    rows = table[table["width"] > 0]
    return list(dict.fromkeys(zip(rows["variant"], rows["width"], strict=True)))


def _run_names(runs: Sequence[tuple[str, int]]) -> list[str]:
    """What tells runs apart: variants, widths, or both."""
    variants, widths = ({run[k] for run in runs} for k in (0, 1))
    return [
        ", ".join(
            [variant] * (len(variants) > 1)
            + [f"n = {width}"] * (len(widths) > 1 or len(variants) == 1)
        )
        for variant, width in runs
    ]


def _last(steps, step: float) -> float:
    """The last of these steps that is not after `step`."""
    return max(s for s in steps if s <= step)


def nothing(reason: str) -> Figure:
    """A figure that says why there is nothing to draw."""
    with style():
        figure = mfigure.Figure(figsize=(PAGE, 1.2), layout="constrained")
        figure.text(0.5, 0.5, f"Nothing to draw: {reason}.", ha="center", va="center")
    return figure


# ------------------------------------------------------------------ colours, words


def width_colors(widths: Sequence[int]) -> dict[int, str]:
    """Light and narrow to dark and wide, in the order of widths."""
    return dict(zip(widths, _sequence(len(widths)), strict=True))


def _sequence(count: int) -> list[str]:
    at = [0.5] if count == 1 else np.linspace(0, 1, count)
    return [mcolors.to_hex(color) for color in width_colormap()(at)]


def _categories(count: int) -> list[str]:
    """Colour-blind safe; more than ten points are told apart by order only."""
    if count > 10:
        return _sequence(count)
    palette = [mcolors.to_hex(color) for color in sns.color_palette("colorblind", 10)]
    # pink and yellow, which are faint on white, come last
    return [palette[k] for k in (0, 1, 2, 3, 4, 5, 9, 7, 6, 8)[:count]]


def _darker(color: str) -> str:
    return mcolors.to_hex(sns.dark_palette(color, 10)[6])


def _wrap(label: str, length: int = 34) -> str:
    """A long label on two lines, broken at the space nearest its middle."""
    if len(label) <= length:
        return label
    spaces = [i for i, letter in enumerate(label) if letter == " "]
    middle = min(spaces, key=lambda i: abs(i - len(label) / 2), default=None)
    return label if middle is None else f"{label[:middle]}\n{label[middle + 1 :]}"


def _width_label(table: pd.DataFrame, width: int) -> str:
    rows = table[table["width"] == width]
    lost, kept = rows["diverged"].max(), rows["seeds"].max()
    return f"n = {width}" + (f" ({lost} of {lost + kept} diverged)" if lost else "")


def _point_name(point: str) -> str:
    part, _, index = point.partition(" ")
    return f"{'training' if part == 'train' else 'test'} point {index}"


def _where(table: pd.DataFrame, **values: Any) -> pd.DataFrame:
    """Rows in which columns have these values."""
    for column, value in values.items():
        table = table[table[column] == value]
    return table


def _unique(table: pd.DataFrame, column: str) -> list[Any]:
    return list(dict.fromkeys(table[column]))


# ------------------------------------------------------------------ axes, legends


def _grid(rows: int, columns: int, height: float, width: float = 0.0, **share):
    """A figure with rows × columns axes, as wide as a page if more than one."""
    width = width or {1: 5.2, 2: PAGE, 3: PAGE + 1}.get(columns, 10.0)
    figure = mfigure.Figure(figsize=(width, rows * height + 0.5), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.05, wspace=0.03, hspace=0.04)
    return figure, figure.subplots(rows, columns, squeeze=False, **share)


def _facets(axes, table, variants, widths) -> Iterator[tuple[Axes, pd.DataFrame]]:
    """Axes and rows of each (variant, width); axes without rows say so."""
    for row, variant in enumerate(variants):
        for column, width in enumerate(widths):
            part = _where(table, variant=variant, width=width)
            ax = axes[row, column]
            if part.empty:
                ax.text(0.5, 0.5, "no run", transform=ax.transAxes, ha="center")
                continue
            yield ax, part


def _titles(axes, rows: Sequence[str], columns: Sequence[str]) -> None:
    """Titles "(a) row, column" where there is more than one panel."""
    for i, row in enumerate(axes):
        for j, ax in enumerate(row):
            names = [rows[i] if len(rows) > 1 else "", columns[j]]
            ax.set_title(", ".join(name for name in names if name))
    if axes.size > 1:
        _letters(axes.flat)


def _letters(axes) -> None:
    for letter, ax in zip(string.ascii_lowercase, axes, strict=False):
        title = ax.get_title(loc="left")
        ax.set_title(f"({letter})  {title}".rstrip())


def _outer(axes) -> None:
    """Labels at the outer panels only, where their axis is that of those inside."""
    shared = axes[0, 0].get_shared_x_axes()
    for ax, below in zip(axes[:-1].flat, axes[1:].flat, strict=True):
        if shared.joined(ax, below):
            ax.set_xlabel("")
    for ax in axes[:, 1:].flat:
        ax.set_ylabel("")


def _legend(figure: Figure, handles: Sequence[Any]) -> None:
    """Below the panels, where it can't cover data, in as many columns as fit."""
    longest = max(len(handle.get_label()) for handle in handles)
    letters = figure.get_figwidth() * 13.5  # of 8 points, in all
    columns = max(1, min(len(handles), int(letters / (longest + 6))))
    rows = -(-len(handles) // columns)
    figure.legend(
        handles=list(handles),
        loc="outside lower center",
        ncols=-(-len(handles) // rows),
        columnspacing=1.6,
        handlelength=2.2,
    )


def _model_handles(models: Sequence[str]) -> list[Line2D]:
    if len(models) < 2:
        return []
    return [
        mlines.Line2D([], [], color=INK, lw=1.4, ls=line, label=name)
        for model, (name, line) in MODELS.items()
        if model in models
    ]


def _range_handle() -> Patch:
    return mpatches.Patch(color=GREY, alpha=0.25, lw=0, label="10 – 90 % of seeds")


def _log_time(ax: Axes, times: pd.Series) -> None:
    """Log axis of time, linear from 0 to what is recorded first: it begins at 0."""
    first, last = times[times > 0].min(), times.max()
    ax.set_xscale("symlog", linthresh=first, linscale=0.4)
    decades = 10.0 ** np.arange(np.ceil(np.log10(first)), np.log10(last) + 1)
    ax.xaxis.set_major_locator(ticker.FixedLocator([0, *decades]))
    ax.xaxis.set_minor_locator(
        ticker.FixedLocator(
            [k * d for d in decades / 10 for k in range(2, 10) if k * d > first]
        )
    )
    ax.set_xlim(0, last * (last / first) ** 0.03)


def _log_y(ax: Axes, curves: pd.DataFrame) -> None:
    """Log axis over what is drawn, networks whole.

    Of linearisations, which may fall far below or grow without end, it shows on each
    side half as much again as networks need.
    """
    ax.set_yscale("log", nonpositive="mask")
    network = curves[curves["model"] == "network"]
    values = [*network[["low", "median", "high"]].to_numpy().ravel(), *curves["median"]]
    values = np.log10(np.where(np.greater(values, 0), values, np.nan))
    needed = values[: 3 * len(network)]
    if np.isfinite(needed).any():
        low, high = np.nanmin(needed), np.nanmax(needed)
        more = max(0.5 * (high - low), 0.3)
        low, high = (
            max(np.nanmin(values), low - more),
            min(np.nanmax(values), high + more),
        )
        room = 0.05 * (high - low) + 0.04
        ax.set_ylim(10 ** (low - room), 10 ** (high + room))
    _log_ticks(ax)


def _log_ticks(ax: Axes) -> None:
    """Ticks with 1, 2, 5 below two decades, at even steps below half a decade."""
    low, high = ax.get_ylim()
    if high / low > 100:
        return
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    ticks = [k * 10.0**d for d in decades for k in (1, 2, 5)]
    if sum(low <= tick <= high for tick in ticks) < 4:
        ticks = ticker.MaxNLocator(8, steps=[1, 2, 5, 10]).tick_values(low, high)
    ax.yaxis.set_major_locator(
        ticker.FixedLocator([tick for tick in ticks if tick > 0])
    )
    ax.yaxis.set_minor_locator(ticker.NullLocator())
    ax.yaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: tick(v)))


def _width_axis(
    ax: Axes,
    widths: Sequence[float],
    label: str,
    first: Sequence[float | None],
    count: int,
) -> None:
    """Ticks at the widths that were run, as many as fit.

    The ends come first, then where fits begin, then the others from the right.
    """
    ax.set_xscale("log")
    room = np.log(max(widths) / min(widths)) / count
    chosen: list[float] = []
    for x in (min(widths), max(widths), *filter(None, first), *widths[::-1]):
        if all(abs(np.log(x / other)) >= room for other in chosen):
            chosen.append(x)
    ax.xaxis.set_major_locator(ticker.FixedLocator(sorted(chosen)))
    ax.xaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f"{v:.6g}"))
    ax.xaxis.set_minor_locator(ticker.NullLocator())
    ax.set_xlabel(label)


def _index_axis(ax: Axes, largest: int) -> None:
    ticks = [k * 10**d for d in range(7) for k in (1, 2, 5) if k * 10**d <= largest]
    if largest > 100:
        ticks = [t for t in ticks if str(t)[0] == "1"]
    ax.xaxis.set_major_locator(ticker.FixedLocator(ticks))
    ax.xaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f"{v:.0f}"))
    ax.xaxis.set_minor_locator(ticker.NullLocator())


def _index_ticks(ax: Axes, count: int) -> None:
    every = max(1, -(-count // 5))
    ticks = range(1, count + 1, every) if count <= 8 else range(every, count + 1, every)
    ax.set_xticks(list(ticks))
    ax.set_yticks(list(ticks))


def _coordinate_axis(ax: Axes, axis: str) -> None:
    if axis == "x":
        ax.set_xlabel("input x")
        return
    ax.set_xlim(-np.pi, np.pi)
    _angle_ticks(ax.xaxis)
    ax.set_xlabel("angle γ")


def _angle_ticks(axis) -> None:
    axis.set_major_locator(ticker.MultipleLocator(np.pi / 2))
    names = {-2: "−π", -1: "−π/2", 0: "0", 1: "π/2", 2: "π"}
    axis.set_major_formatter(
        ticker.FuncFormatter(lambda v, _: names.get(round(v / (np.pi / 2)), ""))
    )


def _lines(ax: Axes, curves: pd.DataFrame, color, alpha: float, ls="-") -> None:
    """One thin line for each seed."""
    for _, curve in curves.groupby("seed"):
        ax.plot("x", "value", data=curve, color=color, alpha=alpha, lw=0.9, ls=ls)


def _percentiles(ax: Axes, rows: pd.DataFrame, of: str, color, ls, lw: float) -> None:
    """P10, P50 and P90; the outer two thinner."""
    for name in ("P10", "P50", "P90"):
        curve = rows[rows["part"] == f"{of} {name}"]
        thin = lw if name == "P50" else lw * 0.8
        ax.plot("x", "value", data=curve, color=color, ls=ls, lw=thin, zorder=3)


def _bar(figure: Figure, image, ax: Axes) -> None:
    bar = figure.colorbar(image, ax=ax, shrink=0.8, aspect=16, pad=0.03)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=2, labelsize=7)
