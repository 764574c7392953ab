"""Claims that the numbers of several variants are a function of one number."""

import numpy as np
import pandas as pd
import pytest
from claim_tables import claim, note, rows


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
