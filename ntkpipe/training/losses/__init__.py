"""The losses that a training minimises, one in each file."""

from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field

from ntkpipe.training.losses.base import BaseLoss
from ntkpipe.training.losses.cross_entropy import CrossEntropy
from ntkpipe.training.losses.huber import Huber
from ntkpipe.training.losses.logistic import Logistic
from ntkpipe.training.losses.squared import SQUARED, Squared

__all__ = ["SQUARED", "BaseLoss", "Loss"]

_Kind = Annotated[
    Squared | CrossEntropy | Logistic | Huber,
    Field(discriminator="kind"),
]
_KINDS = {kind.kind: kind for kind in get_args(get_args(_Kind)[0])}
_Name = Literal[tuple(_KINDS)]  # type: ignore[valid-type]  # computed


def _of_name(value: Any) -> Any:
    """`huber` is short for `{kind: huber}`."""
    if isinstance(value, str):
        return _KINDS[value]() if value in _KINDS else {"kind": value}
    return value


Loss = Annotated[_Kind, BeforeValidator(_of_name, json_schema_input_type=_Name | _Kind)]
