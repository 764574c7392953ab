"""Metrics of kernels and trajectories on cases with known answers."""

import re

import jax
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ntkpipe import measurements, study
from ntkpipe.data.base import Data
from ntkpipe.kernels import compare
from ntkpipe.measurements import (
    faults,
    frequencies,
    linear,
    modes,
    predictions,
    rates,
    weights,
)
from ntkpipe.measurements import kernel as kernel_
from ntkpipe.measurements import limit as limit_
from ntkpipe.measurements.table import of_limit, tidy
from ntkpipe.metric import Inputs
from ntkpipe.models.mlp import MLP
from ntkpipe.training import train
from ntkpipe.training.protocol import Training
from ntkpipe.training.recorders import RECORDERS
from ntkpipe.training.recorders.kernel_of_test_points import kernel_slice

RNG = np.random.default_rng(0)


def kernel(n=5, seed=0):
    a = np.random.default_rng(seed).normal(size=(n, n + 2))
    return a @ a.T


def test_relative_change_is_of_frobenius_norms():
    a = kernel()
    assert compare.relative_change(a, 3 * a) == pytest.approx(2)
    assert compare.relative_change(a, a) == 0


def test_cosine_distance_keeps_its_digits():
    a = kernel()
    b = kernel(seed=1)
    cosine = np.sum(a * b) / np.linalg.norm(a) / np.linalg.norm(b)
    assert compare.cosine_distance(a, b) == pytest.approx(1 - cosine, rel=1e-12)
    assert compare.cosine_distance(a, 7 * a) == pytest.approx(0, abs=1e-30)
    # 1 − cos would be 0: the angle is 1e-10
    direction = b - np.sum(a * b) / np.sum(a * a) * a
    direction *= np.linalg.norm(a) / np.linalg.norm(direction)
    near = a + 1e-10 * direction
    assert compare.cosine_distance(a, near) == pytest.approx(0.5e-20, rel=1e-5)


def test_alignment_of_the_ideal_kernel_is_one():
    y = RNG.normal(size=(6, 2))
    assert compare.alignment(y @ y.T, y) == pytest.approx(1)
    assert compare.alignment(y @ y.T + 5, y) == pytest.approx(1)  # centred
    assert np.isnan(compare.alignment(kernel(6), np.ones((6, 1))))


@given(arrays(float, (4, 3), elements=st.floats(-3, 3)), st.floats(0.1, 10))
@settings(max_examples=50, deadline=None)
def test_alignment_does_not_depend_on_scale_and_is_at_most_1(y, scale):
    value = compare.alignment(kernel(4), y)
    if np.isfinite(value):
        assert -1 - 1e-9 <= value <= 1 + 1e-9
        again = compare.alignment(scale * kernel(4), y)
        assert again == pytest.approx(value, rel=1e-6, abs=1e-9)


def test_duplicates_are_named_in_pairs():
    x = np.array([[0.0, 1], [2, 3], [0, 1], [4, 5], [2, 3]])
    assert compare.duplicates(x) == [(0, 2), (1, 4)]
    assert compare.duplicates(x[:2]) == []


def run(zero_output="none", **training):
    x = np.random.default_rng(1).normal(size=(7, 3))
    data = Data(x[:5], np.sin(x[:5, :2]), x[5:], np.zeros((2, 2)))
    settings_ = Training(
        **{"learning_rate": 0.1, "steps": 60, "record": 20, "snapshots": 4} | training
    )
    model = MLP(depth=2, activation="tanh", zero_output=zero_output)
    trajectory = train(model, settings_, data, 32, jax.random.key(0), 3)
    return trajectory, data._asdict()


def by_recorder(network, *arrays):
    """The metrics of the recorders of these arrays."""
    inputs, found = Inputs(None, 8, network, {}, None, None), {}
    for recorder in RECORDERS:
        if set(arrays) & set(recorder.optional):
            found |= recorder.measure(inputs)
    return found


