"""Every kind of claim on synthetic tables with known answers."""

import json
import math
from itertools import pairwise

import numpy as np
import pandas as pd
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ntkpipe.claims import Claim, Verdict, table
from ntkpipe.claims.typical import Typical

ADAPTER = pydantic.TypeAdapter(Claim)
WIDTHS = (64, 128, 256, 512, 1024)


def claim(kind, **fields):
    common = {"kind": kind, "id": "T-1", "says": "so it is", "source": "Test 2024"}
    # as from a study file: JSON, so that lists are read as tuples in strict mode
    return ADAPTER.validate_json(json.dumps(common | fields))


def note(found):
    """The remark of a verdict, or nothing."""
    return dict(found.detail).get("note", "")


def rows(values, metric="q", variant="base", width=64, step=10, seeds=None):
    """Rows of one metric: one value a seed."""
    seeds = range(len(values)) if seeds is None else seeds
    return pd.DataFrame(
        {
            "study": "s",
            "variant": variant,
            "width": width,
            "seed": list(seeds),
            "step": step,
            "metric": metric,
            "value": np.asarray(values, float),
        }
    )


def scaling(slope, sigma=0.1, seeds=10, seed=0, **where):
    rng = np.random.default_rng(seed)
    noise = np.exp(sigma * rng.standard_normal((len(WIDTHS), seeds)))
    return pd.concat(
        rows(w**slope * e, width=w, **where) for w, e in zip(WIDTHS, noise, strict=True)
    )


def normal(n=40, mean=0.0, sd=1.0, seed=0):
    return mean + sd * np.random.default_rng(seed).standard_normal(n)


# -- power law ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slope", "sigma", "verdict"),
    [
        (-1.0, 0.1, "supported"),
        (-0.5, 0.1, "contradicted"),
        (-1.0, 2.0, "inconclusive"),
        (-0.93, 0.1, "inconclusive"),
    ],
)
def test_power_law(slope, sigma, verdict):
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


def test_control_is_expected_to_be_contradicted():
    law = claim("power_law", metric="q", predicted=-1, tolerance=0.1, control=True)
    assert law.evaluate(scaling(0.0)).as_expected
    assert law.evaluate(scaling(0.0)).expected == "contradicted"
    assert not law.evaluate(scaling(-1.0)).as_expected
    assert not law.evaluate(scaling(-1.0, 2.0)).as_expected  # inconclusive
    assert not law.evaluate(scaling(-1.0, metric="p")).as_expected  # missing


def test_power_law_selects_widths_and_band():
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


def test_power_law_of_the_fluctuations():
    rng = np.random.default_rng(0)
    measurements = pd.concat(
        rows(0.28 + rng.standard_normal(300) / math.sqrt(w), width=w) for w in WIDTHS
    )
    law = claim("power_law", metric="q", statistic="std", predicted=-0.5, tolerance=0.1)
    assert law.evaluate(measurements).verdict == "supported"


def test_power_law_along_variants_pairs_the_seeds():
    shared = np.exp(normal(10))
    measurements = pd.concat(
        rows(shared / alpha, variant=f"alpha{alpha}") for alpha in (100, 10, 1000)
    )
    along = {"alpha10": 10, "alpha100": 100.0, "alpha1000": 1000}
    law = claim("power_law", metric="q", along=along, predicted=-1, tolerance=0.01)
    found = law.evaluate(measurements)
    assert found.verdict == "supported"
    assert found.ci_high - found.ci_low < 1e-6
    assert found.variant == "alpha10, alpha100, alpha1000"
    assert law.variants() == ("alpha10", "alpha100", "alpha1000")
    other = measurements.assign(
        seed=measurements["seed"] + 100 * (measurements["variant"] == "alpha10")
    )
    apart = law.evaluate(other)
    assert apart.estimate == pytest.approx(found.estimate)
    assert apart.verdict == "inconclusive"


def test_power_law_along_index():
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
    # what is below the smallest index is not fitted
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
    assert claim("power_law", **law, exact=True).evaluate(single).as_expected


