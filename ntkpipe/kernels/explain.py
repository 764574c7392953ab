"""How each parameter of a network enters its kernel, and if points are independent.

`explain` reads the traced network and computes nothing. `refuse_dependence` computes
outputs of three points.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ntkpipe.kernels import signals, uses
from ntkpipe.kernels.bilinear import Filter, Rows
from ntkpipe.kernels.signals import Outputs
from ntkpipe.kernels.uses import Apply, Use


class Entry(NamedTuple):
    """One parameter: its path, its shape, how it enters Θ, and why."""

    name: str
    shape: tuple[int, ...]
    enters: str  # closed, Jacobian or not
    why: str

    def __str__(self):
        """One line."""
        shape = "×".join(map(str, self.shape)) or "a number"
        return f"{self.name} ({shape}): {self.enters}: {self.why}"


def explain(
    apply: Apply, params, x, outputs: Outputs = "full", points: int | None = None
) -> list[Entry]:
    """An entry for each parameter, in the order of the tree.

    Args:
        apply: network `apply(params, x)`.
        params: its parameters, or their shapes.
        x: points (n …), or their shape.
        outputs: `full` or `trace`, as for `empirical.ntk`.
        points: number of points of Θ, by default n.
    """
    network = uses.trace(apply, params, x)
    k = network.jaxpr.out_avals[0].shape[1]
    forms = dict(signals.choose(network, points or len(x), k, outputs))
    entries = []
    reads = network.of_leaf()
    for leaf, value in enumerate(jax.tree.leaves(params)):
        name = network.names[leaf]
        if leaf in reads:
            its = [network.uses[path] for path in reads[leaf]]
            enters, why = "closed", _reason(its, forms[name])
        elif rider := network.riders.get(leaf):
            layer = network.names[network.uses[rider.path].leaf]
            enters, why = "closed", f"a bias, in the part of {layer}"
        elif leaf in network.loose:
            enters, why = "Jacobian", f"it is read by {network.loose[leaf]}"
        else:
            enters, why = "not", network.unused[leaf]
        entries.append(Entry(name, tuple(np.shape(value)), enters, why))
    return entries


def _reason(its: list[Use], form: signals.Form) -> str:
    """Which kind of layer reads a parameter, how often, and in which form it enters."""
    sizes = signals.sizes_of(its)
    kinds: dict[type, str] = {Filter: "a filter", Rows: "rows of a table"}
    what = kinds.get(type(its[0].layout), "a product")
    where = f"{sizes.t:,} positions" if sizes.t > 1 else "one position"
    groups = f", {sizes.g} groups" if sizes.g > 1 else ""
    numbers = f"{sizes.g * sizes.a * sizes.b:,}"
    how = {
        "layer": "h·h' times δ·δ'",
        "positions": "summed over pairs of positions",
        "rows": "summed over pairs of equal rows",
        "jacobian": f"its gradients of {numbers} numbers from h and δ are cheapest",
    }
    return f"{what} at {where}{groups}, {how[form]}"


def refuse_dependence(apply: Apply, params, x) -> None:
    """Refuse a network whose outputs depend on several points, or are random.

    The outputs of three points are compared with those of each point alone and with
    those of a second computation, up to rounding.

    Raises:
        ValueError: they differ.
    """
    x = x[:3]
    together = np.asarray(apply(params, x))
    if not np.array_equal(together, np.asarray(apply(params, x)), equal_nan=True):
        raise ValueError(
            "the network gives different outputs for the same points: is dropout on, "
            "or does it draw random numbers?"
        )
    alone = np.concatenate(
        [np.asarray(apply(params, x[i : i + 1])) for i in range(len(x))]
    )
    if alone.shape != together.shape:
        raise ValueError(
            f"the network returns {together.shape} for {len(x)} points and "
            f"{alone.shape} for each of them alone: it must return (n, k)"
        )
    size = np.abs(together).max() or 1.0
    if not np.abs(together - alone).max() <= 1e3 * rounding(apply, params, x) * size:
        raise ValueError(
            "the network's output at a point depends on the other points: is batch "
            "norm in training mode, or dropout on?"
        )


def rounding(apply: Apply, params, x) -> float:
    """The rounding error of the coarsest floating-point type in a network.

    Some frameworks compute parts of a float64 network in float32.
    """
    jaxpr = uses.trace(apply, params, x).jaxpr.jaxpr
    types = {a.aval.dtype for e in jaxpr.eqns for a in e.outvars}
    return max(
        float(jnp.finfo(t).eps) for t in types if jnp.issubdtype(t, jnp.floating)
    )
