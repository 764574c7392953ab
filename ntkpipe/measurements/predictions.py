"""Comparison of networks with a prediction of their outputs."""

from __future__ import annotations

import numpy as np

from ntkpipe.metric import Arrays, Values, given

# A loss is compared with its prediction down to this share of its initial value.
LOSS_FOLLOWED = 1e-3
LOSS_ERROR = given("measure.loss_error")


def gaps(network: Arrays, other: Arrays, name: str) -> Values:
    """sup_t of the root mean square of f_network − f_other, over training and test.

    `other` has f_train and f_test at the same steps. A network that stopped before the
    last step is compared up to the step at which it stopped.
    """
    last = network["step"][-1:]
    ran = network["step"] <= network["stop_step"][:, None]
    result = {}
    for points, suffix in (("f_train", ""), ("f_test", "_test")):
        with np.errstate(over="ignore", invalid="ignore"):  # of diverged networks
            square = np.mean((network[points] - other[points]) ** 2, axis=(-2, -1))
        gap = np.sqrt(square)
        sup = np.where(ran, gap, 0).max(1, keepdims=True)
        result[f"{name}_gap{suffix}"] = (last, sup)
    return result


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def loss_error(network: Arrays, predicted: np.ndarray, name: str) -> Values:
    """sup_t |‖u‖/‖u_predicted‖ − 1|, u = f − y, while the loss is above 1e-3 of L(0).

    Args:
        network: the arrays of a trajectory.
        predicted: loss (s t) at the same steps.
        name: name of the prediction, `linear` or `limit`.
    """
    loss = network["loss"]
    high = (network["step"] <= network["stop_step"][:, None]) & (
        loss >= LOSS_FOLLOWED * loss[:, :1]
    )
    error = np.where(high, np.abs(np.sqrt(loss / predicted) - 1), 0)
    return {f"{name}_loss_error": (network["step"][-1:], error.max(1, keepdims=True))}
