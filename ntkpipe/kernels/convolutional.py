"""Infinitely wide convolutional and residual networks: the NNGP and NTK recursions.

Images x are arrays (*positions, c). With infinitely many channels, the pre-activations
at positions p and p' of two images are Gaussian with covariance Σ(x, x')[p, p'], and

    linear layer   Σ ← σ_w² A(Σ) + σ_b²,           Θ ← Σ + σ_w² A(Θ)
    activation     Σ ← E[φ(u)φ(v)],                Θ ← Θ ⊙ E[φ'(u)φ'(v)]
    layer norm     Σ ← Σ/√((q+ε)(q'+ε)),           Θ likewise, q = Σ(x, x)[p, p]
    residual       Σ ← Σ_skip + s² Σ_branch,       Θ likewise

with (u, v) ~ N(0, Σ) and A the mean over the filter, which shifts p and p' together.
The read-out is a dense layer of the mean over positions (`pool`), which needs all pairs
of positions, or of all positions (`flatten`), which needs only pairs p = p'. Max
pooling and softmax attention at d^−½ have no such recursion.

Sources: Arora et al. 2019 (1904.11955); Novak et al. 2019 (1810.05148); residual
networks: Garriga-Alonso et al. 2019 (1808.05587); layer norm: Yang 2020 (2006.14548).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from ntkpipe import xla
from ntkpipe.kernels.dual_activations import (
    CLOSED,
    hermite_coefficients,
    hermite_sums,
)
from ntkpipe.kernels.infinite import Kernels, symmetric, tell_missing, tiled
from ntkpipe.models.activations import ACTIVATIONS
from ntkpipe.models.layers import (
    Activation,
    Layer,
    Linear,
    Norm,
    Readout,
    Residual,
    refuse,
)

NUMBERS = 2**16
"""Most pairs of positions at a time; a pair of images may have more.

