"""Find a network in a user's Python file, and write the function that builds it."""

from __future__ import annotations

import ast
import inspect
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ntkpipe.fingerprint import users_files
from ntkpipe.section import did_you_mean
from ntkpipe.users.function import syntax

BASES = {"flax.linen": "linen", "flax.nnx": "nnx", "equinox": "equinox"}
"""The package of a network's base class `Module`, and the kind of network."""
NAMES = {"linen": "Flax Linen", "nnx": "Flax NNX", "equinox": "Equinox"}
WIDTHS = (
    *("width", "hidden", "hidden_size", "hidden_dim", "hidden_features", "n_hidden"),
    *("num_hidden", "hidden_units", "width_size", "dmid", "dhidden", "d_hidden"),
    *("d_model", "dim", "units", "channels", "features"),
)
"""Names of an argument that is taken for the width, the first of them first."""
INPUTS = (
    *("din", "d_in", "in_dim", "input_dim", "in_size", "input_size", "in_features"),
    *("n_in", "inputs", "d"),
)
OUTPUTS = (
    *("dout", "d_out", "out_dim", "output_dim", "out_size", "output_size", "out"),
    *("out_features", "n_out", "num_outputs", "n_outputs", "num_classes", "n_classes"),
    *("outputs", "classes", "k"),
)
MODES = {
    "train": "False",
    "training": "False",
    "is_training": "False",
    "deterministic": "True",
    "use_running_average": "True",
}
"""Arguments of a call that turn off dropout and the training mode of batch norm."""
TEMPLATE = '''\
import jax
import jax.numpy as jnp


def build(width, key, x):
    """A network with one hidden layer: x is one point, (1, d)."""
    first, last = jax.random.split(key)
    d = x.shape[1]
    params = {
        "first": jax.random.normal(first, (d, width)) / d**0.5,
        "last": jax.random.normal(last, (width, 1)) / width**0.5,
    }

    def apply(params, x):  # points (n, d) to outputs (n, 1)
        return jnp.tanh(x @ params["first"]) @ params["last"]

    return apply, params
'''
WRAPPER = '''\
"""Build {name} of {file}: written by `ntkpipe ask`, and yours to edit."""

import {imports}
from {module} import {name}


def build(width, key, x, outputs={outputs}, exponent=0.0):
    """{kind}: all relative learning rates are ({width}/width)^exponent."""
{body}

    rates = jax.tree.map(lambda w: ({width} / width) ** exponent, params)
    return apply, params, rates
'''
BODIES = {
    "linen": """\
    network = {made}
    state = network.init(key, x{mode})
    params = state["params"]
    rest = {{name: part for name, part in state.items() if name != "params"}}

    def apply(params, x):
        y = network.apply({{"params": params, **rest}}, x{mode})
        return y.reshape(len(x), -1)
""",
    "nnx": """\
    network = {made}
    network.eval()  # without dropout, and batch norm with its stored mean
    graph, params, rest = nnx.split(network, nnx.Param, ...)

    def apply(params, x):
        return nnx.merge(graph, params, rest)(x{mode}).reshape(len(x), -1)
""",
    "equinox": """\
    network = equinox.nn.inference_mode(  # without dropout
        {made}
    )
    params, static = equinox.partition(network, equinox.is_inexact_array)

    def apply(params, x):  # the network takes one point
        network = equinox.combine(params, static)
        return jax.vmap({called})(x).reshape(len(x), -1)
""",
}
IMPORTS = {
    "linen": "jax",
    "nnx": "jax\nfrom flax import nnx",
    "equinox": "equinox\nimport jax",
}
FUNCTION = '''\
"""Slow {name} of {file} down with the width: written by `ntkpipe ask`."""

import jax
from {module} import {name} as users_build


def build(width, key, x, exponent=0.0, **settings):
    """All relative learning rates are multiplied by ({width}/width)^exponent."""
    apply, params, *rates = users_build(width, key, x, **settings)
    own = rates[0] if rates else jax.tree.map(lambda w: 1.0, params)
    rates = jax.tree.map(lambda rate: rate * ({width} / width) ** exponent, own)
    return apply, params, rates
'''


class Found(NamedTuple):
    """A function or a class of a user's file."""

    name: str
    kind: str
    """`function`, a value of `BASES`, or empty if only an import can tell."""
    line: int


class NoNetwork(ValueError):
    """A file has no network that could be meant."""


class Arguments(NamedTuple):
    """How a class of a network is called."""

    made: dict[str, str]
    """Arguments of the class, and the expression of each."""
    width: str
    """The argument that is the width; empty if there is none."""
    default: int | None
    """The width that the class has by default."""
    mode: dict[str, str]
    """Arguments of a call that turn training off."""


# ------------------------------------------------------------------ find


def find(file: Path, name: str = "") -> Found:
    """The named function or class of a file; without a name, the one that is meant.

    This is `build`, or else the only network that no other network of the file uses.

    Raises:
        ValueError: there is no such file, or no such name.
        NoNetwork: without a name, no network or several could be meant.
    """
    tree = _syntax(file)
    functions = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)}
    classes = {n.name: n for n in tree.body if isinstance(n, ast.ClassDef)}
    kinds = _kinds(tree, classes)
    if name:
        if name in functions:
            return Found(name, "function", functions[name].lineno)
        if name in classes:
            return Found(name, kinds.get(name, ""), classes[name].lineno)
        near = did_you_mean(name, [*functions, *classes])
        there = ", ".join([*functions, *classes])
        has = near or (f": it has {there}" if there else "")
        raise ValueError(f"{file} has no function or class {name}{has}")
    if "build" in functions:
        return find(file, "build")
    used = {
        n.id
        for one in kinds
        for n in ast.walk(classes[one])
        if isinstance(n, ast.Name) and n.id != one
    }
    outer = [one for one in kinds if one not in used]
    if len(outer) == 1:
        return find(file, outer[0])
    if outer:
        words = f"the networks {', '.join(outer)}: name one of them, {file}:{outer[0]}"
    else:
        words = "no function `build` and no network of Flax or Equinox"
    raise NoNetwork(f"{file} has {words}")


