"""What is said of each parameter, and networks whose points are not independent."""

import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import networks
import pytest

from ntkpipe.kernels.explain import explain, refuse_dependence
from ntkpipe.stages.explain import explain as command

KEY = jax.random.key(0)
ROOT = Path(__file__).parents[1]
PARAMS = {"w": networks.draw(0, 5, 8), "r": jnp.ones((8, 2))}
X = networks.draw(1, 6, 5)


@pytest.fixture(autouse=True)
def as_users_have_it():
    """Arrays of different ranks and types meet in users' networks."""
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


def lines(name, **options):
    return list(map(str, explain(*networks.CASES[name](), **options)))


def test_each_parameter_has_a_line():
    assert lines("convolutions") == [
        "['bias'] (8): Jacobian: it is read by add",
        "['dilated'] (3×3×6×4): closed: a filter at 6 positions, its gradients of 216 "
        "numbers from h and δ are cheapest",
        "['first'] (3×3×2×8): closed: a filter at 144 positions, its gradients of 144 "
        "numbers from h and δ are cheapest",
        "['groups'] (3×2×4×6): closed: a filter at 42 positions, 2 groups, its "
        "gradients of 144 numbers from h and δ are cheapest",
        "['last'] (4×3): closed: a product at one position, h·h' times δ·δ'",
        "['last_bias'] (3): closed: a bias, in the part of ['last']",
    ]
    assert lines("unused_and_integers_and_a_number")[:3] == [
        "['n'] (3): not: it is no array of floats",
        "['r'] (8×2): closed: a product at one position, h·h' times δ·δ'",
        "['t'] (a number): Jacobian: it is read by mul",
    ]


def test_the_reason_is_where_a_parameter_is_read():
    assert lines("tied_embedding")[0] == (
        "['e'] (11×8): Jacobian: it is read by layers that read its axes in different "
        "orders"
    )
    assert "read by custom_jvp_call" in lines("rule_of_its_own_for_derivatives")[2]
    assert "Jacobian" in lines("branches")[0]
    assert "7 positions" in lines("recurrent")[1]


def test_few_positions_of_wide_layers_are_summed_over_pairs():
    shape = jax.ShapeDtypeStruct((512, 512), float)

    def apply(p, x):
        return jnp.tanh(x @ p).mean(1) @ jnp.ones((512, 1))

    for positions, how in ((2, "pairs of positions"), (256, "from h and δ")):
        x = jax.ShapeDtypeStruct((64, positions, 512), float)
        assert how in explain(apply, shape, x)[0].why


def test_independent_points_pass():
    refuse_dependence(lambda p, x: jnp.tanh(x @ p["w"]) @ p["r"], PARAMS, X)


def test_batch_norm_and_dropout_are_refused():
    def batch_norm(p, x):
        h = x @ p["w"]
        return jnp.tanh((h - h.mean(0)) / jnp.sqrt(h.var(0) + 1e-5)) @ p["r"]

    def dropout(p, x):
        h = jnp.tanh(x @ p["w"])
        return h * jax.random.bernoulli(KEY, 0.5, h.shape) @ p["r"]

    for apply in (batch_norm, dropout):
        with pytest.raises(ValueError, match="depends on the other points"):
            refuse_dependence(apply, PARAMS, X)


def test_hidden_random_numbers_are_refused():
    calls = iter(range(100))

    def apply(p, x):
        h = jnp.tanh(x @ p["w"])
        key = jax.random.key(next(calls))
        return h * jax.random.bernoulli(key, 0.5, h.shape) @ p["r"]

    with pytest.raises(ValueError, match="different outputs for the same points"):
        refuse_dependence(apply, PARAMS, X)


def test_a_network_that_loses_its_points_is_refused():
    with pytest.raises(ValueError, match=r"must return \(n, k\)"):
        refuse_dependence(lambda p, x: (x @ p["w"]).sum(0)[None], PARAMS, X)


def test_the_command_says_it_of_each_variant_of_a_study(capsys):
    assert command([str(ROOT / "config/studies/width.yaml")], (1,), 16) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("width, variant")
    assert "closed: a product at one position, h·h' times δ·δ'" in lines[2]
    assert sum("Jacobian" in line for line in lines) == 0


BUILD = """
import jax, jax.numpy as jnp
def build(width, key, x):
    params = {"w": jax.random.normal(key, (x.shape[1], width)), "gain": jnp.ones(width)}
    return lambda p, x: jnp.tanh(x @ p["w"] * p["gain"]).sum(1)[:, None], params
def normed(width, key, x):
    apply, params = build(width, key, x)
    return lambda p, x: apply(p, x) - apply(p, x).mean(), params
def half(width, key, x):
    return build(width, key, x)[0]
"""


def test_the_command_says_it_of_a_function(tmp_path, capsys, monkeypatch):
    (tmp_path / "my_network.py").write_text(BUILD)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    assert command(["my_network:build"], (3,), 4) == 0
    assert capsys.readouterr().out.splitlines() == [
        "['gain'] (4): Jacobian: it is read by mul",
        "['w'] (3×4): closed: a product at one position, h·h' times δ·δ'",
    ]
    for name, why in (
        ("normed", "depends on the other points"),
        ("half", "must return (apply, params)"),
        ("none", "has no attribute 'none'"),
    ):
        with pytest.raises(ValueError, match=re.escape(why)):
            command([f"my_network:{name}"], (3,), 4)
