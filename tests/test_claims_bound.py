"""Claims that numbers are on one side of a limit."""

import math

import pandas as pd
import pytest
from claim_tables import claim, normal, rows
from scipy import stats


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
def test_a_bound_has_the_verdict_of_the_worst_width(means, sd, verdict):
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
    assert a.interval == "one-sided" and a.level == pytest.approx(0.995)
    t = stats.t.ppf(0.995, 9) * values.std(ddof=1) / math.sqrt(10)
    assert a.ci_low == pytest.approx(values.mean() - t, abs=0.06)


def test_a_bound_on_an_extreme_has_no_interval():
    largest = claim("bound", metric="q", statistic="max", at_most=2)
    within = largest.evaluate(rows([1.0, 1.9]))
    assert within.verdict == "supported" and within.estimate == 1.9
    assert within.interval == "none" and math.isnan(within.ci_low)
    assert largest.evaluate(rows([1.0, 2.1])).verdict == "contradicted"
    assert largest.evaluate(rows([1.0])).verdict == "inconclusive"
    assert largest.evaluate(rows([3.0])).verdict == "contradicted"
    smallest = claim("bound", metric="q", statistic="min", at_least=2, exact=True)
    assert smallest.evaluate(rows([2.5])).verdict == "supported"
