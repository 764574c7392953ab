"""From arrays to one tidy table: variant, width, seed, step, metric, value.

A metric with an index has it after a slash (`weight_change/W2`). Values of networks
that diverged are left out, `diverged` says how many there are.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ntkpipe import constancy, ensemble
from ntkpipe.constancy import matrix
from ntkpipe.lazy import Lazy
from ntkpipe.measurements import needs

pd = Lazy("pandas")

Arrays = Mapping[str, np.ndarray]
COLUMNS = ("variant", "width", "seed", "step", "metric", "value")
# A loss is held against its prediction down to this share of where it began.
LOSS_FOLLOWED = 1e-3


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def kernels(
    network: Arrays,
    data: Arrays,
    limit: Arrays | None,
    learning_rate: float,
    learned_output: bool = True,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """How the kernel moves: metric → (steps, values (s steps)).

    Args:
        network: what training recorded.
        data: training points and targets.
        limit: infinite-width kernels, where there are any.
        learning_rate: η, held against the largest stable one.
        learned_output: whether the last layer is learned, and its Σ a part of Θ.
    """
    ntk, snapshot = network["ntk"], network["snapshot"]
    theta = matrix(ntk)
    start = theta[:, :1]
    k = ntk.shape[-1]
    trace = np.trace(theta, axis1=-2, axis2=-1)
    points = len(data["x_train"])
    ends = [0] if len(snapshot) == 1 else [0, -1]
    low, high = constancy.extreme_eigenvalues(_finite(theta[:, ends]) / points)
    # no number where only rounding keeps Θ from being singular
    rounding = theta.shape[-1] * np.finfo(ntk.dtype).eps
    known = low > rounding * high
    metrics = {
        "ntk_change": constancy.relative_change(start, theta),
        "ntk_cosine": constancy.cosine_distance(start, theta),
        "ntk_trace_ratio": trace / trace[:, :1],
        "ntk_inflation": trace / trace[:, :1] - 1,
        "ntk_alignment": constancy.alignment(constancy.traced(ntk), data["y_train"]),
    }
    if network["nngp"].size:
        metrics["feature_change"] = network["feature_change"][..., -1]
    if network["nngp"].size and learned_output:
        # the Σ part is the last layer's kernel, once for each output; Σ̇ the rest
        sigma = np.einsum("spnm,ij->spnimj", network["nngp"], np.eye(k))
        sigma = sigma.reshape(theta.shape)
        metrics["nngp_change"] = constancy.relative_change(sigma[:, :1], sigma)
        metrics["ntk_rest_change"] = constancy.relative_change(
            (theta - sigma)[:, :1], theta - sigma
        )
    at_ends = {
        "ntk_min": low,
        "ntk_max": high,
        "ntk_condition": np.where(known, high / low, np.nan),
        "learning_rate_relative": learning_rate * high / 2,
    }
    if k > 1:
        metrics["ntk_pseudo_error"] = pseudo_error(ntk)
    for layer in range(network["flips"].shape[-1]):
        metrics[f"flips/{layer + 1}"] = network["flips"][..., layer]
    if network["neuron_move"].size:
        metrics["neuron_move"] = network["neuron_move"]
    for layer in range(network["feature_change"].shape[-1]):
        metrics[f"feature_change/{layer + 1}"] = network["feature_change"][..., layer]
    if network["gradient_norm"].size:
        metrics["gradient_norm"] = network["gradient_norm"]
        metrics["hessian_norm"] = network["hessian_norm"]
        metrics["kappa"] = network["hessian_norm"] / network["gradient_norm"] ** 2
    if limit is not None:
        infinite = limit["ntk_train_train"]
        metrics["ntk_limit_error"] = constancy.relative_change(
            infinite, constancy.traced(ntk)
        )
    result = {name: (snapshot, values) for name, values in metrics.items()}
    return result | {name: (snapshot[ends], v) for name, v in at_ends.items()}


def pseudo_error(ntk: np.ndarray) -> np.ndarray:
    """‖Θ − Θ_p ⊗ 1‖/‖Θ‖, Θ_p = Σ_ij Θ_ij/k the kernel of Σ_i f_i/√k, (… n k n k) → (…).

    Source: Mohamadi, Bae & Sutherland 2023, the pseudo-NTK.
    """
    k = ntk.shape[-1]
    pseudo = np.einsum("...nimj->...nm", ntk) / k
    approximation = np.einsum("...nm,ij->...nimj", pseudo, np.eye(k))
    return constancy.relative_change(matrix(ntk), matrix(approximation))


def faults(network: Arrays) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What makes other numbers doubtful, 1 or 0 a network: metric → (steps, values).

    `dead`: the last hidden layer is the same for all points (a ReLU that is off).
    `singular`: λ_min of Θ is zero but for rounding, so that Θ has no inverse.
    `unresolved`: the kernel moved by less than rounding does.
    """
    snapshot, nngp = network["snapshot"], network["nngp"]
    ends = [0] if len(snapshot) == 1 else [0, -1]
    theta = _finite(matrix(network["ntk"])[:, ends])
    low, high = constancy.extreme_eigenvalues(theta)
    precision = np.finfo(network["ntk"].dtype).eps
    points = nngp.shape[-1]
    found = {
        "singular": (
            snapshot[ends],
            (low <= theta.shape[-1] * precision * high).astype(float),
        ),
    }
    if points:
        alike = np.ptp(nngp[:, ends], axis=(-2, -1)) == 0 if points > 1 else False
        off = np.abs(nngp[:, ends]).max((-2, -1)) == 0
        found["dead"] = (snapshot[ends], (alike | off).astype(float))
    if len(ends) > 1:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            moved = constancy.relative_change(theta[:, 0], theta[:, 1])
        found["unresolved"] = (
            snapshot[-1:],
            (moved < 4 * precision).astype(float)[:, None],
        )
    return found


