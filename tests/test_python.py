"""Users' networks: training, kernels, faults with the user's line, fingerprints."""

import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkpipe.data.base import Data
from ntkpipe.kernels.empirical import ntk
from ntkpipe.models import built
from ntkpipe.models.mlp import MLP
from ntkpipe.models.python import Python
from ntkpipe.training import train
from ntkpipe.training.protocol import Training
from ntkpipe.training.recorders.landscape import Landscape

KEY = jax.random.key(0)
KEYS = [jax.random.key(1), jax.random.key(2)]
X = np.asarray(jax.random.normal(jax.random.key(3), (7, 4)))
DATA = Data(X[:5], np.sin(2 * X[:5, :1]), X[5:], np.zeros((2, 1)))
# the first line of each source is line 1
PLAIN = """\
import jax
import jax.numpy as jnp

def build(width, key, x, depth=1, gain=1.0):
    keys = jax.random.split(key, depth + 2)
    params = {
        "first": jax.random.normal(keys[0], (x.shape[1], width)),
        "blocks": [jax.random.normal(k, (width, width)) for k in keys[2:]],
        "last": jax.random.normal(keys[1], (width, 1)),
    }
    def apply(params, x):
        h = x @ params["first"]
        for w in params["blocks"]:
            h = h + gain * jnp.tanh(h @ w) / width**0.5
        return h @ params["last"] / width**0.5
    return apply, params
"""


@pytest.fixture
def write(tmp_path):
    """Write files into a folder; a model of the first of them."""

    def write(text=PLAIN, helpers=(), **keys):
        for name, body in {"net.py": text, **dict(helpers)}.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(textwrap.dedent(body))
        return Python(kind="python", file="net.py", folder=str(tmp_path), **keys)

    return write


def build(model, width=6, outputs=1, x=X):
    return model.built(width, x, outputs, KEYS)


def brute_force(apply, params, x):
    """Θ from whole Jacobians, (n k m k)."""
    jacobian = jax.jacrev(apply)(params, x)
    flat = [a.reshape(*a.shape[:2], -1) for a in jax.tree.leaves(jacobian)]
    return sum(jnp.einsum("nkp,mlp->nkml", a, a) for a in flat)


# --- training and kernels -------------------------------------------------------------


@pytest.mark.parametrize("zero_output", ["none", "subtract"])
def test_a_users_network_trains_as_the_same_network_that_is_built_in(
    write, zero_output, monkeypatch
):
    own = write(
        """
        import jax.numpy as jnp
        from ntkpipe.models.mlp import MLP
        def build(width, key, x, alpha=1.0):
            mlp = MLP(depth=2, activation="tanh", parameterization="mup", b_std=0.3)
            params = mlp.init_params(key, width, x.shape[1], 1)
            return mlp.apply, params, mlp.learning_rates(params)
        """,
        zero_output=zero_output,
        alpha=3.0,
    )
    same = MLP(
        depth=2,
        activation="tanh",
        parameterization="mup",
        b_std=0.3,
        alpha=3.0,
        zero_output=zero_output,
    )
    options = {"record": 5, "snapshots": 2, "test_kernel": True}
    options |= {"linear_weights": True, "landscape": Landscape(points=3)}
    options |= {"stop_at_loss": 1e-9}
    training = Training(learning_rate=0.3, steps=20, **options)
    found = train(own, training, DATA, 8, KEY, 3)
    wanted = train(same, training, DATA, 8, KEY, 3)
    assert found.keys() == wanted.keys() - {"nngp", "feature_change"}
    for name in found.keys() - {"layer", "weight_norm", "weight_change"}:
        assert np.allclose(found[name], wanted[name], rtol=1e-11, atol=1e-12), name
    assert list(found["layer"]) == [
        "0.0.b",
        "0.0.w",
        "0.1.b",
        "0.1.w",
        "0.2.b",
        "0.2.w",
    ]
    order = [
        list(wanted["layer"]).index(n) for n in ("b1", "W1", "b2", "W2", "b3", "W3")
    ]
    change = wanted["weight_change"][..., order]
    assert np.allclose(found["weight_change"], change, rtol=1e-11)


def test_networks_that_train_one_after_the_other_are_those_that_train_together(
    write, monkeypatch
):
    model, training = write(), Training(learning_rate=0.1, steps=5, record=3)
    together = train(model, training, DATA, 6, KEY, 2)
    monkeypatch.setattr("ntkpipe.training.loop.SIDE_BY_SIDE", 0)
    alone = train(model, training, DATA, 6, KEY, 2)
    for name in ("f_train", "ntk", "weight_norm"):
        assert np.allclose(together[name], alone[name], rtol=1e-12), name
    assert not np.allclose(together["f_train"][0], together["f_train"][1])


