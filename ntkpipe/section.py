"""What a section of a study file is: a frozen dataclass that checks its values."""

import ast
import functools
import inspect
import sys
from itertools import pairwise
from typing import Any, dataclass_transform

import pydantic
from pydantic.dataclasses import dataclass


@dataclass_transform(frozen_default=True, kw_only_default=True)
def section(cls: type) -> type:
    """Make `cls` a section: frozen, keyword-only, no unknown keys, no NaN.

    Values are taken as written (a string is no number, `true` is no integer), so
    that a slip in a study file is told instead of being converted.
    """
    config = pydantic.ConfigDict(
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        json_schema_extra=_describe,
    )
    return dataclass(frozen=True, kw_only=True, config=config)(cls)


def _describe(schema: dict[str, Any], cls: type) -> None:
    """Put the docstrings of the keys into a JSON schema.

    pydantic can (`use_attribute_docstrings`), but reads the source of every section at
    import, which took a fifth of the start of each job; only manuals need them.
    """
    for base in cls.__mro__[:-1]:
        for name, text in _docstrings(base).items():
            if name in schema["properties"]:
                schema["properties"][name].setdefault("description", text)


def _docstrings(cls: type) -> dict[str, str]:
    """The string after each annotated attribute of a class, as PEP 257 has it."""
    found = {}
    written = _classes(cls.__module__).get(cls.__name__)
    for statement, after in pairwise(written.body if written else ()):
        match statement, after:
            case (
                ast.AnnAssign(target=ast.Name(name)),
                ast.Expr(ast.Constant(str(text))),
            ):
                found[name] = inspect.cleandoc(text)
    return found


@functools.cache
def _classes(module: str) -> dict[str, ast.ClassDef]:
    """The classes of a module, as written."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except OSError:  # typed in, not read from a file
        return {}
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
