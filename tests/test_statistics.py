"""Slopes, intervals and verdicts agree with hand values, exact tests, simulations."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from ntkpipe.claims import fits, statistics

WIDTHS = np.array([64.0, 128.0, 256.0, 512.0])


def power_law(slope, sigma=0.3, seeds=8, widths=WIDTHS, seed=0):
    noise = np.random.default_rng(seed).standard_normal((len(widths), seeds))
    return list(widths[:, None] ** slope * np.exp(sigma * noise))


def test_slope_of_an_exact_power_law():
    fit = fits.fit_power_law(WIDTHS, power_law(-1.0, sigma=0.0), "a")
    np.testing.assert_allclose(fit.slope, -1, atol=1e-12)
    np.testing.assert_allclose(fit.intercept, 0, atol=1e-11)
    np.testing.assert_allclose(fit.local_slopes, -1, atol=1e-12)
    np.testing.assert_allclose(fit.line, 1 / fit.grid)
    np.testing.assert_allclose([fit.slope_low, fit.slope_high], -1, atol=1e-9)


def test_slope_and_error_agree_with_the_closed_form():
    samples = power_law(-0.5, seeds=6)
    fit = fits.fit_power_law(WIDTHS, samples, "a")
    x = np.log(WIDTHS)
    means = np.log(samples).mean(1)
    reference = stats.linregress(x, means)
    np.testing.assert_allclose(fit.slope, reference.slope)
    np.testing.assert_allclose(fit.intercept, reference.intercept)
    v = fits.slope_coefficients(x) ** 2 * np.log(samples).var(1, ddof=1) / 6
    freedom = v.sum() ** 2 / (v**2 / 5).sum()
    half = stats.t.ppf(0.975, freedom) * math.sqrt(v.sum())
    # with 4,000 resamples a standard error is accurate to about 1 %
    np.testing.assert_allclose(fit.slope_high - fit.slope, half, rtol=0.06)
    np.testing.assert_allclose(fit.slope - fit.slope_low, fit.slope_high - fit.slope)


def test_band_is_narrowest_inside_and_holds_the_line():
    fit = fits.fit_power_law(WIDTHS, power_law(-1.0), "a")
    assert np.all((fit.band_low < fit.line) & (fit.line < fit.band_high))
    spread = np.log(fit.band_high / fit.band_low)
    assert spread.argmin() not in (0, len(spread) - 1)
    assert np.all((fit.means_low < fit.means) & (fit.means < fit.means_high))


def test_order_of_widths_does_not_matter():
    samples = power_law(-1.0)
    forth = fits.fit_power_law(WIDTHS, samples, "a")
    back = fits.fit_power_law(WIDTHS[::-1], samples[::-1], "a")
    np.testing.assert_array_equal(forth.band_low, back.band_low)


def test_the_key_alone_decides_the_interval():
    one, two = (fits.fit_power_law(WIDTHS, power_law(-1.0), "a") for _ in range(2))
    assert one.slope_low == two.slope_low
    other = fits.fit_power_law(WIDTHS, power_law(-1.0), "b")
    assert one.slope_low != other.slope_low
    assert statistics.generator("J-2").integers(1000) == 724


@pytest.mark.parametrize("statistic", ["std", "variance", "mean", "median"])
def test_the_slope_of_other_statistics_is_that_of_the_law(statistic):
    rng = np.random.default_rng(0)
    samples = [3 / n + rng.standard_normal(400) / n for n in WIDTHS]
    fit = fits.fit_power_law(WIDTHS, samples, "a", statistic=statistic)
    predicted = -2 if statistic == "variance" else -1
    assert abs(fit.slope - predicted) < 0.15
    assert fit.slope_low < predicted < fit.slope_high


positive = st.floats(1e-3, 1e3)


@settings(deadline=None, max_examples=20)
@given(factor=positive, stretch=positive, seed=st.integers(0, 1000))
def test_slope_is_equivariant(factor, stretch, seed):
    samples = power_law(-1.0, seeds=4, seed=seed)
    plain = fits.fit_power_law(WIDTHS, samples, "a")
    other = fits.fit_power_law(WIDTHS * stretch, [factor * s for s in samples], "a")
    for name in ("slope", "slope_low", "slope_high", "local_slopes"):
        np.testing.assert_allclose(
            getattr(plain, name), getattr(other, name), rtol=1e-8, atol=1e-8
        )


@settings(deadline=None, max_examples=20)
@given(
    sigma=st.floats(0.01, 1),
    times=st.floats(1.1, 5),
    statistic=st.sampled_from(["mean", "geometric_mean", "median", "std"]),
)
def test_interval_widens_with_noise(sigma, times, statistic):
    noise = np.random.default_rng(0).standard_normal(9)

    def width(sigma):
        values = (
            np.exp(sigma * noise) if statistic == "geometric_mean" else (sigma * noise)
        )
        result = statistics.one_sample(values, statistic, "a")
        if statistic == "geometric_mean":
            return math.log(result.high / result.low)
        return result.high - result.low

    np.testing.assert_allclose(width(times * sigma), times * width(sigma), rtol=1e-6)


def test_one_network_has_no_interval_but_a_note():
    fit = fits.fit_power_law(WIDTHS, [[1 / n] for n in WIDTHS], "a")
    assert fit.slope == pytest.approx(-1)
    assert math.isnan(fit.slope_low) and "1 seed" in fit.note
    assert np.isnan(fit.band_low).all() and not np.isnan(fit.line).any()


def test_one_network_is_enough_where_it_is_exact():
    fit = fits.fit_power_law(WIDTHS, [[1 / n] for n in WIDTHS], "a", exact=True)
    assert fit.slope_low == fit.slope == fit.slope_high


def test_exact_does_not_hide_the_spread_of_several():
    values = [1.0, 2.0, 3.0]
    exact = statistics.one_sample(values, "mean", "a", exact=True)
    assert exact == statistics.one_sample(values, "mean", "a")
    assert exact.low < 1.5


def test_one_width_has_no_slope():
    fit = fits.fit_power_law([64], [[1.0, 2.0]], "a")
    assert math.isnan(fit.slope) and "one width" in fit.note


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_numbers_without_logarithm_are_reported(bad):
    samples = power_law(-1.0)
    samples[1] = [1.0, bad, 2.0]
    fit = fits.fit_power_law(WIDTHS, samples, "a")
    assert math.isnan(fit.slope)
    assert "1 of 3 values" in fit.note
    assert math.isfinite(fit.means[0]) and math.isnan(fit.means[1])
    # the other widths keep their intervals
    assert math.isfinite(fit.means_low[0])


def test_a_constant_has_no_logarithmic_spread():
    result = statistics.one_sample([2.0, 2.0, 2.0, 2.0], "std", "a")
    assert math.isnan(result.estimate) and "≤ 0" in result.note
    assert "at least 3" in statistics.one_sample([1.0, 2.0], "std", "a").note


def test_an_empty_sample_has_no_value():
    assert statistics.one_sample(np.empty((0, 1)), "mean", "a").note == "no value"


def test_correlated_indices_are_drawn_together():
    shared = np.random.default_rng(0).standard_normal(30)
    alone = statistics.one_sample(shared, "mean", "a")
    copies = statistics.one_sample(np.repeat(shared[:, None], 50, 1), "mean", "a")
    # fifty copies of a number are one number
    np.testing.assert_allclose(copies[:5], alone[:5])


def test_pairing_removes_what_the_seeds_share():
    rng = np.random.default_rng(0)
    seeds = rng.standard_normal(20)
    pair = np.exp(np.stack([seeds, seeds + 0.01 * rng.standard_normal(20)], 1))
    paired = statistics.bootstrap([pair[:, :, None]], "geometric_mean", "a")
    apart = statistics.bootstrap(
        [pair[:, :1, None], pair[:, 1:, None]], "geometric_mean", "a"
    )
    near, far = (statistics.interval(s, [1, -1]) for s in (paired, apart))
    assert near == statistics.interval(paired, [1, -1], 0.95)
    assert near.estimate == pytest.approx(far.estimate)
    assert near.error < 0.05 * far.error
    assert near.freedom == 19 and 19 < far.freedom <= 38.1


def corrected_law(p, b, sigma, seeds, random, widths=(16, 32, 64, 128, 256)):
    """Samples of Q = n^p·(1 + b/n) times noise, as a logarithmic `Sample`."""
    blocks = [
        n**p * (1 + b / n) * np.exp(sigma * random.normal(size=(seeds, 1, 1)))
        for n in widths
    ]
    sample = statistics.bootstrap(blocks, "geometric_mean", "k", log=True)
    return np.array(widths), sample


@pytest.mark.parametrize(("p", "b"), [(-1.0, 4.8), (-0.5, -6.0), (0.3, 40.0), (-1, 0)])
def test_a_correction_to_scaling_is_found(p, b):
    n, sample = corrected_law(p, b, 1e-6, 5, np.random.default_rng(0))
    slope, found, gone = fits.corrected_slope(n, sample)
    assert slope.estimate == pytest.approx(p, abs=1e-4)
    assert found == pytest.approx(b, abs=1e-2)
    assert slope.low < p < slope.high and gone.freedom == 2
    few, _, _ = fits.corrected_slope(n[:3], sample)
    assert math.isnan(few.estimate) and "four widths" in few.note


@pytest.mark.parametrize(
    ("seeds", "sigma"), [(3, 0.01), (3, 0.05), (5, 0.1), (20, 0.05)]
)
def test_the_interval_of_a_corrected_slope_covers(seeds, sigma):
    """Also with few networks, and where another b and p fit nearly as well."""
    random, hits = np.random.default_rng(3), 0
    for _ in range(100):
        n, sample = corrected_law(-1.0, 4.8, sigma, seeds, random)
        slope, _, _ = fits.corrected_slope(n, sample)
        hits += slope.low <= -1 <= slope.high
    assert 0.91 <= hits / 100


def test_the_interval_of_a_corrected_slope_is_that_of_a_linear_fit_if_noise_is_small():
    n, sample = corrected_law(-1.0, 4.8, 1e-4, 6, np.random.default_rng(5))
    slope, b, _ = fits.corrected_slope(n, sample, 0.9)
    design = np.column_stack([np.log(n), np.ones(5), 1 / (n + b)])
    linear = statistics.interval(sample, np.linalg.pinv(design)[0], 0.9)
    assert slope.freedom == pytest.approx(linear.freedom, rel=1e-6)
    half = (linear.high - linear.low) / 2
    assert slope.high - slope.estimate == pytest.approx(half, rel=0.02)
    assert slope.estimate - slope.low == pytest.approx(half, rel=0.02)


def test_a_corrected_slope_without_noise_has_no_interval():
    n = np.array([16.0, 32, 64, 128])
    sample = statistics.Sample(np.log1p(4 / n) - np.log(n), (np.zeros((4, 4)),), (1,))
    slope, b, _ = fits.corrected_slope(n, sample)
    assert slope.low == slope.high == slope.estimate == pytest.approx(-1)
    assert b == pytest.approx(4)


def test_fits_with_a_correction_are_the_best_of_scipy():
    n, random = np.array([16.0, 32, 64, 128, 256]), np.random.default_rng(4)
    y = -np.log(n) + np.log1p(4.8 / n) + random.normal(scale=0.02, size=(30, 5))
    line = np.vander(np.log(n), 2)
    for row in y:
        correction, square = (found[0] for found in fits.corrections(n, row, line))

        def misses(x, row=row):
            return row - line @ x[:2] - np.log1p(16 * np.expm1(x[2]) / n)

        best = min(
            (optimize.least_squares(misses, [-1, 0, s]) for s in (-1.0, 0.2, 2.0)),
            key=lambda found: found.cost,
        )
        own = row - np.log1p(correction / n)
        rest = own - line @ (np.linalg.pinv(line) @ own)
        assert rest @ rest == pytest.approx(square, rel=1e-6)
        assert square <= 2 * best.cost * (1 + 1e-6)


def test_chi_square_is_that_of_a_weighted_fit_and_p_is_uniform():
    """Agreement with scipy's weighted least squares, and simulated straight lines."""
    n, sample = corrected_law(-1.0, 4.8, 0.05, 30, np.random.default_rng(1))
    line = np.vander(np.log(n), 2)
    sigma = np.sqrt([c.item() for c in sample.covariances])
    best = optimize.curve_fit(
        lambda x, a, c: a * x + c, np.log(n), sample.point, sigma=sigma
    )[0]
    chi2 = np.sum(((sample.point - line @ best) / sigma) ** 2)
    gone = fits.misfit(sample, line)
    assert gone.chi2 == pytest.approx(chi2, rel=1e-6) and gone.freedom == 3
    assert gone.p < 1e-6  # the correction is seen
    random = np.random.default_rng(2)
    p = []
    for _ in range(100):
        _, straight = corrected_law(-1.0, 0.0, 0.05, 30, random)
        p.append(fits.misfit(straight, line).p)
    assert stats.kstest(p, "uniform").pvalue > 0.001


