"""The layer closed form against a loop over gradients and against references."""

import itertools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkpipe.kernels import blocks, curvature, empirical, taps, tiles
from ntkpipe.models.dense import dense
from ntkpipe.models.mlp import MLP
from ntkpipe.models.parameterizations import Scale

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
    theta = empirical.ntk(model.apply, params, x)
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
    theta = empirical.ntk(model.apply, params, x)
    v = jax.random.normal(jax.random.key(1), (4, 3))
    product = empirical.ntk_vector_product(model.apply, params, x, v)
    np.testing.assert_allclose(
        product, np.einsum("nimj,mj->ni", theta, v), rtol=1e-12, atol=1e-13
    )


def test_residual_network_needs_no_new_code():
    def apply(params, x, site=dense):
        one = Scale(1.0, 1.0, 1.0, 1.0)
        h = jnp.tanh(site("1.0", x, params[0], one))
        h = h + jnp.tanh(site("2.0", h, params[1], one))
        return site("3.0", h, params[2], one)

    keys = jax.random.split(jax.random.key(0), 3)
    params = [
        {"w": jax.random.normal(key, shape), "b": jnp.zeros(shape[1])}
        for key, shape in zip(keys, [(3, 6), (6, 6), (6, 2)], strict=True)
    ]
    x = jax.random.normal(jax.random.key(5), (4, 3))
    theta = empirical.ntk(apply, params, x)
    jacobian = jax.jacrev(lambda p: apply(p, x))(params)
    expected = sum(
        jnp.tensordot(j, j, (tuple(range(2, j.ndim)),) * 2)
        for j in jax.tree.leaves(jacobian)
    )
    np.testing.assert_allclose(theta, expected, rtol=1e-12, atol=1e-13)


def test_two_layers_of_one_name_are_refused():
    def apply(params, x, site=dense):
        one = Scale(1.0, 0.0, 1.0, 1.0)
        return site("1.0", site("1.0", x, params, one), params, one)

    with pytest.raises(ValueError, match="two layers are called"):
        empirical.ntk(apply, {"w": jnp.eye(2)}, jnp.ones((2, 2)))


ONE = Scale(1.0, 0.0, 1.0, 1.0)


def transposed(p, x, site=dense):
    h = jnp.tanh(site("1.0", x, {"w": p["w"]}, ONE))
    return site("2.0", h, {"w": p["w"].T}, ONE)


def scaled(p, x, site=dense):
    h = jnp.tanh(site("1.0", x, {"w": p["w"]}, ONE))
    return site("2.0", h, {"w": p["v"]}, ONE) * p["w"].sum()


def skipping(p, x, site=dense):
    h = jnp.tanh(site("1.0", x, {"w": p["w"]}, ONE)) + x @ p["w"]
    return site("2.0", h, {"w": p["v"]}, ONE)


def through_another(p, x, site=dense):
    # v is read by the inputs of the layer of w, and nowhere else outside of its own
    h = jnp.tanh(site("1.0", x * p["v"].sum(), {"w": p["w"]}, ONE))
    return site("2.0", h, {"w": p["v"]}, ONE)


@pytest.mark.parametrize("apply", [transposed, scaled, skipping, through_another])
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


def test_a_learning_rate_of_what_is_no_parameter_is_refused():
    fast = ONE._replace(lr_w=4.0)

    def apply(p, x, site=dense):
        return site("1.0", x, {"w": 2 * p["w"]}, fast)

    with pytest.raises(ValueError, match="learning rate of 4 for 'w'"):
        empirical.ntk(apply, {"w": jnp.eye(2)}, jnp.ones((2, 2)))


def test_a_layer_within_a_transformation_enters_by_its_jacobian():
    params, x = {"w": jnp.arange(6.0).reshape(3, 2) / 5}, jnp.ones((2, 3)) / 2

    def apply(p, x, site=dense):
        layer = jax.checkpoint(lambda w, h: jnp.tanh(site("1.0", h, {"w": w}, ONE)))
        return layer(p["w"], x)

    def plain(p, x, site=dense):
        return jnp.tanh(site("1.0", x, p, ONE))

    expected = empirical.ntk(plain, params, x)
    np.testing.assert_allclose(empirical.ntk(apply, params, x), expected, rtol=1e-12)


def test_parameters_outside_dense_layers_enter_by_their_jacobian():
    """A gain, a weight read twice and a weight that is computed from parameters."""

    def apply(params, x, site=dense):
        one = Scale(1.0, 1.0, 1.0, 1.0)
        h = params["gain"][None] * jnp.tanh(site("1.0", x, params["first"], one))
        h = jnp.tanh(site("2.0", h, params["twice"], one._replace(lr_w=0.5)))
        h = jnp.tanh(site("3.0", h, params["twice"], one._replace(lr_w=0.5)))
        normed = {"w": params["raw"] / jnp.linalg.norm(params["raw"])}
        return site("4.0", site("5.0", h, normed, one), params["last"], one)

    shapes = {
        "first": {"w": (3, 4), "b": (4,)},
        "twice": {"w": (4, 4)},
        "last": {"w": (4, 2)},
        "gain": (4,),
        "raw": (4, 4),
    }
    leaves, tree = jax.tree.flatten(shapes, is_leaf=lambda s: isinstance(s, tuple))
    keys = jax.random.split(jax.random.key(0), len(leaves))
    params = jax.tree.unflatten(
        tree, [jax.random.normal(k, s) for k, s in zip(keys, leaves, strict=True)]
    )
    x = jax.random.normal(jax.random.key(5), (3, 3))
    rates = taps.learning_rates(apply, params, x)
    assert rates == jax.tree.map(lambda _: 1.0, params) | {"twice": {"w": 0.5}}
    jacobian = jax.jacrev(lambda p: apply(p, x))(params)
    parts = jax.tree.map(
        lambda j, rate: rate * jnp.tensordot(j, j, (tuple(range(2, j.ndim)),) * 2),
        jacobian,
        rates,
    )
    found = empirical.ntk(apply, params, x, layers="each")
    assert list(found) == ["1.0", "4.0", "['gain']", "['raw']", "['twice']['w']"]
    np.testing.assert_allclose(found["['gain']"], parts["gain"], rtol=1e-12)
    np.testing.assert_allclose(
        sum(found.values()), sum(jax.tree.leaves(parts)), rtol=1e-12, atol=1e-13
    )

    def deaf(params, x):
        return apply(params, x)

    rates_are_one = sum(jax.tree.leaves(parts)) + parts["twice"]["w"]
    np.testing.assert_allclose(
        empirical.ntk(deaf, params, x), rates_are_one, rtol=1e-12, atol=1e-13
    )


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
    assert list(each) == ["1.0", "2.0", "3.0"]
    np.testing.assert_allclose(sum(each.values()), whole, rtol=1e-12, atol=1e-13)


def test_sigma_part_is_the_inner_product_of_the_last_hidden_layer():
    model, params, x = network(depth=1, k=2)
    h = jnp.tanh(x @ params[0][0]["w"] / np.sqrt(3) + 0.3 * params[0][0]["b"][None])
    _, sites = taps.signals(model.apply, params, x)
    expected = h @ h.T / 5 + 0.3**2
    np.testing.assert_allclose(blocks.last_layer(sites), expected, rtol=1e-13)


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