@pytest.mark.parametrize("bad", [0.0, -1.0])
def test_values_without_logarithm_are_told(bad):
    measurements = scaling(-1.0)
    measurements.iloc[3, measurements.columns.get_loc("value")] = bad
    law = claim("power_law", metric="q", predicted=-1, tolerance=0.1)
    found = law.evaluate(measurements)
    assert found.verdict == "inconclusive" and math.isnan(found.estimate)
    assert "1 of 10 values are ≤ 0" in note(found)


def test_lost_networks_are_told():
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
def test_invariances(seed, factor, stretch):
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


# -- steps --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "value"), [("final", 2.0), ("initial", 0.0), ("max", 5.0), (7, 5.0)]
)
def test_steps(step, value):
    measurements = pd.concat(
        rows([v] * 3, step=t) for t, v in ((0, 0.0), (7, 5.0), (10, 2.0))
    )
    found = claim(
        "equals", metric="q", step=step, predicted=value, tolerance=0.1
    ).evaluate(measurements)
    assert found.estimate == value and found.verdict == "supported"


@pytest.mark.parametrize(
    "statement",
    [
        {"kind": "bound", "at_most": 1},
        {"kind": "power_law", "predicted": -1, "tolerance": 0.1},
    ],
)
def test_a_kernel_that_moved_by_rounding_only_is_told(statement):
    said = {}
    for metric in ("ntk_change", "loss_ratio"):
        table = scaling(-1.0, metric=metric)
        lost = [rows([1.0, 0.0, 1.0], "unresolved", width=w) for w in WIDTHS[-2:]]
        found = claim(metric=metric, **statement).evaluate(pd.concat([table, *lost]))
        assert found.verdict == "supported"
        said[metric] = note(found)
    told = "4 of 50 networks moved their kernel by less than rounding does"
    assert told in said["ntk_change"] and told not in said["loss_ratio"]


def final(*tables, metric="q"):
    statement = claim("equals", metric=metric, predicted=2, tolerance=5)
    return statement.evaluate(pd.concat(tables))


def test_final_is_the_last_recorded_step():
    """A network that has no value there does not count with one of before."""
    first = rows([1.0, 1.0], step=10)
    elsewhere = rows([9.0, 9.0], step=30, metric="other")
    dead = final(first, rows([3.0], step=20, seeds=[1]), elsewhere)
    assert dead.estimate == 3 and dead.n == 1
    assert "1 of 2 networks have no value, 0 diverged" in note(dead)
    # nor is a width of which none has a value left out without a word
    lost = final(first, rows([0.0, 1.0], width=128, metric="undefined/q"))
    assert lost.n == 2 and "2 of 4 networks have no value" in note(lost)
    # recorded at another step at another width
    widths = final(first, rows([3.0, 3.0], step=20, width=128))
    assert widths.estimate == 2 and widths.n == 4


@pytest.mark.parametrize(
    ("metric", "recorded"),
    [
        ("q", "undefined/q"),
        ("q/1", "undefined/q/1"),
        ("ntk_condition", "ntk_min"),
        ("ntk_alignment", "ntk_min"),
    ],
)
def test_what_no_network_has_at_the_last_step_is_missing(metric, recorded):
    first = rows([1.0, 1.0], step=10, metric=metric)
    assert final(first, metric=metric).n == 2
    dead = final(first, rows([0.0, 0.0], step=20, metric=recorded), metric=metric)
    assert dead.verdict == "missing" and "no finite value" in note(dead)


# -- equals -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mean", "sd", "verdict"),
    [
        (1.0, 0.1, "supported"),
        (2.0, 0.1, "contradicted"),
        (1.0, 3.0, "inconclusive"),
    ],
)
@pytest.mark.parametrize("statistic", ["mean", "median", "geometric_mean"])
def test_equals(mean, sd, verdict, statistic):
    values = normal(40, mean, sd)
    if statistic == "geometric_mean":
        values = mean * np.exp(normal(40, 0, sd))
    equal = claim("equals", metric="q", predicted=1, relative=0.25, statistic=statistic)
    assert equal.evaluate(rows(values)).verdict == verdict


def test_equals_pools_indices_by_seed():
    seeds = normal(30)
    copies = pd.concat(rows(seeds, metric=f"z/{k}") for k in range(20))
    equal = claim("equals", metric="z/*", predicted=0, tolerance=1)
    found, alone = equal.evaluate(copies), equal.evaluate(rows(seeds, metric="z/0"))
    assert found.n == 30
    assert (found.ci_low, found.ci_high) == pytest.approx((alone.ci_low, alone.ci_high))


