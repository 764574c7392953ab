"""What made a product: versions, device, and a digest of settings."""

import hashlib
import importlib.metadata
import json
import platform
from typing import Any

from ntkpipe import __version__

PACKAGE = "ntkpipe"


def versions() -> dict[str, str]:
    """Versions of what numbers depend on."""
    packages = ("jax", "jaxlib", "numpy", "scipy", "optax", "pandas")
    return {"python": platform.python_version()} | {
        **{name: importlib.metadata.version(name) for name in packages},
        PACKAGE: __version__,  # which a checkout that is not installed has, too
    }


def together(*values: str) -> str:
    """Versions, or devices, of several products: `0.10.2, 0.12`, each once."""
    each = {one for value in values for one in value.split(", ") if one}
    return ", ".join(sorted(each))


def digest(settings: Any) -> str:
    """A short hash of settings, which JSON can say."""
    text = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def device() -> str:
    """The device that JAX computes on, in words."""
    import jax

    first = jax.devices()[0]
    if first.platform == "cpu":
        return "cpu"
    return f"{first.platform}: {first.device_kind}"
