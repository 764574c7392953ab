from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from figure_fakes import (
    KINDS,
    FakeArrays,
    draw,
    drawn,
    fake_measurements,
    legend,
    make,
    overlaps,
)
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from ntkpipe import study
from ntkpipe.claims.power_law import PowerLaw
from ntkpipe.figures import axes

STUDIES = sorted(Path(__file__).parents[1].glob("config/studies/*.yaml"))
CHANGE = {"metrics": [{"metric": "ntk_change"}]}


def test_metrics_along_their_index_are_numbered():
    arrays = FakeArrays(variants=("ntk",))
    figure = make(kind="scaling", metrics=[{"metric": "*_change"}], along="index")
    with pytest.raises(ValueError, match=r"along: index .*ntk_change"):
        figure.table(fake_measurements(arrays), arrays)


def test_scaling_shows_points_fit_and_prediction():
    _, table, figure = drawn("scaling")
    part = table.query("variant == 'ntk' and metric == 'ntk_change'").groupby("part")
    assert len(part.get_group("seed")) == 12
    values = part.get_group("seed").groupby("x")["value"]
    means = part.get_group("statistic").set_index("x")["value"]
    np.testing.assert_allclose(means, np.exp(values.apply(lambda v: np.log(v).mean())))
    fit, predicted = part.get_group("fit"), part.get_group("predicted")
    slope = np.polyfit(np.log(means.index), np.log(means), 1)[0]
    np.testing.assert_allclose(fit["slope"], slope)
    assert (fit["slope_low"] < slope).all() and (slope < fit["slope_high"]).all()
    assert (fit["low"] <= fit["value"]).all() and (fit["value"] <= fit["high"]).all()
    x, y = predicted["x"].to_numpy(), predicted["value"].to_numpy()
    np.testing.assert_allclose(np.diff(np.log(y)) / np.diff(np.log(x)), -1)
    ax = figure.axes[0]
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert ax.get_xlabel() == "width n" and "‖Θ − Θ₀‖" in ax.get_ylabel()
    first = ax.get_legend().get_texts()[0].get_text()
    assert first.startswith(f"ntk:\nslope {slope:.2f} [".replace("-", "−"))
    assert first.endswith("], predicted −1")
    assert "predicted" in legend(figure)


def test_scaling_draws_a_predicted_value_without_a_slope():
    fields = {"metrics": [{"metric": "ntk_change", "predicted_value": 2.0}]}
    _, table, picture = draw("scaling", **fields)
    predicted = table[table["part"] == "predicted"]
    assert set(predicted["value"]) == {2.0} and predicted["predicted"].isna().all()
    dashed = [line for line in picture.axes[0].lines if set(line.get_ydata()) == {2.0}]
    assert len(dashed) == 2  # one for each variant


def test_scaling_fits_from_min_width_and_reads_the_given_step():
    fields = {"kind": "scaling", "min_width": 64, "step": 100} | KINDS["scaling"]
    arrays = FakeArrays(widths=(16, 64, 256))
    _, table, picture = draw(**fields, arrays=arrays)
    assert table.loc[table["part"] == "fit", "x"].min() == 64
    assert table.loc[table["part"] == "seed", "x"].min() == 16
    assert "64" in legend(picture)[-1]
    final = make(**fields | {"step": "final"}).table(fake_measurements(arrays), arrays)
    final, table = (t.loc[t["part"] == "seed", "value"] for t in (final, table))
    np.testing.assert_allclose(final / table, 2)


LAW = {"id": "T-1", "set": "before", "says": "s", "source": "s"}
LAW |= {"metric": "ntk_change"}


