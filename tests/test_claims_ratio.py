"""Claims about the ratio of two numbers."""

import numpy as np
import pandas as pd
import pytest
from claim_tables import claim, normal, note, rows


def test_a_ratio_of_variants_is_paired():
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


def test_metrics_of_a_pattern_are_pooled_and_paired():
    random = np.random.default_rng(0)
    linear = random.standard_normal((100, 3)) * [1, 1, 2] + [0, 5, 0]
    trained = 0.9 * linear + 0.02 * random.standard_normal((100, 3))
    table = pd.concat(
        rows(column, metric=f"{name}/{i}")
        for name, z in (("z", trained), ("z_linear", linear))
        for i, column in enumerate(z.T)
    )
    names = {"metric": "z/*", "over_metric": "z_linear/*", "statistic": "variance"}
    found = claim("ratio", predicted=0.8, tolerance=0.05, **names).evaluate(table)
    each = [z.var(0, ddof=1).mean() for z in (trained, linear)]
    assert found.verdict == "supported"
    assert found.estimate == pytest.approx(each[0] / each[1])
    assert found.ci_high - found.ci_low < 0.02  # of unpaired ones: 0.4
    other = claim("ratio", predicted=1, tolerance=0.05, **names).evaluate(table)
    assert other.verdict == "contradicted"
    few = table[table["metric"] != "z_linear/2"]
    missing = claim("ratio", predicted=0.8, tolerance=0.05, **names).evaluate(few)
    assert missing.verdict == "missing" and "3 and 2 metrics" in note(missing)


def test_a_ratio_of_metrics_is_judged_at_each_width():
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


def test_a_ratio_without_a_common_width_says_which_widths_there_are():
    measurements = pd.concat(
        [
            rows(np.exp(normal(10)), variant="own", width=64),
            rows(np.exp(normal(10)), variant="limit", width=128),
        ]
    )
    smaller = claim("ratio", metric="q", variant="own", over_variant="limit", high=1)
    found = smaller.evaluate(measurements)
    assert found.verdict == "missing"
    assert "64" in note(found) and "128" in note(found)
