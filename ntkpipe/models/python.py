"""A user's own network, which a function in a Python file builds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from ntkpipe.models.base import unmet_by_others
from ntkpipe.models.parameterizations import HUGE
from ntkpipe.section import Fault, section
from ntkpipe.users.function import Name, UsersFunction

if TYPE_CHECKING:
    from ntkpipe.models.built import Built

Dimension = Annotated[int, Field(ge=1, le=10**6)]


@section
class Python(UsersFunction):
    """Your own network in JAX, Flax or Equinox, built by a function of a Python file.

    The file is a program: training imports it and runs it with your rights.
    """

    kind: Literal["python"]
    function: Name = "build"
    """`function(width, key, x, **settings)` returns `(apply, params[, rates])`."""
    input_shape: Annotated[tuple[Dimension, ...], Field(min_length=1)] | None = None
    """Shape of a point for `apply`, as [16, 16, 3]; default: the d numbers of a row."""
    alpha: Annotated[float, Field(ge=1 / HUGE, le=HUGE)] = 1.0
    """Output scale: f = α·h, and the loss is divided by α² (Chizat et al. 2019)."""
    zero_output: Literal["none", "subtract"] = "none"
    """`subtract`: the output at initialisation is subtracted, so that f(w₀) = 0."""

    arguments: ClassVar[tuple[str, ...]] = ("width", "key", "x")
    place: ClassVar[tuple[str, ...]] = ("model",)
    # Nothing is known before the file is run; jobs request the memory and time of an
    # MLP with as many hidden layers.
    depth: ClassVar[int] = 4
    weight_layers: ClassVar[int] = 0
    layer_names: ClassVar[None] = None
    learned_output: ClassVar[bool] = True
    has_last_layer: ClassVar[bool] = False
    is_random: ClassVar[bool] = True
    has_infinite_limit: ClassVar[bool] = False

    def __hash__(self) -> int:
        return hash((self.identity, self.alpha))

    @property
    def starts_at_zero(self) -> bool:
        """Whether f(w₀) = 0 by `zero_output`."""
        return self.zero_output != "none"

    def unmet(self, e) -> Iterator[Fault]:
        """Keys of an experiment that the model cannot meet, and why."""
        if e.has_limit:
            text = "the kernel of infinite width is not known for model.kind: python"
            yield Fault(("limit",), text)
        yield from unmet_by_others(e)

    def built(self, width: int, points, outputs: int, key) -> Built:
        """The network of a width, from the user's function, after all its checks."""
        from ntkpipe.models.built import built

        return built(self, width, points, outputs, key)

    def weights(self, width: int, d: int, k: int) -> int:
        """A guess: those of an MLP of depth `depth`."""
        return (self.depth - 1) * width**2 + (d + k) * width
