"""The layer closed form against a loop over gradients and against references."""

import itertools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkpipe.kernels import blocks, curvature, empirical, signals, tiles, uses
from ntkpipe.models.mlp import MLP

DATA = Path(__file__).parent / "data"
CASES = json.loads((DATA / "index.json").read_text())


def brute_force(model, params, x1, x2):
    """Θ one pair of outputs at a time: sum over all weights of rate × ∂f ∂f'."""
    rates = jax.tree.leaves(model.learning_rates(params))

    gradient = jax.jit(jax.grad(lambda p, point, c: model.apply(p, point[None])[0, c]))

    def gradients(x):
        k = model.apply(params, x).shape[1]
        return [
            [jax.tree.leaves(gradient(params, point, c)) for c in range(k)]
            for point in x
        ]

    g1, g2 = gradients(x1), gradients(x2)
    theta = np.zeros((len(g1), len(g1[0]), len(g2), len(g2[0])))
    for i, c, j, e in itertools.product(*map(range, theta.shape)):
        theta[i, c, j, e] = sum(
            rate * float(jnp.vdot(a, b))
            for rate, a, b in zip(rates, g1[i][c], g2[j][e], strict=True)
        )
    return theta


def network(seed=0, d=3, k=2, width=5, n=4, **model):
    model = MLP(**{"depth": 2, "activation": "tanh", "b_std": 0.3, **model})
    key = jax.random.key(seed)
    params = model.init_params(key, width, d, k)
    x = jax.random.normal(jax.random.fold_in(key, 99), (n, d))
    return model, params, x


