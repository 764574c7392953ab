"""Training of networks, and what is recorded during training.

train(model, Training(learning_rate=0.1, steps=100), data, width, key, seeds)
"""

from typing import Any

from ntkpipe.training.protocol import Training

__all__ = ["Training", "train"]


def __getattr__(name: str) -> Any:
    """`train`, imported when first used: reading a study file must not import JAX."""
    if name == "train":
        from ntkpipe.training.loop import train

        return train
    raise AttributeError(name)
