"""Every metric of small studies agrees with a formula that is written out here.

The formulas take the arrays of training, linearised model and infinite width, one
network at a time. Dynamics are iterated step by step, or integrated by a matrix
exponential. Metrics of recorders of weights are compared with the recorded arrays.
"""

import math

import numpy as np
import pytest
import scipy.linalg
import yaml
from helpers import run_study

from ntkpipe import artifacts, measurements, study

norm = np.linalg.norm
WIDTH, DEPTH, RATE = 5, 2, 0.3
COMMON = {
    "title": "A",
    "question": "B?",
    "dataset": {
        "kind": "circle",
        "points": 8,
        "test": 4,
        "target": {"kind": "teacher", "outputs": 2},
    },
    "model": {"depth": DEPTH, "activation": "tanh", "b_std": 0.3},
    "training": {"learning_rate": RATE, "steps": 40, "record": 12, "snapshots": 3},
    "widths": [WIDTH],
    "seeds": 2,
}
STUDIES = {
    "several outputs": {
        "linearize": "steps",
        "limit": "steps",
        "training": {
            "test_kernel": True,
            "linear_weights": True,
            "unit_changes": True,
            "curvature": True,
            "sharpness": True,
            "ensemble": {"networks": 4},
        },
        "measure": {
            "modes": 3,
            "limit_points": 3,
            "kernel_at": [2, 1, 3],
            "frequencies": [1, 3],
            "fit_level": 0.7,
            "loss_error": True,
        },
    },
    "one output and the flow": {
        "dataset": {"target": {"kind": "product", "outputs": None}},
        "model": {"zero_output": "subtract"},
        "linearize": "flow",
        "limit": "flow",
        "measure": {"straightness": True, "frequencies": [2], "fit_level": 0.5},
    },
    "each network its own data": {
        "data": "redraw",
        "dataset": {
            "kind": "gaussian",
            "points": 6,
            "dimension": 3,
            "test": 4,
            "target": {"kind": "noise", "outputs": None},
        },
        "linearize": "steps",
        "measure": {"loss_error": True, "modes": 2},
    },
    "momentum until a loss": {
        "model": {"biases": "zero"},
        "training": {
            "optimizer": "momentum",
            "momentum": 0.5,
            "stop_at_loss": 0.2,
            "kernel": "trace",
        },
        "linearize": "steps",
        "measure": {"loss_error": True},
    },
}


def merged(a, b):
    """The settings a with those of b in their place; None deletes one."""
    both = {
        k: merged(a.get(k, {}), v) if isinstance(v, dict) else v for k, v in b.items()
    }
    return {k: v for k, v in (a | both).items() if v is not None}


@pytest.fixture(scope="module", params=STUDIES)
def measured(request, tmp_path_factory):
    """The experiment, its products, and the table of its measurements."""
    text = yaml.safe_dump(merged(COMMON, STUDIES[request.param]))
    one = study.parse(text, "x.yaml")
    paths = run_study(one, tmp_path_factory.mktemp("study"))
    products = {name: artifacts.load(p).data for (name, _, _), p in paths.items()}
    return one.variants["base"], products, products["measurements"]


# ------------------------------------------------------------------- dynamics


def steps_of(theta, test, u, f_test, record, momentum=0.0):
    """Residuals (n) and test outputs of gradient descent on a linear model.

    Θ (n n) is divided by N already, and so is Θ between test and training points.
    """
    v, w, out = np.zeros_like(u), np.zeros_like(f_test), {}
    for step in range(max(record) + 1):
        if step in record:
            out[step] = u, f_test
        v, w = momentum * v + theta @ u, momentum * w + test @ u
        u, f_test = u - RATE * v, f_test - RATE * w
    return [np.stack(a) for a in zip(*(out[step] for step in record), strict=True)]


def flow_of(theta, test, u, f_test, record):
    """The same for gradient flow at t = η·step."""
    n = len(u)
    generator = np.zeros((n + len(f_test),) * 2)
    generator[:, :n] = -np.concatenate([theta, test])
    start = np.concatenate([u, f_test])
    path = [scipy.linalg.expm(RATE * t * generator) @ start for t in record]
    return np.stack(path)[:, :n], np.stack(path)[:, n:]


