"""Kernels of infinitely wide convolutional networks agree with other computations.

These are neural-tangents, a recursion written with loops, and wide networks.
"""

import json
import math
from itertools import product
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkpipe.kernels import convolutional, infinite, ntk
from ntkpipe.kernels.convolutional import kernels
from ntkpipe.models.layers import (
    Activation,
    Linear,
    Norm,
    Residual,
    convolutions,
    residual,
)

REFERENCE = Path(__file__).parent / "data" / "any_network"
CASES = json.loads((REFERENCE / "settings.json").read_text())["infinite"]


def images(n, *shape, seed=0):
    return np.random.default_rng(seed).standard_normal((n, *shape))


def reference_network(case):
    """The layers of a case of neural-tangents, and its other arguments."""
    padding = "circular" if case.get("circular") else "zero"
    depth, activation = case["depth"], case["activation"]
    layers = {
        "cnn_flatten": lambda: convolutions(depth, activation, 3, padding=padding),
        "cnn_gap": lambda: convolutions(depth, activation, 3, padding=padding),
        "residual": lambda: residual(depth, activation),
        "layernorm": lambda: (Linear(), Norm(1e-12), Activation(activation)) * depth,
    }[case["kind"]]()
    return {
        "layers": layers,
        "readout": "pool" if case["kind"] == "cnn_gap" else "flatten",
        "W_std": case["W_std"],
        "b_std": case["b_std"],
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_kernels_agree_with_neural_tangents(case):
    data = np.load(REFERENCE / f"infinite_{case['name']}.npz")
    network = reference_network(case)
    tolerance = 1e-11 if case["kind"] == "layernorm" else 1e-12
    # the relu of neural-tangents turns the roundings of its diagonal into 1e-9
    on_diagonal = 1e-8 if case["activation"] == "relu" else tolerance
    x1, x2 = data["x1"], data["x2"]
    of_one, of_two = kernels(x1, **network), kernels(x2, x1, **network)
    for name in ("nngp", "ntk"):
        ours, theirs = np.array(getattr(of_one, name)), np.array(data[name])
        size = np.abs(theirs).max()
        np.testing.assert_allclose(
            np.diag(ours), np.diag(theirs), rtol=0, atol=on_diagonal * size
        )
        np.fill_diagonal(ours, 0)
        np.fill_diagonal(theirs, 0)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * size)
        ours, theirs = getattr(of_two, name), data[f"{name}_21"]
        size = np.abs(theirs).max()
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * size)


# --- a recursion with loops -----------------------------------------------------------


