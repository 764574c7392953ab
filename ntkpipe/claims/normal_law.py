"""The probability of a verdict over new seeds, by the normal law.

An interval e ± h of level c has the standard error s = h/z with
Φ(z) = (1 + c)/2. Over new seeds e ~ N(μ, s²) for a true value μ, and the verdict is
*supported* iff low + h ≤ e ≤ high − h, *contradicted* iff e < low − h or e > high + h:

    P(supported)    = Φ((high − h − μ)/s) − Φ((low + h − μ)/s)
    P(contradicted) = Φ((low − h − μ)/s) + Φ((μ − high − h)/s)

For a band p ± δ and μ = p this is 2Φ(z(δ/h − 1)) − 1, which is 0.99 at h = 0.43 δ.
"""

import math

import scipy

from ntkpipe.claims.base import Judgement

ENOUGH = 0.99
"""P(same verdict) that a study is designed for."""


def chance(
    truth: float,
    half: float,
    band: tuple[float, float],
    level: float = 0.95,
    verdict: Judgement = "supported",
) -> float:
    """P(verdict) of an interval of half-width h, by the normal law."""
    low, high = band
    z = scipy.special.ndtri((1 + level) / 2)
    if half == 0:
        inside = low <= truth <= high
        return float(inside == (verdict == "supported"))
    phi, s = scipy.special.ndtr, half / z
    if verdict == "supported":
        inner = phi((high - half - truth) / s) - phi((low + half - truth) / s)
        return max(0.0, float(inner))
    return float(phi((low - half - truth) / s) + phi((truth - high - half) / s))


def widest(
    truth: float,
    band: tuple[float, float],
    level: float = 0.95,
    verdict: Judgement = "supported",
    enough: float = ENOUGH,
) -> float:
    """The largest half-width h with P(verdict) ≥ `enough`; 0 if there is none."""
    low, high = band
    ends = [abs(truth - end) for end in band if math.isfinite(end)]
    most = max(ends, default=0.0)

    def lacks(half: float) -> float:
        return chance(truth, half, (low, high), level, verdict) - enough

    least = 1e-9 * most
    if most == 0 or lacks(least) < 0:
        return 0.0
    return float(scipy.optimize.brentq(lacks, least, most, rtol=1e-6))