def first_below(time, share, level):
    """The first time below a level, interpolated between logarithms of two records."""
    for i, s in enumerate(share):
        if s < level:
            if i == 0:
                return time[0]
            a, b = math.log(share[i - 1] / level), math.log(s / level)
            return time[i - 1] + (time[i] - time[i - 1]) * a / (a - b)
    return math.nan


def decay(time, size):
    """Least squares through 0 of log c(t)/c(0), where c is between 5 % and 90 %."""
    share = size / size[0]
    used = (share < 0.9) & (share > 0.05)
    if not used.any():
        return math.nan
    line = time[used][:, None]
    return -np.linalg.lstsq(line, np.log(share[used]), rcond=None)[0][0]


def slowest(time, loss, value):
    """The least log(L(0)/L(t))/(λt)."""
    return min(
        math.log(loss[0] / one) / (value * t)
        for t, one in zip(time, loss, strict=True)
        if t > 0
    )


# -------------------------------------------------------------------- formulas


def of_kernel(e, network, data, limit, seed):
    """Metrics of `measurements.kernel` and `measurements.faults`."""
    snapshot, points = network["snapshot"], len(data["x_train"])
    full = network["ntk"][seed].astype(float)
    k = full.shape[-1]
    thetas = full.reshape(len(snapshot), points * k, points * k)
    y, y_flat = data["y_train"].astype(float), data["y_train"].astype(float).ravel()
    centre = np.eye(points) - 1 / points
    ideal = centre @ y @ y.T @ centre
    nngp = network["nngp"][seed].astype(float)
    # a traced kernel has k = 1, also in the part of the last layer
    sigmas = [np.kron(a, np.eye(k)) for a in nngp]
    rests = [a - b for a, b in zip(thetas, sigmas, strict=True)]
    found = {}
    for i, step in enumerate(snapshot):
        theta, first = thetas[i], thetas[0]
        traced = sum(full[i][:, j, :, j] for j in range(k)) / k
        centred = centre @ traced @ centre
        rows = {
            "ntk_change": norm(theta - first) / norm(first),
            "nngp_change": norm(sigmas[i] - sigmas[0]) / norm(sigmas[0]),
            "ntk_rest_change": norm(rests[i] - rests[0]) / norm(rests[0]),
            "ntk_cosine": 1 - np.sum(theta * first) / norm(theta) / norm(first),
            "ntk_alignment": np.sum(centred * ideal) / norm(centred) / norm(ideal),
            "ntk_trace_ratio": theta.trace() / first.trace(),
            "ntk_inflation": theta.trace() / first.trace() - 1,
            "feature_change": network["feature_change"][seed, i, DEPTH - 1],
        }
        for layer in range(DEPTH):
            change = network["feature_change"][seed, i, layer]
            rows[f"feature_change/{layer + 1}"] = change
        if len(y_flat) == len(theta):
            along = y_flat @ rests[i] @ y_flat
            rows["ntk_rest_drop"] = 1 - along / (y_flat @ rests[0] @ y_flat)
        if k > 1:
            summed = full[i].sum((1, 3)) / k
            gap = norm(theta - np.kron(summed, np.eye(k)))
            rows["ntk_pseudo_error"] = gap / norm(theta)
        if limit:
            infinite = limit["ntk_train_train"]
            rows["ntk_limit_error"] = norm(traced - infinite) / norm(infinite)
        if i in (0, len(snapshot) - 1):
            values = np.linalg.eigvalsh(theta / points)
            rows |= {
                "ntk_min": values[0],
                "ntk_max": values[-1],
                "ntk_condition": values[-1] / values[0],
                "learning_rate_relative": RATE * values[-1] / 2,
                "singular": 0,
                "dead": 0,
            }
        found |= {(name, step): value for name, value in rows.items()}
    return found | {("unresolved", snapshot[-1]): 0}


