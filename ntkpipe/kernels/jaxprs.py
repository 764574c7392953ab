"""Read and run a jaxpr, JAX's list of the equations of a traced function.

All names of JAX that are not public functions are in this file. A new version of JAX
may change them. Parameters that an unknown primitive reads enter the kernel by their
Jacobian, which is slower and still exact. `tests/test_taps.py` counts the parameters
that have a closed form.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

Path = tuple[int, ...]
"""The position of an equation: its index, after those of the calls around it."""

INLINED = {
    "pjit": "jaxpr",
    "jit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "remat": "jaxpr",
    "remat2": "jaxpr",
    "checkpoint": "jaxpr",
}
"""Calls that are run equation by equation, and the parameter with their equations.

Calls with their own rule for derivatives are not among them, because this rule may
differ from the derivative of their equations.
"""


class Scan(NamedTuple):
    """The parameters of a loop over an axis, `jax.lax.scan`."""

    jaxpr: Any
    constants: int
    """Number of constants, the first operands; the next are carried, the last split."""
    carried: int
    length: int
    options: dict[str, Any]


def is_constant(atom) -> bool:
    """Whether an operand is a constant of the equation.

    `jax.extend.core.Literal` would be the test, but its import takes 40 ms.
    """
    return hasattr(atom, "val")


def called(equation) -> tuple[Any, list] | None:
    """The equations and constants of a call that can be inlined."""
    key = INLINED.get(equation.primitive.name)
    if key is None or key not in equation.params:
        return None
    inner = equation.params[key]
    return getattr(inner, "jaxpr", inner), list(getattr(inner, "consts", ()))


def scanned(equation) -> Scan | None:
    """The parameters of a loop, or None for other equations and unknown parameters."""
    p = equation.params
    if equation.primitive.name != "scan" or not (
        {"jaxpr", "length", "reverse", "unroll"} <= p.keys()
    ):
        return None
    if "ft_in" in p:  # from version 0.12 on: trees of constants, carried, split values
        counts = [len([*tree]) for tree in p["ft_in"].unpack()]
    elif {"num_consts", "num_carry"} <= p.keys():
        counts = [p["num_consts"], p["num_carry"]]
        counts += [len(equation.invars) - sum(counts)]
    else:
        return None
    if len(counts) != 3 or sum(counts) != len(equation.invars):
        return None
    options = {"reverse": p["reverse"], "unroll": p["unroll"]}
    return Scan(p["jaxpr"], counts[0], counts[1], p["length"], options)


def needed(jaxpr) -> list[tuple[int, Any]]:
    """The equations on which the outputs depend, with their indices."""
    live = {a for a in jaxpr.outvars if not is_constant(a)}
    kept = []
    for i, equation in reversed(list(enumerate(jaxpr.eqns))):
        if equation.effects or not live.isdisjoint(equation.outvars):
            kept.append((i, equation))
            live |= {a for a in equation.invars if not is_constant(a)}
    return kept[::-1]


def reads(jaxpr) -> Iterator[Any]:
    """The variables that needed equations and the outputs read, once for each read."""
    for _, equation in needed(jaxpr):
        yield from (a for a in equation.invars if not is_constant(a))
    yield from (a for a in jaxpr.outvars if not is_constant(a))


def apply_equation(jaxpr, equation, values: list) -> list:
    """The results of one equation of a jaxpr, computed by JAX."""
    known = {
        a: v for a, v in zip(equation.invars, values, strict=True) if not is_constant(a)
    }
    one = jaxpr.replace(
        constvars=[],
        invars=list(known),
        outvars=equation.outvars,
        eqns=[equation],
        effects=equation.effects,
        debug_info=jaxpr.debug_info.with_unknown_names(),
    )
    return jax.core.eval_jaxpr(one, (), *known.values())


def run(
    jaxpr,
    constants: list,
    arguments: list,
    taps: dict,
    on_tap: Callable,
    path: Path = (),
) -> tuple[list, dict]:
    """Run a jaxpr and call `on_tap` at some equations: outputs and records.

    At the equation of a path p in `taps`, `on_tap(p, taps[p], operands, z)` is called
    with the operands and the result z. It returns a value to use instead of z, and a
    record. Within a loop, taps and records have a leading axis, its length that of the
    loop.
    """
    env = dict(zip(jaxpr.constvars, constants, strict=True))
    env |= dict(zip(jaxpr.invars, arguments, strict=True))
    records: dict[Path, Any] = {}

    def value(atom):
        return atom.val if is_constant(atom) else env[atom]

    for i, equation in needed(jaxpr):
        here = (*path, i)
        values = [value(a) for a in equation.invars]
        inside = {p: tap for p, tap in taps.items() if p[: len(here)] == here}
        if here in taps:
            (z,) = apply_equation(jaxpr, equation, values)
            z, records[here] = on_tap(here, taps[here], values, z)
            out = [z]
        elif inside and (inner := called(equation)):
            out, found = run(*inner, values, inside, on_tap, here)
            records |= found
        elif inside and (loop := scanned(equation)):
            out, found = _run_loop(loop, values, inside, on_tap, here)
            records |= found
        else:
            out = apply_equation(jaxpr, equation, values)
        env |= dict(zip(equation.outvars, out, strict=True))
    return [value(a) for a in jaxpr.outvars], records


def _run_loop(loop: Scan, values: list, taps: dict, on_tap: Callable, path: Path):
    """`run` for a loop: taps are split over its steps, and records are stacked."""
    constants = values[: loop.constants]
    split = loop.constants + loop.carried

    def body(carried, elements):
        split_values, inner_taps = elements
        arguments = [*constants, *carried, *split_values]
        inner = loop.jaxpr
        out, found = run(inner.jaxpr, inner.consts, arguments, inner_taps, on_tap, path)
        return out[: loop.carried], (out[loop.carried :], found)

    carried, (stacked, found) = jax.lax.scan(
        body,
        values[loop.constants : split],
        (values[split:], taps),
        loop.length,
        **loop.options,
    )
    return [*carried, *stacked], found


FOLDED: dict[str, Callable] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "neg": np.negative,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "exp": np.exp,
    "log": np.log,
    "square": np.square,
    "pow": np.power,
}
"""Arithmetic of constants, as in `x @ w / jnp.sqrt(d)`."""
SAME = ("broadcast_in_dim", "reshape", "convert_element_type", "copy", "squeeze")
"""Primitives that do not change a number."""


def number(value) -> float | None:
    """A constant without axes as a number, or None."""
    if isinstance(value, jax.core.Tracer) or np.ndim(value):
        return None
    dtype = getattr(value, "dtype", np.dtype(type(value)))
    # random keys have types of JAX's own
    plain = isinstance(dtype, np.dtype) and dtype.kind in "fiub"
    return float(value) if plain else None


def folded(equation, numbers: list[float | None]) -> float | None:
    """The result of an equation whose operands are numbers, or None."""
    name = equation.primitive.name
    if not numbers or any(n is None for n in numbers):
        return None
    dtype = equation.outvars[0].aval.dtype
    if name in SAME:
        return numbers[0] if np.dtype(dtype).kind == "f" else None
    if name == "integer_pow":
        return numbers[0] ** equation.params["y"]
    if name not in FOLDED or np.dtype(dtype).kind != "f":
        return None
    with np.errstate(all="ignore"):
        found = float(FOLDED[name](*np.array(numbers, float)))
    return found if math.isfinite(found) else None