@pytest.mark.parametrize(("seeds", "spread"), [(2, 0), (3, 0), (5, 0), (5, 1)])
def test_the_interval_of_a_slope_covers(seeds, spread):
    x = np.log(4.0 ** np.arange(3, 8))
    sigma = np.linspace(0.6, 0.15, 5) if spread else np.full(5, 0.3)
    noise = np.random.default_rng(1).standard_normal((200, 5, seeds))
    hits = 0
    for draw in noise:
        samples = np.exp(sigma[:, None] * draw)
        fit = fits.fit_power_law(np.exp(x), list(samples), "a")
        hits += fit.slope_low <= 0 <= fit.slope_high
    assert 0.91 <= hits / 100  # percentile: 0.72, 0.83, 0.90, 0.86


# -- verdicts -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.95, 1.05, "supported"),
        (0.9, 1.1, "supported"),
        (0.89, 1.05, "inconclusive"),
        (0.5, 2.0, "inconclusive"),
        (1.11, 1.2, "contradicted"),
        (0.2, 0.89, "contradicted"),
        (math.nan, math.nan, "inconclusive"),
    ],
)
def test_the_verdict_is_by_equivalence(low, high, verdict):
    assert statistics.equivalence(low, high, 0.9, 1.1) == verdict


number = st.floats(-10, 10)


