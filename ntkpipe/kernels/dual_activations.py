"""Moments of an activation under a Gaussian: E[φ(u)φ(v)] and E[φ'(u)φ'(v)].

relu, erf, gelu, linear and square have closed forms. Any other activation is expanded
in Hermite polynomials. The kernels of an infinitely wide network are built from these
moments, layer by layer.
"""

from collections.abc import Callable, Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

TOLERANCE = 1e-10
"""Largest share of E[φ²], or of E[φ'²], that a Hermite series may leave out."""


MAX_TERMS = 4096
"""Largest number of Hermite terms; `infinite` warns if a series needs more."""


BLOCK = 16
"""Number of terms in a block: a series has a whole number of blocks."""


def _relu(c, q1, q2):
    scale = jnp.sqrt(q1) * jnp.sqrt(q2)
    rho = c / jnp.where(scale == 0, jnp.inf, scale)
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
    return c, jnp.ones_like(c)


def _square(c, q1, q2):
    return q1 * q2 + 2 * c**2, 4 * c


CLOSED = {
    "relu": _relu,
    "erf": _erf,
    "gelu": _gelu,
    "linear": _linear,
    "square": _square,
}
"""Activations whose moments are elementary functions."""


def hermite_sums(c, q1, a1, slope1, q2, a2, slope2):
    """Σ_k a_k(q1) a_k(q2) ρᵏ, for φ and for φ', by Horner's rule."""
    left, right = (a1, slope1), (a2, slope2)
    scale = jnp.sqrt(q1 * q2)
    rho = jnp.clip(c / jnp.where(scale == 0, jnp.inf, scale), -1, 1)
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


def _hermite(z: np.ndarray) -> Iterator[np.ndarray]:
    """h_k(z) e^{−z²/4}, k = 0, 1, …: Hermite polynomials scaled against overflow."""
    before, now = np.zeros_like(z), np.exp(-(z**2) / 4)
    k = 0
    while True:
        yield now
        before, now = now, (z * now - np.sqrt(k) * before) / np.sqrt(k + 1)
        k += 1


def hermite_coefficients(
    phi: Callable, q: ArrayLike, tolerance: float = TOLERANCE
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """a_k(q) = E[φ(√q z) h_k(z)] and the coefficients of φ', to a given tolerance.

    By Parseval's identity Σ a_k² = E[φ²]. By the Cauchy–Schwarz inequality, the part of
    E[φ²] that the series leaves out bounds the error of every kernel entry. The series
    stops when the share left out is below `tolerance`. The integrals are trapezoidal
    sums of spacing h, whose error is about e^{−2πs/h}, with s the distance of the
    nearest pole from the real axis. Gauss–Hermite nodes are too far apart to resolve
    φ(√q z) for large q.

    Args:
        phi: the activation.
        q: (n,) variances.
        tolerance: share of the second moment that may be left out.

    Returns:
        a (K, n), a' (K, n), E[φ²] (n,), and the share left out.
    """
    z = np.arange(-416, 417) / 32
    root = np.exp(-(z**2) / 4)
    weight = root / root.dot(root)
    with jax.enable_x64(True):  # single precision can't reach the tolerance
        u = np.sqrt(np.asarray(q, float)) * z[:, None]
        values = [np.asarray(v) for v in _and_slope(u, phi=phi)]
    second = [(weight * root) @ v**2 for v in values]
    basis = _hermite(z)
    found = [np.zeros((0, np.shape(q)[0]))] * 2
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
    """Share of E[φ²] left out after each block: the maximum over points."""
    left_out = second - np.cumsum(series**2, 0)[BLOCK - 1 :: BLOCK]
    return (left_out / np.where(second == 0, np.inf, second)).max(1)
