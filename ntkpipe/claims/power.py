"""How likely a verdict is to come out the same with other networks, and from how many.

**By resampling.** A network is a (width, seed). Variants with the same seeds at a width
share its initial weights, so they are drawn together; widths are independent and are
drawn separately. The intervals resample in the same way (`ntkpipe.claims.statistics`).
Networks are drawn with replacement, as many as there are, and the claim is judged on
them. The share of draws with the verdict of the run is P(same verdict).
The draws are around the run's own estimate: P holds *if the estimate is the truth*.
The variance of n networks drawn from n is smaller by (n − 1)/n than that of n new ones.
The values are therefore widened by √(n/(n − 1)) about their mean before they are drawn
(`widened`), but not for shares, whose networks are in a band or are not.
P says nothing about a claim that an extreme decides,
because no draw goes beyond the extremes of the run.

**By the normal law.** See `ntkpipe.claims.normal_law`.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, get_type_hints

import numpy as np

from ntkpipe.claims import statistics
from ntkpipe.claims.base import Equivalence, Judgement, Statement, Verdict
from ntkpipe.claims.fraction import Fraction
from ntkpipe.claims.normal_law import ENOUGH, chance, widest
from ntkpipe.claims.ratio import Ratio
from ntkpipe.claims.reading import Reading, Readings
from ntkpipe.lazy import Lazy

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = Lazy("pandas")

RESAMPLES = 500
"""Bootstrap samples of each drawn table: a standard error is then known to 3 %."""
CLEAR, FEW_DRAWS = 0.9999, 50
"""A claim whose P(same verdict) is `CLEAR` by the normal law has fewer draws."""
MOST = 64.0
"""The search for a number of seeds stops at so many times the present ones."""


class Part(NamedTuple):
    """The networks of one width and variant in a reading."""

    width: int
    seeds: tuple[int, ...]  # all there are
    row: np.ndarray  # (seeds,): the row of each in the reading, −1 if it has none


class Networks(NamedTuple):
    """The readings of a claim, and the networks of each."""

    readings: Readings
    parts: dict[tuple, tuple[Part, ...]]
    """Those of each reading, by width."""

    def seeds(self, factor: float = 1.0) -> dict[int, int]:
        """Number of networks of each width, or `factor` times as many."""
        many: dict[int, int] = {}
        for part in itertools.chain(*self.parts.values()):
            many[part.width] = max(many.get(part.width, 1), len(part.seeds))
        return {width: scaled(n, factor) for width, n in many.items() if n > 1}

    def draw(self, random: np.random.Generator, factor: float = 1.0) -> Readings:
        """Readings of networks drawn with replacement, `factor` times as many."""
        drawn: dict[tuple, np.ndarray] = {}
        new = Readings()
        for key, parts in self.parts.items():
            rows, widths, seeds = [], [], []
            for at, (width, own, row) in enumerate(parts):
                if (width, own) not in drawn:
                    many = scaled(len(own), factor)
                    drawn[width, own] = random.integers(len(own), size=many)
                chosen = row[drawn[width, own]]
                (having,) = np.nonzero(chosen >= 0)
                rows.append(chosen[having])
                seeds.append(having)
                widths.append(np.full(len(having), at))
            if not sum(map(len, rows)):
                continue  # judged as missing
            index = pd.MultiIndex(
                levels=[
                    [part.width for part in parts],
                    np.arange(len(max(drawn.values(), key=len))),
                ],
                codes=[np.concatenate(widths), np.concatenate(seeds)],
                names=["width", "seed"],
                verify_integrity=False,
            )
            values, note = self.readings[key]
            numbers = values.to_numpy()[np.concatenate(rows)]
            new[key] = Reading(pd.DataFrame(numbers, index, values.columns), note)
        return new


def scaled(seeds: int, factor: float) -> int:
    """`factor` times as many seeds; a single one, a limit or a closed form, stays."""
    return 1 if seeds == 1 else max(2, math.ceil(seeds * factor - 1e-9))


def networks(claim: Statement, measurements: pd.DataFrame) -> Networks:
    """The readings on which the verdict of a claim depends, and their networks."""
    readings = Readings(measurements)
    claim.evaluate(readings)
    place = measurements[["variant", "width", "seed"]].drop_duplicates()
    seeds = place.groupby(["variant", "width"])["seed"].agg(lambda s: tuple(sorted(s)))
    only = measurements["variant"].iloc[0] if len(measurements) else ""
    parts = {}
    for key, reading in readings.items():
        variant = key[2] or only
        parts[key] = tuple(
            _part(width, seeds[variant, width], reading) for width in reading.widths
        )
    return Networks(readings, parts)


def widened(measured: Networks) -> Networks:
    """The same networks, with √(n/(n − 1)) times their distance from their mean.

    n networks that are drawn from these have the variance of n new ones. Positive
    values are widened on the logarithmic scale, so that they stay positive.
    """
    readings = Readings()
    for key, (values, note) in measured.readings.items():
        parts = [_widened(group) for _, group in values.groupby(level="width")]
        readings[key] = Reading(pd.concat(parts).reindex(values.index), note)
    return measured._replace(readings=readings)


def _widened(values: pd.DataFrame) -> pd.DataFrame:
    n = len(values)
    factor = math.sqrt(n / (n - 1)) if n > 1 else 1.0

    def column(x: pd.Series) -> pd.Series:
        if (x > 0).all():
            return np.exp(np.log(x).mean() + factor * (np.log(x) - np.log(x).mean()))
        return x.mean() + factor * (x - x.mean())

    return values.apply(column)


def _part(width: int, seeds: tuple[int, ...], reading: Reading) -> Part:
    networks = pd.MultiIndex.from_product([[width], seeds])
    return Part(width, seeds, reading.values.index.get_indexer(networks))


# ------------------------------------------------------------------ probabilities


def same_verdict(
    claim: Statement,
    measured: Networks,
    verdict: Judgement,
    random: np.random.Generator,
    draws: int,
    factor: float = 1.0,
) -> float:
    """Share of `draws` drawn runs with this verdict."""
    with _fewer_resamples():
        return sum(_verdicts(claim, measured, verdict, random, draws, factor)) / draws


def is_enough(*arguments) -> bool:
    """Whether `same_verdict` is `ENOUGH`; stops at the draw that makes it less."""
    draws, differing = arguments[4], 0
    with _fewer_resamples():
        for same in _verdicts(*arguments):
            differing += not same
            if differing > (1 - ENOUGH) * draws:
                return False
    return True


def _verdicts(claim, measured, verdict, random, draws, factor) -> Iterator[bool]:
    for _ in range(draws):
        drawn = measured.draw(random, factor)
        yield claim.evaluate(drawn).verdict == verdict


@contextlib.contextmanager
def _fewer_resamples() -> Iterator[None]:
    """`RESAMPLES` for intervals: the draws average over what more would add."""
    kept, statistics.RESAMPLES = statistics.RESAMPLES, RESAMPLES
    try:
        yield
    finally:
        statistics.RESAMPLES = kept


def least_factor(passes: Callable[[float], bool], few: float) -> float:
    """The least factor from `few` to `MOST` that passes; infinity if there is none.

    To a factor of 2 below 1; above, where seeds have to be added, to 20 %.
    """
    if passes(1.0):
        good = 1.0
        while good > few and passes(max(good / 2, few)):
            good = max(good / 2, few)
        return good
    good = 2.0
    while not passes(good):
        good *= 2
        if good > MOST:
            return math.inf
    bad = good / 2
    for _ in range(2):
        middle = math.sqrt(good * bad)
        good, bad = (middle, bad) if passes(middle) else (good, middle)
    return good


# ------------------------------------------------------------------ claims


class Power(NamedTuple):
    """A row of the table of power."""

    study: str
    claim: str
    nature: str
    known: str  # "contradicted": the study file says so with a reason
    verdict: Judgement
    as_expected: bool
    estimate: float
    half_width: float  # h of the interval
    band_half_width: float  # δ; NaN if one end of the band is infinite
    ratio: float  # h/δ
    again: float  # P(same verdict on new seeds), by resampling
    again_error: float  # its standard error
    if_true: float  # P(supported | the prediction is true), by the normal law
    factor: float  # times as many seeds have P ≥ ENOUGH
    factor_by: str  # normal law, or resampling
    seeds: str  # of each width, now
    seeds_needed: str
    note: str = ""


def of_claim(
    claim: Statement,
    measurements: pd.DataFrame,
    study: str = "",
    draws: int = 200,
    seed: int = 0,
) -> Power:
    """The power of a claim, from the networks of a finished run.

    Args:
        claim: a statement.
        measurements: the table on which it was judged.
        study: the name of its study.
        draws: number of tables that are drawn.
        seed: of the draws.
    """
    verdict = claim.evaluate(measurements)
    measured = networks(claim, measurements)
    row = _described(claim, verdict, measured.seeds(), study)
    if verdict.verdict == "missing":
        return row._replace(note="missing")
    if not measured.seeds():
        return row._replace(note="one network: nothing to draw")
    wanted = _wanted(verdict)
    random = statistics.generator(f"{seed}/{study}/{claim.id}")
    half, band = row.half_width, (verdict.low, verdict.high)
    if half > 0 and chance(row.estimate, half, band, claim.level, wanted) > CLEAR:
        draws = min(draws, FEW_DRAWS)
    if is_extreme(claim):
        return row._replace(note="no P: an extreme decides, which no draw exceeds")
    if not isinstance(claim, Fraction):  # its networks are in the band, or not
        measured = widened(measured)
    again = same_verdict(claim, measured, wanted, random, draws)
    row = row._replace(again=again, again_error=standard_error(again, draws))
    if not half > 0:
        return row._replace(note="no interval")

    def passes(factor: float) -> bool:
        if factor == 1.0:
            return again >= ENOUGH
        return is_enough(claim, measured, wanted, random, draws, factor)

    few = 2 / max(measured.seeds().values())
    if _is_band(claim):
        truth = _truth(claim, verdict)
        factor, by = _factor_of_band(
            truth, half, band, claim.level, wanted, few, passes
        )
        row = row._replace(if_true=chance(truth, half, band, claim.level, wanted))
    else:
        factor, by = least_factor(passes, few), "resampling"
    needed = _listed(measured.seeds(factor)) if math.isfinite(factor) else "none"
    return row._replace(factor=factor, factor_by=by, seeds_needed=needed)


def _wanted(verdict: Verdict) -> Judgement:
    """The verdict that a claim should keep; if it is inconclusive, the expected one."""
    decided = verdict.verdict in ("supported", "contradicted")
    return verdict.verdict if decided else verdict.expected


def _described(
    claim: Statement, verdict: Verdict, seeds: Mapping[int, int], study: str
) -> Power:
    """The row of a claim, before anything is drawn."""
    half, delta = (verdict.ci_high - verdict.ci_low) / 2, math.nan
    if (verdict.low, verdict.high) != (verdict.ci_low, verdict.ci_high):
        delta = (verdict.high - verdict.low) / 2
    delta = delta if math.isfinite(delta) else math.nan
    return Power(
        study=study,
        claim=claim.id,
        nature=claim.nature,
        known=claim.known or "",
        verdict=verdict.verdict,
        as_expected=verdict.as_expected,
        estimate=verdict.estimate,
        half_width=half,
        band_half_width=delta,
        ratio=half / delta if delta > 0 else math.nan,
        again=math.nan,
        again_error=math.nan,
        if_true=math.nan,
        factor=math.nan,
        factor_by="",
        seeds=_listed(seeds),
        seeds_needed="",
    )


def _factor_of_band(
    truth: float,
    half: float,
    band: tuple[float, float],
    level: float,
    wanted: Judgement,
    few: float,
    passes: Callable[[float], bool],
) -> tuple[float, str]:
    """How many times as many seeds the normal law asks for; how that was found.

    Fewer seeds than now are tried, as Student's t then is another.
    """
    largest = widest(truth, band, level, wanted)
    factor = max((half / largest) ** 2, few) if largest > 0 else math.inf
    by = "normal law"
    while factor < 1 and not passes(factor):
        factor, by = min(1.5 * factor, 1.0), "resampling"
    return factor, by


def is_extreme(claim: Statement) -> bool:
    """Whether one network decides: a largest or least value, or "every network"."""
    of_all = hasattr(claim, "that") and getattr(claim, "at_least", 0) == 1
    return of_all or getattr(claim, "statistic", "") in ("max", "min")


def standard_error(share: float, draws: int) -> float:
    """Of a share of draws; half a draw is added, so that 0 and 1 have one, too."""
    p = (share * draws + 0.5) / (draws + 1)
    return math.sqrt(p * (1 - p) / draws)


def counted(rows: pd.DataFrame) -> pd.Series:
    """Which rows are laws and numbers with an interval, and not known to be false."""
    unknown = (rows["nature"] == "law") & (rows["known"] == "")
    return unknown & rows["factor"].notna()


def expected_changes(rows: pd.DataFrame) -> float:
    """Σ(1 − P(same verdict)) over the laws and numbers; a missing one counts 1."""
    missing = (rows["nature"] == "law") & (rows["verdict"] == "missing")
    return float((1 - rows.loc[counted(rows), "again"]).sum() + missing.sum())


def too_few(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with P(same verdict) < `ENOUGH`, or that need more seeds."""
    return rows[(rows["again"] < ENOUGH) | (rows["factor"] > 1)]


