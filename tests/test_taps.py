"""Kernels of networks in plain JAX against Jacobians by autodiff; what is closed."""

from pathlib import Path

import jax
import jax.numpy as jnp
import networks
import numpy as np
import pytest

from ntkpipe.kernels import blocks, empirical, products, signals, tiles, uses

REFERENCE = Path(__file__).parent / "data" / "any_network"


@pytest.fixture(autouse=True)
def as_users_have_it():
    """Arrays of different ranks and types meet in users' networks."""
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


def jacobian(apply, params, x):
    """By autodiff, {name: (n k p)}."""
    found = jax.jacrev(lambda p: apply(p, x), allow_int=True)(params)
    return {
        jax.tree_util.keystr(path): a.reshape(*a.shape[:2], -1)
        for path, a in jax.tree_util.tree_leaves_with_path(found)
        if jnp.issubdtype(a.dtype, jnp.inexact)
    }


def brute_force(apply, params, x):
    rows = jacobian(apply, params, x).values()
    return sum(jnp.einsum("nip,mjp->nimj", j, j) for j in rows)


def distance(found, expected):
    return float(jnp.abs(found - expected).max() / jnp.abs(expected).max())


def compiled(f, *arguments):
    """f of arguments, compiled quickly."""
    options = {"xla_backend_optimization_level": 0}
    return jax.jit(f, compiler_options=options)(*arguments)


def in_one_form(apply, params, x, form):
    """The forms of parameters, all the same if they have several positions."""
    network = uses.trace(apply, params, x)
    chosen = []
    for leaf, paths in network.of_leaf().items():
        first = network.uses[paths[0]]
        read_at = signals.sizes_of([network.uses[path] for path in paths])
        one = "rows" if first.order[-1] == ("rows",) else "positions"
        one = "layer" if read_at.t == read_at.g == 1 and one != "rows" else one
        one = form if one != "layer" and form == "jacobian" else one
        chosen.append((network.names[leaf], one))
    return tuple(chosen)


@pytest.mark.parametrize("name", networks.CASES)
def test_kernel_is_that_of_the_jacobians(name):
    apply, params, x = networks.CASES[name]()
    forms = [None, *(in_one_form(apply, params, x, f) for f in ("jacobian", "pairs"))]

    def kernels(params, x):
        found = [brute_force(apply, params, x)]
        for one in forms:
            of_x = signals.signals(apply, params, x, forms=one)[1]
            for outputs in ("full", "trace"):
                found.append(blocks.block(of_x, of_x, outputs))
        joined = blocks.joined(of_x)
        return [*found, blocks.block(joined, joined)]

    expected, *found = compiled(kernels, params, x)
    mean = jnp.einsum("nimi->nm", expected)[:, None, :, None] / expected.shape[1]
    for full, traced in zip(found[:-1:2], found[1:-1:2], strict=True):
        assert distance(full, expected) < 1e-14
        assert distance(traced, mean) < 1e-14
    assert distance(found[-1], expected) < 1e-14


@pytest.mark.parametrize("name", networks.REFERENCES)
def test_kernel_agrees_with_neural_tangents(name):
    reference = np.load(REFERENCE / f"empirical_{name}.npz")
    apply = networks.REFERENCES[name]
    params = {k.removeprefix("param_"): reference[k] for k in reference if "_" in k}

    def outputs_and_kernel(params, x):
        y, found = signals.signals(apply, params, x)
        return y, blocks.block(found, found)

    y, theta = compiled(outputs_and_kernel, params, reference["x"])
    assert distance(y, reference["f"]) < 1e-12
    assert distance(theta, reference["ntk"]) < 1e-12


@pytest.mark.parametrize("name", networks.CASES)
def test_closed_forms_are_found(name):
    """With another version of JAX, a parameter may lose its closed form unnoticed."""
    network = uses.trace(*networks.CASES[name]())
    closed = len(network.of_leaf()) + len(network.riders)
    assert (closed, len(network.loose)) == networks.CLOSED[name]


def test_the_depth_of_a_weight_is_that_of_its_first_use():
    def apply(p, x):
        return jnp.tanh(jnp.tanh(x @ p["w"]) @ p["w"]) @ p["r"]

    p, x = {"w": networks.draw(0, 5, 5), "r": networks.draw(1, 5, 1)}, jnp.ones((2, 5))
    _, found = signals.signals(apply, p, x)
    assert [found[f"['{name}']"].depth for name in "wr"] == [1, 3]


def test_a_network_may_compute_with_constants():
    """Sums of constants are computed when the network is read, sines are not."""

    def apply(w, x):
        angle = jnp.asarray(0.3) + jnp.asarray(0.4)
        return x @ w * jnp.sin(angle) / jnp.sqrt(jnp.asarray(2.0))

    w, x = jnp.array([[1.0, 2.0], [0.5, -1.0]]), jnp.array([[1.0, 0.0], [2.0, 3.0]])
    factor = np.sin(0.7) ** 2 / 2
    expected = np.einsum("nm,ij->nimj", x @ x.T, np.eye(2)) * factor
    np.testing.assert_allclose(empirical.ntk(apply, w, x), expected, rtol=1e-14)


@pytest.mark.parametrize("name", ["a_layer_used_three_times", "convolutions"])
def test_tiles_and_products_are_those_of_the_whole_kernel(name, monkeypatch):
    """Biases and gains, whose Jacobians are joined, and layers with positions."""
    apply, params, x = networks.CASES[name]()
    whole = empirical.ntk(apply, params, x)
    cut = tiles.plan(apply, params, x, tile=2)
    assert {"jacobian", "layer"} <= {form for _, form in cut.forms}
    used = []

    def in_tiles(*arguments, **options):
        used.append(True)
        return tiles.tiles(*arguments, **options, tile=2)

    # the kernel fits, and what one expression needs does not
    monkeypatch.setattr(empirical, "SURELY", 0)
    monkeypatch.setattr(empirical, "free_memory", lambda: 2.0 * cut.kernel_bytes)
    monkeypatch.setattr(empirical, "tiles", in_tiles)
    theta = empirical.ntk(apply, params, x)
    assert used
    assert distance(theta, whole) < 1e-14
    assert products.self_check(apply, params, x) < 1e-12
