"""Coverage of the intervals by simulation: `python tests/coverage.py [--toy]`.

Each kind of interval is taken of simulated networks, at numbers of networks of the
claims in config/studies. The table is written to a block of docs/coverage.md.
"""

import argparse
import importlib.util
import math
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import stats

from ntkpipe import study
from ntkpipe.claims import fits, statistics
from ntkpipe.claims.base import Statement
from ntkpipe.claims.collapse import Collapse
from ntkpipe.claims.fraction import Fraction
from ntkpipe.claims.normal import Normal
from ntkpipe.claims.ordering import Ordering
from ntkpipe.claims.power_law import PowerLaw
from ntkpipe.claims.ratio import Ratio
from ntkpipe.claims.typical import Typical
from ntkpipe.study.study import Study

ROOT = Path(__file__).parents[1]
FAMILIES = {
    "normal": stats.norm(3.0, 0.5),
    "log-normal": stats.lognorm(0.3),
    "skewed": stats.gamma(2.0),  # skewness 1.4
}
MANY = 200  # from so many networks on there are `FEWER` times fewer repetitions
FEWER = 4
Seeds = tuple[int, ...]


def designs() -> dict[str, list[Seeds]]:
    """The numbers of networks of each width, of each kind of interval, ascending.

    They are those of the claims, without single networks and extremes. Of designs whose
    smallest numbers are within a factor of 1.5 the first is kept.
    """
    used: dict[str, set[Seeds]] = defaultdict(set)
    for path in sorted((ROOT / "config" / "studies").glob("*.yaml")):
        one = study.load(path)
        for claim in one.claims:
            seeds = _seeds(claim, one)
            if seeds and min(seeds) > 1 and claim.max_width != 0:
                for name, own in _intervals(claim, seeds):
                    used[name].add(own)
    used["corrected slope"] = {(n,) * 5 for n in (3, 5, 10, 20)}
    kept: dict[str, list[Seeds]] = {}
    for name in filter(used.__contains__, KINDS):
        kept[name] = []
        for seeds in sorted(used[name], key=lambda s: (min(s), len(s))):
            if not kept[name] or min(seeds) >= 1.5 * min(kept[name][-1]):
                kept[name].append(seeds)
    return kept


def _seeds(claim: Statement, one: Study) -> Seeds:
    """The number of networks of each width that a claim reads."""
    last = math.inf if claim.max_width is None else claim.max_width
    return tuple(
        one.variants[name].seeds_at(width)
        for name in claim.variants() or tuple(one.variants)
        for width in one.variants[name].widths
        if claim.min_width <= width <= last
    )


def _intervals(claim: Statement, seeds: Seeds) -> list[tuple[str, Seeds]]:
    """The kinds of interval of a claim, and their numbers of networks."""
    statistic = getattr(claim, "statistic", "").replace("_", " ")
    match claim:
        case PowerLaw():
            along_index = len(seeds) == 1
            return [] if along_index else [(f"slope of the {statistic}", seeds)]
        case Ratio():
            return [("ratio", seeds[:1])]
        case Ordering():
            return [("ordering", seeds)]
        case Collapse():
            return [("collapse", seeds)]
        case Fraction():
            return [("share", (sum(seeds),))]
        case Typical():
            return [("prediction range", seeds)]
        case Normal():
            return [("mean", seeds[:1]), ("variance", seeds[:1])]
    return [(statistic, (n,)) for n in seeds if statistic not in ("max", "min")]


# ------------------------------------------------------------------ simulations


def truth(family, statistic: str) -> float:
    """The statistic of the distribution itself."""
    if statistic == "geometric_mean":
        return math.exp(family.expect(np.log, lb=1e-12))
    return float(
        {"variance": family.var}.get(statistic, getattr(family, statistic, None))()
    )


def single(statistic: str):
    """A simulation of the statistic of one width."""

    def trial(family, seeds, random, key):
        values = family.rvs(seeds[0], random_state=random)
        result = statistics.one_sample(values, statistic, key)
        return result.low <= truth(family, statistic) <= result.high

    return trial


def _blocks(family, seeds, random, x, power=1.0):
    """Networks of each width, times x."""
    return [
        one * family.rvs((n, 1, 1), random_state=random) ** power
        for n, one in zip(seeds, x, strict=True)
    ]


def slope(statistic: str):
    """A simulation of the slope of log Q on log n, which is −1; Q is the statistic."""

    def trial(family, seeds, random, key):
        n = 4.0 ** np.arange(3, 3 + len(seeds))
        blocks = _blocks(family, seeds, random, 1 / n)
        sample = statistics.bootstrap(blocks, statistic, key, log=True)
        fit = fits.scaling_fit(n, sample, points=2)
        return fit.slope_low <= -1 <= fit.slope_high

    return trial


def corrected(family, seeds, random, key):
    """The same of n^−1·(1 + 4.8/n), with a fifth of the relative spread."""
    n = 2.0 ** np.arange(4, 4 + len(seeds))
    blocks = _blocks(family, seeds, random, (1 + 4.8 / n) / n, 0.2)
    sample = statistics.bootstrap(blocks, "geometric_mean", key, log=True)
    result, _, _ = fits.corrected_slope(n, sample)
    return result.low <= -1 <= result.high


def ratio(family, seeds, random, key):
    """The ratio of two numbers of the same networks, which have a common factor."""
    common, *both = (family.rvs((seeds[0], 1), random_state=random) for _ in range(3))
    block = common[:, None] * np.hstack(both)[:, :, None]
    sample = statistics.bootstrap([block], "geometric_mean", key)
    result = statistics.natural(statistics.interval(sample, [1, -1]))
    return result.low <= 1 <= result.high


