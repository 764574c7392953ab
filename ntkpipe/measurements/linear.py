"""The networks against their linearised models."""

from ntkpipe.measurements import needs
from ntkpipe.measurements.metric import Metric

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
