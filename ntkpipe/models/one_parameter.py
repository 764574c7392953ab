"""A model with one weight, which a blog post uses to explain lazy training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from ntkpipe.lazy import Lazy
from ntkpipe.models.dense import Params
from ntkpipe.models.parameterizations import HUGE
from ntkpipe.section import Fault, section

jnp = Lazy("jax.numpy")
if TYPE_CHECKING:
    import jax

    from ntkpipe.kernels.curvature import Curvature
else:
    jax = Lazy("jax")


@section
class OneParameter:
    """f(w) = α·(wx + w²x + sin e^{w/10})(w − w₀): one weight, and zero at w₀.

    The loss is a curve that can be drawn (Rajat V D 2019, "Understanding the NTK").
    The width has no effect: write `widths: [1]`.
    """

    kind: Literal["one_parameter"]
    start: float = 0.4
    """The initial weight w₀."""
    alpha: Annotated[float, Field(ge=1 / HUGE, le=HUGE)] = 1.0
    """Output scale: f = α·h, and the loss is divided by α² (Chizat et al. 2019)."""

    depth: ClassVar[int] = 0
    zero_output: ClassVar[str] = "none"
    output_weights: ClassVar[str] = "learned"
    layer_names: ClassVar[tuple[str, ...]] = ("W1",)
    weight_layers: ClassVar[int] = 1
    starts_at_zero: ClassVar[bool] = False
    learned_output: ClassVar[bool] = True
    has_last_layer: ClassVar[bool] = False
    is_random: ClassVar[bool] = False
    has_infinite_limit: ClassVar[bool] = False

    def unmet(self, e) -> Iterator[Fault]:
        """Keys of an experiment that the model cannot meet, and why."""
        sizes = e.dataset.stated_sizes
        if sizes and (ends := (sizes.dimension, sizes.outputs)) != (1, 1):
            yield Fault(
                ("model", "kind"),
                "one_parameter takes one input and one output, but the points have "
                f"{ends[0]} and {ends[1]}",
            )
        for key, asked in (
            (("limit",), e.has_limit),
            (("training", "ensemble"), e.training.ensemble is not None),
            (("measure", "straightness"), e.measure.straightness),
        ):
            if asked:
                yield Fault(key, "needs model.kind: mlp, not one_parameter")

    def init_params(
        self, key: jax.Array, width: int, d: int, k: int, dtype=float
    ) -> Params:
        """The initial weight w₀, for one input and one output."""
        del key, width
        if (d, k) != (1, 1):
            raise ValueError(
                f"model.kind: one_parameter takes one input and one output, not {d} "
                f"and {k}"
            )
        return (({"w": jnp.full((1, 1), self.start, dtype)},),)

    def apply(self, params: Params, x: jax.Array) -> jax.Array:
        """h(x; w), (n 1) → (n 1), before the output scale α."""
        w = params[0][0]["w"]
        return (w * x + w**2 * x + jnp.sin(jnp.exp(0.1 * w))) * (w - self.start)

    def learning_rates(self, params: Params):
        """Relative learning rates: 1."""
        return jax.tree.map(lambda _: 1.0, params)

    def curvature(self, params: Params, x: jax.Array) -> Curvature:
        """‖∇f‖, ‖∇²f‖ and κ from the whole Hessian."""
        from ntkpipe.kernels import curvature

        return curvature.whole(self.apply, params, x)

    def weights(self, width: int, d: int, k: int) -> int:
        """One weight at every width."""
        return 1
