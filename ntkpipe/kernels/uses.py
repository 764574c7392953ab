"""Where a network uses its parameters, found in the equations of its jaxpr.

A network is traced for one point, so that no output depends on several points. A
parameter has a closed form if only equations of `bilinear` read it, all with the same
order of its axes. Before, it may be multiplied by a number, and its axes may be moved.
Every other parameter enters the kernel by its Jacobian, and `Network.loose` states the
reason. Nothing is computed here.

A bias that is added to a layer at one position, z = s·h W + t·β, has the gradient t·δ.
Its part of Θ is t² δ·δ', which is added to the part of the layer.
"""

import collections
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ntkpipe.kernels import jaxprs
from ntkpipe.kernels.bilinear import Filter, Product, Rows, rule_of
from ntkpipe.kernels.jaxprs import Path

Apply = Callable[..., jax.Array]


class Use(NamedTuple):
    """An equation that reads a parameter: z = scale · op(h, parameter)."""

    leaf: int
    operand: int
    """Which operand of the equation is the parameter."""
    scale: float
    order: tuple
    layout: Product | Filter | Rows
    steps: tuple[int, ...]
    """Lengths of the loops around the equation."""
    z: jax.ShapeDtypeStruct
    depth: int
    """1 plus the number of layers, one after the other, on which h depends."""

    @property
    def positions(self) -> int:
        """Number of positions, those of all steps of the loops."""
        return int(np.prod(self.steps, dtype=int)) * self.layout.sizes.t


class Rider(NamedTuple):
    """A bias that is added to the output of a use as factor · β."""

    path: Path
    factor: float


class Network(NamedTuple):
    """A network traced for one point, and where it uses its parameters.

    A parameter is identified by its index among the leaves of the tree.
    """

    jaxpr: Any
    names: list[str]
    uses: dict[Path, Use]
    riders: dict[int, Rider]
    loose: dict[int, str]
    """The parameters without a closed form, and the reasons."""
    unused: dict[int, str]
    """The parameters on which the outputs do not depend, and the reasons."""

    def of_leaf(self) -> dict[int, list[Path]]:
        """The uses of each parameter that has a closed form, in their order."""
        found: dict[int, list[Path]] = {}
        for path, use in self.uses.items():
            found.setdefault(use.leaf, []).append(path)
        return found


def trace(apply: Apply, params, x) -> Network:
    """Trace a network at one of the points x, and find where it uses its parameters.

    Raises:
        ValueError: the network does not return an array (1, k) for one point.
    """
    leaves, tree = jax.tree.flatten(params)
    paths = jax.tree_util.tree_leaves_with_path(params)

    def one(leaves, point):
        return apply(jax.tree.unflatten(tree, leaves), point[None])

    shapes = [jax.ShapeDtypeStruct(np.shape(a), jnp.result_type(a)) for a in leaves]
    point = jax.ShapeDtypeStruct(np.shape(x)[1:], jnp.result_type(x))
    jaxpr = jax.make_jaxpr(one)(shapes, point)
    outputs = [a.shape for a in jaxpr.out_avals]
    if len(outputs) != 1 or len(outputs[0]) != 2 or outputs[0][0] != 1:
        raise ValueError(
            f"the network returns {', '.join(map(str, outputs))} for one point "
            f"{(1, *point.shape)}: it must return one array (n, k) for points (n, …)"
        )
    reader = _Reader()
    learned = [jnp.issubdtype(a.dtype, jnp.inexact) for a in shapes]
    facts = [
        Fact(_View(i)) if can_learn else Fact() for i, can_learn in enumerate(learned)
    ]
    out = reader.read(jaxpr.jaxpr, jaxpr.consts, [*facts, Fact()])
    reader.lose(out, "the outputs")
    names = [jax.tree_util.keystr(path) for path, _ in paths]
    return reader.network(jaxpr, names, learned)


class _View(NamedTuple):
    """A value that is scale · (a parameter, its axes moved)."""

    leaf: int
    scale: float = 1.0
    moves: tuple = ()


class _Output(NamedTuple):
    """A value that is factor · (the output of a use) and is read only once."""

    path: Path
    factor: float = 1.0


class Fact(NamedTuple):
    """What is known about a value: it is a parameter, an output, a number, or none."""

    view: _View | None = None
    output: _Output | None = None
    number: float | None = None
    depth: int = 0
    """Number of layers, one after the other, on which the value depends."""


