"""Compact Hessian norms agree with dense Hessians and with the closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from ntkpipe.kernels import curvature, empirical
from ntkpipe.models.dense import dense
from ntkpipe.models.mlp import MLP, Bottleneck


def network(width=6, d=3, k=2, n=2, **model):
    model = MLP(**{"depth": 2, "activation": "tanh", "b_std": 0.3, **model})
    key = jax.random.key(0)
    x = jax.random.normal(jax.random.fold_in(key, 99), (n, d))
    return model, model.init_params(key, width, d, k), x


def dense_hessians(apply, params, x, rates):
    """√η ∇²f √η, (n k P P)."""
    flat, unravel = ravel_pytree(params)
    root = jnp.sqrt(
        ravel_pytree(jax.tree.map(lambda w, r: r + 0 * w, params, rates))[0]
    )
    hessian = jax.jit(jax.hessian(lambda flat: apply(unravel(flat * root), x)))
    return np.asarray(hessian(flat / root))


def norms(hessians):
    return np.abs(np.linalg.eigvalsh(hessians)).max(-1)


@pytest.mark.parametrize(
    "options",
    [
        {"depth": 3, "activation": "gelu", "b_std": 0.0, "k": 1},
        {"parameterization": "mean_field", "zero_output": "double", "width": 4},
        {"depth": 1, "output_activation": "tanh"},
        {"depth": 3, "bottleneck": Bottleneck(layer=2, width=1)},
    ],
    ids=str,
)
def test_compact_norm_is_that_of_the_dense_hessian(options):
    model, params, x = network(**options)
    rates = model.learning_rates(params)
    found = curvature.curvature(model.apply, params, x, iterations=64, rates=rates)
    expected = norms(dense_hessians(model.apply, params, x, rates))
    np.testing.assert_allclose(found.hessian_norm, expected, rtol=1e-9)
    assert np.all(found.error < 1e-6 * expected)
    theta = empirical.ntk(model.apply, params, x, rates=rates)
    np.testing.assert_allclose(
        found.gradient_norm**2, np.einsum("nini->ni", theta), rtol=1e-12
    )
    np.testing.assert_allclose(
        found.kappa, found.hessian_norm / found.gradient_norm**2, rtol=1e-14
    )


def layers(*shapes):
    """Layers with random weights, biases 1 and learning rates 1."""
    keys = jax.random.split(jax.random.key(0), len(shapes))
    return [
        {"w": jax.random.normal(key, shape), "b": jnp.ones(shape[1])}
        for key, shape in zip(keys, shapes, strict=True)
    ]


def assert_dense_norm(apply, params):
    x = jax.random.normal(jax.random.key(5), (2, 3))
    found = curvature.curvature(apply, params, x, iterations=64)
    one = jax.tree.map(lambda _: 1.0, params)
    expected = norms(dense_hessians(apply, params, x, one))
    np.testing.assert_allclose(found.hessian_norm, expected, rtol=1e-9)


def test_residual_network_needs_no_new_code():
    def apply(params, x):
        h = jnp.tanh(dense(x, params[0], 1, 1))
        h = h + jnp.tanh(dense(h, params[1], 1, 1))
        return dense(h, params[2], 1, 1)

    assert_dense_norm(apply, layers((3, 6), (6, 6), (6, 2)))


def test_joint_norm_is_the_largest_over_directions():
    model, params, x = network(width=4, k=2, n=2)
    found = curvature.joint(model.apply, params, x, iterations=64, rounds=30)
    h = dense_hessians(model.apply, params, x, model.learning_rates(params))
    angle = np.linspace(0, np.pi, 4001)
    c = np.stack([np.cos(angle), np.sin(angle)])
    over = np.einsum("ka,nkpq->napq", c[:, ::40], h)
    best = norms(over).max(1)
    assert np.all(found.hessian_norm >= best * (1 - 1e-9))
    np.testing.assert_allclose(found.hessian_norm, best, rtol=1e-2)
    at_best = np.einsum("nk,nkpq->npq", np.asarray(found.direction), h)
    np.testing.assert_allclose(norms(at_best), found.hessian_norm, rtol=1e-8)


@pytest.mark.parametrize(
    "options",
    [
        {"k": 3, "b_std": 0.0, "activation": "gelu"},
        {"k": 2, "parameterization": "mean_field", "zero_output": "double"},
    ],
    ids=str,
)
def test_one_hidden_layer_has_a_closed_form(options):
    model, params, x = network(depth=1, **options)
    found = curvature.one_hidden_layer(model, params, x)
    rates = model.learning_rates(params)
    h = dense_hessians(model.apply, params, x, rates)
    np.testing.assert_allclose(found.hessian_norm, norms(h), rtol=1e-10)
    theta = empirical.ntk(model.apply, params, x, rates=rates)
    np.testing.assert_allclose(
        found.gradient_norm**2, np.einsum("nini->ni", theta), rtol=1e-12
    )


@pytest.mark.parametrize("zero_output", ["none", "double"])
def test_joint_norm_of_one_hidden_layer_has_a_closed_form(zero_output):
    model, params, x = network(
        depth=1, k=3, parameterization="mup", n=3, zero_output=zero_output
    )
    found = curvature.one_hidden_layer_joint(model, params, x)
    rates = model.learning_rates(params)
    climbed = curvature.joint(
        model.apply, params, x, iterations=64, rounds=30, rates=rates
    )
    np.testing.assert_allclose(found, climbed.hessian_norm, rtol=1e-6)
    assert np.all(climbed.hessian_norm <= found * (1 + 1e-12))


@pytest.mark.parametrize("norm", [curvature.curvature, curvature.joint])
def test_the_start_vector_is_that_of_key_0_by_default(norm):
    model, params, x = network(depth=1, width=4, k=1, n=1)
    few = {"iterations": 2} | ({"rounds": 1} if norm is curvature.joint else {})
    found = [
        float(norm(model.apply, params, x, **few, **key).hessian_norm.max())
        for key in ({}, {"key": jax.random.key(0)}, {"key": jax.random.key(1)})
    ]
    assert found[0] == found[1] != found[2]


def test_closed_form_of_65536_units_agrees_with_the_compact_norm():
    model, params, x = network(depth=1, width=2**16, k=1, n=1, activation="tanh")
    found = curvature.one_hidden_layer(model, params, x)
    compact = curvature.curvature(model.apply, params, x, iterations=48)
    np.testing.assert_allclose(found.hessian_norm, compact.hessian_norm, rtol=1e-4)
    np.testing.assert_allclose(found.gradient_norm, compact.gradient_norm, rtol=1e-12)


def test_curvature_falls_with_the_root_of_the_width():
    kappa = [
        float(curvature.one_hidden_layer(*network(depth=1, k=1, width=n)).kappa.mean())
        for n in (2**8, 2**16)
    ]
    assert 8 < kappa[0] / kappa[1] < 32  # 16 in the limit


def test_linear_network_has_no_curvature_of_one_layer():
    apply = lambda params, x: x @ params["w"]  # noqa: E731
    found = curvature.curvature(apply, {"w": jnp.ones((3, 1))}, jnp.ones((1, 3)))
    assert float(found.hessian_norm[0, 0]) == 0.0
    assert float(found.gradient_norm[0, 0]) == pytest.approx(3**0.5)


def test_parameters_outside_dense_layers_are_refused():
    def apply(params, x):
        return params["gain"] * (x @ params["w"])

    params = {"w": jnp.ones((3, 1)), "gain": jnp.ones((1, 1))}
    with pytest.raises(ValueError, match="gain"):
        curvature.curvature(apply, params, jnp.ones((1, 3)))


def test_depth_two_has_no_closed_form():
    with pytest.raises(ValueError, match="use `curvature`"):
        curvature.one_hidden_layer(*network())


def test_weights_that_are_constants_have_no_curvature():
    fixed = {"w": jnp.linspace(-1, 1, 12).reshape(4, 3)}

    def apply(params, x):
        h = jnp.tanh(dense(x, params[0], 1, 0.5))
        h = jnp.tanh(dense(h, fixed, 1, 0.5))
        return dense(h, params[1], 1, 0.5)

    assert_dense_norm(apply, layers((3, 4), (3, 2)))


def test_points_may_have_another_precision_than_weights():
    model, params, x = network(width=4, k=2, n=1)
    single = x.astype(jnp.float32)
    with jax.numpy_dtype_promotion("standard"):
        found = curvature.joint(model.apply, params, single, rounds=3)
    expected = curvature.joint(model.apply, params, single.astype(float), rounds=3)
    np.testing.assert_allclose(found.hessian_norm, expected.hessian_norm, rtol=1e-6)


@pytest.mark.parametrize("parameterization", ["ntk", "mean_field"])
def test_the_whole_hessian_of_a_model_of_few_weights(parameterization):
    model, params, x = network(width=4, depth=1, k=2, parameterization=parameterization)
    whole = curvature.whole(model.apply, params, x, model.learning_rates(params))
    closed = curvature.one_hidden_layer(model, params, x)
    np.testing.assert_allclose(whole.hessian_norm, closed.hessian_norm, rtol=1e-10)
    np.testing.assert_allclose(whole.gradient_norm, closed.gradient_norm, rtol=1e-12)
