"""Comparison of networks with their linearised models."""

from __future__ import annotations

import numpy as np

from ntkpipe.measurements import needs
from ntkpipe.measurements.group import Arrays, Group, Inputs, Values
from ntkpipe.measurements.metric import Metric
from ntkpipe.measurements.predictions import gaps, loss_error

PRODUCTS = ("network", "linearized")
METRICS = (
    Metric(
        name="linear_gap",
        meaning="largest distance from the network's own linearisation, root mean "
        "square over training points",
        formula="sup_t ‖f − f_lin‖/√(Nk)",
        label="gap to its own linearisation, sup over t",
        at="last",
        when=(needs.LINEARIZE,),
        needs=PRODUCTS,
    ),
    Metric(
        name="linear_gap_test",
        meaning="the same distance over test points",
        label="gap to its own linearisation, sup over t (test)",
        at="last",
        when=(needs.LINEARIZE,),
        needs=PRODUCTS,
    ),
    Metric(
        name="linear_loss_growth",
        meaning="largest loss of the linearised model over its first",
        at="last",
        when=(needs.LINEARIZE,),
        needs=PRODUCTS,
    ),
    Metric(
        name="linear_loss_error",
        meaning="largest relative error of the linearised model's ‖u‖, u = f − y, "
        "while the loss is above 1e-3 of its start",
        formula="sup_t |‖u‖/‖u_lin‖ − 1|",
        at="last",
        when=(needs.LINEARIZE, needs.LOSS_ERROR),
        needs=PRODUCTS,
    ),
)


def linear_growth(linearized: Arrays) -> Values:
    """sup_t L(t)/L(0) of the linearised model.

    Above the stability limit the ratio diverges and is reported as 1e300.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        ratio = linearized["loss"] / linearized["loss"][:, :1]
    highest = np.nan_to_num(ratio, nan=1e300, posinf=1e300).max(1, keepdims=True)
    return {"linear_loss_growth": (linearized["step"][-1:], np.minimum(highest, 1e300))}


def _against_linearized(inputs: Inputs) -> Values:
    assert inputs.linearized is not None  # `when` asks for it
    found = gaps(inputs.network, inputs.linearized, "linear") | linear_growth(
        inputs.linearized
    )
    if inputs.e.measure.loss_error:
        found |= loss_error(inputs.network, inputs.linearized["loss"], "linear")
    return found


GROUP = Group(METRICS, _against_linearized)
