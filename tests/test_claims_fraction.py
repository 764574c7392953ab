"""Claims about the share of networks that have a property."""

import numpy as np
import pandas as pd
import pytest
from claim_tables import claim, rows


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
def test_a_fraction_has_the_verdict_of_its_interval(n, wrong, verdict):
    share = claim("fraction", **RELATION, at_least=0.95)
    found = share.evaluate(edge(n, wrong))
    assert found.verdict == verdict
    assert found.estimate == pytest.approx(1 - wrong / n)
    assert found.metric == "growth > 1 iff edge > 2"
    assert dict(found.detail) == {
        "networks counted": n,
        "with the property": n - wrong,
    }


def test_a_fraction_excludes_a_range_and_may_be_of_an_implication():
    share = claim("fraction", **RELATION, exclude=[1.8, 2.2], at_least=0.9)
    assert share.evaluate(edge(101)).n == 80
    implied = claim("fraction", **RELATION, relation="if", at_least=0.9)
    found = implied.evaluate(edge(101, wrong=30))
    assert found.n == 50 and found.verdict == "supported"
    with pytest.raises(ValueError, match=r"exclude: is \[low, high\]"):
        claim("fraction", **RELATION, exclude=[2.2, 1.8])
    nothing = claim("fraction", **RELATION, exclude=[0, 9], at_least=0.9)
    assert nothing.evaluate(edge(10)).verdict == "inconclusive"


def test_a_fraction_of_all_networks_has_an_exact_interval():
    every = claim("fraction", that={"metric": "q", "below": 2.05}, at_least=1)
    found = every.evaluate(rows([1.0] * 59))
    assert found.verdict == "supported" and found.ci_high == 1
    assert found.ci_low == pytest.approx(0.025 ** (1 / 59))  # the rule of three, exact
    assert (found.level, found.interval) == (0.975, "one-sided")
    assert every.evaluate(rows([1.0] * 99 + [2.1])).verdict == "contradicted"
    assert every.evaluate(rows([1.0])).verdict == "inconclusive"
