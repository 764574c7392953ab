"""`@section` makes a class the validated, immutable form of a mapping in a study file.

A section may have a method `faults` that yields faults between its keys. A section
created in Python raises its faults. The reader of a study file collects the faults of
all sections.
"""

import ast
import dataclasses
import difflib
import functools
import inspect
import sys
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple, dataclass_transform

import pydantic
from pydantic.dataclasses import dataclass

COLLECT = {"faults": "collect"}
"""Validation context in which a section with faults does not raise."""


class Fault(NamedTuple):
    """What is wrong with one key of a study file, and how to correct it."""

    key: tuple[str, ...]
    text: str
    file: str = ""
    line: int = 0

    def within(self, *keys: str) -> "Fault":
        """The same fault, its key prefixed by the keys of the enclosing sections."""
        return self._replace(key=(*keys, *self.key))

    def __str__(self) -> str:
        """One line, `file: key: text (line 3)`, with unprintable characters escaped."""
        key = ".".join(part or "''" for part in self.key)
        text = ": ".join(filter(None, (self.file, key, self.text)))
        text += f" (line {self.line})" if self.line else ""
        return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def faults_within(value: Any) -> Iterator[Fault]:
    """The faults of all sections within a value, with their full keys."""
    parts: Iterable[tuple[Any, Any]]
    if dataclasses.is_dataclass(value):
        if hasattr(value, "faults"):
            yield from value.faults()
        parts = ((f.name, getattr(value, f.name)) for f in dataclasses.fields(value))
    elif isinstance(value, dict):
        parts = value.items()
    elif isinstance(value, tuple):
        parts = enumerate(value)
    else:
        return
    for name, part in parts:
        for fault in faults_within(part):
            yield fault.within(str(name))


def did_you_mean(
    name: str, valid: Iterable[Any], cutoff: float = 0.6, most: int = 1
) -> str:
    """`; did you mean …?` with the closest valid names; empty if none is close.

    If no name is close, a name whose first word is close to `name` is suggested.

    Args:
        name: the unknown name.
        valid: the existing names.
        cutoff: the smallest similarity of a suggestion, from 0 to 1.
        most: the largest number of suggestions.
    """
    names = [*map(str, valid)]
    near = difflib.get_close_matches(name, names, most, cutoff)
    if not near:
        words = {valid.partition("_")[0]: valid for valid in names if "_" in valid}
        near = [words[w] for w in difflib.get_close_matches(name, words, 1, 0.85)]
    return f"; did you mean {' or '.join(near)}?" if near else ""


@dataclass_transform(frozen_default=True, kw_only_default=True)
def section(cls: type) -> type:
    """Make `cls` a section: frozen, keyword-only, no unknown keys, no NaN.

    Values are not converted: a string is not accepted as a number, nor `true` as an
    integer. Mistyped values in a study file are thus reported.
    """
    config = pydantic.ConfigDict(
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        json_schema_extra=_describe,
        defer_build=True,  # the validator of the study includes that of its sections
    )
    if hasattr(cls, "faults"):
        check = pydantic.model_validator(mode="after")(_without_faults)
        cls._without_faults = check  # type: ignore[attr-defined]  # pydantic finds it
    return dataclass(frozen=True, kw_only=True, config=config)(cls)


def made(cls: type, **keys: Any) -> Any:
    """A section of these keys; raise ValueError with its faults in one line."""
    try:
        return cls(**keys)
    except pydantic.ValidationError as error:
        told = [
            (".".join(map(str, one["loc"])), one["msg"].removeprefix("Value error, "))
            for one in error.errors()
        ]
        lines = (": ".join(filter(None, one)) for one in told)
        raise ValueError("; ".join(lines)) from error


def _without_faults(value: Any, info: pydantic.ValidationInfo) -> Any:
    """Raise ValueError if a section has faults, unless a reader collects them."""
    if info.context is not COLLECT and (faults := [*value.faults()]):
        raise ValueError("; ".join(map(str, faults)))
    return value


def _describe(schema: dict[str, Any], cls: type) -> None:
    """Add the docstrings of the keys to a JSON schema.

    pydantic's `use_attribute_docstrings` does the same but reads the source of every
    section at import, which takes a fifth of the start of a job. Only the manual and
    the schema need the docstrings.
    """
    for base in cls.__mro__[:-1]:
        for name, text in _docstrings(base).items():
            if name in schema["properties"]:
                schema["properties"][name].setdefault("description", text)


def _docstrings(cls: type) -> dict[str, str]:
    """The string after each annotated attribute of a class and its bases (PEP 257)."""
    docstrings: dict[str, str] = {}
    for base in reversed(cls.__mro__[:-1]):
        written = _classes(base.__module__).get(base.__name__)
        for statement, after in pairwise(written.body if written else ()):
            match statement, after:
                case (
                    ast.AnnAssign(target=ast.Name(name)),
                    ast.Expr(ast.Constant(str(text))),
                ):
                    docstrings[name] = inspect.cleandoc(text)
    return docstrings


@functools.cache
def _classes(module: str) -> dict[str, ast.ClassDef]:
    """The syntax trees of the classes of a module."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except OSError:  # a class that is defined at a prompt has no source file
        return {}
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
