"""The losses that a training minimises, one in each file."""

from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field

from ntkpipe.training.losses.base import BaseLoss
from ntkpipe.training.losses.cross_entropy import CrossEntropy
from ntkpipe.training.losses.huber import Huber
from ntkpipe.training.losses.logistic import Logistic
from ntkpipe.training.losses.python import PythonLoss
from ntkpipe.training.losses.squared import SQUARED, Squared

__all__ = ["SQUARED", "BaseLoss", "Loss"]

_Kind = Annotated[
    Squared | CrossEntropy | Logistic | Huber | PythonLoss,
    Field(discriminator="kind"),
]
_NAMES = [kind.kind for kind in get_args(get_args(_Kind)[0]) if kind is not PythonLoss]
_Name = Literal[tuple(_NAMES)]  # type: ignore[valid-type]  # computed


def of_word(value: Any) -> Any:
    """`huber` is short for `{kind: huber}`, `file.py:name` for `{kind: python, …}`."""
    if not isinstance(value, str):
        return value
    file, colon, name = value.rpartition(":")
    if colon and file.endswith(".py"):
        return {"kind": "python", "file": file, "function": name}
    return {"kind": value}


_Word = _Name | Annotated[str, Field(pattern=r"\.py:[A-Za-z_][A-Za-z0-9_]*$")]
Loss = Annotated[_Kind, BeforeValidator(of_word, json_schema_input_type=_Word | _Kind)]
