"""Claims about slopes against width, an index or a number of the variants."""

import math
from itertools import pairwise

import numpy as np
import pandas as pd
import pydantic
import pytest
from claim_tables import WIDTHS, claim, normal, note, rows, scaling
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("slope", "sigma", "verdict"),
    [
        (-1.0, 0.1, "supported"),
        (-0.5, 0.1, "contradicted"),
        (-1.0, 2.0, "inconclusive"),
        (-0.93, 0.1, "inconclusive"),
    ],
)
def test_a_power_law_has_the_verdict_of_its_interval(slope, sigma, verdict):
    law = claim("power_law", metric="q", predicted=-1, tolerance=0.1)
    found = law.evaluate(scaling(slope, sigma))
    assert found.verdict == verdict
    assert found.as_expected == (verdict == "supported")
    assert found.ci_low < found.estimate < found.ci_high
    assert found.n == 50 and found.widths == "64, 128, 256, 512, 1024"
    assert [step for step, _ in dict(found.detail)["local slopes"]] == [
        f"{a}→{b}" for a, b in pairwise(WIDTHS)
    ]
    assert (found.low, found.high) == pytest.approx((-1.1, -0.9))
    assert (found.level, found.interval) == (0.95, "two-sided")
    half = claim("power_law", metric="q", high=-0.9).evaluate(scaling(slope, sigma))
    assert (half.ci_low, half.ci_high) == (found.ci_low, found.ci_high)
    assert (half.level, half.interval) == (0.975, "one-sided")


def test_control_is_expected_to_be_contradicted():
    law = claim("power_law", metric="q", predicted=-1, tolerance=0.1, nature="control")
    assert law.evaluate(scaling(0.0)).as_expected
    assert law.evaluate(scaling(0.0)).expected == "contradicted"
    assert not law.evaluate(scaling(-1.0)).as_expected
    assert not law.evaluate(scaling(-1.0, 2.0)).as_expected  # inconclusive
    assert not law.evaluate(scaling(-1.0, metric="p")).as_expected  # missing


