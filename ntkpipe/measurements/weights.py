"""How far the weights and the loss went."""

from ntkpipe.measurements import needs
from ntkpipe.measurements.metric import Metric

METRICS = (
    Metric(
        name="loss",
        meaning="training loss, half the mean over points of the squared residual",
        label="training loss",
        at="snapshots",
    ),
    Metric(
        name="weight_distance",
        meaning="distance of all weights from those at initialisation",
        formula="‖w − w₀‖",
        label="weight change ‖w − w₀‖",
        at="snapshots",
    ),
    Metric(
        name="weight_change",
        meaning="the same over their norm at initialisation",
        formula="‖w − w₀‖/‖w₀‖",
        label="relative weight change ‖w − w₀‖ / ‖w₀‖",
        at="snapshots",
    ),
    Metric(
        name="weight_change",
        index=needs.LAYER,
        meaning="the same of each layer's weights (`W1`, `W2`, …) and of its biases "
        "(`b1`, …), unless they begin at 0",
        label="relative weight change of {}",
        at="snapshots",
    ),
    Metric(
        name="loss_ratio",
        meaning="last loss over first",
        formula="L(T)/L(0)",
        at="last",
    ),
    Metric(
        name="loss_growth",
        meaning="largest loss over first",
        formula="sup_t L(t)/L(0)",
        at="last",
    ),
    Metric(
        name="stop_step",
        meaning="steps done until the loss was below `stop_at_loss`; only of networks "
        "that reached it",
        unit="steps",
        label="steps until stopped",
        at="last",
        when=(needs.STOP,),
        missing_is_expected=True,  # `converged` says so
    ),
    Metric(
        name="linear_weight_gap",
        meaning="largest distance of the weights from those of the linearised model",
        formula="sup_t ‖w − w_lin‖",
        label="weights' distance from the linearised model's, sup over t",
        at="last",
        when=(needs.LINEAR_WEIGHTS,),
    ),
)
