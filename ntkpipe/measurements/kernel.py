"""Change and spectrum of the kernel, and change of the hidden layers."""

from __future__ import annotations

import numpy as np

from ntkpipe.kernels import compare
from ntkpipe.kernels.compare import matrix
from ntkpipe.measurements import needs
from ntkpipe.measurements.group import Arrays, Group, Inputs, Values
from ntkpipe.measurements.metric import Metric
from ntkpipe.measurements.rates import slowest_rate

METRICS = (
    Metric(
        name="ntk_change",
        meaning="relative change of the kernel since initialisation, Frobenius norm",
        formula="‖Θ(t) − Θ(0)‖/‖Θ(0)‖",
        label="relative kernel change ‖Θ − Θ₀‖ / ‖Θ₀‖",
        at="snapshots",
        measures_change=True,
    ),
    Metric(
        name="nngp_change",
        meaning="relative change of the Σ part of Θ, the last layer's kernel",
        label="relative change of the Σ part of Θ",
        at="snapshots",
        when=(needs.HIDDEN_LAYERS, needs.LEARNED_OUTPUT),
        measures_change=True,
    ),
    Metric(
        name="ntk_rest_change",
        meaning="relative change of the rest of Θ, its Σ̇ part",
        label="relative change of the Σ̇ part of Θ",
        at="snapshots",
        when=(needs.HIDDEN_LAYERS, needs.LEARNED_OUTPUT),
        measures_change=True,
    ),
    Metric(
        name="ntk_cosine",
        meaning="cosine distance of the kernel from that at initialisation",
        formula="1 − ⟨Θ(t), Θ(0)⟩/(‖Θ(t)‖‖Θ(0)‖)",
        label="cosine distance of Θ from Θ₀",
        at="snapshots",
        measures_change=True,
    ),
    Metric(
        name="ntk_alignment",
        meaning="centred alignment of the kernel with the targets, in [−1, 1]",
        label="alignment of Θ with the labels",
        at="snapshots",
        needs=("network", "dataset"),
        recorded_with="ntk_min",
        missing_is_expected=True,  # for constant targets
    ),
    Metric(
        name="ntk_trace_ratio",
        meaning="trace of the kernel over that at initialisation",
        formula="tr Θ(t)/tr Θ(0)",
        label="tr Θ / tr Θ₀",
        at="snapshots",
    ),
    Metric(
        name="ntk_inflation",
        meaning="relative growth of the kernel's trace",
        formula="tr Θ(t)/tr Θ(0) − 1",
        label="kernel inflation tr Θ / tr Θ₀ − 1",
        at="snapshots",
        measures_change=True,
    ),
    Metric(
        name="ntk_limit_error",
        meaning="relative distance of the kernel from that of infinite width",
        formula="‖Θ − Θ∞‖/‖Θ∞‖",
        label="distance from the limit ‖Θ₀ − Θ∞‖ / ‖Θ∞‖",
        at="snapshots",
        when=(needs.LIMIT,),
        needs=("network", "limit"),
    ),
    Metric(
        name="ntk_pseudo_error",
        meaning="relative distance of the kernel from Θ_p ⊗ 1, Θ_p the kernel of "
        "Σ_i f_i/√k",
        formula="‖Θ − Θ_p ⊗ 1‖/‖Θ‖",
        at="snapshots",
        when=(needs.OUTPUTS,),
    ),
    Metric(
        name="feature_change",
        meaning="relative change of the last hidden layer",
        formula="‖h(t) − h(0)‖/‖h(0)‖",
        label="relative change of the last hidden layer",
        at="snapshots",
        when=(needs.HIDDEN_LAYERS,),
    ),
    Metric(
        name="feature_change",
        index=needs.HIDDEN_OF_BOTH,
        meaning="relative change of hidden layer l",
        label="relative change of hidden layer {}",
        at="snapshots",
        when=(needs.HIDDEN_LAYERS,),
    ),
    Metric(
        name="flips",
        index=needs.HIDDEN,
        meaning="share of units × points of hidden layer l whose activation changed "
        "sign",
        label="share of units × points that changed sign",
        at="snapshots",
        when=(needs.UNITS, needs.HIDDEN_LAYERS),
    ),
    Metric(
        name="neuron_move",
        meaning="largest movement of a unit of the first layer",
        formula="max_r ‖w_r − w_r(0)‖",
        label="largest movement of a unit of the first layer",
        at="snapshots",
        when=(needs.UNITS,),
    ),
    Metric(
        name="gradient_norm",
        meaning="norm of the gradient of the first output at the first training point",
        formula="‖∇h(x₀)‖",
        at="snapshots",
        when=(needs.CURVATURE,),
    ),
    Metric(
        name="hessian_norm",
        meaning="largest |eigenvalue| of the Hessian of the first output at the first "
        "training point",
        formula="‖∇²h(x₀)‖",
        at="snapshots",
        when=(needs.CURVATURE,),
    ),
    Metric(
        name="kappa",
        meaning="Hessian norm over squared gradient norm; 0 if the network is linear "
        "in its weights",
        formula="‖∇²h‖/‖∇h‖²",
        at="snapshots",
        when=(needs.CURVATURE,),
    ),
    Metric(
        name="ntk_min",
        meaning="smallest eigenvalue of H = Θ/N",
        formula="λ_min(H)",
        label="smallest eigenvalue of Θ/N",
        at="ends",
    ),
    Metric(
        name="loss_rate",
        meaning="smallest mean decay rate of the loss up to any step, over λ_min of "
        "H(w₀)",
        formula="inf_t log(L(0)/L(t))/(λ_min t)",
        at="last",
        missing_is_expected=True,  # where nothing is trained
    ),
    Metric(
        name="ntk_max",
        meaning="largest eigenvalue of H",
        formula="λ_max(H)",
        label="largest eigenvalue of Θ/N",
        at="ends",
    ),
    Metric(
        name="ntk_condition",
        meaning="condition number of the kernel; no value if `singular` is 1",
        formula="λ_max/λ_min",
        label="condition number of Θ",
        at="ends",
        recorded_with="ntk_min",
        missing_is_expected=True,
    ),
    Metric(
        name="learning_rate_relative",
        meaning="learning rate over the largest stable one: gradient descent is stable "
        "below 1",
        formula="η·λ_max(H)/2",
        at="ends",
    ),
)
SLICE_METRICS = (
    Metric(
        name="kernel_at",
        index=needs.TEST_POINT,
        meaning="kernel of two test points, x₀ the first of `measure.kernel_at`",
        formula="Θ(x₀, x_i)",
        at="ends",
        when=(needs.KERNEL_AT,),
    ),
)


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def kernels(
    network: Arrays,
    data: Arrays,
    limit: Arrays | None,
    learning_rate: float,
    learned_output: bool = True,
) -> Values:
    """Change and spectrum of the kernel: metric → (steps, values (s steps)).

    Args:
        network: the arrays of a trajectory.
        data: training points and targets.
        limit: infinite-width kernels, if computed.
        learning_rate: η, divided by the largest stable one.
        learned_output: whether the last layer is learned, so that Σ is a part of Θ.
    """
    ntk, snapshot = network["ntk"], network["snapshot"]
    theta = matrix(ntk)
    start = theta[:, :1]
    k = ntk.shape[-1]
    trace = np.trace(theta, axis1=-2, axis2=-1)
    points = len(data["x_train"])
    ends = [0] if len(snapshot) == 1 else [0, -1]
    low, high = compare.extreme_eigenvalues(finite(theta[:, ends]) / points)
    # no condition number if Θ is singular up to rounding
    rounding = theta.shape[-1] * np.finfo(ntk.dtype).eps
    regular = low > rounding * high
    metrics = {
        "ntk_change": compare.relative_change(start, theta),
        "ntk_cosine": compare.cosine_distance(start, theta),
        "ntk_trace_ratio": trace / trace[:, :1],
        "ntk_inflation": trace / trace[:, :1] - 1,
        "ntk_alignment": compare.alignment(compare.traced(ntk), data["y_train"]),
    }
    if "nngp" in network:
        metrics["feature_change"] = network["feature_change"][..., -1]
    if "nngp" in network and learned_output:
        # the Σ part is the last layer's kernel ⊗ 1_k; the Σ̇ part is the rest
        sigma = np.einsum("spnm,ij->spnimj", network["nngp"], np.eye(k))
        sigma = sigma.reshape(theta.shape)
        metrics["nngp_change"] = compare.relative_change(sigma[:, :1], sigma)
        metrics["ntk_rest_change"] = compare.relative_change(
            (theta - sigma)[:, :1], theta - sigma
        )
    at_ends = {
        "ntk_min": low,
        "ntk_max": high,
        "ntk_condition": np.where(regular, high / low, np.nan),
        "learning_rate_relative": learning_rate * high / 2,
    }
    if k > 1:
        metrics["ntk_pseudo_error"] = pseudo_error(ntk)
    metrics |= _of_layers(network, "flips")
    if "neuron_move" in network:
        metrics["neuron_move"] = network["neuron_move"]
    metrics |= _of_layers(network, "feature_change")
    if "gradient_norm" in network:
        metrics["gradient_norm"] = network["gradient_norm"]
        metrics["hessian_norm"] = network["hessian_norm"]
        metrics["kappa"] = network["hessian_norm"] / network["gradient_norm"] ** 2
    if limit is not None:
        infinite = limit["ntk_train_train"]
        metrics["ntk_limit_error"] = compare.relative_change(
            infinite, compare.traced(ntk)
        )
    result = {name: (snapshot, values) for name, values in metrics.items()}
    return result | {name: (snapshot[ends], v) for name, v in at_ends.items()}


