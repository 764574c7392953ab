"""A section that names a function of a user's Python file, and reads the file.

Nothing is run here: faults are found in the syntax tree.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from ntkpipe.fingerprint import users_files
from ntkpipe.section import Fault, did_you_mean, section

EXTRA = {"flax": "networks", "equinox": "networks"}
"""Packages that an extra of ntkpipe installs."""
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


@section
class UsersFunction:
    """A function of a user's Python file, with settings."""

    # {…} and <…> would be wildcards of Snakemake, -… an option on the command line
    file: Annotated[
        str,
        Field(
            pattern=r"^[^-/\\\x00-\x1f{}<>][^\\\x00-\x1f{}<>]*\.py$", max_length=1000
        ),
    ]
    """Path of the file from the folder of the study file, in this folder or below."""
    function: Name
    """Name of the function."""
    settings: Annotated[dict[str, Any], Field(default_factory=dict)]
    """Further arguments of the function, by name."""
    folder: SkipJsonSchema[Annotated[str, Field(exclude=True)]] = ""
    # of the study file, from the reader of study files

    arguments: ClassVar[tuple[str, ...]]
    """The first arguments of the function."""
    place: ClassVar[tuple[str, ...]]
    """Keys of the section in an experiment."""

    @property
    def identity(self) -> tuple[str, ...]:
        """What tells two functions with settings apart; a dict has no hash."""
        settings = json.dumps(self.settings, sort_keys=True)
        return self.folder, self.file, self.function, settings

    @property
    def code_file(self) -> Path:
        """The file, whose code `fingerprint` follows."""
        return Path(self.folder, self.file)

    def faults(self) -> Iterator[Fault]:
        """What is wrong with the file and the function, without running them."""
        if ".." in Path(self.file).parts:
            text = "must lie in the folder of the study file or below, without `..`"
            yield Fault(("file",), text)
            return
        try:
            users_files(self.code_file)  # reads the file and what it imports
            names = _names(syntax(self.code_file))
        except OSError:
            others = [path.name for path in sorted(Path(self.folder).glob("*.py"))]
            where = self.folder or "this folder"
            text = f"no file {self.file} in {where}{did_you_mean(self.file, others)}"
            yield Fault(("file",), text)
        except SyntaxError as error:
            file = Path(error.filename or self.file).name
            yield Fault(("file",), f"{file}, line {error.lineno}: {error.msg}")
        except ValueError as error:  # bytes that are no text
            yield Fault(("file",), f"{self.file} is no Python: {error}")
        else:
            yield from self._unmet_names(names)

    def _unmet_names(self, names: dict[str, ast.AST]) -> Iterator[Fault]:
        """A function that the file lacks, or arguments that do not fit."""
        found = names.get(self.function)
        if found is None:
            functions = [
                name
                for name, node in names.items()
                if isinstance(node, ast.FunctionDef)
            ]
            near = did_you_mean(self.function, functions)
            there = f": there are {', '.join(functions)}" if functions else ""
            text = f"{self.file} has no function {self.function}{near or there}"
            yield Fault(("function",), text)
        elif isinstance(found, ast.FunctionDef) and not found.decorator_list:
            yield from self._unmet_arguments(found)

    def _unmet_arguments(self, function: ast.FunctionDef) -> Iterator[Fault]:
        """Arguments of the function that `settings` lack, and those that it lacks."""
        where = f"{self.file}, line {function.lineno}: {self.function}"
        all_of = function.args
        positional = [a.arg for a in (*all_of.posonlyargs, *all_of.args)]
        if len(positional) < len(self.arguments) and not all_of.vararg:
            takes, wanted = ", ".join(positional), ", ".join(self.arguments)
            text = f"{where} must take ({wanted}, …), not ({takes})"
            yield Fault(("function",), text)
            return
        further = positional[len(self.arguments) :]
        known = [*further, *(a.arg for a in all_of.kwonlyargs)]
        for name in self.settings:
            if name not in known and (not all_of.kwarg or name in positional):
                text = f"{where} has no argument {name}{did_you_mean(name, known)}"
                yield Fault(("settings", name), text)
        # defaults are those of the last arguments
        optional = further[max(len(further) - len(all_of.defaults), 0) :]
        optional += [
            a.arg
            for a, default in zip(all_of.kwonlyargs, all_of.kw_defaults, strict=True)
            if default is not None
        ]
        for name in known:
            if name not in optional and name not in self.settings:
                yield Fault(("settings",), f"{where} needs the argument {name}")

    def lacking(self) -> Iterator[Fault]:
        """Packages that the file imports and that are not installed."""
        for name, file in missing_packages(self.code_file).items():
            yield Fault((*self.place, "file"), f"{file.name} {needs_package(name)}")


def missing_packages(code_file: Path) -> dict[str, Path]:
    """Packages that are not installed, and the file of a user that imports each."""
    missing: dict[str, Path] = {}
    local = {path.stem for path in code_file.parent.iterdir()}
    for file in users_files(code_file):
        for name in _imported(syntax(file)):
            if name in local or name in sys.stdlib_module_names:
                continue
            if importlib.util.find_spec(name) is None:
                missing.setdefault(name, file)
    return missing


def needs_package(name: str) -> str:
    """`needs flax, which is not installed: …`, with the command that installs it."""
    extra = EXTRA.get(name)
    how = f"EXTRAS={extra} ./run" if extra else f".venv/bin/pip install {name}"
    return f"needs {name}, which is not installed: {how}"


def syntax(path: Path) -> ast.Module:
    """The syntax tree of a file, read again after an edit."""
    about = path.stat()
    return _syntax(path, about.st_mtime_ns, about.st_size)


@functools.lru_cache(1000)
def _syntax(path: Path, *stamp: int) -> ast.Module:
    del stamp
    return ast.parse(path.read_bytes(), str(path))


def line_of(path: Path, function: str) -> int:
    """The line of a function of a file; 1 if it has none."""
    return getattr(_names(syntax(path)).get(function), "lineno", 1)


def _names(tree: ast.Module) -> dict[str, ast.AST]:
    """What the statements of a file define or import, without running them."""
    found: dict[str, ast.AST] = {}
    todo: list[ast.AST] = [*tree.body]
    for node in todo:  # the list grows in the loop
        match node:
            case (
                ast.FunctionDef(name) | ast.AsyncFunctionDef(name) | ast.ClassDef(name)
            ):
                found[name] = node
            case ast.Assign(targets):
                found |= {t.id: node for t in targets if isinstance(t, ast.Name)}
            case ast.AnnAssign(ast.Name(name)):
                found[name] = node
            case ast.Import(names) | ast.ImportFrom(names=names):
                found |= {(a.asname or a.name).partition(".")[0]: node for a in names}
            case ast.If() | ast.Try() | ast.With():
                todo += [
                    n for n in ast.iter_child_nodes(node) if isinstance(n, ast.stmt)
                ]
    return found


def _imported(tree: ast.Module) -> Iterator[str]:
    """The packages that a file imports whenever it is run."""
    for node in tree.body:
        match node:
            case ast.Import(names):
                yield from (alias.name.partition(".")[0] for alias in names)
            case ast.ImportFrom(str(module), level=0):
                yield module.partition(".")[0]
