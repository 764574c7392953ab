"""`ask`: the plan, the wrappers, the answers' numbers, faults, and one whole run."""

import html
import importlib.util
import json
import math
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest
from helpers import run_study

from ntkpipe import artifacts, cli, study
from ntkpipe.ask import answer, plan, probe, source, wrap
from ntkpipe.ask import study as studies
from ntkpipe.ask.choose import Chosen
from ntkpipe.ask.plan import Machine, Size, Speed
from ntkpipe.claims.statistics import Interval
from ntkpipe.data.table import Csv
from ntkpipe.kernels import linear
from ntkpipe.stages.dataset import key_of_data
from ntkpipe.text import powers
from ntkpipe.training.protocol import Training
from ntkpipe.users import run

ROOT = Path(__file__).parent.parent
NEEDS = "needs the extra: EXTRAS=networks ./run test"
MACHINE = Machine(start=2.0, cores=2)
# the first line of each source is line 1
PLAIN = """\
import jax
import jax.numpy as jnp

def build(width, key, x):
    first, last = jax.random.split(key)
    params = {
        "first": jax.random.normal(first, (x.shape[1], width), x.dtype),
        "last": jax.random.normal(last, (width, 1), x.dtype),
    }
    def apply(params, x):
        return jnp.tanh(x @ params["first"]) @ params["last"] / width**0.5
    return apply, params
"""
LINEN = """\
from flax import linen as nn

class Block(nn.Module):
    hidden: int
    @nn.compact
    def __call__(self, x, train):
        x = nn.BatchNorm(use_running_average=not train)(nn.Dense(self.hidden)(x))
        return nn.Dropout(0.5, deterministic=not train)(nn.tanh(x))

class Net(nn.Module):
    hidden: int = 32
    out: int = 7
    @nn.compact
    def __call__(self, x, train: bool = True):
        return nn.Dense(self.out)(Block(self.hidden)(x, train)).squeeze(-1)
"""
NNX = """\
from flax import nnx

class Net(nnx.Module):
    def __init__(self, din: int, dmid: int, dout: int, *, rngs: nnx.Rngs):
        self.first = nnx.Linear(din, dmid, rngs=rngs)
        self.norm = nnx.BatchNorm(dmid, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)
        self.last = nnx.Linear(dmid, dout, rngs=rngs)
    def __call__(self, x):
        return self.last(nnx.tanh(self.drop(self.norm(self.first(x)))))
"""
EQUINOX = """\
import equinox as eqx

class Net(eqx.Module):
    mlp: eqx.nn.MLP
    drop: eqx.nn.Dropout
    def __init__(self, in_size, width_size=32, *, key):
        self.mlp = eqx.nn.MLP(in_size, "scalar", width_size, 1, key=key)
        self.drop = eqx.nn.Dropout(0.5)
    def __call__(self, x, key=None):
        return self.mlp(self.drop(x, key=key))
"""
FRAMEWORKS = {"linen": LINEN, "nnx": NNX, "equinox": EQUINOX}


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a file into the working folder, and return its path."""
    monkeypatch.chdir(tmp_path)

    def written(text, name="net.py"):
        path = Path(name)
        path.write_text(text, encoding="utf-8")
        return path

    return written


def table(rows=40, name="data.csv"):
    random = np.random.default_rng(0)
    x = random.normal(size=(rows, 2))
    y = np.sin(2 * x[:, 0]) + x[:, 1]
    frame = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "price": y})
    frame.to_csv(name, index=False)
    return name


# ------------------------------------------------- plan


def speed(width, step=0.0, kernel=0.0, eigen=0.0, start=0.0):
    return Speed(width, step, kernel, eigen, start)


def test_widths_are_fractions_and_a_multiple_of_the_users():
    assert plan.widths(64, True) == (16, 32, 64, 128)
    assert plan.widths(2, True) == (1, 2, 4)
    assert plan.widths(64, False) == (64,)


def test_points_are_halved_and_times_with_them():
    assert plan.halvings(354) == [354, 177, 88, 64] and plan.halvings(40) == [40]
    half = speed(4, 8.0, 8.0, 8.0, 8.0).of_points(0.5)
    assert half == speed(4, 4.0, 2.0, 1.0, 8.0)


def test_times_of_other_widths_are_power_laws():
    first, last = speed(10, 1.0, 1.0, 0.5, 3.0), speed(40, 4.0, 16.0, 0.5, 3.0)
    found = plan.between([first, last], 80)
    assert found.width == 80 and np.allclose(found[1:], (8.0, 64.0, 0.5, 3.0))
    assert plan.between([first, last], 40) == last
    assert plan.between([last], 40) == last


def test_the_time_of_a_run_is_that_of_its_jobs_and_networks():
    speeds = {4: speed(4, 0.01, 0.1, 0.2, 1.0), 8: speed(8, 0.03, 0.1, 0.2, 1.5)}
    # 12 jobs of 2 s and 5 s of compilation on two cores, and Snakemake
    assert plan.fixed(MACHINE, speeds, (4, 8)) == pytest.approx(6 + (24 + 5) / 2)
    # 100 steps, 4 kernels and 6 eigendecompositions: 2.6 s and 4.6 s; the longest job
    assert plan.per_seed(MACHINE, speeds, (4, 8), 100) == pytest.approx(4.6)
    assert plan.per_seed(Machine(2.0, 1), speeds, (4, 8), 100) == pytest.approx(7.2)
    whole = plan.seconds(MACHINE, speeds, Size((4, 8), 100, 3))
    assert whole == pytest.approx(6 + 29 / 2 + 3 * 4.6)


def test_seeds_follow_from_the_scatter():
    """Σ(x − x̄)² of four widths in steps of two is 5 (log 2)²; t → 1.96."""
    widths, scatter = (16, 32, 64, 128), 0.5
    by_hand = 1.96 * scatter / math.sqrt(5 * math.log(2) ** 2 * 400)
    assert plan.half_width(scatter, widths, 400) == pytest.approx(by_hand, rel=3e-3)
    needed = plan.seeds_for_slope(scatter, widths)
    assert plan.half_width(scatter, widths, needed) <= 0.043
    assert plan.half_width(scatter, widths, needed - 1) > 0.043
    # one width: t σ/√n ≤ 0.1 with σ = 0.1, and t = 2.36, 2.45 for n = 8, 7
    assert plan.seeds_for_mean(0.1) == 7 and plan.seeds_for_mean(1e-9) == 2
    assert plan.wanted_seeds(1e-9, widths) == plan.LEAST_SEEDS
    assert plan.wanted_seeds(9.0, widths) == plan.MOST_SEEDS


def test_the_simulated_half_width_is_the_planned_one():
    widths, seeds, scatter = np.array([16, 32, 64]), 10, 0.3
    random = np.random.default_rng(1)
    logs = random.normal(scale=scatter, size=(4000, len(widths), seeds)).mean(-1)
    slopes = np.polyfit(np.log(widths), logs.T, 1)[0]
    planned = plan.half_width(scatter, widths, seeds)
    assert np.mean(np.abs(slopes) <= planned) == pytest.approx(0.955, abs=0.015)


def size(budget, wanted=1000, step=0.001, cores=1):
    machine = Machine(0.0, cores)
    speeds = {n: speed(n, step * n / 4) for n in (1, 2, 4, 8)}
    return plan.steps_and_widths(machine, speeds, 4, wanted, budget, 5.0)


def test_steps_then_networks_then_widths_are_given_up():
    """A step of all widths takes 3.75 ms, so that 1,000 steps take 3.75 s."""
    every = (1, 2, 4, 8)
    assert size(6 + 30 * 3.751) == Size(every, 1000, 30)
    assert size(6 + 30 * 3.751, wanted=2000) == Size(every, 1000, 30)
    assert size(6 + 10 * 3.751) == Size(every, 1000, 10)
    assert size(6 + 10 * 1.876) == Size(every, 500, 10)
    assert size(6 + 3 * 0.3751) == Size(every, 100, plan.LEAST_SEEDS)
    assert size(6 + 3 * 0.1751) == Size((1, 2, 4), 100, plan.LEAST_SEEDS)
    assert size(6 + 3 * 0.1001) == Size((4,), 100, plan.LEAST_SEEDS)


def test_too_few_minutes_are_refused_with_those_that_are_enough():
    """6.3 s are needed of 0.75 of the rest, and 5 minutes less 5/0.75 s were used."""
    with pytest.raises(plan.TooFew, match="5 are too few") as error:
        size(5.0)
    used = 300 - 5 / plan.SPARE
    assert error.value.minutes == math.ceil((6.3 / plan.SPARE + used) / 60) == 6


def test_seeds_fill_the_time():
    speeds, one = {4: speed(4, 0.01)}, Size((4,), 100, 3)
    machine, free = Machine(0.0, 1), plan.WORKFLOW
    rule = plan.wanted_seeds(0.3, (4,))
    assert plan.seeds(machine, speeds, one, 0.3, free + 12.5).seeds == 12
    assert plan.seeds(machine, speeds, one, 0.3, free + 1e6).seeds == rule
    assert plan.seeds(machine, speeds, one, 0.3, free).seeds == plan.LEAST_SEEDS


def test_the_networks_that_settle_a_question():
    """On which side of 0: N(1, 1/n) with 99 % power needs (1.96 + 2.33)² networks."""
    needed = plan.seeds_to_settle(1.0, 1.96 / math.sqrt(4), 0.0, 4)
    assert needed == math.ceil((1.95996 + 2.32635) ** 2)
    assert plan.seeds_to_settle(-1.0, 1.96 / math.sqrt(4), 0.0, 4) == needed
    assert plan.seeds_to_settle(0.0, 1.0, 0.0, 4) == math.inf
    assert "too close" in plan.settling(math.inf, 1.0, 1.0)
    assert "--minutes 3" in plan.settling(12, 5.0, 60.0)  # 120 s of 0.75 of 160 s


# ------------------------------------------------- find and wrap


def test_build_is_meant_without_a_name(write):
    file = write(PLAIN + "\nclass Other: pass\n")
    assert wrap.find(file) == wrap.Found("build", "function", 4)
    assert wrap.find(file, "Other").kind == ""


@pytest.mark.parametrize("kind", FRAMEWORKS)
def test_a_class_is_found_without_an_import(write, kind):
    found = wrap.find(write(FRAMEWORKS[kind]))
    assert found[:2] == ("Net", kind)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("import flax.linen as nn\nclass A(nn.Module): pass\n", "linen"),
        ("import flax.linen\nclass A(flax.linen.Module): pass\n", "linen"),
        ("from flax.nnx import Module as M\nclass A(M): pass\n", "nnx"),
        ("import equinox\nclass B(equinox.Module): pass\nclass A(B): pass\n", ""),
        ("import torch.nn as nn\nclass A(nn.Module): pass\n", None),
    ],
)
def test_base_classes_are_followed_through_imports(write, text, kind):
    file = write(text)
    if kind is None:
        with pytest.raises(wrap.NoNetwork, match="no function `build`"):
            wrap.find(file)
    else:
        assert wrap.find(file, "A").kind == (kind or "equinox")


def test_several_networks_need_a_name(write):
    text = (
        "import equinox\nclass A(equinox.Module): pass\nclass B(equinox.Module): pass\n"
    )
    with pytest.raises(wrap.NoNetwork, match="A, B"):
        wrap.find(write(text))


@pytest.mark.parametrize("kind", FRAMEWORKS)
def test_the_wrapper_is_the_users_network(write, kind):
    """Outputs are those of the class; batch norm and dropout are off."""
    package = "equinox" if kind == "equinox" else "flax"
    pytest.importorskip(package, reason=NEEDS)
    file = write(FRAMEWORKS[kind])
    made = source.prepare(file, wrap.find(file), Path("ask"), 1, None)
    assert made.width == (source.WIDTH if kind == "nnx" else 32) and made.has_width
    x = np.asarray(jax.random.normal(jax.random.key(0), (6, 2)))
    key = jax.random.key(1)
    network = made.model.built(8, x, 1, [key, jax.random.key(2)])
    first, *_ = network.first.params.values()
    assert 8 in first.shape or any(8 in a.shape for a in network.first.params.values())
    found = np.asarray(network.apply(network.first.params, x))
    with run.as_users_write():
        own = np.asarray(reference(kind, file, x, key)).reshape(6, 1)
    assert np.abs(found - own).max() <= 1e-5 * np.abs(own).max()
    slow = source.scaled(made, 1.0).built(8, x, 1, [key])
    assert set(slow.first.rates.values()) == {made.width / 8}


def reference(kind, file, x, key):
    """The user's network, called as its framework's manual says."""
    spec = importlib.util.spec_from_file_location(f"reference_{kind}", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if kind == "linen":
        net = module.Net(hidden=8, out=1)
        return net.apply(net.init(key, x[:1], train=False), x, train=False)
    if kind == "nnx":
        from flax import nnx

        net = module.Net(2, 8, 1, rngs=nnx.Rngs(key))
        net.eval()
        return net(x)
    import equinox

    return jax.vmap(equinox.nn.inference_mode(module.Net(2, 8, key=key)))(x)


def test_a_function_with_other_learning_rates_stays_the_users(write):
    """Wide networks whose kernel grows are slowed down, those of the user are not."""
    file = write(PLAIN)
    made = source.prepare(file, wrap.find(file), Path("ask"), 1, 16)
    assert (made.width, made.model.file) == (16, "net.py")
    slow = source.scaled(made, 0.5)
    x, keys = np.ones((3, 2)) * np.arange(3)[:, None], [jax.random.key(0)]
    for width, rate in ((16, 1.0), (64, 0.5)):
        network = slow.built(width, x, 1, keys)
        own = made.model.built(width, x, 1, keys)
        assert set(network.first.rates.values()) == {rate}
        pair = [n.apply(n.first.params, x) for n in (network, own)]
        assert np.array_equal(*map(np.asarray, pair))


# ------------------------------------------------- probe


def test_a_probe_has_the_kernel_and_the_steps_of_the_linearised_model(write):
    file = write(PLAIN)
    made = source.prepare(file, wrap.find(file), Path("ask"), 1, 16)
    data = Csv(path=table(), target=("price",)).sample(jax.random.key(0))
    probes = [probe.probe(made.model, data, n, 0) for n in (8, 32)]
    one = probes[-1]
    values = np.linalg.eigvalsh(one.theta[:, 0, :, 0]) / 32
    assert one.largest[0] == pytest.approx(values[-1]) and len(one.largest) == 5
    assert one.weights == 3 * 32 and min(one.speed[1:]) > 0
    eta = 1 / one.largest[0]
    steps = probe.wanted_steps(one, data.y_train, eta)
    at = np.array([0, plan.MOST_STEPS, steps, int(0.9 * steps)])
    loss = linear.predict(one.theta, one.f0, data.y_train, at, eta).loss
    left = (loss - loss[1]) / (loss[0] - loss[1])
    assert left[2] <= plan.LOSS_LEFT < left[3]
    assert probe.exponent(probes) == 0.0  # the NTK parametrisation
    grown = [probes[0], one._replace(largest=5 * one.largest)]
    assert probe.exponent(grown) == 1.0


def test_a_pilot_measures_the_scatter_and_halves_a_rate_that_diverges(write):
    file = write(PLAIN)
    made = source.prepare(file, wrap.find(file), Path("ask"), 1, 16)
    data = Csv(path=table(), target=("price",)).sample(jax.random.key(0))
    training = Training(learning_rate=0.5, steps=20, record=2)
    found, kept = probe.pilot(made.model, training, data, 8, 0, 4)
    assert kept == training and len(found.change) == 4
    assert found.scatter == pytest.approx(np.log(found.change).std(ddof=1))
    wild = replace(training, learning_rate=1e4, steps=60)
    found, kept = probe.pilot(made.model, wild, data, 8, 0, 4)
    assert not found.diverged and kept.learning_rate < 1e4


# ------------------------------------------------- answers


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished study of two widths, as `ask` writes it, and its results."""
    folder = tmp_path_factory.mktemp("ask")
    here = Path.cwd()
    os.chdir(folder)
    try:
        table()
        Path("net.py").write_text(PLAIN)
        file = Path("net.py")
        made = source.prepare(file, wrap.find(file), Path(), 1, 16)
        csv = Csv(path="data.csv", target=("price",))
        data = csv.sample(key_of_data(0))
        pilot = probe.Pilot(np.array([0.1, 0.12, 0.09]), 0)
        chosen = Chosen(
            **{"table": csv, "data": data, "model": made.model, "pilot": pilot},
            **{"size": Size((4, 8, 16), 30, 6), "rate": 0.3, "limit": 0.6},
            **{"exponent": 0.0, "wanted": 30, "speeds": {}, "machine": MACHINE},
            **{"notes": (), "later": ""},
        )
        text = studies.text(chosen, made, "A: b?", "data.csv", ("price",))
        Path("net.yaml").write_text(text)
        one = study.load("net.yaml")
        run_study(one, "results")
        yield folder, one
    finally:
        os.chdir(here)


