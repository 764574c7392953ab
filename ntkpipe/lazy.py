"""`Lazy`, a module that is imported when one of its attributes is first used.

A short job imports only what it uses. A figure does not import JAX, which takes 0.6 s
(docs/performance.md). A training does not import pandas.
"""

import importlib
import types
from typing import Any


class Lazy(types.ModuleType):
    """A stand-in for the module of this name: `pd = Lazy("pandas")`."""

    def __getattr__(self, attribute: str) -> Any:
        """The module's attribute, stored here so that it is looked up once."""
        value = getattr(importlib.import_module(self.__name__), attribute)
        setattr(self, attribute, value)
        return value
