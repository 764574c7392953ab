"""Infinitely wide networks: the NNGP and NTK recursions.

The network is a multilayer perceptron in NTK parametrisation whose hidden widths go to
infinity: z = W_std/√fan_in · W h + b_std · b, W, b ~ N(0, 1). With (u, v) ~ N(0, Σˡ):

    Σ¹ = W_std² x·x'/d + b_std²         Σˡ⁺¹ = W_std² E[φ(u)φ(v)] + b_std²
    Θ¹ = Σ¹                             Θˡ⁺¹ = Σˡ⁺¹ + W_std² Θˡ ⊙ E[φ'(u)φ'(v)]

`depth` counts hidden layers; the kernels are those of the output layer. Biases that
begin at zero leave b_std² out of Σ but not out of Θ. A last layer of fixed signs has no
bias and is not learned: Θ is then W_std² Θˡ ⊙ E[φ'(u)φ'(v)] alone.

Sources: Jacot et al. 2018 (1806.07572); signs: Du et al. 2019 (1810.02054), zero
biases: Basri et al. 2019 (1906.00425); relu: Cho & Saul 2009; erf: Williams 1997;
gelu: Tsuchida et al. 2021 (2002.08517); Hermite series: Daniely et al. 2016
(1602.05897).
"""

import math
import warnings
from collections.abc import Callable
from functools import cache, partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from ntkpipe import xla
from ntkpipe.kernels.assemble import aligned, place
from ntkpipe.kernels.dual_activations import (
    CLOSED,
    TOLERANCE,
    hermite_coefficients,
    hermite_sums,
)
from ntkpipe.models.activations import ACTIVATIONS


class Kernels(NamedTuple):
    """NNGP and NTK between the same two sets of points."""

    nngp: jax.Array
    ntk: jax.Array


@partial(jax.jit, static_argnames=("moments", "depth"))
def _variances(x, W_std, b_std, *, moments, depth) -> list[tuple]:
    """Σˡ(x, x) (n,) of every hidden layer: all that a closed form needs."""
    q = W_std**2 * (x**2).mean(1) + b_std**2
    layers = []
    for _ in range(depth):
        layers.append((q,))
        q = W_std**2 * moments(q, q, q)[0] + b_std**2
    return layers


def _expansions(x, W_std, b_std, *, activation, depth) -> list[tuple]:
    """Variance (n,) and series (K, n) of φ and φ' of every hidden layer."""
    phi = ACTIVATIONS[activation]
    q = W_std**2 * np.square(x).mean(1) + b_std**2
    layers = []
    for layer in range(depth):
        a, slope, second, missing = hermite_coefficients(phi, q)
        tell_missing(activation, layer + 1, q, len(a), missing)
        layers.append((q, a, slope))
        q = W_std**2 * second + b_std**2
    return layers


def tell_missing(activation: str, layer: int, q, terms: int, missing: float) -> None:
    """Warn if the Hermite series of a hidden layer leave out more than `TOLERANCE`."""
    if missing > TOLERANCE:
        warnings.warn(
            f"the kernel of {activation} in hidden layer {layer} is exact to "
            f"{missing:.1e} of its diagonal only, with {terms} Hermite terms: "
            f"the largest variance is {q.max():.3g}; reduce the inputs or W_std",
            stacklevel=4,
        )


def _recursion(
    x1, x2, layers1, layers2, W_std, b_std, *, moments, signs, zero_biases
) -> Kernels:
    """The recursion of the module's docstring."""
    gram = x1 @ x2.T / x1.shape[1]
    ntk = W_std**2 * gram + b_std**2
    nngp = W_std**2 * gram if zero_biases else ntk
    for layer, (p1, p2) in enumerate(zip(layers1, layers2, strict=True), 1):
        left = [v[..., :, None] for v in p1]
        right = [v[..., None, :] for v in p2]
        value, slope = moments(nngp, *left, *right)
        nngp, below = W_std**2 * value, W_std**2 * ntk * slope
        if signs and layer == len(layers1):
            ntk = below
            break
        learned = nngp + b_std**2
        ntk = learned + below
        nngp = nngp if zero_biases else learned
    return Kernels(nngp, ntk)


@cache
def _compiled(large: bool) -> Callable:
    """`_recursion`, compiled; loops of `large` are up to 1.5 times as fast."""
    on_cpu = jax.default_backend() == "cpu"
    return jax.jit(
        _recursion,
        static_argnames=("moments", "signs", "zero_biases"),
        compiler_options=xla.options(large=True) if large and on_cpu else None,
    )


@jax.jit
def symmetric(kernels: Kernels) -> Kernels:
    """(K + Kᵀ)/2, which removes the asymmetry of rounding.

    It is compiled by itself. In one expression with K, XLA would compute the mirrored
    entries twice.
    """
    return jax.tree.map(lambda k: (k + k.T) / 2, kernels)


