"""Say in words what a study of a user's network found, with 95 % intervals.

Intervals are over networks, for one draw of the data: T ± t_ν·s of
`claims.statistics`, and the slope is that of `claims.fits`. A number that is positive
has the interval of its geometric mean.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from ntkpipe import artifacts
from ntkpipe.ask.plan import LAZY, PERCENT, seeds_to_settle, settling
from ntkpipe.claims import fits, statistics
from ntkpipe.claims.statistics import Interval
from ntkpipe.kernels import compare, linear
from ntkpipe.lazy import Lazy
from ntkpipe.stages.constancy import CONSTANCY
from ntkpipe.stages.dataset import DATASET
from ntkpipe.stages.linearize import LINEARIZE
from ntkpipe.stages.stage import Place
from ntkpipe.stages.train import TRAIN
from ntkpipe.study import Study
from ntkpipe.text import many, number, share

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = Lazy("pandas")

BASE = "base"
LEARNED = 0.5
"""A direction is learned if less than this share of its residual is left."""
FITTED = 0.1
"""Share of a residual at which an eigenvector counts as fitted."""
MODES = (1, 2, 3, 5, 10)
Regime = Literal["lazy", "rich", "inconclusive"]


class Facts(NamedTuple):
    """What was found at the user's width; intervals are over networks."""

    width: int
    networks: int
    diverged: int
    change: Interval
    """Relative change of the kernel."""
    gap: Interval
    """Largest distance from the linearisation on test points, over rms targets."""
    end: Interval
    """The same distance after the last step."""
    slope: Interval
    """Of log change on log width."""
    gap_slope: Interval
    limit: Interval
    """Largest stable learning rate 2/λ_max(Θ/N)."""
    unstable: int
    """Networks whose limit is below the learning rate."""
    alignment: Interval
    freedom: Interval
    """Degrees of freedom Σ 1 − (1 − ηλ)^T."""
    share: Interval
    """Share of the target in the learned directions."""
    condition: float
    """λ_1/λ_10 of the kernel, or over its last eigenvalue."""
    modes: dict[int, Interval]
    """Steps until an eigenvector is fitted."""
    rows: int
    steps: int
    rate: float
    widths: tuple[int, ...]
    loss_left: Interval
    plain: bool
    """Whether training is gradient descent of the squared loss, as of the formulas."""


# ------------------------------------------------------------------ numbers


def facts(study: Study, results: Path, own: int) -> Facts:
    """Read the finished products of a study.

    Args:
        study: its variant `base` has the network.
        results: folder of results.
        own: the user's width; if the study lacks it, the widest.
    """
    e = study.variants[BASE]
    width = own if own in e.widths else max(e.widths)
    at = Place(study, BASE, width)

    def read(stage, at: Place) -> Any:
        return artifacts.load(results / stage.path(at)).data

    table = read(CONSTANCY, at._replace(width=0))
    network, linearized = read(TRAIN, at), read(LINEARIZE, at)
    data = read(DATASET, at._replace(width=0))
    kept = _kept(network, study.name, width)
    rms = math.sqrt(np.mean(data["y_test"] ** 2))
    last = network["f_test"][kept, -1] - linearized["f_test"][kept, -1]
    with np.errstate(over="ignore"):
        last = np.sqrt(np.mean(last**2, axis=(1, 2))) / rms
    kernel = seen(
        compare.matrix(network["ntk"][kept, 0]) / len(data["x_train"]),
        data["y_train"],
        e.training.learning_rate,
        e.training.steps,
    )

    def of(metric: str, claim: str = "", step: str = "last", over=1.0) -> Interval:
        # the name of a claim seeds its resampling: the page has the same interval
        values = _values(table, metric, width, step) / over
        return _interval(values, claim or metric, width)

    modes = {i: _interval(v, f"mode/{i}", width) for i, v in kernel.modes.items()}
    return Facts(
        width=width,
        networks=int(kept.sum()),
        diverged=int((~kept).sum()),
        change=of("ntk_change", "lazy/kernel"),
        gap=of("linear_gap_test", "lazy/gap", over=rms),
        end=_interval(last[np.isfinite(last)], "end", width),
        slope=_slope(table, "ntk_change", "constancy", e.widths),
        gap_slope=_slope(table, "linear_gap_test", "gap", e.widths),
        limit=_interval(2 / kernel.largest, "limit", width),
        unstable=int(np.sum(e.training.learning_rate * kernel.largest > 2)),
        alignment=of("ntk_alignment", step="first"),
        freedom=_interval(kernel.freedom, "freedom", width),
        share=_bounded(kernel.share, "share", width),
        condition=float(np.median(kernel.condition)),
        modes=modes,
        rows=data["y_train"].size,
        steps=e.training.steps,
        rate=e.training.learning_rate,
        widths=tuple(sorted(e.widths)),
        loss_left=of("loss_ratio"),
        plain=e.training.is_plain and e.training.loss.kind == "squared",
    )


