"""The dense layer, the operation in which networks are written."""

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


Params = tuple[tuple[Layer, ...], ...]  # one network, or two with `zero_output: double`


Site = Callable[[str, "jax.Array", Layer, Scale], "jax.Array"]


def dense(name: str, h: jax.Array, layer: Layer, scale: Scale) -> jax.Array:
    """z = w·h W + b·β, the operation in which networks are written.

    `MLP.apply` calls its argument `site`, by default this function, for every layer.
    `kernels.taps` passes another function to observe the layers.
    """
    del name
    # TF32, a GPU's default, has errors as large as a wide network's kernel change
    z = scale.w * jnp.matmul(h, layer["w"], precision="highest")
    return z + scale.b * layer["b"][None] if "b" in layer else z
