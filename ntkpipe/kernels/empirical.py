"""The empirical NTK of any JAX function, Θ = ∇f ∇fᵀ, in closed form where possible.

A kernel of n × m points and k outputs is an array (n k m k), also for k = 1. A kernel
traced over outputs, tr_k(Θ)/k, is an array (n 1 m 1). `ntk` returns the whole kernel.
`tiles.tiles` yields the kernel tile by tile, in the memory of a few tiles.
"""

from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from ntkpipe.kernels.assemble import aligned, place
from ntkpipe.kernels.blocks import LEAF, block
from ntkpipe.kernels.devices import free_memory
from ntkpipe.kernels.signals import (
    Array,
    Layers,
    Outputs,
    learning_rates,
    of_points,
)
from ntkpipe.kernels.tiles import Tile, jitted_signals, output, plan, tiles
from ntkpipe.kernels.uses import Apply

WHOLE = 2048
"""Up to this many rows N·k, `ntk` is one compiled expression; above, it uses tiles.

At 2048 rows and width 1024 one expression takes 0.93 of the time of tiles, see
docs/performance.md, "One expression or tiles".
"""

SURELY = 2**28
"""Size of a Jacobian, in numbers, that always fits into memory: 1 to 2 GB."""


def ntk(
    apply: Apply,
    params,
    x1: Array,
    x2: Array | None = None,
    outputs: Outputs = "full",
    layers: Layers = "sum",
    rates=None,
):
    """The empirical NTK Θ(x1, x2), (n k m k), or (n 1 m 1) with `outputs="trace"`.

    For few points, and under jit, vmap or grad, Θ is one compiled expression. Otherwise
    it is assembled from tiles; without x2 only half of the tiles are computed.

    Args:
        apply: network `apply(params, x)`, any JAX function with outputs (n k), each
            of which depends on one point only.
        params: its parameters, a tree of arrays.
        x1: points (n …).
        x2: points (m …); default x1.
        outputs: `full`, or `trace` over outputs divided by k.
        layers: `sum`, or `each` for a dict of the parameters' parts, {path: (n k m k)}.
            The bias of a layer is included in the part of its weights.
        rates: relative learning rates, a tree of numbers like `params`; default 1.

    Raises:
        MemoryError: Θ is larger than the free memory.
    """
    rates = learning_rates(params, rates)
    arguments = jax.tree.leaves((params, x1, x2))
    traced = any(isinstance(a, jax.core.Tracer) for a in arguments)
    if traced:
        return _whole(apply, params, x1, x2, outputs, layers, rates)
    options = {"outputs": outputs, "layers": layers, "rates": rates}
    rows = _rows(apply, params, x1, x2, outputs)
    if rows <= WHOLE and _fits(apply, params, x1, x2, rows, options):
        if x2 is not None:
            return _whole(apply, params, x1, x2, **options)
        # two expressions: in one, XLA computes the mirrored entries a second time, with
        # other roundings, and Θ is not exactly symmetric
        return _join(_halves(apply, params, x1, **options))
    cut = plan(apply, params, x1, x2, **options)
    if cut.kernel_bytes > free_memory():
        raise MemoryError(
            f"the {cut}; {free_memory() / 1e9:.3g} GB are free: write it to a file "
            "with `large.save`, or sum over its tiles with `large.reduce` or "
            "`large.compare`"
        )
    size = (len(x1), len(x1 if x2 is None else x2))
    pieces = tiles(apply, params, x1, x2, **options)
    assemble = in_host_memory if jax.default_backend() == "cpu" else on_device
    kernels = assemble(pieces, *size)
    return kernels if layers == "each" else kernels[""]


def in_host_memory(pieces: Iterator["Tile"], n: int, m: int) -> dict[str, Array]:
    """Assemble Θ (n k m k): {layer: part}, or {"": sum over layers}."""
    kernels = {}
    for tile in pieces:
        for name, part in _parts(tile).items():
            if name not in kernels:
                k = part.shape[1]
                kernels[name] = aligned((n, k, m, k), part.dtype)
            place(kernels[name], tile.rows, tile.columns, part, tile.mirrored)
    return {name: jax.device_put(a, may_alias=True) for name, a in kernels.items()}


