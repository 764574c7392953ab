"""What made a product: versions, device, and a fingerprint of the code.

Snakemake does not look into the packages that a command imports. A rule therefore
has `fingerprint(...)` of the functions and sections it uses among its parameters: an
edit of the package re-runs what it concerns. The fingerprint is taken of the syntax
tree, from the given definitions along the names they use, without docstrings,
comments and annotations: an edit of those re-runs nothing.
"""

import ast
import dataclasses
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ntkpipe import __version__

PACKAGE = "ntkpipe"
# What these read reaches a job through its parameters, and what they write is no
# result: following them would tie everything to everything.
NOT_FOLLOWED = (f"{PACKAGE}.study", f"{PACKAGE}.provenance", f"{PACKAGE}.section")


def versions() -> dict[str, str]:
    """Versions of what numbers depend on."""
    packages = ("jax", "jaxlib", "numpy", "scipy", "optax", "pandas")
    return {"python": platform.python_version()} | {
        **{name: importlib.metadata.version(name) for name in packages},
        PACKAGE: __version__,  # which a checkout that is not installed has, too
    }


def together(*values: str) -> str:
    """Versions, or devices, of several products: `0.10.2, 0.12`, each once."""
    each = {one for value in values for one in value.split(", ") if one}
    return ", ".join(sorted(each))


def digest(settings: Any) -> str:
    """A short hash of settings, which JSON can say."""
    text = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def device() -> str:
    """The device that JAX computes on, in words."""
    import jax

    first = jax.devices()[0]
    if first.platform == "cpu":
        return "cpu"
    return f"{first.platform}: {first.device_kind}"


def sections(value: Any) -> Iterator[type]:
    """The classes of all sections within a value: itself, its fields, and so on."""
    if dataclasses.is_dataclass(value):
        yield type(value)
        for field in dataclasses.fields(value):
            yield from sections(getattr(value, field.name))
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from sections(item)


def fingerprint(*roots: Any) -> str:
    """A short hash of the code that functions, classes and section values use.

    A function may be named, `module:function`, which does not import its module.
    """
    todo, seen, digest = [], set(), []
    for root in roots:
        if isinstance(root, str):
            todo.append(tuple(root.split(":")))
            continue
        for thing in [root] if callable(root) else sections(root):
            todo.append((thing.__module__, thing.__qualname__.partition(".")[0]))
    while todo:
        module, name = todo.pop()
        if (module, name) in seen or module in NOT_FOLLOWED:
            continue
        seen.add((module, name))
        source = _read(module)
        if name in source.imports:
            todo.append(source.imports[name])
        elif name in source.definitions:
            definition = source.definitions[name]
            digest.append(f"{module}.{name} {definition.text}")
            for used in definition.uses:
                todo.extend(source.resolve(used))
    return hashlib.sha256("\n".join(sorted(digest)).encode()).hexdigest()[:16]


class _Definition(NamedTuple):
    text: str
    uses: frozenset[tuple[str, ...]]  # ("name",) or ("module", "attribute")


class _Source(NamedTuple):
    module: str
    definitions: dict[str, _Definition]
    imports: dict[str, tuple[str, str]]  # alias → (module, name); "" is the module

    def resolve(self, used: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        """Definitions of the package that a used name stands for."""
        name, *attribute = used
        if name in self.definitions:
            yield self.module, name
        elif name in self.imports:
            module, imported = self.imports[name]
            if imported:
                yield module, imported
            elif attribute:
                yield module, attribute[0]


@functools.cache
def _read(module: str) -> _Source:
    """The top-level definitions of a module and what each of them uses."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return _Source(module, {}, {})
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    definitions: dict[str, _Definition] = {}
    # a statement that defines nothing (a registration, say) belongs to all it names
    loose = [n for n in tree.body if isinstance(n, ast.Expr) and not _is_text(n)]
    for node in tree.body:
        for name in _defined(node):
            about = [n for n in loose if (name,) in _uses(n)]
            text = ast.dump(_Bare().visit(_copy(node)))
            text += "".join(ast.dump(_Bare().visit(_copy(n))) for n in about)
            uses = _uses(node).union(*map(_uses, about))
            definitions[name] = _Definition(text, uses)
    imports = {}
    for node in ast.walk(tree):
        imports |= _imports(node)
    return _Source(module, definitions, imports)


def _defined(node: ast.stmt) -> list[str]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    targets = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, (ast.AnnAssign, ast.AugAssign)):
        targets = [node.target]
    names = [n for target in targets for n in ast.walk(target)]
    return [n.id for n in names if isinstance(n, ast.Name)]


def _imports(node: ast.AST) -> dict[str, tuple[str, str]]:
    """Names that an import statement binds to modules or definitions of the package."""
    found = {}
    if isinstance(node, ast.ImportFrom) and node.module:
        for alias in node.names:
            bound = alias.asname or alias.name
            if node.module == PACKAGE:
                found[bound] = (f"{PACKAGE}.{alias.name}", "")
            elif node.module.startswith(f"{PACKAGE}."):
                found[bound] = (node.module, alias.name)
    return found


def _uses(node: ast.AST) -> frozenset[tuple[str, ...]]:
    """Names and attributes of names in a definition, annotations left out."""
    used = set()
    for child in ast.walk(_Bare().visit(_copy(node))):
        if isinstance(child, ast.Name):
            used.add((child.id,))
        elif isinstance(child, ast.Attribute) and isinstance(child.value, ast.Name):
            used.add((child.value.id, child.attr))
    return frozenset(used)


class _Bare(ast.NodeTransformer):
    """Takes away docstrings and annotations."""

    def generic_visit(self, node):
        super().generic_visit(node)
        if isinstance(body := getattr(node, "body", None), list):
            node.body = [n for n in body if not _is_text(n)] or [ast.Pass()]
        return node

    def visit_FunctionDef(self, node):
        node.returns = None
        for argument in ast.walk(node.args):
            if isinstance(argument, ast.arg):
                argument.annotation = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node):
        node.annotation = ast.Constant(None)
        return self.generic_visit(node)


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _copy(node):
    return ast.parse(ast.unparse(node)).body[0] if isinstance(node, ast.stmt) else node
