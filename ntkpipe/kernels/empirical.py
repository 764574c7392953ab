"""The empirical NTK of a network, Θ = ∇f ∇fᵀ, layer by layer in closed form.

A kernel of n × m points and k outputs is an array (n k m k), also for k = 1; traced
over outputs it is (n 1 m 1) and means tr_k(Θ)/k. `ntk` gives it whole; `kernels.tiles`
gives it tile by tile and needs no memory for more than a few of them.
"""

from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp

from ntkpipe.kernels.assemble import aligned, place
from ntkpipe.kernels.blocks import LEAF, block
from ntkpipe.kernels.devices import free_memory
from ntkpipe.kernels.taps import (
    Apply,
    Array,
    Layers,
    Outputs,
    learning_rates,
    of_points,
    signals,
)
from ntkpipe.kernels.tiles import Tile, output, plan, tiles

WHOLE = 2048
"""Up to so many rows N·k `ntk` is one compiled expression; above it is made of tiles.

Measured on two cores, float32, ms as one expression / as tiles: N = 300, width 64:
0.4 / 1.4; 512, 1024: 11 / 18; 1024, 1024: 28 / 35; 1024, 128: 3.2 / 4.8; 2048, 1024:
82 / 88; 2048, 128: 15 / 17; ten outputs and width 512: 200 points 21 / 32, 512 points
117 / 112.
"""


def ntk(
    apply: Apply,
    params,
    x1: Array,
    x2: Array | None = None,
    outputs: Outputs = "full",
    layers: Layers = "sum",
):
    """The empirical NTK Θ(x1, x2), (n k m k), or (n 1 m 1) with `outputs="trace"`.

    One compiled expression for few points and under jit, vmap or grad; else tiles,
    half of them where x2 is x1.

    Args:
        apply: network `apply(params, x, site)` written in `models.dense`.
        params: its parameters.
        x1: points (n d).
        x2: points (m d); default x1.
        outputs: `full`, or `trace` over outputs divided by k.
        layers: `sum`, or `each` for a dict of the layers' parts, {name: (n k m k)}.

    Raises:
        MemoryError: Θ is larger than what is free.
    """
    arguments = jax.tree.leaves((params, x1, x2))
    traced = any(isinstance(a, jax.core.Tracer) for a in arguments)
    if traced:
        return _whole(apply, params, x1, x2, outputs, layers)
    if _rows(apply, params, x1, x2, outputs) <= WHOLE:
        if x2 is not None:
            return _whole(apply, params, x1, x2, outputs, layers)
        # two expressions: in one, XLA computes mirror images anew, with other roundings
        return _join(_squares(apply, params, x1, outputs, layers))
    cut = plan(apply, params, x1, x2, outputs=outputs, layers=layers)
    if cut.kernel_bytes > free_memory():
        raise MemoryError(
            f"the {cut}; {free_memory() / 1e9:.3g} GB are free: use `large.save`, or "
            "`tiles` and sums over its squares (`large.reduce`, `large.compare`)"
        )
    size = (len(x1), len(x1 if x2 is None else x2))
    squares = tiles(apply, params, x1, x2, outputs=outputs, layers=layers)
    put_together = _in_host_memory if jax.default_backend() == "cpu" else _on_device
    found = put_together(squares, *size)
    return found if layers == "each" else found[""]


def _in_host_memory(squares: Iterator["Tile"], n: int, m: int) -> dict[str, Array]:
    """Θ (n k m k) of each layer, or of all as the layer ``, from its squares."""
    found = {}
    for square in squares:
        for name, part in _parts(square).items():
            if name not in found:
                k = part.shape[1]
                found[name] = aligned((n, k, m, k), part.dtype)
            place(found[name], square.rows, square.columns, part, square.mirrored)
    return {name: jax.device_put(a, may_alias=True) for name, a in found.items()}


def _on_device(squares: Iterator["Tile"], n: int, m: int) -> dict[str, Array]:
    """The same without a way through the host: 100 times as fast on a GPU."""
    device = jax.local_devices()[0]
    found = {}
    for square in squares:
        i, j = square.rows.start, square.columns.start
        for name, part in _parts(square).items():
            part = jax.device_put(part, device)
            if name not in found:
                k = part.shape[1]
                found[name] = jnp.zeros((n, k, m, k), part.dtype, device=device)
            found[name] = _written(found[name], part, i, j)
            if square.mirrored:
                image = part.transpose(2, 3, 0, 1)
                found[name] = _written(found[name], image, j, i)
    return found


def _parts(square: "Tile") -> dict[str, Array]:
    return square.theta if isinstance(square.theta, dict) else {"": square.theta}


@partial(jax.jit, donate_argnums=0)
def _written(kernel, part, row, column):
    return jax.lax.dynamic_update_slice(kernel, part, (row, 0, column, 0))


def _rows(apply, params, x1, x2, outputs) -> int:
    """Rows N·k of the larger side of Θ."""
    points = max(len(x1), 0 if x2 is None else len(x2))
    if outputs == "trace" or points > WHOLE:
        return points
    return points * output(apply, params, x1).shape[1]


@partial(jax.jit, static_argnames=("apply", "outputs", "layers"))
def _whole(apply, params, x1, x2, outputs, layers):
    _, sites1 = signals(apply, params, x1)
    sites2 = sites1 if x2 is None else signals(apply, params, x2)[1]
    return block(sites1, sites2, outputs, layers)


@partial(jax.jit, static_argnames=("apply", "outputs", "layers"))
def _squares(apply, params, x, outputs, layers):
    """Θ(x, x) by halves, (A, C, B) of [[A, C], [Cᵀ, B]], and A and B alike."""

    def halve(sites):
        n, k, _ = next(iter(sites.values())).delta.shape
        if n == 1 or n * (1 if outputs == "trace" else k) <= LEAF:
            return block(sites, sites, outputs, layers)
        first, second = (
            of_points(sites, slice(n // 2)),
            of_points(sites, slice(n // 2, n)),
        )
        return halve(first), block(first, second, outputs, layers), halve(second)

    return halve(signals(apply, params, x)[1])


@jax.jit
def _join(squares):
    """Θ from what `_squares` returns."""
    if not isinstance(squares, tuple):
        return squares

    def whole(a, c, b):
        left = jnp.concatenate([a, c.transpose(2, 3, 0, 1)], 0)
        return jnp.concatenate([left, jnp.concatenate([c, b], 0)], 2)

    a, c, b = squares
    return jax.tree.map(whole, _join(a), c, _join(b))


@jax.default_matmul_precision("highest")
def ntk_vector_product(apply: Apply, params, x: Array, v: Array, rates=None) -> Array:
    """Θ(x, x) v for v (n k), by one vjp and one jvp; works for any `apply`.

    `rates` are relative learning rates, a tree like `params`; default those that the
    dense layers state, with which it is a product with `ntk`.
    """
    rates = learning_rates(apply, params, x) if rates is None else rates

    def f(params):
        return apply(params, x)

    _, pullback = jax.vjp(f, params)
    (g,) = pullback(v)
    return jax.jvp(f, (params,), (jax.tree.map(jnp.multiply, g, rates),))[1]
