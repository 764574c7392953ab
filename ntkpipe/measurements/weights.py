"""Change of the weights, and the loss."""

from __future__ import annotations

import numpy as np

from ntkpipe.measurements import needs
from ntkpipe.measurements.group import Arrays, Group, Values
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
        meaning="relative change of all weights since initialisation",
        formula="‖w − w₀‖/‖w₀‖",
        label="relative weight change ‖w − w₀‖ / ‖w₀‖",
        at="snapshots",
    ),
    Metric(
        name="weight_change",
        index=needs.LAYER,
        meaning="relative change of each layer's weights (`W1`, `W2`, …) and of its "
        "biases (`b1`, …), unless the biases begin at 0",
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
        name="converged",
        meaning="1 if the loss reached `stop_at_loss`, else 0",
        at="last",
    ),
    Metric(
        name="stop_step",
        meaning="number of steps until the loss was below `stop_at_loss`; no value if "
        "it never was",
        unit="steps",
        label="steps until stopped",
        at="last",
        when=(needs.STOP,),
        missing_is_expected=True,  # `converged` shows it
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


# an undefined value (0/0) has no row; `tidy` counts it
@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def trajectories(network: Arrays) -> Values:
    """Change of the weights, and the loss: metric → (steps, values (s steps))."""
    step, last = network["step"], network["step"][-1:]
    at = np.searchsorted(step, network["snapshot"])
    moved, norm = network["weight_change"], network["weight_norm"][:, None]
    distance = np.linalg.norm(moved, axis=-1)
    size = np.linalg.norm(norm, axis=-1)
    result = {
        "loss": (step[at], network["loss"][:, at]),
        "loss_ratio": (last, network["loss"][:, -1:] / network["loss"][:, :1]),
        "loss_growth": (
            last,
            network["loss"].max(1, keepdims=True) / network["loss"][:, :1],
        ),
        "weight_distance": (step[at], distance[:, at]),
        "weight_change": (step[at], (distance / size)[:, at]),
        "converged": (last, network["converged"][:, None].astype(float)),
    }
    if "weight_gap" in network:
        ran = step <= network["stop_step"][:, None]
        gap = np.where(ran, network["weight_gap"], 0)
        result["linear_weight_gap"] = (last, gap.max(1, keepdims=True))
    for index, name in enumerate(network["layer"]):
        if not norm[..., index].any():
            continue  # biases that begin at zero have no relative change
        relative = moved[..., index] / norm[..., index]
        result[f"weight_change/{name}"] = (step[at], relative[:, at])
    reached = np.where(network["converged"], network["stop_step"], np.nan)
    return result | {"stop_step": (last, reached[:, None])}


GROUP = Group(METRICS, lambda inputs: trajectories(inputs.network))
