"""Compute metrics from arrays, as a table of variant, width, seed, step, metric, value.

Each module lists metrics as records, next to the function that computes them. Metrics
of an optional recording are in the file of its recorder.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from ntkpipe.data.base import of_networks
from ntkpipe.measurements import (
    faults,
    frequencies,
    kernel,
    limit,
    linear,
    modes,
    table,
    weights,
)
from ntkpipe.metric import Arrays, Group, Inputs, Metric
from ntkpipe.section import did_you_mean
from ntkpipe.training.recorders import RECORDERS

if TYPE_CHECKING:
    import pandas as pd

    from ntkpipe.experiment import Experiment

GROUPS: tuple[Group, ...] = (
    kernel.GROUP,
    weights.GROUP,
    faults.GROUP,
    linear.GROUP,
    limit.GAPS,
    limit.STRAIGHTNESS,
    limit.SCORES,
    frequencies.GROUP,
    modes.GROUP,
    *(Group(recorder.metrics, recorder.measure) for recorder in RECORDERS),
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
    return next((metric for metric in METRICS if metric.matches(name)), None)


def unknown(name: str) -> str | None:
    """Why no metric has this name, with the closest names; None if there is one."""
    if find(name):
        return None
    base, slash, index = name.partition("/")
    for metric in METRICS:
        if metric.name == base and metric.index and slash:
            return f"{base} has no index {index!r}: it is {metric.written}"
    written = list(dict.fromkeys(metric.written for metric in METRICS))
    near = did_you_mean(name, written, most=3) or did_you_mean(base, written, most=3)
    return f"no metric {name}{near}"


def unmet(name: str, e: Experiment) -> str | None:
    """Why an experiment has no value of a metric; None if it has one or may have one.

    A pattern needs one matching metric that the experiment has.
    """
    matching = [metric for metric in METRICS if metric.matches(name)]
    reasons = [metric.unmet(e, name.partition("/")[2]) for metric in matching]
    return f"{name}: {reasons[0]}" if reasons and all(reasons) else None


def label(name: str) -> str:
    """The label of a metric on an axis."""
    metric, (base, _, index) = find(name), name.partition("/")
    text = (metric and metric.label) or base.replace("_", " ")
    if "{}" in text:
        return text.format(index)
    return f"{text}, {index}" if index else text


def in_words(name: str) -> str:
    """A metric in a sentence: its label, or its meaning; the name if it is unknown."""
    metric, (_, _, index) = find(name), name.partition("/")
    if metric is None:
        return name
    text = metric.label or re.split("[;:]", metric.meaning)[0].replace("`", "")
    if "{}" in text:
        return text.format(index)
    if metric.index and index not in ("", "*"):
        return f"{text}, {metric.index.symbol} = {index}"
    return text


def of_width(
    e: Experiment, variant: str, width: int, read: Callable[[str], Arrays]
) -> pd.DataFrame:
    """All metrics of the networks of one width, as rows; `read` reads a product."""
    network = read("network")
    inputs = Inputs(
        e,
        width,
        network=network,
        data=of_networks(read("dataset"), len(network["seed"])),
        linearized=read("linearized") if e.has_linearized else None,
        limit=read("limit") if e.has_limit else None,
    )
    values: dict = {}
    for group in GROUPS:
        if any(one.unmet(e) is None for one in group.metrics):
            values |= group.measure(inputs)
    expected = {one.name for one in METRICS if one.missing_is_expected}
    return table.tidy(
        values, network["seed"], network["diverged"], variant, width, expected
    )


def of_limit(e: Experiment, variant: str, kernels: Arrays) -> pd.DataFrame:
    """All metrics of the infinitely wide network alone, as rows."""
    values = limit.infinite(kernels, e.dataset.equal_angles, e.measure.frequencies)
    return table.of_limit(values, variant)
