"""Users' networks: training, kernels, faults with the user's line, fingerprints."""

import importlib
import json
import re
import shutil
import textwrap
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import yaml
from helpers import run_study
from test_workflow import edit, snakemake

from ntkpipe import artifacts, cli, fingerprint, study
from ntkpipe.data.base import Data
from ntkpipe.kernels.empirical import ntk
from ntkpipe.models import built
from ntkpipe.models.mlp import MLP
from ntkpipe.models.python import Python
from ntkpipe.selection import select
from ntkpipe.stages import STAGES, Place, replicate
from ntkpipe.training import train
from ntkpipe.training.protocol import Training
from ntkpipe.training.recorders.landscape import Landscape
from ntkpipe.users import run

KEY = jax.random.key(0)
KEYS = [jax.random.key(1), jax.random.key(2)]
X = np.asarray(jax.random.normal(jax.random.key(3), (7, 4)))
DATA = Data(X[:5], np.sin(2 * X[:5, :1]), X[5:], np.zeros((2, 1)))
NEEDS = "needs the extra: EXTRAS=networks ./run test"
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


def test_each_network_may_have_data_of_its_own(write):
    model, training = write(), Training(learning_rate=0.1, steps=3, record=3)
    twice = Data(*(np.stack([a, -a]) for a in DATA))
    found = train(model, training, twice, 6, KEY, 2)
    assert np.allclose(
        found["f_train"][0], train(model, training, DATA, 6, KEY, 1)["f_train"]
    )
    # f(−x) = −f(x) at the same weights, so that y → −y trains the same weights
    again = train(model, training, DATA, 6, KEY, 2)
    assert np.allclose(found["f_train"][1], -again["f_train"][1])


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
    with pytest.raises(run.UsersError, match="2×2×1 is 4 numbers, but the points "):
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
    with pytest.raises(run.UsersError) as error:
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
    with pytest.raises(run.UsersError, match=r"the kernel of blocks\.0 differs"):
        build(write())


# --- faults of a study file, without running the user's file --------------------------

STUDY = """\
title: A network of my own
question: Does its kernel stand still?
dataset: {kind: sphere, points: 5, dimension: 4, target: {kind: teacher}}
model: {kind: python, file: net.py}
training: {learning_rate: 0.1, steps: 3, record: 3}
widths: [4, 6]
seeds: 2
"""
RUNS_NEVER = PLAIN + "\nraise SystemExit('the file was run')\n"


