"""`Inputs`, from which metrics are computed, and `Group`, one function's metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntkpipe.measurements.metric import Metric

if TYPE_CHECKING:
    from ntkpipe.experiment import Experiment

Arrays = Mapping[str, np.ndarray]
Values = dict[str, tuple[np.ndarray, np.ndarray]]
"""Metric → (steps, values (s steps))."""


class Inputs(NamedTuple):
    """The products of the networks of one width; None if an experiment has none."""

    e: Experiment
    width: int
    network: Arrays
    data: Arrays
    linearized: Arrays | None
    limit: Arrays | None


class Group(NamedTuple):
    """Metrics that one function computes, if an experiment has any of them."""

    metrics: tuple[Metric, ...]
    measure: Callable[[Inputs], Values]
