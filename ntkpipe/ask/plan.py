"""Choose widths, steps and seeds so that a study fits into its minutes.

All functions are pure: they take measured times and return numbers. A network of width
n that takes T steps costs

    t(n) = T·t_step(n) + `KERNELS`·t_kernel(n) + `EIGENS`·t_eigen

seconds of one core, and a run with s networks per width

    J·t_start/C + t_workflow + Σ_n 2·t_compile(n)/C + max(s Σ_n t(n)/C, s max_n t(n)),

C the cores and J the number of jobs, each of which starts Python.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import scipy

from ntkpipe.claims.fits import slope_coefficients
from ntkpipe.claims.normal_law import widest
from ntkpipe.text import decimal, many, number

MINUTE = 60.0
LOSS_LEFT = 0.05
"""Share of the fall of the linearised model's loss that is left out."""
WHY_STEPS = "until 95 % of the fall of the linearised model's loss in 10⁶ steps"
TOLERANCE = 0.1
"""Half-width of the band for the slope of log change on log width."""
POWER = 0.43
"""Half-width of an interval over that of its band, for 99 % power (`normal_law`)."""
PRECISION = 0.1
"""Half-width of the interval of log change, if there is one width."""
LAZY = 0.1
"""Kernel change and linear gap below which a network is lazy, and above it rich."""
PERCENT = f"{100 * LAZY:g} %"
LEAST_SEEDS, MOST_SEEDS, PILOT = 3, 200, 5
LEAST_STEPS, GOOD_STEPS, MOST_STEPS = 100, 300, 10**6
LADDER = ((30, 1000), (10, GOOD_STEPS), (LEAST_SEEDS, LEAST_STEPS))
"""Networks of each width that shall fit, and the steps that they shall then have."""
MOST_ROWS = 512
"""Rows N·k of a kernel that a plan takes; a study may have more."""
LEAST_POINTS = 64
SPARE = 0.75
"""Share of the time left that is planned for; the rest is for errors of the times."""
KERNELS, EIGENS = 4, 6
WORKFLOW = 6.0
"""Seconds in which Snakemake starts, and in which single jobs wait for each other."""
FIGURES = 3


class Speed(NamedTuple):
    """Seconds of one core for a network of a width."""

    width: int
    step: float
    kernel: float
    eigen: float
    """An eigendecomposition of its kernel."""
    start: float
    """Building, checking and compiling a training."""

    def of_points(self, share: float) -> Speed:
        """The times with a share of the points."""
        return self._replace(
            step=self.step * share,
            kernel=self.kernel * share**2,
            eigen=self.eigen * share**3,
        )

    def network(self, steps: int) -> float:
        """Seconds of a training, its kernels and their measurements."""
        return steps * self.step + KERNELS * self.kernel + EIGENS * self.eigen


class Machine(NamedTuple):
    """What a run costs besides its networks."""

    start: float
    """Seconds of a job that does nothing."""
    cores: int


class Size(NamedTuple):
    """Widths, steps and seeds of a study."""

    widths: tuple[int, ...]
    steps: int
    seeds: int


class TooFew(ValueError):
    """The minutes are too few; `minutes` would be enough."""

    def __init__(self, minutes: int, given: float):
        super().__init__(
            f"--minutes: {given:g} are too few, this network needs {minutes} for "
            f"{LEAST_SEEDS} networks of one width and {LEAST_STEPS} steps"
        )
        self.minutes = minutes