def test_equals_pools_widths():
    measurements = pd.concat(
        [rows(normal(30, 1, 0.1)), rows(normal(20, 3, 0.1, seed=1), width=128)]
    )
    equal = claim("equals", metric="q", predicted=2, tolerance=0.2)
    found = equal.evaluate(measurements)
    assert found.verdict == "supported" and found.n == 50  # widths weigh alike
    one = claim(
        "equals", metric="q", predicted=1, tolerance=0.2, min_width=64, max_width=64
    )
    assert one.evaluate(measurements).verdict == "supported"


@pytest.mark.parametrize("statistic", ["std", "variance"])
def test_equals_spread(statistic):
    equal = claim("equals", metric="q", predicted=1, relative=0.2, statistic=statistic)
    assert equal.evaluate(rows(normal(800, 7))).verdict == "supported"
    assert equal.evaluate(rows(normal(800, 7, 2))).verdict == "contradicted"
    assert equal.evaluate(rows(normal(10, 7))).verdict == "inconclusive"
    assert "3" in note(equal.evaluate(rows(normal(2))))


def test_the_limit_is_exact_and_must_be_asked_for():
    measurements = pd.concat([rows([0.5, 0.7]), rows([0.6], width=0)])
    limit = claim(
        "equals", metric="q", predicted=0.6, tolerance=1e-9, min_width=0, max_width=0
    )
    assert limit.evaluate(measurements).verdict == "supported"
    networks = claim("equals", metric="q", predicted=0.6, tolerance=1e-9)
    assert networks.evaluate(measurements).n == 2
    assert networks.evaluate(measurements).verdict == "inconclusive"


# -- bound --------------------------------------------------------------------------


def two_widths(first, second, sd=0.1):
    return pd.concat(
        [rows(normal(30, first, sd)), rows(normal(30, second, sd, 1), width=128)]
    )


@pytest.mark.parametrize(
    ("means", "sd", "verdict"),
    [
        ((1, 2), 0.1, "supported"),
        ((-1, 2), 0.1, "contradicted"),
        ((0.01, 2), 0.5, "inconclusive"),
    ],
)
def test_bound(means, sd, verdict):
    bound = claim("bound", metric="q", at_least=0, confidence=0.99)
    found = bound.evaluate(two_widths(*means, sd))
    assert found.verdict == verdict
    assert dict(found.detail)["the estimate is that of width"] == 64
    assert found.estimate == pytest.approx(means[0], abs=0.2)
    flipped = two_widths(*means, sd)
    flipped["value"] *= -1
    assert claim("bound", metric="q", at_most=0).evaluate(flipped).verdict == verdict


def test_bound_is_one_sided():
    values = normal(10, 0.6)
    strict = claim("bound", metric="q", at_least=0, confidence=0.99)
    loose = claim("bound", metric="q", at_least=0, confidence=0.6)
    a, b = strict.evaluate(rows(values)), loose.evaluate(rows(values))
    assert a.ci_low < b.ci_low
    t = stats.t.ppf(0.99, 9) * values.std(ddof=1) / math.sqrt(10)
    assert a.ci_low == pytest.approx(values.mean() - t, abs=0.06)


def test_bound_on_extremes():
    largest = claim("bound", metric="q", statistic="max", at_most=2)
    assert largest.evaluate(rows([1.0, 1.9])).verdict == "supported"
    assert largest.evaluate(rows([1.0, 2.1])).verdict == "contradicted"
    assert largest.evaluate(rows([1.0])).verdict == "inconclusive"
    assert largest.evaluate(rows([3.0])).verdict == "contradicted"
    smallest = claim("bound", metric="q", statistic="min", at_least=2, exact=True)
    assert smallest.evaluate(rows([2.5])).verdict == "supported"


# -- ordering -----------------------------------------------------------------------