def of_training(e, network, data, seed):
    """Metrics of the loss, the weights and the recorders."""
    step, last = network["step"], network["step"][-1]
    loss, moved = network["loss"][seed], network["weight_change"][seed]
    size, ran = network["weight_norm"][seed], step <= network["stop_step"][seed]
    theta = network["ntk"][seed, 0].astype(float)
    smallest = np.linalg.eigvalsh(theta.reshape([math.isqrt(theta.size)] * 2))[0]
    half = np.mean(np.sum((network["f_train"][seed] - data["y_train"]) ** 2, 2), 1) / 2
    np.testing.assert_allclose(loss, half, rtol=1e-9)
    stops = e.training.stop_at_loss
    found = {
        ("loss_ratio", last): loss[-1] / loss[0],
        ("loss_growth", last): max(loss) / loss[0],
        ("converged", last): float(stops is not None and loss[-1] < stops),
        ("diverged", 0): 0,
    }
    if e.training.optimizer == "gd":
        found["loss_rate", last] = slowest(
            RATE * step[ran], loss[ran], smallest / len(data["x_train"])
        )
    if stops and loss[-1] < stops:
        found["stop_step", last] = network["stop_step"][seed]
    for at, now in enumerate(step):
        if now not in network["snapshot"]:
            continue
        distance = norm(moved[at])
        found |= {
            ("loss", now): loss[at],
            ("weight_distance", now): distance,
            ("weight_change", now): distance / norm(size),
        }
        for i, layer in enumerate(network["layer"]):
            if size[i] > 0:
                found[f"weight_change/{layer}", now] = moved[at, i] / size[i]
    for i, now in enumerate(network["snapshot"]):
        for name in ("neuron_move", "gradient_norm", "hessian_norm"):
            if name in network:
                found[name, now] = network[name][seed, i]
        if "hessian_norm" in network:
            hessian, gradient = found["hessian_norm", now], found["gradient_norm", now]
            found["kappa", now] = hessian / gradient**2
        if "sharpness" in network:
            found["sharpness", now] = network["sharpness"][seed, i]
            found["sharpness_relative", now] = RATE * network["sharpness"][seed, i] / 2
        if "flips" in network:
            for layer in range(DEPTH):
                found[f"flips/{layer + 1}", now] = network["flips"][seed, i, layer]
    if "weight_gap" in network:
        found["linear_weight_gap", last] = max(network["weight_gap"][seed][ran])
    first, *_ = points = e.measure.kernel_at or (0,)
    for i in points if "ntk_test" in network else ():
        for at, now in ((0, 0), (1, last)):
            found[f"kernel_at/{i}", now] = network["ntk_test"][seed, at, first, 0, i, 0]
    return found


def of_moments(network, limit, seed):
    """Metrics of a group of networks at initialisation."""
    if "moments" not in network:
        return {}
    f2, f4, t, t2, w, w2, bend, o3, *others = network["moments"][seed]
    infinite = limit["ntk_train_train"][0]
    found = {
        "output_kurtosis": f4 / f2**2 - 3,
        "output_kurtosis_n": WIDTH * (f4 / f2**2 - 3),
        "ntk_mean": t,
        "ntk_mean_per_layer": t / (DEPTH + 1),
        "ntk_variance": t2 - t**2,
        "ntk_moment_ratio": t2 / t**2,
        "ntk_moment_log": math.log(t2 / t**2),
        "ntk_moment_rate": math.log(t2 / t**2) / (DEPTH / WIDTH),
        "ntk_moment_rate_weights": math.log(w2 / w**2) / (DEPTH / WIDTH),
        "hessian_correlation": abs(bend),
        "o3": o3**0.5,
        "ntk_bias": t / infinite[0] - 1,
    }
    for i, other in enumerate(others, 1):
        found[f"ntk_bias_off/{i}"] = other / infinite[i] - 1
    return {(name, 0): value for name, value in found.items()}


def of_prediction(e, network, data, path, test_path, seed, name):
    """Distances of a network from predicted outputs (t n k), (t m k)."""
    step, loss = network["step"], network["loss"][seed]
    ran = step <= network["stop_step"][seed]
    found = {}
    for key, other, suffix in (("train", path, ""), ("test", test_path, "_test")):
        gap = network[f"f_{key}"][seed] - other
        root = np.sqrt(np.mean(gap**2, (1, 2)))
        found[f"{name}_gap{suffix}", step[-1]] = max(root[ran])
    if e.measure.loss_error:
        u = norm(
            (network["f_train"][seed] - data["y_train"]).reshape(len(step), -1), axis=1
        )
        v = norm((path - data["y_train"]).reshape(len(step), -1), axis=1)
        high = ran & (loss >= 1e-3 * loss[0])
        found[f"{name}_loss_error", step[-1]] = max(abs(u / v - 1)[high])
    return found


