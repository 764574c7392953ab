"""A user's own loss, a function of a Python file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from ntkpipe.lazy import Lazy
from ntkpipe.section import section
from ntkpipe.training.losses.base import BaseLoss
from ntkpipe.users.function import Name, UsersFunction

jax, jnp, run = Lazy("jax"), Lazy("jax.numpy"), Lazy("ntkpipe.users.run")
if TYPE_CHECKING:
    from ntkpipe.users.run import UsersCode


@section
class PythonLoss(UsersFunction, BaseLoss):
    """Your own loss: ℓ(f, y) of the outputs and the target of one point.

    The function takes arrays (k,) and returns a number, in JAX. Its gradient is that of
    JAX. `loss: my_loss.py:name` is short for the keys. The file is a program: training
    imports it and runs it with your rights.
    """

    kind: Literal["python"] = "python"
    function: Name = "loss"
    """`function(f, y, **settings)` returns ℓ."""

    arguments: ClassVar[tuple[str, ...]] = ("f", "y")
    place: ClassVar[tuple[str, ...]] = ("training", "loss")
    curvature: ClassVar[None] = None

    def __hash__(self) -> int:
        return hash(self.identity)

    def of_outputs(self, f: Any, y: Any) -> Any:
        """ℓ of each point, (… n 1)."""
        return self._each_point(lambda f, y: self._of_point(f, y)[None], f, y)

    def slope(self, f: Any, y: Any) -> Any:
        """∂ℓ/∂f by JAX, (… n k)."""
        return self._each_point(jax.grad(self._of_point), f, y)

    def check(self, y: np.ndarray) -> None:
        """Refuse a function whose value or slope is no finite number for targets (n k).

        Raises:
            UsersError: with the user's line.
        """
        code, y = self._code(), jnp.asarray(y, float)
        f = jax.random.normal(jax.random.key(0), y.shape[-2:], y.dtype)
        first = y.reshape(-1, *y.shape[-2:])[0]
        value = jax.eval_shape(code.call, f[0], first[0])
        shape, kind = getattr(value, "shape", None), getattr(value, "dtype", None)
        if shape != () or not jnp.issubdtype(kind, jnp.floating):
            got = type(value).__name__ if shape is None else f"{kind} {shape}"
            code.refuse(f"{self.function} returns {got}, not one number of floats")
        for what, part in (
            (self.function, self.of_outputs),
            (f"the gradient of {self.function}", self.slope),
        ):
            with code.told(what):
                numbers = np.asarray(part(f, first))
            if not np.isfinite(numbers).all():
                code.refuse(f"{what} is NaN or infinite at f = {f[0]}, y = {first[0]}")
        if not numbers.any():
            code.refuse(f"{what} is zero at all points: does it depend on f?")

    def _each_point(self, function, f: Any, y: Any) -> Any:
        """A function of (k,) and (k,) at arrays (… n k)."""
        f = jnp.asarray(f)
        y = jnp.broadcast_to(jnp.asarray(y, f.dtype), f.shape)
        flat = jax.vmap(function)(*(a.reshape(-1, a.shape[-1]) for a in (f, y)))
        return flat.reshape(*f.shape[:-1], flat.shape[-1])

    def _of_point(self, f: Any, y: Any) -> Any:
        return jnp.asarray(self._code().call(f, y), f.dtype)

    def _code(self) -> UsersCode:
        return run.UsersCode(self)