@given(a=number, b=number, c=number, d=number, shrink=st.floats(0, 1))
def test_a_narrower_interval_or_a_wider_band_never_reverses_a_verdict(
    a, b, c, d, shrink
):
    (low, high), (p, q) = sorted((a, b)), sorted((c, d))
    verdict = statistics.equivalence(low, high, p, q)
    middle = (low + high) / 2
    half = shrink * (high - low) / 2
    finer = statistics.equivalence(
        max(low, middle - half), min(high, middle + half), p, q
    )
    # more data may settle a verdict, never turn one into its opposite
    assert verdict in ("inconclusive", finer)
    wider = statistics.equivalence(low, high, p - 1, q + 1)
    assert not (verdict == "supported" and wider != "supported")
    assert not (verdict == "inconclusive" and wider == "contradicted")


def test_a_band_may_have_one_limit():
    assert statistics.equivalence(0.1, 3, accept_low=0) == "supported"
    assert statistics.equivalence(-0.1, 3, accept_low=0) == "inconclusive"
    assert statistics.equivalence(-3, -0.1, accept_low=0) == "contradicted"
    assert statistics.equivalence(-3, -0.1, accept_high=0) == "supported"
    assert statistics.equivalence(0.1, 3, accept_high=0) == "contradicted"


def test_the_one_sided_p_value_is_that_of_a_t_test():
    values = np.random.default_rng(0).standard_normal(12) + 0.5
    result = statistics.one_sample(values, "mean", "a")
    reference = stats.ttest_1samp(values, 0, alternative="greater").pvalue
    assert statistics.above_zero(result) == pytest.approx(reference, rel=0.3)
    certain = result._replace(error=0.0, estimate=1.0)
    assert statistics.above_zero(certain) == 0
    assert statistics.above_zero(certain._replace(estimate=0.0)) == 1
    assert statistics.above_zero(certain._replace(error=math.nan)) == 1