@pytest.mark.parametrize(
    ("claim", "is_shown"),
    [
        ({"variant": "ntk"}, True),
        ({"variant": "ntk", "min_width": 64}, False),
        ({"variant": "ntk", "statistic": "median"}, False),
        ({"variant": "standard", "min_width": 64}, False),
        ({"variant": "none"}, False),
    ],
)
def test_scaling_shows_the_interval_of_the_claim_about_the_same_numbers(
    claim, is_shown
):
    arrays = FakeArrays(widths=(16, 64, 256))
    rows = fake_measurements(arrays)
    figure = make(kind="scaling", **CHANGE)
    law = PowerLaw(
        **LAW,
        **{"predicted": -1.0, "tolerance": 0.1} | claim,
    )
    arrays.claims = (law,)
    verdict = law.evaluate(rows)
    fit = figure.table(rows, arrays).query("part == 'fit'").set_index("variant")
    own = figure.table(rows).query("part == 'fit'").set_index("variant")
    ends = ["slope_low", "slope_high"]
    shown = [verdict.ci_low, verdict.ci_high]
    assert (fit.loc["ntk", ends].iloc[0].tolist() == shown) == is_shown
    assert (fit.loc["standard"] == own.loc["standard"])[ends].all(axis=None)
    # one estimator either way
    np.testing.assert_array_equal(fit["slope"], own["slope"])
    np.testing.assert_allclose(fit[ends], own[ends], rtol=0.05)


@pytest.mark.parametrize(
    ("own", "level"),
    [({"confidence": 0.9}, "90"), ({"looks": 2}, "97.5"), ({"correction": True}, "95")],
)
def test_scaling_prints_slope_interval_and_level_of_its_claim(own, level):
    arrays = FakeArrays(variants=("ntk",), widths=(16, 64, 256, 1024))
    rows = fake_measurements(arrays)
    claim = PowerLaw(**LAW, predicted=-1.0, tolerance=0.1, **own)
    arrays.claims = (claim,)
    verdict = claim.evaluate(rows)
    _, table, picture = draw("scaling", arrays, rows, **CHANGE)
    fit = table[table["part"] == "fit"].iloc[0]
    shown = [fit["slope"], fit["slope_low"], fit["slope_high"], fit["level"]]
    of_claim = [verdict.estimate, verdict.ci_low, verdict.ci_high, verdict.level]
    assert shown == of_claim
    assert f"{level} % interval" in legend(picture)


@pytest.mark.parametrize("facet", ["metric", "variant", "none"])
def test_scaling_has_a_panel_for_each_facet(facet):
    *_, figure = draw(kind="scaling", facet=facet, **KINDS["scaling"])
    assert len(figure.axes) == (1 if facet == "none" else 2)
    entries = [len(ax.get_legend().get_texts()) for ax in figure.axes]
    assert sum(entries) == 4
    assert overlaps(figure) == []


def test_scaling_fits_each_variant_from_its_own_min_width():
    metrics = [
        {"metric": "ntk_change", "min_width": {"ntk": 64}},
        {"metric": "weight_change/W2", "min_width": 64},
        {"metric": "stop_step"},
    ]
    arrays = FakeArrays(widths=(16, 64, 256))
    _, table, picture = draw("scaling", arrays, metrics=metrics)
    begins = table[table["part"] == "fit"].groupby(["metric", "variant"])["x"].min()
    assert begins["ntk_change"].to_dict() == {"ntk": 64, "standard": 16}
    assert set(begins["weight_change/W2"]) == {64} and set(begins["stop_step"]) == {16}
    shaded = [
        any(p.get_facecolor() == GREYED for p in ax.patches) for ax in picture.axes
    ]
    assert shaded == [False, True, False]
    words = [text.get_text() for text in picture.axes[0].get_legend().get_texts()]
    assert "from 64 on" in words[0].replace("\n", " ") and "from" not in words[1]
    assert "not fitted (below 64)" in legend(picture)


GREYED = to_rgba("#f1f1f1")