@pytest.mark.parametrize("activation", ["relu", "erf", "tanh", "gelu", "softplus"])
@pytest.mark.parametrize("depth, k", [(1, 1), (3, 2)])
def test_kernel_is_the_brute_force_sum_over_gradients(activation, depth, k):
    model, params, x = network(k=k, depth=depth, activation=activation)
    theta = empirical.ntk(model.apply, params, x, x[:2])
    expected = brute_force(model, params, x, x[:2])
    np.testing.assert_allclose(theta, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("parameterization", ["ntk", "standard", "mup", "mean_field"])
@pytest.mark.parametrize("zero_output", ["none", "double"])
@pytest.mark.parametrize("b_std", [0.0, 0.3])
def test_kernel_weighs_layers_by_their_learning_rates(
    parameterization, zero_output, b_std
):
    model, params, x = network(
        parameterization=parameterization, zero_output=zero_output, b_std=b_std, n=2
    )
    rates = model.learning_rates(params)
    theta = empirical.ntk(model.apply, params, x, rates=rates)
    np.testing.assert_allclose(
        theta, brute_force(model, params, x, x), rtol=1e-12, atol=1e-13
    )


def test_traced_kernel_is_the_mean_of_the_diagonal_blocks():
    model, params, x = network(k=3)
    full = empirical.ntk(model.apply, params, x)
    traced = empirical.ntk(model.apply, params, x, outputs="trace")
    assert traced.shape == (4, 1, 4, 1)
    expected = np.einsum("nimi->nm", full) / 3
    np.testing.assert_allclose(traced[:, 0, :, 0], expected, rtol=1e-13)


def test_kernel_times_vector_is_jvp_of_vjp():
    model, params, x = network(k=3, parameterization="mean_field")
    rates = model.learning_rates(params)
    theta = empirical.ntk(model.apply, params, x, rates=rates)
    v = jax.random.normal(jax.random.key(1), (4, 3))
    product = empirical.ntk_vector_product(model.apply, params, x, v, rates)
    np.testing.assert_allclose(
        product, np.einsum("nimj,mj->ni", theta, v), rtol=1e-12, atol=1e-13
    )


def transposed(p, x):
    return jnp.tanh(x @ p["w"]) @ p["w"].T


def scaled(p, x):
    return jnp.tanh(x @ p["w"]) @ p["v"] * p["w"].sum()


def through_another(p, x):
    # v is read by the inputs of the layer of w, and nowhere else outside of its own
    return jnp.tanh((x * p["v"].sum()) @ p["w"]) @ p["v"]


@pytest.mark.parametrize("apply", [transposed, scaled, through_another])
def test_weights_that_are_read_outside_of_their_layer_too(apply):
    keys = jax.random.split(jax.random.key(0), 3)
    params = {"w": jax.random.normal(keys[0], (3, 4))}
    params["v"] = jax.random.normal(keys[1], (4, 2))
    x = jax.random.normal(keys[2], (5, 3))
    jacobian = jax.jacrev(lambda p: apply(p, x))(params)
    rows = [j.reshape(*j.shape[:2], -1) for j in jax.tree.leaves(jacobian)]
    expected = sum(np.einsum("nip,mjp->nimj", j, j) for j in rows)
    theta = empirical.ntk(apply, params, x)
    np.testing.assert_allclose(theta, expected, rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match="read by one dense layer"):
        curvature.curvature(apply, params, x)


def test_a_weight_read_twice_is_closed_but_has_no_compact_hessian():
    def apply(p, x):
        return jnp.tanh(x @ p["w"]) @ p["v"] + (x @ p["w"]) @ p["v"]

    params = {"w": jnp.linspace(-1, 1, 12).reshape(3, 4), "v": jnp.ones((4, 2)) / 3}
    x = jnp.linspace(-1, 2, 15).reshape(5, 3)
    theta = empirical.ntk(apply, params, x, layers="each")
    jacobian = jax.jacrev(lambda p: apply(p, x))(params)
    for name, j in jacobian.items():
        rows = j.reshape(5, 2, -1)
        expected = np.einsum("nip,mjp->nimj", rows, rows)
        np.testing.assert_allclose(theta[f"['{name}']"], expected, rtol=1e-12)
    with pytest.raises(ValueError, match=r"'w'.*'v'.* read by one dense layer"):
        curvature.curvature(apply, params, x)


def test_relative_learning_rates_are_a_tree_like_the_parameters():
    """Of a gain, a weight read twice, biases, and a weight computed from parameters."""

    def apply(p, x):
        h = p["gain"][None] * jnp.tanh(x @ p["first"] + p["bias"][None])
        h = jnp.tanh(jnp.tanh(h @ p["twice"]) @ p["twice"])
        return h @ (p["raw"] / jnp.linalg.norm(p["raw"])) @ p["last"]

    shapes = {"first": (3, 4), "bias": (4,), "twice": (4, 4), "last": (4, 2)}
    shapes |= {"gain": (4,), "raw": (4, 4)}
    keys = jax.random.split(jax.random.key(0), len(shapes))
    params = {
        name: jax.random.normal(key, shape)
        for key, (name, shape) in zip(keys, shapes.items(), strict=True)
    }
    x = jax.random.normal(jax.random.key(5), (3, 3))
    rates = dict.fromkeys(params, 1.0) | {"twice": 0.5, "bias": 3.0, "gain": 0.25}
    jacobian = jax.jacrev(lambda p: apply(p, x))(params)
    parts = {
        name: rates[name] * jnp.tensordot(j, j, (tuple(range(2, j.ndim)),) * 2)
        for name, j in jacobian.items()
    }
    found = empirical.ntk(apply, params, x, layers="each", rates=rates)
    names = ["first", "gain", "last", "raw", "twice"]
    assert list(found) == [f"['{name}']" for name in names]
    parts["first"] = parts["first"] + parts.pop("bias")
    for name in names:
        expected = parts[name]
        np.testing.assert_allclose(found[f"['{name}']"], expected, rtol=1e-12)
    theta = empirical.ntk(apply, params, x, rates=rates)
    np.testing.assert_allclose(theta, sum(parts.values()), rtol=1e-12, atol=1e-13)
    v = jnp.ones((3, 2))
    product = empirical.ntk_vector_product(apply, params, x, v, rates)
    np.testing.assert_allclose(product, theta.sum((2, 3)), rtol=1e-12, atol=1e-13)
    del rates["raw"]
    with pytest.raises(ValueError, match="must be a tree of numbers like"):
        empirical.ntk(apply, params, x, rates=rates)


def test_a_network_that_returns_another_shape_is_refused():
    params, x = {"w": jnp.ones((3, 2))}, jnp.ones((4, 3))
    for apply in (lambda p, x: (x @ p["w"])[:, 0], lambda p, x: [x @ p["w"]] * 2):
        with pytest.raises(ValueError, match="must return one array"):
            uses.trace(apply, params, x)


@pytest.mark.parametrize("outputs", ["full", "trace"])
@pytest.mark.parametrize("whole", [2048, 100])  # one expression, tiles
def test_many_points_are_worked_off_in_squares(outputs, whole, monkeypatch):
    monkeypatch.setattr(empirical, "WHOLE", whole)
    model, params, x = network(n=300, k=2)
    theta = empirical.ntk(model.apply, params, x, outputs=outputs)
    np.testing.assert_array_equal(theta, theta.transpose(2, 3, 0, 1))
    whole = jax.jit(lambda p, x: empirical.ntk(model.apply, p, x, outputs=outputs))(
        params, x
    )
    np.testing.assert_allclose(theta, whole, rtol=1e-12, atol=1e-13)
    cross = empirical.ntk(model.apply, params, x, x[:7], outputs=outputs)
    np.testing.assert_allclose(cross, whole[:, :, :7], rtol=1e-12, atol=1e-13)
    each = empirical.ntk(model.apply, params, x, outputs=outputs, layers="each")
    assert list(each) == [f"[0][{index}]['w']" for index in range(3)]
    np.testing.assert_allclose(sum(each.values()), whole, rtol=1e-12, atol=1e-13)


def test_sigma_part_is_the_inner_product_of_the_last_hidden_layer():
    model, params, x = network(depth=1, k=2)
    h = jnp.tanh(x @ params[0][0]["w"] / np.sqrt(3) + 0.3 * params[0][0]["b"][None])
    _, found = signals.signals(model.apply, params, x)
    expected = h @ h.T / 5 + 0.3**2
    np.testing.assert_allclose(blocks.last_layer(found), expected, rtol=1e-13)
    assert blocks.last_layer({}).shape == (0, 0)


@pytest.mark.parametrize("case", CASES)
def test_kernel_agrees_with_neural_tangents(case):
    about, reference = CASES[case], np.load(DATA / f"{case}.npz")
    model = MLP(
        depth=about["depth"],
        activation=about["act"],
        W_std=about["w_std"],
        b_std=about["b_std"],
    )
    layers = tuple(
        {
            "w": jnp.asarray(reference[f"w{i}"]),
            **({"b": jnp.asarray(reference[f"b{i}"])[0]} if about["b_std"] else {}),
        }
        for i in range(about["depth"] + 1)
    )
    x, x_test = reference["x_train"], reference["x_test"]
    f = model.apply((layers,), x)
    np.testing.assert_allclose(f, reference["f_train"], rtol=1e-12, atol=1e-14)
    theta = empirical.ntk(model.apply, (layers,), x)
    expected = reference["emp_ntk_full_train_train"].transpose(0, 2, 1, 3)
    np.testing.assert_allclose(theta, expected, rtol=1e-12, atol=1e-13)
    traced = empirical.ntk(model.apply, (layers,), x_test, x, outputs="trace")
    np.testing.assert_allclose(
        traced[:, 0, :, 0],
        reference["emp_ntk_trace_test_train"],
        rtol=1e-12,
        atol=1e-13,
    )


def test_float32_kernel_keeps_six_digits():
    model, params, x = network(width=256, n=16, activation="tanh")
    theta = empirical.ntk(model.apply, params, x)
    single = jax.tree.map(lambda a: a.astype(jnp.float32), params)
    theta32 = empirical.ntk(model.apply, single, x.astype(jnp.float32))
    assert theta32.dtype == jnp.float32
    difference = theta32.astype(float) - theta
    assert jnp.linalg.norm(difference) < 1e-6 * jnp.linalg.norm(theta)


@pytest.mark.parametrize("layers", ["sum", "each"])
@pytest.mark.parametrize("columns", [None, 30])
def test_a_kernel_is_assembled_on_a_device_as_in_host_memory(columns, layers):
    model = MLP(depth=2)
    params = model.init_params(jax.random.key(0), 8, 3, 2)
    x = jax.random.normal(jax.random.key(1), (100, 3))
    x2 = None if columns is None else x[:columns]

    def squares():
        return tiles.tiles(model.apply, params, x, x2, layers=layers, tile=32)

    expected = empirical.in_host_memory(squares(), 100, columns or 100)
    found = empirical.on_device(squares(), 100, columns or 100)
    assert found.keys() == expected.keys()
    for name, kernel in expected.items():
        np.testing.assert_array_equal(found[name], kernel)
    if layers == "sum":
        whole = empirical.ntk(model.apply, params, x, x2)
        np.testing.assert_allclose(found[""], whole, rtol=1e-12, atol=1e-12)
