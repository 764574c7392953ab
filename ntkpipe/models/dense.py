"""The dense layer: the one operation that networks are written in."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ntkpipe.lazy import Lazy
from ntkpipe.models.parameterizations import Scale

jnp = Lazy("jax.numpy")
if TYPE_CHECKING:
    import jax
else:
    jax = Lazy("jax")


Layer = dict[str, "jax.Array"]  # w (fan_in fan_out) and, with biases, b (fan_out,)


Params = tuple[tuple[Layer, ...], ...]  # one network, or the two of `double`


Site = Callable[[str, "jax.Array", Layer, Scale], "jax.Array"]


def dense(name: str, h: jax.Array, layer: Layer, scale: Scale) -> jax.Array:
    """z = w·h W + b·β: the one operation that networks are written in.

    `MLP.apply` calls it for each layer through its argument `site`, which is where
    `ntkpipe.empirical` listens.
    """
    del name
    # on a GPU the default is TF32, whose error is the kernel change of a wide network
    z = scale.w * jnp.matmul(h, layer["w"], precision="highest")
    return z + scale.b * layer["b"][None] if "b" in layer else z