def halvings(points: int) -> list[int]:
    """Numbers of points, each half of the one before, down to `LEAST_POINTS`."""
    found = [points]
    while found[-1] > LEAST_POINTS:
        found.append(max(found[-1] // 2, LEAST_POINTS))
    return found


def widths(own: int, depends: bool) -> tuple[int, ...]:
    """The user's width ÷ 4, ÷ 2, × 1 and × 2; only itself if nothing depends on it."""
    if not depends:
        return (own,)
    return tuple(sorted({max(1, own // 4), max(1, own // 2), own, 2 * own}))


def between(speeds: Sequence[Speed], width: int) -> Speed:
    """The times of a width: power laws through those of two widths."""
    first, last = speeds[0], speeds[-1]
    if first.width == last.width or width in (first.width, last.width):
        return last._replace(width=width) if width != first.width else first
    part = math.log(width / first.width) / math.log(last.width / first.width)
    values = [
        math.exp((1 - part) * math.log(max(a, 1e-9)) + part * math.log(max(b, 1e-9)))
        for a, b in zip(first[1:], last[1:], strict=True)
    ]
    return Speed(width, *values)


def fixed(
    machine: Machine, speeds: Mapping[int, Speed], widths: Sequence[int]
) -> float:
    """Seconds of a run without its networks."""
    jobs = 5 + 2 * len(widths) + FIGURES
    compiling = sum(2 * speeds[n].start for n in widths)
    return WORKFLOW + (jobs * machine.start + compiling) / machine.cores


def per_seed(
    machine: Machine, speeds: Mapping[int, Speed], widths: Sequence[int], steps: int
) -> float:
    """Seconds of one network of each width."""
    each = [speeds[n].network(steps) for n in widths]
    return max(sum(each) / machine.cores, *each)


def _per_step(
    machine: Machine, speeds: Mapping[int, Speed], widths: Sequence[int]
) -> float:
    """Seconds of a step of one network of each width."""
    each = [speeds[n].step for n in widths]
    return max(sum(each) / machine.cores, *each)


def seconds(machine: Machine, speeds: Mapping[int, Speed], size: Size) -> float:
    """Seconds of a run."""
    networks = size.seeds * per_seed(machine, speeds, size.widths, size.steps)
    return fixed(machine, speeds, size.widths) + networks


def half_width(scatter: float, widths: Sequence[int], seeds: int) -> float:
    """Half-width of the 95 % interval of the slope of log change on log width.

    t_ν·σ·√(Σ c²/s), c the coefficients of the slope and ν = Q(s − 1) for Q widths.
    """
    c = slope_coefficients(np.log(np.asarray(widths, float)))
    freedom = len(widths) * (seeds - 1)
    t = scipy.special.stdtrit(freedom, 0.975)
    return float(t * scatter * math.sqrt(c @ c / seeds))


def seeds_for_slope(scatter: float, widths: Sequence[int]) -> int:
    """Least seeds with a half-width of the slope of at most 0.43 × 0.1."""
    return _least(lambda s: half_width(scatter, widths, s) <= POWER * TOLERANCE)


def seeds_for_mean(scatter: float) -> int:
    """Least seeds with a half-width of log change of at most `PRECISION`."""

    def enough(seeds: int) -> bool:
        t = scipy.special.stdtrit(seeds - 1, 0.975)
        return t * scatter / math.sqrt(seeds) <= PRECISION

    return _least(enough)


def _least(enough) -> int:
    return next((s for s in range(2, 10**5) if enough(s)), 10**5)


def wanted_seeds(scatter: float, widths: Sequence[int]) -> int:
    """Seeds by the power rule, from `LEAST_SEEDS` to `MOST_SEEDS`."""
    several = len(widths) > 1
    asked = seeds_for_slope(scatter, widths) if several else seeds_for_mean(scatter)
    return min(max(asked, LEAST_SEEDS), MOST_SEEDS)


def steps_and_widths(
    machine: Machine,
    speeds: Mapping[int, Speed],
    own: int,
    wanted: int,
    budget: float,
    minutes: float,
) -> Size:
    """Widths and steps that fit with at least `LEAST_SEEDS` networks.

    Steps are as many as wanted, or as fit with the networks of the first rung of
    `LADDER` that has its steps. Else the widest width is left out, then all but the
    user's.

    Args:
        machine: what a run costs besides its networks.
        speeds: times of all widths.
        own: the user's width.
        wanted: number of steps.
        budget: seconds for the run.
        minutes: those that the user gave, for the message.

    Raises:
        TooFew: not even one width fits.
    """
    every = tuple(sorted(speeds))
    least = min(wanted, LEAST_STEPS)
    choices = [every, tuple(n for n in every if n <= own), (own,)]
    for some in dict.fromkeys(choices):
        left = budget - fixed(machine, speeds, some)
        for seeds, few in LADDER:
            free = left - seeds * per_seed(machine, speeds, some, 0)
            rate = _per_step(machine, speeds, some)
            steps = min(wanted, math.floor(free / seeds / rate))
            if steps >= min(wanted, few):
                return Size(some, steps, seeds)
    needed = seconds(machine, speeds, Size((own,), least, LEAST_SEEDS))
    used = minutes * MINUTE - budget / SPARE
    raise TooFew(math.ceil((needed / SPARE + used) / MINUTE), minutes)


def seeds(
    machine: Machine,
    speeds: Mapping[int, Speed],
    size: Size,
    scatter: float,
    budget: float,
) -> Size:
    """The seeds of the power rule, or as many as fit, at least `LEAST_SEEDS`."""
    left = budget - fixed(machine, speeds, size.widths)
    fit = math.floor(left / per_seed(machine, speeds, size.widths, size.steps))
    wanted = wanted_seeds(scatter, size.widths)
    return size._replace(seeds=max(LEAST_SEEDS, min(wanted, fit)))


def more(own: Size, larger: Size, scatter: float, points: str) -> str:
    """What a longer run would add, in words; empty if nothing."""
    parts = []
    if larger.widths != own.widths:
        added = sorted({*larger.widths} - {*own.widths})
        parts.append(f"the widths {', '.join(map(str, added))}")
    if larger.steps > own.steps:
        parts.append(f"{larger.steps:,} steps")
    if larger.seeds > own.seeds:
        text = many(larger.seeds, "network") + " per width"
        if len(larger.widths) > 1:
            half = half_width(scatter, larger.widths, larger.seeds)
            text += f" (slope ± {decimal(half, half)})"
        parts.append(text)
    return ", ".join([*parts, *filter(None, [points])])


def seeds_to_settle(estimate: float, half: float, limit: float, seeds: int) -> float:
    """Number of networks that settles on which side of a limit a number lies.

    By the normal law, with 99 % power: `normal_law.widest`. Infinite on the limit.

    Args:
        estimate: the number, on the scale of its interval.
        half: half-width of its 95 % interval.
        limit: the limit.
        seeds: number of networks of the interval.
    """
    below = estimate < limit
    band = (-math.inf, limit) if below else (limit, math.inf)
    largest = widest(estimate, band)
    return math.ceil(seeds * (half / largest) ** 2) if largest > 0 else math.inf


def settling(seeds: float, per_seed: float, fixed: float) -> str:
    """`about 40 networks per width (--minutes 12)`, or that no number will do."""
    minutes = (seeds * per_seed + fixed) / SPARE / MINUTE
    if not seeds < 100 * MOST_SEEDS or not math.isfinite(minutes):
        return "the number is too close to the limit for any number of networks"
    return (
        f"about {number(seeds, 2, zeros=False)} networks per width would settle it "
        f"(--minutes {math.ceil(minutes)})"
    )