def test_metrics_of_a_run():
    network, data = run()
    found = kernel_.kernels(network, data, None, 0.1)
    steps, change = found["ntk_change"]
    assert steps.tolist() == network["snapshot"].tolist()
    theta = network["ntk"].reshape(3, -1, 10, 10)
    expected = np.linalg.norm(theta[2, 3] - theta[2, 0]) / np.linalg.norm(theta[2, 0])
    assert change[2, 3] == pytest.approx(expected)
    assert (change[:, 0] == 0).all()
    _, low = found["ntk_min"]
    assert low[1, 0] == pytest.approx(np.linalg.eigvalsh(theta[1, 0] / 5)[0])
    _, ratio = found["ntk_trace_ratio"]
    assert ratio[0, 3] == pytest.approx(np.trace(theta[0, 3]) / np.trace(theta[0, 0]))
    # the two parts add up to the kernel
    sigma = np.kron(network["nngp"][0, 0], np.eye(2))
    rest = theta[0, 0] - sigma
    assert np.linalg.eigvalsh(rest)[0] > -1e-9  # each part is a kernel
    last = theta[0, 3] - np.kron(network["nngp"][0, 3], np.eye(2))
    y = data["y_train"].ravel()
    _, drop = found["ntk_rest_drop"]
    assert drop[0, 3] == pytest.approx(1 - (y @ last @ y) / (y @ rest @ y))


def test_kernels_of_zeros_are_measured_without_a_warning():
    network, data = run()
    dead = {"ntk", "nngp", "feature_change", "gradient_norm", "hessian_norm"}
    norm = np.zeros(network["nngp"].shape[:2])
    network |= {"gradient_norm": norm, "hessian_norm": norm}
    network |= {name: np.zeros_like(network[name]) for name in dead}
    limit = {"ntk_train_train": np.zeros((5, 5))}
    found = kernel_.kernels(network, data, limit, 0.1)
    found |= by_recorder(network, "hessian_norm")
    nothing = ("ntk_change", "nngp_change", "ntk_limit_error", "ntk_condition", "kappa")
    for metric in nothing:
        assert np.isnan(found[metric][1]).all(), metric
    assert (found["ntk_max"][1] == 0).all()


def test_distances_are_of_all_weights_and_of_each_layer():
    network, _ = run()
    found = weights.trajectories(network)
    _, change = found["weight_change"]
    total = np.sqrt((network["weight_change"][:, -1] ** 2).sum(-1))
    size = np.sqrt((network["weight_norm"] ** 2).sum(-1))
    np.testing.assert_allclose(change[:, -1], total / size)
    _, first = found["weight_change/W1"]
    np.testing.assert_allclose(
        first[:, -1], network["weight_change"][:, -1, 0] / network["weight_norm"][:, 0]
    )


def test_gap_to_itself_is_zero_and_to_a_shift_is_the_shift():
    network, _ = run()
    assert predictions.gaps(network, network, "own")["own_gap"][1].max() == 0
    shifted = {name: network[name] + 0.5 for name in ("f_train", "f_test")}
    for _, gap in predictions.gaps(network, shifted, "own").values():
        np.testing.assert_allclose(gap, 0.5)


def test_modes_of_linear_dynamics_decay_at_their_eigenvalues():
    network, data = run()
    # replace the outputs by those of gradient descent under the kernel
    theta = network["ntk"].reshape(3, -1, 10, 10)[:, 0] / 5
    descent = []
    for seed in range(3):
        values, vectors = np.linalg.eigh(theta[seed])
        u0 = (network["f_train"][seed, 0] - data["y_train"]).ravel()
        left = (1 - 0.1 * values[:, None]) ** network["step"]
        u = vectors @ (left * (vectors.T @ u0)[:, None])
        descent.append(data["y_train"] + u.T.reshape(-1, 5, 2))
    found = modes.modes(network | {"f_train": np.stack(descent)}, data, 0.1, 3)
    assert list(found) == ["mode_rate/1", "mode_rate/2", "mode_rate/3"]
    for _, rate in found.values():
        np.testing.assert_allclose(rate, 1, rtol=1e-6)


def test_the_loss_rate_counts_no_step_after_the_stop():
    step, theta = np.array([0, 10, 20]), np.diag([3.0, 2.0])[None]
    network = {"step": step, "loss": np.exp(-0.3 * step)[None].copy()}
    network["loss"][0, 2] = 0.9  # would be the slowest
    network["stop_step"] = np.array([10])
    found = kernel_.loss_rate(network, theta, 0.1)
    np.testing.assert_allclose(found["loss_rate"][1], [[0.3 / 0.1 / 2]])


@pytest.mark.parametrize("optimizer", ["gd", "momentum", "adam"])
def test_rates_of_gradient_descent_are_those_of_no_other_optimizer(optimizer):
    training = {"learning_rate": 0.1, "steps": 2, "optimizer": optimizer}
    e = experiment(training=training, linearize="none")
    unmet = measurements.unmet("loss_rate", e)
    assert unmet is None if optimizer == "gd" else "optimizer: gd" in unmet


