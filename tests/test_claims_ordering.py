"""Claims that numbers are in an order."""

import numpy as np
import pandas as pd
import pytest
from claim_tables import claim, normal, rows, scaling
from scipy import stats


def test_an_ordering_of_widths_holds_at_every_step():
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


def test_all_steps_of_an_order_are_tested_at_the_level_of_one():
    """An intersection–union test: the largest p-value decides, without correction."""
    values, widths = normal(20), (8, 16, 32, 64)
    error = np.std(values, ddof=1) * np.sqrt(2 / 20)
    step = 2.2 * error  # beyond t of 0.025, below that of 0.025/3
    measurements = pd.concat(
        rows(values - values.mean() + k * step, width=w) for k, w in enumerate(widths)
    )
    rises = claim("ordering", metric="q", statistic="mean", direction="increasing")
    found = rises.evaluate(measurements)
    assert found.verdict == "supported"
    p = stats.t.sf(2.2, 38)
    assert dict(found.detail)["largest one-sided p"] == pytest.approx(p, rel=0.15)
    assert 0.025 / 3 < p < 0.025
    falls = claim("ordering", metric="q", statistic="mean", direction="decreasing")
    assert falls.evaluate(measurements).verdict == "inconclusive"  # Holm of three


def test_an_ordering_of_variants_is_in_the_given_order():
    shared = normal(20)
    measurements = pd.concat(
        rows(shared + 0.1 * k + 0.01 * normal(20, seed=k + 1), variant=name)
        for k, name in enumerate(("true", "random", "worst"))
    )
    order = {"metric": "q", "statistic": "mean"}
    right = claim(
        "ordering", **order, direction="increasing", along=["true", "random", "worst"]
    )
    found = right.evaluate(measurements)
    assert found.verdict == "supported"
    each = dict(dict(found.detail)["increasing"])
    means = measurements.groupby("variant")["value"].mean()
    assert each == pytest.approx(means.to_dict())
    assert right.variants() == ("true", "random", "worst")
    wrong = claim(
        "ordering", **order, direction="increasing", along=["true", "worst", "random"]
    )
    assert wrong.evaluate(measurements).verdict == "contradicted"
