"""The dense layers of a network, found by tracing: their inputs h and signals δ.

For a dense layer z = s·h W + t·β the gradient of output i at input x with respect to
W is s·h(x) δ_i(x)ᵀ with δ_i = ∂f_i/∂z. One forward and one backward pass give h and δ
of all points; no Jacobian is ever formed (Novak, Sohl-Dickstein & Schoenholz 2022,
"structured derivatives").

Parameters that no dense layer reads (a gain, a convolution, a weight used twice)
enter by their Jacobian, one sample at a time, so that any `apply` has its kernel.
"""

import collections
import inspect
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from ntkpipe.models.dense import dense
from ntkpipe.models.parameterizations import Scale

Array = jax.Array


Apply = Callable[..., Array]


Outputs = Literal["full", "trace"]


Layers = Literal["sum", "each"]


class Signals(NamedTuple):
    """What one dense layer saw: inputs h (n p) and backward signals δ (n k q).

    Of parameters that no dense layer reads, h is 1 (n 1) and δ the Jacobian (n k q).
    """

    h: Array
    delta: Array
    scale: Scale


jax.tree_util.register_pytree_node(
    Signals,
    lambda s: ((s.h, s.delta), s.scale),
    lambda scale, arrays: Signals(*arrays, scale),
)


class Heard(NamedTuple):
    """What tracing a network tells of its dense layers and its parameters."""

    taps: dict[str, tuple[jax.ShapeDtypeStruct, Scale]]  # layers in closed form
    loose: dict[int, str]  # the other parameters: index among the leaves, name
    rates: list[float]  # relative learning rate of each leaf


def hear(apply: Apply, params, x: Array) -> Heard:
    """Trace a network, without computing, for what `Heard` says of it.

    Raises:
        ValueError: two layers have one name, or a layer states a learning rate for
            what is computed from parameters and is none itself.
    """
    sites, rates = {}, {}
    read: collections.Counter[int | None] = collections.Counter()

    def trace(params, x):
        index = {id(leaf): i for i, leaf in enumerate(jax.tree.leaves(params))}

        def look(name, h, layer, scale):
            if name in sites:
                raise ValueError(
                    f"two layers are called {name!r}: give each its own name"
                )
            leaves = {
                key: index.get(id(layer[key])) for key in ("w", "b") if key in layer
            }
            for key, i in leaves.items():
                rate = getattr(scale, f"lr_{key}")
                computed = i is None and isinstance(layer[key], jax.core.Tracer)
                if computed and rate not in (0, 1):
                    raise ValueError(
                        f"layer {name!r} has a learning rate of {rate:g} for {key!r}, "
                        "which is no parameter itself"
                    )
                rates[i] = rate
            read.update(leaves.values())
            # zeros for parameters: those needed all the same are read elsewhere
            layer = layer | {
                key: jnp.zeros_like(layer[key])
                for key, i in leaves.items()
                if i is not None
            }
            z = dense(name, h, layer, scale)
            if "b" not in layer:
                scale = scale._replace(b=0.0)
            rows = h.ndim == 2 and len(h) == len(x)
            sites[name] = (z, scale, tuple(leaves.values()), rows)
            return z

        return apply(params, x, look) if _listens(apply) else apply(params, x)

    read.update(_inputs_read(jax.make_jaxpr(trace)(params, x).jaxpr))
    return _heard(params, sites, rates, read)


def _heard(params, sites: dict, rates: dict, read: collections.Counter) -> Heard:
    """Which layers have a closed form, and which parameters are in none of them."""
    # the closed form needs weights that are parameters themselves, each in one layer
    closed = {
        name: site
        for name, site in sites.items()
        if site[3] and all(i is not None and read[i] == 1 for i in site[2])
    }
    known = {i for _, _, leaves, _ in closed.values() for i in leaves}
    paths = jax.tree_util.tree_leaves_with_path(params)
    loose = {
        i: jax.tree_util.keystr(path)
        for i, (path, leaf) in enumerate(paths)
        if i not in known and jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)
    }
    return Heard(
        taps={
            name: (jax.ShapeDtypeStruct(z.shape, z.dtype), scale)
            for name, (z, scale, _, _) in closed.items()
        },
        loose=loose,
        rates=[rates.get(i, 1.0) for i in range(len(paths))],
    )