def ordering(family, seeds, random, key):
    """Whether an order is not supported whose last step is 0."""
    x = np.minimum(4.0 ** np.arange(len(seeds)), 4.0 ** (len(seeds) - 2))
    sample = statistics.bootstrap(
        _blocks(family, seeds, random, x), "geometric_mean", key
    )
    steps = np.diff(np.eye(len(seeds)), axis=0)
    p = [statistics.above_zero(statistics.interval(sample, c)) for c in steps]
    return max(p) >= 0.025


def collapse(family, seeds, random, key):
    """R² of a line through points that scatter about it by a fixed amount."""
    x = 2.0 ** np.arange(len(seeds))
    log_q = np.log(x) + 0.15 * (-1.0) ** np.arange(len(seeds))
    line = np.vander(np.log(x), 2)
    rest = log_q - line @ (np.linalg.pinv(line) @ log_q)
    true = 1 - rest @ rest / np.sum((log_q - log_q.mean()) ** 2)
    blocks = _blocks(family, seeds, random, np.exp(log_q), 0.3)
    # the geometric mean scales each point alike
    sample = statistics.bootstrap(blocks, "geometric_mean", key, log=True)
    result = fits.collapse(x, sample, 1, key)
    return result.low <= true <= result.high


def prediction(family, seeds, random, key):
    """Whether a new slope is in the central 99 % of as many slopes."""
    log_n = np.log(4.0) * np.arange(len(seeds))
    values = family.rvs((len(seeds), min(seeds) + 1), random_state=random)
    values = np.maximum(values, 1e-3)
    new, *slopes = np.polyfit(log_n, np.log(values), 1)[0]
    low, high = np.quantile(slopes, [0.005, 0.995], method="weibull")
    return low <= new <= high


def share_covered(p: float, n: int) -> float:
    """Exact coverage of the share's interval: a sum over the binomial distribution."""
    hits = np.arange(n + 1)
    results = [statistics.share(int(k), n) for k in hits]
    inside = [r.low <= p <= r.high for r in results]
    return float(stats.binom.pmf(hits, n, p) @ inside)


KINDS: dict[str, tuple[float, Callable]] = {
    "mean": (0.95, single("mean")),
    "median": (0.95, single("median")),
    "geometric mean": (0.95, single("geometric_mean")),
    "variance": (0.95, single("variance")),
    "slope of the geometric mean": (0.95, slope("geometric_mean")),
    "slope of the mean": (0.95, slope("mean")),
    "slope of the std": (0.95, slope("std")),
    "corrected slope": (0.95, corrected),
    "ratio": (0.95, ratio),
    "ordering": (0.975, ordering),
    "share": (0.95, share_covered),
    "collapse": (0.95, collapse),
    "prediction range": (0.99, prediction),
}
"""The nominal coverage of each kind of interval, and its simulation."""


def least(nominal: float) -> float:
    """The accepted coverage: intervals miss at most 1.2 times as often as they say."""
    return 1 - 1.2 * (1 - nominal)


def coverage(name: str, seeds: Seeds, family: str, repetitions: int) -> float:
    """Share of simulations whose interval holds the true value."""
    if name == "share":
        p = {"normal": 0.5, "log-normal": 0.9, "skewed": 0.98}[family]
        return share_covered(p, seeds[0])
    random, trial = statistics.generator(f"{name} {seeds}"), KINDS[name][1]
    hits = [trial(FAMILIES[family], seeds, random, f"{k}") for k in range(repetitions)]
    return float(np.mean(hits))


def table(chosen: dict[str, list[Seeds]], repetitions: int) -> str:
    """Coverage in per cent by kind of interval and numbers of networks, in Markdown."""
    head = ("interval", "networks of each width", "nominal", *FAMILIES, "±")
    rows = [head, ("---",) * len(head)]
    kept, statistics.RESAMPLES = statistics.RESAMPLES, 500
    for name, all_seeds in chosen.items():
        nominal = KINDS[name][0]
        for seeds in all_seeds:
            runs = repetitions // (FEWER if max(seeds) >= MANY else 1)
            found = [coverage(name, seeds, family, runs) for family in FAMILIES]
            error = 0.0
            if name != "share":
                error = math.sqrt(nominal * (1 - nominal) / runs)
            shown = (f"{100 * v:.1f}" for v in found)
            marked = (
                text if v + error >= least(nominal) else f"**{text}**"
                for v, text in zip(found, shown, strict=True)
            )
            design = ", ".join(map(str, seeds))
            cells = (name, design, f"{100 * nominal:g}", *marked, f"{100 * error:.1f}")
            rows.append(cells)
    statistics.RESAMPLES = kept
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def main() -> None:
    """Write the block of docs/coverage.md, or print a small table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--toy", action="store_true", help="a small table, printed")
    parser.add_argument("--repetitions", type=int, default=1600)
    options = parser.parse_args()
    if options.toy:
        print(table({name: seeds[:1] for name, seeds in designs().items()}, 8))
        return
    spec = importlib.util.spec_from_file_location("refresh", ROOT / "docs/refresh.py")
    assert spec and spec.loader
    refresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(refresh)
    path = ROOT / "docs" / "coverage.md"
    text = path.read_text(encoding="utf-8")
    body = table(designs(), options.repetitions)
    path.write_text(refresh.replaced(text, "coverage", body), encoding="utf-8")


if __name__ == "__main__":
    main()