def _syntax(file: Path) -> ast.Module:
    try:
        return syntax(file)
    except SyntaxError as error:
        raise ValueError(f"{file}, line {error.lineno}: {error.msg}") from error
    except OSError as error:
        others = [path.name for path in sorted(file.parent.glob("*.py"))]
        near = did_you_mean(file.name, others)
        raise ValueError(f"{file}: there is no such file{near}") from error


def _kinds(tree: ast.Module, classes: Mapping[str, ast.ClassDef]) -> dict[str, str]:
    """The kinds of the classes of a file that are networks, by their base classes."""
    imported = {}
    for node in ast.walk(tree):
        match node:
            case ast.Import(names):
                for a in names:
                    top = a.name.partition(".")[0]
                    imported[a.asname or top] = a.name if a.asname else top
            case ast.ImportFrom(str(module), names, 0):
                imported |= {a.asname or a.name: f"{module}.{a.name}" for a in names}

    def kind(base: ast.expr) -> str:
        text = ast.unparse(base)
        if text in classes:
            return next(filter(None, map(kind, classes[text].bases)), "")
        top, _, rest = text.partition(".")
        whole = f"{imported.get(top, top)}.{rest}".rstrip(".")
        package, _, last = whole.rpartition(".")
        return BASES.get(package, "") if last == "Module" else ""

    found = {n: next(filter(None, map(kind, c.bases)), "") for n, c in classes.items()}
    return {name: its for name, its in found.items() if its}


def kind_of(network: type) -> str:
    """The kind of network of an imported class; empty if it is none."""
    modules = [f"{base.__module__}." for base in network.__mro__]
    for package, kind in BASES.items():
        if any(module.startswith(f"{package}.") for module in modules):
            return kind
    return ""


# ------------------------------------------------------------------ wrap


def arguments(network: Callable, kind: str, place: str) -> Arguments:
    """How to call a class of a network.

    Args:
        network: the class.
        kind: a value of `BASES`.
        place: file, line and name, for messages.

    Raises:
        ValueError: an argument has no default and no known meaning.
    """
    # a metaclass hides the signature of the class
    given = dict(inspect.signature(network.__init__).parameters)
    given.pop("self", None)
    width = next((n for n in WIDTHS if n in given and _is_size(given[n])), "")
    made = {}
    for name, argument in given.items():
        if kind == "linen" and name in ("parent", "name"):
            continue
        if argument.kind in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD):
            continue
        if expression := _expression(name, width, kind):
            made[name] = expression
        elif argument.default is argument.empty:
            raise ValueError(
                f"{place} needs the argument {name}: give it a default, or write a "
                "function build(width, key, x) that returns (apply, params)"
            )
    default = given[width].default if width else None
    call = inspect.signature(network.__call__).parameters  # type: ignore[operator]
    mode = {name: value for name, value in MODES.items() if name in call}
    if kind == "equinox" and "key" in call and call["key"].default is inspect._empty:
        mode["key"] = "None"
    return Arguments(made, width, default if _is_whole(default) else None, mode)


def _expression(name: str, width: str, kind: str) -> str:
    """What an argument of a network is given; empty if its meaning is not known."""
    if name == width:
        return "width"
    if name in INPUTS:
        return "x.shape[1]"
    if name in OUTPUTS:
        return "outputs"
    known = {"dtype": "x.dtype", "param_dtype": "x.dtype"}
    known |= {"nnx": {"rngs": "nnx.Rngs(key)"}, "equinox": {"key": "key"}}.get(kind, {})
    return known.get(name, "")


def _is_size(argument: inspect.Parameter) -> bool:
    """Whether an argument may be a whole number."""
    if _is_whole(argument.default):
        return True
    if argument.default not in (argument.empty, None):
        return False
    return argument.annotation in (int, "int", argument.empty)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def wrapper(
    file: str, name: str, kind: str, how: Arguments, width: int, outputs: int
) -> str:
    """The text of a file whose `build` makes a network of a class."""
    made = ", ".join(f"{n}={expression}" for n, expression in how.made.items())
    mode = "".join(f", {n}={value}" for n, value in how.mode.items())
    called = f"lambda x: network(x{mode})" if mode else "network"
    body = BODIES[kind].format(made=f"{name}({made})", mode=mode, called=called)
    return WRAPPER.format(
        **{"name": name, "file": file, "module": Path(file).stem, "width": width},
        **{"imports": IMPORTS[kind], "kind": NAMES[kind]},
        **{"outputs": outputs, "body": body.rstrip("\n")},
    )


def slowed(file: str, name: str, width: int) -> str:
    """The text of a file whose `build` scales the learning rates of a function's."""
    return FUNCTION.format(file=file, name=name, module=Path(file).stem, width=width)


def copied(file: Path, folder: Path) -> Path:
    """Copy a user's file, and what it imports from its own folder; the copy."""
    for source in _with_imports(file):
        target = folder / source.relative_to(file.parent)
        if target.exists() and target.samefile(source):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
    return folder / file.name


def _with_imports(file: Path) -> Iterator[Path]:
    if not file.stem.isidentifier():
        name = "".join(c if c.isalnum() else "_" for c in file.stem)
        raise ValueError(f"{file} can't be imported: rename it, as {name}.py")
    try:
        yield from users_files(file)
    except SyntaxError as error:
        raise ValueError(
            f"{error.filename}, line {error.lineno}: {error.msg}"
        ) from error