def _finite(a: np.ndarray) -> np.ndarray:
    """Zero for what is not finite: diverged networks, whose rows are left out."""
    return np.where(np.isfinite(a).all((-2, -1), keepdims=True), a, 0)


# what is 0/0 has no row; `tidy` counts it
@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def trajectories(network: Arrays) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """How far the weights and the loss went: metric → (steps, values (s steps))."""
    step, last = network["step"], network["step"][-1:]
    at = np.searchsorted(step, network["snapshot"])
    moved, norm = network["weight_change"], network["weight_norm"][:, None]
    distance = np.linalg.norm(moved, axis=-1)
    size = np.linalg.norm(norm, axis=-1)
    result = {
        "loss": (step[at], network["loss"][:, at]),
        "loss_ratio": (last, network["loss"][:, -1:] / network["loss"][:, :1]),
        "loss_growth": (
            last,
            network["loss"].max(1, keepdims=True) / network["loss"][:, :1],
        ),
        "weight_distance": (step[at], distance[:, at]),
        "weight_change": (step[at], (distance / size)[:, at]),
        "converged": (last, network["converged"][:, None].astype(float)),
    }
    if network["weight_gap"].size:
        ran = step <= network["stop_step"][:, None]
        gap = np.where(ran, network["weight_gap"], 0)
        result["linear_weight_gap"] = (last, gap.max(1, keepdims=True))
    for index, name in enumerate(network["layer"]):
        if not norm[..., index].any():
            continue  # biases that begin at zero have no relative change
        relative = moved[..., index] / norm[..., index]
        result[f"weight_change/{name}"] = (step[at], relative[:, at])
    reached = np.where(network["converged"], network["stop_step"], np.nan)
    return result | {"stop_step": (last, reached[:, None])}


