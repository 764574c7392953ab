"""Metadata of products: versions, device, and a digest of settings."""

import hashlib
import importlib.metadata
import json
import platform
from typing import Any

from ntkpipe import __version__

PACKAGE = "ntkpipe"


def versions() -> dict[str, str]:
    """Versions of Python and of the packages on which results depend."""
    packages = ("jax", "jaxlib", "numpy", "scipy", "optax", "pandas")
    return {"python": platform.python_version()} | {
        **{name: importlib.metadata.version(name) for name in packages},
        PACKAGE: __version__,  # also defined in a checkout that is not installed
    }


def join_unique(*values: str) -> str:
    """Distinct values of several comma-separated lists, sorted: `0.10.2, 0.12`."""
    each = {one for value in values for one in value.split(", ") if one}
    return ", ".join(sorted(each))


def digest(settings: Any) -> str:
    """A short hash of settings that are JSON values."""
    text = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def device() -> str:
    """The name of the device that JAX computes on."""
    import jax

    first = jax.devices()[0]
    if first.platform == "cpu":
        return "cpu"
    return f"{first.platform}: {first.device_kind}"