def test_the_study_has_thresholds_and_constancy(finished):
    _, one = finished
    claims = {claim.id: claim for claim in one.claims}
    assert claims["lazy/kernel"].at_most == plan.LAZY
    assert claims["lazy/kernel"].min_width == claims["lazy/kernel"].max_width == 16
    assert claims["constancy"].band() == (-1.1, -0.9)
    assert {claim.set for claim in one.claims} == {"before"}
    assert {figure.name for figure in one.figures} == {"training", "spectrum", "width"}


def test_the_numbers_are_those_of_the_arrays(finished):
    folder, one = finished
    base = folder / "results/net/base"
    facts = answer.facts(one, folder / "results", 16)
    network = artifacts.load(base / "width16/network.npz").data
    linearized = artifacts.load(base / "width16/linearized.npz").data
    data = artifacts.load(base / "dataset.npz").data
    theta, y = network["ntk"][..., 0, :, 0], data["y_train"][:, 0]
    moved = [np.linalg.norm(b - a) / np.linalg.norm(a) for a, b in theta[:, [0, -1]]]
    assert facts.change.estimate == pytest.approx(np.exp(np.log(moved).mean()))
    apart = (network["f_test"] - linearized["f_test"])[..., 0]
    rms = np.sqrt(np.mean(data["y_test"] ** 2))
    each = np.sqrt(np.mean(apart**2, -1)) / rms
    assert facts.gap.estimate == pytest.approx(np.exp(np.log(each.max(1)).mean()))
    assert facts.end.estimate == pytest.approx(np.exp(np.log(each[:, -1]).mean()))
    free, share, limit = [], [], []
    for kernel in theta[:, 0]:
        values, vectors = np.linalg.eigh(kernel / len(y))
        left = (1 - 0.3 * values) ** 30
        free.append(np.sum(1 - left))
        share.append(np.sum((vectors.T @ y)[np.abs(left) < 0.5] ** 2) / (y @ y))
        limit.append(2 / values[-1])
    assert facts.freedom.estimate == pytest.approx(np.exp(np.log(free).mean()))
    assert facts.share.estimate == pytest.approx(np.mean(share))
    assert facts.limit.estimate == pytest.approx(np.exp(np.log(limit).mean()))
    rows = artifacts.load(base / "constancy.csv").data
    rows = rows[(rows["metric"] == "ntk_change") & (rows["step"] == 30)]
    means = np.log(rows["value"]).groupby(rows["width"]).mean()
    slope = np.polyfit(np.log(means.index), means, 1)[0]
    assert facts.slope.estimate == pytest.approx(slope)
    assert facts.slope.low < slope < facts.slope.high


