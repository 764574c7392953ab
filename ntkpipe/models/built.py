"""A user's network at one width: its file is imported, its function run, and checked.

`built` runs the function for the first keys and refuses, in one sentence with the
user's line, what can't be trained or has no kernel. The parameters of the user's tree
become a dict of arrays by their paths, which is all that training and kernels see.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ntkpipe.kernels import blocks, explain, signals
from ntkpipe.users.run import UsersCode, UsersError, as_users_write

if TYPE_CHECKING:
    from ntkpipe.models.python import Python

log = logging.getLogger("ntkpipe")
ROUNDINGS = 1e3
"""Rounding errors by which two ways to compute a kernel may differ."""

Params = dict[str, jax.Array]


class Draw(NamedTuple):
    """What the user's function returned for a key."""

    apply: Callable
    params: Params
    """In the type of the points."""
    rates: dict[str, float]
    tree: Any
    """The structure of the user's tree."""
    dtypes: dict[str, str]
    """The types of the user's parameters."""


class Built(UsersCode):
    """The network of a user at one width, with what training needs of a model.

    Parameters are a dict of arrays by their paths in the user's tree:
    `layers.0.weight`.
    """

    has_last_layer: ClassVar[bool] = False
    draws_in_python: ClassVar[bool] = True
    """Whether parameters are drawn by Python, not within a compiled function."""

    def __init__(self, model: Python, width: int, points, outputs: int, key):
        super().__init__(model)
        self.model, self.width = model, width
        self.alpha, self.zero_output = model.alpha, model.zero_output
        self.x, self.outputs = points[:3], outputs
        self.first = self.draw(key)

    def apply(self, params: Params, x: jax.Array) -> jax.Array:
        """h(x; w), (n d) → (n k), before the output scale α."""
        with as_users_write():
            y = self.first.apply(self._tree_of(params), self._shaped(x))
        return y.astype(x.dtype)

    def init_params(self, key, width: int, d: int, k: int, dtype=float) -> Params:
        """The parameters that the user's function draws from a key."""
        del width, d, k, dtype
        drawn = self.draw(key)
        _refuse_shapes(self, drawn)
        return drawn.params

    def learning_rates(self, params: Params) -> dict[str, float]:
        """Relative learning rates: those that the function returned, or 1."""
        del params
        return self.first.rates

    def _tree_of(self, params: Params):
        return jax.tree.unflatten(
            self.first.tree, [params[n] for n in self.first.params]
        )

    def _shaped(self, x):
        shape = self.model.input_shape
        return x if shape is None else x.reshape(len(x), *shape)

    # --- the user's function ----------------------------------------------------------

    def draw(self, key) -> Draw:
        """Run the user's function with a key.

        Raises:
            UsersError: it fails, or its result is not (apply, params[, rates]).
        """
        name, x = self.name, self._shaped(self.x[:1])
        made = self.call(self.width, key, x)
        returns = isinstance(made, tuple) and len(made) in (2, 3) and callable(made[0])
        if not returns:
            got = type(made).__name__
            if isinstance(made, tuple):
                got = f"({', '.join(type(part).__name__ for part in made)})"
            self.refuse(f"{name} must return (apply, params[, rates]), not {got}")
        apply, params, *rates = made
        return self._checked(apply, params, rates)

    def _checked(self, apply, params, rates) -> Draw:
        """The result of the user's function, its parameters by their paths."""
        name, dtype = self.name, self.x.dtype
        paths, tree = jax.tree_util.tree_flatten_with_path(params)
        named = {_name(path): leaf for path, leaf in paths}
        if len(named) < len(paths):
            self.refuse(f"two parameters have the same path among {', '.join(named)}")
        if not named:
            self.refuse(f"{name} returns no parameters: params has no arrays")
        for path, leaf in named.items():
            kind = getattr(leaf, "dtype", type(leaf).__name__)
            if not hasattr(leaf, "dtype") or not jnp.issubdtype(
                leaf.dtype, jnp.floating
            ):
                self.refuse(
                    f"the parameter {path} is {kind}, not an array of floats: keep "
                    "what is not learned out of params"
                )
        scales = dict.fromkeys(named, 1.0)
        if rates:
            found = jax.tree.leaves(rates[0])
            if jax.tree.structure(rates[0]) != tree:  # type: ignore[operator]
                self.refuse(
                    f"{name} returns rates that are no tree of numbers like params"
                )
            with self.told(name):
                scales = dict(zip(named, map(float, found), strict=True))
        dtypes = {name: str(leaf.dtype) for name, leaf in named.items()}
        cast = {name: jnp.asarray(leaf).astype(dtype) for name, leaf in named.items()}
        return Draw(apply, cast, scales, tree, dtypes)