def by_loops(x1, x2, depth, size, stride, padding, pool, W, b):
    """NNGP and NTK of erf networks (one pair of images), every pair of positions."""

    def erf(c, q1, q2):
        root = np.sqrt((1 + 2 * q1) * (1 + 2 * q2) - 4 * c**2)
        return 2 / np.pi * np.arcsin(2 * c / np.sqrt(root**2 + 4 * c**2)), 4 / (
            np.pi * root
        )

    def filtered(k, shape):
        after = tuple(-(-count // stride) for count in shape)
        out = {}
        window = list(product(range(size), repeat=len(shape)))
        for p, q in product(product(*map(range, after)), repeat=2):
            total = 0.0
            for step in window:
                at = [
                    tuple(
                        stride * i + s - (size - 1) // 2
                        for i, s in zip(place, step, strict=True)
                    )
                    for place in (p, q)
                ]
                if padding == "circular":
                    at = [
                        tuple(i % n for i, n in zip(a, shape, strict=True)) for a in at
                    ]
                total += k.get(tuple(at), 0.0)
            out[p, q] = total / len(window)
        return out, after

    def start(a, b):
        every = list(product(*map(range, a.shape[:-1])))
        return {(p, q): a[p] @ b[q] / a.shape[-1] for p, q in product(every, repeat=2)}

    shape = x1.shape[:-1]
    pairs = {"12": start(x1, x2), "11": start(x1, x1), "22": start(x2, x2)}
    theta = dict.fromkeys(pairs["12"], 0.0)
    for _ in range(depth):
        after = None
        for name in pairs:
            k, after = filtered(pairs[name], shape)
            pairs[name] = {at: W**2 * v + b**2 for at, v in k.items()}
        below, _ = filtered(theta, shape)
        shape = after
        slopes = {}
        moved = {name: {} for name in pairs}
        for name, (left, right) in {
            "12": ("11", "22"),
            "11": ("11", "11"),
            "22": ("22", "22"),
        }.items():
            for (p, q), c in pairs[name].items():
                value, slope = erf(c, pairs[left][p, p], pairs[right][q, q])
                moved[name][p, q] = value
                if name == "12":
                    slopes[p, q] = slope
        theta = {at: (pairs["12"][at] + W**2 * below[at]) * slopes[at] for at in below}
        pairs = moved
    chosen = [at for at in pairs["12"] if pool or at[0] == at[1]]
    nngp = W**2 * np.mean([pairs["12"][at] for at in chosen]) + b**2
    return nngp, nngp + W**2 * np.mean([theta[at] for at in chosen])


@pytest.mark.parametrize("pool", [True, False], ids=["pool", "flatten"])
@pytest.mark.parametrize("padding", ["zero", "circular"])
@pytest.mark.parametrize(
    ("shape", "size", "stride"), [((5, 4), 3, 2), ((7,), 4, 3), ((4, 5), 2, 1)]
)
def test_kernels_agree_with_a_recursion_with_loops(shape, size, stride, padding, pool):
    x1, x2 = images(2, *shape, 2)
    layers = convolutions(2, "erf", size, stride, padding)
    network = {"layers": layers, "W_std": 1.4, "b_std": 0.3}
    found = kernels(
        x1[None], x2[None], readout="pool" if pool else "flatten", **network
    )
    nngp, theta = by_loops(x1, x2, 2, size, stride, padding, pool, 1.4, 0.3)
    np.testing.assert_allclose(found.nngp, nngp, rtol=1e-13)
    np.testing.assert_allclose(found.ntk, theta, rtol=1e-13)


# --- wide networks --------------------------------------------------------------------


def convolution(h, w, stride, padding):
    """A convolution of images (n *positions c), written with jax.lax alone."""
    axes = h.ndim - 2
    border = [((s - 1) // 2, s // 2) for s in w.shape[:axes]]
    if padding == "circular":
        h, border = jnp.pad(h, [(0, 0), *border, (0, 0)], mode="wrap"), [(0, 0)] * axes
    letters = "HW"[:axes]
    return jax.lax.conv_general_dilated(
        *(h, w, (stride,) * axes, border),
        dimension_numbers=(f"N{letters}C", f"{letters}IO", f"N{letters}C"),
    )


def written_out(kind, phi, shape, width):
    """A network of a kind in the NTK parametrisation: (draw, apply)."""
    W, b = 1.3, 0.4
    axes, c = len(shape) - 1, shape[-1]

    def linear(p, h, stride=1, padding="zero"):
        z = convolution(h, p["w"], stride, padding) if axes else h @ p["w"]
        fan_in = math.prod(p["w"].shape[:-1])
        return W / math.sqrt(fan_in) * z + b * p["b"].reshape((1,) * axes + (1, -1))

    def norm(h):
        h = h - h.mean(-1, keepdims=True)
        return h / jnp.sqrt((h**2).mean(-1, keepdims=True) + 1e-5)

    def draw(key):
        count = {"pool": 2, "strided": 2, "normed": 3, "residual": 5}[kind]
        size = (3,) * axes
        keys = jax.random.split(key, 2 * count + 1)
        layers = []
        for i in range(count):
            fan = c if i == 0 else width
            layers.append(
                {
                    "w": jax.random.normal(keys[2 * i], (*size, fan, width)),
                    "b": jax.random.normal(keys[2 * i + 1], (width,)),
                }
            )
        spots = math.prod(-(-s // 4) for s in shape[:-1]) if kind == "strided" else 1
        last = jax.random.normal(keys[-1], (spots * width,))
        return layers, last, jax.random.normal(keys[0], ())

    def apply(params, x):
        layers, last, bias = params
        if kind in ("pool", "strided"):
            stride, padding = (2, "zero") if kind == "strided" else (1, "circular")
            h = x
            for p in layers:
                h = phi(linear(p, h, stride, padding))
        else:
            before = norm if kind == "normed" else lambda h: h
            h = linear(layers[0], x)
            for i in range(1, len(layers), 2):
                inner = linear(layers[i], phi(before(h)))
                h = h + 0.7 * linear(layers[i + 1], phi(before(inner)))
            h = phi(before(h))
        if kind != "strided":
            h = h.mean(tuple(range(1, 1 + axes))) if axes else h
        h = h.reshape(len(h), -1)
        return (W / math.sqrt(last.size) * (h @ last) + b * bias)[:, None]

    return draw, apply


WIDE = {
    # kind, activation, shape of a point, layers, read-out
    "pool": ("relu", (6, 2), convolutions(2, "relu", padding="circular"), "pool"),
    "strided": ("softplus", (5, 4, 1), convolutions(2, "softplus", 3, 2), "flatten"),
    "residual": ("erf", (3,), residual(2, "erf", scale=0.7), "flatten"),
    "normed": (
        "tanh",
        (4, 3, 1),
        residual(1, "tanh", 3, scale=0.7, norm=True),
        "pool",
    ),
}


@pytest.mark.parametrize("kind", WIDE)
def test_the_mean_kernel_of_wide_networks_is_that_of_infinite_width(kind):
    name, shape, layers, readout = WIDE[kind]
    phi = convolutional.ACTIVATIONS[name]
    x, width, count = images(2, *shape), 128, 80
    draw, apply = written_out(kind, phi, shape, width)

    def one(key):
        params = draw(key)
        return ntk(apply, params, x)[:, 0, :, 0], apply(params, x)[:, 0]

    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        keys = jax.random.split(jax.random.key(3), count)
        theta, f = jax.jit(lambda keys: jax.lax.map(one, keys))(keys)
    found = kernels(x, layers=layers, readout=readout, W_std=1.3, b_std=0.4)
    error = theta.std(0, ddof=1) / math.sqrt(count)
    # the mean kernel differs from the limit by O(1/n); 0.02 is about 2/n
    bound = 4 * error + 0.02 * jnp.abs(found.ntk)
    assert (jnp.abs(theta.mean(0) - found.ntk) < bound).all()
    assert (error < 0.03 * jnp.diag(found.ntk).max()).all()
    second = f[:, :, None] * f[:, None, :]
    error = second.std(0, ddof=1) / math.sqrt(count)
    assert (jnp.abs(second.mean(0) - found.nngp) < 4 * error).all()


# --- identities -----------------------------------------------------------------------


@pytest.mark.parametrize("biases", ["random", "zero"])
@pytest.mark.parametrize(("activation", "tolerance"), [("relu", 1e-12), ("tanh", 1e-9)])
def test_without_positions_convolutions_are_dense_layers(activation, tolerance, biases):
    x, y = images(5, 4), images(3, 4, seed=1)
    network = {"W_std": 1.2, "b_std": 0.5, "biases": biases}
    for points in ((x, None), (y, x)):
        ours = kernels(*points, layers=convolutions(2, activation), **network)
        mlp = infinite.kernels(*points, depth=2, activation=activation, **network)
        np.testing.assert_allclose(ours.nngp, mlp.nngp, rtol=tolerance)
        np.testing.assert_allclose(ours.ntk, mlp.ntk, rtol=tolerance)


@pytest.mark.parametrize(
    ("layers", "readout"),
    [
        (convolutions(2, "relu", 3, 2), "pool"),
        (residual(1, "tanh", 3, norm=True), "flatten"),
    ],
    ids=["pool", "flatten"],
)
def test_tiles_and_halves_are_the_whole_kernel(layers, readout):
    x, y = images(4, 4, 3, 2), images(2, 4, 3, 2, seed=1)
    network = {"layers": layers, "readout": readout, "b_std": 0.1}
    for other in (y, None):
        whole = kernels(x, other, **network)
        tiled = kernels(x, other, **network, tile=2)
        for a, b in zip(whole, tiled, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-13)
    for k in tiled:
        np.testing.assert_array_equal(k, k.T)
        assert np.linalg.eigvalsh(k)[0] > 0
    again = kernels(x, x, **network).ntk  # the diagonal has the roundings of relu
    np.testing.assert_allclose(again, whole.ntk, rtol=1e-7)


@pytest.mark.parametrize("layers", ["plain", "residual"])
def test_circular_padding_and_pooling_do_not_see_cyclic_shifts(layers):
    network = {
        "plain": convolutions(2, "relu", padding="circular"),
        "residual": residual(1, "relu", 3, padding="circular", norm=True),
    }[layers]
    x, y = images(2, 5, 4, 2), images(2, 5, 4, 2, seed=1)
    moved = np.roll(y, (2, 1), (1, 2))
    pooled = [
        kernels(x, z, layers=network, readout="pool", b_std=0.2) for z in (y, moved)
    ]
    for a, b in zip(*pooled, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    flat = [kernels(x, z, layers=network, b_std=0.2).ntk for z in (y, moved)]
    assert np.abs(flat[0] - flat[1]).max() > 1e-3
    both = kernels(np.roll(x, (2, 1), (1, 2)), moved, layers=network, b_std=0.2).ntk
    np.testing.assert_allclose(both, flat[0], rtol=1e-12)
    zero = convolutions(2, "relu")
    seen = [kernels(x, z, layers=zero, readout="pool").ntk for z in (y, moved)]
    assert np.abs(seen[0] - seen[1]).max() > 1e-4


def test_a_filter_of_one_pools_the_kernels_of_its_positions():
    # without mixing of positions the pooled kernel is a mean of dense kernels
    x = images(2, 4, 3)
    pooled = kernels(x, layers=convolutions(2, "gelu", 1), readout="pool").nngp
    rows = x.reshape(8, 3)
    dense = infinite.kernels(rows, depth=2, activation="gelu").nngp
    expected = dense.reshape(2, 4, 2, 4).mean((1, 3))
    np.testing.assert_allclose(pooled, expected, rtol=1e-12)


def test_parallel_relu_images_keep_their_diagonal():
    # the diagonal is that of variances: K(x, x) of relu without biases, W_std = √2, is
    # the same in each layer if no border is lost
    x = images(3, 6, 6, 2)
    layers = convolutions(8, "relu", padding="circular")
    k = kernels(x, layers=layers, W_std=math.sqrt(2)).nngp
    np.testing.assert_allclose(np.diag(k), 2 * (x**2).mean((1, 2, 3)), rtol=1e-13)


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ((Activation("relu"),), "must follow Linear"),
        ((Linear(), Activation("relu"), Norm()), "Norm must follow"),
        ((Linear(), Residual((Linear(), Activation("relu")))), "must end in Linear"),
        ((Linear(), Residual(())), "must have weights"),
        ((Linear(), Activation("sine")), "'sine' is not one of"),
    ],
)
def test_layers_without_a_recursion_are_refused(layers, words):
    with pytest.raises(ValueError, match=words):
        kernels(images(2, 3), layers=layers)


def test_other_shapes_and_words_are_refused():
    layers = convolutions(1, "relu")
    with pytest.raises(ValueError, match="no, one or two axes"):
        kernels(images(2, 3, 3, 3, 1), layers=layers)
    with pytest.raises(ValueError, match="no, one or two axes"):
        kernels(images(2, 3, 1), images(2, 4, 1), layers=layers)
    with pytest.raises(ValueError, match="flatten or pool"):
        kernels(images(2, 3, 1), layers=layers, readout="max")
