"""From arrays to one tidy table: variant, width, seed, step, metric, value.

A metric with an index has it after a slash (`weight_change/W2`). Values of networks
that diverged are left out, `diverged` says how many there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntkpipe.measurements import (
    faults as faults_,
)
from ntkpipe.measurements import (
    frequencies as frequencies_,
)
from ntkpipe.measurements import (
    kernel,
    limit,
    linear,
    metric,
    moments,
    weights,
)
from ntkpipe.measurements import (
    modes as modes_,
)
from ntkpipe.measurements.measure import (  # noqa: F401
    against_limit,
    along_target,
    decay_rate,
    ensembles,
    faults,
    first_below,
    fourier,
    frequencies,
    gaps,
    infinite,
    kernel_slice,
    kernels,
    limit_dynamics,
    linear_growth,
    loss_error,
    loss_of,
    modes,
    of_limit,
    straight,
    tidy,
    trajectories,
)
from ntkpipe.measurements.metric import Metric

if TYPE_CHECKING:
    from ntkpipe.study import Experiment

METRICS: tuple[Metric, ...] = (
    *kernel.METRICS,
    *weights.METRICS,
    *faults_.METRICS,
    *linear.METRICS,
    *limit.METRICS,
    *moments.METRICS,
    *frequencies_.METRICS,
    *modes_.METRICS,
)
"""All metrics, in the order of the manual."""


def find(name: str) -> Metric | None:
    """The first metric of a name, or of a pattern (`fit_time/*`)."""
    return metric.find(name, METRICS)


def unknown(name: str) -> str | None:
    """Why there is no metric of a name, with the closest names; None where there is."""
    return metric.unknown(name, METRICS)


def unmet(name: str, e: Experiment) -> str | None:
    """Why an experiment has no value of a metric; None where it has, or may have, one.

    Of a pattern, one metric of those that match is enough.
    """
    return metric.unmet(name, e, METRICS)


def label(name: str) -> str:
    """What a metric is called on an axis."""
    return metric.label(name, METRICS)
