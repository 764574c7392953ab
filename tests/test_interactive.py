"""Interactive charts: what Vega draws, against the tables of the figures."""

import functools
import io
import math
import re

import numpy as np
import pandas as pd
import pytest
import vl_convert
from figure_fakes import (
    KINDS,
    FakeArrays,
    arrays_of,
    draw,
    drawn,
    fake_measurements,
    make,
)

from ntkpipe import figures
from ntkpipe.figures import chart_rows, interactive
from ntkpipe.figures.chart import Chart, Marks, Plot, Scale
from ntkpipe.figures.chart_looks import GRID, PAPER, on_dark
from ntkpipe.figures.mathtext import plain

STILL = {"heatmap", "matrices", "ellipses", "landscapes"}
CHARTS = [kind for kind in KINDS if kind not in STILL]
WIDTH = 300


def stored(kind):
    """A figure and its table as it is read from NAME.csv."""
    figure, table, _ = drawn(kind)
    return figure, pd.read_csv(io.StringIO(table.to_csv(index=False)))


@functools.cache
def specified(kind):
    """A chart, its specification with panels of `WIDTH` pixels, and its table.

    Altair validates the specification. Tests must not change what is returned.
    """
    figure, table = stored(kind)
    chart = figure.chart(table)
    spec = interactive.specification(chart, check=True)
    for panel in spec["concat"]:
        panel["width"] = WIDTH
    return chart, spec, table


def test_every_kind_has_a_chart_or_is_known_to_be_still():
    union = figures.Figure.__origin__
    kinds = {kind.__dataclass_fields__["kind"].default for kind in union.__args__}
    assert kinds == set(CHARTS) | STILL
    for kind in KINDS:
        figure, table = stored(kind)
        assert (figure.chart(table) is None) == (kind in STILL)


def scene(item, found):
    """(name of the marks, items) of all marks of a scene graph."""
    if isinstance(item, dict):
        if item.get("marktype") not in (None, "group"):
            found.append((item.get("name", ""), item["marktype"], item["items"]))
        for part in item.get("items", []):
            scene(part, found)
    return found


def number_at(share, scale):
    """The number at a share of an axis, from its scale in a specification."""
    low, high = scale["domain"]
    if scale["type"] == "log":
        return low * (high / low) ** share
    if scale["type"] == "symlog":
        c = scale["constant"]
        ends = [math.copysign(math.log1p(abs(v / c)), v) for v in (low, high)]
        at = ends[0] + share * (ends[1] - ends[0])
        return math.copysign(c * math.expm1(abs(at)), at)
    return low + share * (high - low)


def pixels(kind):
    """(panel, name of the marks, x, y as numbers) of all points that Vega draws."""
    _, spec, _ = specified(kind)
    found = scene(vl_convert.vegalite_to_scenegraph(spec)["scenegraph"], [])
    for name, mark, items in found:
        at = re.match(r"concat_(\d+)_layer_(\d+)_marks", name)
        if not at or mark not in ("line", "symbol", "rect", "area"):
            continue
        unit = spec["concat"][int(at[1])]["layer"][int(at[2])]
        x, y = (unit["encoding"][of]["scale"] for of in "xy")
        shift = unit["mark"].get("xOffset", 0) if isinstance(unit["mark"], dict) else 0
        for item in items:
            # a strip is a stroke around its point
            left = item["x"] + item.get("width", 0) / 2 - shift
            top = item["y"] + (item.get("height", 0) / 2 if mark == "rect" else 0)
            yield (
                int(at[1]),
                name,
                number_at(left / WIDTH, x),
                number_at(1 - top / spec["concat"][0]["height"], y),
            )


