"""A new kind is one file and its name in one union.

`extensions/` has a new kind for each union, in files as they would be in the package.
The tests put these files into a copy of the package, add their names to its unions, and
run a study that uses all of them with Snakemake. CONTRIBUTING.md quotes these files and
names.
"""

import json
import re
import shutil
import subprocess
import sys

import jax
import numpy as np
import pandas as pd
import pytest
from extensions.ntkpipe.models.gated import Gated
from extensions.ntkpipe.training.losses.log_cosh import LogCosh
from test_workflow import ROOT, edit, environment, snakemake

from ntkpipe.training.recorders import RECORDERS

FILES = ROOT / "tests" / "extensions"

# kind → the file with the union, and the text after which the name is inserted
UNIONS = {
    "dataset": ("ntkpipe/data/__init__.py", "Points | Circle | ", "Ring | "),
    "target": ("ntkpipe/data/targets.py", "    Values | Product | ", "Sawtooth | "),
    "model": (
        "ntkpipe/models/__init__.py",
        '    Annotated[MLP, Tag("mlp")]\n',
        '    | Annotated[Gated, Tag("gated")]\n',
    ),
    "loss": (
        "ntkpipe/training/losses/__init__.py",
        "    Squared | CrossEntropy | ",
        "LogCosh | ",
    ),
    "metric with a recording": (
        "ntkpipe/training/recorders/__init__.py",
        "    OnALine(),\n",
        "    Largest(),\n",
    ),
    "metric": (
        "ntkpipe/measurements/__init__.py",
        "    kernel.GROUP,\n",
        "    largest_output.GROUP,\n",
    ),
    "claim": ("ntkpipe/claims/__init__.py", "    PowerLaw\n", "    | Near\n"),
    "figure": ("ntkpipe/figures/__init__.py", "    | Modes\n", "    | Fit\n"),
    "stage": ("ntkpipe/stages/__init__.py", "        CLAIMS,\n", "        EXTREMES,\n"),
}
IMPORTS = {
    "dataset": "from ntkpipe.data.ring import Ring",
    "target": "from ntkpipe.data.sawtooth import Sawtooth",
    "model": "from ntkpipe.models.gated import Gated",
    "loss": "from ntkpipe.training.losses.log_cosh import LogCosh",
    "metric with a recording": "from ntkpipe.training.recorders.largest import Largest",
    "metric": "from ntkpipe.measurements import largest_output",
    "claim": "from ntkpipe.claims.near import Near",
    "figure": "from ntkpipe.figures.fit import Fit",
    "stage": "from ntkpipe.stages.extremes import EXTREMES",
}
INCLUDE = 'include: "rules/extremes.smk"\n'

STUDY = """
title: A study of new kinds
question: Does each of them work?
dataset: {kind: ring, points: 5, radius: 2, target: {kind: sawtooth, teeth: 2}}
model: {kind: gated}
training: {learning_rate: 0.05, steps: 20, record: 5, largest: true}
widths: [4]
seeds: 3
variants:
  base: {}
  other: {training: {loss: {kind: log_cosh, delta: 0.1}}}
claims:
  - {id: N-1, kind: near, set: before, says: It is small, source: me,
     variant: base, metric: largest_output, within: 1000}
figures:
  - {name: fit, kind: fit, title: T, caption: C}
"""


@pytest.fixture(scope="session")
def extended(tmp_path_factory):
    """A copy of package and workflow with the new kinds."""
    folder = tmp_path_factory.mktemp("extended") / "checkout"
    for part in ("ntkpipe", "workflow", "profiles"):
        shutil.copytree(ROOT / part, folder / part)
    (folder / "docs").mkdir()
    for part in ("Snakefile", "environment.yml", "docs/refresh.py"):
        shutil.copy(ROOT / part, folder / part)
    shutil.copytree(FILES, folder, dirs_exist_ok=True)
    for kind, (file, before, name) in UNIONS.items():
        path = folder / file
        edit(path, before, before + name)
        text = path.read_text("utf-8")
        head, first, rest = text.partition("\nfrom ntkpipe")
        path.write_text(f"{head}\n{IMPORTS[kind]}{first}{rest}", "utf-8")
    rules, before = folder / "workflow" / "Snakefile", 'include: "rules/claims.smk"\n'
    edit(rules, before, INCLUDE + before)
    return folder