def test_ordering_along_widths():
    falls = claim("ordering", metric="q", direction="decreasing")
    rises = claim("ordering", metric="q", direction="increasing")
    measurements = scaling(-1.0)
    assert falls.evaluate(measurements).verdict == "supported"
    assert rises.evaluate(measurements).verdict == "contradicted"
    assert falls.evaluate(scaling(0.0)).verdict == "inconclusive"
    assert falls.evaluate(rows([1.0, 2.0])).verdict == "missing"
    # one step the wrong way refutes a strict order
    bump = measurements.assign(
        value=measurements["value"] * np.where(measurements["width"] == 512, 5.0, 1.0)
    )
    found = falls.evaluate(bump)
    assert found.verdict == "contradicted" and "256→512" in found.statistic


def test_ordering_along_variants():
    shared = normal(20)
    measurements = pd.concat(
        rows(shared + 0.1 * k + 0.01 * normal(20, seed=k + 1), variant=name)
        for k, name in enumerate(("true", "random", "worst"))
    )
    order = {"metric": "q", "statistic": "mean"}
    right = claim(
        "ordering", **order, direction="increasing", along=["true", "random", "worst"]
    )
    assert right.evaluate(measurements).verdict == "supported"
    assert right.variants() == ("true", "random", "worst")
    wrong = claim(
        "ordering", **order, direction="increasing", along=["true", "worst", "random"]
    )
    assert wrong.evaluate(measurements).verdict == "contradicted"


# -- normal -------------------------------------------------------------------------


def scores(n, points=5, mean=0.0, sd=1.0, shared=0.5, seed=0):
    rng = np.random.default_rng(seed)
    common, own = rng.standard_normal((n, 1)), rng.standard_normal((n, points))
    z = mean + sd * (math.sqrt(shared) * common + math.sqrt(1 - shared) * own)
    return pd.concat(rows(z[:, k], metric=f"limit_z/{k}") for k in range(points))


@pytest.mark.parametrize(
    ("n", "mean", "sd", "verdict"),
    [
        (2000, 0.0, 1.0, "supported"),
        (2000, 0.5, 1.0, "contradicted"),
        (2000, 0.0, 1.3, "contradicted"),
        (20, 0.0, 1.0, "inconclusive"),
    ],
)
def test_normal(n, mean, sd, verdict):
    gauss = claim("normal", metric="limit_z/*")
    found = gauss.evaluate(scores(n, mean=mean, sd=sd))
    assert found.verdict == verdict
    assert found.n == n and "5 indices" in found.statistic
    assert (dict(found.detail)["largest |z|"] > 3) == (mean > 0)


def test_normal_of_another_shape_is_not_supported():
    measurements = scores(2000)
    exponential = np.random.default_rng(0).exponential(size=len(measurements)) - 1
    gauss = claim("normal", metric="limit_z/*", variance_tolerance=0.25)
    found = gauss.evaluate(measurements.assign(value=exponential))
    assert found.verdict == "inconclusive"


def test_normal_with_few_seeds():
    gauss = claim("normal", metric="limit_z/*")
    for n in (1, 2):
        found = gauss.evaluate(scores(n))
        assert found.verdict == "inconclusive" and "seed" in note(found)


# -- ratio --------------------------------------------------------------------------


def test_ratio_of_variants_is_paired():
    shared = np.exp(2 * normal(10))
    measurements = pd.concat(
        [
            rows(0.8 * shared * np.exp(0.01 * normal(10, seed=1)), variant="own"),
            rows(shared, variant="limit"),
        ]
    )
    smaller = claim("ratio", metric="q", variant="own", over_variant="limit", high=1)
    found = smaller.evaluate(measurements)
    assert found.verdict == "supported" and found.estimate == pytest.approx(0.8, 0.02)
    assert smaller.variants() == ("own", "limit") and found.n == 20
    swapped = claim("ratio", metric="q", variant="limit", over_variant="own", high=1)
    assert swapped.evaluate(measurements).verdict == "contradicted"
    other_seeds = measurements.assign(
        seed=measurements["seed"] + 50 * (measurements["variant"] == "own")
    )
    assert smaller.evaluate(other_seeds).verdict == "inconclusive"