def on_device(pieces: Iterator["Tile"], n: int, m: int) -> dict[str, Array]:
    """`in_host_memory` on the device: on a GPU 100 times as fast as by the host."""
    device = jax.local_devices()[0]
    kernels = {}
    for tile in pieces:
        i, j = tile.rows.start, tile.columns.start
        for name, part in _parts(tile).items():
            part = jax.device_put(part, device)
            if name not in kernels:
                k = part.shape[1]
                kernels[name] = jnp.zeros((n, k, m, k), part.dtype, device=device)
            kernels[name] = _written(kernels[name], part, i, j)
            if tile.mirrored:
                image = part.transpose(2, 3, 0, 1)
                kernels[name] = _written(kernels[name], image, j, i)
    return kernels


def _parts(tile: "Tile") -> dict[str, Array]:
    return tile.theta if isinstance(tile.theta, dict) else {"": tile.theta}


@partial(jax.jit, donate_argnums=0)
def _written(kernel, part, row, column):
    return jax.lax.dynamic_update_slice(kernel, part, (row, 0, column, 0))


def _rows(apply, params, x1, x2, outputs) -> int:
    """Rows N·k of the larger side of Θ."""
    points = max(len(x1), len(x1 if x2 is None else x2))
    if outputs == "trace" or points > WHOLE:
        return points
    return points * output(apply, params, x1).shape[1]


def _fits(apply, params, x1, x2, rows: int, options) -> bool:
    """Whether the signals of all points take at most half of the free memory."""
    weights = sum(np.size(leaf) for leaf in jax.tree.leaves(params))
    if np.ndim(x1) == 2 and rows * weights <= SURELY:
        return True  # a plan would take a third of the time of a small kernel
    points = max(len(x1), len(x1 if x2 is None else x2))
    whole = plan(apply, params, x1, x2, tile=points, budget=1e18, **options)
    return whole.bytes <= free_memory() / 2


_compiled = partial(jax.jit, static_argnames=("apply", "outputs", "layers", "rates"))


@_compiled
def _whole(apply, params, x1, x2, outputs, layers, rates):
    points = max(len(x1), 0 if x2 is None else len(x2))

    def of(x):
        return jitted_signals(apply, params, x, rates, points, outputs, layers)[1]

    first = of(x1)
    return block(first, first if x2 is None else of(x2), outputs, layers)


@_compiled
def _halves(apply, params, x, outputs, layers, rates):
    """Θ(x, x) = [[A, C], [Cᵀ, B]] as (A, C, B), with A and B halved in the same way."""

    def halve(found):
        n, k = next(iter(found.values())).delta.shape[:2]
        if n == 1 or n * (1 if outputs == "trace" else k) <= LEAF:
            return block(found, found, outputs, layers)
        first, second = (
            of_points(found, slice(n // 2)),
            of_points(found, slice(n // 2, n)),
        )
        return halve(first), block(first, second, outputs, layers), halve(second)

    of_x = jitted_signals(apply, params, x, rates, len(x), outputs, layers)[1]
    return halve(of_x)


@jax.jit
def _join(halves):
    """Θ from what `_halves` returns."""
    if not isinstance(halves, tuple):
        return halves

    def whole(a, c, b):
        left = jnp.concatenate([a, c.transpose(2, 3, 0, 1)], 0)
        return jnp.concatenate([left, jnp.concatenate([c, b], 0)], 2)

    a, c, b = halves
    return jax.tree.map(whole, _join(a), c, _join(b))


@jax.default_matmul_precision("highest")
def ntk_vector_product(apply: Apply, params, x: Array, v: Array, rates=None) -> Array:
    """Θ(x, x) v for v (n k), by one vjp and one jvp; arguments as those of `ntk`."""
    scales = jax.tree.unflatten(
        jax.tree.structure(params), learning_rates(params, rates)
    )

    def f(params):
        return apply(params, x)

    _, pullback = jax.vjp(f, params)
    (g,) = pullback(v)
    return jax.jvp(f, (params,), (jax.tree.map(jnp.multiply, g, scales),))[1]
