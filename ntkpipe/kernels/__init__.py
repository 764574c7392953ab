"""The library of kernels of networks: functions from arrays to arrays.

    from ntkpipe.kernels import ntk, infinite_kernels, linearize, predict

No module of the library reads a study file. A name is imported when it is first used,
so that a job imports only the modules that it needs.
"""

import importlib
from typing import Any

_MODULE_OF = {
    # the empirical kernel Θ
    "ntk": "empirical",
    "ntk_vector_product": "empirical",
    "kernel_tiles": "tiles",
    "plan": "tiles",
    # kernels larger than memory
    "save": "large",
    "reduce": "large",
    "compare_kernels": "large",
    # products without the kernel
    "extreme_eigenvalues": "products",
    # the infinitely wide network
    "infinite_kernels": "infinite",
    "convolutional_kernels": "convolutional",
    "trained_ensemble": "ensemble",
    # the linearised model
    "linearize": "linear",
    "predict": "linear",
    "max_learning_rate": "linear",
    # the change of a kernel
    "relative_change": "compare",
    "cosine_distance": "compare",
    "alignment": "compare",
    # second derivatives
    "hessian_norm": "curvature",
}
_NAME_IN_MODULE = {
    "kernel_tiles": "tiles",
    "compare_kernels": "compare",
    "infinite_kernels": "kernels",
    "convolutional_kernels": "kernels",
    "trained_ensemble": "ensemble",
    "hessian_norm": "curvature",
}
__all__ = list(_MODULE_OF)


def __getattr__(name: str) -> Any:
    """The function of this name, from its module."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_MODULE_OF[name]}")
    return getattr(module, _NAME_IN_MODULE.get(name, name))
