"""Levels of several tests at once, variants, and networks without a value."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from claim_tables import claim, normal, note, rows
from scipy import stats
from test_claims_fraction import RELATION, edge

from ntkpipe.claims.base import UNKNOWN, worst_of


def t_interval(confidence, estimate, error, n):
    """Two-sided interval of a mean of n networks, by Student's t."""
    half = stats.t.ppf((1 + confidence) / 2, n - 1) * error
    return estimate - half, estimate + half


def test_one_width_of_several_contradicts_at_a_level_for_all_of_them():
    """Beyond the limit at the level of one width, but not of all: inconclusive."""
    values = normal(30, -0.4)
    error, n = values.std(ddof=1) / math.sqrt(30), 30
    level, widths = 0.95, 20
    limit = values.mean() + 2.3 * error
    # one-sided: t of 1 − 0.025 is below 2.3 errors, t of 1 − 0.025/20 above
    assert t_interval(level, values.mean(), error, n)[1] < limit
    corrected = 1 - (1 - level) / widths
    assert t_interval(corrected, values.mean(), error, n)[1] > limit
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


@pytest.mark.parametrize(
    ("kind", "fields", "expected"),
    [
        ("bound", {}, [(("metric",), "q", [()])]),
        ("bound", {"variant": "a"}, [(("metric",), "q", [("a",)])]),
        (
            "power_law",
            {"along": {"a": 1, "b": 2}},
            [(("metric",), "q", [("a",), ("b",)])],
        ),
        (
            "ratio",
            {"variant": "a", "over_variant": "b"},
            [(("metric",), "q", [("a",)]), (("metric",), "q", [("b",)])],
        ),
        (
            "ratio",
            {"variant": "a", "over_metric": "p"},
            [(("metric",), "q", [("a",)]), (("over_metric",), "p", [("a",)])],
        ),
        (
            "ratio",
            {"over_step": "initial"},
            [(("metric",), "q", [()]), (("metric",), "q", [()])],
        ),
    ],
)
def test_a_claim_lists_the_metrics_and_the_variants_that_it_reads(
    kind, fields, expected
):
    band = {"at_most": 1} if kind == "bound" else {"high": 1}
    made = claim(kind, metric="q", **band, **fields)
    assert list(made.metrics_read()) == expected


@pytest.mark.parametrize("variant", [None, "a"])
def test_a_share_reads_the_metrics_of_both_conditions(variant):
    made = claim("fraction", **RELATION, variant=variant)
    groups = [()] if variant is None else [("a",)]
    assert list(made.metrics_read()) == [
        (("that", "metric"), RELATION["that"]["metric"], groups),
        (("given", "metric"), RELATION["given"]["metric"], groups),
    ]


@pytest.mark.parametrize(
    ("fields", "lacks"),
    [
        ({"correction": True}, False),
        ({"correction": True, "min_width": 8, "max_width": 64}, False),
        ({"correction": True, "min_width": 9}, True),
        ({"correction": True, "max_width": 63}, True),
        ({"correction": False, "min_width": 64}, False),
        ({"correction": True, "along": "index"}, False),
    ],
)
def test_a_corrected_law_needs_four_of_the_widths_it_reads(fields, lacks):
    made = claim("power_law", metric="q", high=1, **fields)
    e = SimpleNamespace(widths=(8, 16, 32, 64))
    assert [fault.key for fault in made.unmet(e)] == [("correction",)] * lacks


def test_networks_that_lack_the_value_of_the_condition_are_reported():
    measurements = pd.concat([edge(10), rows([1.0], "diverged", seeds=[10])])
    given = RELATION["given"]["metric"]
    lacking = measurements[
        (measurements["metric"] != given) | (measurements["seed"] != 0)
    ]
    found = claim("fraction", **RELATION).evaluate(lacking)
    assert "2 of 11 networks have no value, 1 diverged" in note(found)
    assert "1 of 11 networks have no value, 1 diverged" in note(found)


def test_networks_without_a_value_are_reported_with_other_results():
    measurements = pd.concat(
        [edge(10), rows([1.0], metric="diverged", seeds=[11])], ignore_index=True
    )
    lost = "1 of 11 networks have no value, 1 diverged"
    none = claim("fraction", **RELATION, exclude=[0, 9]).evaluate(measurements)
    assert lost in note(none) and none.n == 0
    some = claim("fraction", **RELATION).evaluate(measurements)
    assert dict(some.detail)["networks counted"] == 10
    assert lost in note(some)


@pytest.mark.parametrize(
    ("estimates", "worst"),
    [
        ((1.2, 4.6), 0),
        ((1.6, 4.9), 1),
        ((0.5, 6.0), 1),  # outside of the band, by more
        ((3.0, math.nan, 1.0), 1),
    ],
)
def test_the_worst_of_several_has_the_least_room_in_the_band(estimates, worst):
    results = [UNKNOWN._replace(estimate=e) for e in estimates]
    assert worst_of(results, 1, 5) == worst


def test_the_bounds_of_extremes_are_part_of_the_band():
    bound = claim("bound", metric="q", statistic="max", at_most=2)
    assert bound.evaluate(rows([1.0, 2.0])).verdict == "supported"
    least = claim("bound", metric="q", statistic="min", at_least=2)
    assert least.evaluate(rows([2.0, 3.0])).verdict == "supported"
    assert least.evaluate(rows([2.0, 1.0])).verdict == "contradicted"


def test_a_collapse_lists_its_points_in_order_and_missing_networks():
    points = {("d2", 8): 0.75, ("d4", 8): 1.5, ("d2", 16): 0.375, ("d4", 16): 0.75}
    table_ = [rows([q] * 3, variant=v, width=n) for (v, n), q in points.items()]
    dead = rows([1.0], "diverged", variant="d2", width=8, seeds=[3])
    along = {"d2": 2, "d4": 4}
    made = claim("collapse", metric="q", along=along, width_power=-1)
    found = made.evaluate(pd.concat([*table_, dead]))
    at, means = zip(*dict(found.detail)["at x"], strict=True)
    assert at == ("0.125", "0.25", "0.25", "0.5")
    np.testing.assert_allclose(means, [0.375, 0.75, 0.75, 1.5])
    assert "1 of 7 networks have no value, 1 diverged" in note(found)
    assert (found.low, found.high) == (0.95, 1)
    single = made.evaluate(pd.concat([*(t[:1] for t in table_), dead]))
    assert "1 seed(s)" in note(single)
    assert "1 of 3 networks have no value, 1 diverged" in note(single)