def test_scaling_ticks_are_those_of_the_panel_with_the_first_ones():
    arrays = FakeArrays(widths=(4, 16))
    widths = arrays.widths
    arrays.widths = lambda v: widths(v) if v == "ntk" else tuple(range(10, 40))
    fields = {
        "facet": "variant",
        "min_width": 11,
        "metrics": [{"metric": "ntk_change"}],
    }
    *_, picture = draw("scaling", arrays, **fields)
    ticks = [list(ax.xaxis.get_majorticklocs()) for ax in picture.axes]
    assert ticks[0] == [4, 16]
    assert {10, 39} < set(ticks[1]) < set(range(10, 40))
    assert 5 <= len(ticks[1]) <= 9
    assert overlaps(picture) == []
    fields |= {"facet": "none", "variants": ["standard"], "min_width": 13}
    *_, picture = draw("scaling", arrays, **fields)
    assert {10, 13, 39} < set(picture.axes[0].xaxis.get_majorticklocs())


def test_scaling_of_what_a_claim_calls_exact_has_no_interval():
    arrays = FakeArrays(variants=("ntk",))
    rows = fake_measurements(arrays, seeds=1)
    arrays.claims = (PowerLaw(**LAW, predicted=-1.0, tolerance=0.1, exact=True),)
    _, table, picture = draw("scaling", arrays, rows, **CHANGE)
    fit = table[table["part"] == "fit"]
    assert (fit["slope"] == fit["slope_low"]).all() and fit["note"].isna().all()
    words = picture.axes[0].get_legend().get_texts()[0].get_text()
    assert "slope −" in words and "[" not in words


def test_scaling_of_one_seed_has_no_mean_of_seeds():
    arrays = FakeArrays()
    one, several = (
        draw("scaling", arrays, fake_measurements(arrays, seeds=n), **KINDS["scaling"])
        for n in (1, 2)
    )
    assert not {"geometric mean", "one seed"} & set(legend(one[2]))
    assert {"geometric mean", "one seed"} < set(legend(several[2]))


def test_scaling_of_equal_values_shows_each():
    arrays = FakeArrays()
    measurements = fake_measurements(arrays)
    first = measurements[measurements["variant"] == "ntk"]
    same = pd.concat([first, first.assign(variant="standard")])
    *_, picture = draw("scaling", arrays, same, **CHANGE)
    lines = picture.axes[0].lines
    points = [line for line in lines if line.get_marker() in list("osD^v")]
    assert len({line.get_marker() for line in points}) == 2
    assert points[1].get_markerfacecolor() == "none"
    assert points[1].get_markersize() > points[0].get_markersize()


@pytest.mark.parametrize(
    ("low", "high"), [(0.995, 1.05), (1.01, 2.4), (0.08, 0.95), (3, 28), (0.5, 49)]
)
def test_short_logarithmic_axes_have_enough_ticks(low, high):
    ax = Figure().add_subplot()
    ax.set(yscale="log", ylim=(low, high))
    axes.log_ticks(ax)
    seen = [tick for tick in ax.yaxis.get_majorticklocs() if low <= tick <= high]
    assert 3 <= len(seen) <= 12


def fits(one, figure, metric):
    """(variant or variants, settings) of each drawn power law of a metric."""
    if isinstance(figure.along, dict):
        begin = metric.begin("") or figure.min_width or 0
        along = {v: a for v, a in figure.along.items() if a >= begin}
        yield None, (figure.step, figure.statistic, along)
        return
    for variant in figure.variants or one.variants:
        begin = metric.begin(variant) or figure.min_width or 1
        x = begin
        if figure.along == "width":
            widths = figure.widths or one.variants[variant].widths
            x = [n for n in widths if n >= begin]
        yield variant, (figure.step, figure.statistic, x)