def test_holm_has_the_values_computed_by_hand():
    # 4·0.01, 3·0.02, max(2·0.03, ·), max(1·0.04, ·)
    np.testing.assert_allclose(
        statistics.holm([0.03, 0.01, 0.04, 0.02]), [0.06, 0.04, 0.06, 0.06]
    )
    np.testing.assert_allclose(statistics.holm([0.5, 0.6]), [1, 1])
    np.testing.assert_allclose(statistics.holm([0.02]), [0.02])


def test_normality_tests_have_the_values_computed_by_hand():
    scores = np.array([[1.0], [2.0], [3.0], [-1.0]])
    tests = statistics.normality(scores)
    np.testing.assert_allclose(tests.mean_z, 2.5)  # √4·1.25
    np.testing.assert_allclose(tests.variance_ratio, 8.75 / 3)
    np.testing.assert_allclose(tests.p_mean, 2 * stats.norm.sf(2.5))
    np.testing.assert_allclose(tests.p_variance, 2 * stats.chi2.sf(8.75, 3))


def test_normality_tests_keep_their_level():
    scores = np.random.default_rng(0).standard_normal((50, 1000))
    tests = statistics.normality(scores)
    for p in (tests.p_mean, tests.p_variance, tests.p_distribution):
        assert abs(np.mean(p < 0.05) - 0.05) < 0.02


