"""Moments over many networks at initialisation."""

from ntkpipe.measurements import needs
from ntkpipe.measurements.metric import Metric

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
        meaning="the same times the width",
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
        meaning="the same over depth + 1, the layers of weights",
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
        meaning="its logarithm",
        at="groups",
        when=WHEN,
    ),
    Metric(
        name="ntk_moment_rate",
        meaning="its logarithm over depth/width",
        at="groups",
        when=WHEN,
    ),
    Metric(
        name="ntk_moment_rate_weights",
        meaning="the same of what weights, not biases, give to Θ",
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
        meaning="the same of Θ(x₀, x_i), x_i another training point",
        at="groups",
        when=(*WHEN, needs.LIMIT),
        needs=("network", "limit"),
    ),
)