def built(model: Python, width: int, points, outputs: int, keys) -> Built:
    """The network of a width, checked.

    Args:
        model: the section of the study file.
        width: the number that the user's function is given.
        points: points (n d), of which three are used.
        outputs: number k of outputs of the data.
        keys: a key of each seed.

    Raises:
        UsersError: the network can't be used.
    """
    points = jnp.asarray(points)
    if model.input_shape and math.prod(model.input_shape) != points.shape[1]:
        shape = "×".join(map(str, model.input_shape))
        raise UsersError(
            f"model.input_shape: {shape} is {math.prod(model.input_shape)} numbers, "
            f"but the points have {points.shape[1]}"
        )
    network = Built(model, width, points, outputs, keys[0])
    _tell_types(network)
    _refuse_outputs(network)
    _refuse_dependence(network)
    _refuse_other_draws(network, keys)
    _refuse_kernel(network, len(points))
    return network


def _tell_types(network: Built) -> None:
    """Tell that parameters are cast to the type of the study."""
    found, dtype = network.first.dtypes, str(network.x.dtype)
    if other := [name for name, its in found.items() if its != dtype]:
        log.warning(
            "%s: %d of %d parameters are not %s (%s is %s): they are cast; set the "
            "type in the network (param_dtype), or `dtype` in the study",
            *(network.file, len(other), len(found), dtype, other[0], found[other[0]]),
        )


def _refuse_outputs(network: Built) -> None:
    """Refuse outputs that are not (n k), or can't be traced, or are not finite."""
    apply, params, x = network.first.apply, network.first.params, network.x
    tree, shaped = network._tree_of(params), network._shaped(x)
    for points in (shaped[:1], shaped):
        with network.told("apply", apply):
            y = jax.eval_shape(apply, tree, points)
        shape = getattr(y, "shape", None)
        n, k = len(points), network.outputs
        given = f"for points {points.shape}"
        if shape is None:
            kind = type(y).__name__
            network.refuse(f"apply returns {kind} {given}, not one array (n, k)", apply)
        if shape == (n,):
            network.refuse(
                f"apply returns {shape} {given}, not (n, k): add [:, None]", apply
            )
        if len(shape) != 2 or shape[0] != n:
            network.refuse(f"apply returns {shape} {given}, not ({n}, {k})", apply)
        if shape[1] != k:
            text = f"apply returns {shape[1]} outputs, but the targets have {k}"
            network.refuse(text, apply)
        if not jnp.issubdtype(y.dtype, jnp.floating):
            network.refuse(f"apply returns {y.dtype}, not floats", apply)
    with network.told("apply", apply):
        y = np.asarray(apply(tree, shaped))
    if not np.isfinite(y).all():
        network.refuse("apply returns NaN or infinity at initialisation", apply)


def _refuse_dependence(network: Built) -> None:
    """Refuse points that see each other, and outputs that are drawn at random."""
    apply = network.first.apply
    try:
        explain.refuse_dependence(network.apply, network.first.params, network.x)
    except ValueError as error:
        network.refuse(str(error), apply)