@pytest.fixture(scope="session")
def results(extended):
    """The folder of the results of a study that uses all new kinds."""
    folder = extended.parent / "run"
    (folder / "config" / "studies").mkdir(parents=True)
    (folder / "config" / "studies" / "new.yaml").write_text(STUDY, "utf-8")
    text = "studies: config/studies\nrun: [new]\n"
    (folder / "config" / "config.yaml").write_text(text, "utf-8")
    snakemake(folder, checkout=extended)
    return folder / "results" / "new"


def python(extended, *arguments):
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=extended,
        env=environment(extended),
        capture_output=True,
        text=True,
    )


def arrays(results, variant, name):
    # `artifacts` of this process does not know the array of the new recorder
    with np.load(results / variant / name) as archive:
        return {name: archive[name] for name in archive.files}


def parameters(seed):
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), 4), seed)
    return Gated(kind="gated").init_params(key, 4, 2, 1)


@pytest.mark.workflow
def test_a_dataset_and_a_target_are_drawn(results):
    data = arrays(results, "base", "dataset.npz")
    np.testing.assert_allclose(np.hypot(*data["x_train"].T), 2)
    np.testing.assert_allclose(data["y_train"][:, 0], [0, 0.4, 0.8, 0.2, 0.6])
    between = data["x_train"] + np.roll(data["x_train"], -1, 0)
    between *= 2 / np.hypot(*between.T)[:, None]
    np.testing.assert_allclose(data["x_test"], between, atol=1e-14)


@pytest.mark.workflow
def test_the_kernel_of_a_network_is_that_of_its_jacobian(results):
    data = arrays(results, "base", "dataset.npz")
    network = arrays(results, "base", "width4/network.npz")
    assert network["layer"].tolist() == ["W1", "W2", "W3"]
    model = Gated(kind="gated")
    for seed in range(3):
        jacobian = jax.jacrev(model.apply)(parameters(seed), data["x_train"])
        rows = [leaf.reshape(5, -1) for leaf in jax.tree.leaves(jacobian)]
        theta = sum(row @ row.T for row in rows)
        np.testing.assert_allclose(network["ntk"][seed, 0, :, 0, :, 0], theta)
        nngp = rows[-1] @ rows[-1].T  # of the last layer alone
        np.testing.assert_allclose(network["nngp"][seed, 0], nngp)


@pytest.mark.workflow
def test_a_loss_is_descended(results):
    data = arrays(results, "base", "dataset.npz")
    network = arrays(results, "other", "width4/network.npz")
    model, loss = Gated(kind="gated"), LogCosh(delta=0.1)
    params = parameters(0)

    def loss_of(params):
        return loss.value(model.apply(params, data["x_train"]), data["y_train"])

    step = jax.jit(
        lambda w: jax.tree.map(lambda a, g: a - 0.05 * g, w, jax.grad(loss_of)(w))
    )
    for _ in range(20):
        params = step(params)
    f = model.apply(params, data["x_train"])
    np.testing.assert_allclose(network["f_train"][0, -1], f, rtol=1e-10)
    np.testing.assert_allclose(network["loss"][0, -1], loss_of(params), rtol=1e-10)
    assert network["loss"][0, -1] < network["loss"][0, 0]


def test_the_gradient_of_a_loss_is_its_derivative():
    loss = LogCosh(delta=0.5)
    f, y = np.random.default_rng(0).standard_normal((2, 6, 2))
    slope = jax.grad(lambda f: loss.value(f, y, 2.0))(f)
    np.testing.assert_allclose(loss.gradient(f, y, 2.0), slope)


