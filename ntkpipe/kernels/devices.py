"""Free memory, and arrays that several devices share."""

from collections.abc import Callable
from functools import partial

import jax
import numpy as np
import psutil
from jax.sharding import Mesh, NamedSharding, PartitionSpec


def free_memory() -> float:
    """Bytes free for arrays: of the accelerator, or of the machine."""
    stats = jax.local_devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    return psutil.virtual_memory().available


def placements(devices: tuple[jax.Device, ...]) -> tuple[Callable, Callable]:
    """Two ways to place arrays: a copy on every device, and the first axis shared."""
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
    """A tree of arrays (s …) with seeds s, or points, shared by all local devices.

    jax.vmap-ed and jitted functions of it run on all of them. Trees whose first axis
    the number of devices does not divide stay on one device.
    """
    devices = tuple(jax.local_devices())
    if any(len(leaf) % len(devices) for leaf in jax.tree.leaves(tree)):
        return tree
    return placements(devices)[1](tree)
