"""Decay rates, and first times at which a share is below a level."""

import numpy as np


def limit_rate(eigenvalue: np.ndarray, learning_rate: float, flow: bool) -> np.ndarray:
    """Decay rate in time t = η·step: λ for the flow, −log|1 − ηλ|/η for the steps."""
    if flow:
        return eigenvalue
    return -np.log(np.abs(1 - learning_rate * eigenvalue)) / learning_rate


@np.errstate(divide="ignore", invalid="ignore")
def first_below(time: np.ndarray, share: np.ndarray, level: float) -> np.ndarray:
    """First time at which a share (… t) is below `level`; NaN if it never is.

    The logarithm of the share is interpolated linearly between two records.
    """
    below = share < level
    at = np.maximum(below.argmax(-1), 1)
    before, after = (
        np.take_along_axis(share, (at - i)[..., None], -1)[..., 0] for i in (1, 0)
    )
    part = np.log(before / level) / np.log(before / after)
    crossing = time[at - 1] + part * (time[at] - time[at - 1])
    return np.where(below.any(-1), np.where(below[..., 0], time[0], crossing), np.nan)


@np.errstate(divide="ignore", invalid="ignore")
def slowest_rate(time: np.ndarray, loss: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """inf_t log(L(0)/L(t))/(λt), t > 0, of a loss (… t) and a rate λ (…).

    The value is at least 1 if ‖u(t)‖² ≤ e^{−λt}‖u(0)‖² (Du et al. 2019, theorem 4.1).
    It is at least 2 if the kernel is constant and λ is its smallest eigenvalue. Only
    times at which the loss is above rounding count. The value is NaN unless λ > 0.
    """
    start = loss[..., :1]
    # rounding of outputs of size 1, squared, with a margin
    counts = (time > 0) & (loss > 1e3 * np.finfo(loss.dtype).eps ** 2 * start)
    exponent = np.log(start / loss) / (rate[..., None] * time)
    least = np.where(counts, exponent, np.inf).min(-1)
    return np.where(np.isfinite(least) & (rate > 0), least, np.nan)


@np.errstate(divide="ignore", invalid="ignore")
def decay_rate(time: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Rate that minimises Σ_t (log(c(t)/c(0)) + rate·t)² of a size c (… t).

    The sum is over the times at which c(t)/c(0) is between 5 % and 90 %.
    """
    log = np.log(size / size[..., :1])
    inside = (log < np.log(0.9)) & (log > np.log(0.05))
    weight = np.where(inside, time, 0.0)
    return -np.sum(weight * np.where(inside, log, 0), -1) / np.sum(weight * time, -1)
