"""Comparison of networks with the infinitely wide network, and its own spectrum."""

from __future__ import annotations

import numpy as np

from ntkpipe.measurements import needs
from ntkpipe.measurements.group import Arrays, Group, Inputs, Values
from ntkpipe.measurements.kernel import loss_rate
from ntkpipe.measurements.metric import Metric
from ntkpipe.measurements.predictions import gaps, loss_error
from ntkpipe.measurements.rates import decay_rate, limit_rate
from ntkpipe.training.loss import SQUARED

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
        meaning="the same distance over test points",
        at="last",
        when=(needs.LIMIT,),
        needs=("network", "dataset", "limit"),
    ),
    Metric(
        name="limit_loss_rate",
        meaning="smallest mean decay rate of the loss up to any step, over λ_min of "
        "Θ∞/N",
        formula="inf_t log(L(0)/L(t))/(λ_min t)",
        at="last",
        when=(needs.LIMIT,),
        needs=("network", "limit"),
        missing_is_expected=True,  # where nothing is trained
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
)
STRAIGHT_METRICS = (
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
        name="straight_excess",
        meaning="`straight_rate` − 1",
        label="rate over that of the limit, less 1",
        at="last",
        when=(needs.STRAIGHT, needs.LIMIT),
        needs=("network", "dataset", "limit"),
    ),
)
SCORE_METRICS = (
    Metric(
        name="limit_z",
        index=needs.LIMIT_POINT,
        meaning="standardised output at test point i, μ and σ of the limit",
        formula="(f(x_i) − μ_i)/σ_i",
        at="last",
        when=(needs.LIMIT_POINTS, needs.LIMIT),
        needs=("network", "limit"),
    ),
)
LIMIT_METRICS = (
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
        meaning="smallest eigenvalue of Θ∞ over the largest",
        at="limit",
        when=(needs.LIMIT,),
        needs=("limit",),
    ),
    Metric(
        name="limit_rank",
        meaning="number of eigenvalues of Θ∞ above 1e-10 of the largest",
        at="limit",
        when=(needs.LIMIT,),
        needs=("limit",),
    ),
    Metric(
        name="limit_eigenvalue",
        index=needs.EIGENVALUE,
        meaning=f"i-th eigenvalue of Θ∞/N, i up to {needs.FIRST}; a seed is a draw of "
        "the data, see `measure.limit_draws`",
        at="limit",
        when=(needs.LIMIT,),
        needs=("limit",),
    ),
    Metric(
        name="limit_eigenvalue_ratio",
        index=needs.EIGENVALUE,
        meaning="i-th eigenvalue of Θ∞ over the first",
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
        meaning="eigenvalue of cos kγ of the limit's NNGP kernel over N",
        at="limit",
        when=(needs.LIMIT, needs.EQUAL_ANGLES),
        needs=("limit",),
    ),
)


def limit_dynamics(
    network: Arrays, data: Arrays, limit: Arrays, learning_rate: float, flow: bool
) -> dict[str, np.ndarray]:
    """The infinite-width dynamics of each network's outputs, starting at f(w₀)."""
    from ntkpipe.kernels import linear

    kernel = limit["ntk_train_train"][:, None, :, None]
    test = limit["ntk_test_train"][:, None, :, None]
    rows = [
        linear.predict(
            kernel,
            f_train,
            data["y_train"],
            network["step"],
            learning_rate,
            flow=flow,
            ntk_test=test,
            f0_test=f_test,
        )
        for f_train, f_test in zip(
            network["f_train"][:, 0], network["f_test"][:, 0], strict=True
        )
    ]
    return {
        "f_train": np.stack([r.f_train for r in rows]),
        "f_test": np.stack([r.f_test for r in rows]),
    }