def test_the_intervals_are_those_of_the_claims(finished):
    folder, one = finished
    facts = answer.facts(one, folder / "results", 16)
    rows = pd.read_csv(folder / "results/net/claims.csv").set_index("claim")
    for name, found in (("lazy/kernel", facts.change), ("constancy", facts.slope)):
        row = rows.loc[name]
        assert (row["ci_low"], row["ci_high"]) == pytest.approx((found.low, found.high))
    rms = float(next(c for c in one.claims if c.id == "lazy/gap").at_most) / plan.LAZY
    gap = rows.loc["lazy/gap"]
    assert gap["ci_high"] == pytest.approx(rms * facts.gap.high, rel=1e-4)
    words = {"supported": "lazy", "contradicted": "rich"}
    verdicts = rows.loc[["lazy/kernel", "lazy/gap"], "verdict"]
    both = {words.get(verdict, "open") for verdict in verdicts}
    by_claims = "rich" if "rich" in both else ("lazy" if both == {"lazy"} else None)
    assert answer.regime(facts) == (by_claims or "inconclusive")


def test_modes_of_a_kernel_by_hand():
    """Θ/N of eigenvalues 1 and ¼, η = ½: residuals ½^T and (7/8)^T."""
    theta = np.diag([0.25, 1.0])[None]
    found = answer.seen(theta, np.array([[3.0], [4.0]]), 0.5, 3)
    assert found.largest[0] == 1.0 and found.condition[0] == 4.0
    assert found.freedom[0] == pytest.approx(2 - 0.5**3 - 0.875**3)
    assert found.share[0] == pytest.approx(16 / 25)  # (7/8)³ = 0.67 is above ½
    assert {i: float(v[0]) for i, v in found.modes.items()} == {1: 4.0, 2: 18.0}
    still = answer.seen(theta * [[[0.0], [1.0]]], np.ones((2, 1)), 0.5, 3)
    assert still.modes[2][0] == math.inf


