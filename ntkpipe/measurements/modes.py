"""Decay rates of the residual along eigenvectors of the kernel at initialisation."""

from __future__ import annotations

import numpy as np

from ntkpipe.kernels.compare import matrix
from ntkpipe.measurements.rates import decay_rate, limit_rate
from ntkpipe.metric import (
    DESCENT,
    SQUARES,
    Arrays,
    Group,
    Index,
    Inputs,
    Metric,
    Values,
    given,
)

METRICS = (
    Metric(
        "mode_rate",
        "decay rate along the i-th eigenvector of H(w₀) over that of the steps",
        "rate/(−log|1 − ηλ_i|/η)",
        index=Index("i", lambda e: range(1, e.measure.modes + 1)),
        at="last",
        when=(given("measure.modes"), SQUARES, DESCENT),
    ),
)


@np.errstate(divide="ignore", invalid="ignore")
def modes(network: Arrays, data: Arrays, learning_rate: float, count: int) -> Values:
    """Decay rate of the residual along eigenvectors of H(w₀), over that of the steps.

    `decay_rate` fits the first rate, and `limit_rate` gives the second. The ratio is 1
    for gradient descent on the linearised model. With a traced kernel, the size of a
    mode is the norm over all outputs.
    """
    points = data["x_train"].shape[-2]
    time = learning_rate * network["step"]
    theta = matrix(network["ntk"])[:, 0] / points
    residual = (network["f_train"] - data["y_train"]).reshape(
        *network["f_train"].shape[:2], theta.shape[-1], -1
    )
    values, vectors = np.linalg.eigh(theta)
    # np.linalg.eigh returns eigenvalues in ascending order; mode 1 is the fastest
    values, vectors = values[:, ::-1], vectors[..., ::-1]
    size = np.linalg.norm(np.einsum("sni,stnk->sitk", vectors, residual), axis=-1)
    ratio = decay_rate(time, size) / limit_rate(values, learning_rate, flow=False)
    last = network["step"][-1:]
    return {
        f"mode_rate/{i + 1}": (last, ratio[:, i : i + 1])
        for i in range(min(count, ratio.shape[1]))
    }


def _modes(inputs: Inputs) -> Values:
    rate, count = inputs.e.training.learning_rate, inputs.e.measure.modes
    return modes(inputs.network, inputs.data, rate, count)


GROUP = Group(METRICS, _modes)
