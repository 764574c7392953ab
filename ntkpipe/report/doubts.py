"""Which numbers of a study are missing or doubtful, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ntkpipe.experiment import Experiment
from ntkpipe.lazy import Lazy
from ntkpipe.study import Study
from ntkpipe.text import share

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = Lazy("pandas")


def notes(study: Study, table: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Faults, networks or numbers that are not there; and remarks on what is there.

    Widths of a variant of which the same is said share a line.

    Args:
        study: the study.
        table: its measurements.
    """
    found: dict[tuple[bool, str, str], list[int]] = {}
    for (variant, width), rows in table.groupby(["variant", "width"], sort=False):
        for fault, says in _at_width(rows, study.variants[variant]):
            found.setdefault((fault, variant, says), []).append(width)
    lines: dict[bool, list[str]] = {True: [], False: []}
    for (fault, variant, says), widths in found.items():
        what = "width" if len(widths) == 1 else "widths"
        # the exact kernels are in the table as those of width 0
        names = ", ".join(str(width or "∞") for width in widths)
        lines[fault].append(f"{_called(study, variant)}, {what} {names}: {says}")
    return lines[True], lines[False]


def _called(study: Study, variant: str) -> str:
    """A variant, and its label in the first figure that has another than its name."""
    for figure in study.figures:
        label = getattr(figure, "labels", {}).get(variant, variant)
        if label.casefold() != variant.casefold():
            return f"{variant} ({label})"
    return variant


def _at_width(rows: pd.DataFrame, e: Experiment) -> Iterator[tuple[bool, str]]:
    """What makes the numbers of one width doubtful: (whether it is a fault, in words).

    A fault is a network or a number that is not there. The rest may be intended.
    """
    lost = rows.loc[rows["metric"] == "diverged", "value"]
    if lost.any():
        yield True, f"{share(lost.sum(), len(lost))} diverged"
    seeds = {
        metric: set(rows.loc[(rows["metric"] == metric) & (rows["value"] > 0), "seed"])
        for metric in ("dead", "singular", "unresolved")
    }
    for metric, one, many, says in (
        ("dead", "is", "are", "dead: the last hidden layer is the same for all points"),
        # no cause is named: equal or antipodal points, few weights, few frequencies …
        ("singular", "has", "have", "a singular kernel: λ_min is 0 but for rounding"),
        ("unresolved", "moved its", "moved their", "kernel by less than rounding does"),
    ):
        count = len(seeds[metric])
        if count:
            total = rows.loc[rows["metric"] == metric, "seed"].nunique()
            verb = one if count == 1 else many
            yield metric == "dead", f"{share(count, total)} {verb} {says}"
    rate = rows[(rows["metric"] == "learning_rate_relative") & (rows["step"] == 0)]
    # gradient descent is stable up to η = 2/λ_max, the heavy ball to 2(1 + β)/λ_max
    unstable = set(rate.loc[rate["value"] > 1 + e.training.heavy_ball, "seed"])
    yield from _undefined(rows, seeds["dead"], unstable)
    if unstable and e.training.steps and e.training.optimizer != "adam":
        limit = "2(1 + β)/λ_max" if e.training.heavy_ball else "2/λ_max"
        past = share(len(unstable), len(rate), "linearised model")
        yield False, f"the learning rate is past the stability limit {limit} of {past}"
    if e.training.stop_at_loss is not None:
        reached = rows.loc[rows["metric"] == "converged", "value"]
        if not reached.all():
            missed = share((1 - reached).sum(), len(reached))
            goal = f"the loss to stop at in {e.training.steps:,} steps"
            yield False, f"{missed} did not reach {goal}"


def _undefined(
    rows: pd.DataFrame, dead: set[int], unstable: set[int]
) -> Iterator[tuple[bool, str]]:
    """Which metrics have no value of which networks, and why where that is known."""
    prefix = "undefined/"
    undefined = rows[rows["metric"].str.startswith(prefix) & (rows["value"] > 0)]
    found: dict[tuple[bool, str], list[str]] = {}
    for metric, own in undefined.groupby("metric", sort=False):
        name, seeds = metric.removeprefix(prefix), set(own["seed"])
        count = share(len(seeds), rows["seed"].nunique())
        have = f"{count} {'has' if len(seeds) == 1 else 'have'} no value of {{}}"
        if (own["width"] == 0).all():
            because = (True, "without a value (0/0) are {}")
        elif seeds <= dead:
            because = (True, f"without a value (0/0) are {{}}: {count}, all dead")
        elif name.startswith("linear_") and seeds <= unstable:
            because = (
                False,
                f"{have}, as the linearised model diverged past the stability limit",
            )
        else:
            because = (True, have)
        found.setdefault(because, []).append(name)
    for (fault, says), names in found.items():
        yield fault, says.format(", ".join(names))