def test_images_keep_their_shape(write):
    model = write(
        """
        import jax
        def build(width, key, x, channels):
            assert x.shape == (1, 2, 2, 1) and width == 6
            w = jax.random.normal(key, (2, 2, 1, channels))
            def apply(w, x):
                y = jax.lax.conv(x.transpose(0, 3, 1, 2), w.transpose(3, 2, 0, 1),
                                 (1, 1), "VALID")
                return jax.numpy.tanh(y).sum((2, 3))
            return apply, w
        """,
        input_shape=(2, 2, 1),
        settings={"channels": 3},
    )
    network = build(model, outputs=3)
    params = network.first.params
    assert list(params) == ["params"]
    theta = ntk(network.apply, params, X)
    assert np.allclose(theta, brute_force(network.apply, params, X), rtol=1e-12)
    with pytest.raises(built.NetworkError, match="2×2×1 is 4 numbers, but the points "):
        model.built(6, X[:, :3], 3, KEYS)


def test_parameters_of_another_type_are_cast_and_told(write, caplog):
    text = PLAIN.replace("(x.shape[1], width))", '(x.shape[1], width), "float32")')
    network = build(write(text))
    assert {a.dtype.name for a in network.first.params.values()} == {"float64"}
    assert "1 of 3 parameters are not float64 (first is float32)" in caplog.text


# --- faults of what the file does, one a network --------------------------------------

FAULTY = {
    "raises in build": (
        """
        def build(width, key, x):
            return 1 / (width - 6)
        """,
        "line 3: build raises ZeroDivisionError: division by zero",
    ),
    "raises at import": (
        "import math\nmath.sqrt(-1)\ndef build(width, key, x): pass",
        "line 2: build raises ValueError: math domain error",
    ),
    "raises in a helper": (
        """
        from helper import split
        def build(width, key, x):
            return split(key)
        """,
        "helper.py, line 2: build raises TypeError",
    ),
    "a package is not there": (
        "def build(width, key, x):\n    import flux_of_mine",
        "line 2: needs flux_of_mine, which is not installed",
    ),
    "returns no pair": (
        "def build(width, key, x):\n    return lambda p, x: x",
        "line 1: build must return (apply, params[, rates]), not function",
    ),
    "returns the wrong way round": (
        "def build(width, key, x):\n    return {}, lambda p, x: x",
        "line 1: build must return (apply, params[, rates]), not (dict, function)",
    ),
    "no parameters": (
        "def build(width, key, x):\n    return lambda p, x: x, {}",
        "line 1: build returns no parameters",
    ),
    "integers among the parameters": (
        PLAIN.replace(
            "    def apply", '    params["step"] = jnp.arange(3)\n    def apply'
        ),
        "line 4: the parameter step is int64, not an array of floats",
    ),
    "another library's arrays": (
        PLAIN.replace("    def apply", '    params["name"] = "mine"\n    def apply'),
        "line 4: the parameter name is str, not an array of floats",
    ),
    "rates of another tree": (
        PLAIN.replace("return apply, params", "return apply, params, {'first': 1.0}"),
        "line 4: build returns rates that are no tree of numbers like params",
    ),
    "raises in apply": (
        PLAIN.replace('h = x @ params["first"]', 'h = params["frist"]'),
        "line 12: apply raises KeyError: 'frist'",
    ),
    "no axis of outputs": (
        PLAIN.replace('h @ params["last"]', 'h @ params["last"][:, 0]'),
        "line 11: apply returns (1,) for points (1, 4), not (n, k): add [:, None]",
    ),
    "points are squeezed": (
        PLAIN.replace("return h @", "return jnp.squeeze(h) @"),
        "line 11: apply returns (1,) for points (1, 4), not (n, k): add [:, None]",
    ),
    "too many outputs": (
        PLAIN.replace("(width, 1))", "(width, 2))"),
        "line 11: apply returns 2 outputs, but the targets have 1",
    ),
    "points are summed": (
        PLAIN.replace("h @ params", "h.sum(0, keepdims=True) @ params"),
        "line 11: apply returns (1, 1) for points (3, 4), not (3, 1)",
    ),
    "a pair of outputs": (
        PLAIN.replace('return h @ params["last"]', 'return h, h @ params["last"]'),
        "line 11: apply returns tuple for points (1, 4), not one array (n, k)",
    ),
    "integers as outputs": (
        PLAIN.replace("return h @", "return jnp.ones_like(h, int) @").replace(
            ' @ params["last"] / width**0.5', "[:, :1]"
        ),
        "apply returns int64, not floats",
    ),
    "a value in Python": (
        PLAIN.replace("h = x @", "if x.sum() > 0: x = -x\n        h = x @"),
        "line 12: apply uses the value of an array that JAX traces",
    ),
    "NumPy": (
        "import numpy\n" + PLAIN.replace("jnp.tanh(h @ w)", "numpy.tanh(h @ w)"),
        "line 15: apply uses the value of an array that JAX traces",
    ),
    "NaN": (
        PLAIN.replace("return h @", "return jnp.log(-h**2) @"),
        "line 11: apply returns NaN or infinity at initialisation",
    ),
    "batch norm": (
        PLAIN.replace("return h @", "return (h - h.mean(0)) @"),
        "line 11: the network's output at a point depends on the other points",
    ),
    "dropout": (
        PLAIN.replace(
            "return h @", "return h * jax.random.bernoulli(key, 0.5, h.shape) @"
        ),
        "line 11: the network's output at a point depends on the other points",
    ),
    "random numbers in apply": (
        "import random\n" + PLAIN.replace("return h @", "return random.random() * h @"),
        "line 12: the network gives different outputs for the same points",
    ),
    "random numbers in build": (
        "import random\n"
        + PLAIN.replace("(keys[0],", "(keys[0],").replace(
            "split(key, ", "split(jax.random.key(random.randrange(9**9)), "
        ),
        "line 5: build returns other parameters for the same key",
    ),
    "a key of its own": (
        PLAIN.replace("split(key, ", "split(jax.random.key(0), "),
        "line 4: build returns the same parameters for two keys",
    ),
    "weights outside of params": (
        PLAIN.replace("return h @", "return jnp.tanh(h @ hidden) @").replace(
            "    def apply", "    hidden = params['blocks'].pop()\n    def apply"
        ),
        "line 12: build keeps weights out of params",
    ),
    "another tree": (
        PLAIN.replace(
            "split(key, depth + 2)", "split(key, 2 + key_data(key)[1].item())"
        ).replace("import jax\n", "import jax\nfrom jax.random import key_data\n"),
        "line 5: build returns another tree of parameters at another key",
    ),
    "a loop without gradient": (
        PLAIN.replace(
            "return h @",
            "h = jax.lax.while_loop(lambda h: h.max() > 1, lambda h: h / 2, h)\n"
            "        return h @",
        ),
        "line 11: apply has a loop without a gradient in reverse mode",
    ),
    "no gradient at all": (
        PLAIN.replace("return h @", "return jax.lax.stop_gradient(h) @").replace(
            'params["last"]', 'jax.lax.stop_gradient(params["last"])'
        ),
        "line 11: no output depends on the parameters",
    ),
    "an infinite gradient": (
        PLAIN.replace("return h @", "return jnp.sqrt(h - h) @"),
        "line 11: the gradient of apply is NaN or infinite",
    ),
}


