"""Moments over many networks agree with brute force and with exact values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from ntkpipe.data.base import Data
from ntkpipe.models.mlp import MLP
from ntkpipe.training import train
from ntkpipe.training.protocol import Training
from ntkpipe.training.recorders import moments

KEY = jax.random.key(5)
POINTS = np.array([[0.3, -1.2, 0.5], [1.0, 0.4, -0.2], [0.1, 0.2, 0.3]])


def brute_force(model, params, points):
    """The quantities of one network, from its full Jacobian and Hessian."""
    flat, unravel = ravel_pytree(params)
    rates = ravel_pytree(
        jax.tree.map(lambda w, r: r + 0 * w, params, model.learning_rates(params))
    )[0]

    def f(w):
        return model.apply(unravel(w), points)[:, 0]

    value, jacobian = f(flat), jax.jacrev(f)(flat)
    hessian = jax.hessian(lambda w: f(w)[0])(flat)
    theta = (jacobian * rates[None]) @ jacobian.T
    v = rates * jacobian[0]
    weights = ravel_pytree(
        jax.tree_util.tree_map_with_path(
            lambda path, w: float(path[-1].key == "w") + 0 * w, params
        )
    )[0]
    theta_w = (weights * rates * jacobian[0]) @ jacobian[0]
    own = jax.grad(lambda w: jnp.sum(rates * jax.grad(lambda u: f(u)[0])(w) ** 2))
    return [
        value[0] ** 2,
        value[0] ** 4,
        theta[0, 0],
        theta[0, 0] ** 2,
        theta_w,
        theta_w**2,
        v @ hessian @ v * value[0],
        (own(flat) @ v) ** 2,
        theta[0, 1],
        theta[0, 2],
    ]


@pytest.mark.parametrize(
    "model",
    [
        MLP(depth=2, activation="tanh", b_std=0.5),
        MLP(depth=2, activation="relu", b_std=1.0, biases="zero"),
        MLP(depth=1, activation="gelu", parameterization="mup", W_std=1.5),
    ],
)
def test_moments_are_those_of_the_full_jacobian_and_hessian(model, monkeypatch):
    monkeypatch.setattr(moments, "TOGETHER", {"cpu": 150})  # chunks of unequal size
    found = moments.moments(model, 7, 4, 2)(POINTS, KEY)
    networks = [
        model.init_params(jax.random.fold_in(KEY, i), 4, 3, 2) for i in range(7)
    ]
    of_one = jax.jit(lambda params: brute_force(model, params, POINTS))
    expected = np.mean([of_one(params) for params in networks], 0)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-14)


def groups(model, width, count, networks, points=((1.0,),)):
    group = moments.moments(model, networks, width, 1)
    keys = [jax.random.fold_in(KEY, r) for r in range(count)]
    return np.stack([group(np.array(points), key) for key in keys])


def within(values, expected, standard_errors=4):
    error = values.std(ddof=1) / np.sqrt(len(values))
    assert abs(values.mean() - expected) < standard_errors * error
    return error


def test_a_linear_network_has_the_moments_that_are_exact():
    n = 4
    model = MLP(depth=1, activation="linear")
    found = groups(model, n, 20, 20_000)
    of = moments.ensembles({"moments": found}, 1, n, None)
    # E f⁴/(E f²)² = 3 + 6/n, E Θ = 2, Var Θ = 4/n, vᵀ∇²f v = 2f/n
    for name, expected, error in (
        ("output_kurtosis", 6 / n, 0.05),
        ("output_kurtosis_n", 6, 0.2),
        ("ntk_mean", 2, 0.01),
        ("ntk_mean_per_layer", 1, 0.01),
        ("ntk_variance", 4 / n, 0.01),
        ("ntk_moment_ratio", 1 + 1 / n, 0.01),
        ("ntk_moment_log", np.log(1 + 1 / n), 0.01),
        ("ntk_moment_rate", n * np.log(1 + 1 / n), 0.02),
        ("ntk_moment_rate_weights", n * np.log(1 + 1 / n), 0.02),
        ("hessian_correlation", 2 / n, 0.01),
        ("o3", 4 / n, 0.01),
    ):
        step, values = of[name]
        assert step.tolist() == [0] and values.shape == (20, 1)
        assert within(values[:, 0], expected) < error, name


def test_the_mean_kernel_of_relu_has_no_bias_on_the_diagonal():
    model = MLP(depth=2, activation="relu", W_std=np.sqrt(2).item())
    points = np.array([[1.0, 0.5], [-0.5, 1.0]])
    limit = {"ntk_train_train": np.asarray(model.infinite(points).ntk)}
    found = groups(model, 5, 20, 10_000, points)
    of = moments.ensembles({"moments": found}, 2, 5, limit)
    assert within(of["ntk_bias"][1], 0) < 0.01
    off = of["ntk_bias_off/1"][1]
    assert abs(off.mean()) > 5 * off.std(ddof=1) / np.sqrt(len(off))


def test_biases_that_begin_at_zero_are_learned():
    model = MLP(depth=2, activation="relu", W_std=np.sqrt(2).item(), b_std=1.0)
    zero = MLP(
        depth=2, activation="relu", W_std=np.sqrt(2).item(), b_std=1.0, biases="zero"
    )
    params = zero.init_params(KEY, 6, 1, 1)
    assert all((layer["b"] == 0).all() for layer in params[0])
    random = model.init_params(KEY, 6, 1, 1)
    np.testing.assert_array_equal(params[0][1]["w"], random[0][1]["w"])
    # E Θ = d(1 + 2‖x‖²/n₀) at any width, d the layers of weights (Hanin & Nica 2020)
    found = groups(zero, 6, 20, 5_000)
    of = moments.ensembles({"moments": found}, 2, 6, None)
    assert within(of["ntk_mean_per_layer"][1], 3) < 0.05
    # the same holds at infinite width
    limit = zero.infinite(np.ones((1, 1))).ntk[0, 0]
    np.testing.assert_allclose(limit, 3 * of["ntk_mean_per_layer"][1].mean(), rtol=0.02)


def test_training_keeps_a_group_for_each_seed():
    data = Data(POINTS, np.ones((3, 1)), POINTS[:1], np.ones((1, 1)))
    model = MLP(depth=1, activation="tanh")
    plain = Training(learning_rate=0.1, steps=2, record=2)
    many = Training(
        learning_rate=0.1,
        steps=2,
        record=2,
        ensemble=moments.Ensemble(networks=5),
    )
    without = train(model, plain, data, 4, KEY, 3)
    run = train(model, many, data, 4, KEY, 3)
    key = jax.random.fold_in(jax.random.fold_in(KEY, 4), 2)
    expected = moments.moments(model, 5, 4, 1)(POINTS, key)
    np.testing.assert_allclose(run["moments"][2], expected, rtol=1e-12)
    assert "moments" not in without
    for name, values in without.items():
        np.testing.assert_array_equal(run[name], values)