def load(folder, text=RUNS_NEVER, change=(), /, **keys):
    """The study in a folder with the network `text`, some of its keys changed."""
    values = yaml.safe_load(STUDY)
    values |= dict(change)
    values["model"] |= keys
    (folder / "net.py").write_text(text)
    (folder / "mine.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    return study.load(folder / "mine.yaml")


def test_a_study_file_is_read_without_running_the_network(tmp_path, capsys):
    one = load(tmp_path, settings={"depth": 2, "gain": 0.5})
    model = one.variants["base"].model
    assert model.code_file == tmp_path / "net.py" and hash(model)
    assert cli.main(["validate", str(tmp_path / "mine.yaml")]) == 0
    assert "jobs will run net.py with your rights" in capsys.readouterr().out


STATIC = {
    "no file": ({"file": "nets.py"}, {}, "; did you mean net.py?"),
    "no function": (
        {"function": "buildd"},
        {},
        "net.py has no function buildd; did you mean build?",
    ),
    "above": ({"file": "a/../../net.py"}, {}, "must lie in the folder of the study"),
    "absolute": ({"file": "/net.py"}, {}, "String should match pattern"),
    "unknown setting": (
        {"settings": {"dept": 2}},
        {},
        "net.py, line 4: build has no argument dept; did you mean depth?",
    ),
    "folder is no key": ({"folder": "elsewhere"}, {}, "folder: unknown key"),
    "limit": ({}, {"limit": "steps"}, "not known for model.kind: python"),
    "curvature": (
        {},
        {"training": {"learning_rate": 0.1, "steps": 3, "curvature": True}},
        "needs model.kind: mlp: the Hessian",
    ),
    "units": (
        {},
        {"training": {"learning_rate": 0.1, "steps": 3, "unit_changes": True}},
        "needs model.kind: mlp: other kinds have no numbered hidden layers",
    ),
    "matrix": (
        {},
        {"training": {"learning_rate": 0.1, "steps": 3, "keep_matrix": {}}},
        "needs model.kind: mlp: other kinds have no numbered weight",
    ),
    "moments": (
        {},
        {"training": {"learning_rate": 0.1, "steps": 3, "ensemble": {"networks": 9}}},
        "needs model.kind: mlp: its moments are those of layers",
    ),
    "a metric of layers": (
        {},
        {
            "claims": [
                {"id": "a", "kind": "power_law", "says": "x", "source": "y"}
                | {"metric": "nngp_change", "predicted": -1, "tolerance": 0.5}
            ]
        },
        "not recorded: nngp_change: needs a model with hidden layers",
    ),
}


@pytest.mark.parametrize(("keys", "change", "says"), STATIC.values(), ids=STATIC)
def test_what_a_study_of_a_network_can_not_have_is_told(tmp_path, keys, change, says):
    with pytest.raises(study.StudyError, match=re.escape(says)):
        load(tmp_path, RUNS_NEVER, change, **keys)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def build(width, key, x)\n    pass", "net.py, line 1: expected ':'"),
        ("def build(width, key): pass", "must take (width, key, x, …)"),
        ("x = 1\ndef build(width, key, x, depth): pass", "line 2: build needs the "),
        ("def build(width, key, x, *, depth): pass", "build needs the argument depth"),
        ("import json", "net.py has no function build"),
        ("import wrong\n" + PLAIN, "wrong.py, line 2: "),
        ("x = '\0'", "source code string cannot contain null bytes"),
    ],
)
def test_a_file_without_the_function_is_told(tmp_path, text, says):
    (tmp_path / "wrong.py").write_text("x = 1\n1 +\n")
    with pytest.raises(study.StudyError, match=re.escape(says)):
        load(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        "def build(width, key, x, depth=1): pass",
        "def build(width, key, x, depth): pass",
        "def build(width, key, x, *, depth): pass",
        "def build(width, key, x, **settings): pass",
        "def build(*arguments, depth): pass",
        "from elsewhere import build",
        "build = lambda width, key, x, depth: None",
        "if True:\n    def build(width, key, x, depth=1): pass",
        "@decorated\ndef build(**anything): pass",
    ],
)
def test_every_way_to_have_the_function_is_seen(tmp_path, text):
    load(tmp_path, text, settings={"depth": 2})


def test_metrics_of_single_parameters_have_their_paths(tmp_path):
    claim = {"id": "a", "kind": "power_law", "says": "x", "source": "y"}
    claim |= {"predicted": -1, "tolerance": 0.5, "metric": "weight_change/blocks.0"}
    claim["set"] = "before"
    load(tmp_path, RUNS_NEVER, {"claims": [claim]})


# --- packages that are not installed --------------------------------------------------


def test_a_study_that_needs_a_package_is_left_out_of_its_group_and_refused_by_name(
    tmp_path, caplog, monkeypatch
):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n, *a: None if n == "flax" else find(n, *a)
    )
    load(tmp_path)
    (tmp_path / "linen.py").write_text("from flax import linen\n" + PLAIN)
    text = STUDY.replace("net.py", "linen.py")
    (tmp_path / "flaxen.yaml").write_text(text)
    assert [*select(tmp_path, "all")] == ["mine"]
    says = "flaxen: model.file: linen.py needs flax, which is not installed: "
    says += "EXTRAS=networks ./run"
    assert says in caplog.text
    for words in ("flaxen", ["mine", "flaxen"]):
        with pytest.raises(study.StudyError, match=re.escape(says)):
            select(tmp_path, words)
    assert not [*study.load(tmp_path / "mine.yaml").lacking()]


# --- fingerprint ----------------------------------------------------------------------

HELPERS = {
    "layers.py": "def residual(h):\n    return h\n",
    "parts/__init__.py": "from . import norm\n",
    "parts/norm.py": "def norm(h):\n    return h\n",
}
IMPORTING = "import layers\nfrom parts.norm import norm\n" + PLAIN


def code(model):
    """The fingerprint of training a network."""
    return fingerprint.fingerprint("ntkpipe.stages.train", (model,))


