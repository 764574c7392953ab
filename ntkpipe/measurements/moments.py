"""Moments over many networks at initialisation."""

from __future__ import annotations

import numpy as np

from ntkpipe.measurements import needs
from ntkpipe.measurements.group import Arrays, Group, Values
from ntkpipe.measurements.metric import Metric
from ntkpipe.training.recorders.moments import NAMES

WHEN = (needs.ENSEMBLE,)
METRICS = (
    Metric(
        name="output_kurtosis",
        meaning="excess kurtosis of the output",
        formula="E f⁴/(E f²)² − 3",
        at="groups",
        when=WHEN,
    ),
    Metric(
        name="output_kurtosis_n",
        meaning="excess kurtosis of the output times the width",
        at="groups",
        when=WHEN,
    ),
    Metric(
        name="ntk_mean",
        meaning="mean of the kernel",
        formula="E Θ(x₀, x₀)",
        at="groups",
        when=WHEN,
    ),
    Metric(
        name="ntk_mean_per_layer",
        meaning="mean of the kernel over depth + 1, the number of weight layers",
        at="groups",
        when=WHEN,
    ),
    Metric(
        name="ntk_variance",
        meaning="variance of the kernel",
        formula="Var Θ(x₀, x₀)",
        at="groups",
        when=WHEN,
    ),
    Metric(
        name="ntk_moment_ratio",
        meaning="second moment of the kernel over the square of its first",
        formula="E Θ²/(E Θ)²",
        at="groups",
        when=WHEN,
    ),
    Metric(
        name="ntk_moment_log",
        meaning="logarithm of `ntk_moment_ratio`",
        at="groups",
        when=WHEN,
    ),
    Metric(
        name="ntk_moment_rate",
        meaning="logarithm of `ntk_moment_ratio` over depth/width",
        at="groups",
        when=WHEN,
    ),
    Metric(
        name="ntk_moment_rate_weights",
        meaning="`ntk_moment_rate` of the part of Θ from weights, without biases",
        at="groups",
        when=WHEN,
    ),
    Metric(
        name="hessian_correlation",
        meaning="size of the correlation that moves Θ at the first step",
        formula="|E[Σ_ij ∂_i f ∂_i ∂_j f ∂_j f · f]|",
        at="groups",
        when=WHEN,
    ),
    Metric(
        name="o3",
        meaning="root mean square of O₃, which is ∂Θ/∂t for a residual of −1",
        formula="O₃ = 2 Σ_ij ∂_i f ∂_i ∂_j f ∂_j f",
        at="groups",
        when=WHEN,
    ),
    Metric(
        name="ntk_bias",
        meaning="relative distance of the mean kernel from that of infinite width",
        formula="E Θ(x₀, x₀)/Θ∞(x₀, x₀) − 1",
        at="groups",
        when=(*WHEN, needs.LIMIT),
        needs=("network", "limit"),
    ),
    Metric(
        name="ntk_bias_off",
        index=needs.OTHER_POINT,
        meaning="relative distance of the mean of Θ(x₀, x_i), x_i another training "
        "point, from that of infinite width",
        at="groups",
        when=(*WHEN, needs.LIMIT),
        needs=("network", "limit"),
    ),
)


@np.errstate(divide="ignore", invalid="ignore")
def ensembles(network: Arrays, depth: int, width: int, limit: Arrays | None) -> Values:
    """Moments over many networks at initialisation: metric → (step 0, (s 1)).

    Each value is that of a group; a ratio is the ratio of the group's means.

    Args:
        network: the arrays of a trajectory.
        depth: number of hidden layers.
        width: hidden width n.
        limit: infinite-width kernels, if computed.
    """
    count = len(NAMES)
    mean = dict(zip(NAMES, network["moments"].T[:count], strict=True))
    kurtosis = mean["f4"] / mean["f2"] ** 2 - 3
    ratio = mean["theta2"] / mean["theta"] ** 2
    ratio_w = mean["theta_w2"] / mean["theta_w"] ** 2
    metrics = {
        "output_kurtosis": kurtosis,
        "output_kurtosis_n": width * kurtosis,
        "ntk_mean": mean["theta"],
        "ntk_mean_per_layer": mean["theta"] / (depth + 1),
        "ntk_variance": mean["theta2"] - mean["theta"] ** 2,
        "ntk_moment_ratio": ratio,
        "ntk_moment_log": np.log(ratio),
        "ntk_moment_rate": np.log(ratio) * width / depth,
        "ntk_moment_rate_weights": np.log(ratio_w) * width / depth,
        "hessian_correlation": np.abs(mean["bend"]),
        "o3": np.sqrt(mean["o3_2"]),
    }
    if limit is not None:
        theta = limit["ntk_train_train"][0]
        metrics["ntk_bias"] = mean["theta"] / theta[0] - 1
        for i, off in enumerate(network["moments"].T[count:], 1):
            metrics[f"ntk_bias_off/{i}"] = off / theta[i] - 1
    return {name: (np.array([0]), value[:, None]) for name, value in metrics.items()}


GROUP = Group(
    METRICS,
    lambda inputs: ensembles(
        inputs.network, inputs.e.model.depth, inputs.width, inputs.limit
    ),
)
