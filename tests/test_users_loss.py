"""A loss of the user's own: `loss: {kind: python, …}`."""

import textwrap

import jax
import numpy as np
import pytest
from helpers import run_study

from ntkpipe import artifacts, fingerprint, study
from ntkpipe.data.base import Data
from ntkpipe.models.mlp import MLP
from ntkpipe.stages import STAGES, Place
from ntkpipe.training import function_space, loop
from ntkpipe.training.losses.huber import Huber
from ntkpipe.training.losses.python import PythonLoss
from ntkpipe.training.protocol import Training
from ntkpipe.users import run

HUBER = """
    import jax.numpy as jnp
    def loss(f, y, delta=1.0):
        size = jnp.abs(f - y)
        return jnp.where(size <= delta, size**2 / 2, delta * (size - delta / 2)).sum()
"""
KEY = jax.random.key(3)
RNG = np.random.default_rng(0)
DATA = Data(*(RNG.normal(size=s) for s in ((7, 2), (7, 2), (3, 2), (3, 2))))


@pytest.fixture
def write(tmp_path):
    """Write a file with a loss; the section that names it."""

    def write(text=HUBER, **keys):
        (tmp_path / "mine.py").write_text(textwrap.dedent(text))
        return PythonLoss(file="mine.py", folder=str(tmp_path), **keys)

    return write


def test_a_users_loss_has_the_value_and_slope_of_the_same_one_that_is_built_in(write):
    own, same = write(settings={"delta": 0.4}), Huber(delta=0.4)
    f = RNG.normal(size=(3, 5, 7, 2))
    weights = RNG.uniform(size=7)
    for options in ({}, {"alpha": 3.0}, {"weights": weights}):
        for what in ("value", "gradient"):
            found, wanted = (
                getattr(one, what)(f, DATA.y_train, **options) for one in (own, same)
            )
            assert found.shape == wanted.shape
            np.testing.assert_allclose(found, wanted, rtol=1e-12)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"optimizer": "momentum", "batch": 3, "weight_decay": 0.1},
        {"optimizer": "adam", "learning_rate": 0.01},
        {"stop_at_loss": 0.05, "learning_rate": 0.5},
    ],
)
def test_a_network_trains_with_a_users_loss(write, options):
    options = {"learning_rate": 0.2, "steps": 30, "record": 5} | options
    model = MLP(depth=1, activation="tanh", zero_output="subtract")
    pair = (
        loop.train(model, Training(loss=loss, **options), DATA, 8, KEY, 2)
        for loss in (write(settings={"delta": 0.4}), Huber(delta=0.4))
    )
    found, wanted = pair
    assert set(found) == set(wanted)
    for name in wanted:
        if wanted[name].dtype.kind == "f":
            np.testing.assert_allclose(found[name], wanted[name], 1e-10, 1e-12)
        else:
            assert np.array_equal(found[name], wanted[name])


@pytest.mark.parametrize("flow", [False, True])
def test_the_linearised_model_trains_with_a_users_loss(write, flow):
    a = RNG.normal(size=(14, 30))
    ntk, f0 = (a @ a.T / 30).reshape(7, 2, 7, 2), RNG.normal(size=(7, 2))
    steps = np.array([0, 1, 10, 40])
    found, wanted = (
        function_space.train(
            Training(loss=loss, learning_rate=0.3, steps=40),
            *(ntk, f0, DATA.y_train, steps),
            flow=flow,
        )
        for loss in (write(settings={"delta": 0.4}), Huber(delta=0.4))
    )
    for name in ("f_train", "loss", "weight_change"):
        np.testing.assert_allclose(
            getattr(found, name), getattr(wanted, name), rtol=1e-8, atol=1e-10
        )


TEXT = """
title: A loss
question: Does it train?
dataset: {kind: circle, points: 5, target: {kind: harmonics, frequencies: [1]}}
model: {depth: 1}
widths: [8]
seeds: 2
linearize: steps
training: {loss: "mine.py:loss", learning_rate: 0.1, steps: 10, record: 4}
variants:
  word: {}
  keys: {training: {loss: {kind: python, file: mine.py, settings: {delta: 1.0}}}}
  huber: {training: {loss: huber}}
"""


@pytest.fixture
def written(write, tmp_path):
    """A study file beside a loss."""
    write()
    (tmp_path / "mine.yaml").write_text(TEXT)
    return tmp_path / "mine.yaml"


def test_a_study_names_a_users_loss(written, tmp_path):
    one = study.load(written)
    assert one.programs() == ["mine.py"]
    made = run_study(one, tmp_path / "results")
    for product in ("network", "linearized"):
        arrays = {v: artifacts.load(made[product, v, 8]).data for v in one.variants}
        for variant in ("word", "keys"):
            for name in ("f_train", "f_test", "loss"):
                np.testing.assert_allclose(
                    arrays[variant][name], arrays["huber"][name], 1e-10, 1e-12
                )


def test_an_edit_of_a_users_loss_trains_again_and_a_comment_does_not(written):
    def code():
        fingerprint.forget()
        one = study.load(written)
        places = {v: Place(one, v, 8) for v in one.variants}
        return {
            (stage, v): STAGES[stage].code(at)
            for stage in ("train", "linearize", "dataset")
            for v, at in places.items()
        }

    path = written.parent / "mine.py"
    before = code()
    path.write_text("# a comment\n" + path.read_text())
    assert code() == before
    path.write_text(path.read_text().replace("/ 2, delta", "/ 2.5, delta"))
    after = code()
    changed = {at for at in before if before[at] != after[at]}
    assert changed == {
        (stage, v) for stage in ("train", "linearize") for v in ("word", "keys")
    }


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("mine.py:loss", "my.py:loss", "no file my.py in"),
        (
            "mine.py:loss",
            "mine.py:lost",
            "mine.py has no function lost; did you mean l",
        ),
        ("delta: 1.0", "delt: 1.0", "loss has no argument delt; did you mean delta?"),
        ("mine.py:loss", "mine:loss", "no kind 'mine:loss'"),
        ("file: mine.py,", "file: mine.py, folder: x,", "unknown key"),
    ],
)
def test_faults_of_the_section(written, old, new, says):
    written.write_text(TEXT.replace(old, new))
    with pytest.raises(study.StudyError, match=says):
        study.load(written)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("return (f - y)**2", r"mine.py, line 4: loss returns float64 \(2,\), not one"),
        ("return 1.0", "the gradient of loss is zero at all points"),
        ("return (f > y).sum()", "loss returns int64"),
        ("return jnp.log(f - y).sum()", "loss is NaN or infinite"),
        ("return jnp.sqrt((f - f)**2).sum()", "the gradient of loss is NaN"),
        ("return float(f[0])", "line 5: loss uses the value of an array"),
        ("return wrong(f)", "line 5: loss raises NameError: name 'wrong'"),
    ],
)
def test_a_function_that_is_no_loss_is_refused(write, text, says):
    own = write("\nimport jax.numpy as jnp\n\ndef loss(f, y):\n    " + text)
    with pytest.raises(run.UsersError, match=says):
        own.check(DATA.y_train)


def test_replicates_copy_the_file(written, tmp_path):
    from ntkpipe.stages.replicate import write_study

    again = write_study(written, tmp_path / "again", 5)
    assert again.variants["word"].training.loss.code_file.is_file()