@pytest.mark.parametrize(
    ("file", "old", "new", "seen"),
    [
        ("net.py", "jnp.tanh", "jnp.sin", True),
        ("net.py", "import jax\n", "import jax  # arrays\n", False),
        ("net.py", "import layers", '"""My network."""\nimport layers', False),
        ("net.py", "width, key, x, depth", "width: int, key, x, depth", False),
        ("layers.py", "return h", "return 2 * h", True),
        ("layers.py", "    return", "    '''Residual.'''\n    return", False),
        ("parts/norm.py", "return h", "return -h", True),
        ("parts/__init__.py", "import norm", "import norm as n", True),
    ],
)
def test_edits_of_code_train_again_and_edits_of_words_do_not(
    write, tmp_path, file, old, new, seen
):
    files = HELPERS | {"unused.py": "x = 1\n"}
    before = code(write(IMPORTING, files))
    text = (tmp_path / file).read_text()
    assert old in text
    (tmp_path / file).write_text(text.replace(old, new, 1))
    model = write((tmp_path / "net.py").read_text(), {})
    assert (code(model) != before) == seen
    (tmp_path / "unused.py").write_text("x = 2\n")
    assert (code(model) != before) == seen
    assert code(MLP()) == code(MLP())


def test_the_place_of_a_study_is_no_setting(tmp_path):
    places = [tmp_path / "a", tmp_path / "b"]
    for place in places:
        place.mkdir()
    one, other = (load(place) for place in places)
    for name in ("train", "linearize"):
        ats = [Place(s, "base", 4) for s in (one, other)]
        assert STAGES[name].spec(ats[0]) == STAGES[name].spec(ats[1])
        assert STAGES[name].code(ats[0]) == STAGES[name].code(ats[1])
        assert json.dumps(STAGES[name].spec(ats[0]))


def test_modules_of_the_same_name_in_two_folders_are_not_mixed(tmp_path):
    text = PLAIN.replace("import jax\n", "import jax, layers\n").replace(
        "return h @", "return layers.gain * h @"
    )
    found = []
    for gain in (1.0, 2.0):
        place = tmp_path / str(gain)
        place.mkdir()
        (place / "net.py").write_text(text)
        (place / "layers.py").write_text(f"gain = {gain}\n")
        network = build(Python(kind="python", file="net.py", folder=str(place)))
        found.append(network.apply(network.first.params, X))
    assert np.allclose(2 * found[0], found[1])


def test_a_replicate_has_the_network_beside_its_study(tmp_path):
    for name, body in HELPERS.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(body)
    load(tmp_path, IMPORTING)
    again = replicate.write_study(tmp_path / "mine.yaml", tmp_path / "again", 1001)
    model = again.variants["base"].model
    assert model.code_file == tmp_path / "again" / "net.py"
    assert len(fingerprint.users_files(model.code_file)) == 4


# --- the examples, and the workflow ---------------------------------------------------

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda p: p.stem)
def test_the_examples_are_studies(path):
    one = study.load(path)
    kernels = [e for e in one.variants.values() if not e.has_networks]
    assert bool(one.programs()) is not bool(kernels)


def test_the_manual_quotes_the_example():
    manual = (ROOT / "docs" / "use" / "network.md").read_text(encoding="utf-8")
    text = (EXAMPLES / "residual.py").read_text(encoding="utf-8")
    assert f"```python\n{text}```" in manual


def test_the_example_in_plain_jax_runs_to_its_verdict(tmp_path):
    shutil.copy(EXAMPLES / "residual.py", tmp_path)
    values = yaml.safe_load((EXAMPLES / "residual.yaml").read_text())
    values |= {"widths": [4, 8], "seeds": 3}
    values["training"] |= {"steps": 5, "record": 4}
    (tmp_path / "residual.yaml").write_text(yaml.safe_dump(values))
    one = study.load(tmp_path / "residual.yaml")
    made = run_study(one, tmp_path)
    table = artifacts.load(made["measurements", "", 0]).data
    assert {"ntk_change", "linear_gap_test", "weight_change/blocks.2"} <= {
        *table["metric"]
    }
    claims = artifacts.load(made["claims", "", 0]).data
    assert [*claims["claim"]] == ["constancy"]
    # the kernel at the start is that of the function which the file has
    network = artifacts.load(made["network", "base", 8]).data
    x = artifacts.load(made["dataset", "base", 0]).data["x_train"]
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), 8), 1)
    own = run.imported(EXAMPLES / "residual.py").build(8, key, x[:1], depth=3)
    assert np.allclose(network["ntk"][1, 0], brute_force(*own, x), rtol=1e-11)


