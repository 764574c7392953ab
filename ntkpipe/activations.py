"""The activation functions a study file can name."""

from functools import partial

import jax
import jax.numpy as jnp

ACTIVATIONS = {
    # max(0, u); derivative 0 at the kink
    "relu": jax.nn.relu,
    # the error function, the sigmoid whose Gaussian moments are elementary
    "erf": jax.scipy.special.erf,
    # hyperbolic tangent
    "tanh": jnp.tanh,
    # u Φ(u) with the exact normal distribution function, not its tanh fit
    "gelu": partial(jax.nn.gelu, approximate=False),
    # log(1 + exp u)
    "softplus": jax.nn.softplus,
    # u: the deep linear network
    "linear": lambda u: u,
    # u²: a polynomial, for which the limit kernel is not positive definite
    "square": jnp.square,
}
"""Name in a study file → elementwise function."""
