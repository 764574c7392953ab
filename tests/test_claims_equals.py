"""Claims that a number has its predicted value."""

import numpy as np
import pandas as pd
import pytest
from claim_tables import claim, normal, note, rows


@pytest.mark.parametrize(
    ("mean", "sd", "verdict"),
    [
        (1.0, 0.1, "supported"),
        (2.0, 0.1, "contradicted"),
        (1.0, 3.0, "inconclusive"),
    ],
)
@pytest.mark.parametrize("statistic", ["mean", "median", "geometric_mean"])
def test_equals_has_the_verdict_of_its_interval(mean, sd, verdict, statistic):
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


def test_each_metric_may_be_judged_alone():
    def judged(second, sd=0.1, n=40):
        means = {"z/0": 0.05, "z/1": second}
        both = pd.concat(
            rows(normal(n, mean, sd, seed=k), metric=name)
            for k, (name, mean) in enumerate(means.items())
        )
        band = {"predicted": 0, "tolerance": 0.2}
        pooled = claim("equals", metric="z/*", **band).evaluate(both)
        return pooled, claim("equals", metric="z/*", each=True, **band).evaluate(both)

    pooled, each = judged(-0.1)
    assert pooled.verdict == each.verdict == "supported"
    assert each.estimate == pytest.approx(normal(40, -0.1, 0.1, seed=1).mean())
    assert dict(each.detail)["at"] == "z/1"
    pooled, each = judged(-0.3)  # opposite deviations cancel in the pooled mean
    assert (pooled.verdict, each.verdict) == ("supported", "contradicted")
    _, each = judged(-0.1, sd=0.5, n=10)
    assert each.verdict == "inconclusive"


def test_one_of_many_metrics_contradicts_at_a_corrected_level():
    """A metric 2.4 standard errors beyond the band is no contradiction among twenty."""
    values = normal(400, 0, 1)
    values = (values - values.mean()) / values.std(ddof=1)
    band = {"predicted": 0, "tolerance": 0.5}
    tables = [rows(values, metric=f"z/{k}") for k in range(19)]
    tables.append(rows(values + 0.5 + 2.4 / 20, metric="z/19"))
    each = claim("equals", metric="z/*", each=True, **band)
    assert each.evaluate(pd.concat(tables)).verdict == "inconclusive"
    alone = claim("equals", metric="z/19", each=True, **band)
    assert alone.evaluate(pd.concat(tables)).verdict == "contradicted"


def test_equals_pools_widths():
    measurements = pd.concat(
        [rows(normal(30, 1, 0.1)), rows(normal(20, 3, 0.1, seed=1), width=128)]
    )
    equal = claim("equals", metric="q", predicted=2, tolerance=0.2)
    found = equal.evaluate(measurements)
    assert found.verdict == "supported" and found.n == 50  # widths have equal weights
    one = claim(
        "equals", metric="q", predicted=1, tolerance=0.2, min_width=64, max_width=64
    )
    assert one.evaluate(measurements).verdict == "supported"


@pytest.mark.parametrize("statistic", ["std", "variance"])
def test_equals_may_be_about_a_spread(statistic):
    equal = claim("equals", metric="q", predicted=1, relative=0.2, statistic=statistic)
    assert equal.evaluate(rows(normal(800, 7))).verdict == "supported"
    assert equal.evaluate(rows(normal(800, 7, 2))).verdict == "contradicted"
    assert equal.evaluate(rows(normal(10, 7))).verdict == "inconclusive"
    assert "3" in note(equal.evaluate(rows(normal(2))))


def test_the_limit_is_exact_and_is_read_only_on_request():
    measurements = pd.concat([rows([0.5, 0.7]), rows([0.6], width=0)])
    limit = claim(
        "equals", metric="q", predicted=0.6, tolerance=1e-9, min_width=0, max_width=0
    )
    assert limit.evaluate(measurements).verdict == "supported"
    networks = claim("equals", metric="q", predicted=0.6, tolerance=1e-9)
    assert networks.evaluate(measurements).n == 2
    assert networks.evaluate(measurements).verdict == "inconclusive"


@pytest.mark.parametrize("predicted", [2, -2])
def test_a_relative_band_is_around_the_prediction(predicted):
    two = claim("equals", metric="q", predicted=predicted, relative=0.1)
    found = two.evaluate(rows(normal(12, predicted, 0.01)))
    assert (found.low, found.high) == pytest.approx((predicted - 0.2, predicted + 0.2))