def too_many(rows: pd.DataFrame) -> pd.DataFrame:
    """Of each study that allows fewer seeds, the row that needs most of them."""
    known = rows[rows["factor"].notna()]
    most = known.loc[known.groupby("study", sort=False)["factor"].idxmax()]
    return most[most["factor"] < 1]


def table(powers: Sequence[Power]) -> pd.DataFrame:
    """The rows of power.csv, in the order given."""
    types = {float: "float64", bool: "bool"}
    columns = {name: types.get(hint, "str") for name, hint in _hints().items()}
    return pd.DataFrame(powers, columns=list(columns)).astype(columns)


def _hints() -> dict[str, Any]:
    return get_type_hints(Power)


def _is_band(claim: Statement) -> bool:
    """Whether the verdict is that of one two-sided interval and a band."""
    if not isinstance(claim, Equivalence) or isinstance(claim, Ratio):
        return False
    if getattr(claim, "each", False):
        return False
    return all(map(math.isfinite, claim.band()))


def _truth(claim: Statement, verdict: Verdict) -> float:
    """The predicted number, unless the interval excludes it: the estimate."""
    predicted = getattr(claim, "predicted", None)
    if predicted is None or not verdict.ci_low <= predicted <= verdict.ci_high:
        return verdict.estimate
    return predicted


def _listed(seeds: Mapping[int, int]) -> str:
    """`20`, or `64: 60, 128: 40` where widths differ."""
    if len(set(seeds.values())) <= 1:
        return "".join(f"{n}" for n in set(seeds.values()))
    return ", ".join(f"{width}: {n}" for width, n in sorted(seeds.items()))
