"""Free memory, and arrays distributed over several devices."""

from collections.abc import Callable
from functools import partial

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ntkpipe.lazy import Lazy

psutil = Lazy("psutil")


def free_memory() -> float:
    """Free bytes of the accelerator or, without an accelerator, of the machine."""
    stats = jax.local_devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    return psutil.virtual_memory().available


def placements(devices: tuple[jax.Device, ...]) -> tuple[Callable, Callable]:
    """Functions (replicate, split): copy to every device, or split the first axis."""
    if len(devices) == 1:
        return (partial(jax.device_put, device=devices[0]),) * 2
    mesh = Mesh(np.array(devices), ("points",))
    everywhere = NamedSharding(mesh, PartitionSpec())
    shared = NamedSharding(mesh, PartitionSpec("points"))
    return (
        partial(jax.device_put, device=everywhere),
        partial(jax.device_put, device=shared),
    )


def shared_over_devices(tree):
    """Distribute the first axis (seeds, or points) of arrays over all local devices.

    Vectorised and compiled functions of these arrays then run on all devices. If the
    number of devices does not divide the first axis, the arrays stay on one device.
    """
    devices = tuple(jax.local_devices())
    if any(len(leaf) % len(devices) for leaf in jax.tree.leaves(tree)):
        return tree
    return placements(devices)[1](tree)