def _refuse_other_draws(network: Built, keys) -> None:
    """Refuse weights outside of the parameters, and draws that are not by the key."""
    name, first = network.name, network.first
    again = network.draw(keys[0])
    if not _equal(first.params, again.params):
        network.refuse(
            f"{name} returns other parameters for the same key: draw all random "
            "numbers from key"
        )
    if len(keys) < 2:
        return
    other = network.draw(keys[1])
    _refuse_shapes(network, other)
    if _equal(first.params, other.params):
        network.refuse(
            f"{name} returns the same parameters for two keys: draw them from key"
        )
    with network.told("apply", other.apply):
        tree = jax.tree.unflatten(other.tree, [*other.params.values()])
        own = np.asarray(other.apply(tree, network._shaped(network.x)))
    mixed = np.asarray(network.apply(other.params, network.x))
    size = np.abs(own).max() or 1.0
    if not np.abs(own - mixed).max() <= ROUNDINGS * _rounding(network) * size:
        network.refuse(
            f"{name} keeps weights out of params: with the parameters of another key, "
            "apply differs from the apply of that key",
            first.apply,
        )


def _refuse_shapes(network: Built, other: Draw) -> None:
    """Refuse parameters of other names or shapes than those of the first key."""
    shapes = {name: a.shape for name, a in network.first.params.items()}
    found = {name: a.shape for name, a in other.params.items()}
    if found != shapes:
        differ = [n for n in shapes | found if found.get(n) != shapes.get(n)]
        name = network.name
        network.refuse(
            f"{name} returns another tree of parameters at another key: {differ[0]} is "
            f"{found.get(differ[0], 'not there')}, was "
            f"{shapes.get(differ[0], 'not there')}"
        )


def _refuse_kernel(network: Built, points: int) -> None:
    """Refuse a kernel that differs from products with the Jacobian: Θv = J R Jᵀ v."""
    first, x = network.first, network.x
    rates, apply = first.rates, first.apply
    v = jax.random.normal(jax.random.key(0), (len(x), network.outputs), x.dtype)
    with network.told("the gradient of apply", apply):
        closed, product = _both(network.apply, first.params, x, v, rates, points)
    size = np.linalg.norm(product)
    if not np.isfinite(product).all():
        network.refuse("the gradient of apply is NaN or infinite", apply)
    if size == 0:
        network.refuse("no output depends on the parameters", apply)
    allowed = ROUNDINGS * _rounding(network)
    if np.linalg.norm(closed - product) <= allowed * size:
        return
    gaps = {}
    for name in rates:
        one = dict.fromkeys(rates, 0.0) | {name: 1.0}
        pair = _both(network.apply, first.params, x, v, one, points)
        gaps[name] = np.linalg.norm(pair[0] - pair[1])
    worst = max(gaps, key=gaps.__getitem__)
    network.refuse(
        f"the kernel of {worst} differs from products with its gradient by "
        f"{gaps[worst] / size:.1e}: please report this network as an error of ntkpipe",
        apply,
    )


def _both(apply, params, x, v, rates, points) -> tuple[np.ndarray, np.ndarray]:
    """Θv from the kernel in closed form, and JRJᵀv from one vjp and its transpose."""

    @jax.jit
    def closed(params, x, v):
        _, found = signals.signals(apply, params, x, rates, points)
        return jnp.einsum("nkml,ml->nk", blocks.block(found, found), v)

    @jax.jit
    def product(params, x, v):
        _, pullback = jax.vjp(lambda params: apply(params, x), params)
        # the transpose of v ↦ Jᵀv, as a rule of the user's own may have no jvp
        (g,), push = jax.vjp(pullback, v)
        scaled = {name: g[name] * rates[name] for name in g}
        return push((scaled,))[0]

    return np.asarray(closed(params, x, v)), np.asarray(product(params, x, v))


def _rounding(network: Built) -> float:
    return explain.rounding(network.apply, network.first.params, network.x)


def _equal(first: Params, second: Params) -> bool:
    return first.keys() == second.keys() and all(
        np.array_equal(first[name], second[name]) for name in first
    )


def _name(path) -> str:
    """The path of a parameter: `layers.0.weight`."""
    text = jax.tree_util.keystr(path, simple=True, separator=".") or "params"
    return "".join(c if c.isalnum() or c in "_." else "_" for c in text)
