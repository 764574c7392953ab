"""Comparison of networks with their linearised models."""

from __future__ import annotations

from functools import partial

import numpy as np

from ntkpipe.measurements.predictions import LOSS_ERROR, gaps, loss_error
from ntkpipe.metric import Arrays, Group, Inputs, Metric, Need, Values

LINEARIZE = Need(lambda e: e.has_linearized, "`linearize` of a network")
_last = partial(Metric, at="last", when=(LINEARIZE,))
METRICS = (
    _last(
        "linear_gap",
        "largest distance from the network's own linearisation, root mean square over "
        "training points",
        "sup_t ‖f − f_lin‖/√(Nk)",
        label="gap to its own linearisation, sup over t",
    ),
    _last(
        "linear_gap_test",
        "the same distance over the M test points",
        "sup_t ‖f − f_lin‖/√(Mk)",
        label="gap to its own linearisation, sup over t (test)",
    ),
    _last(
        "linear_loss_growth",
        "largest loss of the linearised model over its first",
        "sup_t L_lin(t)/L_lin(0)",
    ),
    _last(
        "linear_loss_error",
        "largest relative error of the linearised model's ‖u‖, u = f − y, while the "
        "loss is above 1e-3 of its start",
        "sup_t |‖u‖/‖u_lin‖ − 1|",
        when=(LINEARIZE, *LOSS_ERROR),
    ),
)


def linear_growth(linearized: Arrays) -> Values:
    """sup_t L(t)/L(0) of the linearised model.

    Above the stability limit the ratio diverges and is reported as 1e300.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        # 1e300 is infinite in float32
        loss = np.asarray(linearized["loss"], float)
        ratio = loss / loss[:, :1]
    highest = np.nan_to_num(ratio, nan=1e300, posinf=1e300).max(1, keepdims=True)
    return {"linear_loss_growth": (linearized["step"][-1:], np.minimum(highest, 1e300))}


def _against_linearized(inputs: Inputs) -> Values:
    assert inputs.linearized is not None  # required by `when`
    found = gaps(inputs.network, inputs.linearized, "linear") | linear_growth(
        inputs.linearized
    )
    if inputs.e.measure.loss_error:
        found |= loss_error(inputs.network, inputs.linearized["loss"], "linear")
    return found


GROUP = Group(METRICS, _against_linearized)
