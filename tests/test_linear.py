"""The closed form agrees with weight space, with limits and with a reference."""

import itertools
import json
from pathlib import Path

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ntkpipe.kernels.linear import gain, linearize, max_learning_rate, predict

DATA = Path(__file__).parent / "data"


@jax.jit
def mlp(params, x):
    """Two tanh layers and a linear one, in NTK parametrisation."""
    for w, b in params[:-1]:
        x = jnp.tanh(x @ w / jnp.sqrt(len(w)) + 0.1 * b[None])
    w, b = params[-1]
    return x @ w / jnp.sqrt(len(w)) + 0.1 * b[None]


@pytest.fixture(scope="module")
def net():
    """Parameters, data and empirical kernels of a small network."""
    rng = np.random.default_rng(0)
    sizes = [2, 16, 16, 3]
    params = [
        (jnp.array(rng.normal(size=(a, b))), jnp.array(rng.normal(size=b)))
        for a, b in itertools.pairwise(sizes)
    ]
    x, x_test = rng.normal(size=(5, 2)), rng.normal(size=(4, 2))
    y = rng.normal(size=(5, 3))
    flat, unravel = jax.flatten_util.ravel_pytree(params)
    slope, slope_test = (
        jax.jit(jax.jacrev(lambda w, z=z: mlp(unravel(w), z)))(flat)
        for z in (x, x_test)
    )
    ntk = jnp.einsum("ikp,jlp->ikjl", slope, slope)
    ntk_test = jnp.einsum("ikp,jlp->ikjl", slope_test, slope)
    return params, x, x_test, y, ntk, ntk_test