@pytest.mark.parametrize("kind", CHARTS)
def test_vega_draws_the_rows_of_the_table_and_no_other_number(kind):
    """The numbers at the pixels are pairs of the table, to its rounding."""
    figure, table = stored(kind)
    chart = figure.chart(table)
    numbers = table.select_dtypes("number")
    x = numbers[chart.x].to_numpy()
    pairs = np.concatenate(
        [np.stack([x, numbers[name]], -1) for name in numbers if name != chart.x]
    )
    pairs = pairs[np.isfinite(pairs).all(1)]
    seen = 0
    for _, name, *point in pixels(kind):
        near = np.abs(pairs - point) <= 2e-4 * np.abs(pairs) + 1e-4 * np.ptp(
            pairs, axis=0
        )
        assert near.all(1).any(), (name, point)
        seen += 1
    assert seen >= 10


@pytest.mark.parametrize("kind", CHARTS)
def test_specifications_hold_the_numbers_of_the_table(kind):
    """Each number of a specification is one of the table, with five digits."""
    _, spec, table = specified(kind)
    rows = pd.read_csv(io.StringIO(spec["data"]["values"]))
    known = {f"{value:.5g}" for value in table.select_dtypes("number").to_numpy().flat}
    for name in rows.select_dtypes("number"):
        if name not in ("panel", "ends"):
            assert {f"{value:.5g}" for value in rows[name]} <= known, name


@pytest.mark.parametrize("kind", CHARTS)
def test_all_finite_rows_are_in_the_specification(kind):
    """Nothing is left out but what a log axis cannot show."""
    chart, spec, table = specified(kind)
    rows = pd.read_csv(io.StringIO(spec["data"]["values"]))
    for marks in chart.marks:
        if marks.mark == "rule" or marks.y not in {*table} & {*rows}:
            continue  # a band without height is not drawn
        logarithmic = any(panel.y.scale == "log" for panel in chart.panels)
        part = chart.table[interactive.is_row(chart.table, marks.where)][marks.y]
        part = part[part > 0] if logarithmic else part.dropna()
        kept = set(rows[marks.y].map("{:.5g}".format))
        assert set(part.map("{:.5g}".format)) <= kept


@pytest.mark.parametrize("kind", CHARTS)
def test_specifications_compile_without_a_word(kind, capfd, caplog):
    """Altair validates them (`check`), and Vega-Lite and Vega have no objection."""
    _, spec, _ = specified(kind)
    svg = vl_convert.vegalite_to_svg(spec, show_warnings=True)
    assert svg.startswith("<svg") and "NaN" not in svg
    captured = capfd.readouterr()
    assert captured.out + captured.err == "" and not caplog.records


def test_the_unchecked_specification_is_the_checked_one():
    figure, table = stored("trajectories")
    first, again = (
        interactive.specification(figure.chart(table), check) for check in (True, False)
    )
    assert first == again


def test_labels_are_those_of_the_picture():
    """Titles of axes, panels and legends of the chart are texts of the picture."""
    figure, table = stored("modes")
    _, spec, _ = specified("modes")
    picture = figure.draw(table)
    y = spec["concat"][0]["layer"][0]["encoding"]["y"]["title"]
    assert " ".join(y) == plain(picture.axes[0].get_ylabel())
    titles = [" ".join(ax.get_title(loc="left").split()) for ax in picture.axes]
    assert [" ".join(p["title"]["text"].split()) for p in spec["concat"]] == titles
    legend = {plain(text.get_text()) for text in picture.legends[0].get_texts()}
    encoding = spec["concat"][0]["layer"][0]["encoding"]
    for channel in ("color", "strokeDash"):
        assert set(encoding[channel]["scale"]["domain"]) <= legend


def test_slopes_are_beside_their_series():
    _, spec, table = specified("scaling")
    slope = table[table["part"] == "fit"]["slope"].iloc[0]
    texts = [
        layer["data"]["values"][0]["text"]
        for layer in spec["concat"][0]["layer"]
        if "data" in layer
    ]
    assert len(texts) == 2  # ntk and standard
    assert f"slope {slope:.2f}".replace("-", "−") in texts[0] and "ntk" in texts[0]


