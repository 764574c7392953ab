"""Kernels and ensembles agree with references, closed forms, quadrature and limits."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ntkpipe.kernels import dual_activations, infinite
from ntkpipe.kernels.ensemble import ensemble
from ntkpipe.kernels.infinite import Kernels, kernels
from ntkpipe.kernels.linear import predict
from ntkpipe.models.activations import ACTIVATIONS

DATA = Path(__file__).parent / "data"
CASES = json.loads((DATA / "index.json").read_text())
CIRCLE = np.array([-2.2, -1, 1, 2.2])
LABELS = np.array([-0.4, -0.2, 0.3, 0.3])[:, None]
JACOT = {"depth": 3, "activation": "relu", "W_std": 1.0, "b_std": 0.1}


def circle(angle):
    return np.stack([np.cos(angle), np.sin(angle)], -1)


def blocks(x, x_test, **network):
    """Train, test-train and test kernels."""
    return (
        kernels(x, **network),
        kernels(x_test, x, **network),
        kernels(x_test, **network),
    )


def reference(case):
    about, data = CASES[case], np.load(DATA / f"{case}.npz")
    network = {
        "depth": about["depth"],
        "activation": about["act"],
        "W_std": about["w_std"],
        "b_std": about["b_std"],
    }
    return data, network


@pytest.mark.parametrize("case", CASES)
def test_kernels_agree_with_neural_tangents(case):
    data, network = reference(case)
    parts = blocks(data["x_train"], data["x_test"], **network)
    names = "train_train", "test_train", "test_test"
    for ours, which in zip(parts, names, strict=True):
        np.testing.assert_allclose(ours.nngp, data[f"nngp_{which}"], rtol=1e-10)
        np.testing.assert_allclose(ours.ntk, data[f"ntk_{which}"], rtol=1e-10)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("trained", ["ntk", "nngp"])
def test_ensembles_agree_with_neural_tangents(case, trained):
    data, network = reference(case)
    parts = blocks(data["x_train"], data["x_test"], **network)
    if trained == "nngp":
        parts = [Kernels(part.nngp, part.nngp) for part in parts]
    # the loss of neural-tangents is a mean over outputs, too: t = k · our t
    out = ensemble(*parts, data["y_train"], [3.0 / data["y_train"].shape[1], np.inf])
    for i, t in enumerate(["3.0", "inf"]):
        for ours, what in ((out.mean[i], "mean"), (out.cov[i], "cov")):
            theirs = data[f"ens_{trained}_{what}_{t}"]
            np.testing.assert_allclose(
                ours, theirs, rtol=1e-6, atol=1e-6 * np.abs(theirs).max()
            )


def sphere(n=12, d=10):
    x = np.random.default_rng(0).normal(size=(n, d))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_fixed_signs_give_the_kernel_of_du():
    x = sphere()
    cosine = np.clip(x @ x.T, -1, 1)
    expected = cosine * (np.pi - np.arccos(cosine)) / (2 * np.pi)
    network = {"depth": 1, "activation": "relu", "output_weights": "signs"}
    # ‖x‖ = √d cancels the factor 1/√d of the input layer
    found = kernels(np.sqrt(10) * x, **network).ntk
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-15)
    mixed = kernels(np.sqrt(10) * x[:3], np.sqrt(10) * x, **network).ntk
    np.testing.assert_allclose(mixed, expected[:3], rtol=1e-7, atol=1e-15)


# Basri et al. 2019: κ(γ) = Σ_k c_k cos kγ, first layer trained, on the circle
def basri(k, bias):
    if k < 2:
        first = (0.5 / np.pi**2 + 1 / 8, 1 / np.pi**2 + 1 / 8)
        return first[k] if bias else (1 / np.pi**2, 1 / 4)[k]
    if k % 2:
        return bias / (np.pi * k) ** 2
    return (2 - bias) * (k**2 + 1) / (np.pi * (k**2 - 1)) ** 2


@pytest.mark.parametrize("bias", [True, False])
def test_spectra_of_the_circle_are_those_of_basri(bias):
    points = 2**14
    angle = 2 * np.pi * np.arange(points) / points
    network = {"depth": 1, "activation": "relu", "output_weights": "signs"}
    if bias:  # (x·x' + 1)(π − θ)/4π, biases begin at zero
        network |= {"b_std": 0.5**0.5, "biases": "zero"}
    else:  # x·x'(π − θ)/2π; W_std⁴/d = 1
        network |= {"W_std": 2**0.25}
    row = kernels(circle(np.zeros(1)), circle(angle), **network).ntk[0]
    found = np.fft.rfft(row).real / points
    found = np.where(np.arange(len(found)) > 0, 2 * found, found)
    for k in range(20):
        assert found[k] == pytest.approx(basri(k, bias), abs=1e-7)


@pytest.mark.parametrize("output_weights", ["learned", "signs"])
@pytest.mark.parametrize("biases", ["random", "zero"])
@pytest.mark.parametrize("activation, depth", [("relu", 1), ("tanh", 2)])
def test_wide_networks_have_the_kernel(output_weights, biases, activation, depth):
    from ntkpipe.kernels.blocks import last_layer
    from ntkpipe.kernels.empirical import ntk
    from ntkpipe.kernels.signals import signals
    from ntkpipe.models.mlp import MLP

    model = MLP(
        depth=depth,
        activation=activation,
        W_std=1.3,
        b_std=0.4,
        output_weights=output_weights,
        biases=biases,
    )
    x, width = sphere(4, 3), 1024
    nngp, theta = model.infinite(x)
    if (biases, output_weights) == ("zero", "learned"):
        nngp = nngp + 0.4**2  # the bias is learned, but adds no variance to the outputs
    expected, found = (nngp, theta), []
    for seed in range(12):
        params = model.init_params(jax.random.key(seed), width, 3, 1)
        rates = model.learning_rates(params)
        _, of_x = signals(model.apply, params, x, rates)
        kernel = ntk(model.apply, params, x, rates=rates)[:, 0, :, 0]
        found.append((last_layer(of_x), kernel))
    for values, limit in zip(zip(*found, strict=True), expected, strict=True):
        values = np.stack(values)
        error = values.std(0) / np.sqrt(len(values)) + 2e-3 * np.abs(limit)
        assert (np.abs(values.mean(0) - limit) < 4 * error).all()


def test_by_default_weights_have_variance_1_and_there_are_no_biases():
    x = np.random.default_rng(0).normal(size=(4, 3))
    found = infinite.kernels(x, depth=2, activation="erf")
    told = infinite.kernels(x, depth=2, activation="erf", W_std=1.0, b_std=0.0)
    np.testing.assert_array_equal(found.ntk, told.ntk)


def test_the_kernel_has_the_values_of_jacot_figure_1():
    ntk = kernels(
        circle(np.zeros(1)), circle(np.pi * np.array([0, 0.5, 1])), **JACOT
    ).ntk
    np.testing.assert_allclose(ntk, [[0.28250, 0.09270, 0.06435]], atol=5e-6)


def test_the_ensemble_has_the_values_of_jacot_figure_2():
    parts = blocks(circle(CIRCLE), circle(np.array([np.pi, 0])), **JACOT)
    eigenvalues = np.linalg.eigvalsh(parts[0].ntk / 4)
    np.testing.assert_allclose(
        eigenvalues, [0.03740, 0.04290, 0.06619, 0.13601], atol=6e-6
    )
    out = ensemble(*parts, LABELS, [1000, np.inf])
    for i in range(2):
        np.testing.assert_allclose(out.mean[i, :, 0], [-0.0463, 0.0439], atol=6e-5)
        sd = np.sqrt(np.diag(out.cov[i]))
        np.testing.assert_allclose(sd, [0.1285, 0.1373], atol=6e-5)


# --- the moments ------------------------------------------------------------------


def quadrature(phi, c, q1, q2):
    """E[φ(u)φ(v)] by a trapezoidal sum over the plane, and its slope in c."""
    z = np.arange(-120, 121) / 12
    w = np.exp(-(z**2) / 2)
    w /= w.sum()
    rho = c / np.sqrt(q1 * q2)
    u = np.sqrt(q1) * z
    v = np.sqrt(q2) * (rho * z[:, None] + np.sqrt(1 - rho**2) * z)
    slope = jax.vmap(jax.grad(phi))
    values = w * np.array(phi(u)) @ (np.array(phi(v)) @ w)
    return values, w * np.array(slope(u)) @ (
        np.array(slope(v.ravel())).reshape(v.shape) @ w
    )


@pytest.mark.parametrize(
    "name", ["erf", "gelu", "linear", "square", "tanh", "softplus"]
)
@pytest.mark.parametrize("c", [-0.6, 0.79])
def test_moments_are_integrals(name, c):
    q1, q2 = 0.5, 1.3
    if name in dual_activations.CLOSED:
        ours = dual_activations.CLOSED[name](c, q1, q2)
    else:
        a, slope, _, _ = dual_activations.hermite_coefficients(
            ACTIVATIONS[name], jnp.array([q1, q2])
        )
        ours = dual_activations.hermite_sums(
            c, q1, a[:, 0], slope[:, 0], q2, a[:, 1], slope[:, 1]
        )
    np.testing.assert_allclose(ours, quadrature(ACTIVATIONS[name], c, q1, q2), 0, 2e-10)


def test_relu_moments_are_arc_cosine_kernels():
    for angle in (0, 1e-5, 0.3, np.pi / 2, 3, np.pi):
        value, slope = dual_activations.CLOSED["relu"](2.0 * np.cos(angle), 4.0, 1.0)
        exact = (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / np.pi
        np.testing.assert_allclose(value, exact, rtol=1e-10, atol=1e-15)
        np.testing.assert_allclose(slope, (np.pi - angle) / (2 * np.pi), atol=1e-11)


def series_kernels(name, monkeypatch, *x, **network):
    with monkeypatch.context() as patch:
        patch.delitem(dual_activations.CLOSED, name)
        return kernels(*x, activation=name, **network)


@pytest.mark.parametrize("name", ["erf", "gelu", "linear", "square"])
@pytest.mark.parametrize("grid", [True, False])
def test_series_agrees_with_closed_form(name, grid, monkeypatch):
    # neighbours on a line have ρ → 1, where a series converges slowest
    x = np.linspace(-2, 2, 31)[:, None]
    x = x if grid else np.random.default_rng(0).normal(size=(31, 10))
    network = {"depth": 2, "W_std": 1.2 if name != "square" else 0.6, "b_std": 0.1}
    exact = kernels(x, activation=name, **network)
    series = series_kernels(name, monkeypatch, x, **network)
    for one, other in zip(series, exact, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)


def test_series_of_relu_is_as_good_as_it_says(monkeypatch):
    # relu has a kink: coefficients fall as a power, those of φ' too slowly for any
    # tolerance, and trapezoidal sums have second order only
    x = np.random.default_rng(0).normal(size=(8, 10))
    with pytest.warns(UserWarning, match="Hermite terms"):
        series = series_kernels("relu", monkeypatch, x, depth=1)
    exact = kernels(x, depth=1, activation="relu")
    np.testing.assert_allclose(series.nngp, exact.nngp, atol=1e-4)
    np.testing.assert_allclose(series.ntk, exact.ntk, rtol=0.01, atol=0.01)


def test_series_that_is_too_short_says_by_how_much(monkeypatch):
    monkeypatch.setattr(dual_activations, "MAX_TERMS", 64)
    with pytest.warns(UserWarning, match="of its diagonal only, with 64 Hermite"):
        kernels(5 * np.ones((1, 1)), depth=1, activation="tanh")


@pytest.mark.parametrize("name", ["tanh", "softplus"])
def test_series_diagonal_is_the_variance(name):
    x = np.linspace(-1, 1, 9)[:, None]
    k = kernels(x, depth=1, activation=name, W_std=1.5, b_std=0.2)
    z = np.arange(-400, 401) / 32
    w = np.exp(-(z**2) / 2) / np.exp(-(z**2) / 2).sum()
    q = 1.5**2 * x[:, 0] ** 2 + 0.2**2
    second = np.array(ACTIVATIONS[name](np.sqrt(q)[:, None] * z)) ** 2 @ w
    np.testing.assert_allclose(np.diag(k.nngp), 1.5**2 * second + 0.04, rtol=1e-9)


# --- kernels ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["relu", "erf", "tanh"])
def test_tiles_make_the_same_kernel(name):
    rng = np.random.default_rng(0)
    x1, x2 = rng.normal(size=(40, 3)), rng.normal(size=(32, 3))
    network = {"depth": 1, "activation": name, "W_std": 1.3, "b_std": 0.1}
    for x in ((x1,), (x1, x2)):
        whole, tiled = kernels(*x, **network), kernels(*x, tile=32, **network)
        for one, other in zip(whole, tiled, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-13)
            if len(x) == 1:
                np.testing.assert_array_equal(other, other.T)


@pytest.mark.parametrize("dimension", [1, 784])
def test_relu_of_equal_and_of_parallel_points(dimension):
    x = np.random.default_rng(0).normal(size=(1, dimension))
    k = kernels(np.concatenate([x, x]), 2 * x, depth=2, activation="relu", W_std=2**0.5)
    scale = 2 * (x**2).mean()
    np.testing.assert_allclose(k.nngp, 2 * np.full((2, 1), scale), rtol=1e-13)
    np.testing.assert_allclose(k.ntk, 6 * np.full((2, 1), scale), rtol=1e-13)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_origin_without_bias_has_a_kernel(name):
    k = kernels(np.array([[0.0], [1.0]]), depth=2, activation=name)
    assert all(np.isfinite(part).all() for part in k)
    if ACTIVATIONS[name](0.0) == 0:
        assert k.nngp[0, 0] == k.ntk[0, 0] == 0


def test_circle_without_bias_is_not_positive_definite_at_depth_one():
    x = circle(2 * np.pi * np.arange(16) / 16)

    def smallest(depth, b_std):
        network = {"depth": depth, "activation": "relu", "b_std": b_std}
        eigenvalues = np.linalg.eigvalsh(kernels(x, **network).ntk)
        return eigenvalues[0] / eigenvalues[-1]

    assert abs(smallest(1, 0.0)) < 1e-12
    assert smallest(1, 0.1) > 1e-4
    assert smallest(2, 0.0) > 1e-4


def test_square_gives_a_quadratic_in_the_cosine():
    x = circle(np.random.default_rng(0).uniform(0, 6, 12))
    network = {"depth": 1, "activation": "square", "b_std": 0.3}
    assert np.linalg.matrix_rank(kernels(x, **network).ntk, tol=1e-10) == 5


def test_wide_network_is_near_the_limit():
    rng, n = np.random.default_rng(0), 1 << 15
    x = rng.normal(size=(4, 3))
    w, v = rng.normal(size=(3, n)), rng.normal(size=n)
    h, slope = np.tanh(x @ w / 3**0.5), 1 / np.cosh(x @ w / 3**0.5) ** 2
    inner = (slope * v) @ (slope * v).T / n
    k = kernels(x, depth=1, activation="tanh")
    np.testing.assert_allclose(h @ h.T / n, k.nngp, atol=0.03)
    np.testing.assert_allclose(h @ h.T / n + x @ x.T / 3 * inner, k.ntk, atol=0.06)


points = st.integers(0, 2**31 - 1).map(
    lambda seed: np.random.default_rng(seed).normal(size=(6, 3))
)


@given(
    x=points,
    name=st.sampled_from(list(ACTIVATIONS)),
    depth=st.integers(1, 3),
    W_std=st.floats(0.3, 1.0),
    b_std=st.floats(0, 0.5),
)
@settings(deadline=None, max_examples=8)
def test_kernels_are_symmetric_positive_and_equivariant(x, name, depth, W_std, b_std):
    network = {"depth": depth, "activation": name, "W_std": W_std, "b_std": b_std}
    k, order = kernels(x, **network), np.arange(6)[::-1]
    for one, other in zip(k, kernels(x[order], **network), strict=True):
        np.testing.assert_array_equal(one, one.T)
        eigenvalues = np.linalg.eigvalsh(one)
        assert eigenvalues[0] > -1e-8 * eigenvalues[-1]
        np.testing.assert_allclose(one[order][:, order], other, rtol=1e-9, atol=1e-12)
    rotated = kernels(x @ np.linalg.qr(x[:3])[0], **network)
    np.testing.assert_allclose(rotated.ntk, k.ntk, rtol=1e-8, atol=1e-9)


# --- ensembles --------------------------------------------------------------------


def test_an_ensemble_goes_from_the_prior_to_interpolation():
    x, x_test = circle(CIRCLE), circle(np.linspace(-3, 3, 7))
    parts = blocks(x, x_test, **JACOT)
    out = ensemble(*parts, LABELS, [0, 1, 10, 100, 1000, np.inf])
    np.testing.assert_allclose(out.mean[0], 0, atol=1e-15)
    np.testing.assert_allclose(out.cov[0], parts[2].nngp, rtol=1e-13)
    np.testing.assert_allclose(out.mean[-1], out.mean[-2], rtol=1e-9)
    for cov in out.cov:
        np.testing.assert_allclose(cov, cov.T, atol=1e-14)
        assert np.linalg.eigvalsh(cov)[0] > -1e-14
    # at the training points the ensemble interpolates, without any spread
    same = ensemble(parts[0], parts[0], parts[0], LABELS, np.inf)
    np.testing.assert_allclose(same.mean[0], LABELS, rtol=1e-12)
    np.testing.assert_allclose(same.cov[0], 0, atol=1e-13)


def test_ensemble_of_duplicate_points_is_that_of_the_distinct():
    x, x_test = circle(CIRCLE), circle(np.linspace(-3, 3, 7))
    twice = np.concatenate([x, x])
    one = ensemble(*blocks(x, x_test, **JACOT), LABELS, [5, np.inf])
    labels = np.concatenate([LABELS, LABELS])
    both = ensemble(*blocks(twice, x_test, **JACOT), labels, [5, np.inf])
    np.testing.assert_allclose(both.mean, one.mean, atol=1e-12)
    np.testing.assert_allclose(both.cov, one.cov, atol=1e-12)


@pytest.mark.parametrize(
    "how", [{"t": [2, 50]}, {"steps": [2, 50], "learning_rate": 5}]
)
def test_ensemble_is_the_distribution_of_linearised_networks(how):
    """f_t is linear in f₀: mean from f₀ = 0, covariance from the action on f₀."""
    x, x_test = circle(CIRCLE), circle(np.linspace(-3, 3, 5))
    parts = blocks(x, x_test, **JACOT)
    steps, eta = how.get("t", how.get("steps")), how.get("learning_rate", 1.0)

    def trained(f0, f0_test, y):
        return predict(
            parts[0].ntk[:, None, :, None],
            f0,
            y,
            steps,
            eta,
            flow="t" in how,
            ntk_test=parts[1].ntk[:, None, :, None],
            f0_test=f0_test,
        ).f_test

    out = ensemble(*parts, LABELS, **how)
    zero = np.zeros((5, 1))
    np.testing.assert_allclose(out.mean, trained(0 * LABELS, zero, LABELS), rtol=1e-11)
    # nine functions at once: unit f₀ on the training and on the test points
    f0 = np.eye(9)[:4], np.eye(9)[4:]
    action = trained(*f0, np.zeros((4, 9)))
    joint = np.block([[parts[0].nngp, parts[1].nngp.T], [parts[1].nngp, parts[2].nngp]])
    spread = action @ joint @ action.swapaxes(1, 2)
    np.testing.assert_allclose(out.cov, spread, rtol=1e-10, atol=1e-12)


def test_errors_tell_what_to_give():
    parts = blocks(circle(CIRCLE), circle(CIRCLE), **JACOT)
    with pytest.raises(ValueError, match="not one of relu"):
        kernels(np.ones((1, 1)), depth=1, activation="Relu")
    for how in ({}, {"t": 1, "steps": 1, "learning_rate": 1}, {"steps": 1}):
        with pytest.raises(ValueError, match="give `t` alone, or `steps`"):
            ensemble(*parts, LABELS, **how)


def test_a_series_is_as_long_in_single_precision():
    code = """
import warnings
warnings.simplefilter("error")
import numpy as np
from ntkpipe.kernels import infinite
x = np.cos(np.arange(15.0)).reshape(5, 3)
print(infinite.kernels(x, activation="tanh", depth=2).ntk[0].tolist())
"""
    run = [sys.executable, "-c", code]
    env = os.environ | {"JAX_ENABLE_X64": "0", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(run, capture_output=True, text=True, check=True, env=env)
    x = np.cos(np.arange(15.0)).reshape(5, 3)
    expected = infinite.kernels(x, activation="tanh", depth=2).ntk[0]
    np.testing.assert_allclose(ast.literal_eval(done.stdout), expected, rtol=1e-5)


@pytest.mark.parametrize("odd", [{"output_weights": "sign"}, {"biases": "zeros"}])
def test_unknown_options_are_refused(odd):
    with pytest.raises(ValueError, match="learned or signs"):
        infinite.kernels(np.eye(3), activation="relu", depth=1, **odd)
