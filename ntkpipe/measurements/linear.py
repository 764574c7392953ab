"""The networks against their linearised models."""

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
        meaning="the same over test points",
        label="gap to its own linearisation, sup over t (test)",
        at="last",
        when=(needs.LINEARIZE,),
        needs=PRODUCTS,
    ),
    Metric(
        name="linear_loss_growth",
        meaning="largest loss of the linearised model over first",
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
    """How far the loss of the linearised model rises above where it began.

    It grows without end past the stability limit: infinity is shown as 1e300.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        ratio = linearized["loss"] / linearized["loss"][:, :1]
    highest = np.nan_to_num(ratio, nan=1e300, posinf=1e300).max(1, keepdims=True)
    return {"linear_loss_growth": (linearized["step"][-1:], np.minimum(highest, 1e300))}


def _against_linearized(of: Inputs) -> Values:
    assert of.linearized is not None  # `when` asks for it
    found = gaps(of.network, of.linearized, "linear") | linear_growth(of.linearized)
    if of.e.measure.loss_error:
        found |= loss_error(of.network, of.linearized["loss"], "linear")
    return found


GROUP = Group(METRICS, _against_linearized)
