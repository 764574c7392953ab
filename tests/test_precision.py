"""Matrix products have full precision on every device; compilations can be cached."""

import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from ntkpipe.kernels import curvature, products, signals, tiles
from ntkpipe.models.mlp import MLP
from ntkpipe.training.loop import Points, Run
from ntkpipe.training.protocol import Training

MODEL, SHALLOW = MLP(depth=2, b_std=0.1), MLP(depth=1, b_std=0.1)
X = jnp.ones((4, 3), jnp.float32)
PARAMS = MODEL.init_params(jax.random.key(0), 8, 3, 2, jnp.float32)


def precisions(lowered) -> list[str]:
    """The requested precision of each matrix product of two inexact factors."""
    lines = [line for line in lowered.as_text().splitlines() if "dot_general" in line]
    return [re.search(r"precision = \[(\w+), (\w+)\]", line)[0] for line in lines]


def test_kernels_ask_for_full_precision_by_themselves():
    found = signals.signals(MODEL.apply, PARAMS, X)[1]
    for outputs in ("full", "trace"):
        asked = precisions(tiles.jitted_block.lower(found, found, outputs, "sum"))
        assert len(asked) == 6
        assert set(asked) == {"precision = [HIGHEST, HIGHEST]"}


def test_signals_and_products_ask_for_full_precision_by_themselves():
    v, rates = jnp.ones((4, 2), jnp.float32), signals.learning_rates(PARAMS)
    for lowered in (
        tiles.jitted_signals.lower(MODEL.apply, PARAMS, X),
        products.pull.lower(MODEL.apply, PARAMS, X, v),
        products.push.lower(MODEL.apply, PARAMS, X, PARAMS, rates),
        curvature.of_points.lower(MODEL.apply, PARAMS, X, jax.random.key(0), 3, rates),
        curvature.of_model.lower(SHALLOW, (PARAMS[0][::2],), X),
    ):
        found = precisions(lowered)
        assert len(found) >= 2
        assert set(found) == {"precision = [HIGHEST, HIGHEST]"}


@pytest.mark.parametrize("seeds", [0, 3])
def test_training_is_at_full_precision_as_the_command_line_has_it(seeds):
    points = Points(X, X[:, :2], X)
    with jax.default_matmul_precision("highest"):
        run = Run(MODEL, Training(learning_rate=0.1, steps=3), 8)
        compiled = run.compiled(jax.random.key(0), seeds or 1, 100, bool(seeds))
        compiled = compiled.on(points)
        state, start = compiled.begin(jnp.arange(seeds) if seeds else 0)
        advance, observe = compiled.advance, compiled.observe
        lowered = [
            advance.func.lower(*advance.args, state, start.f0, 3),
            observe.func.lower(*observe.args, state.params, start, 0),
        ]
    for one in lowered:
        found = precisions(one)
        assert len(found) >= 3
        assert set(found) == {"precision = [HIGHEST, HIGHEST]"}


COMPILE = """
from ntkpipe.runtime import configure_jax
configure_jax()
import jax
jax.jit(lambda x: x + 1)(1.0)
assert jax.config.jax_default_matmul_precision == "highest"
"""


@pytest.mark.parametrize("name", ["NTKPIPE_CACHE", "JAX_COMPILATION_CACHE_DIR", None])
def test_compilations_are_kept_where_the_environment_says(name, tmp_path):
    environment = {k: v for k, v in os.environ.items() if "CACHE" not in k}
    if name:
        environment[name] = str(tmp_path / "cache")
    root = str(Path(__file__).parents[1])
    subprocess.run(
        [sys.executable, "-c", COMPILE],
        env=environment | {"PYTHONPATH": root},
        cwd=tmp_path,
        check=True,
    )
    kept = [path.parent.name for path in tmp_path.rglob("*-cache")]
    if name:
        assert kept
        assert all(folder == f"jaxlib-{jax.lib.__version__}" for folder in kept)
    else:
        assert not list(tmp_path.iterdir())