def kernels(
    x1: ArrayLike,
    x2: ArrayLike | None = None,
    *,
    depth: int,
    activation: str,
    W_std: float = 1.0,
    b_std: float = 0.0,
    output_weights: Literal["learned", "signs"] = "learned",
    biases: Literal["random", "zero"] = "random",
    tile: int = 512,
) -> Kernels:
    """NNGP and NTK of an infinitely wide network with one output.

    The kernels of relu, erf, gelu, linear and square have closed forms. Any other
    activation is expanded in Hermite polynomials. By Parseval's identity the series
    stops when each layer leaves out less than 1e-10 of its diagonal. If `MAX_TERMS`
    terms are not enough, a warning states the share left out. The length of a series
    depends on the values of the inputs, so that jit cannot trace the function.

    Args:
        x1: (n, d).
        x2: (m, d); None means x1, and only half of the kernel is then computed.
        depth: number of hidden layers.
        activation: a name of `ACTIVATIONS`.
        W_std: standard deviation of the weights.
        b_std: standard deviation of the biases.
        output_weights: `signs` for a last layer of ±1 that is not learned.
        biases: `zero` for biases that begin at zero and are learned.
        tile: kernels of more points are computed in tiles of at most this many points.

    Returns:
        Kernels of shape (n, m); with k outputs the NTK is Θ ⊗ I_k.
    """
    _check_names(activation, output_weights, biases)
    x1 = jnp.asarray(x1, float)
    x2 = None if x2 is None else jnp.asarray(x2, float)
    b_start = 0.0 if biases == "zero" else b_std
    layers1, layers2 = _diagonals(x1, x2, activation, depth, W_std, b_start)

    def block(x1, x2, layers1, layers2):
        if x2 is None:
            return symmetric(recursion(x1, x1, layers1, layers1))
        return recursion(x1, x2, layers1, layers2)

    points = max(len(x1), len(x1 if x2 is None else x2))
    recursion = partial(
        _compiled(points > tile),
        W_std=W_std,
        b_std=b_std,
        moments=CLOSED.get(activation, hermite_sums),
        signs=output_weights == "signs",
        zero_biases=biases == "zero",
    )
    if points <= tile:
        return block(x1, x2, layers1, layers2)
    # tiles of nearly equal size, because every size is compiled once
    tile = math.ceil(points / math.ceil(points / tile))
    return tiled(block, x1, x2, layers1, layers2, tile)


def _check_names(activation: str, output_weights: str, biases: str) -> None:
    if activation not in ACTIVATIONS:
        raise ValueError(
            f"activation {activation!r} is not one of {', '.join(ACTIVATIONS)}"
        )
    if output_weights not in ("learned", "signs") or biases not in ("random", "zero"):
        raise ValueError(
            "output_weights: learned or signs; biases: random or zero; not "
            f"{output_weights!r}, {biases!r}"
        )


def _diagonals(
    x1, x2, activation: str, depth: int, W_std: float, b_std: float
) -> tuple[list[tuple], list[tuple] | None]:
    """Variances, and series if needed, of each layer: at x1, and at x2 or None."""
    if (moments := CLOSED.get(activation)) is not None:
        at = partial(_variances, W_std=W_std, b_std=b_std, moments=moments, depth=depth)
        return at(x1), None if x2 is None else at(x2)
    # both sets of points at once: their series must have the same length
    x = x1 if x2 is None else np.concatenate([x1, x2])
    layers = _expansions(x, W_std, b_std, activation=activation, depth=depth)
    first, second = (
        [tuple(v[..., part] for v in values) for values in layers]
        for part in (slice(len(x1)), slice(len(x1), None))
    )
    return first, None if x2 is None else second


def tiled(block: Callable, x1, x2, layers1, layers2, tile: int) -> Kernels:
    """Assemble the kernels from tiles; without x2 only half of them are computed."""

    def cut(x, layers):
        # views in host memory: XLA would compile a program for each slice
        x, layers = jax.tree.map(np.asarray, (x, layers))
        slices = [slice(i, min(i + tile, len(x))) for i in range(0, len(x), tile)]
        return [
            (i, x[i], [tuple(v[..., i] for v in p) for p in layers]) for i in slices
        ]

    rows = cut(x1, layers1)
    columns = rows if x2 is None else cut(x2, layers2)
    shape = len(x1), 1, len(x1 if x2 is None else x2), 1
    whole = [aligned(shape, x1.dtype) for _ in "KΘ"]
    for a, (i, xi, pi) in enumerate(rows):
        # all tiles are queued before the first is copied, so that XLA does not wait
        pieces = [
            (j, block(xi, None if xj is xi else xj, pi, None if xj is xi else pj))
            for b, (j, xj, pj) in enumerate(columns)
            if x2 is not None or b >= a
        ]
        for j, pair in pieces:
            for out, part in zip(whole, pair, strict=True):
                theta = np.asarray(part)[:, None, :, None]
                place(out, i, j, theta, mirrored=x2 is None and i != j)
    return Kernels(
        *(jax.device_put(out.squeeze((1, 3)), may_alias=True) for out in whole)
    )