def _inputs_read(jaxpr) -> Iterator[int]:
    """Indices of the inputs of which the outputs of a traced function are made."""

    def variables(atoms):  # and no constants, which have a value
        return {a for a in atoms if not hasattr(a, "val")}

    needed = variables(jaxpr.outvars)
    for equation in reversed(jaxpr.eqns):
        if not needed.isdisjoint(equation.outvars):
            needed |= variables(equation.invars)
    return (i for i, v in enumerate(jaxpr.invars) if v in needed)


def _listens(apply: Apply) -> bool:
    """Whether a network takes the dense layer as its third argument."""
    try:
        inspect.signature(apply).bind(None, None, None)
    except TypeError:
        return False
    return True


@jax.default_matmul_precision("highest")
def signals(apply: Apply, params, x: Array) -> tuple[Array, dict[str, Signals]]:
    """Outputs (n k) and the signals of each dense layer, in the order of the layers.

    A zero is added to each pre-activation; the derivative with respect to it is δ.
    Layers whose weights are not parameters, or are read twice, and parameters outside
    of dense layers follow under the parameter's name, with their Jacobian as δ: that
    is n·k numbers a parameter, and needs samples that do not see each other.

    Args:
        apply: network `apply(params, x, site)` written in `models.dense`; one without
            `site` works, by its Jacobian.
        params: its parameters.
        x: points (n d).
    """
    heard = hear(apply, params, x)
    zeros = {name: jnp.zeros(z.shape, z.dtype) for name, (z, _) in heard.taps.items()}

    def tapped(taps):
        inputs = {}

        def listen(name, h, layer, scale):
            z = dense(name, h, layer, scale)
            if name not in taps:
                return z
            inputs[name] = h
            return z + taps[name]

        y = apply(params, x, listen) if _listens(apply) else apply(params, x)
        return y, inputs

    y, pullback, inputs = jax.vjp(tapped, zeros, has_aux=True)
    basis = jnp.broadcast_to(
        jnp.eye(y.shape[1], dtype=y.dtype)[:, None], (y.shape[1], *y.shape)
    )
    # points first: products of two layers' δ are then plain matrix products
    (deltas,) = jax.vmap(pullback, out_axes=1)(basis)
    sites = {
        name: Signals(inputs[name], deltas[name], scale)
        for name, (_, scale) in heard.taps.items()
    }
    return y, sites | _loose_signals(apply, params, x, heard)


def _loose_signals(apply: Apply, params, x, heard: Heard) -> dict[str, Signals]:
    """Jacobians (n k q) of the parameters that have no closed form."""
    leaves, tree = jax.tree.flatten(params)

    def at(loose, point):
        changed = [loose.get(i, leaf) for i, leaf in enumerate(leaves)]
        return apply(jax.tree.unflatten(tree, changed), point[None]).squeeze(0)

    loose = {i: jnp.asarray(leaves[i]) for i in heard.loose}
    if not loose:
        return {}
    jacobians = jax.vmap(jax.jacrev(at), (None, 0))(loose, x)
    return {
        heard.loose[i]: Signals(
            jnp.ones((len(x), 1), j.dtype),
            j.reshape(*j.shape[:2], -1),
            Scale(1.0, 0.0, heard.rates[i], 0.0),
        )
        for i, j in jacobians.items()
    }


def learning_rates(apply: Apply, params, x: Array):
    """Relative learning rates that the dense layers state, a tree like `params`."""
    rates = hear(apply, params, x).rates
    return jax.tree.unflatten(jax.tree.structure(params), rates)


def of_points(sites: dict[str, Signals], rows: slice) -> dict[str, Signals]:
    """The signals of some of the points."""
    return {
        name: s._replace(h=s.h[rows], delta=s.delta[rows]) for name, s in sites.items()
    }
