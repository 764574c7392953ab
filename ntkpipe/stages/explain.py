"""The command `explain`: how each parameter of a network enters its kernel."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntkpipe.lazy import Lazy
from ntkpipe.models.kernel import Kernel
from ntkpipe.models.python import Python
from ntkpipe.stages.dataset import key_of_data
from ntkpipe.study import Study, load_files

if TYPE_CHECKING:
    import jax

    from ntkpipe.experiment import Experiment
else:
    jax = Lazy("jax")


def explain(targets: list[str], shape: tuple[int, ...], width: int) -> int:
    """Print a line for each parameter of study files' networks, or of functions.

    A target is a study file, or `module:function` with
    `function(width, key, x) -> (apply, params)` for points x (1, *shape).

    Raises:
        ValueError: a function is not found, or what it returns is no network.
    """
    for target in targets:
        if target.endswith((".yaml", ".yml")):
            lines = _of_study(*load_files([target]))
        else:
            lines = _of_function(target, shape, width)
        for line in lines:
            print(line)
    return 0


def _of_study(study: Study) -> Iterator[Any]:
    """The lines of each variant at its smallest width; equal lines only once."""
    said: dict[tuple[str, ...], str] = {}
    for name, e in study.variants.items():
        lines = tuple(map(str, _of_experiment(e)))
        if first := said.get(lines):
            yield f"{study.name}, variant {name}: as {first}"
            continue
        said[lines] = name
        yield f"{study.name}, variant {name}, width {min(e.widths)}:"
        yield from (f"  {line}" for line in lines)


def _of_experiment(e: Experiment) -> Iterator[Any]:
    """The entries of an experiment's network; of built-in ones nothing is computed."""
    from ntkpipe.kernels.explain import explain

    width, model = min(e.widths), e.model
    n, _, d, k = e.dataset.sizes
    if isinstance(model, Python):
        yield from _of_built(e, model, width)
        return
    if isinstance(model, Kernel):
        yield f"kernels from {model.kernel_file(width)}; there is no network"
        return
    params = jax.eval_shape(
        lambda: model.init_params(jax.random.key(0), width, d, k, e.dtype)
    )
    points = jax.ShapeDtypeStruct((n, d), e.dtype)
    yield from explain(model.apply, params, points, e.training.kernel)


def _of_built(e: Experiment, model: Python, width: int) -> Iterator[Any]:
    """The entries of a user's network, which is built and checked at its own points."""
    from ntkpipe.kernels.explain import explain

    x = e.dataset.sample(key_of_data(e.seed)).x_train.astype(e.dtype)
    keys = [*jax.random.split(jax.random.key(e.seed))]
    network = model.built(width, x, e.dataset.sizes.outputs, keys)
    yield from explain(network.apply, network.first.params, x, e.training.kernel)


def _of_function(target: str, shape: tuple[int, ...], width: int) -> Iterator[Any]:
    """The entries of a user's network, whose points are first checked."""
    from ntkpipe.kernels.explain import explain, refuse_dependence

    module, _, name = target.partition(":")
    if not name:
        raise ValueError(f"{target}: a study file (.yaml), or module:function")
    sys.path.insert(0, str(Path.cwd()))
    try:
        build = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{target}: {error}") from error
    points = jax.random.normal(jax.random.key(1), (3, *shape))
    made = build(width, jax.random.key(0), points[:1])
    if not isinstance(made, tuple) or len(made) not in (2, 3) or not callable(made[0]):
        where = f"{inspect.getsourcefile(build)}: {name}"
        raise ValueError(
            f"{where} must return (apply, params) or (apply, params, rates)"
        )
    apply, params = made[:2]
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        refuse_dependence(apply, params, points)
        yield from explain(apply, params, points)