def paths(theta, test, network, data, seed, flow, momentum=0.0):
    """Outputs (t n k) and (t m k) of a linear model that begins as a network."""
    y, f_test = data["y_train"], network["f_test"][seed, 0]
    u0 = network["f_train"][seed, 0] - y
    step = network["step"].tolist()
    theta, test = theta / len(y), test / len(y)
    if theta.shape[-1] == u0.size:  # all outputs
        u0, f_test = u0.ravel(), f_test.ravel()
    if flow:
        u, f = flow_of(theta, test, u0, f_test, step)
    else:
        u, f = steps_of(theta, test, u0, f_test, step, momentum)
    return y + u.reshape(-1, *y.shape), f.reshape(-1, *network["f_test"].shape[2:])


def of_linearized(e, network, data, linearized, seed):
    """Distances of a network from its linearised model, which is iterated here."""
    theta, test = network["ntk"][seed, 0], network["ntk_test_train"][seed, 0]
    m, q, n, _ = test.shape
    theta, test = theta.reshape(n * q, n * q), test.reshape(m * q, n * q)
    flow, momentum = e.linearize == "flow", e.training.heavy_ball
    path, test_path = paths(theta, test, network, data, seed, flow, momentum)
    found = of_prediction(e, network, data, path, test_path, seed, "linear")
    loss = np.sum((path - data["y_train"]) ** 2, (1, 2))
    found["linear_loss_growth", network["step"][-1]] = max(loss) / loss[0]
    return found


def linearized_end(e, network, data, seed):
    """Test outputs (m k) of a linearised model at the last step, and if f(w₀) = 0."""
    theta, test = network["ntk"][seed, 0], network["ntk_test_train"][seed, 0]
    m, q, n, _ = test.shape
    theta, test = theta.reshape(n * q, n * q), test.reshape(m * q, n * q)
    zero = {name: np.zeros_like(network[name]) for name in ("f_train", "f_test")}
    flow = e.linearize == "flow"
    for start in (network, network | zero):
        yield paths(theta, test, start, data, seed, flow)[1][-1]


def of_limit(e, network, data, limit, seed):
    """Comparisons of a network with infinite width."""
    step, last, y = network["step"], network["step"][-1], data["y_train"]
    theta, test, flow = (
        limit["ntk_train_train"],
        limit["ntk_test_train"],
        e.limit == "flow",
    )
    path, test_path = paths(theta, test, network, data, seed, flow)
    found = of_prediction(e, network, data, path, test_path, seed, "limit")
    smallest = np.linalg.eigvalsh(theta)[0] / len(y)
    loss = network["loss"][seed]
    found["limit_loss_rate", last] = slowest(RATE * step, loss, smallest)
    count = e.measure.limit_points
    for i in sorted({round(j * 3 / (count - 1)) for j in range(count)}):
        mean, sd = limit["mean_test"][-1, i, 0], limit["sd_test"][-1, i]
        z = (network["f_test"][seed, -1, i, 0] - mean) / sd
        found[f"limit_z/{i}", last] = z
        if e.linearize != "none":
            own, zero = (
                (f[i, 0] - mean) / sd for f in linearized_end(e, network, data, seed)
            )
            found[f"limit_z_linear/{i}", last] = own
            found[f"limit_z_mean/{i}", last] = zero
            found[f"limit_z_gap/{i}", last] = z - own
    if e.measure.straightness:
        unit = y.ravel() / norm(y)
        residual = (network["f_train"][seed] - y)[..., 0]
        along = residual @ unit
        across = norm(residual - np.outer(along, unit), axis=1)
        found["straight_gap", last] = max(across) / len(y) ** 0.5
        eigenvalue = unit @ theta @ unit / len(y)
        rate = decay(RATE * step, abs(along)) / limit_rate(eigenvalue, flow)
        found["straight_rate", last] = rate
        found["straight_excess", last] = rate - 1
    return found


def limit_rate(value, flow):
    """λ, or −log|1 − ηλ|/η."""
    return value if flow else -math.log(abs(1 - RATE * value)) / RATE


