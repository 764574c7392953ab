"""Infinitely wide networks: the NNGP and NTK recursions, and trained ensembles.

A multilayer perceptron in NTK parametrisation, z = W_std/√fan_in · W h + b_std · b
with W, b ~ N(0, 1), whose hidden widths go to infinity. With (u, v) ~ N(0, Σˡ):

    Σ¹ = W_std² x·x'/d + b_std²         Σˡ⁺¹ = W_std² E[φ(u)φ(v)] + b_std²
    Θ¹ = Σ¹                             Θˡ⁺¹ = Σˡ⁺¹ + W_std² Θˡ ⊙ E[φ'(u)φ'(v)]

`depth` counts hidden layers; the kernels are those of the output layer. Biases that
begin at zero leave b_std² out of Σ but not out of Θ. A last layer of fixed signs has no
bias and is not learned: Θ is then W_std² Θˡ ⊙ E[φ'(u)φ'(v)] alone.

Sources: Jacot et al. 2018 (1806.07572); signs: Du et al. 2019 (1810.02054), zero
biases: Basri et al. 2019 (1906.00425); relu: Cho & Saul 2009; erf: Williams 1997;
gelu: Tsuchida et al. 2021 (2002.08517); Hermite series: Daniely et al. 2016
(1602.05897); ensembles: Lee et al. 2019 (1902.06720).
"""

import math
import warnings
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from ntkpipe import xla
from ntkpipe.activations import ACTIVATIONS
from ntkpipe.linear import gain
from ntkpipe.squares import aligned, place

TOLERANCE = 1e-10
"""Largest share of E[φ²], or of E[φ'²], that a Hermite series may leave out."""
MAX_TERMS = 4096
"""Longest Hermite series; a warning tells when it was not enough."""
BLOCK = 16
"""Terms of a series are evaluated, and counted, in blocks of this many."""


class Kernels(NamedTuple):
    """NNGP and NTK between the same two sets of points."""

    nngp: jax.Array
    ntk: jax.Array


class Ensemble(NamedTuple):
    """Mean (t, m, k) and covariance (t, m, m) over initialisations."""

    mean: jax.Array
    cov: jax.Array


# --- E[φ(u)φ(v)] and E[φ'(u)φ'(v)] for covariance c and variances q1, q2 ---------
# Elementwise in arrays that broadcast. Angles by arctan: three times faster in XLA
# than arccos or arcsin, and exact to the last digits near 0 and π.


def _relu(c, q1, q2):
    scale = jnp.sqrt(q1) * jnp.sqrt(q2)
    rho = c / jnp.where(scale == 0, 1, scale)
    # √(1 − ρ²) turns a rounding ε of ρ into √ε: parallel points need ρ = ±1 exactly
    rho = jnp.where(abs(rho) > 1 - 32 * jnp.finfo(rho.dtype).eps, jnp.sign(rho), rho)
    # √2 sin(θ/2) and √2 cos(θ/2) with cos θ = ρ
    sine, cosine = jnp.sqrt(1 - rho), jnp.sqrt(1 + rho)
    angle = jnp.pi - 2 * jnp.arctan(sine / cosine)
    return scale * (sine * cosine + rho * angle) / (2 * jnp.pi), angle / (2 * jnp.pi)


def _erf(c, q1, q2):
    root = jnp.sqrt((1 + 2 * q1) * (1 + 2 * q2) - 4 * c**2)
    return 2 / jnp.pi * jnp.arctan(2 * c / root), 4 / (jnp.pi * root)


def _gelu(c, q1, q2):
    product = (1 + q1) * (1 + q2)
    gap = product - c**2
    root = jnp.sqrt(gap)
    half = 0.25 + jnp.arctan(c / root) / (2 * jnp.pi)
    value = c * half + (c**2 + q1 * q2 * gap) / (product * root) / (2 * jnp.pi)
    bend = 1 / gap + (1 - q1 * q2) / product + 1
    return value, half + c * bend / (2 * jnp.pi * root)


def _linear(c, q1, q2):
    return c + 0 * (q1 + q2), jnp.ones_like(c + q1 + q2)