@pytest.mark.workflow
def test_metrics_claims_figures_and_stages_have_their_numbers(results):
    rows = pd.read_csv(results / "measurements.csv")
    for variant in ("base", "other"):
        network = arrays(results, variant, "width4/network.npz")
        f = network["f_train"][:, -1, :, 0]
        found = rows[rows["variant"] == variant].set_index("metric")["value"]
        np.testing.assert_array_equal(found["largest_output"], abs(f).max(1))
        weights = network["largest_weight"]
        assert weights.shape == (3, len(network["step"]))
        np.testing.assert_array_equal(found["largest_weight"], weights[:, -1])
        start = max(abs(w).max() for w in jax.tree.leaves(parameters(0)))
        np.testing.assert_allclose(weights[0, 0], start)
        fit = pd.read_csv(results / "figures" / "fit.csv")
        fit = fit[fit["variant"] == variant]["f"].to_numpy()
        np.testing.assert_array_equal(fit, f.ravel())
        extremes = pd.read_csv(results / variant / "extremes.csv").iloc[0]
        assert (extremes["smallest"], extremes["largest"]) == (f.min(), f.max())
    verdict = pd.read_csv(results / "claims.csv").iloc[0]
    assert verdict["verdict"] == "supported" and verdict["n"] == 3
    base = rows.query("variant == 'base' and metric == 'largest_output'")
    mean = base["value"].mean()
    assert verdict["ci_low"] < mean < verdict["ci_high"]
    assert (results / "figures" / "fit.svg").stat().st_size > 1000


@pytest.mark.workflow
def test_new_kinds_are_checked_and_in_the_schema_and_the_manual(extended, tmp_path):
    for old, new, fault in (
        ("other: {", "other: {limit: steps, ", "limit: needs training.loss: squared"),
        ("{kind: gated}", "{kind: gatd}", "did you mean gated"),
        ("metric: largest_output", "metric: largest_outptu", "did you mean largest"),
        ("seeds: 3", "seeds: 3\nlimit: steps", "gated has no kernels of infinite"),
    ):
        path = tmp_path / "new.yaml"
        assert old in STUDY
        path.write_text(STUDY.replace(old, new), "utf-8")
        done = python(extended, "-m", "ntkpipe", "validate", path)
        assert done.returncode == 2 and fault in done.stderr, done.stderr
    schema = json.loads(python(extended, "-m", "ntkpipe", "schema").stdout)
    new = {"Ring", "Sawtooth", "Gated", "LogCosh", "Near", "Fit"}
    assert new <= set(schema["$defs"])
    code = "import json, runpy; m = runpy.run_path('docs/refresh.py')\n"
    code += "print(json.dumps([m['keys'](), m['metrics_table'](), m['PAGES']]))"
    keys, metrics, pages = json.loads(python(extended, "-c", code).stdout)
    for kind in new:
        kind = re.sub(r"\B([A-Z])", r"_\1", kind).lower()
        assert f"### `kind: {kind}`" in "".join(keys.values()), kind
    assert "`largest_output`" in metrics and "`largest_weight`" in metrics
    assert "| `largest` |" in keys["keys of training"]  # key of the new recorder
    # each key is in a block of a page of the manual, which test_docs.py checks
    assert {*keys} == {block for blocks in pages.values() for block in blocks}


def test_contributing_quotes_the_files():
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    section = text.partition("## Add a kind")[2].partition("\n## ")[0]
    files = (path for path in FILES.rglob("*.*") if path.suffix != ".pyc")
    written = {path: path.read_text("utf-8") for path in files}
    quotes = re.findall(r"`tests/extensions/(\S+)`:\n\n```\w*\n(.*?)```", section, re.S)
    assert {FILES / file for file, _ in quotes} <= set(written)
    for file, quote in quotes:
        for part in quote.split("    ...\n"):
            assert part.strip("\n") in written[FILES / file], (file, part)
    files = {str(path.relative_to(FILES)) for path in written if "pyc" not in path.name}
    assert files == set(re.findall(r"`tests/extensions/(\S+?)`", section))
    for file, _, name in UNIONS.values():
        assert f"`{file}`" in section and name.strip(" |,\n") in section
    assert INCLUDE.strip() in section


def test_recorders_have_arrays_and_metrics_of_their_own():
    for names in (
        [name for r in RECORDERS for name in (*r.arrays, *r.optional)],
        [metric.written for r in RECORDERS for metric in r.metrics],
    ):
        assert len(names) == len(set(names))