def of_modes(e, network, data, limit, seed):
    """Decay along eigenvectors of the kernel, and of the frequencies of the circle."""
    step, last, n = network["step"], network["step"][-1], len(data["x_train"])
    residual = network["f_train"][seed] - data["y_train"]
    found = {}
    size = math.isqrt(network["ntk"][seed, 0].size)
    theta = network["ntk"][seed, 0].reshape(size, size) / n
    values, vectors = np.linalg.eigh(theta)
    for i in range(1, e.measure.modes + 1):
        along = vectors[:, -i] @ residual.reshape(len(step), size, -1)
        rate = decay(RATE * step, norm(along, axis=-1))
        found[f"mode_rate/{i}", last] = rate / limit_rate(values[-i], False)
    angle, chosen, rates = 2 * np.pi * np.arange(n) / n, e.measure.frequencies, []
    for k in chosen:
        waves = np.stack([np.cos(k * angle), np.sin(k * angle)])
        share = norm((waves @ residual).reshape(len(step), -1), axis=1)
        share /= share[0]
        time = first_below(RATE * step, share, e.measure.fit_level)
        value = waves[0] @ limit["ntk_train_train"] @ waves[0] / (waves[0] @ waves[0])
        speed = limit_rate(value / n, e.limit == "flow")
        rates.append(time * speed / -math.log(e.measure.fit_level))
        found |= {
            (f"fit_time/{k}", last): time,
            (f"mode_left/{k}", last): share[-1],
            (f"fit_rate/{k}", last): rates[-1],
        }
    if len(chosen) > 1:
        found["fit_rate_spread", last] = np.std(rates) / np.mean(rates)
    return found


def of_infinite(e, limit):
    """Metrics of infinite width alone."""
    theta = limit["ntk_train_train"]
    n, values = len(theta), np.linalg.eigvalsh(theta)[::-1]
    found = {
        "limit_min": values[-1] / n,
        "limit_max": values[0] / n,
        "limit_min_ratio": values[-1] / values[0],
        "limit_rank": np.linalg.matrix_rank(theta),
    }
    for i in range(5):
        found[f"limit_eigenvalue/{i + 1}"] = values[i] / n
        found[f"limit_eigenvalue_ratio/{i + 1}"] = values[i] / values[0]
    for k in e.measure.frequencies:
        wave = np.cos(2 * np.pi * k * np.arange(n) / n)
        for kernel in ("ntk", "nngp"):
            rayleigh = wave @ limit[f"{kernel}_train_train"] @ wave / (wave @ wave)
            found[f"limit_{kernel}_mode/{k}"] = rayleigh / n
    return {(name, 0): value for name, value in found.items()}


def test_every_metric_is_what_its_formula_says(measured):
    e, products, table = measured
    network, drawn = products["network"], products["dataset"]
    limit, linearized = products.get("limit"), products.get("linearized")
    expected = {}
    for seed in range(2):
        data = {k: a[seed] if e.data == "redraw" else a for k, a in drawn.items()}
        values = of_kernel(e, network, data, limit, seed)
        values |= of_training(e, network, data, seed)
        values |= of_moments(network, limit, seed)
        values |= of_linearized(e, network, data, linearized, seed)
        values |= of_modes(e, network, data, limit, seed)
        if limit:
            values |= of_limit(e, network, data, limit, seed)
        expected |= {(WIDTH, seed, *key): v for key, v in values.items()}
    if limit:
        infinite = of_infinite(e, limit)
        expected |= {(0, 0, *key): v for key, v in infinite.items()}
    expected = {key: float(v) for key, v in expected.items() if np.isfinite(v)}
    rows = zip(
        *(table[c] for c in ("width", "seed", "metric", "step", "value")), strict=True
    )
    found = {(w, s, metric, step): value for w, s, metric, step, value in rows}
    missing = {key for key in found if key[2].startswith("undefined/")}
    assert found.keys() - missing == expected.keys()
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, rel=1e-6, abs=1e-10), key


def test_an_experiment_has_the_metrics_whose_needs_it_meets(measured):
    e, _, table = measured
    names = set(table["metric"])
    for name in names:
        assert measurements.unknown(name) is None, name
        assert measurements.unmet(name, e) is None, name
    for metric in measurements.METRICS:
        if not metric.unmet(e) and not metric.missing_is_expected:
            has = any(metric.matches(name) for name in names)
            assert has or metric.name == "undefined", metric.name


def test_a_metric_has_steps_where_it_says(measured):
    _, products, table = measured
    network = products["network"]
    steps = {
        "snapshots": set(network["snapshot"]),
        "ends": {network["step"][0], network["step"][-1]},
        "groups": {0},
        "last": {network["step"][-1]},
        "limit": {0},
    }
    for name, rows in table.groupby("metric"):
        metric = measurements.find(name)
        if metric.name not in ("diverged", "undefined"):
            assert set(rows["step"]) == steps[metric.at], name
