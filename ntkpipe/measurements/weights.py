"""Change of the weights, and the loss."""

from __future__ import annotations

from functools import partial

import numpy as np

from ntkpipe.metric import WEIGHTS, Arrays, Group, Index, Metric, Values, given


def _layers(e) -> list[str] | None:
    """W1, b1, W2, …, without biases that are zero at initialisation."""
    zero = getattr(e.model, "biases", "") == "zero"
    names = e.model.layer_names
    return names and [name for name in names if not (zero and name.startswith("b"))]


_snapshots = partial(Metric, at="snapshots")
_last = partial(Metric, at="last")
METRICS = (
    _snapshots(
        "loss",
        "training loss, as `training.loss` defines it",
        label="training loss",
    ),
    _snapshots(
        "weight_distance",
        "distance of all weights from those at initialisation",
        "‖w − w₀‖",
        label="weight change ‖w − w₀‖",
    ),
    _snapshots(
        "weight_change",
        "relative change of all weights since initialisation",
        "‖w − w₀‖/‖w₀‖",
        label="relative weight change ‖w − w₀‖ / ‖w₀‖",
        when=(WEIGHTS,),
    ),
    _snapshots(
        "weight_change",
        "relative change of each layer's weights (`W1`, `W2`, …) and of its biases "
        "(`b1`, …), unless the biases begin at 0; with `kind: python`, of a parameter "
        "by its path (`layers.0.weight`)",
        "‖W(t) − W(0)‖/‖W(0)‖",
        index=Index("W1", _layers, r"[\w.]+"),
        label="relative weight change of {}",
        when=(WEIGHTS,),
    ),
    _last("loss_ratio", "last loss over first", "L(T)/L(0)"),
    _last("loss_growth", "largest loss over first", "sup_t L(t)/L(0)"),
    _last("converged", "1 if the loss reached `stop_at_loss`, else 0"),
    _last(
        "stop_step",
        "number of steps until the loss was below `stop_at_loss`; no value if it never "
        "was",
        unit="steps",
        label="steps until stopped",
        when=(given("training.stop_at_loss"),),
        missing_is_expected=True,  # `converged` shows it
    ),
)


# an undefined value (0/0) has no row; `tidy` counts it
@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def trajectories(network: Arrays) -> Values:
    """Change of the weights, and the loss: metric → (steps, values (s steps))."""
    step, last = network["step"], network["step"][-1:]
    at = np.searchsorted(step, network["snapshot"])
    moved = network["weight_change"]
    distance = np.linalg.norm(moved, axis=-1)
    result = {
        "loss": (step[at], network["loss"][:, at]),
        "loss_ratio": (last, network["loss"][:, -1:] / network["loss"][:, :1]),
        "loss_growth": (
            last,
            network["loss"].max(1, keepdims=True) / network["loss"][:, :1],
        ),
        "weight_distance": (step[at], distance[:, at]),
        "converged": (last, network["converged"][:, None].astype(float)),
    }
    if "weight_norm" in network:
        norm = network["weight_norm"][:, None]
        relative = {"weight_change": distance / np.linalg.norm(norm, axis=-1)}
        for index, name in enumerate(network["layer"]):
            # biases that begin at zero have no relative change
            if norm[..., index].any():
                of_layer = moved[..., index] / norm[..., index]
                relative[f"weight_change/{name}"] = of_layer
        result |= {name: (step[at], value[:, at]) for name, value in relative.items()}
    reached = np.where(network["converged"], network["stop_step"], np.nan)
    return result | {"stop_step": (last, reached[:, None])}


GROUP = Group(METRICS, lambda inputs: trajectories(inputs.network))