def judged(one, figure, metric, variant):
    """Settings of the claims of the same power law; controls only if alone."""
    found = {True: [], False: []}
    for claim in one.claims:
        if claim.kind != "power_law" or claim.metric != metric.metric:
            continue
        x = claim.along
        if isinstance(figure.along, dict):
            if not isinstance(x, dict) or not x.items() <= figure.along.items():
                continue
        elif x != figure.along or claim.variant not in (None, variant):
            continue
        elif x == "index":
            x = claim.min_index
        else:
            widths = one.variants[variant].widths
            last = claim.max_width or np.inf
            x = [n for n in widths if claim.min_width <= n <= last]
        found[claim.nature == "control"].append((claim.step, claim.statistic, x))
    return found[False] or found[True]


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_power_laws_are_drawn_as_they_are_judged(path):
    one = study.load(path)
    for figure in one.figures:
        if figure.kind != "scaling" or figure.width_power:
            continue
        for metric in figure.metrics:
            for variant, settings in fits(one, figure, metric):
                claims = judged(one, figure, metric, variant)
                assert not claims or settings in claims, (figure.name, metric, variant)


def test_scaling_with_many_panels_leaves_none_squeezed():
    slopes = {f"weight_change/W{k}": -0.5 for k in range(1, 6)}
    rows = fake_measurements(arrays := FakeArrays(), slopes)
    metrics = [{"metric": metric, "predicted": -0.5} for metric in slopes]
    *_, picture = draw("scaling", arrays, rows, metrics=metrics)
    assert overlaps(picture) == []
    assert min(ax.get_position().width for ax in picture.axes[:5]) > 0.2


def test_scaling_may_go_along_a_number_of_the_variants():
    figure, table, picture = draw(
        "scaling",
        **CHANGE,
        along={"ntk": 1, "standard": 10},
        along_label="output scale α",
        widths=[16, 64],
    )
    assert figure.variants_read() == ("ntk", "standard")
    assert set(table["variant"]) == {"n = 16", "n = 64"}
    assert set(table.loc[table["part"] == "statistic", "x"]) == {1, 10}
    assert picture.axes[0].get_xlabel() == "output scale α"
    _, table, _ = draw(
        "scaling", **CHANGE, along={"ntk": 2, "standard": 4}, width_power=-1
    )
    points = table[table["part"] == "statistic"].groupby("variant")["x"]
    assert points.apply(sorted).to_dict() == {
        "ntk": [2 / 64, 2 / 16],
        "standard": [4 / 64, 4 / 16],
    }


def test_scaling_of_a_spread_has_no_seeds():
    fields = KINDS["scaling"] | {"statistic": "std"}
    _, table, figure = draw(kind="scaling", **fields)
    assert "seed" not in set(table["part"])
    assert "standard deviation over seeds" in legend(figure)


def test_scaling_says_why_there_is_no_slope():
    fields = KINDS["scaling"] | {"widths": [16], "variants": ["ntk"]}
    *_, figure = draw(kind="scaling", **fields)
    entry = figure.axes[0].get_legend().get_texts()[0].get_text()
    assert "no slope: one width" in entry
    with pytest.raises(ValueError, match=r"figure fig: .*ntk_chnge"):
        draw(kind="scaling", metrics=[{"metric": "ntk_chnge"}])


def test_scaling_along_an_index_is_the_slope_over_it():
    arrays = FakeArrays(variants=("ntk",), widths=(16,))
    rows = [
        ("study", "ntk", 16, seed, 9, f"fit_time/{k}", (5 + 0.1 * seed) * k**1.5)
        for seed in range(4)
        for k in (1, 2, 4, 8)
    ]
    columns = ["study", "variant", "width", "seed", "step", "metric", "value"]
    _, table, picture = draw(
        "scaling",
        arrays,
        pd.DataFrame(rows, columns=columns),
        metrics=[{"metric": "fit_time/*", "label": "time", "predicted": 2}],
        along="index",
        along_label="frequency k",
        min_width=2,
    )
    fit = table[table["part"] == "fit"]
    assert fit["slope"].iloc[0] == pytest.approx(1.5)
    assert fit["x"].min() == 2
    assert sorted(table.loc[table["part"] == "statistic", "x"]) == [1, 2, 4, 8]
    assert picture.axes[0].get_xlabel() == "frequency k"