def test_ratio_of_metrics_at_each_width():
    def both(first, second):
        return pd.concat(
            rows(factor * np.exp(0.1 * normal(10)), metric=m, width=w)
            for w, factor, m in (
                (64, first, "a"),
                (64, 1, "b"),
                (128, second, "a"),
                (128, 1, "b"),
            )
        )

    ratio = claim("ratio", metric="a", over_metric="b", predicted=2, relative=0.1)
    assert ratio.evaluate(both(2, 2.1)).verdict == "supported"
    found = ratio.evaluate(both(2, 3))
    assert found.verdict == "contradicted" and found.estimate == pytest.approx(3)
    steps = pd.concat([rows([1.0, 2.0], step=0), rows([3.0, 6.0], step=9)])
    grown = claim("ratio", metric="q", over_step="initial", predicted=3, tolerance=0.1)
    assert grown.evaluate(steps).verdict == "supported"


# -- fraction -----------------------------------------------------------------------


def edge(n, wrong=0):
    sharp = np.linspace(1, 3, n)
    growth = np.where(sharp > 2, 2.0, 0.5)
    growth[:wrong] = 2.0
    return pd.concat([rows(sharp, metric="edge"), rows(growth, metric="growth")])


RELATION = {
    "that": {"metric": "growth", "above": 1},
    "given": {"metric": "edge", "above": 2},
}


@pytest.mark.parametrize(
    ("n", "wrong", "verdict"),
    [(100, 0, "supported"), (100, 40, "contradicted"), (20, 0, "inconclusive")],
)
def test_fraction(n, wrong, verdict):
    share = claim("fraction", **RELATION, at_least=0.95)
    found = share.evaluate(edge(n, wrong))
    assert found.verdict == verdict
    assert found.estimate == pytest.approx(1 - wrong / n)
    assert found.metric == "growth > 1 iff edge > 2"
    assert dict(found.detail) == {
        "networks counted": n,
        "with the property": n - wrong,
    }


def test_fraction_excludes_and_implies():
    share = claim("fraction", **RELATION, exclude=[1.8, 2.2], at_least=0.9)
    assert share.evaluate(edge(101)).n == 80
    implied = claim("fraction", **RELATION, relation="if", at_least=0.9)
    found = implied.evaluate(edge(101, wrong=30))
    assert found.n == 50 and found.verdict == "supported"
    nothing = claim("fraction", **RELATION, exclude=[0, 9], at_least=0.9)
    assert nothing.evaluate(edge(10)).verdict == "inconclusive"


def test_fraction_of_all():
    every = claim("fraction", that={"metric": "q", "below": 2.05}, at_least=1)
    assert every.evaluate(rows([1.0, 2.0])).verdict == "supported"
    assert every.evaluate(rows([1.0] * 99 + [2.1])).verdict == "contradicted"
    assert every.evaluate(rows([1.0])).verdict == "inconclusive"


# -- missing data, table, validation ------------------------------------------------

KINDS = {
    "power_law": {"metric": "q", "predicted": -1, "tolerance": 0.1},
    "equals": {"metric": "q", "predicted": -1, "tolerance": 0.1},
    "bound": {"metric": "q", "at_least": 0},
    "ordering": {"metric": "q", "direction": "increasing"},
    "normal": {"metric": "q"},
    "ratio": {"metric": "q", "over_step": "initial", "high": 1},
    "fraction": {"that": {"metric": "q", "above": 1}},
}


@pytest.mark.parametrize("kind", KINDS)
def test_missing_data_names_what_exists(kind):
    measurements = pd.concat([rows([1.0, 2.0], metric="p"), rows([1.0], width=32)])
    named = claim(kind, **KINDS[kind], variant="other")
    found = named.evaluate(measurements)
    assert found.verdict == "missing" and not found.as_expected
    assert "no variant other; the table has base" in note(found)
    metric = claim(kind, **KINDS[kind]).evaluate(measurements[:2])
    assert metric.verdict == "missing"
    assert "no metric q; there are p" in note(metric)
    wide = claim(kind, **KINDS[kind], min_width=512).evaluate(measurements)
    assert wide.verdict == "missing" and "32" in note(wide)
    empty = claim(kind, **KINDS[kind]).evaluate(measurements[:0])
    assert empty.verdict == "missing" and "empty" in note(empty)
    two = pd.concat([measurements, rows([1.0], variant="more")])
    several = claim(kind, **KINDS[kind]).evaluate(two)
    assert "name one: base, more" in note(several)
    nothing = claim(kind, **KINDS[kind]).evaluate(rows([math.nan, math.nan]))
    assert nothing.verdict == "missing"