def _square(c, q1, q2):
    return q1 * q2 + 2 * c**2, 4 * c + 0 * (q1 + q2)


CLOSED = {
    "relu": _relu,
    "erf": _erf,
    "gelu": _gelu,
    "linear": _linear,
    "square": _square,
}
"""Activations whose moments are elementary functions."""


def _series(c, q1, a1, slope1, q2, a2, slope2):
    """Σ_k a_k(q1) a_k(q2) ρᵏ, for φ and for φ', by Horner's rule."""
    left, right = (a1, slope1), (a2, slope2)
    scale = jnp.sqrt(q1 * q2)
    rho = jnp.clip(c / jnp.where(scale == 0, 1, scale), -1, 1)
    blocks = len(a1) // BLOCK

    def block(i, sums):
        first = (blocks - 1 - i) * BLOCK
        a, b = (
            [jax.lax.dynamic_slice_in_dim(s, first, BLOCK) for s in side]
            for side in (left, right)
        )
        # unrolled: XLA keeps ρ and both sums in registers through a block
        for k in reversed(range(BLOCK)):
            sums = [s * rho + x[k] * y[k] for s, x, y in zip(sums, a, b, strict=True)]
        return sums

    start = [jnp.zeros_like(rho)] * 2
    return tuple(jax.lax.fori_loop(0, blocks, block, start))


# --- what a layer knows of each point --------------------------------------------


@partial(jax.jit, static_argnames=("moments", "depth"))
def _variances(x, W_std, b_std, *, moments, depth) -> list[tuple]:
    """Σˡ(x, x) (n,) of every hidden layer: all that a closed form needs."""
    q = W_std**2 * (x**2).mean(1) + b_std**2
    layers = []
    for _ in range(depth):
        layers.append((q,))
        q = W_std**2 * moments(q, q, q)[0] + b_std**2
    return layers


def _hermite(z: np.ndarray) -> Iterator[np.ndarray]:
    """h_k(z) e^{−z²/4}, k = 0, 1, …: normalised Hermite polynomials, no overflow."""
    before, now = np.zeros_like(z), np.exp(-(z**2) / 4)
    k = 0
    while True:
        yield now
        before, now = now, (z * now - np.sqrt(k) * before) / np.sqrt(k + 1)
        k += 1


