"""Power laws that are fitted to statistics: slope, correction, goodness of fit.

The statistics and their covariance are a `Sample` of `ntkpipe.claims.statistics`.
"""

import math
from collections.abc import Callable, Sequence
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

FARTHEST, GRID, STEPS = 15.0, 601, 5
"""Of a fit with a correction b = min n·(e^s − 1): the largest |s|, the number of s that
are tried, and the Gauss–Newton steps from each of their minima."""


class Misfit(NamedTuple):
    """How far points are from a fit: χ², its degrees of freedom and its p-value."""

    chi2: float
    freedom: int
    p: float


class ScalingFit(NamedTuple):
    """The line log Q = intercept + slope·log n, all on the natural scale of Q and n.

    A fit with a correction has the further term log(1 + b/n). `widths` may be any
    positive abscissa. The band is pointwise, with the degrees of freedom of the slope:
    those of each point would make it wide wherever a width with few networks counts
    most. `level` is that of all intervals.
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
    level: float
    b: float  # of the correction, else 0
    misfit: Misfit | None
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
        line, half, local = np.full(points, math.nan), math.nan, np.empty(0)
        intercept = math.nan
    else:
        note = sample.note
        c = slope_coefficients(x)
        slope = interval(sample, c, confidence)
        centre = np.full(len(n), 1 / len(n))
        rows = centre + np.outer(np.log(grid) - x.mean(), c)
        at = [interval(sample, row, confidence) for row in rows]
        line = np.array([p.estimate for p in at])
        quantile = scipy.special.stdtrit(slope.freedom, (1 + confidence) / 2)
        half = quantile * np.array([p.error for p in at])
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
        line=np.exp(line),
        band_low=np.exp(line - half),
        band_high=np.exp(line + half),
        local_slopes=local,
        level=confidence,
        b=0.0,
        misfit=misfit(sample, np.vander(x, 2)),
        note=note,
    )


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
    widths: ArrayLike, sample: Sample, confidence: float = 0.95
) -> tuple[Interval, float, Misfit | None]:
    """Slope p of log Q = c + p·log n + log(1 + b/n), b, and the goodness of fit.

    Least squares, every n weighing alike. The interval goes from the smallest to the
    largest p with

        (S(p) − S_min)·|r|²/(rᵀCr) ≤ t_ν²,

    where S(p) is the least sum of squares for this p, C the bootstrap covariance of
    y = log Q, r the part of log n that neither c nor b can fit, and ν Welch's degrees
    of freedom of rᵀy. For a fit that is linear in b this is the interval of
    `statistics.interval`. If two values of b fit the points, the interval has both p.
    There must be four n or more. docs/coverage.md has the measured coverage.

    Args:
        widths: abscissae (q,), in the order of the sample's quantities.
        sample: logarithmic.
        confidence: level of the interval.
    """
    n, y = np.asarray(widths, float), sample.point
    if len(n) < 4:
        text = f"a correction needs four widths, there are {len(n)}"
        return undefined("; ".join(filter(None, [sample.note, text]))), math.nan, None
    covariance = scipy.linalg.block_diag(*sample.covariances)
    if not (np.isfinite(y).all() and np.isfinite(covariance).all()):
        return undefined(sample.note), math.nan, None
    line = np.vander(np.log(n), 2)
    solutions, squares = corrections(n, y, line)
    bent = y - np.log1p(solutions[:, None] / n)
    slopes, b = (bent @ np.linalg.pinv(line).T)[:, 0], float(solutions[0])

    def excess(b: float, square: float) -> float:
        """How far a fit is beyond the interval; negative inside."""
        c = _rest(n, b)
        own = interval(sample, c, confidence)
        return (square - squares[0]) * (c @ c) - (own.high - own.estimate) ** 2

    def beyond(p: float) -> float:
        best, least = corrections(n, y - p * line[:, 0], line[:, 1:])
        return excess(best[0], least[0])

    rest = _rest(n, b)
    found = interval(sample, rest / (rest @ rest), confidence)
    low = high = p = float(slopes[0])
    if found.error:
        fitting = [excess(*s) <= 0 for s in zip(solutions, squares, strict=True)]
        step = found.high - found.estimate
        low = _edge(beyond, slopes[fitting].min(), -step)
        high = _edge(beyond, slopes[fitting].max(), step)
    residuals = bent[0] - line @ (np.linalg.pinv(line) @ bent[0])
    gone = misfit(
        sample._replace(point=residuals), np.column_stack([line, 1 / (n + b)])
    )
    return found._replace(estimate=p, low=low, high=high), b, gone


def corrected_fit(
    widths: ArrayLike, sample: Sample, *, confidence: float = 0.95, points: int = 50
) -> ScalingFit:
    """`scaling_fit` with the slope, the curve and the band of `corrected_slope`.

    The band is that of the fit's linear approximation in b.
    """
    n = np.asarray(widths, float)
    straight = scaling_fit(n, sample, confidence=confidence, points=points)
    slope, b, gone = corrected_slope(n, sample, confidence)
    at, grid = np.log(n), straight.grid
    constant = float(np.mean(sample.point - slope.estimate * at - np.log1p(b / n)))
    curve = constant + slope.estimate * np.log(grid) + np.log1p(b / grid)
    tangent, tangent_on_grid = (
        np.column_stack([np.log(x), np.ones_like(x), n.min() / (x + b)])
        for x in (n, grid)
    )
    half = np.full(len(grid), math.nan)
    if math.isfinite(b):
        rows = tangent_on_grid @ np.linalg.pinv(tangent)
        on_grid = [interval(sample, row, confidence) for row in rows]
        half = np.array([one.high - one.estimate for one in on_grid])
    return straight._replace(
        slope=slope.estimate,
        slope_low=slope.low,
        slope_high=slope.high,
        intercept=constant,
        line=np.exp(curve),
        band_low=np.exp(curve - half),
        band_high=np.exp(curve + half),
        b=b,
        misfit=gone,
        note=slope.note,
    )


def _rest(n: np.ndarray, b: float) -> np.ndarray:
    """The part of log n that neither a constant nor a change of b can fit."""
    x, bend = np.log(n) - np.log(n).mean(), n.min() / (n + b)
    bend = bend - bend.mean()
    return x - bend * (x @ bend) / (bend @ bend)


def _edge(beyond: Callable[[float], float], inside: float, step: float) -> float:
    """The zero of `beyond` next to a slope inside, in the direction of `step`."""
    if beyond(inside) >= 0:
        return inside
    while beyond(inside + step) < 0:
        inside, step = inside + step, 2 * step
    return float(scipy.optimize.brentq(beyond, inside, inside + step, rtol=1e-6))


def corrections(
    n: np.ndarray, y: np.ndarray, design: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Least-squares fits of design·parameters + log(1 + b/n) to y (q,).

    For a given b the best parameters are linear in y (variable projection). The rest
    depends on s, with b = min n·(e^s − 1), so that 1 + b/n > 0. Each local minimum on a
    grid of s is refined by the Gauss–Newton method.

    Returns:
        b and the sum of squares of each local minimum (m,), the least one first.
    """
    least = n.min()
    project = np.eye(len(n)) - design @ np.linalg.pinv(design)

    def misses(s):
        return (y - np.log1p(least * np.expm1(s)[:, None] / n)) @ project

    grid = np.linspace(-FARTHEST, FARTHEST, GRID)
    squares = np.sum(misses(grid) ** 2, 1)
    around = np.pad(squares, 1, constant_values=math.inf)
    s = grid[(squares <= around[:-2]) & (squares < around[2:])]
    rest = misses(s)
    for _ in range(STEPS):
        grown = least * np.exp(s)[:, None]
        slope = (grown / (n + grown - least)) @ project
        size = np.maximum(np.sum(slope**2, 1), np.finfo(float).tiny)
        step = np.sum(rest * slope, 1) / size
        trial = np.clip(s + step, -FARTHEST, FARTHEST)
        new = misses(trial)
        better = np.sum(new**2, 1) < np.sum(rest**2, 1)
        s, rest = np.where(better, trial, s), np.where(better[:, None], new, rest)
    squares = np.sum(rest**2, 1)
    order = np.argsort(squares)
    return least * np.expm1(s[order]), squares[order]


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