ODD = KINDS | {"collapse": {"metric": "q", "along": {"base": 1}, "width_power": 1}}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("value", [0.0, -1.0, 1.0, 1e300])
def test_odd_data_never_crashes(kind, n, value):
    measurements = pd.concat(
        rows([value] * n, width=w, step=t) for w in (8, 16, 32) for t in (0, 5)
    )
    found = claim(kind, **ODD[kind]).evaluate(measurements)
    assert isinstance(found, Verdict) and found.verdict


def test_missing_step():
    found = claim("equals", metric="q", step=3, predicted=1, tolerance=1).evaluate(
        rows([1.0, 2.0])
    )
    assert found.verdict == "missing" and "no step 3; there are 10" in note(found)


def test_table():
    law = claim("power_law", metric="q", predicted=-1, tolerance=0.1, reason="why")
    verdicts = [law.evaluate(scaling(-1.0)), law.evaluate(scaling(0.0, metric="p"))]
    made = table(verdicts)
    assert (
        list(made.columns[:10])
        == (
            "claim says source estimate ci_low ci_high expected n verdict as_expected"
        ).split()
    )
    assert made["verdict"].tolist() == ["supported", "missing"]
    assert made["as_expected"].tolist() == [True, False]
    assert made.loc[0, ["low", "high"]].tolist() == pytest.approx([-1.1, -0.9])
    assert made.loc[0, "reason"] == "why"
    assert list(table([]).columns) == list(made.columns)


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        ("power_law", {"metric": "q", "predicted": -1}, "accepted band in one way"),
        ("power_law", {"metric": "q", "tolerance": 1}, "need predicted"),
        ("equals", {"metric": "q", "predicted": 0, "relative": 0.1}, "no band"),
        ("equals", {"metric": "q", "low": 2, "high": 1}, "above high"),
        ("equals", {"metric": "q", "predicted": 3, "high": 1}, "outside"),
        ("bound", {"metric": "q"}, "one of at_least and at_most"),
        ("bound", {"metric": "q", "at_least": 0, "at_most": 1}, "one of"),
        ("ratio", {"metric": "q", "high": 1}, "a ratio needs two"),
        ("fraction", {"that": {"metric": "q"}}, "one of above and below"),
        (
            "fraction",
            {"that": {"metric": "q", "above": 1}, "exclude": [1, 2]},
            "give given",
        ),
        (
            "bound",
            {"metric": "q", "at_least": 0, "min_width": 8, "max_width": 4},
            "below min_width",
        ),
        ("bound", {"metric": "q", "at_least": 0, "tolerence": 4}, "tolerence"),
        ("ordering", {"metric": "q"}, "direction"),
    ],
)
def test_slips_in_a_study_file_are_told(kind, fields, words):
    with pytest.raises(pydantic.ValidationError, match=words):
        claim(kind, **fields)


def slopes_table(seeds, sigma=0.1, slope=-1.0):
    random = np.random.default_rng(3)
    rows = [
        ("s", "base", width, seed, 0, "kappa", width**slope * np.exp(sigma * noise))
        for width in (8, 32, 128, 512)
        for seed, noise in enumerate(random.normal(size=seeds))
    ]
    columns = ["study", "variant", "width", "seed", "step", "metric", "value"]
    return pd.DataFrame(rows, columns=columns)


@pytest.mark.parametrize(
    "published, seeds, verdict",
    [
        (-0.97, 400, "supported"),
        (-1.35, 400, "contradicted"),
        (-0.97, 20, "inconclusive"),
    ],
)
def test_a_published_slope_is_typical_or_not(published, seeds, verdict):
    claim = Typical(id="R-7", says="s", source="s", metric="kappa", published=published)
    found = claim.evaluate(slopes_table(seeds))
    assert found.verdict == verdict
    if verdict != "inconclusive":
        # slopes of four points at log-distance log 4 scatter by σ/√Σ(x − x̄)²
        spread = 0.1 / np.sqrt(
            np.sum((np.log(4) * np.array([-1.5, -0.5, 0.5, 1.5])) ** 2)
        )
        assert found.estimate == pytest.approx(-1, abs=0.01)
        assert found.ci_high - found.ci_low == pytest.approx(2 * 2.58 * spread, rel=0.2)