def along_target(f: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """|g| and ‖h‖ of the residual f − y = g ŷ + h, h ⊥ ŷ = y/‖y‖: (… n k) → (…).

    Root mean squares over points: |ŷ·(f − y)|/√N and ‖h‖/√N.
    """
    residual = (f - y).reshape(*f.shape[:-2], -1)
    unit = y.ravel() / np.linalg.norm(y)
    along = residual @ unit
    across = residual - along[..., None] * unit
    root = np.sqrt(len(y))
    return np.abs(along) / root, np.linalg.norm(across, axis=-1) / root


def straight(
    network: Arrays, data: Arrays, limit: Arrays, learning_rate: float, flow: bool
) -> Values:
    """Whether f(t) follows the segment 0 → y, as it does if y is an eigenvector of Θ∞.

    `straight_gap` is sup_t ‖h_t‖. `straight_rate` is the decay rate of |g_t| over the
    rate of the limit for the eigenvalue ŷᵀΘ_∞ŷ/N; it exceeds 1 by `straight_excess`.
    Source: Jacot et al. 2018, figure 3.
    """
    step, y = network["step"], data["y_train"]
    along, across = along_target(network["f_train"], y)
    ran = step <= network["stop_step"][:, None]
    value = np.sum(y * (limit["ntk_train_train"] @ y)) / np.sum(y**2) / len(y)
    ratio = decay_rate(learning_rate * step, along) / limit_rate(
        value, learning_rate, flow
    )
    last = step[-1:]
    return {
        "straight_gap": (last, np.where(ran, across, 0).max(1, keepdims=True)),
        "straight_rate": (last, ratio[:, None]),
        "straight_excess": (last, ratio[:, None] - 1),
    }


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def against_limit(network: Arrays, limit: Arrays, count: int) -> Values:
    """z = (f(x_i) − μ_i)/σ_i of trained networks at `count` test points.

    μ and σ are those of infinitely wide networks at the last step.
    """
    chosen = needs.spread(network["f_test"].shape[2], count)
    mean, sd = limit["mean_test"][-1, :, 0], limit["sd_test"][-1]
    z = (network["f_test"][:, -1, :, 0] - mean) / sd
    last = network["step"][-1:]
    return {f"limit_z/{i}": (last, z[:, i : i + 1]) for i in chosen}


# a kernel of zeros has no ratio of eigenvalues; `table.of_limit` counts the missing one
@np.errstate(divide="ignore", invalid="ignore")
def infinite(
    limit: Arrays, on_circle: bool, chosen: tuple[int, ...] = ()
) -> dict[str, float | np.ndarray]:
    """Spectra of the infinite-width kernels: metric → value, or (r,) of all draws.

    At equal angles the kernels are circulant, and their eigenvalues are the discrete
    Fourier transform of a row. The eigenvalue of cos kγ is `limit_ntk_mode/k`, for the
    chosen frequencies k, by default the asymptotic ones of `needs.limit_frequencies`.
    """
    theta = limit["ntk_train_train"]
    values = np.linalg.eigvalsh(theta)
    found: dict[str, float | np.ndarray] = {
        "limit_min": values[0] / len(theta),
        "limit_max": values[-1] / len(theta),
        "limit_min_ratio": values[0] / values[-1],
        "limit_rank": float((values > 1e-10 * values[-1]).sum()),
    }
    largest = values[::-1][: needs.FIRST] / len(theta)
    drawn = limit.get("eigenvalues", largest[None])  # (r e)
    for i, value in enumerate(drawn.T, 1):
        found[f"limit_eigenvalue/{i}"] = value
        found[f"limit_eigenvalue_ratio/{i}"] = value / drawn[:, 0]
    if on_circle:
        frequencies = needs.limit_frequencies(chosen, len(theta))
        for name in ("ntk", "nngp"):
            row = limit[f"{name}_train_train"][0]
            modes_ = np.fft.rfft(row).real / len(row)
            found |= {f"limit_{name}_mode/{k}": modes_[k] for k in frequencies}
    return found


def _against_limit(inputs: Inputs) -> Values:
    assert inputs.limit is not None  # `when` asks for it
    e, y = inputs.e, inputs.data["y_train"]
    rate, flow = e.training.learning_rate, e.limit == "flow"
    found = limit_dynamics(inputs.network, inputs.data, inputs.limit, rate, flow)
    values = gaps(inputs.network, found, "limit")
    infinite = inputs.limit["ntk_train_train"]
    slowest = loss_rate(inputs.network, infinite[None] / len(infinite), rate)
    values["limit_loss_rate"] = slowest["loss_rate"]
    if e.measure.loss_error:
        predicted = SQUARED.value(found["f_train"], y)
        values |= loss_error(inputs.network, predicted, "limit")
    return values


def _straight(inputs: Inputs) -> Values:
    assert inputs.limit is not None  # `when` asks for it
    rate, flow = inputs.e.training.learning_rate, inputs.e.limit == "flow"
    return straight(inputs.network, inputs.data, inputs.limit, rate, flow)


def _scores(inputs: Inputs) -> Values:
    assert inputs.limit is not None  # `when` asks for it
    return against_limit(inputs.network, inputs.limit, inputs.e.measure.limit_points)


GAPS = Group(METRICS, _against_limit)
STRAIGHT = Group(STRAIGHT_METRICS, _straight)
SCORES = Group(SCORE_METRICS, _scores)