def interval(low, high):
    return Interval(math.sqrt(low * high), low, high, math.nan, math.nan)


@pytest.mark.parametrize(
    ("change", "gap", "found"),
    [
        ((0.01, 0.02), (0.03, 0.09), "lazy"),
        ((0.01, 0.02), (0.2, 0.3), "rich"),
        ((0.2, 0.3), (0.05, 0.15), "rich"),
        ((0.01, 0.02), (0.05, 0.15), "inconclusive"),
        ((0.01, 0.02), (math.nan, math.nan), "inconclusive"),
    ],
)
def test_the_regime_follows_from_both_intervals(finished, change, gap, found):
    folder, one = finished
    facts = answer.facts(one, folder / "results", 16)
    facts = facts._replace(change=interval(*change), gap=interval(*gap))
    assert answer.regime(facts) == found
    costs = {"per_seed": 1.0, "fixed": 10.0}
    first, *_ = answer.sentences(facts, costs)
    assert first.lower().startswith(f"**{found}**")
    if found == "inconclusive" and not math.isnan(gap[0]):
        assert "--minutes" in first or "too close" in first


# ------------------------------------------------- the command


FAULTS = [
    (PLAIN, "nett.py", "nett.py: there is no such file.*net.py"),
    (PLAIN, "net.py:bild", "no function or class bild.*build"),
    (PLAIN, "net.py --target prise", "no column 'prise'.*did you mean price"),
    ("x = (\n", "net.py", r"net.py, line 1: '\(' was never closed"),
    ("class A: pass\n", "net.py", "no function `build`"),
    ("class A: pass\n", "net.py:A", "net.py, line 1: A is no network of Flax"),
    ("import nothere\n" + PLAIN, "net.py", "net.py needs nothere"),
    (PLAIN.replace("(width, key, x)", "(key)"), "net.py", "line 4: build must take"),
    (
        PLAIN.replace("(width, 1)", "(width, 2)"),
        "net.py",
        "net.py, line 10: .*2 outputs",
    ),
    (PLAIN.replace("jnp.tanh(", "float("), "net.py", "net.py, line 11: apply"),
    (PLAIN, "net.py --minutes 0.01", r"0.01 are too few.*needs \d"),
]