def simple(values, scale="log", **fields):
    """A chart of a line."""
    table = pd.DataFrame({"x": np.arange(len(values)) + 1, "y": values})
    plot = Plot({}, Scale("x"), Scale("y", scale))
    return Chart(table, "x", [plot], [Marks("line", "y", color="#000000")], **fields)


def test_zeros_on_a_log_axis_are_left_out_and_named():
    spec = interactive.specification(simple([1.0, 0.0, -1.0, 4.0]))
    rows = pd.read_csv(io.StringIO(spec["data"]["values"]))
    assert rows["y"].tolist()[::3] == [1, 4] and rows["y"].isna().sum() == 2
    assert "0 or less" in " ".join(spec["usermeta"]["notes"])
    low, high = spec["concat"][0]["layer"][0]["encoding"]["y"]["scale"]["domain"]
    assert 0.5 < low < 1 and 4 < high < 8
    clean = interactive.specification(simple([1.0, 2.0]))
    assert clean["usermeta"]["notes"] == []


def test_large_tables_are_thinned_and_say_so(monkeypatch):
    monkeypatch.setattr(chart_rows, "MOST", 10)
    spec = interactive.specification(simple(np.arange(1.0, 26.0)))
    rows = pd.read_csv(io.StringIO(spec["data"]["values"]))
    assert rows["x"].tolist() == [1, 4, 7, 10, 13, 16, 19, 22, 25]
    assert "every third point" in " ".join(spec["usermeta"]["notes"])


def test_what_does_not_lead_may_end_outside():
    """A linearised model that diverges does not flatten the networks."""
    chart = simple([1.0, 0.1])
    table = chart.table.assign(z=[1.0, 1e30])
    marks = [*chart.marks, Marks("line", "z", color="#000000", leads=False)]
    spec = interactive.specification(chart._replace(table=table, marks=marks))
    low, high = spec["concat"][0]["layer"][0]["encoding"]["y"]["scale"]["domain"]
    assert 0.05 < low < 0.1 and 1 < high < 10


def test_colours_on_a_dark_page_are_seen():
    """Their contrast with the page is 3 or more; the paper of the page is dark."""

    def luminance(color):
        parts = [int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [
            p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts
        ]
        return np.dot(linear, [0.2126, 0.7152, 0.0722])

    page = luminance(on_dark(PAPER))
    seen = {
        color for kind in CHARTS for color in specified(kind)[1]["usermeta"]["dark"]
    }
    assert len(seen) > 10
    for color in seen - {PAPER, GRID}:
        assert (luminance(on_dark(color)) + 0.05) / (page + 0.05) >= 3, color


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("no formula", "no formula"),
        (r"eigenvalue of $\Theta_\infty/N$", "eigenvalue of Θ∞/N"),
        (r"$|v_i\cdot(f(t)-y)|$", "|vᵢ·(f(t)−y)|"),
        (r"predicted $|1-\eta\lambda_k|^{t/\eta}$", "predicted |1−ηλₖ|^(t/η)"),
        (r"$\cos k\gamma$ and $10^{-5}$", "cos kγ and 10⁻⁵"),
        (r"$\varepsilon\,\mathrm{max}$, 5 \$", "ε max, 5 $"),
        ("$λ_{ab}$", "λ_(ab)"),
    ],
)
def test_formulas_become_plain_text(text, seen):
    assert plain(text) == seen


def test_a_figure_of_diverged_networks_has_no_chart():
    arrays = arrays_of("dynamics", variants=("ntk",), widths=(16,))
    arrays.diverged = {("ntk", 16): range(6)}
    figure, table, _ = draw("dynamics", arrays)
    assert figure.chart(table) is None


def test_functions_in_motion_have_frames_and_no_chart():
    figure = make(kind="functions", axis="angle", animated=True)
    arrays = FakeArrays()
    assert figure.chart(figure.table(fake_measurements(arrays), arrays)) is None