@pytest.mark.parametrize(("text", "says"), FAULTY.values(), ids=FAULTY)
def test_a_fault_of_the_network_is_one_sentence_with_the_users_line(write, text, says):
    helper = "def split(key):\n    return key + 'a'\n"
    model = write(text, {"helper.py": helper})
    with pytest.raises(built.NetworkError) as error:
        build(model)
    sentence = str(error.value)
    assert says in sentence and "\n" not in sentence
    assert "net.py, line " in sentence or "helper.py, line " in sentence


def test_all_kinds_of_user_code_pass(write):
    """Rules of one's own for derivatives, state outside, random numbers by the key."""
    text = """
    import functools, jax, jax.numpy as jnp
    @jax.custom_vjp
    def halved(x): return jnp.tanh(x)
    def forward(x): return jnp.tanh(x), x
    def backward(x, g): return (g / jnp.cosh(x)**2,)
    halved.defvjp(forward, backward)
    def build(width, key, x):
        params = jax.random.normal(key, (x.shape[1], width))
        return lambda p, x: halved(x @ p).sum(1, keepdims=True), params
    """
    network = build(write(text))
    wanted = brute_force(network.apply, network.first.params, X)
    found = ntk(network.apply, network.first.params, X)
    assert np.allclose(found, wanted, rtol=1e-12)


def test_a_wrong_kernel_is_refused_with_the_name_of_the_parameter(write, monkeypatch):
    right = built.blocks.block

    def wrong(first, second, *options):
        name = "['blocks.0']"
        first = {**first, name: first[name]._replace(scale=1.01 * first[name].scale)}
        return right(first, second, *options)

    monkeypatch.setattr(built.blocks, "block", wrong)
    with pytest.raises(built.NetworkError, match=r"the kernel of blocks\.0 differs"):
        build(write())
