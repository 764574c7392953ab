"""What a section of a study file is: a frozen dataclass that checks its values."""

from typing import dataclass_transform

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
        use_attribute_docstrings=True,
    )
    return dataclass(frozen=True, kw_only=True, config=config)(cls)
