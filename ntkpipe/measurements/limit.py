"""The networks against the infinitely wide one, and that one by itself."""

from ntkpipe.measurements import needs
from ntkpipe.measurements.metric import Metric

METRICS = (
    Metric(
        name="limit_gap",
        meaning="largest distance from the infinite-width dynamics with the same "
        "outputs at t = 0, root mean square over training points",
        formula="sup_t ‖f − f∞‖/√(Nk)",
        label="gap to the infinite-width dynamics, sup over t",
        at="last",
        when=(needs.LIMIT,),
        needs=("network", "dataset", "limit"),
    ),
    Metric(
        name="limit_gap_test",
        meaning="the same over test points",
        at="last",
        when=(needs.LIMIT,),
        needs=("network", "dataset", "limit"),
    ),
    Metric(
        name="limit_loss_error",
        meaning="largest relative error of the infinite width's ‖u‖, u = f − y, "
        "while the loss is above 1e-3 of its start",
        formula="sup_t |‖u‖/‖u∞‖ − 1|",
        at="last",
        when=(needs.LIMIT, needs.LOSS_ERROR),
        needs=("network", "dataset", "limit"),
    ),
    Metric(
        name="limit_z",
        index=needs.LIMIT_POINT,
        meaning="standardised output at test point i, μ and σ of the limit",
        formula="(f(x_i) − μ_i)/σ_i",
        at="last",
        when=(needs.LIMIT_POINTS, needs.LIMIT),
        needs=("network", "limit"),
    ),
    Metric(
        name="straight_gap",
        meaning="largest part of the residual across y, root mean square over points",
        formula="sup_t ‖h‖/√N, f − y = g ŷ + h",
        at="last",
        when=(needs.STRAIGHT, needs.LIMIT),
        needs=("network", "dataset", "limit"),
    ),
    Metric(
        name="straight_rate",
        meaning="decay rate of the residual's part along y over that of the limit, of "
        "eigenvalue ŷᵀΘ∞ŷ/N",
        at="last",
        when=(needs.STRAIGHT, needs.LIMIT),
        needs=("network", "dataset", "limit"),
    ),
    Metric(
        name="limit_min",
        meaning="smallest eigenvalue of Θ∞/N",
        at="limit",
        when=(needs.LIMIT,),
        needs=("limit",),
    ),
    Metric(
        name="limit_max",
        meaning="largest eigenvalue of Θ∞/N",
        at="limit",
        when=(needs.LIMIT,),
        needs=("limit",),
    ),
    Metric(
        name="limit_min_ratio",
        meaning="smallest over largest",
        at="limit",
        when=(needs.LIMIT,),
        needs=("limit",),
    ),
    Metric(
        name="limit_rank",
        meaning="number of eigenvalues above 1e-10 of the largest",
        at="limit",
        when=(needs.LIMIT,),
        needs=("limit",),
    ),
    Metric(
        name="limit_eigenvalue",
        index=needs.EIGENVALUE,
        meaning=f"i-th eigenvalue of Θ∞/N, i up to {needs.FIRST}",
        at="limit",
        when=(needs.LIMIT,),
        needs=("limit",),
    ),
    Metric(
        name="limit_eigenvalue_ratio",
        index=needs.EIGENVALUE,
        meaning="the same over the first",
        at="limit",
        when=(needs.LIMIT,),
        needs=("limit",),
    ),
    Metric(
        name="limit_ntk_mode",
        index=needs.LIMIT_FREQUENCY,
        meaning="eigenvalue of cos kγ of the limit's NTK over N, k of "
        "`measure.frequencies` or 16 ≤ k ≤ N/16",
        at="limit",
        when=(needs.LIMIT, needs.EQUAL_ANGLES),
        needs=("limit",),
    ),
    Metric(
        name="limit_nngp_mode",
        index=needs.LIMIT_FREQUENCY,
        meaning="the same of its NNGP kernel",
        at="limit",
        when=(needs.LIMIT, needs.EQUAL_ANGLES),
        needs=("limit",),
    ),
)