# -- collapse -----------------------------------------------------------------------


def depths(law, sigma=0.01, seeds=10):
    """Q of three depths and three widths, law(depth, width) times noise."""
    random = np.random.default_rng(4)
    return pd.concat(
        rows(
            law(depth, width) * np.exp(sigma * random.normal(size=seeds)),
            variant=f"d{depth}",
            width=width,
        )
        for depth in (2, 4, 8)
        for width in (16, 32, 64)
    )


DEPTHS = {"d2": 2, "d4": 4, "d8": 8}


@pytest.mark.parametrize(
    ("law", "sigma", "power", "verdict"),
    [
        (lambda d, n: d / n, 0.01, -1, "supported"),
        (lambda d, n: d / n, 0.01, 0, "contradicted"),  # a function of the depth
        (lambda d, n: d**2 / n, 0.01, -1, "contradicted"),
        (lambda d, n: d / n, 1.0, -1, "inconclusive"),
        (lambda d, n: d * n**0.5, 0.01, 0.5, "supported"),
    ],
)
def test_a_number_is_a_function_of_one_number(law, sigma, power, verdict):
    made = claim("collapse", metric="q", along=DEPTHS, width_power=power)
    found = made.evaluate(depths(law, sigma))
    assert found.verdict == verdict
    assert found.ci_low < found.estimate < found.ci_high <= 1
    assert found.n == 90 and found.variant == "d2, d4, d8"
    assert found.statistic == "R² of a fit of degree 1 to 9 points"
    if power == 0:
        # log Q = log d − log n on a grid: half of its variance is the depth's
        assert found.estimate == pytest.approx(0.5, abs=0.02)


def test_a_curve_collapses_with_a_higher_degree():
    table_ = depths(lambda d, n: np.exp(3 * np.log(d / n) ** 2), 0.001)
    line = claim("collapse", metric="q", along=DEPTHS, width_power=-1, at_least=0.99)
    assert line.evaluate(table_).verdict == "contradicted"
    curve = claim(
        "collapse", metric="q", along=DEPTHS, width_power=-1, at_least=0.99, degree=2
    )
    assert curve.evaluate(table_).verdict == "supported"


def test_too_few_points_collapse_on_anything():
    made = claim("collapse", metric="q", along=DEPTHS, width_power=-1, max_width=16)
    few = made.evaluate(depths(lambda d, n: d / n))
    assert few.verdict == "supported"  # three points and a line
    two = claim("collapse", metric="q", along={"d2": 2, "d4": 4}, max_width=16)
    found = two.evaluate(depths(lambda d, n: d / n))
    assert found.verdict == "inconclusive"
    assert "needs 3 points, 2 abscissae" in note(found)
    one = claim("collapse", metric="q", along={"d2": 2})
    assert one.evaluate(depths(lambda d, n: d / n)).verdict == "inconclusive"
    gone = claim("collapse", metric="p", along=DEPTHS)
    assert gone.evaluate(depths(lambda d, n: d / n)).verdict == "missing"


# -- one level for several widths ---------------------------------------------------


def t_interval(confidence, estimate, error, n):
    """Two-sided interval of a mean of n networks, by Student's t."""
    half = stats.t.ppf((1 + confidence) / 2, n - 1) * error
    return estimate - half, estimate + half


def test_one_width_of_several_contradicts_at_a_level_for_all_of_them():
    """Beyond the limit at the level of one width, not at that of all: no verdict."""
    values = normal(30, -0.4)
    error, n = values.std(ddof=1) / math.sqrt(30), 30
    level, widths = 0.95, 20
    limit = values.mean() + 2.3 * error
    # one-sided: t of 1 − 0.05 is below 2.3 errors, t of 1 − 0.05/20 above
    assert t_interval(2 * level - 1, values.mean(), error, n)[1] < limit
    corrected = 1 - (1 - level) / widths
    assert t_interval(2 * corrected - 1, values.mean(), error, n)[1] > limit
    bound = claim("bound", metric="q", at_least=limit, confidence=level)
    odd = rows(values, width=8)
    others = [rows(normal(30, limit + 5), width=16 * k) for k in range(1, widths)]
    assert bound.evaluate(odd).verdict == "contradicted"
    assert bound.evaluate(pd.concat([odd, *others])).verdict == "inconclusive"
    far = rows(values - 3 * error, width=8)
    assert bound.evaluate(pd.concat([far, *others])).verdict == "contradicted"


