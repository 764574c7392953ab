"""A function of a user's Python file: its import, and its exceptions in a sentence."""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import os
import sys
import traceback
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import jax

from ntkpipe.fingerprint import users_code, users_files
from ntkpipe.users.function import UsersFunction, line_of, needs_package

LONGEST = 200
"""Characters of another library's message that are shown."""


class UsersError(ValueError):
    """A user's function can't be used; the message names file and line."""


class UsersCode:
    """The code of a user's function, and the words for what is wrong with it."""

    def __init__(self, named: UsersFunction):
        self.name, self.settings = named.function, named.settings
        self.file = Path(os.path.abspath(named.code_file))
        self.files = {*map(str, users_files(self.file))}

    def call(self, *arguments) -> Any:
        """Run the function with its settings.

        Raises:
            UsersError: it fails.
        """
        with self.told(self.name):
            return getattr(imported(self.file), self.name)(*arguments, **self.settings)

    def refuse(self, text: str, at: Callable | None = None) -> NoReturn:
        """Raise with the line of a function: that of `at`, or that of the study."""
        raise UsersError(f"{self._place(at)}: {text}")

    def _place(self, at: Callable | None) -> str:
        code = getattr(inspect.unwrap(at), "__code__", None) if callable(at) else None
        if code and code.co_filename in self.files:
            return _place(code.co_filename, code.co_firstlineno)
        return _place(str(self.file), line_of(self.file, self.name))

    @contextlib.contextmanager
    def told(self, what: str, at: Callable | None = None) -> Iterator[None]:
        """Say an exception of the user's code in one sentence with the user's line."""
        try:
            with as_users_write():
                yield
        except UsersError:
            raise
        except Exception as error:
            lines = traceback.extract_tb(error.__traceback__)
            own = [f for f in lines if f.filename in self.files]
            place = _place(own[-1].filename, own[-1].lineno) if own else self._place(at)
            if isinstance(error, SyntaxError) and error.filename in self.files:
                place = _place(error.filename, error.lineno)
            raise UsersError(f"{place}: {_reason(what, error)}") from error


def as_users_write():
    """Arrays of other ranks and types may meet in users' code."""
    stack = contextlib.ExitStack()
    stack.enter_context(jax.numpy_rank_promotion("allow"))
    stack.enter_context(jax.numpy_dtype_promotion("standard"))
    return stack


def _reason(what: str, error: Exception) -> str:
    """An exception of the user's code, in a sentence."""
    if isinstance(error, ModuleNotFoundError):
        return needs_package((error.name or "a package").partition(".")[0])
    text = " ".join(str(error).split())
    by_value = (
        jax.errors.ConcretizationTypeError,
        jax.errors.TracerArrayConversionError,
    )
    if isinstance(error, (*by_value, jax.errors.TracerIntegerConversionError)):
        return (
            f"{what} uses the value of an array that JAX traces: write it with "
            "jax.numpy (jnp.where, jax.lax.cond)"
        )
    if text.startswith("Reverse-mode differentiation does not work"):
        return (
            f"{what.removeprefix('the gradient of ')} has a loop without a gradient in "
            "reverse mode (while_loop): use jax.lax.scan, or a fixed number of steps"
        )
    if type(error).__name__ == "TraceContextError":  # of Flax NNX
        return (
            f"{what} changes the state of a module: is batch norm in training mode, or "
            "dropout on?"
        )
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    return f"{what} raises {type(error).__name__}" + f": {text}" * bool(text)


def _place(file: str, line: int | None) -> str:
    """`my_network.py, line 3`, from the folder of the command if below it."""
    near = os.path.relpath(file)
    return f"{file if near.startswith('..') else near}, line {line}"


def imported(file: Path) -> Any:
    """The module of a user's file, imported once for each version of its code."""
    return _imported(file, users_code(file))


_FOLDERS: set[str] = set()
"""Users' folders from which modules were imported."""


@functools.cache
def _imported(file: Path, code: str) -> Any:
    folder = str(file.parent)
    for name, module in [*sys.modules.items()]:
        # other versions, and modules of the same name in the folder of another study
        if str(Path(getattr(module, "__file__", None) or "/").parent) in _FOLDERS:
            del sys.modules[name]
    _FOLDERS.add(folder)
    sys.path[:] = [folder, *(path for path in sys.path if path != folder)]
    importlib.invalidate_caches()
    name = f"users_{file.stem}_{code}"
    module = types.ModuleType(name)
    module.__file__ = str(file)
    sys.modules[name] = module  # dataclasses look their module up
    try:
        exec(compile(file.read_bytes(), file, "exec", dont_inherit=True), vars(module))
    except BaseException:
        del sys.modules[name]
        raise
    return module
