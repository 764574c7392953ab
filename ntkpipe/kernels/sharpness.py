"""The sharpness: the largest eigenvalue of the Hessian of a loss.

Gradient descent with the learning rate η is stable on a quadratic loss if the sharpness
is below 2/η (Cohen et al. 2021, 2103.00065). The Hessian of (1/2N) Σ‖f − y‖² is
JᵀJ/N + (1/N) Σ (f − y)·∇²f. The first part has the eigenvalues of the NTK over N.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from ntkpipe.kernels.curvature import lanczos
from ntkpipe.kernels.signals import learning_rates

ITERATIONS = 32
"""Products with the Hessian. Lanczos finds the largest eigenvalue first."""


def sharpness(
    loss: Callable, params, rates=None, *, iterations: int = ITERATIONS
) -> jax.Array:
    """λ_max(R^½ ∇²L R^½), R the relative learning rates; by default λ_max(∇²L).

    Args:
        loss: L(params), a number.
        params: a tree of P weights.
        rates: relative learning rates, a tree of numbers like the parameters.
        iterations: products with the Hessian, of which each keeps P numbers. The result
            is at most λ_max, but for rounding.
    """
    flat, unravel = ravel_pytree(params)
    # the coordinates u = w/√r, in which gradient descent has one learning rate
    leaves, tree = jax.tree.flatten(params)
    each = map(jnp.full_like, leaves, learning_rates(params, rates))
    root = jnp.sqrt(ravel_pytree(jax.tree.unflatten(tree, [*each]))[0])

    gradient = jax.grad(lambda step: loss(unravel(flat + root * step)))
    product = jax.linearize(gradient, jnp.zeros_like(flat))[1]
    start = jax.random.normal(jax.random.key(0), flat.shape, flat.dtype)
    return lanczos(product, start, iterations, order=lambda values: values)[0]
