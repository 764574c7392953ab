"""Coverage of the intervals by simulation: `python tests/coverage.py [--toy]`.

Each kind of interval is computed for simulated networks, with the numbers of seeds that
the studies in config/studies use. The table is written to docs/coverage.md.
"""

import argparse
import math
from collections import Counter
from pathlib import Path

import numpy as np
from scipy import stats

from ntkpipe import study
from ntkpipe.claims import fits, statistics

ROOT = Path(__file__).parents[1]
LEAST = 0.94  # accepted coverage of 95 %
FAMILIES = {
    "normal": stats.norm(3.0, 0.5),
    "log-normal": stats.lognorm(0.3),
    "skewed": stats.gamma(2.0),  # skewness 1.4
}
STATISTICS = ("mean", "median", "geometric_mean", "std")
WIDTHS = np.array([64.0, 256.0, 1024.0, 4096.0])


def seeds_used() -> list[int]:
    """The numbers of seeds of the experiments whose claims have an interval, ascending.

    Only the smallest of several numbers within a factor of three is kept.
    """
    used: Counter[int] = Counter()
    for path in sorted((ROOT / "config" / "studies").glob("*.yaml")):
        one = study.load(path)
        for name, width in one.jobs():
            used[one.variants[name].seeds_at(width)] += 1
    kept: list[int] = []
    for n in sorted(used):
        if n > 1 and (not kept or n >= 3 * kept[-1]):
            kept.append(n)
    return kept


def truth(family, statistic: str) -> float:
    """The statistic of the distribution itself."""
    if statistic == "geometric_mean":
        return math.exp(family.expect(np.log, lb=1e-12))
    return float(getattr(family, statistic)())


def covered(family, statistic: str, n: int, random, repetitions: int) -> float:
    """Share of simulations whose interval contains the true value."""
    true, hits = truth(family, statistic), 0
    for k in range(repetitions):
        values = family.rvs(n, random_state=random)
        result = statistics.one_sample(values, statistic, f"{k}")
        hits += result.low <= true <= result.high
    return hits / repetitions


def slope_covered(family, statistic: str, n: int, random, repetitions: int) -> float:
    """The same share for the slope −1 of log Q on log n; Q is the statistic."""
    hits = 0
    for k in range(repetitions):
        draws = family.rvs((len(WIDTHS), n), random_state=random)
        fit = fits.fit_power_law(
            WIDTHS, list(draws / WIDTHS[:, None]), f"{k}", statistic=statistic
        )
        hits += fit.slope_low <= -1 <= fit.slope_high
    return hits / repetitions


def share_covered(p: float, n: int, repetitions: int) -> float:
    """Exact coverage of the interval of a share, by a sum over the binomial law."""
    del repetitions
    hits = np.arange(n + 1)
    results = [statistics.share(int(k), n) for k in hits]
    inside = [r.low <= p <= r.high for r in results]
    return float(stats.binom.pmf(hits, n, p) @ inside)


def table(seeds: list[int], repetitions: int) -> str:
    """Coverage by kind of interval, distribution and number of seeds, in Markdown."""
    random = np.random.default_rng(0)
    rows = [["interval", "values", *map(str, seeds)], ["---"] * (len(seeds) + 2)]

    def row(name, values, of, least=2):
        shown = [_shown(of(n)) if n >= least else "–" for n in seeds]
        rows.append([name, values, *shown])

    for statistic in STATISTICS:
        least = 3 if statistic == "std" else 2
        for name, family in FAMILIES.items():
            row(
                statistic.replace("_", " "),
                name,
                lambda n, f=family, s=statistic: covered(f, s, n, random, repetitions),
                least,
            )
    for statistic, least in (("geometric_mean", 2), ("std", 3)):
        for name, family in FAMILIES.items():
            row(
                f"slope of the {statistic.replace('_', ' ')}",
                name,
                lambda n, f=family, s=statistic: slope_covered(
                    f, s, n, random, repetitions
                ),
                least,
            )
    for p in (0.5, 0.95):
        row("share", f"p = {p:g}", lambda n, p=p: share_covered(p, n, repetitions))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def _shown(share: float) -> str:
    """A coverage in per cent, in bold if it is less than accepted."""
    text = f"{100 * share:.1f}"
    return text if share >= LEAST else f"**{text}**"


def main() -> None:
    """Write docs/coverage.md, or print a small table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--toy", action="store_true", help="a small table, printed")
    parser.add_argument("--repetitions", type=int, default=300)
    options = parser.parse_args()
    if options.toy:
        print(table([3, 20], 20))
        return
    repetitions = options.repetitions
    error = 100 * math.sqrt(0.95 * 0.05 / repetitions)
    text = f"""# Coverage of the intervals

How often the nominal 95 % interval of a claim holds the true value, in per cent, by
the number of seeds. The numbers of seeds are those of the studies, thinned. Each entry
is of {repetitions:,} simulations, with a standard error of {error:.1f}; those of shares
are exact. **Bold** is below {100 * LEAST:.0f} %. Values are normal (mean 3, standard
deviation ½), log-normal (σ = 0.3) or skewed (gamma of shape 2). Slopes are
of four widths. Written by `python tests/coverage.py`.

{table(seeds_used(), repetitions)}
"""
    (ROOT / "docs" / "coverage.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