The arrays of one image against a tile of images then stay in the cache. About ten are
in memory.
"""

LARGEST_TILE = 256
"""Most images on a side of a tile."""

VARIANCES = 4096
"""Most variances whose Hermite series are computed together: 100 MB."""


class Network(NamedTuple):
    """What the recursion needs to know of a network, besides the points."""

    layers: tuple[Layer, ...]
    W: float
    """σ_w²."""
    b: float
    """σ_b²."""
    start: float
    """σ_b² at initialisation: zero if biases begin at zero."""
    positions: int
    """Number of axes of positions."""
    pool: bool


def kernels(
    x1: ArrayLike,
    x2: ArrayLike | None = None,
    *,
    layers: tuple[Layer, ...],
    readout: Readout = "flatten",
    W_std: float = 1.0,
    b_std: float = 0.0,
    biases: Literal["random", "zero"] = "random",
    tile: int | None = None,
) -> Kernels:
    """NNGP and NTK of an infinitely wide network of layers with one output.

    Work: n·m·P² pairs of positions (`pool`), or n·m·P (`flatten`), for each layer; half
    of it without x2. Memory: that of a tile of pairs of images.

    Args:
        x1: (n, *positions, c), with no, one or two axes of positions.
        x2: (m, *positions, c); None means x1.
        layers: records of `ntkpipe.models.layers`, without the read-out.
        readout: `flatten` or `pool`, both followed by a dense layer.
        W_std: standard deviation σ_w of the weights.
        b_std: standard deviation σ_b of the biases.
        biases: `zero` for biases that begin at zero and are learned.
        tile: images on a side of a tile; by default as many as `NUMBERS` allows.

    Returns:
        Kernels (n, m); with k outputs the NTK is Θ ⊗ I_k.

    Raises:
        ValueError: the points have no such shape, or the layers no such recursion.
    """
    x1 = jnp.asarray(x1, float)
    x2 = None if x2 is None else jnp.asarray(x2, float)
    _check(x1, x2, layers, readout, biases)
    network = Network(
        *(layers, float(W_std) ** 2, float(b_std) ** 2),
        start=0.0 if biases == "zero" else float(b_std) ** 2,
        positions=x1.ndim - 2,
        pool=readout == "pool" and x1.ndim > 2,
    )
    first, second = _diagonals(x1, x2, network)

    points = max(len(x1), len(x1 if x2 is None else x2))
    tile = tile or _tile(x1.shape[1:-1], network.pool)
    if x2 is None:  # small enough that half of the tiles are about half of the work
        tile = min(tile, max(16, math.ceil(points / 8)))
    of_pairs = partial(_compiled(points > tile), network=network)

    def block(x1, x2, records1, records2):
        if x2 is None:
            return symmetric(of_pairs(x1, x1, records1, records1, same=True))
        return of_pairs(x1, x2, records1, records2, same=False)

    if points <= tile:
        return block(x1, x2, first, second)
    # tiles of nearly equal size, because every size is compiled once
    tile = math.ceil(points / math.ceil(points / tile))
    return tiled(block, x1, x2, first, second, tile)


def _check(x1, x2, layers, readout: str, biases: str) -> None:
    if x1.ndim not in (2, 3, 4) or (x2 is not None and x2.shape[1:] != x1.shape[1:]):
        raise ValueError(
            "points are arrays (n, *positions, channels) with no, one or two axes of "
            f"positions, not {x1.shape}" + ("" if x2 is None else f" and {x2.shape}")
        )
    if readout not in ("flatten", "pool") or biases not in ("random", "zero"):
        raise ValueError(
            f"readout: flatten or pool; biases: random or zero; not {readout!r}, "
            f"{biases!r}"
        )
    refuse(layers)


def _tile(positions: tuple[int, ...], pool: bool) -> int:
    """Images on a side of a tile."""
    pairs = math.prod(positions) ** (2 if pool else 1)
    return min(LARGEST_TILE, max(1, NUMBERS // pairs))


# --- one image: variances -------------------------------------------------------------


def _diagonals(x1, x2, network: Network) -> tuple[list[tuple], list[tuple] | None]:
    """What each activation and norm needs of one image: at x1, and at x2 or None.

    Arrays are (…, *positions, n), with the points last.
    """
    # both sets of points at once: their series must have the same length
    x = x1 if x2 is None else jnp.concatenate([x1, x2])
    q = jnp.moveaxis(jnp.mean(x**2, -1), 0, -1)
    closed = all(name in CLOSED for name in _activations(network.layers))
    records = (_closed_records if closed else _records)(q, network)
    first, second = (
        [tuple(v[..., part] for v in values) for values in records]
        for part in (slice(len(x1)), slice(len(x1), None))
    )
    return first, None if x2 is None else second


def _activations(layers: tuple[Layer, ...]) -> Iterator[str]:
    for layer in layers:
        if isinstance(layer, Activation):
            yield layer.name
        elif isinstance(layer, Residual):
            yield from _activations(layer.skip + layer.branch)


def _records(q, network: Network) -> list[tuple]:
    """Variance, and series if needed, before each activation and norm."""
    records: list[tuple] = []

    def through(q, layers):
        for layer in layers:
            match layer:
                case Linear():
                    q = network.W * _filtered(q, layer, network.positions, False)
                    q = q + network.start
                case Activation(name):
                    record, q = _moments_of(name, q, len(records) + 1)
                    records.append(record)
                case Norm(epsilon):
                    records.append((q,))
                    q = q / (q + epsilon)
                case Residual(branch, scale, skip):
                    q = through(q, skip) + scale**2 * through(q, branch)
        return q

    through(q, network.layers)
    return records


_closed_records = partial(jax.jit, static_argnames="network")(_records)


def _moments_of(name: str, q, layer: int) -> tuple[tuple, jax.Array]:
    """(variance, series…) of an activation, and E[φ²]."""
    if (moments := CLOSED.get(name)) is not None:
        return (q,), moments(q, q, q)[0]
    flat, place = np.unique(q, return_inverse=True)
    parts = np.array_split(flat, math.ceil(len(flat) / VARIANCES))
    found = [hermite_coefficients(ACTIVATIONS[name], part) for part in parts]
    terms = max(len(a) for a, *_ in found)
    tell_missing(name, layer, flat, terms, max(missing for *_, missing in found))

    def whole(series):
        filled = [np.pad(a, ((0, terms - len(a)), (0, 0))) for a in series]
        return np.concatenate(filled, 1)[:, place.ravel()].reshape(terms, *q.shape)

    a, slope, second, _ = zip(*found, strict=True)
    second = np.concatenate(second)[place.ravel()].reshape(q.shape)
    return (q, whole(a), whole(slope)), jnp.asarray(second)


def _filtered(k, layer: Linear, positions: int, pairs: bool):
    """A(K): the mean over the filter, of (*positions …) or (*positions *positions …).

    The mean is separable: one axis of positions, or pair of axes, after the other.
    """
    every = [(a, positions + a) if pairs else (a,) for a in range(positions)]
    counts = [layer.positions(k.shape[axes[0]]) for axes in every]
    if layer.filter > 1:
        # one pad of all axes: XLA's loops over padded arrays are slow
        inside = {axis for axes in every for axis in axes}
        pads = [layer.border if axis in inside else (0, 0) for axis in range(k.ndim)]
        k = jnp.pad(k, pads, mode="wrap" if layer.padding == "circular" else "constant")
    for axes, count in zip(every, counts, strict=True):
        k = _along(k, axes, count, layer)
    return k / layer.filter**positions


def _along(k, axes: tuple[int, ...], count: int, layer: Linear):
    """Σ_s K[… stride·p + s … stride·p' + s …] along one axis, or pair of axes."""
    total = None
    for shift in range(layer.filter):
        start, stop, step = [0] * k.ndim, [*k.shape], [1] * k.ndim
        for axis in axes:
            start[axis], step[axis] = shift, layer.stride
            stop[axis] = shift + (count - 1) * layer.stride + 1
        part = lax.slice(k, start, stop, step)
        total = part if total is None else total + part
    return total


# --- pairs of images ------------------------------------------------------------------


@cache
def _compiled(large: bool) -> Callable:
    """`_tile_of_pairs`, compiled; loops of `large` are faster, see `ntkpipe.xla`."""
    on_cpu = jax.default_backend() == "cpu"
    return jax.jit(
        _tile_of_pairs,
        static_argnames=("network", "same"),
        compiler_options=xla.options(large=True) if large and on_cpu else None,
    )


def _tile_of_pairs(x1, x2, records1, records2, *, network: Network, same: bool):
    """The kernels (n m) of a tile, one image of x1 after the other."""

    def row(image):
        index, x, record = image
        record = [tuple(v[..., None] for v in values) for values in record]
        equal = (jnp.arange(len(x2)) == index)[None] if same else None
        k = _recursion(x[None], x2, record, records2, equal, network)
        return jax.tree.map(lambda a: a[0], k)

    last_first = jax.tree.map(lambda v: jnp.moveaxis(v, -1, 0), records1)
    return lax.map(row, (jnp.arange(len(x1)), x1, last_first))


def _recursion(x1, x2, records1, records2, equal, network: Network) -> Kernels:
    """The recursion of the module's docstring; arrays are (*positions … n m).

    `equal` (1 m) says which image of x2 is the one of x1.
    """
    space, c = "hw"[: network.positions], x1.shape[-1]
    other = space.upper() if network.pool else space
    out = space + (other if network.pool else "")
    gram = jnp.einsum(f"n{space}c,m{other}c->{out}nm", x1, x2, precision="highest") / c
    records = iter(list(zip(records1, records2, strict=True)))

    def sides(values, left: bool):
        """Arrays of one image, as they go with pairs of images and of positions."""
        return [_beside(v, network, left) for v in values]

    def on_diagonal(k, q):
        """K with the variances where image and position are the same."""
        if equal is None:
            return k
        place = equal.reshape(*(1,) * (k.ndim - 2), *equal.shape)
        if network.pool:
            place = place & _same_position(q.shape[:-1])
        return jnp.where(place, _beside(q, network, True), k)

    def through(k: Kernels, layers) -> Kernels:
        for layer in layers:
            match layer:
                case Linear():
                    nngp, ntk = (
                        network.W * _filtered(a, layer, network.positions, network.pool)
                        for a in k
                    )
                    k = Kernels(nngp + network.start, nngp + network.b + ntk)
                case Activation(name):
                    first, second = next(records)
                    moments = CLOSED.get(name, hermite_sums)
                    nngp = on_diagonal(k.nngp, first[0])
                    value, slope = moments(
                        nngp, *sides(first, True), *sides(second, False)
                    )
                    k = Kernels(value, k.ntk * slope)
                case Norm(epsilon):
                    (q1,), (q2,) = next(records)
                    left, right = sides((q1,), True)[0], sides((q2,), False)[0]
                    size = jnp.sqrt(left + epsilon) * jnp.sqrt(right + epsilon)
                    nngp = on_diagonal(k.nngp, q1)
                    k = Kernels(nngp / size, k.ntk / size)
                case Residual(branch, scale, skip):
                    straight = through(k, skip)
                    k = jax.tree.map(
                        lambda a, b, s=scale: a + s**2 * b, straight, through(k, branch)
                    )
        return k

    last = through(Kernels(gram, jnp.zeros_like(gram)), network.layers)
    axes = tuple(range(last.nngp.ndim - 2))
    nngp, ntk = (network.W * k.mean(axes) for k in last)
    return Kernels(nngp + network.start, nngp + network.b + ntk)


def _beside(v, network: Network, left: bool):
    """An array (… *positions n) of the left or right images, to go with the pairs."""
    first = v.ndim - 1 - network.positions
    before, space, n = v.shape[:first], v.shape[first:-1], v.shape[-1]
    ones = (1,) * network.positions if network.pool else ()
    axes = (*space, *ones) if left else (*ones, *space)
    return v.reshape(*before, *axes, *((n, 1) if left else (1, n)))


def _same_position(positions: tuple[int, ...]) -> np.ndarray:
    """Whether p = p', (*positions *positions 1 1)."""
    same = np.eye(math.prod(positions), dtype=bool)
    return same.reshape(*positions, *positions, 1, 1)