def gaps(
    network: Arrays, other: Arrays, name: str
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """sup_t of the root mean square of f_network − f_other, over training and test.

    `other` has f_train, f_test of the same steps. Networks that stopped before the
    last step are compared while they ran.
    """
    last = network["step"][-1:]
    ran = network["step"] <= network["stop_step"][:, None]
    result = {}
    for points, suffix in (("f_train", ""), ("f_test", "_test")):
        with np.errstate(over="ignore", invalid="ignore"):  # where one diverges
            square = np.mean((network[points] - other[points]) ** 2, axis=(-2, -1))
        gap = np.sqrt(square)
        sup = np.where(ran, gap, 0).max(1, keepdims=True)
        result[f"{name}_gap{suffix}"] = (last, sup)
    return result


def linear_growth(linearized: Arrays) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """How far the loss of the linearised model rises above where it began.

    It grows without end past the stability limit: infinity is shown as 1e300.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        ratio = linearized["loss"] / linearized["loss"][:, :1]
    highest = np.nan_to_num(ratio, nan=1e300, posinf=1e300).max(1, keepdims=True)
    return {"linear_loss_growth": (linearized["step"][-1:], np.minimum(highest, 1e300))}


def kernel_slice(
    network: Arrays, points: tuple[int, ...]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Θ(x₀, x_i) among test points before and after training; x₀ is the first.

    Raises:
        ValueError: there is no such test point.
    """
    if max(points) >= (count := network["ntk_test"].shape[2]):
        raise ValueError(
            f"measure.kernel_at: no test point {max(points)}: there are {count}, the "
            "first is 0"
        )
    theta = network["ntk_test"][:, :, points[0], 0, :, 0]
    ends = network["step"][[0, -1]]
    return {f"kernel_at/{i}": (ends, theta[..., i]) for i in points}


@np.errstate(divide="ignore", invalid="ignore")
def ensembles(
    network: Arrays, depth: int, width: int, limit: Arrays | None
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Moments over many networks at initialisation: metric → (step 0, (s 1)).

    A value is that of a group: of ratios, the ratio of the group's means.

    Args:
        network: what training recorded.
        depth: number of hidden layers.
        width: hidden width n.
        limit: infinite-width kernels, where there are any.
    """
    count = len(ensemble.NAMES)
    mean = dict(zip(ensemble.NAMES, network["moments"].T[:count], strict=True))
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


# a kernel of zeros has no ratio of eigenvalues; `of_limit` counts it
@np.errstate(divide="ignore", invalid="ignore")
def infinite(
    limit: Arrays, on_circle: bool, chosen: tuple[int, ...] = ()
) -> dict[str, float]:
    """What is known of the infinite-width kernels alone: metric → value.

    Equal angles make them circulant, so that their eigenvalues are the discrete
    Fourier transform of a row: that of cos kγ is `limit_ntk_mode/k`, for the
    frequencies that are chosen or, where none is, the asymptotic ones.
    """
    theta = limit["ntk_train_train"]
    values = np.linalg.eigvalsh(theta)
    found = {
        "limit_min": values[0] / len(theta),
        "limit_max": values[-1] / len(theta),
        "limit_min_ratio": values[0] / values[-1],
        "limit_rank": float((values > 1e-10 * values[-1]).sum()),
    }
    largest = values[::-1][: needs.FIRST]
    for i, value in enumerate(largest, 1):
        found[f"limit_eigenvalue/{i}"] = value / len(theta)
        found[f"limit_eigenvalue_ratio/{i}"] = value / largest[0]
    if on_circle:
        frequencies = needs.limit_frequencies(chosen, len(theta))
        for name in ("ntk", "nngp"):
            row = limit[f"{name}_train_train"][0]
            modes_ = np.fft.rfft(row).real / len(row)
            found |= {f"limit_{name}_mode/{k}": modes_[k] for k in frequencies}
    return found


def limit_dynamics(
    network: Arrays, data: Arrays, limit: Arrays, learning_rate: float, flow: bool
) -> dict[str, np.ndarray]:
    """Each network's outputs as the infinite-width kernel moves them from f(w₀)."""
    from ntkpipe import linear

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


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def loss_error(
    network: Arrays, predicted: np.ndarray, name: str
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """sup_t |‖u‖/‖u_predicted‖ − 1|, u = f − y, while the loss is above 1e-3 of L(0).

    Args:
        network: what training recorded.
        predicted: loss (s t) at the same steps.
        name: of the prediction, `linear` or `limit`.
    """
    loss = network["loss"]
    high = (network["step"] <= network["stop_step"][:, None]) & (
        loss >= LOSS_FOLLOWED * loss[:, :1]
    )
    error = np.where(high, np.abs(np.sqrt(loss / predicted) - 1), 0)
    return {f"{name}_loss_error": (network["step"][-1:], error.max(1, keepdims=True))}


def loss_of(f: np.ndarray, y: np.ndarray) -> np.ndarray:
    """L = Σ‖f − y‖²/(2N) of outputs (… n k)."""
    return np.sum((f - y) ** 2, axis=(-2, -1)) / (2 * len(y))


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
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Whether a network that begins at 0 goes straight to y, as along an eigenvector.

    `straight_gap` is sup_t ‖h_t‖, `straight_rate` the decay rate of |g_t| over that of
    the limit, of eigenvalue ŷᵀΘ_∞ŷ/N. Source: Jacot et al. 2018, figure 3.
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
    }


def limit_rate(eigenvalue: np.ndarray, learning_rate: float, flow: bool) -> np.ndarray:
    """Decay rate in time t = η·step: λ of the flow, −log|1 − ηλ|/η of the steps."""
    if flow:
        return eigenvalue
    return -np.log(np.abs(1 - learning_rate * eigenvalue)) / learning_rate


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def frequencies(
    network: Arrays,
    data: Arrays,
    limit: Arrays | None,
    learning_rate: float,
    chosen: tuple[int, ...],
    level: float,
    flow: bool = False,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """When each frequency of the target is fitted, at equal angles of the circle.

    `fit_time/k` is the first time T_k at which the residual's Fourier component k is
    below `level` of its start, `mode_left/k` what is left of it at the end. With the
    limit, `fit_rate/k` is T_k·λ_k/log(1/level), 1 of an infinitely wide network, and
    `fit_rate_spread` its standard deviation over k divided by its mean. λ_k is the
    decay rate of the limit. Source: Basri et al. 2019.
    """
    size = fourier(network["f_train"] - data["y_train"])[..., list(chosen)]
    share = np.moveaxis(size / size[:, :1], 1, -1)  # (s k t)
    time = first_below(learning_rate * network["step"], share, level)
    last = network["step"][-1:]
    result = {f"fit_time/{k}": time[:, [i]] for i, k in enumerate(chosen)}
    result |= {f"mode_left/{k}": share[:, i, -1:] for i, k in enumerate(chosen)}
    if limit is not None:
        row = limit["ntk_train_train"][0]
        values = np.fft.rfft(row).real[list(chosen)] / len(row)
        rate = time * limit_rate(values, learning_rate, flow) / np.log(1 / level)
        result |= {f"fit_rate/{k}": rate[:, [i]] for i, k in enumerate(chosen)}
        spread = rate.std(1, keepdims=True) / rate.mean(1, keepdims=True)
        if len(chosen) > 1:
            result["fit_rate_spread"] = spread
    return {name: (last, values) for name, values in result.items()}


def fourier(values: np.ndarray) -> np.ndarray:
    """Size of each Fourier component k of functions at equal angles, (… n k) → (… f).

    cos kγ and sin kγ, 0 < k < n/2, have size 1: √(a² + b²) of a cos kγ + b sin kγ.
    """
    points = values.shape[-2]
    size = np.linalg.norm(np.fft.rfft(values, axis=-2), axis=-1)
    whole = np.isin(np.arange(size.shape[-1]), [0, points / 2])
    return size * np.where(whole, 1, 2) / points


@np.errstate(divide="ignore", invalid="ignore")
def first_below(time: np.ndarray, share: np.ndarray, level: float) -> np.ndarray:
    """First time at which a share (… t) is below `level`, NaN where it never is.

    Between two records its logarithm is taken to be linear.
    """
    below = share < level
    at = np.maximum(below.argmax(-1), 1)
    before, after = (
        np.take_along_axis(share, (at - i)[..., None], -1)[..., 0] for i in (1, 0)
    )
    part = np.log(before / level) / np.log(before / after)
    found = time[at - 1] + part * (time[at] - time[at - 1])
    return np.where(below.any(-1), np.where(below[..., 0], time[0], found), np.nan)


@np.errstate(divide="ignore", invalid="ignore")
def decay_rate(time: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Rate that minimises Σ_t (log(c(t)/c(0)) + rate·t)² of a size c (… t).

    Over the times at which it is between 90 % and 5 % of where it began.
    """
    log = np.log(size / size[..., :1])
    inside = (log < np.log(0.9)) & (log > np.log(0.05))
    weight = np.where(inside, time, 0.0)
    return -np.sum(weight * np.where(inside, log, 0), -1) / np.sum(weight * time, -1)


@np.errstate(divide="ignore", invalid="ignore")
def modes(network: Arrays, data: Arrays, learning_rate: float, count: int):
    """Decay rate of the residual along eigenvectors of H(w₀), over its eigenvalue.

    1 is what gradient flow of the linearised model gives; see `decay_rate`. Of a traced
    kernel's eigenvectors, the residuals of all outputs count together.
    """
    points = len(data["x_train"])
    time = learning_rate * network["step"]
    theta = matrix(network["ntk"])[:, 0] / points
    residual = (network["f_train"] - data["y_train"]).reshape(
        *network["f_train"].shape[:2], theta.shape[-1], -1
    )
    values, vectors = np.linalg.eigh(theta)
    # np.linalg.eigh ascends; mode 1 is the fastest
    values, vectors = values[:, ::-1], vectors[..., ::-1]
    size = np.linalg.norm(np.einsum("sni,stnk->sitk", vectors, residual), axis=-1)
    ratio = decay_rate(time, size) / values
    last = network["step"][-1:]
    return {
        f"mode_rate/{i + 1}": (last, ratio[:, i : i + 1])
        for i in range(min(count, ratio.shape[1]))
    }


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def against_limit(
    network: Arrays, limit: Arrays, count: int
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """z = (f(x_i) − μ_i)/σ_i of trained networks at `count` test points.

    μ and σ are the infinitely wide ensemble's at the last step.
    """
    chosen = needs.spread(network["f_test"].shape[2], count)
    mean, sd = limit["mean_test"][-1, :, 0], limit["sd_test"][-1]
    z = (network["f_test"][:, -1, :, 0] - mean) / sd
    last = network["step"][-1:]
    return {f"limit_z/{i}": (last, z[:, i : i + 1]) for i in chosen}


def of_limit(metrics: Mapping[str, float], variant: str) -> pd.DataFrame:
    """Metrics of infinite width as rows: width 0, seed 0, step 0.

    What is 0/0 is left out, and counted as `tidy` does.
    """
    rows: dict[str, float] = {}
    for name, value in metrics.items():
        known = np.isfinite(value)
        rows |= {name: float(value)} if known else {f"undefined/{name}": 1.0}
    return pd.DataFrame(
        {
            "variant": variant,
            "width": 0,
            "seed": 0,
            "step": 0,
            "metric": list(rows),
            "value": list(rows.values()),
        }
    )[list(COLUMNS)]


def tidy(
    metrics: Mapping[str, tuple[np.ndarray, np.ndarray]],
    seeds: np.ndarray,
    diverged: np.ndarray,
    variant: str,
    width: int,
) -> pd.DataFrame:
    """Metrics as rows, less those of diverged networks and undefined ones.

    `diverged` says of each network whether it did, `undefined/…` how many values of a
    metric are not there.
    """
    frames, expected = [], _missing_is_expected()
    for metric, (steps, values) in metrics.items():
        steps, values = np.broadcast_arrays(np.asarray(steps), values)
        frame = pd.DataFrame(
            {
                "variant": variant,
                "width": width,
                "seed": np.repeat(seeds, steps.shape[1]),
                "step": steps.ravel(),
                "metric": metric,
                "value": np.asarray(values, float).ravel(),
            }
        )
        kept = np.isfinite(frame["value"]) & ~np.repeat(diverged, steps.shape[1])
        frames.append(frame[kept])
        lost = ~np.isfinite(values) & ~diverged[:, None]
        if lost.any() and metric.partition("/")[0] not in expected:
            frames.append(
                pd.DataFrame(
                    {
                        "variant": variant,
                        "width": width,
                        "seed": seeds,
                        "step": steps.max(),
                        "metric": f"undefined/{metric}",
                        "value": lost.sum(1).astype(float),
                    }
                )
            )
    fate = pd.DataFrame(
        {
            "variant": variant,
            "width": width,
            "seed": seeds,
            "step": 0,
            "metric": "diverged",
            "value": diverged.astype(float),
        }
    )
    return pd.concat([*frames, fate], ignore_index=True)[list(COLUMNS)]


def _missing_is_expected() -> set[str]:
    from ntkpipe.measurements import METRICS

    return {metric.name for metric in METRICS if metric.missing_is_expected}
