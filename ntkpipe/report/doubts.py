"""Sentences about numbers of a study that are missing or doubtful."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from ntkpipe import measurements
from ntkpipe.experiment import Experiment
from ntkpipe.lazy import Lazy
from ntkpipe.metric import SQUARES
from ntkpipe.study import Study
from ntkpipe.text import share

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = Lazy("pandas")


class Note(NamedTuple):
    """A sentence. A fault is a missing network or number; others may be intended."""

    is_fault: bool
    text: str


def data_quality_notes(study: Study, table: pd.DataFrame) -> Iterator[Note]:
    """Notes on missing or doubtful numbers, for the page.

    Widths of a variant with the same note share one line.

    Args:
        study: the study.
        table: its measurements.
    """
    found: dict[tuple[str, Note], list[int]] = {}
    for (variant, width), rows in table.groupby(["variant", "width"], sort=False):
        for note in _at_width(rows, study.variants[variant]):
            found.setdefault((variant, note), []).append(width)
    for (variant, note), widths in found.items():
        what = "width" if len(widths) == 1 else "widths"
        # the table has infinite width as width 0
        names = ", ".join(str(width or "∞") for width in widths)
        place = f"{_label(study, variant)}, {what} {names}"
        yield note._replace(text=f"{place}: {note.text}")


def _label(study: Study, variant: str) -> str:
    """A variant, with its label in the first figure that has one."""
    for figure in study.figures:
        label = getattr(figure, "labels", {}).get(variant, variant)
        if label.casefold() != variant.casefold():
            return f"{variant} ({label})"
    return variant


def _at_width(rows: pd.DataFrame, e: Experiment) -> Iterator[Note]:
    """Notes on the numbers of one variant and width."""
    lost = rows.loc[rows["metric"] == "diverged", "value"]
    if lost.any():
        yield Note(True, f"{share(lost.sum(), len(lost))} diverged")
    seeds = {
        metric: set(rows.loc[(rows["metric"] == metric) & (rows["value"] > 0), "seed"])
        for metric in ("dead", "singular", "unresolved")
    }
    rounding = "kernel by less than rounding errors"
    for metric, one, many, says in (
        ("dead", "is", "are", "dead: the last hidden layer is the same for all points"),
        # the cause may be equal or antipodal points, few weights, few frequencies …
        ("singular", "has", "have", "a singular kernel: λ_min is 0 up to rounding"),
        ("unresolved", "moved its", "moved their", rounding),
    ):
        count = len(seeds[metric])
        if count:
            total = rows.loc[rows["metric"] == metric, "seed"].nunique()
            verb = one if count == 1 else many
            yield Note(metric == "dead", f"{share(count, total)} {verb} {says}")
    rate = rows[(rows["metric"] == "learning_rate_relative") & (rows["step"] == 0)]
    # gradient descent is stable up to η = 2/λ_max, the heavy ball to 2(1 + β)/λ_max
    unstable = set(rate.loc[rate["value"] > 1 + e.training.heavy_ball, "seed"])
    yield from _undefined(rows, seeds["dead"], unstable)
    if unstable and e.training.steps and e.training.linear_updates:
        limit = "2(1 + β)/" if e.training.heavy_ball else "2/"
        limit += "λ_max" if SQUARES.met(e) else "(c·λ_max), which need not be sharp,"
        past = share(len(unstable), len(rate), "linearised model")
        text = f"the learning rate is above the stability limit {limit} of {past}"
        yield Note(False, text)
    if e.training.stop_at_loss is not None:
        reached = rows.loc[rows["metric"] == "converged", "value"]
        if not reached.all():
            missed = share((1 - reached).sum(), len(reached))
            goal = f"the stopping loss within {e.training.steps:,} steps"
            yield Note(False, f"{missed} did not reach {goal}")


def _undefined(
    rows: pd.DataFrame, dead: set[int], unstable: set[int]
) -> Iterator[Note]:
    """Notes on metrics that have no value, with the reason if it is known."""
    prefix = "undefined/"
    undefined = rows[rows["metric"].str.startswith(prefix) & (rows["value"] > 0)]
    found: dict[tuple[bool, str], list[str]] = {}
    for metric, own in undefined.groupby("metric", sort=False):
        name, seeds = metric.removeprefix(prefix), set(own["seed"])
        count = share(len(seeds), rows["seed"].nunique())
        have = f"{count} {'has' if len(seeds) == 1 else 'have'} no value of {{}}"
        if (own["width"] == 0).all():
            because = (True, "no value (0/0) of {}")
        elif seeds <= dead:
            because = (True, f"no value (0/0) of {{}} for {count}, all dead")
        elif name.startswith("linear_") and seeds <= unstable:
            because = (
                False,
                f"{have}, as the linearised model diverged above the stability limit",
            )
        else:
            because = (True, have)
        found.setdefault(because, []).append(name)
    for (fault, says), names in found.items():
        named = "; ".join(map(measurements.in_words, names))
        yield Note(fault, says.format(named))
