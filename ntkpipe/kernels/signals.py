"""Inputs h and signals δ of each parameter, or its Jacobian, at each point.

For a layer z = s·h W, the gradient of output i at input x with respect to W is
s·h(x) δ_i(x)ᵀ with δ_i = ∂f_i/∂z. One forward pass gives h, and one backward pass for
each output gives δ. No Jacobian is formed (Novak, Sohl-Dickstein & Schoenholz 2022,
"structured derivatives"). A zero is added to each z; the derivative with respect to it
is δ.

A parameter that is read at T positions has the gradient s·Σ_t h_t δ_tᵀ. `form_of`
selects the cheaper method: sums over pairs of positions, or the Jacobian of each point.
"""

import math
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from ntkpipe.kernels import jaxprs, uses
from ntkpipe.kernels.bilinear import Filter, Rows, Sizes
from ntkpipe.kernels.uses import Apply, Network, Use

Array = jax.Array
Outputs = Literal["full", "trace"]
Layers = Literal["sum", "each"]
Form = Literal["layer", "positions", "rows", "jacobian"]
Forms = tuple[tuple[str, Form], ...]
"""The form of each parameter, by its name."""

ELEMENTWISE = 16
"""FLOP of a matrix product that take as long as one product of numbers in memory."""


class Cost(NamedTuple):
    """Costs of one point: numbers in h and δ, FLOP of a pass and of the Jacobian."""

    inputs: int
    units: int
    flop: int
    forming: int


class Signals(NamedTuple):
    """h and δ of one parameter, in one of four forms.

    | form | h | δ |
    |---|---|---|
    | layer | (n a) | (n k b) |
    | positions | (n t g a) | (n k t g b) |
    | rows | (n t), indices | (n k t b) |
    | jacobian | (n 1), ones | (n k p) |

    A layer's part of Θ is (η s² h·h' + t²)(δ·δ'). `bias` is t², the part of its biases,
    multiplied by their relative learning rate. In the other forms the part is η s²
    times the product of the gradients.
    """

    h: Array
    delta: Array
    form: Form
    scale: float
    rate: float
    bias: float
    depth: int
    cost: Cost


jax.tree_util.register_pytree_node(
    Signals,
    lambda s: ((s.h, s.delta), s[2:]),
    lambda static, arrays: Signals(*arrays, *static),
)


class Rates(tuple):
    """Relative learning rates of the parameters in their order, which jit can hash."""


def learning_rates(params, rates=None) -> Rates:
    """Relative learning rates of the parameters in their order, 1 by default.

    Args:
        params: parameters of a network.
        rates: a tree of numbers like `params`.

    Raises:
        ValueError: the tree has another structure.
    """
    leaves, tree = jax.tree.flatten(params)
    if rates is None:
        return Rates([1.0] * len(leaves))
    if isinstance(rates, Rates):
        return rates
    if (found := jax.tree.structure(rates)) != tree:  # type: ignore[operator]
        raise ValueError(
            "the relative learning rates must be a tree of numbers like the "
            f"parameters, {tree}, and not {found}"
        )
    return Rates(map(float, jax.tree.leaves(rates)))


@jax.default_matmul_precision("highest")
def signals(
    apply: Apply,
    params,
    x: Array,
    rates=None,
    forms: Forms | int | None = None,
    outputs: Outputs = "full",
) -> tuple[Array, dict[str, Signals]]:
    """Outputs (n k), and the signals of each parameter, {path: signals}.

    The parameters of layers come first, in the order of the layers, then the others.

    Args:
        apply: network `apply(params, x)`, any JAX function.
        params: its parameters, a tree.
        x: points (n …).
        rates: relative learning rates, a tree of numbers like `params`; default 1.
        forms: the form of each parameter, or the number of points for which the
            cheaper forms are selected, by default n.
        outputs: `full` or `trace`, for which the forms are selected.
    """
    network = uses.trace(apply, params, x)
    rates = learning_rates(params, rates)
    leaves = jax.tree.leaves(params)
    y, inputs, deltas, jacobians = _passes(network, leaves, x)
    if forms is None or isinstance(forms, int):
        forms = choose(network, forms or len(x), y.shape[1], outputs)
    known = dict(forms)
    found = {}
    for leaf, paths in network.of_leaf().items():
        name, its = network.names[leaf], [network.uses[path] for path in paths]
        riders = [(i, r) for i, r in network.riders.items() if r.path == paths[0]]
        h, delta = _arranged(
            known[name], its, [inputs[p] for p in paths], [deltas[p] for p in paths]
        )
        found[name] = Signals(
            h,
            delta,
            known[name],
            its[0].scale,
            rates[leaf],
            sum(rates[i] * r.factor**2 for i, r in riders),
            its[0].depth,
            _cost(its, y.shape[1], known[name]),
        )
    for leaf, jacobian in jacobians.items():
        flat = jacobian.reshape(*y.shape, -1)
        size = flat.shape[-1]
        cost = Cost(0, size, 2 * size, 0)
        one = jnp.ones((len(x), 1), y.dtype)
        name = network.names[leaf]
        found[name] = Signals(one, flat, "jacobian", 1.0, rates[leaf], 0.0, 0, cost)
    return y, found