@pytest.mark.parametrize(("hits", "total"), [(20, 20), (3, 11), (0, 7)])
def test_a_share_has_the_bounds_of_clopper_and_pearson(hits, total):
    result = statistics.share(hits, total, 0.9)
    assert result.estimate == hits / total
    # P(X ≥ hits | low) = P(X ≤ hits | high) = 0.05
    if hits:
        above = stats.binom.sf(hits - 1, total, result.low)
        assert above == pytest.approx(0.05)
    if hits < total:
        assert stats.binom.cdf(hits, total, result.high) == pytest.approx(0.05)


def test_collapse_is_the_r_squared_of_a_polynomial():
    random = np.random.default_rng(1)
    x, noise = np.array([1.0, 2.0, 3.0, 5.0, 8.0]), random.normal(size=(5, 12))
    blocks = [
        np.exp(1.5 * np.log(a) + 0.1 * e)[:, None, None]
        for a, e in zip(x, noise, strict=True)
    ]
    sample = statistics.bootstrap(blocks, "geometric_mean", "k")
    result = fits.collapse(x, sample, 1, "k")
    fit = stats.linregress(np.log(x), sample.point)
    assert result.estimate == pytest.approx(fit.rvalue**2, rel=1e-9)
    assert result.low < result.estimate < result.high < 1
    exact = statistics.bootstrap([b[:1] for b in blocks], "mean", "k", log=True)
    assert math.isnan(fits.collapse(x, exact, 1, "k").low)


def test_the_interval_of_a_collapse_covers():
    # y differs from a line by a fixed amount, so R² is known; networks are noisy
    x, random = np.geomspace(1, 8, 6), np.random.default_rng(2)
    y = np.log(x) + 0.3 * np.array([1, -1, 0, 0, -1, 1])
    truth = stats.linregress(np.log(x), y).rvalue ** 2
    covered = []
    for trial in range(150):
        blocks = np.exp(y[:, None] + 0.15 * random.normal(size=(6, 20)))[
            ..., None, None
        ]
        sample = statistics.bootstrap(list(blocks), "geometric_mean", str(trial))
        result = fits.collapse(x, sample, 1, str(trial))
        covered.append(result.low <= truth <= result.high)
    assert 0.9 < np.mean(covered) <= 1


def test_two_widths_have_a_slope():
    """The slope of the line through them, with the interval of a difference."""
    rng = np.random.default_rng(11)
    samples = [np.exp(0.1 * rng.standard_normal(20)) * n**-0.5 for n in (8, 32)]
    fit = fits.fit_power_law([8, 32], samples, "two")
    means = [np.log(values).mean() for values in samples]
    expected = (means[1] - means[0]) / np.log(4)
    assert fit.slope == pytest.approx(expected, rel=1e-12)
    assert fit.local_slopes == pytest.approx([expected], rel=1e-12)
    assert fit.slope_low < expected < fit.slope_high
    assert fit.line[[0, -1]] == pytest.approx(np.exp(means), rel=1e-12)
    assert fit.note == ""


def test_the_interval_of_a_collapse_is_that_of_the_logarithm_of_what_is_left():
    """T ± t·s for T = log(1 − R²), with the reported error and degrees of freedom."""
    x, random = np.array([1.0, 2.0, 4.0, 8.0]), np.random.default_rng(12)
    blocks = [
        np.exp(np.log(a) + 0.1 * random.normal(size=n))[:, None, None]
        for a, n in zip(x, (9, 7, 12, 8), strict=True)
    ]
    sample = statistics.bootstrap(blocks, "geometric_mean", "k")
    result = fits.collapse(x, sample, 1, "k", confidence=0.9)
    assert result.freedom == 6  # of the width with the fewest networks
    half = stats.t.ppf(0.95, 6) * result.error
    left = math.log(1 - result.estimate)
    assert math.log(1 - result.low) == pytest.approx(left + half, rel=1e-9)
    assert math.log(1 - result.high) == pytest.approx(left - half, rel=1e-9)
