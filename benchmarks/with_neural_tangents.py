"""The cases in which neural-tangents 0.6.5 is timed; runs in its own environment.

With JAX 0.4.26 and without TensorFlow, neural-tangents can be imported if its
TensorFlow interface is left out, which is not used here. Its third implementation needs
two names that this JAX has moved; `patched` restores them.
"""
# ruff: noqa: E402

import sys
import types

sys.modules["neural_tangents.experimental"] = types.ModuleType("experimental")

import jax
import jax.numpy as jnp
import networks  # beside this file
import neural_tangents as nt
from jax._src import source_info_util
from jax.interpreters import ad
from neural_tangents import stax

jax.config.update("jax_enable_x64", True)


def _network(width, k, depth):
    layers = []
    for _ in range(depth):
        layers += [stax.Dense(width), stax.Relu()]
    return stax.serial(*layers, stax.Dense(k))


def empirical(points, width, k, depth, d, implementation, patched, dtype="float32"):
    """One implementation, for a network of its own."""
    init, apply, _ = _network(width, k, depth)
    x = jax.random.normal(jax.random.key(0), (points, d), dtype)
    params = jax.tree.map(
        lambda leaf: leaf.astype(dtype), init(jax.random.key(1), x.shape)[1]
    )
    return _kernel(apply, params, x, implementation, patched)


def any_network(name, points, k, implementation, patched, **sizes):
    """One implementation, for a network of `networks`."""
    return _kernel(*networks.network(name, points, k, **sizes), implementation, patched)


def _kernel(apply, params, x, implementation, patched):
    """With vmap_axes=0, which makes each implementation faster."""
    if patched:
        ad.source_info_util, ad.config = source_info_util, jax.config
    kernel = jax.jit(
        nt.empirical_ntk_fn(
            apply,
            trace_axes=(),
            vmap_axes=0,
            implementation=nt.NtkImplementation(implementation),
        )
    )
    return lambda: kernel(x, None, params).block_until_ready()


def infinite(points, depth, d, activation):
    """The kernel of an infinitely wide network, float64."""
    layers = []
    for _ in range(depth):
        layers += [stax.Dense(1), {"relu": stax.Relu, "erf": stax.Erf}[activation]()]
    kernel = jax.jit(
        stax.serial(*layers, stax.Dense(1))[2], static_argnames=("get", "x2")
    )
    x = jax.random.normal(jax.random.key(0), (points, d), jnp.float64)
    return lambda: jax.block_until_ready(kernel(x, None, get=("nngp", "ntk")))


def convolutional(points, side, depth, pool, symmetric):
    """The kernel of an infinitely wide convolutional network, relu, float64."""
    layers = []
    for _ in range(depth):
        layers += [stax.Conv(1, (3, 3), padding="SAME", W_std=2**0.5), stax.Relu()]
    layers += [stax.GlobalAvgPool() if pool else stax.Flatten(), stax.Dense(1)]
    kernel = jax.jit(stax.serial(*layers)[2], static_argnames="get")
    shape = points, side, side, 3
    x1, x2 = jax.random.normal(jax.random.key(0), (2, *shape), jnp.float64)
    other = None if symmetric else x2
    return lambda: jax.block_until_ready(kernel(x1, other, get=("nngp", "ntk")))


CASES = {
    "empirical": empirical,
    "any_network": any_network,
    "infinite": infinite,
    "convolutional": convolutional,
}
