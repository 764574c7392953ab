"""Compute Θ tile by tile, with memory for the signals and a few tiles only.

`plan` cuts Θ so that signals and tiles fit into memory, and estimates the cost. `tiles`
computes one tile after the other. If Θ is symmetric, it leaves out the tiles below the
diagonal.
"""

import collections
import math
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ntkpipe.kernels.blocks import block, is_few, joined
from ntkpipe.kernels.devices import free_memory, placements
from ntkpipe.kernels.signals import (
    Array,
    Forms,
    Layers,
    Outputs,
    Signals,
    learning_rates,
    signals,
)
from ntkpipe.kernels.uses import Apply

QUEUE = 8
"""Tiles computed ahead of the one that is read."""


def output(apply: Apply, params, x) -> jax.ShapeDtypeStruct:
    """Shape (1 k) and dtype of f at one point; a second call is a cache look-up."""
    one = jax.ShapeDtypeStruct((1, *np.shape(x)[1:]), jnp.result_type(x))
    return _jitted.eval_shape(apply, params, one)


@partial(jax.jit, static_argnames="apply")
def _jitted(apply, params, x):
    return apply(params, x)


class Tile(NamedTuple):
    """Θ between the points `rows` of x1 and `columns` of x2."""

    rows: slice
    columns: slice
    theta: Array  # (a k b k), or a dict of such arrays with `layers="each"`
    mirrored: bool  # its transpose is a tile below the diagonal, which is not yielded


class Plan(NamedTuple):
    """How a kernel is cut so that it fits into memory, and what it costs."""

    shape: tuple[int, int, int, int]  # of the kernel
    tile: int  # points along the side of a tile
    band: int  # chunks of `tile` points whose signals are held
    bytes: int  # peak memory: signals and the tiles in the queue, without the kernel
    kernel_bytes: int  # memory of the whole kernel, or of the kernels of all layers
    flop: float  # of the signals and of the tiles that are computed
    forms: Forms  # of the parameters, the cheapest for this number of points

    def __str__(self):
        """One line for the log."""
        n, k, m, _ = self.shape
        return (
            f"kernel of {n:,} × {m:,} points, {k} output{'s' * (k > 1)}: tiles of "
            f"{self.tile:,} points, {self.bytes / 1e9:.2f} GB of memory, "
            f"{self.flop:.1e} FLOP; whole it is {self.kernel_bytes / 1e9:.2f} GB"
        )