def _kept(network, name: str, width: int) -> np.ndarray:
    """The networks that did not diverge; refuse none."""
    kept = ~network["diverged"]
    if not kept.any():
        raise ValueError(
            f"all networks of width {width} diverged: lower training.learning_rate in "
            f"{name}.yaml"
        )
    return kept


class Seen(NamedTuple):
    """What each kernel sees of the targets, (s,)."""

    largest: np.ndarray
    freedom: np.ndarray
    share: np.ndarray
    condition: np.ndarray
    modes: dict[int, np.ndarray]


def seen(theta: np.ndarray, y: np.ndarray, rate: float, steps: int) -> Seen:
    """Spectrum, degrees of freedom and learned share of the targets.

    With Θ/N = UΛUᵀ and r = (1 − ηλ)^T: Σ 1 − r; Σ_{r < ½} (uᵀy)²/‖y‖²; the steps
    log 0.1/log|1 − ηλ_i|, at least 1.

    Args:
        theta: Θ/N, (s r r) for r = N·k rows.
        y: targets (n k).
        rate: η.
        steps: T.
    """
    values, vectors = np.linalg.eigh(theta)
    values, vectors = np.maximum(values[:, ::-1], 0), vectors[..., ::-1]
    left = np.stack([np.asarray(linear.gain(v, steps, rate)[0]) for v in values])
    target = y.reshape(theta.shape[-1], -1)  # a traced kernel stands for Θ ⊗ 1_k
    along = np.einsum("sri,rk->sik", vectors, target) ** 2 / np.sum(target**2)
    along = along.sum(-1)
    with np.errstate(divide="ignore"):
        needed = math.log(FITTED) / np.log(np.abs(1 - rate * values))
    needed = np.where((needed < 0) | np.isnan(needed), math.inf, np.ceil(needed))
    tenth = values[:, min(9, values.shape[1] - 1)]
    with np.errstate(divide="ignore"):
        condition = values[:, 0] / tenth
    return Seen(
        largest=values[:, 0],
        freedom=(1 - left).sum(1) * target.shape[1],
        share=np.where(np.abs(left) < LEARNED, along, 0).sum(1),
        condition=condition,
        modes={
            i: np.maximum(needed[:, i - 1], 1) for i in MODES if i <= values.shape[1]
        },
    )


def _values(table: pd.DataFrame, metric: str, width: int, step: str) -> np.ndarray:
    """A metric of each network at its first or last step."""
    rows = table[(table["metric"] == metric) & (table["width"] == width)]
    if rows.empty:
        return np.empty(0)
    at = rows["step"].min() if step == "first" else rows["step"].max()
    return rows[rows["step"] == at].sort_values("seed")["value"].to_numpy()


def _interval(values: np.ndarray, name: str, width: int) -> Interval:
    """The interval of a geometric mean, or of a mean if a number is not positive."""
    finite = values[np.isfinite(values)]
    if len(finite) < len(values) or not len(finite):
        return statistics.undefined()._replace(
            estimate=float(np.median(values)) if len(values) else math.nan
        )
    kind: Any = "geometric_mean" if (finite > 0).all() else "mean"
    return statistics.one_sample(finite, kind, f"{name}/{width}")


def _bounded(shares: np.ndarray, name: str, width: int) -> Interval:
    """The interval of a mean of shares, cut at 0 and 1."""
    found = statistics.one_sample(shares, "mean", f"{name}/{width}")
    return found._replace(low=max(found.low, 0.0), high=min(found.high, 1.0))


def _slope(table: pd.DataFrame, metric: str, claim: str, widths) -> Interval:
    """The slope of log metric on log width; undefined for one width."""
    widths = sorted(widths)
    samples = [_values(table, metric, n, "last") for n in widths]
    if len(widths) < 2 or any(len(s) < 2 or (s <= 0).any() for s in samples):
        return statistics.undefined()
    fit = fits.fit_power_law(widths, samples, claim)
    return Interval(fit.slope, fit.slope_low, fit.slope_high, math.nan, math.nan)


def regime(one: Facts) -> Regime:
    """Lazy if change and gap are surely below `LAZY`, rich if one is surely above."""
    both = [
        statistics.equivalence(i.low, i.high, 0, LAZY) for i in (one.change, one.gap)
    ]
    if "contradicted" in both:
        return "rich"
    return "lazy" if set(both) == {"supported"} else "inconclusive"


