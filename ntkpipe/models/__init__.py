"""The networks that a study can train, one kind in each file."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Tag

from ntkpipe.models.conv import Conv
from ntkpipe.models.kernel import Kernel
from ntkpipe.models.mlp import MLP
from ntkpipe.models.one_parameter import OneParameter
from ntkpipe.models.python import Python
from ntkpipe.models.resnet import ResNet
from ntkpipe.models.transformer import Transformer


def _kind(model: Any) -> str:
    """The kind of a model; `mlp` by default."""
    if isinstance(model, dict):
        return model.get("kind", "mlp")
    return getattr(model, "kind", "mlp")


Model = Annotated[
    Annotated[MLP, Tag("mlp")]
    | Annotated[OneParameter, Tag("one_parameter")]
    | Annotated[Python, Tag("python")]
    | Annotated[Conv, Tag("conv")]
    | Annotated[ResNet, Tag("resnet")]
    | Annotated[Transformer, Tag("transformer")]
    | Annotated[Kernel, Tag("kernel")],
    Discriminator(_kind),
]
