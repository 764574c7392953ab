"""Slopes, intervals and equivalence verdicts: numpy in, small tuples out.

Networks are independent, the numbers of one network are not. A *block* therefore
holds everything that shares its networks: an array (n, q, i) of n networks, q
quantities to compare (two variants of the same seeds, say) and i interchangeable
values of each quantity (test points, say), which are pooled. Resampling draws whole
networks, and blocks (widths, with their own seeds) are resampled separately. All
claims are linear in the statistics of the blocks, a slope as well as a difference.

**Interval.** With c the coefficients of such a combination T = Σ_b c_b·T_b,

    T ± t_ν·s,   s² = Σ_b v_b,   v_b = n_b/(n_b−1)·Var*(c_b·T_b*),
    ν = s⁴ / Σ_b v_b²/(n_b−1),

T* the statistic of 4,000 bootstrap samples. √(n/(n−1)) and Student's t with Welch's
ν are the two corrections of Hesterberg (2015, The American Statistician 69, 371),
without which a bootstrap of few seeds is too narrow. Spreads, geometric means and
slopes are treated on the logarithmic scale.

Measured coverage of the nominal 95 % interval, n seeds at each of 5 widths 4³…4⁷,
slope of normal log-values with σ_log = 0.3; in brackets σ_log falling from 0.6 to 0.15
along the widths (1,500 repetitions: the standard error of the figures is 0.006):

    n seeds           2            3            5           10           20
    percentile   0.72 (0.69)  0.83 (0.79)  0.90 (0.86)  0.92 (0.92)  0.93 (0.94)
    T ± t_ν·s    0.98 (0.97)  0.97 (0.94)  0.96 (0.95)  0.95 (0.95)  0.95 (0.95)

Bootstrap-t covers as well, but is up to twice as wide at 3 seeds and undefined at 2.
One sample of n seeds, normal; in brackets log-normal with σ_log = 0.3, whose heavy
tail the variance of a few seeds cannot show:

    n seeds           3            5           10           20          200
    mean         0.95 (0.94)  0.94 (0.94)  0.95 (0.94)  0.94 (0.94)  0.95 (0.94)
    median       0.98 (0.98)  0.99 (0.98)  0.96 (0.96)  0.95 (0.95)  0.94 (0.95)
    variance     0.99 (0.99)  0.99 (0.99)  0.95 (0.91)  0.94 (0.90)  0.96 (0.93)
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import scipy  # its `stats` is loaded on first use: 0.7 s that few jobs need
from numpy.typing import ArrayLike

Outcome = Literal["supported", "contradicted", "inconclusive"]
Statistic = Literal["mean", "median", "geometric_mean", "std", "variance"]

RESAMPLES = 4_000
"""The standard error of a bootstrap standard error is then 1.1 % of it."""

LOGARITHMIC = ("geometric_mean", "std", "variance")
SPREADS = ("std", "variance")


class Interval(NamedTuple):
    """An estimate with its interval; NaN where an interval is undefined, with a note.

    On the logarithmic scale when it came from a logarithmic `Sample`; see `natural`.
    """

    estimate: float
    low: float
    high: float
    error: float
    freedom: float
    note: str = ""


def undefined(note: str = "") -> Interval:
    """No interval, and why there is none."""
    return Interval(math.nan, math.nan, math.nan, math.nan, math.nan, note)


class Sample(NamedTuple):
    """Statistics of all quantities, and the bootstrap covariance of each block."""

    point: np.ndarray  # (q,) quantities of all blocks, one block after the other
    covariances: tuple[np.ndarray, ...]  # of each block
    sizes: tuple[int, ...]  # networks of each block
    note: str = ""


class ScalingFit(NamedTuple):
    """The line log Q = intercept + slope·log n, all on the natural scale of Q and n.

    `widths` may be any positive abscissa. The band is pointwise.
    """

    widths: np.ndarray
    means: np.ndarray
    means_low: np.ndarray
    means_high: np.ndarray
    slope: float
    slope_low: float
    slope_high: float
    intercept: float
    grid: np.ndarray
    line: np.ndarray
    band_low: np.ndarray
    band_high: np.ndarray
    local_slopes: np.ndarray
    note: str


class Normality(NamedTuple):
    """Tests of z-scores against N(0, 1), one entry per index; p-values uncorrected."""

    mean_z: np.ndarray
    variance_ratio: np.ndarray
    p_mean: np.ndarray
    p_variance: np.ndarray
    p_distribution: np.ndarray


# (…, n, q, i) -> (…, q): the statistic over networks, pooled over the last axis.
# A spread is that of the networks around the mean of *their* index.
_STATISTICS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mean": lambda values: values.mean((-3, -1)),
    "median": lambda values: np.median(values, (-3, -1)),
    "geometric_mean": lambda values: np.exp(np.log(values).mean((-3, -1))),
    "variance": lambda values: values.var(-3, ddof=1).mean(-1),
    "std": lambda values: np.sqrt(values.var(-3, ddof=1).mean(-1)),
}


def generator(key: str) -> np.random.Generator:
    """A random generator that depends on `key` only, on any machine."""
    return np.random.default_rng(list(hashlib.sha256(key.encode()).digest()))


def bootstrap(
    blocks: Sequence[np.ndarray],
    statistic: Statistic,
    key: str,
    *,
    log: bool | None = None,
    exact: bool = False,
) -> Sample:
    """Statistic of every quantity and its covariance, by resampling networks.

    Args:
        blocks: arrays (n, q, i), see the head of this module.
        statistic: what is taken over the networks of a block.
        key: seeds the resampling.
        log: take the logarithm of the statistic; default: for `LOGARITHMIC` ones.
        exact: a block of one network carries no sampling error (a kernel's limit);
            without it the error of one network is unknown, NaN.
    """
    log = statistic in LOGARITHMIC if log is None else log
    random = generator(key)
    # Where a statistic overflows its error is infinite, and the interval undefined.
    with np.errstate(over="ignore", invalid="ignore"):
        parts = [_block(block, statistic, log, exact, random) for block in blocks]
    return Sample(
        point=np.concatenate([part.point for part in parts]),
        covariances=tuple(part.covariances[0] for part in parts),
        sizes=tuple(part.sizes[0] for part in parts),
        note="; ".join(dict.fromkeys(part.note for part in parts if part.note)),
    )


def _block(
    values: np.ndarray,
    statistic: Statistic,
    log: bool,
    exact: bool,
    random: np.random.Generator,
) -> Sample:
    n, q, _ = values.shape
    unknown = np.full((q, q), np.nan)
    refused = _refusal(values, statistic, log)
    if refused:
        return Sample(np.full(q, np.nan), (unknown,), (n,), refused)

    def evaluate(values: np.ndarray) -> np.ndarray:
        result = _STATISTICS[statistic](values)
        if not log:
            return result
        return np.log(result, where=result > 0, out=np.full_like(result, np.nan))

    point = evaluate(values)
    if np.isnan(point).any():
        note = f"a {statistic} is ≤ 0 and has no logarithm"
        return Sample(point, (unknown,), (n,), note)
    if n == 1 and exact:
        return Sample(point, (np.zeros((q, q)),), (n,))
    needed = 3 if statistic in SPREADS else 2
    if n < needed:
        note = f"no interval: {n} seed(s), a {statistic} needs at least {needed}"
        return Sample(point, (unknown,), (n,), note)
    draws = [
        evaluate(values[random.integers(n, size=(size, n))])
        for size in _batches(RESAMPLES, values.size)
    ]
    replicates = np.concatenate(draws)  # (resamples, q)
    # A resample of one network, repeated, has no spread and no logarithm.
    replicates = replicates[np.isfinite(replicates).all(1)]
    covariance = np.cov(replicates, rowvar=False).reshape(q, q) * n / (n - 1)
    return Sample(point, (covariance,), (n,))


def _refusal(values: np.ndarray, statistic: Statistic, log: bool) -> str:
    """Why no statistic can be taken, or nothing."""
    if values.size == 0:
        return "no value"
    if not np.isfinite(values).all():
        return f"{np.sum(~np.isfinite(values))} of {values.size} values are not finite"
    if statistic == "geometric_mean" and (values <= 0).any():
        return (
            f"{np.sum(values <= 0)} of {values.size} values are ≤ 0 "
            "and have no logarithm"
        )
    if statistic in SPREADS and values.shape[0] < 2:
        return f"no {statistic}: 1 seed"
    return ""


def _batches(total: int, size: int, limit: int = 4_000_000) -> list[int]:
    """Split `total` resamples of `size` numbers so that a batch stays small."""
    batch = min(total, max(1, limit // size))
    return [batch] * (total // batch) + ([total % batch] if total % batch else [])


def interval(
    sample: Sample, coefficients: ArrayLike, confidence: float = 0.95
) -> Interval:
    """The two-sided interval T ± t_ν·s of T = Σ c·statistic (head of this module).

    Each end alone is a one-sided bound of level (1 + confidence)/2.
    """
    c = np.asarray(coefficients, float)
    # A quantity that does not enter must not spoil the sum when it is NaN.
    estimate = float(sum(ck * pk for ck, pk in zip(c, sample.point, strict=True) if ck))
    variances, freedoms, start = [], [], 0
    for covariance, size in zip(sample.covariances, sample.sizes, strict=True):
        part = c[start : start + len(covariance)]
        start += len(covariance)
        if part.any():
            variances.append(max(float(part @ covariance @ part), 0.0))
            freedoms.append(size - 1)
    if not all(math.isfinite(v) for v in [estimate, *variances]):
        return Interval(estimate, math.nan, math.nan, math.nan, math.nan, sample.note)
    v, m = np.array(variances), np.array(freedoms)
    error = math.sqrt(v.sum())
    if error == 0:
        return Interval(estimate, estimate, estimate, 0.0, math.inf, sample.note)
    random = v > 0
    # Relative to the sum, for v² may underflow.
    freedom = float(1 / np.sum((v[random] / v.sum()) ** 2 / m[random]))
    half = float(scipy.special.stdtrit(freedom, (1 + confidence) / 2)) * error
    return Interval(
        estimate, estimate - half, estimate + half, error, freedom, sample.note
    )


def natural(result: Interval) -> Interval:
    """Exponential of the estimate and of both ends of a logarithmic interval."""
    return result._replace(
        estimate=_exp(result.estimate), low=_exp(result.low), high=_exp(result.high)
    )


def _exp(value: float) -> float:
    # A useless interval (two wild seeds) may reach further than floats do.
    return math.exp(min(value, 700.0))


def one_sample(
    values: ArrayLike,
    statistic: Statistic,
    key: str,
    *,
    confidence: float = 0.95,
    exact: bool = False,
) -> Interval:
    """Interval of a statistic over networks; values (n,) or (n, i), pooled over i."""
    array = np.asarray(values, float)
    block = array[:, None, None] if array.ndim == 1 else array[:, None, :]
    result = interval(
        bootstrap([block], statistic, key, exact=exact), [1.0], confidence
    )
    return natural(result) if statistic in LOGARITHMIC else result


def slope_coefficients(log_widths: np.ndarray) -> np.ndarray:
    """c with slope = Σ c·y by least squares: c = (x − x̄)/Σ(x − x̄)²."""
    centred = log_widths - log_widths.mean()
    return centred / (centred @ centred)


def local_coefficients(log_widths: np.ndarray) -> np.ndarray:
    """Rows c with local slope_k = Σ c·y = (y_{k+1} − y_k)/(x_{k+1} − x_k)."""
    return np.diff(np.eye(len(log_widths)), axis=0) / np.diff(log_widths)[:, None]


def scaling_fit(
    widths: ArrayLike,
    sample: Sample,
    *,
    confidence: float = 0.95,
    points: int = 50,
) -> ScalingFit:
    """Least-squares line through (log n, log statistic), every width weighing alike.

    log Q = intercept + slope·log n;  `widths` (k,) ascending, `sample` logarithmic
    with k quantities. Fewer than two widths have no slope: NaN, with a note.
    """
    n = np.asarray(widths, float)
    x = np.log(n)
    means = [
        natural(interval(sample, row, confidence)) for row in np.eye(len(n)).tolist()
    ]
    grid = np.geomspace(n[0], n[-1], points)
    if len(n) < 2:
        note = "; ".join(filter(None, [sample.note, "no slope: one width"]))
        slope = undefined()
        line, local, intercept = [slope] * points, np.empty(0), math.nan
    else:
        note = sample.note
        c = slope_coefficients(x)
        slope = interval(sample, c, confidence)
        centre = np.full(len(n), 1 / len(n))
        rows = centre + np.outer(np.log(grid) - x.mean(), c)
        line = [natural(interval(sample, row, confidence)) for row in rows]
        local = local_coefficients(x) @ sample.point
        intercept = float(sample.point.mean() - slope.estimate * x.mean())
    return ScalingFit(
        widths=n,
        means=np.array([m.estimate for m in means]),
        means_low=np.array([m.low for m in means]),
        means_high=np.array([m.high for m in means]),
        slope=slope.estimate,
        slope_low=slope.low,
        slope_high=slope.high,
        intercept=intercept,
        grid=grid,
        line=np.array([p.estimate for p in line]),
        band_low=np.array([p.low for p in line]),
        band_high=np.array([p.high for p in line]),
        local_slopes=local,
        note=note,
    )


class Misfit(NamedTuple):
    """How far points are from a fit: χ², its degrees of freedom and its p-value."""

    chi2: float
    freedom: int
    p: float


def misfit(sample: Sample, design: np.ndarray) -> Misfit | None:
    """Goodness of fit of y = design·parameters; None where it is undefined.

    χ² = rᵀ(M C Mᵀ)⁺r with r = My the residuals of least squares, M their projection and
    C the bootstrap covariance of y. It is the least χ² of any parameters. C is that of
    n networks, the fewest of a point, and p is Hotelling's:
    χ²·(n − d)/((n − 1)·d) ~ F(d, n − d) with d degrees of freedom.
    """
    points, parameters = design.shape
    d, n = points - parameters, min(sample.sizes)
    covariance = scipy.linalg.block_diag(*sample.covariances)
    if d < 1 or n <= d or not np.isfinite(covariance).all():
        return None
    # an orthonormal basis of what no parameters can fit
    rest = scipy.linalg.null_space(design.T)
    residual, spread = rest.T @ sample.point, rest.T @ covariance @ rest
    if np.linalg.matrix_rank(spread) < d:
        return None
    chi2 = float(residual @ np.linalg.solve(spread, residual))
    p = float(scipy.stats.f.sf(chi2 * (n - d) / ((n - 1) * d), d, n - d))
    return Misfit(chi2, d, p)


def corrected_slope(
    widths: ArrayLike, sample: Sample, confidence: float = 0.95
) -> tuple[Interval, float, Misfit | None]:
    """Slope p of log Q = c + p·log n + log(1 + b/n), b, and the goodness of fit.

    Least squares, every n weighing alike. The interval of p is that of the fit made
    linear at its solution: p = Σ c·y with c the row of the pseudo-inverse of the
    Jacobian, and the covariance of y is the bootstrap's. There must be four n or more.
    Measured coverage of 95 % (p = −1, b = 4.8, n = 16 … 256): 0.95 if the standard
    error of log Q is 0.002 or 0.004, but 0.83 if it is 0.011.

    Args:
        widths: abscissae (q,), in the order of the sample's quantities.
        sample: logarithmic.
        confidence: level of the interval.
    """
    n = np.asarray(widths, float)
    x, y, least = np.log(n), sample.point, n.min()
    if len(n) < 4:
        text = f"a correction needs four widths, there are {len(n)}"
        return undefined("; ".join(filter(None, [sample.note, text]))), math.nan, None
    if not np.isfinite(y).all():
        return undefined(sample.note), math.nan, None
    line = np.vander(x - x.mean(), 2)

    def parameters(b):  # (p, c) by least squares, for this b
        rest = y - np.log1p(b / n)
        return np.linalg.lstsq(line, rest, rcond=None)[0], rest

    def misses(s):
        pc, rest = parameters(least * np.expm1(s))
        return rest - line @ pc

    # 1 + b/n > 0 at the smallest n: b = n·(e^s − 1) for every s
    fits = [scipy.optimize.least_squares(misses, s) for s in (-1.0, 0.0, 1.0, 3.0)]
    b = float(least * np.expm1(min(fits, key=lambda fit: fit.cost).x[0]))
    jacobian = np.column_stack([line, 1 / (n + b)])
    linear = interval(sample, np.linalg.pinv(jacobian)[0], confidence)
    p = float(parameters(b)[0][0])
    shift = p - linear.estimate
    moved = linear._replace(
        estimate=p, low=linear.low + shift, high=linear.high + shift
    )
    residuals = sample._replace(point=misses(math.log1p(b / least)))
    return moved, b, misfit(residuals, jacobian)


def fit_power_law(
    widths: ArrayLike,
    samples: Sequence[ArrayLike],
    key: str,
    *,
    statistic: Statistic = "geometric_mean",
    confidence: float = 0.95,
    exact: bool = False,
) -> ScalingFit:
    """`scaling_fit` of independent seeds: one array of values per width, any order."""
    order = np.argsort(np.asarray(widths, float), kind="stable")
    blocks = [np.asarray(samples[k], float).reshape(-1, 1, 1) for k in order]
    sample = bootstrap(blocks, statistic, key, log=True, exact=exact)
    return scaling_fit(np.asarray(widths, float)[order], sample, confidence=confidence)


def collapse(
    x: ArrayLike, sample: Sample, degree: int, key: str, *, confidence: float = 0.95
) -> Interval:
    """R² of a polynomial in log x through log Q: is Q a function of x alone?

    R² = 1 − Σ(y − ŷ)²/Σ(y − ȳ)² with y = log Q, every point weighing alike. The
    interval is T ± t_ν·s of T = log(1 − R²), with s over `RESAMPLES` draws of y from
    N(y, its bootstrap covariance) and ν + 1 the fewest networks of a point.

    Args:
        x: abscissae (q,) in the order of the sample's quantities.
        sample: logarithmic.
        degree: of the polynomial; there must be more points than it has numbers, and
            more different abscissae than its degree.
        key: seeds the draws.
        confidence: level of the interval.
    """
    log_x, y = np.log(np.asarray(x, float)), sample.point
    needed = f"degree {degree} needs {degree + 2} points, {degree + 1} abscissae"
    if len(y) < degree + 2 or len(np.unique(log_x)) < degree + 1:
        return undefined("; ".join(filter(None, [sample.note, needed])))
    spread = scipy.linalg.block_diag(*sample.covariances)
    if not (np.isfinite(y).all() and np.isfinite(spread).all()):
        return undefined(sample.note)
    if np.ptp(y) == 0:
        return undefined("no R²: all values are alike")
    powers = np.vander(log_x - log_x.mean(), degree + 1)
    projection = np.eye(len(y)) - powers @ np.linalg.pinv(powers)

    def unexplained(y):
        total = np.sum((y - y.mean(-1, keepdims=True)) ** 2, axis=-1)
        # a perfect fit, but for rounding
        return np.log(np.maximum(np.sum((y @ projection) ** 2, -1) / total, 1e-12))

    draws = generator(key).multivariate_normal(y, spread, RESAMPLES, method="eigh")
    rest = float(unexplained(y))
    freedom = min(sample.sizes) - 1 if spread.any() else math.inf
    error = float(np.std(unexplained(draws), ddof=1)) if spread.any() else 0.0
    half = error * float(scipy.special.stdtrit(freedom, (1 + confidence) / 2))
    ends = -math.expm1(rest), -math.expm1(rest + half), -math.expm1(rest - half)
    return Interval(*ends, error, freedom, sample.note)


def equivalence(
    low: float,
    high: float,
    accept_low: float = -math.inf,
    accept_high: float = math.inf,
) -> Outcome:
    """Verdict by equivalence, so that noise is never rewarded.

    [low, high] inside the accepted band: supported; disjoint from it: contradicted;
    else, also when the interval is undefined: inconclusive. With one end of the band
    infinite this is the one-sided test of level (1 + confidence)/2.
    """
    if math.isnan(low) or math.isnan(high):
        return "inconclusive"
    if accept_low <= low and high <= accept_high:
        return "supported"
    if high < accept_low or low > accept_high:
        return "contradicted"
    return "inconclusive"


def above_zero(result: Interval) -> float:
    """One-sided p-value of "the quantity is ≤ 0", by Student's t; 1 if undefined."""
    if math.isnan(result.error):
        return 1.0
    if result.error == 0:
        return 0.0 if result.estimate > 0 else 1.0
    return float(scipy.special.stdtr(result.freedom, -result.estimate / result.error))


def holm(p_values: ArrayLike) -> np.ndarray:
    """Holm's step-down adjusted p-values: p̃_(k) = max_{j≤k} min(1, (m−j+1)·p_(j))."""
    p = np.asarray(p_values, float)
    order = np.argsort(p)
    steps = np.arange(len(p), 0, -1) * p[order]
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def normality(scores: np.ndarray) -> Normality:
    """Mean z-test, χ² variance test and Kolmogorov–Smirnov test of (n, i) z-scores.

    √n·z̄ ~ N(0, 1);  (n−1)·s² ~ χ²_{n−1};  both exact when the scores are N(0, 1).
    """
    n = len(scores)
    mean_z = math.sqrt(n) * scores.mean(0)
    ratio = scores.var(0, ddof=1)
    tail = scipy.stats.chi2.cdf((n - 1) * ratio, n - 1)
    return Normality(
        mean_z=mean_z,
        variance_ratio=ratio,
        p_mean=2 * scipy.stats.norm.sf(np.abs(mean_z)),
        p_variance=2 * np.minimum(tail, 1 - tail),
        p_distribution=np.array(
            [scipy.stats.kstest(z, "norm").pvalue for z in scores.T]
        ),
    )


def share(hits: int, total: int, confidence: float = 0.95) -> Interval:
    """Share of networks with the exact two-sided interval (Clopper & Pearson 1934)."""
    bounds = scipy.stats.binomtest(hits, total).proportion_ci(confidence)
    estimate = hits / total
    error = math.sqrt(estimate * (1 - estimate) / total)
    return Interval(
        estimate, float(bounds.low), float(bounds.high), error, math.inf, ""
    )