@pytest.mark.parametrize(
    ("momentum", "alpha"), [(0, 1.0), (0, 20.0), (0.5, 1.0), (0.9, 20.0)]
)
def test_function_space_is_weight_space(net, momentum, alpha):
    params, x, x_test, y, ntk, ntk_test = net
    linear = jax.jit(linearize(mlp, params))
    learning_rate = 0.3 * max_learning_rate(ntk)
    optimizer = optax.sgd(learning_rate, momentum=momentum or None)
    steps = [0, 1, 7, 100]

    @jax.jit
    def loss(w):
        return ((alpha * linear(w, x) - y) ** 2).sum() / (2 * len(x) * alpha**2)

    @jax.jit
    def advance(carry):
        w, state = carry
        update, state = optimizer.update(jax.grad(loss)(w), state)
        return optax.apply_updates(w, update), state

    carry, trained = (params, optimizer.init(params)), []
    for step in range(steps[-1] + 1):
        if step in steps:
            trained.append(carry[0])
        carry = advance(carry)

    closed = predict(
        ntk,
        alpha * mlp(params, x),
        y,
        steps,
        learning_rate,
        momentum=momentum,
        ntk_test=ntk_test,
        f0_test=alpha * mlp(params, x_test),
        alpha=alpha,
    )
    start = jax.flatten_util.ravel_pytree(params)[0]
    for i, w in enumerate(trained):
        flat = jax.flatten_util.ravel_pytree(w)[0]
        f_train, f_test = alpha * linear(w, x), alpha * linear(w, x_test)
        distance = jnp.linalg.norm(flat - start)
        np.testing.assert_allclose(closed.f_train[i], f_train, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(closed.f_test[i], f_test, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(closed.weight_change[i], distance, rtol=1e-10)
        np.testing.assert_allclose(closed.loss[i], alpha**2 * loss(w), rtol=1e-10)


@pytest.mark.parametrize("case", ["relu_d1_w16_c1", "relu_d2_w32_c1", "erf_d3_w24_c3"])
def test_linearize_agrees_with_neural_tangents(case):
    data = np.load(DATA / f"{case}.npz")
    about = json.loads((DATA / "index.json").read_text())[case]
    phi = {"relu": jax.nn.relu, "erf": jax.scipy.special.erf}[about["act"]]
    depth = about["depth"]

    @jax.jit
    def apply(params, x):
        for i, (w, b) in enumerate(params):
            x = about["w_std"] * x @ w / np.sqrt(len(w)) + about["b_std"] * b
            x = phi(x) if i < depth else x
        return x

    params = [(data[f"w{i}"], data[f"b{i}"]) for i in range(depth + 1)]
    params = jax.tree.map(jnp.asarray, params)
    moved = jax.tree.map(
        lambda w: w + 0.1 * np.sin(np.arange(w.size)).reshape(w.shape), params
    )
    f_lin = jax.jit(linearize(apply, params))
    np.testing.assert_allclose(apply(params, data["x_test"]), data["f_test"], 1e-12)
    np.testing.assert_allclose(f_lin(moved, data["x_test"]), data["lin_f_test"], 1e-10)


@pytest.mark.parametrize("case", ["relu_d1_w16_c1", "relu_d2_w32_c1", "erf_d3_w24_c3"])
def test_predict_agrees_with_neural_tangents(case):
    data = np.load(DATA / f"{case}.npz")
    # the loss of neural-tangents is a mean over outputs, too: t = k · our t
    flow = predict(
        data["ntk_train_train"][:, None, :, None],
        data["f_train"],
        data["y_train"],
        data["t"] / data["y_train"].shape[1],
        1.0,
        flow=True,
        ntk_test=data["ntk_test_train"][:, None, :, None],
        f0_test=data["f_test"],
    )
    np.testing.assert_allclose(flow.f_train, data["pred_train"], rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(flow.f_test, data["pred_test"], rtol=1e-9, atol=1e-10)


def test_descent_is_the_power_and_flow_the_exponential(net):
    params, x, _, y, ntk, _ = net
    f0, n = mlp(params, x), len(x)
    matrix = np.asarray(ntk.reshape(y.size, y.size) / n)
    eta = 0.9 * max_learning_rate(ntk)
    descent = predict(ntk, f0, y, [37], eta).f_train[0]
    power = np.linalg.matrix_power(np.eye(y.size) - eta * matrix, 37)
    exact = y + (power @ np.ravel(f0 - y)).reshape(y.shape)
    np.testing.assert_allclose(descent, exact, rtol=1e-10, atol=1e-12)

    flow = predict(ntk, f0, y, [37 * eta], 1.0, flow=True).f_train[0]
    exponential = jax.scipy.linalg.expm(-37 * eta * matrix)
    exact = y + (exponential @ np.ravel(f0 - y)).reshape(y.shape)
    np.testing.assert_allclose(flow, exact, rtol=1e-10, atol=1e-10)

    errors = [
        jnp.abs(predict(ntk, f0, y, [37 * k], eta / k).f_train[0] - flow).max()
        for k in (1000, 2000)
    ]
    # the difference is of first order in the learning rate
    np.testing.assert_allclose(errors[0] / errors[1], 2, rtol=0.01)


def test_predictions_begin_at_f0_and_end_at_the_targets(net):
    params, x, x_test, y, ntk, ntk_test = net
    f0, f0_test = mlp(params, x), mlp(params, x_test)
    for how in ({"flow": True}, {}, {"momentum": 0.9}):
        out = predict(
            *(ntk, f0, y, [0, np.inf], 0.1),
            **({"ntk_test": ntk_test, "f0_test": f0_test} | how),
        )
        np.testing.assert_allclose(out.f_train[0], f0, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(out.f_test[0], f0_test, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(out.f_train[1], y, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(out.loss[1], 0, atol=1e-12)
        assert out.weight_change[0] == 0


def test_traced_kernel_is_identity_over_outputs():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(4, 6))
    scalar, f0, y = root @ root.T, rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    full = np.einsum("ij,kl->ikjl", scalar, np.eye(3))
    a = predict(full, f0, y, [1, 20], 0.05)
    b = predict(scalar[:, None, :, None], f0, y, [1, 20], 0.05)
    for one, other in zip(a, b, strict=True):
        if one is not None:
            np.testing.assert_allclose(one, other, rtol=1e-11)


def test_gain_at_zero_and_at_one():
    for momentum in (0, 0.5, 0.9):
        for flow in (False, True)[: 1 if momentum else 2]:
            _, g = gain([0.0, 1e-12], [3, 100], 0.1, momentum, flow)
            np.testing.assert_allclose(g[:, 0], g[:, 1], rtol=1e-9)
            if not momentum:
                np.testing.assert_allclose(g[:, 0], [0.3, 10], rtol=1e-12)
    r, g = gain([1.0, 2.0, 3.0], [0, 1, 2, 3], 1.0)
    exact = [[1, 1, 1], [0, -1, -2], [0, 1, 4], [0, -1, -8]]
    np.testing.assert_allclose(r, exact, rtol=1e-15)
    np.testing.assert_allclose(g, (1 - r) / np.array([[1.0, 2.0, 3.0]]), atol=1e-15)


@given(
    x=st.floats(1e-9, 3.9),
    step=st.integers(0, 200),
    momentum=st.sampled_from([0, 0.3, 0.9]),
)
@settings(deadline=None, max_examples=50)
def test_gain_follows_the_recursion(x, step, momentum):
    r, v, g = 1.0, 0.0, 0.0
    for _ in range(step):
        v = momentum * v + r
        r, g = r - x * v, g + v
    out = gain([x], step, 1.0, momentum)
    np.testing.assert_allclose(out[0], r, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(out[1], g, rtol=1e-9, atol=1e-11)


@given(share=st.floats(0.01, 0.99), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=20)
def test_loss_falls_below_the_edge_and_grows_above(share, seed):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(5, 8))
    ntk = (root @ root.T)[:, None, :, None]
    y, f0, step = rng.normal(size=(5, 1)), np.zeros((5, 1)), np.arange(40)
    edge = max_learning_rate(ntk)
    assert (np.diff(predict(ntk, f0, y, step, share * edge).loss) <= 1e-15).all()
    above = predict(ntk, f0, y, [0, 3000], (1 + share) * edge).loss
    assert above[1] > above[0]


@pytest.mark.parametrize("momentum", [0.5, 0.9])
def test_stability_limit_with_momentum(net, momentum):
    params, x, _, y, ntk, _ = net
    edge = max_learning_rate(ntk, momentum)
    inside, outside = (
        predict(ntk, mlp(params, x), y, [0, 3000], s * edge, momentum=momentum).loss
        for s in (0.98, 1.02)
    )
    assert inside[1] < inside[0] and not outside[1] < outside[0]


def test_jit_and_vmap_over_seeds(net):
    params, x, _, y, ntk, _ = net
    f0 = jnp.stack([mlp(params, x), 0 * y])
    kernels = jnp.stack([ntk, 2 * ntk])
    batched = jax.jit(jax.vmap(lambda k, f: predict(k, f, y, [3, 50], 0.1)))(
        kernels, f0
    )
    for i in range(2):
        alone = predict(kernels[i], f0[i], y, [3, 50], 0.1)
        np.testing.assert_allclose(batched.f_train[i], alone.f_train, atol=1e-12)
        np.testing.assert_allclose(batched.weight_change[i], alone.weight_change)


def test_errors_tell_what_to_give(net):
    params, x, _, y, ntk, ntk_test = net
    f0 = mlp(params, x)
    with pytest.raises(ValueError, match="leave out `momentum`"):
        gain([1.0], 1, 0.1, 0.9, True)
    with pytest.raises(ValueError, match="both `ntk_test` and `f0_test`"):
        predict(ntk, f0, y, [1], 0.1, ntk_test=ntk_test)
    with pytest.raises(ValueError, match="`ntk` must be"):
        predict(ntk[0], f0, y, [1], 0.1)
