"""Power laws that are fitted to statistics: slope, correction, goodness of fit.

The statistics and their covariance are a `Sample` of `ntkpipe.claims.statistics`.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy  # its `stats` takes 0.7 s to load, and is not used
from numpy.typing import ArrayLike

from ntkpipe.claims import statistics
from ntkpipe.claims.statistics import (
    Interval,
    Sample,
    Statistic,
    bootstrap,
    generator,
    interval,
    natural,
    undefined,
)

REFITS = 1_000
"""Fits of a power law with a correction to draws of its points."""
STEPS, HALVINGS = 30, 6
"""Steps of a fit with a correction, and the most that a step is halved."""
FARTHEST = 15.0
"""Largest |s| of b = min n·(e^s − 1)."""


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
    p = float(scipy.special.fdtrc(d, n - d, chi2 * (n - d) / ((n - 1) * d)))
    return Misfit(chi2, d, p)


def corrected_slope(
    widths: ArrayLike, sample: Sample, key: str, confidence: float = 0.95
) -> tuple[Interval, float, Misfit | None]:
    """Slope p of log Q = c + p·log n + log(1 + b/n), b, and the goodness of fit.

    Least squares, every n weighing alike. The interval of p has the percentiles of
    `REFITS` fits to draws of y = log Q from N(y, its bootstrap covariance). The fit is
    not linear in b: its linear approximation has an interval that is too short. There
    must be four n or more. Measured coverage of 95 % (p = −1, b = 4.8, n = 16 … 256, 20
    networks of each n, 400 repetitions): 0.945, 0.96, 0.96 and 0.93 if the standard
    deviation of log Q is 0.01, 0.02, 0.05 and 0.1.

    Args:
        widths: abscissae (q,), in the order of the sample's quantities.
        sample: logarithmic.
        key: seeds the draws.
        confidence: level of the interval.
    """
    n, y = np.asarray(widths, float), sample.point
    if len(n) < 4:
        text = f"a correction needs four widths, there are {len(n)}"
        return undefined("; ".join(filter(None, [sample.note, text]))), math.nan, None
    covariance = scipy.linalg.block_diag(*sample.covariances)
    if not (np.isfinite(y).all() and np.isfinite(covariance).all()):
        return undefined(sample.note), math.nan, None
    drawn = generator(key).multivariate_normal(y, covariance, REFITS, method="eigh")
    slopes, corrections = corrected_fits(n, np.vstack([y, drawn]))
    ends = (1 - confidence) / 2, (1 + confidence) / 2
    low, high = np.quantile(slopes[1:], ends)
    p, b = float(slopes[0]), float(corrections[0])
    found = Interval(p, low, high, slopes[1:].std(ddof=1), math.inf, sample.note)
    line = np.vander(np.log(n), 2)
    rest = y - np.log1p(b / n)
    residuals = sample._replace(point=rest - line @ (np.linalg.pinv(line) @ rest))
    return found, b, misfit(residuals, np.column_stack([line, 1 / (n + b)]))


def corrected_fits(n: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """p and b of the least squares fits of c + p·log n + log(1 + b/n) to rows y (r q).

    For a given b the best p and c are linear in y (variable projection). What is left
    is minimised over s with b = min n·(e^s − 1), so that 1 + b/n > 0, by the
    Gauss–Newton method with halved steps, from several s at once.
    """
    line, least = np.vander(np.log(n), 2), n.min()
    linear = np.linalg.pinv(line)
    project = np.eye(len(n)) - line @ linear
    starts = np.array([-1.0, 0.0, 1.0, 3.0])
    s = np.broadcast_to(starts[:, None], (len(starts), len(y))).copy()  # (starts r)

    def misses(s):
        return (y - np.log1p(least * np.expm1(s)[..., None] / n)) @ project

    rest = misses(s)
    for _ in range(STEPS):
        grown = least * np.exp(s)[..., None]
        jacobian = -(grown / (n + grown - least)) @ project
        square = np.maximum(np.sum(jacobian**2, -1), np.finfo(float).tiny)
        step = np.clip(-np.sum(rest * jacobian, -1) / square, -1, 1)
        for _ in range(HALVINGS):
            trial = np.clip(s + step, -FARTHEST, FARTHEST)
            new = misses(trial)
            worse = np.sum(new**2, -1) > np.sum(rest**2, -1)
            if not worse.any():
                break
            step = np.where(worse, step / 2, step)
        before, s = s, np.where(worse, s, trial)
        if np.allclose(s, before, rtol=0, atol=1e-9):
            break
        rest = np.where(worse[..., None], rest, new)
    best = np.argmin(np.sum(rest**2, -1), axis=0)
    b = least * np.expm1(s[best, np.arange(len(y))])
    return (y - np.log1p(b[:, None] / n)) @ linear[0], b


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

    draws = generator(key).multivariate_normal(
        y, spread, statistics.RESAMPLES, method="eigh"
    )
    rest = float(unexplained(y))
    freedom = min(sample.sizes) - 1 if spread.any() else math.inf
    error = float(np.std(unexplained(draws), ddof=1)) if spread.any() else 0.0
    half = error * float(scipy.special.stdtrit(freedom, (1 + confidence) / 2))
    ends = -math.expm1(rest), -math.expm1(rest + half), -math.expm1(rest - half)
    return Interval(*ends, error, freedom, sample.note)
