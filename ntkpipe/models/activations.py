"""The activation functions that a study file can name."""

from ntkpipe.lazy import Lazy

jax = Lazy("jax")


ACTIVATIONS = {
    # max(0, u); derivative 0 at the kink
    "relu": lambda u: jax.nn.relu(u),
    # the error function, the sigmoid whose Gaussian moments are elementary
    "erf": lambda u: jax.scipy.special.erf(u),
    # hyperbolic tangent
    "tanh": lambda u: jax.numpy.tanh(u),
    # u Φ(u) with the exact normal distribution function, not its tanh approximation
    "gelu": lambda u: jax.nn.gelu(u, approximate=False),
    # log(1 + exp u)
    "softplus": lambda u: jax.nn.softplus(u),
    # u: the deep linear network
    "linear": lambda u: u,
    # u²: a polynomial, so that the limit kernel is not positive definite
    "square": lambda u: jax.numpy.square(u),
}
"""Name in a study file → elementwise function."""
