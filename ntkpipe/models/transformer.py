"""Small transformer encoders in the abc-parametrisations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from ntkpipe.lazy import Lazy
from ntkpipe.models.activations import ACTIVATIONS
from ntkpipe.models.parameterizations import HUGE
from ntkpipe.models.stack import Layered, Sizes, normalised
from ntkpipe.section import Fault, section

jnp = Lazy("jax.numpy")
if TYPE_CHECKING:
    import jax
else:
    jax = Lazy("jax")

EPSILON = 1e-5


@section
class Transformer(Layered):
    """An encoder of `depth` blocks on the rows of a sequence or patches of an image.

    h ← E x + P, then in each block h ← h + s·O A(norm h), h ← h + s·C φ(B norm h), with
    A(u) = softmax(m^−p (Qu)(Ku)ᵀ) V u for heads of size m, and s = (2·depth)^−½. The
    last layer is dense and reads the mean over tokens of norm h.
    """

    kind: Literal["transformer"]
    patch: Annotated[int, Field(ge=1, le=1024)] = 2
    """Side of the square patches of an image. A row of a sequence is a token."""
    heads: Annotated[int, Field(ge=1, le=1024)] = 1
    """Number of heads, by which each width must be divisible."""
    logit_decay: Annotated[float, Field(ge=0, le=4)] = 0.5
    """Exponent p of the size of a head: 0.5 is usual, 1 is that of `mup`."""
    tied: bool = False
    """Whether keys are the queries, K = Q."""
    b_std: Annotated[float, Field(ge=0, le=HUGE)] = 1.0
    """Standard deviation of the learned embedding P of positions; 0 leaves it out.
    There are no other biases."""

    has_infinite_limit: ClassVar[bool] = False

    def without_limit(self) -> Iterator[Fault]:
        """Why there is no kernel of infinite width."""
        yield Fault(("kind",), "softmax attention has no closed form at infinite width")

    def unmet(self, e) -> Iterator[Fault]:
        """Keys of an experiment that the model cannot meet, and why."""
        yield from Layered.unmet(self, e)
        for width in e.widths:
            if width % self.heads:
                text = f"{width} is not divisible by model.heads: {self.heads}"
                yield Fault(("widths",), text)

    def shape(self, d: int) -> tuple[int, ...]:
        """The shape of a point of d numbers: whole patches."""
        shape = Layered.shape(self, d)
        if len(shape) == 3 and any(side % self.patch for side in shape[:2]):
            raise ValueError(
                f"{shape[0]}×{shape[1]} pixels are no whole patches of {self.patch}"
            )
        return shape

    @property
    def weight_layers(self) -> int:
        """Number of weight layers, with the embedding and the read-out."""
        return 2 + self.depth * self._of_block

    @property
    def _of_block(self) -> int:
        """Weight layers of a block: Q, K, V, O, B, C."""
        return 5 if self.tied else 6

    def layer_sizes(self, width: int, d: int, k: int) -> list[Sizes]:
        """The sizes of each weight layer, in their order."""
        shape = self.shape(d)
        tokens, features = shape if len(shape) == 2 else self._patches(shape)
        inner = Sizes(tokens, width, width, width)
        return [
            Sizes(tokens, features, width, features),
            *[inner] * (self.depth * self._of_block),
            Sizes(1, width, k, width),
        ]

    def _patches(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Number of patches of an image, and of numbers in a patch."""
        patches = shape[0] * shape[1] // self.patch**2
        return patches, self.patch**2 * shape[2]

    def _has_bias(self, index: int) -> bool:
        return self.b_std > 0 and index == 0

    def _shapes(self, width: int, d: int, k: int) -> list[tuple[tuple[int, ...], ...]]:
        """The shapes of weights and, of the embedding, of P (tokens n)."""
        sizes = self.layer_sizes(width, d, k)
        shapes: list[tuple[tuple[int, ...], ...]] = [((s.a, s.b),) for s in sizes]
        if self.b_std > 0:
            shapes[0] = (*shapes[0], (sizes[0].t, width))
        return shapes

    def tokens(self, x: jax.Array) -> jax.Array:
        """Tokens (n t features) of points (n d): rows of a sequence, or patches."""
        x, p = self._shaped(x), self.patch
        if x.ndim == 3:
            return x
        n, high, wide, c = x.shape
        x = x.reshape(n, high // p, p, wide // p, p, c).transpose(0, 1, 3, 2, 4, 5)
        return x.reshape(n, (high // p) * (wide // p), p * p * c)

    def _of_one(self, params, x: jax.Array) -> jax.Array:
        """The output of one network."""
        width = params[0]["w"].shape[-1]
        factors = [
            self._multipliers(index, layer["w"].shape[0], width)
            for index, layer in enumerate(params)
        ]
        every = iter(zip(params, factors, strict=True))

        def linear(h):
            layer, (w, b) = next(every)
            z = w * jnp.matmul(h, layer["w"], precision="highest")
            return z + b * layer["b"][None] if "b" in layer else z

        scale = (2 * self.depth) ** -0.5
        h = linear(self.tokens(x))
        for _ in range(self.depth):
            u = normalised(h, EPSILON)
            query = linear(u)
            key = query if self.tied else linear(u)
            h = h + scale * linear(self._attended(query, key, linear(u)))
            hidden = ACTIVATIONS[self.activation](linear(normalised(h, EPSILON)))
            h = h + scale * linear(hidden)
        return linear(normalised(h, EPSILON).mean(1))

    def _attended(self, query, key, value) -> jax.Array:
        """softmax(m^−p q kᵀ) v in each head, (n t width)."""
        n, t, width = value.shape
        size = width // self.heads
        q, k, v = (a.reshape(n, t, self.heads, size) for a in (query, key, value))
        logits = jnp.einsum("nthm,nshm->nhts", q, k, precision="highest")
        weights = jax.nn.softmax(size**-self.logit_decay * logits, -1)
        read = jnp.einsum("nhts,nshm->nthm", weights, v, precision="highest")
        return read.reshape(n, t, width)