def loss_rate(network: Arrays, theta: np.ndarray, learning_rate: float) -> Values:
    """The slowest decay of the loss over λ_min(H), while a network is trained.

    Args:
        network: the arrays of a trajectory.
        theta: kernels (s n n) over N, one for each network or one for all.
        learning_rate: η.
    """
    step = network["step"]
    loss = np.where(step <= network["stop_step"][:, None], network["loss"], 0)
    least = np.broadcast_to(compare.extreme_eigenvalues(theta)[0], len(loss))
    slowest = slowest_rate(learning_rate * step, loss, least)
    return {"loss_rate": (step[-1:], slowest[:, None])}


def _of_layers(network: Arrays, name: str) -> dict[str, np.ndarray]:
    """An array (s p l) as one metric for each layer, if it was recorded."""
    if name not in network:
        return {}
    values = network[name]
    return {f"{name}/{i + 1}": values[..., i] for i in range(values.shape[-1])}


def pseudo_error(ntk: np.ndarray) -> np.ndarray:
    """‖Θ − Θ_p ⊗ 1‖/‖Θ‖, Θ_p = Σ_ij Θ_ij/k the kernel of Σ_i f_i/√k, (… n k n k) → (…).

    Source: Mohamadi, Bae & Sutherland 2023, the pseudo-NTK.
    """
    k = ntk.shape[-1]
    pseudo = np.einsum("...nimj->...nm", ntk) / k
    approximation = np.einsum("...nm,ij->...nimj", pseudo, np.eye(k))
    return compare.relative_change(matrix(ntk), matrix(approximation))


