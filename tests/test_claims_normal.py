"""Claims that scores have a standard normal distribution."""

import math

import numpy as np
import pandas as pd
import pydantic
import pytest
from claim_tables import claim, note, rows
from scipy import stats


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
def test_scores_are_judged_by_mean_and_variance(n, mean, sd, verdict):
    gauss = claim("normal", metric="limit_z/*")
    found = gauss.evaluate(scores(n, mean=mean, sd=sd))
    assert found.verdict == verdict
    assert found.n == n and "5 indices" in found.statistic
    assert (dict(found.detail)["largest |z|"] > 3) == (mean > 0)


def test_scores_of_another_shape_are_not_supported():
    measurements = scores(2000)
    exponential = np.random.default_rng(0).exponential(size=len(measurements)) - 1
    gauss = claim("normal", metric="limit_z/*", variance_tolerance=0.25)
    found = gauss.evaluate(measurements.assign(value=exponential))
    assert found.verdict == "inconclusive"


@pytest.mark.parametrize(
    ("n", "mean", "verdict"),
    [
        (2000, 0.0, "supported"),
        (2000, 0.08, "supported"),  # |z| = 3.6, which a test of z alone rejects
        (2000, 0.3, "contradicted"),
        (2000, 0.15, "inconclusive"),
        (100, 0.0, "inconclusive"),  # a test of z alone accepts this
    ],
)
def test_the_mean_is_equivalent_within_a_margin_at_every_index(n, mean, verdict):
    gauss = claim("normal", metric="limit_z/*", margin=0.15, variance_tolerance=0.25)
    found = gauss.evaluate(scores(n, mean=mean))
    assert found.verdict == verdict
    detail = dict(found.detail)
    assert detail["its interval from"] < detail["mean farthest from 0"] < detail["to"]


def test_scores_of_few_seeds_are_inconclusive():
    gauss = claim("normal", metric="limit_z/*")
    for n in (1, 2):
        found = gauss.evaluate(scores(n))
        assert found.verdict == "inconclusive" and "seed" in note(found)


def test_the_shape_is_equivalent_within_a_distance():
    n, level = 2000, 0.95
    radius = math.sqrt(math.log(2 * 5 / (1 - level)) / (2 * n))
    measurements = scores(n)
    largest = max(
        stats.kstest(z.value, "norm").statistic
        for _, z in measurements.groupby("metric")
    )
    settings = {"metric": "limit_z/*", "margin": 0.15, "variance_tolerance": 0.25}
    accepted = {
        largest + radius + 1e-6: "supported",
        largest + radius - 1e-6: "inconclusive",
        largest - radius - 1e-6: "contradicted",
    }
    for distance, verdict in accepted.items():
        if distance > 0:
            found = claim("normal", distance=distance, **settings).evaluate(
                measurements
            )
            assert found.verdict == verdict
            assert dict(found.detail)["known within"] == pytest.approx(radius)
    skewed = np.random.default_rng(0).exponential(size=len(measurements)) - 1
    found = claim("normal", distance=0.1, **settings).evaluate(
        measurements.assign(value=skewed)
    )
    assert found.verdict == "contradicted"  # mean and variance are those of the limit


def test_a_distance_needs_a_margin():
    with pytest.raises(pydantic.ValidationError, match="distance: needs margin"):
        claim("normal", metric="limit_z/*", distance=0.1)


def test_scores_of_several_widths_are_not_judged():
    both = pd.concat([scores(50).assign(width=n) for n in (64, 128)])
    found = claim("normal", metric="limit_z/*").evaluate(both)
    assert found.verdict == "missing"
    assert "64" in note(found) and "128" in note(found)
    assert claim("normal", metric="limit_z/*", min_width=128).evaluate(both).n == 50