# ------------------------------------------------------------------ words


def sentences(one: Facts, costs: Mapping[str, float]) -> Iterator[str]:
    """The answers, a paragraph each.

    Args:
        one: what was found.
        costs: seconds `per_seed` and `fixed` of the run, for the minutes that would
            settle an open question.
    """
    yield from (_regime(one, costs), _moves(one), _ends(one), _sees(one), _rate(one))


def _regime(one: Facts, costs: Mapping[str, float]) -> str:
    found = regime(one)
    if found == "lazy":
        why = f"its kernel changes by less than {PERCENT}, and so does its distance "
        return f"**Lazy** at width {one.width}: {why}from the linearisation."
    if found == "rich":
        beyond = [
            words
            for words, i in (
                ("its kernel change", one.change),
                ("its linear gap", one.gap),
            )
            if i.low > LAZY
        ]
        what = f"{' and '.join(beyond)} {'exceed' if len(beyond) > 1 else 'exceeds'}"
        return f"**Rich** at width {one.width}: {what} {PERCENT}."
    open_ = [i for i in (one.change, one.gap) if not (i.high <= LAZY or i.low > LAZY)]
    most = max(_settles(i, one.networks) for i in open_)
    return (
        f"**Inconclusive** at width {one.width}: an interval crosses {PERCENT}; "
        f"{settling(most, costs['per_seed'], costs['fixed'])}."
    )


def _settles(i: Interval, networks: int) -> float:
    if not (0 < i.low < i.high):
        return math.inf
    half = (math.log(i.high) - math.log(i.low)) / 2
    return seeds_to_settle(math.log(i.estimate), half, math.log(LAZY), networks)


def _moves(one: Facts) -> str:
    text = (
        f"The kernel moves by {_percent(one.change)} in {one.steps:,} steps "
        f"(‖Θ − Θ₀‖/‖Θ₀‖, {many(one.networks, 'network')}"
    )
    text += f", {one.diverged} more diverged)." if one.diverged else ")."
    if math.isnan(one.slope.low):
        return text + " There is one width, so how this scales can't be judged."
    text += (
        f" With the width it scales as n^{_number(one.slope)}, from width "
        f"{one.widths[0]} to {one.widths[-1]}"
    )
    return text + "; theory has n^−1 for wide networks in the lazy regime."


def _ends(one: Facts) -> str:
    text = (
        f"The trained network ends {_percent(one.end)} from its linearisation on test "
        f"points, and is at most {_percent(one.gap)} away on the way (root mean "
        "square, over that of the test targets)."
    )
    if not math.isnan(one.gap_slope.low):
        text += f" This scales as n^{_number(one.gap_slope)}."
    return text + f" Its training loss falls to {_percent(one.loss_left)} of its start."


def _sees(one: Facts) -> str:
    aligned = f"centred alignment with the target is {_number(one.alignment)}."
    if not one.plain:
        return f"The kernel's {aligned}"
    steps = ", ".join(
        f"{i}: {number(m.estimate, 2, zeros=False) or 'never'}"
        for i, m in one.modes.items()
    )
    return (
        f"Of {one.rows:,} directions the kernel learns {_number(one.freedom)} in these "
        f"steps (degrees of freedom Σ 1 − (1 − ηλ)^T), and {_percent(one.share)} of "
        f"the target lie in directions that are at least half learned. Its "
        f"{aligned} Its first eigenvalue is "
        f"{number(one.condition, 2) or 'infinitely many'} times its tenth. Steps until "
        f"an eigenvector is fitted to 90 %, by its number: {steps}."
    )


def _rate(one: Facts) -> str:
    return (
        f"The largest stable learning rate is {_number(one.limit)} for gradient "
        "descent on half the mean squared error, and half of that for the mean squared "
        f"error without the ½; {number(one.rate)} was used."
    ) + (
        f" It is above the limit of {share(one.unstable, one.networks)}, whose "
        "linearised models diverge."
        if one.unstable
        else ""
    )


def _percent(i: Interval) -> str:
    """`3.1 % (2.8 to 3.4 %)`."""
    return _shown(i, 100, " %")


def _number(i: Interval) -> str:
    return _shown(i, 1, "")


def _shown(i: Interval, scale: float, unit: str) -> str:
    estimate, low, high = (number(scale * value, 2) for value in i[:3])
    if low == high or not low or not high:
        return f"{estimate or 'an unknown number'}{unit}"
    return f"{estimate}{unit} ({low} to {high}{unit})"
