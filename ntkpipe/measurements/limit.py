"""Comparison of networks with the infinitely wide network, and spectra of the limit."""

from __future__ import annotations

from functools import partial

import numpy as np

from ntkpipe.measurements.kernel import loss_rate
from ntkpipe.measurements.linear import LINEARIZE
from ntkpipe.measurements.predictions import LOSS_ERROR, gaps, loss_error
from ntkpipe.measurements.rates import decay_rate, limit_rate
from ntkpipe.metric import (
    LIMIT,
    SQUARES,
    Arrays,
    Group,
    Index,
    Inputs,
    Metric,
    Need,
    Values,
    given,
)
from ntkpipe.training.losses.squared import SQUARED
from ntkpipe.training.protocol import Training

FIRST = 5  # number of the largest eigenvalues of the limit kernel that are metrics


def spread(points: int, count: int) -> np.ndarray:
    """`count` equally spaced indices of points, including the first and last."""
    return np.unique(np.round(np.linspace(0, points - 1, count)).astype(int))


def limit_frequencies(chosen: tuple[int, ...], points: int) -> tuple[int, ...]:
    """Frequencies k of `limit_ntk_mode/k`, `limit_nngp_mode/k`; default 16 … N/16."""
    return tuple(chosen) or tuple(range(16, points // 16 + 1))


def _points(e) -> np.ndarray | None:
    sizes = e.dataset.stated_sizes
    return sizes and spread(sizes.test, e.measure.limit_points)


def _frequencies(e) -> tuple[int, ...]:
    # points at equal angles are never a user's file, so their number is known
    return limit_frequencies(e.measure.frequencies, e.dataset.stated_sizes.train)


EQUAL_ANGLES = Need(
    lambda e: e.dataset.equal_angles, "training points at equal angles of the circle"
)
FOLLOWS_TARGET = (given("measure.straightness"), SQUARES, LIMIT)
EIGENVALUE = Index("i", lambda e: range(1, FIRST + 1))
FREQUENCY = Index("k", _frequencies)
_last = partial(Metric, at="last", when=(LIMIT,))
_limit = partial(Metric, at="limit", when=(LIMIT,))
METRICS = (
    _last(
        "limit_gap",
        "largest distance from the infinite-width dynamics with the same outputs at "
        "t = 0, root mean square over training points",
        "sup_t ‖f − f∞‖/√(Nk)",
        label="gap to the infinite-width dynamics, sup over t",
    ),
    _last(
        "limit_gap_test",
        "the same distance over the M test points",
        "sup_t ‖f − f∞‖/√(Mk)",
    ),
    _last(
        "limit_loss_rate",
        "smallest mean decay rate of the loss up to any step, over λ_min of Θ∞/N",
        "inf_t log(L(0)/L(t))/(λ_min t)",
        when=(LIMIT, SQUARES),
        missing_is_expected=True,  # where nothing is trained
    ),
    _last(
        "limit_loss_error",
        "largest relative error of the infinite width's ‖u‖, u = f − y, while the "
        "loss is above 1e-3 of its start",
        "sup_t |‖u‖/‖u∞‖ − 1|",
        when=(LIMIT, *LOSS_ERROR),
    ),
)
STRAIGHTNESS_METRICS = (
    _last(
        "straight_gap",
        "largest part of the residual across y, root mean square over points",
        "sup_t ‖h‖/√N, f − y = g ŷ + h",
        when=FOLLOWS_TARGET,
    ),
    _last(
        "straight_rate",
        "decay rate of the residual's part along y over that of the limit, of "
        "eigenvalue ŷᵀΘ∞ŷ/N",
        "γ/(ŷᵀΘ∞ŷ/N) for g ~ e^(−γt)",
        when=FOLLOWS_TARGET,
    ),
    _last(
        "straight_excess",
        "`straight_rate` − 1",
        label="rate over that of the limit, less 1",
        when=FOLLOWS_TARGET,
    ),
)
SCORED = (given("measure.limit_points"), SQUARES, LIMIT)
SCORE_METRICS = (
    _last(
        "limit_z",
        "standardised output at test point i, μ and σ of the limit",
        "(f(x_i) − μ_i)/σ_i",
        index=Index("i", _points),
        when=SCORED,
    ),
    _last(
        "limit_z_linear",
        "the same of the network's own linearised model",
        "(f_lin(x_i) − μ_i)/σ_i",
        index=Index("i", _points),
        when=(*SCORED, LINEARIZE),
    ),
    _last(
        "limit_z_mean",
        "the same of the linearised model that starts at zero output: its mean over "
        "networks is that of `limit_z_linear`, as f(w₀) and −f(w₀) are equally likely",
        "(f_lin(x_i) − μ_i)/σ_i, f(w₀) = 0",
        index=Index("i", _points),
        when=(*SCORED, LINEARIZE),
    ),
    _last(
        "limit_z_gap",
        "trained less linearised output at test point i, over the spread of the limit",
        "(f(x_i) − f_lin(x_i))/σ_i",
        index=Index("i", _points),
        when=(*SCORED, LINEARIZE),
    ),
)
LIMIT_METRICS = (
    _limit("limit_min", "smallest eigenvalue of Θ∞/N", "λ_min(Θ∞/N)"),
    _limit("limit_max", "largest eigenvalue of Θ∞/N", "λ_max(Θ∞/N)"),
    _limit(
        "limit_min_ratio",
        "smallest eigenvalue of Θ∞ over the largest",
        "λ_min(Θ∞)/λ_max(Θ∞)",
    ),
    _limit("limit_rank", "number of eigenvalues of Θ∞ above 1e-10 of the largest"),
    _limit(
        "limit_eigenvalue",
        f"i-th eigenvalue of Θ∞/N, i up to {FIRST}; a seed is a draw of the data, see "
        "`measure.limit_draws`",
        "λ_i(Θ∞/N)",
        index=EIGENVALUE,
    ),
    _limit(
        "limit_eigenvalue_ratio",
        "i-th eigenvalue of Θ∞ over the first",
        "λ_i(Θ∞)/λ_1(Θ∞)",
        index=EIGENVALUE,
    ),
    _limit(
        "limit_ntk_mode",
        "eigenvalue of cos kγ of the limit's NTK over N, k of `measure.frequencies` "
        "or 16 ≤ k ≤ N/16",
        index=FREQUENCY,
        when=(LIMIT, EQUAL_ANGLES),
    ),
    _limit(
        "limit_nngp_mode",
        "eigenvalue of cos kγ of the limit's NNGP kernel over N",
        index=FREQUENCY,
        when=(LIMIT, EQUAL_ANGLES),
    ),
)


def limit_dynamics(
    network: Arrays, data: Arrays, limit: Arrays, training: Training, flow: bool
) -> dict[str, np.ndarray]:
    """The infinite-width dynamics of each network's outputs, starting at f(w₀)."""
    from ntkpipe.training import function_space

    kernel = limit["ntk_train_train"][:, None, :, None]
    test = limit["ntk_test_train"][:, None, :, None]
    rows = [
        function_space.train(
            training,
            kernel,
            f_train,
            data["y_train"],
            network["step"],
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
        "f_test": np.stack([np.asarray(r.f_test) for r in rows]),
    }


def along_target(f: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """|g| and ‖h‖ of the residual f − y = g ŷ + h, h ⊥ ŷ = y/‖y‖: (… n k) → (…).

    The targets y are (n k), or (… n k) with axes that fit those of f.

    Root mean squares over points: |ŷ·(f − y)|/√N and ‖h‖/√N.
    """
    residual = (f - y).reshape(*f.shape[:-2], -1)
    unit = y.reshape(*y.shape[:-2], -1)
    unit = unit / np.linalg.norm(unit, axis=-1, keepdims=True)
    along = (residual * unit).sum(-1)
    across = residual - along[..., None] * unit
    root = np.sqrt(y.shape[-2])
    return np.abs(along) / root, np.linalg.norm(across, axis=-1) / root


def straightness(
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


def from_zero(
    network: Arrays, data: Arrays, learning_rate: float, flow: bool
) -> np.ndarray:
    """Test outputs A y of linearised models with f(w₀) = 0 at the last step, (s m k).

    A = Θ(x, X)Θ(X, X)⁻¹(I − e^{−Θt/N}) under gradient flow, Θ of each network.
    """
    from ntkpipe.kernels import linear

    y, m = data["y_train"], network["f_test"].shape[2]
    rows = [
        linear.predict(
            kernel,
            np.zeros(y.shape),
            y,
            network["step"][-1:],
            learning_rate,
            flow=flow,
            ntk_test=test,
            f0_test=np.zeros((m, y.shape[1])),
        ).f_test[0]
        for kernel, test in zip(
            network["ntk"][:, 0], network["ntk_test_train"][:, 0], strict=True
        )
    ]
    return np.stack(rows)


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def against_limit(
    outputs: dict[str, np.ndarray], step: np.ndarray, limit: Arrays, count: int
) -> Values:
    """z = (f(x_i) − μ_i)/σ_i at `count` test points, of outputs (s m k) by metric.

    μ and σ are those of infinitely wide networks at the last step.
    """
    mean, sd = limit["mean_test"][-1, :, 0], limit["sd_test"][-1]
    return {
        f"{name}/{i}": (step[-1:], ((f[..., 0] - mean) / sd)[:, [i]])
        for name, f in outputs.items()
        for i in spread(f.shape[1], count)
    }


# a kernel of zeros has no ratio of eigenvalues; `table.of_limit` counts missing values
@np.errstate(divide="ignore", invalid="ignore")
def infinite(
    limit: Arrays, on_circle: bool, chosen: tuple[int, ...] = ()
) -> dict[str, float | np.ndarray]:
    """Spectra of the infinite-width kernels: metric → value, or (r,) values of r draws.

    At equal angles the kernels are circulant, and their eigenvalues are the discrete
    Fourier transform of a row. `limit_ntk_mode/k` is the eigenvalue of cos kγ for the
    chosen frequencies k, by default those of `limit_frequencies`.
    """
    theta = limit["ntk_train_train"]
    values = np.linalg.eigvalsh(theta)
    found: dict[str, float | np.ndarray] = {
        "limit_min": values[0] / len(theta),
        "limit_max": values[-1] / len(theta),
        "limit_min_ratio": values[0] / values[-1],
        "limit_rank": float((values > 1e-10 * values[-1]).sum()),
    }
    largest = values[::-1][:FIRST] / len(theta)
    drawn = limit.get("eigenvalues", largest[None])  # (r e)
    for i, value in enumerate(drawn.T, 1):
        found[f"limit_eigenvalue/{i}"] = value
        found[f"limit_eigenvalue_ratio/{i}"] = value / drawn[:, 0]
    if on_circle:
        frequencies = limit_frequencies(chosen, len(theta))
        for name in ("ntk", "nngp"):
            row = limit[f"{name}_train_train"][0]
            modes_ = np.fft.rfft(row).real / len(row)
            found |= {f"limit_{name}_mode/{k}": modes_[k] for k in frequencies}
    return found


def _against_limit(inputs: Inputs) -> Values:
    assert inputs.limit is not None  # required by `when`
    e, y = inputs.e, inputs.data["y_train"]
    rate, flow = e.training.learning_rate, e.limit == "flow"
    found = limit_dynamics(inputs.network, inputs.data, inputs.limit, e.training, flow)
    values = gaps(inputs.network, found, "limit")
    if SQUARES.met(e):
        infinite = inputs.limit["ntk_train_train"]
        slowest = loss_rate(inputs.network, infinite[None] / len(infinite), rate)
        values["limit_loss_rate"] = slowest["loss_rate"]
    if e.measure.loss_error:
        predicted = SQUARED.value(found["f_train"], y)
        values |= loss_error(inputs.network, predicted, "limit")
    return values


def _straightness(inputs: Inputs) -> Values:
    assert inputs.limit is not None  # required by `when`
    rate, flow = inputs.e.training.learning_rate, inputs.e.limit == "flow"
    return straightness(inputs.network, inputs.data, inputs.limit, rate, flow)


def _scores(inputs: Inputs) -> Values:
    assert inputs.limit is not None  # required by `when`
    e, network, model = inputs.e, inputs.network, inputs.linearized
    outputs = {"limit_z": network["f_test"][:, -1]}
    if model is not None:
        rate, flow = e.training.learning_rate, e.linearize == "flow"
        outputs["limit_z_linear"] = model["f_test"][:, -1]
        outputs["limit_z_mean"] = from_zero(network, inputs.data, rate, flow)
    count, step = e.measure.limit_points, network["step"]
    values = against_limit(outputs, step, inputs.limit, count)
    if model is not None:
        for i in spread(network["f_test"].shape[2], count):
            z, linear = values[f"limit_z/{i}"][1], values[f"limit_z_linear/{i}"][1]
            values[f"limit_z_gap/{i}"] = step[-1:], z - linear
    return values


GAPS = Group(METRICS, _against_limit)
STRAIGHTNESS = Group(STRAIGHTNESS_METRICS, _straightness)
SCORES = Group(SCORE_METRICS, _scores)
