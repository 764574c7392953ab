"""Full-batch training: what it is, how it runs and what is recorded on the way.

train(model, Training(learning_rate=0.1, steps=100), data, width, key, seeds)
"""

from typing import Any

from ntkpipe.training.protocol import Training

__all__ = ["Training", "train"]


def __getattr__(name: str) -> Any:
    """`train`, imported when it is used: a reader of study files needs no JAX."""
    if name == "train":
        from ntkpipe.training.loop import train

        return train
    raise AttributeError(name)
