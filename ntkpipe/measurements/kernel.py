"""Change and spectrum of the kernel, and change of the hidden layers."""

from __future__ import annotations

from functools import partial

import numpy as np

from ntkpipe.kernels import compare
from ntkpipe.kernels.compare import matrix
from ntkpipe.measurements.rates import slowest_rate
from ntkpipe.metric import (
    DESCENT,
    HIDDEN_LAYERS,
    LIMIT,
    SQUARES,
    Arrays,
    Group,
    Index,
    Inputs,
    Metric,
    Need,
    Values,
)
from ntkpipe.models.base import TWINS


def _several(e) -> bool:
    sizes = e.dataset.stated_sizes
    return e.training.kernel == "full" and (sizes is None or sizes.outputs > 1)


SIGMA = (
    HIDDEN_LAYERS,
    Need(
        lambda e: e.model.learned_output,
        "a last layer that is learned and linear",
    ),
)
ALL_OUTPUTS = Need(
    lambda e: (
        e.training.kernel == "full"
        or getattr(e.dataset.stated_sizes, "outputs", 1) == 1
    ),
    "`training.kernel: full`",
)
OUTPUTS = Need(_several, "two outputs or more and `training.kernel: full`")
BOUNDED = Need(
    lambda e: e.training.loss.curvature is not None,
    "a `training.loss` with a known bound c: not `kind: python`",
)
# the layers of the second twin follow those of the first
HIDDEN_OF_BOTH = Index(
    "l",
    lambda e: range(1, e.model.depth * (1 + (e.model.zero_output in TWINS)) + 1),
)
_snapshots = partial(Metric, at="snapshots")
_change = partial(Metric, at="snapshots", measures_change=True)
_ends = partial(Metric, at="ends")
METRICS = (
    _change(
        "ntk_change",
        "relative change of the kernel since initialisation, Frobenius norm",
        "‖Θ(t) − Θ(0)‖/‖Θ(0)‖",
        label="relative kernel change ‖Θ − Θ₀‖ / ‖Θ₀‖",
    ),
    _change(
        "nngp_change",
        "relative change of the Σ part of Θ, the last layer's kernel",
        "‖Σ(t) − Σ(0)‖/‖Σ(0)‖",
        label="relative change of the Σ part of Θ",
        when=SIGMA,
    ),
    _change(
        "ntk_rest_change",
        "relative change of the rest of Θ, its Σ̇ part",
        "‖Σ̇(t) − Σ̇(0)‖/‖Σ̇(0)‖",
        label="relative change of the Σ̇ part of Θ",
        when=SIGMA,
    ),
    _change(
        "ntk_rest_drop",
        "relative decrease of the Σ̇ part along the targets",
        "1 − yᵀΣ̇(t)y/yᵀΣ̇(0)y",
        when=(*SIGMA, ALL_OUTPUTS),
        missing_is_expected=True,  # for targets of zero
    ),
    _change(
        "ntk_cosine",
        "cosine distance of the kernel from that at initialisation",
        "1 − ⟨Θ(t), Θ(0)⟩/(‖Θ(t)‖‖Θ(0)‖)",
        label="cosine distance of Θ from Θ₀",
    ),
    _snapshots(
        "ntk_alignment",
        "centred alignment of the kernel with the targets, in [−1, 1]; C removes means",
        "⟨CΘC, CyyᵀC⟩/(‖CΘC‖‖CyyᵀC‖), C = 1 − 11ᵀ/N",
        label="alignment of Θ with the labels",
        recorded_with="ntk_min",
        missing_is_expected=True,  # for constant targets
    ),
    _snapshots(
        "ntk_trace_ratio",
        "trace of the kernel over that at initialisation",
        "tr Θ(t)/tr Θ(0)",
        label="tr Θ / tr Θ₀",
    ),
    _change(
        "ntk_inflation",
        "relative growth of the kernel's trace",
        "tr Θ(t)/tr Θ(0) − 1",
        label="kernel inflation tr Θ / tr Θ₀ − 1",
    ),
    _snapshots(
        "ntk_limit_error",
        "relative distance of the kernel from that of infinite width",
        "‖Θ − Θ∞‖/‖Θ∞‖",
        label="distance from the limit ‖Θ₀ − Θ∞‖ / ‖Θ∞‖",
        when=(LIMIT,),
    ),
    _snapshots(
        "ntk_pseudo_error",
        "relative distance of the kernel from Θ_p ⊗ 1, Θ_p the kernel of Σ_i f_i/√k",
        "‖Θ − Θ_p ⊗ 1‖/‖Θ‖",
        when=(OUTPUTS,),
    ),
    _snapshots(
        "feature_change",
        "relative change of the last hidden layer",
        "‖h(t) − h(0)‖/‖h(0)‖",
        label="relative change of the last hidden layer",
        when=(HIDDEN_LAYERS,),
    ),
    _snapshots(
        "feature_change",
        "relative change of hidden layer l",
        "‖h_l(t) − h_l(0)‖/‖h_l(0)‖",
        index=HIDDEN_OF_BOTH,
        label="relative change of hidden layer {}",
        when=(HIDDEN_LAYERS,),
    ),
    _ends(
        "ntk_min",
        "smallest eigenvalue of H = Θ/N",
        "λ_min(H)",
        label="smallest eigenvalue of Θ/N",
    ),
    Metric(
        "loss_rate",
        "smallest mean decay rate of the loss up to any step, over λ_min of H(w₀)",
        "inf_t log(L(0)/L(t))/(λ_min t)",
        at="last",
        when=(SQUARES, DESCENT),
        missing_is_expected=True,  # where nothing is trained
    ),
    _ends(
        "ntk_max",
        "largest eigenvalue of H",
        "λ_max(H)",
        label="largest eigenvalue of Θ/N",
    ),
    _ends(
        "ntk_condition",
        "condition number of the kernel; no value if `singular` is 1",
        "λ_max/λ_min",
        label="condition number of Θ",
        recorded_with="ntk_min",
        missing_is_expected=True,
    ),
    _ends(
        "learning_rate_relative",
        "learning rate over the largest stable one: gradient descent is stable below "
        "1; λ is the weight decay, and c is 1, ½ for cross_entropy and ¼ for logistic; "
        "above 1 only the squared loss is sure to be unstable",
        "η·(c·λ_max(H) + λ)/2",
        when=(BOUNDED,),
    ),
)


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def kernels(
    network: Arrays,
    data: Arrays,
    limit: Arrays | None,
    learning_rate: float,
    learned_output: bool = True,
    curvature: float | None = 1.0,
    weight_decay: float = 0.0,
) -> Values:
    """Change and spectrum of the kernel: metric → (steps, values (s steps)).

    Args:
        network: the arrays of a trajectory.
        data: training points and targets.
        limit: infinite-width kernels, if computed.
        learning_rate: η.
        learned_output: whether the last layer is learned, so that Σ is a part of Θ.
        curvature: the largest second derivative of the loss in the outputs, if known.
        weight_decay: λ of the penalty on the weights.
    """
    ntk, snapshot = network["ntk"], network["snapshot"]
    theta = matrix(ntk)
    start = theta[:, :1]
    k = ntk.shape[-1]
    trace = np.trace(theta, axis1=-2, axis2=-1)
    points = data["x_train"].shape[-2]
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
        change = network["feature_change"]
        metrics["feature_change"] = change[..., -1]
        for i in range(change.shape[-1]):
            metrics[f"feature_change/{i + 1}"] = change[..., i]
    if "nngp" in network and learned_output:
        metrics |= parts(theta, network["nngp"], data["y_train"])
    at_ends = {
        "ntk_min": low,
        "ntk_max": high,
        "ntk_condition": np.where(regular, high / low, np.nan),
    }
    if curvature is not None:
        steepest = curvature * high + weight_decay
        at_ends["learning_rate_relative"] = learning_rate * steepest / 2
    if k > 1:
        metrics["ntk_pseudo_error"] = pseudo_error(ntk)
    if limit is not None:
        infinite = limit["ntk_train_train"]
        metrics["ntk_limit_error"] = compare.relative_change(
            infinite, compare.traced(ntk)
        )
    result = {name: (snapshot, values) for name, values in metrics.items()}
    return result | {name: (snapshot[ends], v) for name, v in at_ends.items()}