@pytest.mark.parametrize(("text", "words", "says"), FAULTS)
def test_a_fault_is_one_sentence(write, capsys, text, words, says):
    write(text)
    table()
    network, *options = words.split()
    target = [] if "--target" in options else ["--target", "price"]
    assert cli.main(["ask", network, "data.csv", *options, *target]) == 2
    told = capsys.readouterr()
    lines = [line for line in told.err.splitlines() if line.startswith("ntkpipe: ")]
    assert len(lines) == 1 and re.search(says, lines[0]), told.err
    assert ("def build(width, key, x)" in told.out) == ("no function `build`" in says)
    assert "ask/net" not in lines[0]


def test_a_table_that_is_missing_or_has_a_fault_is_named(write, capsys):
    write(PLAIN)
    assert cli.main(["ask", "net.py", "data.csv", "--target", "y"]) == 2
    assert "data.csv" in capsys.readouterr().err
    write("a,y\n1,2\n2,\n3,4\n", "data.csv")
    assert cli.main(["ask", "net.py", "data.csv", "--target", "y"]) == 2
    assert "row 3, column 'y': the value is missing" in capsys.readouterr().err


@pytest.mark.workflow
def test_a_question_is_answered_with_a_page(tmp_path):
    """From an empty folder to the answers; then again at once; then after an edit."""
    here = Path.cwd()
    (tmp_path / "net.py").write_text(
        PLAIN.replace("    first, last", "    width = 48\n    first, last")
    )
    os.chdir(tmp_path)
    try:
        table()
    finally:
        os.chdir(here)

    def ask(*words, fails=0):
        command = [sys.executable, "-P", "-m", "ntkpipe", "ask", "net.py", "data.csv"]
        done = subprocess.run(
            [*command, "--target", "price", "--minutes", "5", "--cores", "2", *words],
            **{"cwd": tmp_path, "capture_output": True, "text": True, "timeout": 600},
            env=os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
        )
        assert done.returncode == fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    said, folder = ask(), tmp_path / "ask/net"
    one = study.load(folder / "net.yaml")
    assert one.variants["base"].widths == (source.WIDTH,)  # the parameters have none
    record = json.loads((folder / "ask.json").read_text())
    facts = answer.facts(one, folder / "results", record["width"])
    written = (folder / "answer.md").read_text(encoding="utf-8")
    for paragraph in answer.sentences(facts, record):
        assert paragraph in written and paragraph.replace("**", "") in said
    page = (folder / "results/index.html").read_text(encoding="utf-8")
    assert "build of net.py on data.csv" in page
    shown = re.sub("</?(strong|sup)>", "", html.unescape(page))
    for paragraph in answer.sentences(facts, record):
        assert "".join(powers(paragraph.replace("**", ""))) in shown
    made = {p: p.stat().st_mtime_ns for p in (folder / "results").rglob("*.npz")}
    assert "is run as it is" in ask()
    assert made and {p: p.stat().st_mtime_ns for p in made} == made
    with open(folder / "net.yaml", "a", encoding="utf-8") as file:
        file.write("# mine\n")
    assert "was edited" in ask("--width", "7", fails=2)
    shutil.rmtree(tmp_path / "ask")