@pytest.mark.parametrize("name", ["linen", "nnx", "equinox"])
def test_the_examples_in_frameworks_have_the_kernel_of_their_jacobian(name, caplog):
    pytest.importorskip("equinox" if name == "equinox" else "flax", reason=NEEDS)
    model = Python(kind="python", file=f"residual_{name}.py", folder=str(EXAMPLES))
    network = build(model, width=8)
    params, rates = network.first.params, network.learning_rates({})
    assert len(params) == 12 and {*rates.values()} == {1 / 8}
    assert not caplog.text, "the parameters have the type of the study"
    theta = ntk(network.apply, params, X, rates=rates)
    wanted = brute_force(network.apply, params, X) / 8
    assert np.allclose(theta, wanted, rtol=1e-11)
    options = {"record": 3, "snapshots": 2}
    found = train(
        model, Training(learning_rate=0.1, steps=9, **options), DATA, 8, KEY, 2
    )
    assert (found["loss"][:, -1] < found["loss"][:, 0]).all()


@pytest.mark.parametrize("framework", ["nnx", "equinox"])
@pytest.mark.parametrize(
    ("network", "shape"), [("attention", (8, 8)), ("residual", (2,))]
)
def test_the_networks_of_the_architectures_are_those_in_plain_jax(
    network, shape, framework
):
    pytest.importorskip("equinox" if framework == "equinox" else "flax", reason=NEEDS)
    x = jax.random.normal(jax.random.key(3), (5, *shape))
    found = []
    for name in (network, f"{network}_{framework}"):
        build = run.imported(ROOT / "config" / "studies" / f"{name}.py").build
        promotes = jax.numpy_dtype_promotion("standard")
        with jax.numpy_rank_promotion("allow"), promotes:
            apply, params, *_ = build(16, jax.random.key(1), x[:1])
            found.append((apply(params, x), ntk(apply, params, x)))
    for plain, other in zip(*found, strict=True):
        assert np.allclose(plain, other, rtol=1e-12, atol=1e-13)


# the state of BatchNorm is of float32 whatever `dtype` is
@pytest.mark.filterwarnings("ignore:scatter inputs:FutureWarning")
def test_batch_norm_of_a_framework_is_refused_in_training_and_not_in_evaluation(write):
    pytest.importorskip("flax", reason=NEEDS)
    text = """
    import jax
    from flax import nnx
    def build(width, key, x, training):
        rngs = nnx.Rngs(key)
        types = {"param_dtype": x.dtype, "dtype": x.dtype, "rngs": rngs}
        norm = nnx.BatchNorm(width, use_running_average=not training, **types)
        first = nnx.Linear(x.shape[1], width, **types)
        net = nnx.Sequential(first, norm, nnx.relu, nnx.Linear(width, 1, **types))
        graph, params, rest = nnx.split(net, nnx.Param, ...)
        return lambda p, x: nnx.merge(graph, p, rest)(x), params
    """
    network = build(write(text, settings={"training": False}))
    assert len(network.first.params) == 6
    says = r"line 11: apply changes the state of a module: is batch norm in training"
    with pytest.raises(run.UsersError, match=says):
        build(write(text, settings={"training": True}))


@pytest.mark.workflow
def test_the_rules_see_edits_of_code_and_no_edits_of_words(tmp_path):
    folder = tmp_path / "config" / "studies"
    folder.mkdir(parents=True)
    (folder.parent / "config.yaml").write_text("studies: config/studies\nrun: [mine]\n")
    (folder / "layers.py").write_text(HELPERS["layers.py"])
    load(folder, "import layers\n" + PLAIN)
    target = "results/mine/base/width4/network.npz"

    def planned():
        jobs = snakemake(tmp_path, "--dry-run", target).partition("Job stats:")[2]
        return {*re.findall(r"^(dataset|train) +\d", jobs, re.M)}

    snakemake(tmp_path, target)
    edit(folder / "net.py", "import layers", '"""Mine."""\nimport layers  # helpers')
    edit(folder / "layers.py", "    return", '    """Residual."""\n    return')
    assert planned() == set()
    edit(folder / "layers.py", "return h", "return 2 * h")
    assert planned() == {"train"}
    edit(folder / "layers.py", "return 2 * h", "return h")
    edit(folder / "net.py", "jnp.tanh", "jnp.sin")
    assert planned() == {"train"}
    edit(folder / "net.py", "h = x @", "h = y @")
    said = snakemake(tmp_path, target, fails=1)
    assert "train" in said
    log = (tmp_path / "logs/mine/base/width4/train.log").read_text()
    assert "config/studies/net.py, line 14: apply raises NameError" in log
    assert "Traceback" not in log