def _passes(network: Network, leaves: list, x: Array):
    """One forward and k backward passes of each point: y, h, δ and Jacobians."""
    zero = {
        path: jnp.zeros((*use.steps, *use.z.shape), use.z.dtype)
        for path, use in network.uses.items()
    }
    others = {i: jnp.asarray(leaves[i]) for i in sorted(network.loose)}

    def add(path, tap, operands, z):
        return z + tap, operands[1 - network.uses[path].operand]

    def at(point):
        def f(taps, others):
            changed = [others.get(i, leaf) for i, leaf in enumerate(leaves)]
            jaxpr = network.jaxpr
            arguments = [*changed, point]
            (y,), h = jaxprs.run(jaxpr.jaxpr, jaxpr.consts, arguments, taps, add)
            return y[0], h

        y, pullback, h = jax.vjp(f, zero, others, has_aux=True)
        deltas, jacobians = jax.vmap(pullback)(jnp.eye(len(y), dtype=y.dtype))
        return y, h, deltas, jacobians

    return jax.vmap(at)(x)


def _arranged(form: Form, its: list[Use], inputs: list, deltas: list):
    """h and δ of one parameter in their form."""
    if form == "jacobian":
        jacobian = _jacobian(its, inputs, deltas)
        return jnp.ones((len(jacobian), 1), jacobian.dtype), jacobian
    every_h, every_d = [], []
    for use, h, d in zip(its, inputs, deltas, strict=True):
        every_h.append(_inputs(use, h))
        every_d.append(_signals(use, d))
    h = every_h[0] if len(its) == 1 else jnp.concatenate(every_h, 1)
    delta = every_d[0] if len(its) == 1 else jnp.concatenate(every_d, 2)
    if form == "layer":
        return h.reshape(len(h), -1), delta.reshape(*delta.shape[:2], -1)
    return (h, delta[:, :, :, 0]) if form == "rows" else (h, delta)


def _inputs(use: Use, h: Array) -> Array:
    """h (n *steps *h) as (n t g a), or (n t) of rows."""
    arranged = use.layout.inputs(h, 1 + len(use.steps))
    return arranged.reshape(len(h), -1, *arranged.shape[2 + len(use.steps) :])


def _signals(use: Use, d: Array) -> Array:
    """δ (n k *steps *z) as (n k t g b)."""
    arranged = use.layout.signals(d, 2 + len(use.steps))
    return arranged.reshape(*d.shape[:2], -1, *arranged.shape[-2:])


def _jacobian(its: list[Use], inputs: list, deltas: list) -> Array:
    """The Jacobian (n k p) from h and δ: the sum over all positions of all uses."""

    def at(point):
        parts = []
        for use, h, d in zip(its, *point, strict=True):
            h, d = _inputs(use, h[None])[0], _signals(use, d[None])[0]
            if isinstance(use.layout, Rows):
                k, _, _, b = d.shape
                table = jnp.zeros((k, use.layout.sizes.a, b), d.dtype)
                parts.append(table.at[:, h].add(d[:, :, 0]))
            elif use.layout.sizes.g == 1:
                parts.append(jnp.einsum("ta,ktb->kba", h[:, 0], d[:, :, 0]))
            else:
                parts.append(jnp.einsum("tga,ktgb->kgba", h, d))
        return sum(part.reshape(len(part), -1) for part in parts)

    patches = any(isinstance(use.layout, Filter) for use in its)
    if patches and jax.default_backend() == "cpu":
        # one point after the other, because its patches then stay in the cache
        return jax.lax.map(at, (inputs, deltas))
    return jax.vmap(at)((inputs, deltas))


# --- the cheaper form -----------------------------------------------------------------


def choose(network: Network, points: int, k: int, outputs: Outputs) -> Forms:
    """The form of each parameter that has a closed form, for a number of points."""
    return tuple(
        (
            network.names[leaf],
            form_of([network.uses[path] for path in paths], points, k, outputs),
        )
        for leaf, paths in network.of_leaf().items()
    )


def form_of(its: list[Use], points: int, k: int, outputs: Outputs = "full") -> Form:
    """The form with the fewest FLOP for each pair of points.

        positions: T² g (2a + 2k² b + 16 k²),  rows: T² (2k² b + 16 k²),
        jacobian: 2k² g a b + 4k T g a b / N,

    with k instead of k² for the trace. At one position the form is `layer`.
    """
    t, g, a, b = sizes_of(its)
    outer = k if outputs == "trace" else k * k
    summed = 1 if outputs == "trace" else outer
    if isinstance(its[0].layout, Rows):
        pairs = t**2 * (2 * outer * b + ELEMENTWISE * summed)
        return "rows" if pairs <= 2 * outer * a * b else "jacobian"
    if t == g == 1:
        return "layer"
    pairs = t**2 * g * (2 * a + 2 * outer * b + ELEMENTWISE * summed)
    jacobian = 2 * outer * g * a * b + 4 * k * t * g * a * b / points
    return "positions" if pairs <= jacobian else "jacobian"


def sizes_of(its: list[Use]) -> Sizes:
    """The sizes of all uses of one parameter together."""
    return its[0].layout.sizes._replace(t=sum(use.positions for use in its))


def _cost(its: list[Use], k: int, form: Form) -> Cost:
    t, g, a, b = sizes_of(its)
    if isinstance(its[0].layout, Rows):
        return Cost(t, k * t * b, 0, k * t * b * (form == "jacobian"))
    flop = 2 * t * g * a * b
    return Cost(_held(its), k * t * g * b, flop, k * flop * (form == "jacobian"))


def _held(its: list[Use]) -> int:
    """Number of stored values of h at one point; patches are not stored."""
    return sum(
        math.prod(use.steps)
        * (
            math.prod(use.layout.image)
            if isinstance(use.layout, Filter)
            else use.layout.sizes.t * use.layout.sizes.g * use.layout.sizes.a
        )
        for use in its
    )


def of_points(found: dict[str, Signals], rows: slice) -> dict[str, Signals]:
    """The signals of some of the points."""
    return {
        name: s._replace(h=s.h[rows], delta=s.delta[rows]) for name, s in found.items()
    }