def parts(theta: np.ndarray, nngp: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """Changes of the Σ part of Θ, the last layer's kernel ⊗ 1_k, and of the Σ̇ part.

    Args:
        theta: kernels as matrices, (s p n·k n·k).
        nngp: Σ, (s p n n).
        y: targets, (n k) of all networks or (s 1 n k) of each.
    """
    k = theta.shape[-1] // nngp.shape[-1]
    sigma = np.einsum("spnm,ij->spnimj", nngp, np.eye(k)).reshape(theta.shape)
    rest, target = theta - sigma, y.reshape(*y.shape[:-2], -1)
    found = {
        "nngp_change": compare.relative_change(sigma[:, :1], sigma),
        "ntk_rest_change": compare.relative_change(rest[:, :1], rest),
    }
    # not if the kernel of several outputs is traced
    if target.shape[-1] == rest.shape[-1]:
        along = (target * (rest @ target[..., None])[..., 0]).sum(-1)
        found["ntk_rest_drop"] = 1 - along / along[:, :1]
    return found


def loss_rate(network: Arrays, theta: np.ndarray, learning_rate: float) -> Values:
    """The slowest decay of the loss over λ_min(H), while a network is trained.

    Args:
        network: the arrays of a trajectory.
        theta: kernels divided by N, (s n n), or (1 n n) for all networks.
        learning_rate: η.
    """
    step = network["step"]
    loss = np.where(step <= network["stop_step"][:, None], network["loss"], 0)
    least = np.broadcast_to(compare.extreme_eigenvalues(theta)[0], len(loss))
    slowest = slowest_rate(learning_rate * step, loss, least)
    return {"loss_rate": (step[-1:], slowest[:, None])}


def pseudo_error(ntk: np.ndarray) -> np.ndarray:
    """‖Θ − Θ_p ⊗ 1‖/‖Θ‖, Θ_p = Σ_ij Θ_ij/k the kernel of Σ_i f_i/√k, (… n k n k) → (…).

    Source: Mohamadi, Bae & Sutherland 2023, the pseudo-NTK.
    """
    k = ntk.shape[-1]
    pseudo = np.einsum("...nimj->...nm", ntk) / k
    approximation = np.einsum("...nm,ij->...nimj", pseudo, np.eye(k))
    return compare.relative_change(matrix(ntk), matrix(approximation))


def finite(a: np.ndarray) -> np.ndarray:
    """Replace kernels that are not finite by zeros; diverged networks have no rows."""
    return np.where(np.isfinite(a).all((-2, -1), keepdims=True), a, 0)


def _kernels(inputs: Inputs) -> Values:
    e = inputs.e
    network, data, rate = inputs.network, inputs.data, e.training.learning_rate
    learned, curvature = e.model.learned_output, e.training.loss.curvature
    decay = e.training.weight_decay
    found = kernels(network, data, inputs.limit, rate, learned, curvature, decay)
    if SQUARES.met(e) and DESCENT.met(e):
        start = finite(matrix(network["ntk"])[:, 0]) / data["x_train"].shape[-2]
        found |= loss_rate(network, start, rate)
    return found


GROUP = Group(METRICS, _kernels)
