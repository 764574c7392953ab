"""What metrics are computed from, and the metrics that one function computes."""

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
    """The products of the networks of one width; None where a study has none."""

    e: Experiment
    width: int
    network: Arrays
    data: Arrays
    linearized: Arrays | None
    limit: Arrays | None


class Group(NamedTuple):
    """Metrics that one function computes, where an experiment has one of them."""

    metrics: tuple[Metric, ...]
    measure: Callable[[Inputs], Values]