def test_modes_of_a_traced_kernel_take_all_outputs_together():
    network, data = run()
    theta = np.array([np.diag([5.0, 4.0, 3.0, 2.0, 1.0])] * 3)
    left = (1 - 0.1 * np.diag(theta[0]) / 5) ** network["step"][:, None]
    u0 = network["f_train"][:, :1] - data["y_train"]
    kernel = theta[:, None, :, None, :, None]
    still = network | {"f_train": data["y_train"] + left[:, :, None] * u0}
    still |= {"ntk": kernel}
    found = modes.modes(still, data, 0.1, 5)
    assert len(found) == 5
    for name, (_, rate) in found.items():
        np.testing.assert_allclose(rate, 1, rtol=1e-9, err_msg=name)


def test_scores_against_the_limit_are_standardised():
    network, _ = run()
    limit = {
        "mean_test": np.full((1, 2, 2), 0.5),
        "sd_test": np.full((1, 2), 2.0),
    }
    outputs = {"limit_z": network["f_test"][:, -1]}
    found = limit_.against_limit(outputs, network["step"], limit, 2)
    assert list(found) == ["limit_z/0", "limit_z/1"]
    _, z = found["limit_z/1"]
    np.testing.assert_allclose(z[:, 0], (network["f_test"][:, -1, 1, 0] - 0.5) / 2)


def test_rows_of_diverged_networks_are_left_out_and_counted():
    metrics = {"loss": (np.array([0, 5]), np.array([[1.0, np.nan], [2.0, 3.0]]))}
    table = tidy(metrics, np.array([0, 1]), np.array([True, False]), "base", 8)
    assert table[table["metric"] == "loss"]["seed"].tolist() == [1, 1]
    assert table[table["metric"] == "diverged"]["value"].tolist() == [1, 0]


def test_doubled_networks_have_both_halves_in_the_sigma_part():
    network, _ = run(zero_output="double")
    theta = network["ntk"].reshape(3, -1, 10, 10)[0, 0]
    rest = theta - np.kron(network["nngp"][0, 0], np.eye(2))
    assert np.linalg.eigvalsh(rest)[0] > -1e-9
    assert network["nngp"][0, 0].trace() > 0.1 * theta.trace() / 2


def test_first_time_below_a_level_is_exact_for_an_exponential():
    time = np.array([0.0, 1, 3, 4, 10])
    decay = np.array([[0.3, 1.0], [2.5, 0.01]])
    share = np.exp(-decay[..., None] * time)
    found = rates.first_below(time, share, 0.1)
    expected = np.log(10) / decay
    np.testing.assert_allclose(found[decay > 0.2], expected[decay > 0.2], rtol=1e-12)
    assert np.isnan(found[1, 1])
    # shares that begin below the level, and that rise above it again
    assert rates.first_below(time, np.full(5, 0.05), 0.1) == 0
    back = np.array([1, 0.5, 0.01, 2, 3])
    assert 1 < rates.first_below(time, back, 0.1) < 3


def test_a_share_that_only_reaches_a_level_is_not_below_it():
    time, share = np.array([0.0, 1, 2, 3]), np.array([1, 0.5, 0.5, 0.25])
    assert rates.first_below(time, share, 0.5) == 2  # until then it is at the level
    assert np.isnan(rates.first_below(time, share, 0.25))
    assert rates.first_below(time, share, 2.0) == 0


def test_fourier_components_have_the_size_of_their_cosines():
    angle = 2 * np.pi * np.arange(12) / 12
    f = 0.3 + 2 * np.cos(2 * angle) + 1.5 * np.sin(3 * angle) - 0.7 * np.cos(6 * angle)
    size = frequencies.fourier(f[:, None])
    np.testing.assert_allclose(size, [0.3, 0, 2, 1.5, 0, 0, 0.7], atol=1e-12)