class _Reader:
    """Reads equations one after the other and collects `uses`, `riders` and `loose`."""

    def __init__(self):
        self.uses: dict[Path, Use] = {}
        self.riders: dict[int, Rider] = {}
        self.loose: dict[int, str] = {}

    def lose(self, facts, why: str) -> None:
        """Add parameters that are read in a way without a closed form to `loose`."""
        for fact in facts:
            if fact.view:
                self.loose.setdefault(fact.view.leaf, why)

    def read(self, jaxpr, constants, facts, path: Path = (), steps=()) -> list[Fact]:
        """The facts of the outputs, from those of the inputs."""
        known = [Fact(number=jaxprs.number(c)) for c in constants]
        env = dict(zip(jaxpr.constvars, known, strict=True))
        env |= dict(zip(jaxpr.invars, facts, strict=True))
        count = collections.Counter(jaxprs.reads(jaxpr))

        def fact(atom) -> Fact:
            if jaxprs.is_constant(atom):
                return Fact(number=jaxprs.number(atom.val))
            found = env[atom]
            return found if count[atom] == 1 else found._replace(output=None)

        for i, equation in jaxprs.needed(jaxpr):
            given = [fact(a) for a in equation.invars]
            out = self.equation(equation, given, (*path, i), steps)
            env |= dict(zip(equation.outvars, out, strict=True))
        return [fact(a) for a in jaxpr.outvars]

    def equation(self, equation, given: list[Fact], path: Path, steps) -> list[Fact]:
        """The facts of the results of one equation."""
        depth = max((f.depth for f in given), default=0)
        plain = [Fact(depth=depth)] * len(equation.outvars)
        views = [(i, f.view) for i, f in enumerate(given) if f.view]
        if not views and not any(f.output for f in given):
            found = jaxprs.folded(equation, [f.number for f in given])
            return plain if found is None else [Fact(number=found)]
        if inner := jaxprs.called(equation):
            return self.read(*inner, given, path, steps)
        if views and (loop := jaxprs.scanned(equation)):
            return self.loop(loop, given, path, steps, depth)
        if len(views) == 1 and (rule := rule_of(equation, views[0][0])):
            (operand, view), z = views[0], equation.outvars[0].aval
            self.uses[path] = Use(
                view.leaf,
                operand,
                view.scale,
                (view.moves, view.scale, rule.order),
                rule.layout,
                steps,
                jax.ShapeDtypeStruct(z.shape, z.dtype),
                depth + 1,
            )
            return [Fact(output=_Output(path), depth=depth + 1)]
        if len(views) < 2 and (moved := _moved(equation, given)):
            return [moved]
        if len(views) == 1 and self.rides(equation, given, *views[0], steps):
            return plain
        self.lose(given, equation.primitive.name)
        return plain

    def rides(self, equation, given, operand: int, view: _View, steps) -> bool:
        """Whether a parameter is the bias of a layer at one position; add it if so."""
        if equation.primitive.name not in ("add", "sub") or steps:
            return False
        first, second = given
        output = (second if operand == 0 else first).output
        shapes = {a.aval.shape for a in equation.invars}
        if not (output and output.factor and len(shapes) == 1):
            return False
        if self.uses[output.path].positions != 1 or view.leaf in self.riders:
            return False
        self.riders[view.leaf] = Rider(output.path, view.scale / output.factor)
        return True

    def loop(self, loop, given, path: Path, steps, depth: int) -> list[Fact]:
        """The facts of a loop's results; parameters that are its constants are read."""
        constants = [f._replace(output=None) for f in given[: loop.constants]]
        self.lose(given[loop.constants :], "scan, as a carried or split value")
        inside = [Fact(depth=depth)] * (len(given) - loop.constants)
        out = self.read(
            loop.jaxpr.jaxpr,
            loop.jaxpr.consts,
            constants + inside,
            path,
            (*steps, loop.length),
        )
        self.lose(out, "scan, as a result")
        return [Fact(depth=f.depth) for f in out]

    def network(self, jaxpr, names: list[str], learned: list[bool]) -> Network:
        """The network; parameters that are read in several ways have no closed form."""
        orders: dict[int, set] = collections.defaultdict(set)
        for use in self.uses.values():
            orders[use.leaf].add(use.order)
        loose = dict(self.loose)
        for leaf, found in orders.items():
            if len(found) > 1:
                loose.setdefault(leaf, "layers that read its axes in different orders")
            elif leaf in self.riders:
                loose.setdefault(leaf, "a layer, and as a bias")
        uses = {p: use for p, use in self.uses.items() if use.leaf not in loose}
        reads = collections.Counter(use.leaf for use in uses.values())
        riders = {
            leaf: rider
            for leaf, rider in self.riders.items()
            if leaf not in loose
            and rider.path in uses
            and reads[uses[rider.path].leaf] == 1
        }
        for leaf in self.riders.keys() - riders.keys():
            loose.setdefault(leaf, "add")
        seen = loose.keys() | riders.keys() | {use.leaf for use in uses.values()}
        unused = {
            i: "no output depends on it" if can_learn else "it is no array of floats"
            for i, can_learn in enumerate(learned)
            if i not in seen
        }
        return Network(jaxpr, names, uses, riders, loose, unused)


RESHAPES = ("reshape", "squeeze", "expand_dims", "copy", "copy_p")


def _moved(equation, given: list[Fact]) -> Fact | None:
    """The result, if it is a parameter or an output, scaled or with its axes moved."""
    name = equation.primitive.name
    views = [i for i, f in enumerate(given) if f.view]
    source = views[0] if views else next(i for i, f in enumerate(given) if f.output)
    fact = given[source]
    factor = _factor(equation, given, source)
    if factor is not None:
        view, output = fact.view, fact.output
        return fact._replace(
            view=view and view._replace(scale=view.scale * factor),
            output=output and output._replace(factor=output.factor * factor),
        )
    before, after = equation.invars[source].aval, equation.outvars[0].aval
    if name == "transpose":
        move = ("axes", tuple(equation.params["permutation"]))
        kept = [d for d in move[1] if before.shape[d] > 1]
        ordered = kept == sorted(kept)
    elif name in RESHAPES or (name == "broadcast_in_dim" and before.size == after.size):
        move, ordered = ("shape", tuple(after.shape)), True
    else:
        return None
    if fact.view:
        return fact._replace(view=fact.view._replace(moves=(*fact.view.moves, move)))
    return fact if ordered else None


def _factor(equation, given: list[Fact], source: int) -> float | None:
    """The number by which an equation multiplies a value of the same shape, or None."""
    name, z = equation.primitive.name, equation.outvars[0].aval
    if name == "neg":
        return -1.0
    if name == "reduce_precision":
        return 1.0
    if name == "convert_element_type":
        same = equation.invars[0].aval.dtype == z.dtype
        return 1.0 if same else None
    if name not in ("mul", "div") or (name == "div" and source):
        return None
    other = given[1 - source].number
    if other is None or equation.invars[source].aval.shape != z.shape:
        return None
    if name == "mul":
        return other
    return 1 / other if other else None