def finite(a: np.ndarray) -> np.ndarray:
    """Kernels that are not finite, of diverged networks, as zeros; they get no rows."""
    return np.where(np.isfinite(a).all((-2, -1), keepdims=True), a, 0)


def kernel_slice(network: Arrays, points: tuple[int, ...]) -> Values:
    """Θ(x₀, x_i) of test points before and after training; x₀ is the first of them.

    Raises:
        ValueError: an index is not below the number of test points.
    """
    if max(points) >= (count := network["ntk_test"].shape[2]):
        raise ValueError(
            f"measure.kernel_at: no test point {max(points)}: there are {count}, "
            "counted from 0"
        )
    theta = network["ntk_test"][:, :, points[0], 0, :, 0]
    ends = network["step"][[0, -1]]
    return {f"kernel_at/{i}": (ends, theta[..., i]) for i in points}


def _kernels(inputs: Inputs) -> Values:
    e = inputs.e
    learned, rate = e.model.learned_output, e.training.learning_rate
    start = finite(matrix(inputs.network["ntk"])[:, 0]) / len(inputs.data["x_train"])
    return kernels(
        inputs.network, inputs.data, inputs.limit, rate, learned
    ) | loss_rate(inputs.network, start, rate)


GROUP = Group(METRICS, _kernels)
SLICE = Group(
    SLICE_METRICS,
    lambda inputs: kernel_slice(inputs.network, inputs.e.measure.kernel_at),
)
