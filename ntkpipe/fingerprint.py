"""A fingerprint of the code that a job runs.

Snakemake does not follow the imports of a command. A rule therefore has the fingerprint
of its stage's modules among its parameters. After an edit of a module, all jobs that
import the module run again. The fingerprint is a hash of the syntax trees of a module
and of all modules of its package that it imports, directly or indirectly. Docstrings,
comments and annotations are removed from the syntax trees.

A section whose code is a user's file has the path of the file in `code_file`. The file
counts, and every module of its folder that it imports, directly or indirectly.
"""

import ast
import dataclasses
import functools
import hashlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

# Imports of these modules and of their submodules are not followed. The effect of these
# modules on a job is already in its parameters (settings of the study) or in its inputs
# (other stages), or does not change results (metadata, checks of shapes, estimates of
# cost). Following the imports would make every job depend on every module.
NOT_FOLLOWED = (
    "ntkpipe.study",
    "ntkpipe.experiment",
    "ntkpipe.section",
    "ntkpipe.provenance",
    "ntkpipe.fingerprint",
    "ntkpipe.stages",
    "ntkpipe.cost",
    "ntkpipe.training.trajectory",
)


def fingerprint(*roots: Any) -> str:
    """A short hash of the code of modules and of the modules that they import.

    A root is the name of a module, or a value. A value stands for the modules that
    define the sections in the value, and for the users' files that these name.
    """
    own = _fingerprint(frozenset(_names(roots)))
    files = [
        one.code_file
        for root in roots
        for one in instances(root)
        if hasattr(one, "code_file")
    ]
    return _hash((own, *map(users_code, files))) if files else own


def users_code(file: str | Path) -> str:
    """A short hash of the code of a user's file and of what it imports.

    Modules of its folder count with their code, other packages with their versions.
    """
    folder = Path(file).parent
    read = {path: _users(folder, path) for path in users_files(file)}
    code = [
        (str(path.relative_to(folder)), digest) for path, (digest, _) in read.items()
    ]
    tops = {name.partition(".")[0] for _, names in read.values() for name in names}
    others = sorted(tops - sys.stdlib_module_names)
    return _hash((code, [(name, _version(name)) for name in others]))


def users_files(file: str | Path) -> list[Path]:
    """A user's file, and the modules of its folder that it imports, at any depth."""
    folder, todo, seen = Path(file).parent, [Path(file)], set()
    while todo:
        path = todo.pop()
        if path not in seen:
            seen.add(path)
            names = {n for name in _users(folder, path)[1] for n in _parents(name)}
            todo += filter(None, (_below(folder, name) for name in names))
    return sorted(seen)


def modules(*roots: Any) -> set[str]:
    """The modules of the roots, and those of their package that they import."""
    todo, seen = list(_names(roots)), set()
    while todo:
        module = todo.pop()
        if module not in seen:
            seen.add(module)
            todo += filter(_is_followed, _read(module)[1])
    return seen


def forget() -> None:
    """Forget all modules that were read, so that edits since then are seen."""
    for cached in (_fingerprint, _read, _file, _read_users):
        cached.cache_clear()


@functools.cache
def _fingerprint(names: frozenset[str]) -> str:
    return _hash(sorted((module, _read(module)[0]) for module in modules(*names)))


def _names(roots: Iterable[Any]) -> Iterator[str]:
    for root in roots:
        if isinstance(root, str):
            yield root
        else:
            yield from (kind.__module__ for kind in sections(root))


def _hash(value: Any) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]


def sections(value: Any) -> Iterator[type]:
    """The classes of all sections within a value, at any depth."""
    yield from map(type, instances(value))


def instances(value: Any) -> Iterator[Any]:
    """All sections within a value, at any depth."""
    if dataclasses.is_dataclass(value):
        yield value
        for field in dataclasses.fields(value):
            yield from instances(getattr(value, field.name))
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from instances(item)


def _is_followed(module: str) -> bool:
    return not f"{module}.".startswith(tuple(f"{name}." for name in NOT_FOLLOWED))


@functools.cache
def _read(module: str) -> tuple[str, frozenset[str]]:
    """A hash of a module's code, and the modules of its own package that it imports."""
    if (file := _file(module)) is None:
        return "", frozenset()
    tree = ast.parse(file.read_bytes())
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    top = module.partition(".")[0]
    imported = {
        name
        for node in ast.walk(tree)
        for name in _imports(node, package, _file)
        if name.partition(".")[0] == top
    }
    return _hash(ast.dump(_code(tree))), frozenset(imported)


def _users(folder: Path, path: Path) -> tuple[str, frozenset[str]]:
    """A hash of the code of a file in a folder of a user, and all that it imports."""
    about = path.stat()
    return _read_users(folder, path, about.st_mtime_ns, about.st_size)


@functools.cache
def _read_users(folder: Path, path: Path, *stamp: int) -> tuple[str, frozenset[str]]:
    del stamp  # an edited file is read again
    tree = ast.parse(path.read_bytes(), str(path))
    package = ".".join(path.relative_to(folder).parent.parts)
    find = functools.partial(_below, folder)
    imported = {n for node in ast.walk(tree) for n in _imports(node, package, find)}
    return _hash(ast.dump(_code(tree))), frozenset(imported)


def _parents(name: str) -> list[str]:
    """The packages above a module, and the module: a, a.b, a.b.c."""
    parts = name.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _imports(
    node: ast.AST, package: str, find: Callable[[str], Path | None]
) -> Iterator[str]:
    """The modules that a statement imports; `Lazy("module")` counts as an import.

    Importing a module does not count as importing its package, because the `__init__`
    of a package only lists its modules.
    """
    match node:
        case ast.Import(names):
            yield from (alias.name for alias in names)
        case ast.ImportFrom(module, names, level):
            if level and not package:
                return  # Python refuses it
            source = importlib.util.resolve_name("." * level + (module or ""), package)
            for alias in names:
                name = f"{source}.{alias.name}"
                yield name if find(name) else source
        case ast.Call(ast.Name("Lazy"), [ast.Constant(str(name))]):
            yield name


@functools.cache
def _file(module: str) -> Path | None:
    """The file of a module, found without importing its package."""
    top, *names = module.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None or spec.origin is None:
        return None
    return _below(Path(spec.origin).parent, ".".join(names))


def _below(folder: Path, module: str) -> Path | None:
    """The file of a module below a folder."""
    place = folder.joinpath(*filter(None, module.split(".")))
    files = (place / "__init__.py", place.with_name(f"{place.name}.py"))
    return next((file for file in files if file.is_file()), None)


def _code(tree: ast.Module) -> ast.Module:
    """The tree without docstrings and annotations; values of annotated names stay."""
    for node in ast.walk(tree):
        if isinstance(body := getattr(node, "body", None), list):
            body[:] = [part for part in body if not _is_text(part)] or [ast.Pass()]
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            node.returns = None
        elif isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
    return tree


def _is_text(node: ast.AST) -> bool:
    match node:
        case ast.Expr(ast.Constant(str())):
            return True
    return False
