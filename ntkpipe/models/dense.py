"""The dense layer, in which the package's networks are written."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ntkpipe.lazy import Lazy

jnp = Lazy("jax.numpy")
if TYPE_CHECKING:
    import jax
else:
    jax = Lazy("jax")


Layer = dict[str, "jax.Array"]  # w (fan_in fan_out) and, with biases, b (fan_out,)


Params = tuple[tuple[Layer, ...], ...]  # one network, or two with `zero_output: double`


def drawn(draw: Callable, shapes: Sequence[tuple[int, ...]]) -> Iterator[jax.Array]:
    """Arrays of these shapes, cut from the numbers of one `draw(count)`.

    Compiling a draw takes longer than drawing, so that there is one for all layers.
    """
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    parts = jnp.split(draw(int(ends[-1])), ends[:-1])
    return (part.reshape(shape) for part, shape in zip(parts, shapes, strict=True))


def dense(h: jax.Array, layer: Layer, w: float, b: float) -> jax.Array:
    """z = w·h W + b·β for inputs h (n fan_in)."""
    # TF32, a GPU's default, has errors as large as a wide network's kernel change
    z = w * jnp.matmul(h, layer["w"], precision="highest")
    return z + b * layer["b"][None] if "b" in layer else z
