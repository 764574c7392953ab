"""Select the values of networks from the table of measurements."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from ntkpipe.claims.words import joined, listed
from ntkpipe.lazy import Lazy
from ntkpipe.measurements import METRICS

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = Lazy("pandas")

Step = Literal["final", "initial", "max"] | int
"""The last logged step, step 0, the largest value over all steps, or one step."""


# Defined wherever λ_min was recorded, so their last recorded step is that of λ_min.
RECORDED_WITH_NTK_MIN = [m.name for m in METRICS if m.recorded_with == "ntk_min"]


CHANGE_METRICS = frozenset(m.name for m in METRICS if m.measures_change)
"""Meaningless if the kernel changed by less than rounding errors (`unresolved`)."""


class Missing(Exception):
    """The table lacks values that a claim reads; the message names those it has."""


class Reading(NamedTuple):
    """Values of the selected networks: a row for each network, a column a metric."""

    values: pd.DataFrame  # index (width, seed)
    note: str

    @property
    def widths(self) -> list[int]:
        """The widths read, ascending."""
        return sorted(self.values.index.unique("width").tolist())

    def at(self, width: int) -> pd.DataFrame:
        """The values at one width, a row for each seed."""
        return self.values.xs(width, level="width")


class Readings(dict):
    """Readings by the arguments of `read`, in place of the table of measurements.

    Those of `table` are kept once they are read, so that others can be drawn from them
    (`ntkpipe.claims.power`) and judged without a table.
    """

    def __init__(self, table: pd.DataFrame | None = None):
        super().__init__()
        self.table = table

    def __missing__(self, key: tuple) -> Reading:
        if self.table is None:
            raise Missing(f"{key[0]} was not read")
        self[key] = read(self.table, *key)
        return self[key]


def read(
    measurements: pd.DataFrame,
    metric: str,
    step: Step,
    variant: str | None,
    min_width: int,
    max_width: int | None,
) -> Reading:
    """Values of the matching metrics at one step, a row for each network.

    Networks without a finite value of every metric are left out; the note counts them.
    """
    rows = measurements
    if rows.empty:
        raise Missing("the table of measurements is empty")
    known = sorted(rows["variant"].unique())
    if variant is None and len(known) > 1:
        raise Missing(f"several variants, name one: {', '.join(known)}")
    if variant is not None:
        rows = rows[rows["variant"] == variant]
    if rows.empty:
        raise Missing(f"no variant {variant}; the table has {listed(known)}")
    named = [m for m in rows["metric"].unique() if fnmatch.fnmatchcase(m, metric)]
    if not named:
        raise Missing(
            f"no metric {metric}{f' for {variant}' if variant else ''}; there are "
            f"{', '.join(sorted(rows['metric'].unique()))}"
        )
    widest = math.inf if max_width is None else max_width
    inside = rows[rows["width"].between(min_width, widest)]
    chosen = inside[inside["metric"].isin(named)]
    if chosen.empty:
        widths = sorted(rows.loc[rows["metric"].isin(named), "width"].unique())
        raise Missing(f"no width from {min_width} to {widest:g}: {listed(widths)}")
    values = _at_step(inside, chosen, step)
    if values.empty:
        raise Missing(f"{metric} has no finite value")
    names = sorted(values, key=lambda name: (index_of(name), name))
    values = values[names].sort_index()
    finite = values[np.isfinite(values).all(axis=1)]
    if finite.empty:
        raise Missing(f"{metric} has no finite value")
    noise = "" if CHANGE_METRICS.isdisjoint(names) else _unresolved(inside, finite)
    return Reading(finite, joined(_left_out(inside, finite), noise))


def _at_step(inside: pd.DataFrame, rows: pd.DataFrame, step: Step) -> pd.DataFrame:
    """The values of `rows` at a step: a row a (width, seed), a column a metric."""
    if step == "max":
        at = rows
    elif step == "final":
        index = pd.MultiIndex.from_frame(rows[["width", "metric"]])
        at = rows[rows["step"].to_numpy() == _last_step(inside, rows)[index].to_numpy()]
    else:
        at = rows[rows["step"] == (0 if step == "initial" else step)]
        if at.empty:
            there = listed(sorted(rows["step"].unique()))
            raise Missing(f"no step {step}; there are {there}")
    return at.pivot_table(
        index=["width", "seed"], columns="metric", values="value", aggfunc="max"
    )


def _last_step(inside: pd.DataFrame, rows: pd.DataFrame) -> pd.Series:
    """The last recorded step of each (width, metric), even without a value there.

    A network that died in training has no row at the last step. Its last row is earlier
    and must not be used.
    """
    names = rows["metric"].unique()
    undefined = inside[inside["metric"].isin([f"undefined/{name}" for name in names])]
    undefined = undefined.assign(
        metric=undefined["metric"].str.removeprefix("undefined/")
    )
    least = inside[inside["metric"] == "ntk_min"]
    alike = [least.assign(metric=n) for n in RECORDED_WITH_NTK_MIN if n in names]
    recorded = pd.concat([rows, undefined, *alike])
    return recorded.groupby(["width", "metric"])["step"].max()


def _left_out(inside: pd.DataFrame, used: pd.DataFrame) -> str:
    """A note with the numbers of networks that have no value and that diverged."""
    everything = inside[["width", "seed"]].drop_duplicates()
    lost = len(everything) - len(used)
    if lost <= 0:
        return ""
    diverged = inside[(inside["metric"] == "diverged") & (inside["value"] == 1)]
    wild = len(diverged[["width", "seed"]].drop_duplicates())
    return f"{lost} of {len(everything)} networks have no value, {wild} diverged"


def _unresolved(inside: pd.DataFrame, used: pd.DataFrame) -> str:
    """A note with the number of used networks marked as `unresolved`."""
    rows = inside[inside["metric"] == "unresolved"]
    marked = rows.groupby(["width", "seed"])["value"].max().reindex(used.index)
    if not marked.any():
        return ""
    return (
        f"{marked.sum():.0f} of {len(used)} networks moved their kernel by less than "
        "rounding errors"
    )


def block(values: pd.DataFrame) -> np.ndarray:
    """A table of one column as an array (n, 1, 1)."""
    return values.to_numpy()[:, :, None]


def pooled(values: pd.DataFrame) -> np.ndarray:
    """An array (n, 1, i): all columns are values of one quantity."""
    return values.to_numpy()[:, None, :]


def paired(values: Sequence[pd.DataFrame]) -> list[np.ndarray]:
    """One block (n, q, i) if all tables have the same seeds, else a block for each.

    The i columns of a table are values of one quantity. Tables with different seeds are
    treated as independent. If some seeds agree, this makes the interval of a difference
    wider than necessary.
    """
    first = values[0].index
    if all(v.index.equals(first) for v in values):
        return [np.stack([v.to_numpy() for v in values], axis=1)]
    return [pooled(v) for v in values]


def together(readings: Sequence[Reading]) -> Reading:
    """The networks of several readings in one, with each note once."""
    values = pd.concat([reading.values for reading in readings])
    return Reading(values, joined(*(r.note for r in readings)))


def one_metric(reading: Reading, metric: str) -> None:
    """Raise `Missing` if a pattern matches several metrics."""
    if reading.values.shape[1] > 1:
        raise Missing(f"{metric} matches several: {', '.join(reading.values)}")


def one_width(*readings: Reading) -> int:
    """The one width of all readings; raise `Missing` if there are several."""
    widths = sorted({width for reading in readings for width in reading.widths})
    for reading in readings:
        if widths != reading.widths:
            raise Missing(f"the variants differ in width: {listed(widths)}")
    if len(widths) > 1:
        raise Missing(
            f"several widths, {listed(widths)}: choose one with min_width and max_width"
        )
    return widths[0]


def index_of(name: str) -> float:
    """The number after the slash, or infinity."""
    try:
        return float(name.rpartition("/")[2])
    except ValueError:
        return math.inf