def _coefficients(
    phi: Callable, q: ArrayLike, tolerance: float = TOLERANCE
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """a_k(q) = E[φ(√q z) h_k(z)] and the same of φ', as many as they need.

    By Parseval's identity Σ a_k² = E[φ²], and by Cauchy and Schwarz what is left out
    of E[φ²] bounds the error of every entry: the series stops where that share falls
    below `tolerance`. The integrals are trapezoidal sums, which for these integrands
    converge like e^{−2πs/h}, s the distance of the nearest pole from the real axis;
    Gauss–Hermite nodes, √K apart in effect, do not resolve φ(√q z) for large q.

    Args:
        phi: the activation.
        q: (n,) variances.
        tolerance: share of the second moment.

    Returns:
        a (K, n), a' (K, n), E[φ²] (n,), and the share left out.
    """
    z = np.arange(-416, 417) / 32
    root = np.exp(-(z**2) / 4)
    weight = root / root.dot(root)
    with jax.enable_x64(True):  # the series could not end in single precision
        u = np.sqrt(np.asarray(q, float)) * z[:, None]
        values = [np.asarray(v) for v in _and_slope(u, phi=phi)]
    second = [(weight * root) @ v**2 for v in values]
    basis = _hermite(z)
    found = [np.zeros((0, len(q)))] * 2
    terms = 64
    while True:
        more = np.array([next(basis) for _ in range(terms - len(found[0]))]) * weight
        found = [
            np.concatenate([f, more @ v]) for f, v in zip(found, values, strict=True)
        ]
        missing = np.maximum(*map(_missing, found, second))
        if missing[-1] <= tolerance or terms >= MAX_TERMS:
            break
        terms *= 2
    last = int(np.argmax(missing <= tolerance)) if missing[-1] <= tolerance else -1
    terms = BLOCK * (last % len(missing) + 1)
    return found[0][:terms], found[1][:terms], second[0], float(missing[last])


@partial(jax.jit, static_argnames="phi")
def _and_slope(u, *, phi):
    """φ(u) and φ'(u)."""
    return jax.jvp(phi, (u,), (jnp.ones_like(u),))


def _missing(series: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Share of E[φ²] left out after each block, the largest of all points."""
    left_out = second - np.cumsum(series**2, 0)[BLOCK - 1 :: BLOCK]
    return (left_out / np.where(second == 0, 1, second)).max(1)


def _expansions(x, W_std, b_std, *, activation, depth) -> list[tuple]:
    """Variance (n,) and series (K, n) of φ and φ' of every hidden layer."""
    phi = ACTIVATIONS[activation]
    q = W_std**2 * np.square(x).mean(1) + b_std**2
    layers = []
    for layer in range(depth):
        a, slope, second, missing = _coefficients(phi, q)
        if missing > TOLERANCE:
            warnings.warn(
                f"the kernel of {activation} in hidden layer {layer + 1} is exact to "
                f"{missing:.1e} of its diagonal only, with {len(a)} Hermite terms: "
                f"the largest variance is {q.max():.3g}; scale inputs or W_std down",
                stacklevel=3,
            )
        layers.append((q, a, slope))
        q = W_std**2 * second + b_std**2
    return layers


# --- kernels ----------------------------------------------------------------------


def _recursion(
    x1, x2, layers1, layers2, W_std, b_std, *, moments, signs, zero_biases
) -> Kernels:
    """The recursion of the module's heading."""
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
    """`_recursion`, compiled for arrays that are large: 1.3 to 1.5 times as fast."""
    on_cpu = jax.default_backend() == "cpu"
    return jax.jit(
        _recursion,
        static_argnames=("moments", "signs", "zero_biases"),
        compiler_options=xla.options(large=True) if large and on_cpu else None,
    )


@jax.jit
def _symmetric(kernels: Kernels) -> Kernels:
    """(K + Kᵀ)/2: a product of matrices and a sum of a series are nearly symmetric.

    By itself: in one expression with what it is of, XLA computes mirror images anew.
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

    relu, erf, gelu, linear and square in closed form. Any other activation by its
    Hermite series, as long as Parseval's identity asks for: what is left out of each
    layer is below 1e-10 of its diagonal, or a warning tells how much it is. A series
    has its length from the values of the inputs and cannot be traced by jit.

    Args:
        x1: (n, d).
        x2: (m, d); None for x1 itself, of which half is computed.
        depth: number of hidden layers.
        activation: a name of `ACTIVATIONS`.
        W_std: standard deviation of the weights.
        b_std: standard deviation of the biases.
        output_weights: `signs` for a last layer of ±1 that is not learned.
        biases: `zero` for biases that begin at zero and are learned.
        tile: points of more than this many are worked off in squares of this side.

    Returns:
        Kernels of shape (n, m); with k outputs each has this kernel, Θ ⊗ I_k.
    """
    if activation not in ACTIVATIONS:
        raise ValueError(
            f"activation {activation!r} is not one of {', '.join(ACTIVATIONS)}"
        )
    if output_weights not in ("learned", "signs") or biases not in ("random", "zero"):
        raise ValueError(
            "output_weights: learned or signs; biases: random or zero; not "
            f"{output_weights!r}, {biases!r}"
        )
    x1 = jnp.asarray(x1, float)
    x2 = None if x2 is None else jnp.asarray(x2, float)
    moments = CLOSED.get(activation, _series)
    b_start = 0.0 if biases == "zero" else b_std
    if moments is _series:
        # both sets at once: their series have to be equally long
        x = np.concatenate([x1] if x2 is None else [x1, x2])
        layers = _expansions(x, W_std, b_start, activation=activation, depth=depth)
        layers1 = [tuple(v[..., : len(x1)] for v in p) for p in layers]
        layers2 = [tuple(v[..., len(x1) :] for v in p) for p in layers]
    else:
        at = partial(
            _variances, W_std=W_std, b_std=b_start, moments=moments, depth=depth
        )
        layers1, layers2 = at(x1), None if x2 is None else at(x2)
    if x2 is None:
        layers2 = None

    def block(x1, x2, layers1, layers2):
        if x2 is None:
            return _symmetric(recursion(x1, x1, layers1, layers1))
        return recursion(x1, x2, layers1, layers2)

    points = max(len(x1), 0 if x2 is None else len(x2))
    recursion = partial(
        _compiled(points > tile),
        W_std=W_std,
        b_std=b_std,
        moments=moments,
        signs=output_weights == "signs",
        zero_biases=biases == "zero",
    )
    if points <= tile:
        return block(x1, x2, layers1, layers2)
    # of one size, or nearly: each size is compiled
    tile = math.ceil(points / math.ceil(points / tile))
    return _tiled(block, x1, x2, layers1, layers2, tile)


def _tiled(block: Callable, x1, x2, layers1, layers2, tile: int) -> Kernels:
    """Squares of side `tile`, put together in host memory; half if x2 = None."""

    def cut(x, layers):
        # views in host memory: XLA would compile every slice by itself
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
        # queued before the first is copied out, so that both go on at once
        squares = [
            (j, block(xi, None if xj is xi else xj, pi, None if xj is xi else pj))
            for b, (j, xj, pj) in enumerate(columns)
            if x2 is not None or b >= a
        ]
        for j, square in squares:
            for out, part in zip(whole, square, strict=True):
                square = np.asarray(part)[:, None, :, None]
                place(out, i, j, square, mirrored=x2 is None and i != j)
    return Kernels(*(jax.device_put(out[:, 0, :, 0], may_alias=True) for out in whole))


# --- trained ensembles ------------------------------------------------------------


@jax.jit
def ensemble(
    train: Kernels,
    test_train: Kernels,
    test: Kernels,
    y_train: ArrayLike,
    t: ArrayLike | None = None,
    *,
    steps: ArrayLike | None = None,
    learning_rate: float | None = None,
) -> Ensemble:
    """Mean and covariance of infinitely wide networks trained on (x, y) to times t.

    With L = 1/(2N) Σ‖f(x_i) − y_i‖², A = Θ_*X Θ⁻¹(I − e^{−Θt/N}) and K the NNGP:

        mean = A y,  cov = K_** + A K_XX Aᵀ − A K_X* − (A K_X*)ᵀ

    through the eigenvectors of Θ, without an inverse (`linear.gain`). Give train as
    its NNGP in both places for networks of which only the last layer is trained.

    Args:
        train: kernels (n, n).
        test_train: kernels (m, n).
        test: kernels (m, m).
        y_train: (n, k).
        t: (t,) times of gradient flow; inf for the end of training.
        steps: (t,) instead of t: numbers of steps of gradient descent.
        learning_rate: η, with `steps`.

    Returns:
        Ensemble of mean (t, m, k) and cov (t, m, m), the same for every output.

    Source: Lee et al. 2019 (1902.06720), equations 14–16.
    """
    if (t is None) == (steps is None) or (steps is None) != (learning_rate is None):
        raise ValueError("give `t` alone, or `steps` together with `learning_rate`")
    y_train = jnp.asarray(y_train, float)
    n = len(y_train)
    eigenvalues, vectors = jnp.linalg.eigh(jnp.asarray(train.ntk, float) / n)
    if t is not None:
        steps, learning_rate = t, 1.0
    _, displacement = gain(
        eigenvalues, jnp.ravel(jnp.asarray(steps)), learning_rate, flow=t is not None
    )
    # A = D Uᵀ, one D per time: everything else is rotated by U once
    rows = test_train.ntk @ vectors / n
    labels = vectors.T @ y_train
    prior = vectors.T @ train.nngp @ vectors
    shared = vectors.T @ test_train.nngp.T

    def at(g):
        d = rows * g
        cross = d @ shared
        return d @ labels, test.nngp + d @ prior @ d.T - cross - cross.T

    return Ensemble(*jax.vmap(at)(displacement))