def plan(
    apply: Apply,
    params,
    x1: Array,
    x2: Array | None = None,
    outputs: Outputs = "full",
    layers: Layers = "sum",
    tile: int | None = None,
    budget: float | None = None,
    devices: int = 1,
    rates=None,
) -> Plan:
    """Cut Θ(x1, x2) so that signals and tiles take at most `budget` bytes.

    Nothing is computed. If the signals of all points of x1 fit into memory, all are
    held. Otherwise the signals of a band of points are held, and the signals of x2 are
    computed again for each band.

    The first arguments and `rates` are those of `empirical.ntk`. `tile` is the number
    of points along the side of a tile: by default 128 to 512, or fewer for many outputs
    or little memory, and up to 4096 on accelerators. The default budget is half of the
    free memory. The rows of a tile are distributed over a number of `devices`.

    Raises:
        MemoryError: the smallest tiles do not fit.
    """
    n, m = len(x1), len(x1 if x2 is None else x2)
    one = jax.ShapeDtypeStruct((1, *np.shape(x1)[1:]), jnp.result_type(x1))
    rates = learning_rates(params, rates)
    y, found = jitted_signals.eval_shape(
        apply, params, one, rates, max(n, m), outputs, "each"
    )
    k, size = (1 if outputs == "trace" else y.shape[1]), y.dtype.itemsize
    point = sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(found))
    # memory of a forward and backward pass of a point
    passed = size * sum(s.cost.inputs + s.cost.units for s in found.values())
    budget = free_memory() / 2 if budget is None else budget
    side = tile or _side(max(n, m), k)
    parts = len(found) if layers == "each" else 1
    while True:
        side = max(math.ceil(side / devices) * devices, 1)
        # XLA holds both factors of each layer before it multiplies them
        factors = 2 * _factors(found) + parts * (1 + QUEUE)
        base = factors * (side * k) ** 2 * size + side * (point + 2 * passed)
        count = math.ceil(n / side)
        band = min(count, int((budget - base) // (side * point)))
        if band >= 1 or tile or side <= 16:
            break
        side //= 2
    if band < 1:
        raise MemoryError(
            f"tiles of {side} points need {(base + side * point) / 1e9:.2g} GB and "
            f"{budget / 1e9:.2g} GB are allowed: raise `budget`, or choose a smaller "
            "`tile`, a narrower network or `outputs='trace'`"
        )
    bands = math.ceil(count / band)
    if x2 is None:
        pairs = sum(min(side, n - i) * (n - i) for i in range(0, n, side))
        passes = n * (bands + 1) / 2
    else:
        pairs, passes = n * m, n + m * bands
    flop = _flop(found, y.shape[1], outputs, pairs, passes)
    forms = tuple((name, s.form) for name, s in found.items())
    total = base + band * side * point
    kernel = parts * n * m * k * k * size
    return Plan((n, k, m, k), side, band, int(total), kernel, flop, forms)


def _flop(found, k: int, outputs: Outputs, pairs: float, passes: float) -> float:
    """FLOP of `pairs` pairs of points, and of `passes` forward and backward passes."""
    outer = k if outputs == "trace" else k * k
    products = 2 * pairs * sum(_multiplied(s, outer) for s in found.values())
    once = sum((1 + k) * s.cost.flop + s.cost.forming for s in found.values())
    return float(products + passes * once)


def _multiplied(s: Signals, outer: int) -> int:
    """Multiplications for one pair of points and `outer` pairs of outputs."""
    if s.form == "jacobian":
        return outer * s.delta.shape[-1]
    inner = 0 if s.form == "rows" else s.h.shape[-1]
    return _places(s) * (inner + outer * s.delta.shape[-1])


def _places(s: Signals) -> int:
    """Number of pairs of positions, times groups, of one pair of points."""
    if s.form in ("layer", "jacobian"):
        return 1
    t, g = s.delta.shape[2], s.delta.shape[3] if s.form == "positions" else 1
    return t * t * g


def _factors(found: dict[str, Signals]) -> int:
    """Number of tiles of factors: h·h' or δ·δ' of each part of Θ."""
    whole = [s for s in found.values() if not is_few(s)]
    return sum(map(_places, whole)) + (len(whole) < len(found))


def _side(points: int, k: int) -> int:
    """Points along the side of a tile: large enough for the matrix product."""
    if jax.default_backend() != "cpu":
        return _equal(points, max(512, 4096 // k))
    # at least four rows of tiles, as symmetry saves little with fewer; at most about
    # 512 rows N·k, as larger tiles leave the cache between two layers
    side = min(512, max(128, points // 4 // 64 * 64))
    return _equal(points, max(64, min(side, 768 // k // 64 * 64)))


def _equal(points: int, side: int) -> int:
    """The side of tiles of nearly equal size, at most `side`, for little padding."""
    return math.ceil(points / math.ceil(points / side) / 8) * 8


def tiles(
    apply: Apply,
    params,
    x1: Array,
    x2: Array | None = None,
    *,
    outputs: Outputs = "full",
    layers: Layers = "sum",
    tile: int | None = None,
    budget: float | None = None,
    devices: tuple[jax.Device, ...] | None = None,
    rates=None,
) -> Iterator[Tile]:
    """Θ(x1, x2) tile by tile; for Θ(x1, x1), the tiles on and above the diagonal.

    Up to `QUEUE` tiles are computed ahead of the one that is read, so that no core
    waits for the reader. The rows of a tile are distributed over `devices`, by default
    all local ones. The other arguments are those of `plan`.
    """
    devices = tuple(jax.local_devices() if devices is None else devices)
    rates = learning_rates(params, rates)
    cut = plan(
        apply, params, x1, x2, outputs, layers, tile, budget, len(devices), rates
    )
    share, spread = placements(devices)
    params = share(params)
    rows = chunks(x1, cut.tile)
    columns = rows if x2 is None else chunks(x2, cut.tile)

    def chunk_signals(x):
        return jitted_signals(
            apply, params, spread(x), rates, cut.forms, outputs, layers
        )[1]

    waiting: collections.deque[tuple] = collections.deque()
    for first in range(0, len(rows), cut.band):
        band = range(first, min(first + cut.band, len(rows)))
        held = {i: chunk_signals(rows[i][1]) for i in band}
        for j in range(0 if x2 is not None else first, len(columns)):
            own = x2 is None and j in held
            right = share(held[j] if own else chunk_signals(columns[j][1]))
            for i in band:
                if x2 is None and i > j:
                    break
                theta = jitted_block(held[i], right, outputs, layers)
                mirrored = x2 is None and i != j
                waiting.append((rows[i][0], columns[j][0], theta, mirrored))
                if len(waiting) > QUEUE:
                    yield _trim(*waiting.popleft())
    while waiting:
        yield _trim(*waiting.popleft())


@partial(jax.jit, static_argnames=("apply", "rates", "forms", "outputs", "layers"))
def jitted_signals(
    apply, params, x, rates=None, forms=None, outputs="full", layers="sum"
) -> tuple[Array, dict[str, Signals]]:
    """`signals`, with the Jacobians of few columns joined if their parts are summed."""
    y, found = signals(apply, params, x, rates, forms, outputs)
    return y, joined(found) if layers == "sum" else found


jitted_block = partial(jax.jit, static_argnames=("outputs", "layers"))(block)


def chunks(x, size: int) -> list[tuple[slice, np.ndarray]]:
    """Points in chunks of one size; the last chunk is padded with its last point.

    One size needs one compilation. The number of devices divides the size of `plan`.
    """
    x = np.asarray(x)
    cut = []
    for start in range(0, len(x), size):
        part = x[start : start + size]
        padded = np.concatenate([part, np.repeat(part[-1:], size - len(part), 0)])
        cut.append((slice(start, start + len(part)), padded))
    return cut


def _trim(rows: slice, columns: slice, theta, mirrored: bool) -> Tile:
    """Wait for a tile and cut off the padding of `chunks`."""
    a, b = rows.stop - rows.start, columns.stop - columns.start
    jax.block_until_ready(theta)
    if any(part.shape[::2] != (a, b) for part in jax.tree.leaves(theta)):
        theta = jax.tree.map(lambda part: part[:a, :, :b], theta)
    return Tile(rows, columns, theta, mirrored)
