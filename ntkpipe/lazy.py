"""Modules that are imported when something of them is first used.

Importing JAX takes 0.6 s and pandas 0.25 s, half of what many a job takes in all, and
no job needs both of them from the start: a figure needs no JAX, a training no pandas.
"""

import importlib
import types
from typing import Any


class Lazy(types.ModuleType):
    """Stands for a module of this name: `pd = Lazy("pandas")`."""

    def __getattr__(self, attribute: str) -> Any:
        """The module's attribute; kept, so that this is asked for once."""
        found = getattr(importlib.import_module(self.__name__), attribute)
        setattr(self, attribute, found)
        return found