def test_a_power_law_selects_widths_and_band():
    bent = pd.concat(
        [scaling(-1.0), scaling(0.0).assign(width=lambda t: t["width"] // 32)]
    ).query("width != 32")
    law = claim("power_law", metric="q", low=-1.1, high=-0.9, min_width=64)
    assert law.evaluate(bent).verdict == "supported"
    assert law.evaluate(bent).n == 50
    everything = claim("power_law", metric="q", low=-1.1, high=-0.9)
    assert everything.evaluate(bent).verdict == "contradicted"
    narrow = claim("power_law", metric="q", low=-1.1, high=-0.9, max_width=2)
    assert narrow.evaluate(bent).widths == "2"
    assert "one width" in note(narrow.evaluate(bent))


def test_a_power_law_may_be_about_a_spread():
    rng = np.random.default_rng(0)
    measurements = pd.concat(
        rows(0.28 + rng.standard_normal(300) / math.sqrt(w), width=w) for w in WIDTHS
    )
    law = claim("power_law", metric="q", statistic="std", predicted=-0.5, tolerance=0.1)
    assert law.evaluate(measurements).verdict == "supported"


def test_a_power_law_along_variants_pairs_the_seeds():
    shared = np.exp(normal(10))
    measurements = pd.concat(
        rows(shared / alpha, variant=f"alpha{alpha}") for alpha in (100, 10, 1000)
    )
    along = {"alpha10": 10, "alpha100": 100.0, "alpha1000": 1000}
    law = claim("power_law", metric="q", along=along, predicted=-1, tolerance=0.01)
    found = law.evaluate(measurements)
    assert found.verdict == "supported"
    assert found.interval == "none"  # all networks have one slope
    assert found.variant == "alpha10, alpha100, alpha1000"
    assert law.variants() == ("alpha10", "alpha100", "alpha1000")
    other = measurements.assign(
        seed=measurements["seed"] + 100 * (measurements["variant"] == "alpha10")
    )
    apart = law.evaluate(other)
    assert apart.estimate == pytest.approx(found.estimate)
    assert apart.verdict == "inconclusive"


def test_a_power_law_may_go_along_an_index():
    shared = np.exp(normal(10))
    measurements = pd.concat(
        rows(shared * k**2, metric=f"time/{k}") for k in (1, 2, 4, 16)
    )
    law = claim(
        "power_law", metric="time/*", along="index", predicted=2, tolerance=0.01
    )
    found = law.evaluate(measurements)
    assert found.verdict == "supported" and found.n == 10
    steps, slopes = zip(*dict(found.detail)["local slopes"], strict=True)
    assert steps == ("1→2", "2→4", "4→16") and slopes == pytest.approx((2, 2, 2))
    bad = rows([1.0, 2.0], metric="time/W1")
    assert law.evaluate(pd.concat([measurements, bad])).verdict == "missing"
    # indices below the smallest one of the claim are not fitted
    other = pd.concat([measurements, rows(100 * shared, metric="time/1")])
    other = other.drop_duplicates(["width", "seed", "metric"], keep="last")
    settings = {"metric": "time/*", "along": "index", "predicted": 2}
    assert (
        not claim("power_law", tolerance=0.01, **settings).evaluate(other).as_expected
    )
    later = claim("power_law", tolerance=0.01, min_index=2, **settings)
    assert later.evaluate(other).verdict == "supported"
    none = claim("power_law", tolerance=0.01, min_index=17, **settings)
    assert note(none.evaluate(other)) == "no index of time/* is 17 or more"


def test_one_seed_is_inconclusive_unless_exact():
    single = scaling(-1.0, 0.0, seeds=1)
    law = {"metric": "q", "predicted": -1, "tolerance": 0.1}
    found = claim("power_law", **law).evaluate(single)
    assert found.verdict == "inconclusive" and "1 seed" in note(found)
    assert found.estimate == pytest.approx(-1)
    exact = claim("power_law", **law, exact=True).evaluate(single)
    assert exact.as_expected and exact.interval == "none" and math.isnan(exact.ci_low)


@pytest.mark.parametrize("bad", [0.0, -1.0])
def test_values_without_logarithm_are_reported(bad):
    measurements = scaling(-1.0)
    measurements.iloc[3, measurements.columns.get_loc("value")] = bad
    law = claim("power_law", metric="q", predicted=-1, tolerance=0.1)
    found = law.evaluate(measurements)
    assert found.verdict == "inconclusive" and math.isnan(found.estimate)
    assert "1 of 10 values are ≤ 0" in note(found)


def test_a_law_with_a_correction_is_about_the_exponent():
    bent = scaling(-1.0, 0.01, seeds=20)
    bent["value"] *= 1 + 100 / bent["width"]
    law = {"metric": "q", "predicted": -1, "tolerance": 0.1}
    plain = claim("power_law", **law).evaluate(bent)
    assert plain.verdict == "contradicted" and dict(plain.detail)["p"] < 1e-3
    found = claim("power_law", **law, correction=True).evaluate(bent)
    detail = dict(found.detail)
    assert found.verdict == "supported" and detail["b"] == pytest.approx(100, rel=0.3)
    assert detail["p"] > 1e-3 and detail["degrees of freedom"] == 2
    assert detail["slope without correction"] == pytest.approx(plain.estimate)
    few = claim("power_law", **law, correction=True, min_width=256).evaluate(bent)
    assert few.verdict == "inconclusive" and "four widths" in note(few)
    with pytest.raises(pydantic.ValidationError, match="needs four variants"):
        claim("power_law", **law, correction=True, along={"a": 1, "b": 2, "c": 3})


def test_networks_without_a_value_are_reported():
    measurements = scaling(-1.0)
    gone = (measurements["seed"] < 2) & (measurements["width"] == 64)
    measurements = pd.concat(
        [
            measurements[~gone],
            rows([1.0], metric="diverged", seeds=[0]),
            rows([0.0], metric="diverged", seeds=[1]),
        ]
    )
    law = claim("power_law", metric="q", predicted=-1, tolerance=0.1)
    found = law.evaluate(measurements)
    assert found.verdict == "supported" and found.n == 48
    assert "2 of 50 networks have no value, 1 diverged" in note(found)


positive = st.floats(1e-3, 1e3)


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 100), factor=positive, stretch=st.integers(1, 50))
def test_a_power_law_does_not_depend_on_order_or_units(seed, factor, stretch):
    measurements = scaling(-1.0, 0.3, seeds=4)
    law = claim("power_law", metric="q", predicted=-1, tolerance=0.1)
    found = law.evaluate(measurements)
    shuffled = measurements.sample(frac=1, random_state=seed)
    assert law.evaluate(shuffled) == found
    scaled = law.evaluate(
        measurements.assign(
            value=measurements["value"] * factor, width=measurements["width"] * stretch
        )
    )
    for name in ("estimate", "ci_low", "ci_high"):
        assert getattr(scaled, name) == pytest.approx(getattr(found, name))
    assert scaled.verdict == found.verdict


@settings(deadline=None, max_examples=15)
@given(p=st.floats(-2, 2), half=st.floats(0.01, 1))
def test_a_wider_band_never_contradicts_more(p, half):
    measurements = scaling(-1.0, 0.3, seeds=4)
    rank = {"contradicted": 0, "inconclusive": 1, "supported": 2}
    narrow, wide = (
        rank[
            claim("power_law", metric="q", predicted=p, tolerance=t)
            .evaluate(measurements)
            .verdict
        ]
        for t in (half, 2 * half)
    )
    assert narrow <= wide


def test_fit_for_the_figure_is_the_claims_fit():
    law = claim("power_law", metric="q", predicted=-1, tolerance=0.1)
    fit, found = law.fit(scaling(-1.0)), law.evaluate(scaling(-1.0))
    assert (fit.slope, fit.slope_low) == (found.estimate, found.ci_low)


def test_the_line_of_a_fit_with_a_correction_is_its_curve():
    law = {"metric": "q", "predicted": -1, "tolerance": 0.1}
    straight = scaling(-1.0, sigma=0.01)
    bent = straight.assign(value=straight["value"] * (1 + 40 / straight["width"]))
    corrected = claim("power_law", **law, correction=True)
    fit, found = corrected.fit(bent), corrected.evaluate(bent)
    assert (fit.slope, fit.slope_low) == (found.estimate, found.ci_low)
    curve = np.exp(fit.intercept) * fit.grid**fit.slope * (1 + fit.b / fit.grid)
    np.testing.assert_allclose(fit.line, curve)
    np.testing.assert_allclose(fit.line, (1 + 40 / fit.grid) / fit.grid, rtol=0.03)
    assert (fit.band_low < fit.line).all() and (fit.line < fit.band_high).all()
    few = corrected.fit(bent[bent["width"] > 128])
    assert np.isnan(few.slope) and np.isnan(few.line).all()