def test_one_ratio_of_several_contradicts_at_a_level_for_all_of_them():
    log = normal(30, 0.0, 0.1)
    error, level, widths = log.std(ddof=1) / math.sqrt(30), 0.95, 20
    high = math.exp(log.mean() - 2.6 * error)
    assert math.log(high) < t_interval(level, log.mean(), error, 30)[0]
    corrected = 1 - (1 - level) / widths
    assert math.log(high) > t_interval(corrected, log.mean(), error, 30)[0]

    def at(width, values):
        return pd.concat(
            [
                rows(np.exp(values), "a", width=width),
                rows(np.ones(30), "b", width=width),
            ]
        )

    smaller = claim("ratio", metric="a", over_metric="b", high=high)
    others = [at(16 * k, log - 1) for k in range(1, widths)]
    assert smaller.evaluate(at(8, log)).verdict == "contradicted"
    assert smaller.evaluate(pd.concat([at(8, log), *others])).verdict == "inconclusive"
    far = at(8, log + 3 * error)
    assert smaller.evaluate(pd.concat([far, *others])).verdict == "contradicted"


# -- what a row says ----------------------------------------------------------------


def test_a_claim_reads_its_variant_or_those_along_which_it_goes():
    order = {"metric": "q", "direction": "increasing"}
    assert claim("ordering", **order).variants() == ()
    assert claim("ordering", **order, variant="base").variants() == ("base",)
    law = {"metric": "q", "predicted": 1, "tolerance": 1}
    assert claim("power_law", **law).variants() == ()
    assert claim("power_law", **law, variant="base").variants() == ("base",)
    ratio = claim("ratio", metric="q", over_metric="p", variant="base", high=1)
    assert ratio.variants() == ("base",)


def test_networks_without_value_are_told_after_what_there_is_to_say():
    measurements = pd.concat(
        [edge(10), rows([1.0], metric="diverged", seeds=[11])], ignore_index=True
    )
    lost = "1 of 11 networks have no value, 1 diverged"
    none = claim("fraction", **RELATION, exclude=[0, 9]).evaluate(measurements)
    assert none.detail == f"no network to count; {lost}" and none.n == 0
    some = claim("fraction", **RELATION).evaluate(measurements)
    assert some.detail.startswith("10 of 10 networks, Wilson's lower bound 0.")
    assert some.detail.endswith(f"; {lost}")


def test_the_bounds_of_extremes_are_part_of_the_band():
    bound = claim("bound", metric="q", statistic="max", at_most=2)
    assert bound.evaluate(rows([1.0, 2.0])).verdict == "supported"
    least = claim("bound", metric="q", statistic="min", at_least=2)
    assert least.evaluate(rows([2.0, 3.0])).verdict == "supported"
    assert least.evaluate(rows([2.0, 1.0])).verdict == "contradicted"


def test_a_collapse_tells_its_points_in_order_and_who_is_lost():
    points = {("d2", 8): 0.25, ("d4", 8): 0.5, ("d2", 16): 0.125, ("d4", 16): 0.25}
    table_ = [rows([q] * 3, variant=v, width=n) for (v, n), q in points.items()]
    dead = rows([1.0], "diverged", variant="d2", width=8, seeds=[3])
    along = {"d2": 2, "d4": 4}
    made = claim("collapse", metric="q", along=along, width_power=-1)
    found = made.evaluate(pd.concat([*table_, dead]))
    assert found.detail == (
        "0.125: 0.125, 0.25: 0.25, 0.25: 0.25, 0.5: 0.5; "
        "1 of 7 networks have no value, 1 diverged"
    )
    assert (found.low, found.high, found.tolerance) == (0.95, 1, "≥ 0.95")
    single = made.evaluate(pd.concat([*(t[:1] for t in table_), dead]))
    assert single.detail == (
        "0.125: 0.125, 0.25: 0.25, 0.25: 0.25, 0.5: 0.5; "
        "no interval: 1 seed(s), a mean needs at least 2; "
        "1 of 3 networks have no value, 1 diverged"
    )
