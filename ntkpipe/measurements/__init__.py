"""From arrays to one tidy table: variant, width, seed, step, metric, value.

Each module here lists metrics as records, next to the function that computes them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ntkpipe.measurements import (
    faults,
    frequencies,
    kernel,
    limit,
    linear,
    metric,
    modes,
    moments,
    needs,
    table,
    weights,
)
from ntkpipe.measurements.group import Arrays, Group, Inputs
from ntkpipe.measurements.metric import Metric

if TYPE_CHECKING:
    import pandas as pd

    from ntkpipe.experiment import Experiment

GROUPS: tuple[Group, ...] = (
    kernel.GROUP,
    weights.GROUP,
    faults.GROUP,
    linear.GROUP,
    limit.GAPS,
    limit.STRAIGHT,
    limit.SCORES,
    moments.GROUP,
    kernel.SLICE,
    frequencies.GROUP,
    modes.GROUP,
)
"""All groups of metrics of networks, in the order of the rows of the table."""

METRICS: tuple[Metric, ...] = (
    *(one for group in GROUPS for one in group.metrics),
    *table.METRICS,
    *limit.LIMIT_METRICS,
)
"""All metrics, in the order of the manual."""


def find(name: str) -> Metric | None:
    """The first metric with this name, or matching this pattern (`fit_time/*`)."""
    return metric.find(name, METRICS)


def unknown(name: str) -> str | None:
    """Why no metric has this name, with the closest names; None if there is one."""
    return metric.unknown(name, METRICS)


def unmet(name: str, e: Experiment) -> str | None:
    """Why an experiment has no value of a metric; None if it has, or may have, one.

    A pattern needs one matching metric that the experiment has.
    """
    return metric.unmet(name, e, METRICS)


def label(name: str) -> str:
    """The label of a metric on an axis."""
    return metric.label(name, METRICS)


def of_width(
    e: Experiment, variant: str, width: int, read: Callable[[str], Arrays]
) -> pd.DataFrame:
    """All metrics of the networks of one width, as rows; `read` reads a product."""
    inputs = Inputs(
        e,
        width,
        network=read("network"),
        data=read("dataset"),
        linearized=read("linearized") if needs.has_linearized(e) else None,
        limit=read("limit") if needs.has_limit(e) else None,
    )
    values: dict = {}
    for group in GROUPS:
        if any(one.unmet(e) is None for one in group.metrics):
            values |= group.measure(inputs)
    network = inputs.network
    expected = {one.name for one in METRICS if one.missing_is_expected}
    return table.tidy(
        values, network["seed"], network["diverged"], variant, width, expected
    )


def of_limit(e: Experiment, variant: str, kernels: Arrays) -> pd.DataFrame:
    """All metrics of the infinitely wide network alone, as rows."""
    values = limit.infinite(kernels, needs.equal_angles(e), e.measure.frequencies)
    return table.of_limit(values, variant)
