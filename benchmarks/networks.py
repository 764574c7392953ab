"""The convolutional, residual and attention networks of the rows, in plain JAX.

Rivals of other versions of JAX read this file, so it imports nothing of ntkpipe.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax


def _draw(key, shapes, dtype):
    """Weights of variance 1/fan-in, and vectors of standard deviation 0.1."""
    keys = jax.random.split(key, len(shapes))
    return {
        name: jax.random.normal(k, shape, dtype)
        * (1 / math.sqrt(math.prod(shape[:-1])) if len(shape) > 1 else 0.1)
        for k, (name, shape) in zip(keys, shapes.items())  # noqa: B905  # equal lengths
    }


def _conv(x, w):
    dimensions = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=dimensions)


def cnn(key, k, dtype="float32", side=16, channels=32, depth=3):
    """Convolutions of 3 × 3 with ReLU, then a mean over the image."""
    shapes = {}
    for i in range(depth):
        shapes[f"w{i}"] = (3, 3, channels if i else 3, channels)
        shapes[f"b{i}"] = (channels,)
    shapes |= {"r": (channels, k), "rb": (k,)}

    def apply(p, x):
        h = x
        for i in range(depth):
            h = jax.nn.relu(math.sqrt(2) * _conv(h, p[f"w{i}"]) + p[f"b{i}"])
        return h.mean((1, 2)) @ p["r"] + p["rb"]

    return apply, _draw(key, shapes, dtype), (side, side, 3)


def resnet(key, k, dtype="float32", side=16, channels=32, blocks=3):
    """A convolution, blocks of two convolutions, then a mean over the image."""
    shapes = {"in": (3, 3, 3, channels), "r": (channels, k), "rb": (k,)}
    for i in range(blocks):
        shapes |= {f"{name}{i}": (3, 3, channels, channels) for name in "ac"}

    def apply(p, x):
        h = _conv(x, p["in"])
        for i in range(blocks):
            inner = jax.nn.relu(_conv(jax.nn.relu(h), p[f"a{i}"]))
            h = h + _conv(inner, p[f"c{i}"])
        return jax.nn.relu(h).mean((1, 2)) @ p["r"] + p["rb"]

    return apply, _draw(key, shapes, dtype), (side, side, 3)


def _norm(h, gain, bias):
    centred = h - h.mean(-1, keepdims=True)
    variance = (centred**2).mean(-1, keepdims=True)
    return centred / jnp.sqrt(variance + 1e-5) * (1 + gain) + bias


def attention(key, k, dtype="float32", tokens=16, d=64, heads=4, hidden=128, blocks=2):
    """Blocks of softmax attention and of two dense layers, each after a layer norm."""
    shapes = {"r": (d, k), "rb": (k,), "g": (d,), "b": (d,)}
    for i in range(blocks):
        shapes |= {f"{name}{i}": (d, d) for name in "qkvo"}
        shapes |= {f"m{i}": (d, hidden), f"mb{i}": (hidden,)}
        shapes |= {f"n{i}": (hidden, d), f"nb{i}": (d,)}
        shapes |= {f"{name}{i}": (d,) for name in ("g1", "b1", "g2", "b2")}

    def split(h):
        return h.reshape(*h.shape[:2], heads, d // heads)

    def apply(p, x):
        h = x
        for i in range(blocks):
            u = _norm(h, p[f"g1{i}"], p[f"b1{i}"])
            query, keys, values = (split(u @ p[f"{name}{i}"]) for name in "qkv")
            scores = jnp.einsum("nthe,nshe->nhts", query, keys)
            weights = jax.nn.softmax(scores / math.sqrt(d // heads), -1)
            read = jnp.einsum("nhts,nshe->nthe", weights, values).reshape(h.shape)
            h = h + read @ p[f"o{i}"]
            u = _norm(h, p[f"g2{i}"], p[f"b2{i}"])
            inner = jax.nn.relu(u @ p[f"m{i}"] + p[f"mb{i}"])
            h = h + inner @ p[f"n{i}"] + p[f"nb{i}"]
        return _norm(h, p["g"], p["b"]).mean(1) @ p["r"] + p["rb"]

    return apply, _draw(key, shapes, dtype), (tokens, d)


NETWORKS = {"cnn": cnn, "resnet": resnet, "attention": attention}


def network(name, points, k, dtype="float32", **sizes):
    """apply, parameters and points (points, …) of a network."""
    apply, params, shape = NETWORKS[name](jax.random.key(1), k, dtype, **sizes)
    x = jax.random.normal(jax.random.key(0), (points, *shape), dtype)
    return apply, params, x