def circulant(points=16):
    """A kernel at equal angles and its eigenvalues over N, by frequency."""
    values = 1 / (1 + np.arange(points // 2 + 1.0)) ** 2
    row = np.fft.irfft(values * points, points)
    at = np.arange(points)
    return row[np.abs(at[:, None] - at)], values


@pytest.mark.parametrize("flow", [True, False])
def test_frequencies_of_a_circulant_kernel_are_fitted_at_their_rates(flow):
    theta, values = circulant()
    angle = 2 * np.pi * np.arange(16) / 16
    y = (np.cos(angle) + 2 * np.cos(2 * angle) + np.sin(5 * angle))[:, None]
    step, rate = np.arange(0, 400, 2), 0.5
    r = np.exp(-rate * np.outer(step, values))
    if not flow:
        r = (1 - rate * values) ** step[:, None]
    left = np.fft.irfft(r * np.fft.rfft(y[:, 0]), 16, axis=-1)
    network = {"step": step, "f_train": y - left[None, :, :, None]}
    found = frequencies.frequencies(
        network,
        {"y_train": y},
        {"ntk_train_train": theta},
        rate,
        (1, 2, 5),
        0.1,
        flow,
    )
    for k in (1, 2, 5):
        expected = np.log(10) / values[k]
        if not flow:
            expected = rate * np.log(0.1) / np.log(1 - rate * values[k])
        _, time = found[f"fit_time/{k}"]
        assert time[0, 0] == pytest.approx(expected, rel=1e-9)
        assert found[f"fit_rate/{k}"][1][0, 0] == pytest.approx(1, rel=1e-9)
        assert found[f"mode_left/{k}"][1][0, 0] == pytest.approx(r[-1, k], rel=1e-6)
    assert found["fit_rate_spread"][1][0, 0] < 1e-8


def test_a_frequency_that_is_not_fitted_has_no_time_and_no_warning():
    y = np.cos(6 * np.pi * np.arange(16) / 16)[:, None]
    network = {"step": np.array([0, 9]), "f_train": np.zeros((2, 2, 16, 1))}
    found = frequencies.frequencies(network, {"y_train": y}, None, 1.0, (3,), 0.1)
    assert np.isnan(found["fit_time/3"][1]).all()
    np.testing.assert_allclose(found["mode_left/3"][1], 1)
    table = tidy(found, np.arange(2), np.zeros(2, bool), "base", 8, {"fit_time"})
    assert set(table["metric"]) == {"mode_left/3", "diverged"}


def test_loss_error_is_of_the_residual_and_ends_where_the_loss_is_small():
    network = {
        "step": np.arange(4),
        "stop_step": np.array([3, 1]),
        "loss": np.array([[1, 0.1, 2e-3, 1e-4], [1, 0.5, 0.5, 0.5]]),
    }
    predicted = network["loss"] * np.array([1, 1.21, 0.25, 1e9])
    (_, error) = predictions.loss_error(network, predicted, "limit")["limit_loss_error"]
    np.testing.assert_allclose(error[:, 0], [1, 1 - 1 / 1.1])


def test_a_loss_is_followed_down_to_a_thousandth_of_its_start():
    loss = np.array([[1000.0, 1.0, 0.5]])  # 1 is a thousandth, and still counts
    network = {"step": np.arange(3), "stop_step": np.array([2]), "loss": loss}
    predicted = loss / [[1, 4, 16]]
    found = predictions.loss_error(network, predicted, "x")
    assert found["x_loss_error"][1].tolist() == [[1.0]]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_growth_is_over_the_first_loss_and_finite_where_the_model_diverges(dtype):
    loss = np.array([[2, 1, 5, 3], [1, 1e30, np.inf, np.nan]], dtype)
    found = linear.linear_growth({"step": np.array([0, 1, 2, 7]), "loss": loss})
    assert found["linear_loss_growth"][0].tolist() == [7]
    assert found["linear_loss_growth"][1].tolist() == [[2.5], [1e300]]


def test_residual_has_a_part_along_the_target_and_one_across():
    y = np.array([[3.0], [0], [4], [0]])
    f = np.array([[0.0], [2], [0], [0]])
    along, across = limit_.along_target(f, y)
    assert along == pytest.approx(5 / 2)  # f = 0 along y, so ‖y‖/√N remains
    assert across == pytest.approx(2 / 2)
    halfway = limit_.along_target(np.stack([y / 2, y]), y)
    np.testing.assert_allclose(halfway, [[5 / 4, 0], [0, 0]], atol=1e-15)
    # targets of each network, (s 1 n k), of outputs (s t n k)
    each = limit_.along_target(np.stack([[f, y], [f, y]]), np.stack([[y], [2 * y]]))
    np.testing.assert_allclose(each[0], [[5 / 2, 0], [5, 5 / 2]], atol=1e-15)
    np.testing.assert_allclose(each[1], [[1, 0], [1, 0]], atol=1e-15)


@pytest.mark.parametrize("flow", [True, False])
def test_along_an_eigenvector_the_limit_goes_straight_at_its_rate(flow):
    theta = kernel(5)
    values, vectors = np.linalg.eigh(theta)
    y = 2 * vectors[:, [3]]
    step, rate = np.arange(0, 200), 0.1 / values[-1] * 5
    left = np.exp(-rate * values[3] / 5 * step)
    if not flow:
        left = (1 - rate * values[3] / 5) ** step
    network = {
        "step": step,
        "stop_step": np.array([199]),
        "f_train": (y * (1 - left)[:, None, None])[None],
    }
    found = limit_.straightness(
        network, {"y_train": y}, {"ntk_train_train": theta}, rate, flow
    )
    assert found["straight_gap"][1][0, 0] < 1e-12
    assert found["straight_rate"][1][0, 0] == pytest.approx(1, rel=1e-9)


def test_the_spectrum_of_the_limit_is_known_by_rank_and_by_frequency():
    theta, values = circulant()
    kernels = {"ntk_train_train": theta, "nngp_train_train": theta / 2}
    found = limit_.infinite(kernels, True, (1, 3))
    assert found["limit_ntk_mode/3"] == pytest.approx(values[3])
    assert found["limit_nngp_mode/1"] == pytest.approx(values[1] / 2)
    assert "limit_ntk_mode/2" not in found
    # from 16 to N/16, both included
    assert limit_.limit_frequencies((), 256) == (16,)
    assert limit_.limit_frequencies((), 320) == (16, 17, 18, 19, 20)
    assert found["limit_eigenvalue/1"] == pytest.approx(values[0])
    # cos γ and sin γ have the same
    assert found["limit_eigenvalue/3"] == pytest.approx(values[1])
    ratio = found["limit_eigenvalue_ratio/4"]
    assert ratio == pytest.approx(values[2] / values[0])


def test_the_slowest_decay_of_the_loss_is_that_of_the_smallest_eigenvalue():
    step, eta, values = np.arange(101), 1e-3, np.array([3.0, 1.0])
    u = (1 - eta * values) ** step[:, None]  # (t i), both modes begin at 1
    loss = (u**2).mean(1)[None]
    found = rates.slowest_rate(eta * step, loss, values[1:])
    # from the definition, and within the bounds 2λ_min and 2λ_max of descent
    assert found[0] == pytest.approx(
        min(np.log(loss[0, 0] / loss[0, t]) / (eta * t) for t in step[1:]), rel=1e-12
    )
    assert 2 < found[0] < 2 * 3
    # a loss that is constant for a while violates the bound of Du et al.
    loss[0, 50:] = loss[0, 10]
    assert rates.slowest_rate(eta * step, loss, values[1:])[0] < 1
    assert np.isnan(rates.slowest_rate(eta * step[:1], loss[:, :1], values[1:])[0])
    assert np.isnan(rates.slowest_rate(eta * step, loss, np.zeros(1))[0])


def test_a_loss_of_the_size_of_rounding_has_no_rate():
    time, rate = np.array([0.0, 1, 2, 1000]), np.array([1.0])
    loss = np.array([[1, np.exp(-1.5), np.exp(-2.5), 1e-40]])
    assert rates.slowest_rate(time, loss, rate) == pytest.approx(1.25)


def test_a_draw_of_the_data_is_a_seed_of_infinite_width():
    theta = circulant()[0]
    drawn = np.array([[3.0, 2, 1], [8, 2, 0]])
    found = limit_.infinite({"ntk_train_train": theta, "eigenvalues": drawn}, False)
    table = of_limit(found, "base").set_index(["metric", "seed"])["value"]
    assert table["limit_eigenvalue/2"].to_dict() == {0: 2, 1: 2}
    assert table["limit_eigenvalue_ratio/3"].to_dict() == {0: 1 / 3, 1: 0}
    assert list(table["limit_max"].index) == [0]


def test_a_limit_of_zeros_has_no_ratio_which_is_counted():
    zero = np.zeros((3, 3))
    kernels = {"ntk_train_train": zero, "nngp_train_train": zero}
    table = of_limit(limit_.infinite(kernels, False), "base")
    value = table.set_index("metric")["value"]
    assert np.isfinite(value).all() and value["limit_max"] == 0
    ratios = ["limit_min_ratio", *(f"limit_eigenvalue_ratio/{i}" for i in (1, 2, 3))]
    for ratio in ratios:
        assert ratio not in value and value[f"undefined/{ratio}"] == 1


def test_a_kernel_between_test_points_that_are_not_there_is_refused():
    network = {"step": np.arange(2), "ntk_test": np.zeros((1, 2, 4, 1, 4, 1))}
    found = kernel_slice(network, (0, 3))
    assert list(found) == ["kernel_at/0", "kernel_at/3"]
    with pytest.raises(ValueError, match=r"no test point 4: there are 4"):
        kernel_slice(network, (0, 4))


@pytest.mark.parametrize("early", [1, 3])
def test_the_decay_rate_is_of_the_sizes_between_90_and_5_percent(early):
    """Decay at one rate to 90 %, then at rate 1 to 5 %, then at rate 2."""
    time = np.linspace(0, 6, 601)
    begin = -np.log(0.9) / early
    end = begin + np.log(0.9 / 0.05)
    log = np.log(0.9) - (time - begin)
    log = np.where(time < begin, -early * time, log)
    log = np.where(time > end, np.log(0.05) - 2 * (time - end), log)
    t, y = (a[(time > begin) & (time < end)] for a in (time, log))
    found = rates.decay_rate(time, 7 * np.exp(log))
    assert found == pytest.approx(-np.sum(t * y) / np.sum(t**2), rel=1e-12)
    if early == 1:
        assert found == pytest.approx(1, rel=1e-12)


def recorded(seeds=2, snapshots=3, points=4, outputs=2, depth=3):
    """Random arrays with the shapes of a training's arrays; kernels are positive."""
    rng, size = np.random.default_rng(3), points * outputs
    shape = seeds, snapshots

    def random_kernel(n):
        a = rng.normal(size=(*shape, n, n + 2))
        return a @ np.swapaxes(a, -2, -1)

    nngp = random_kernel(points)
    whole = random_kernel(size) + np.kron(nngp, np.eye(outputs))
    return {
        "snapshot": np.array([0, 5, 20]),
        "ntk": whole.reshape(*shape, points, outputs, points, outputs),
        "nngp": nngp,
        "feature_change": rng.random((*shape, depth)),
        "flips": rng.random((*shape, depth)),
        "neuron_move": rng.random(shape),
        "gradient_norm": 1 + rng.random(shape),
        "hessian_norm": 1 + rng.random(shape),
    }


def test_every_metric_of_kernels_is_what_its_name_says():
    network, norm = recorded(), np.linalg.norm
    y = np.random.default_rng(4).normal(size=(4, 2))
    limit = {"ntk_train_train": kernel(4)}
    data = {"x_train": np.zeros((4, 3)), "y_train": y}
    found = kernel_.kernels(network, data, limit, 0.3)
    found |= by_recorder(network, "flips", "hessian_norm")
    theta = network["ntk"][1].reshape(3, 8, 8)
    start, end = theta[0], theta[-1]
    sigma = [np.kron(a, np.eye(2)) for a in network["nngp"][1]]
    rest = [a - b for a, b in zip(theta, sigma, strict=True)]
    parts = network["ntk"][1, -1]
    trace = (parts[:, 0, :, 0] + parts[:, 1, :, 1]) / 2
    summed = parts.sum((1, 3)) / 2  # the kernel of (f₁ + f₂)/√2
    values = np.linalg.eigvalsh(end / 4)
    centre, v = np.eye(4) - 1 / 4, y.ravel()
    a, b = centre @ trace @ centre, centre @ y @ y.T @ centre
    expected = {
        "ntk_change": norm(end - start) / norm(start),
        "ntk_cosine": 1 - np.sum(start * end) / norm(start) / norm(end),
        "ntk_trace_ratio": end.trace() / start.trace(),
        "ntk_inflation": end.trace() / start.trace() - 1,
        "ntk_alignment": np.sum(a * b) / norm(a) / norm(b),
        "feature_change": network["feature_change"][1, -1, 2],
        "nngp_change": norm(sigma[2] - sigma[0]) / norm(sigma[0]),
        "ntk_rest_change": norm(rest[2] - rest[0]) / norm(rest[0]),
        "ntk_rest_drop": 1 - (v @ rest[2] @ v) / (v @ rest[0] @ v),
        "ntk_min": values[0],
        "ntk_max": values[-1],
        "ntk_condition": values[-1] / values[0],
        "learning_rate_relative": 0.3 / (2 / values[-1]),
        "ntk_pseudo_error": norm(end - np.kron(summed, np.eye(2))) / norm(end),
        "neuron_move": network["neuron_move"][1, -1],
        "gradient_norm": network["gradient_norm"][1, -1],
        "hessian_norm": network["hessian_norm"][1, -1],
        "kappa": network["hessian_norm"][1, -1] / network["gradient_norm"][1, -1] ** 2,
        "ntk_limit_error": norm(trace - limit["ntk_train_train"])
        / norm(limit["ntk_train_train"]),
    }
    for layer in range(3):
        for name in ("flips", "feature_change"):
            expected[f"{name}/{layer + 1}"] = network[name][1, -1, layer]
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name][0][-1] == 20
        assert found[name][1][1, -1] == pytest.approx(value, rel=1e-9), name
    # these metrics exist only if the last layer is learned
    frozen = kernel_.kernels(network, data, limit, 0.3, learned_output=False)
    frozen |= by_recorder(network, "flips", "hessian_norm")
    parts = {"nngp_change", "ntk_rest_change", "ntk_rest_drop"}
    assert set(found) - set(frozen) == parts


def test_faults_are_of_a_singular_kernel_of_dead_layers_and_of_rounding():
    network = recorded(seeds=4)
    assert not any(v.any() for _, v in faults.faults(network).values())
    network["ntk"][0, -1] = 0  # no inverse at the end
    network["nngp"][1, 0] = 3.0  # the same for all points at the start
    network["nngp"][2, -1] = 0.0
    network["ntk"][3, -1] = network["ntk"][3, 0] * (1 + 1e-16)
    found = faults.faults(network)
    assert found["singular"][1].tolist() == [[0, 1], [0, 0], [0, 0], [0, 0]]
    assert found["dead"][1].tolist() == [[0, 0], [1, 0], [0, 1], [0, 0]]
    assert found["unresolved"][1].tolist() == [[0], [0], [0], [1]]
    assert found["unresolved"][0].tolist() == [20]


def test_a_layer_is_not_dead_because_there_is_one_point():
    network = recorded(seeds=2)
    one = network | {"ntk": network["ntk"][..., :1, :, :1, :]}
    one["nngp"] = network["nngp"][..., :1, :1]
    assert not faults.faults(one)["dead"][1].any()


def test_losses_and_weights_are_followed_while_a_network_runs():
    network = {
        "step": np.array([0, 1, 2, 4]),
        "snapshot": np.array([0, 2, 4]),
        "layer": ["W1", "b1"],
        "loss": np.array([[4.0, 6, 2, 1], [2, 1, 0.5, 0.5]]),
        "weight_change": np.array([[[0, 0], [1, 1], [2, 1], [3, 4.0]]] * 2),
        "weight_norm": np.array([[3.0, 0], [6, 0]]),
        "weight_gap": np.array([[0, 1, 2, 5.0], [0, 1, 2, 5]]),
        "converged": np.array([False, True]),
        "stop_step": np.array([4, 2]),
    }
    found = weights.trajectories(network) | by_recorder(network, "weight_gap")
    assert "weight_change/b1" not in found  # begins at 0
    for name, steps, values in (
        ("loss", [0, 2, 4], [[4, 2, 1], [2, 0.5, 0.5]]),
        ("loss_ratio", [4], [[1 / 4], [1 / 4]]),
        ("loss_growth", [4], [[6 / 4], [1]]),
        ("weight_distance", [0, 2, 4], [[0, 5**0.5, 5]] * 2),
        ("weight_change", [0, 2, 4], [[0, 5**0.5 / 3, 5 / 3], [0, 5**0.5 / 6, 5 / 6]]),
        ("weight_change/W1", [0, 2, 4], [[0, 2 / 3, 1], [0, 1 / 3, 1 / 2]]),
        ("linear_weight_gap", [4], [[5], [2]]),
        ("converged", [4], [[0], [1]]),
        ("stop_step", [4], [[np.nan], [2]]),
    ):
        assert found[name][0].tolist() == steps, name
        np.testing.assert_allclose(found[name][1], values, err_msg=name)


def test_the_limit_moves_each_network_from_where_it_begins():
    """Gradient flow of one eigenvector of the kernel, from the network's outputs."""
    theta, test = kernel(4), np.random.default_rng(5).normal(size=(3, 4))
    rng, step = np.random.default_rng(6), np.array([0, 3, 50])
    data = {"y_train": rng.normal(size=(4, 1))}
    values, vectors = np.linalg.eigh(theta / 4)
    network = {
        "step": step,
        "f_train": data["y_train"] + rng.normal(size=(2, 3, 1, 1)) * vectors[:, [2]],
        "f_test": rng.normal(size=(2, 3, 3, 1)),
    }
    limit = {"ntk_train_train": theta, "ntk_test_train": test}
    training = Training(learning_rate=0.1, steps=50)
    found = limit_.limit_dynamics(network, data, limit, training, True)
    left = np.exp(-0.1 * step * values[2])[:, None, None]
    for seed in range(2):
        u0 = network["f_train"][seed, 0] - data["y_train"]
        expected = data["y_train"] + left * u0
        np.testing.assert_allclose(found["f_train"][seed], expected, rtol=1e-9)
        gained = (left - 1) * (test @ np.linalg.solve(theta, u0))
        expected = network["f_test"][seed, 0] + gained
        np.testing.assert_allclose(found["f_test"][seed], expected, rtol=1e-9)


def test_five_eigenvalues_of_the_limit_are_metrics_and_its_rank():
    values = np.array([9.0, 7, 5, 4, 2, 1, 0, 0])
    q = np.linalg.qr(np.random.default_rng(7).normal(size=(8, 8)))[0]
    theta = (q * values) @ q.T
    found = limit_.infinite({"ntk_train_train": theta}, False)
    for i in range(1, 6):
        assert found[f"limit_eigenvalue/{i}"] == pytest.approx(values[i - 1] / 8)
        assert found[f"limit_eigenvalue_ratio/{i}"] == pytest.approx(values[i - 1] / 9)
    assert "limit_eigenvalue/6" not in found
    assert found["limit_rank"] == 6
    assert found["limit_max"] == pytest.approx(9 / 8)
    assert found["limit_min"] == pytest.approx(0, abs=1e-12)


def experiment(**settings):
    return study.parse(
        yaml.safe_dump(
            {
                "title": "A",
                "question": "B?",
                "dataset": {
                    "kind": "circle",
                    "points": 8,
                    "target": {"kind": "product"},
                },
                "model": {"depth": 2},
                "training": {"learning_rate": 1, "steps": 5},
                "widths": [4],
            }
            | settings
        ),
        "x.yaml",
    ).variants["base"]


@pytest.mark.parametrize(
    ("name", "close"),
    [
        ("ntk_chnge", "ntk_change"),
        ("mode_rates/1", "mode_rate/i"),
        ("flips", "flips/l"),
        ("fit_tim/*", "fit_time/k"),
    ],
)
def test_a_misspelt_metric_is_reported_with_the_closest_name(name, close):
    assert measurements.find(name) is None
    assert close in measurements.unknown(name)


@pytest.mark.parametrize(
    "name",
    ["loss", "weight_change/b12", "fit_time/*", "ntk_*", "fit_t*/1", "weight_c*/W2"],
)
def test_metrics_and_patterns_are_found(name):
    assert measurements.find(name) is not None
    assert measurements.unknown(name) is None


def test_an_experiment_lacks_metrics_whose_needs_it_does_not_meet():
    e = experiment(measure={"modes": 2})
    for name in ("mode_rate/2", "mode_rate/*", "flips", "weight_change/W3", "*_change"):
        assert measurements.unmet(name, e) is None
    for name in (
        "mode_rate/3",
        "flips/1",
        "limit_gap",
        "weight_change/W4",
        "stop_step",
    ):
        assert measurements.unmet(name, e) is not None
    assert "training.unit_changes" in measurements.unmet("flips/1", e)


@pytest.mark.parametrize(("most", "more"), [(8, ""), (9, ", …")])
def test_at_most_eight_indices_are_named(most, more):
    dataset = {"kind": "circle", "points": 30, "target": {"kind": "product"}}
    frequencies = [*range(1, most + 1)]
    e = experiment(measure={"frequencies": frequencies}, dataset=dataset)
    said = measurements.unmet("mode_left/12", e)
    assert said.endswith(f"there are 1, 2, 3, 4, 5, 6, 7, 8{more}")


@pytest.mark.parametrize("frequencies", [[2], [2, 3]])
def test_a_spread_over_frequencies_needs_two(frequencies):
    dataset = {"kind": "circle", "points": 8, "target": {"kind": "product"}}
    e = experiment(measure={"frequencies": frequencies}, dataset=dataset, limit="steps")
    unmet = measurements.unmet("fit_rate_spread", e)
    assert unmet is None if len(frequencies) > 1 else "or more" in unmet


def test_a_meaning_is_in_words_and_a_formula_in_symbols():
    word = re.compile(r"[A-Za-z]{5,}")
    for metric in measurements.METRICS:
        assert re.fullmatch("[a-z][a-z0-9_]*", metric.name), metric
        assert not word.search(metric.formula), metric
        if metric.formula:
            assert word.search(metric.meaning), metric


def test_an_axis_says_what_a_metric_is_and_its_index():
    assert measurements.label("loss") == "training loss"
    assert measurements.label("limit_gap_test") == "limit gap test"
    assert "W2" in measurements.label("weight_change/W2")
    assert measurements.label("mode_rate/3").endswith(", 3")
