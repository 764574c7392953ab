"""`model.kind: kernel`: kernels that were computed elsewhere, in place of networks."""

import ast
import json
from pathlib import Path

import numpy as np
import pytest
from helpers import run_stage, run_study

from ntkpipe import artifacts
from ntkpipe.artifacts import ProductError
from ntkpipe.stages import STAGES, Place
from ntkpipe.study import StudyError, load, parse
from ntkpipe.users import kernels

ROOT = Path(__file__).parent.parent
POINTS = {
    "kind": "sphere",
    "dimension": 3,
    "points": 6,
    "test": 4,
    "target": {"kind": "teacher", "neurons": 4, "outputs": 2},
}
TRAINING = {"learning_rate": 0.3, "steps": 60, "record": 8}


def study(model, **keys):
    """A study of this model, with two outputs."""
    whole = {
        **{"title": "t", "question": "q"},
        "dataset": POINTS,
        "model": model,
        "training": TRAINING,
        "widths": [16, 32],
        "seeds": 3,
    }
    return parse(json.dumps(whole | keys), "x.yaml")


def faults(*arguments, **keys):
    """The faults of a study, as (key, text)."""
    with pytest.raises(StudyError) as error:
        study(*arguments, **keys)
    return [(".".join(f.key), f.text) for f in error.value.faults]


def of_file(path, **keys):
    """A study of the kernels in one file, of networks of width 16."""
    return study({"kind": "kernel", "of": str(path)}, **{"widths": [16]} | keys)


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Trained networks, with their products by (product, width)."""
    folder = tmp_path_factory.mktemp("networks")
    made = run_study(study({"kind": "mlp", "depth": 2}), folder)
    return {
        (product, width): artifacts.load(path).data
        for (product, _, width), path in made.items()
    }


def arrays(network):
    """What a user's file has of networks of the package."""
    return {
        "ntk": network["ntk"][:, 0],
        "ntk_end": network["ntk"][:, -1],
        "ntk_test": network["ntk_test_train"][:, 0],
        "f_train": network["f_train"][:, 0],
        "f_test": network["f_test"][:, 0],
    }


@pytest.fixture(scope="module")
def files(networks, tmp_path_factory):
    """The kernels of the trained networks, one file for each width."""
    folder = tmp_path_factory.mktemp("files")
    for width in (16, 32):
        np.savez(folder / f"{width}.npz", **arrays(networks["network", width]))
    return {width: str(folder / f"{width}.npz") for width in (16, 32)}


@pytest.fixture(scope="module")
def given(files, tmp_path_factory):
    """The products of a study of these files."""
    one = study({"kind": "kernel", "of": files})
    made = run_study(one, tmp_path_factory.mktemp("given"))
    return {
        (product, width): artifacts.load(path).data
        for (product, _, width), path in made.items()
    }


@pytest.mark.parametrize("width", [16, 32])
def test_outputs_are_those_of_the_linearised_networks(networks, given, width):
    found, expected = given["network", width], networks["linearized", width]
    for name in ("step", "seed", "loss", "f_train", "f_test"):
        np.testing.assert_array_equal(found[name], expected[name], name)
    np.testing.assert_array_equal(
        found["weight_change"][..., 0], expected["weight_change"]
    )
    assert ("linearized", width) not in given


def test_metrics_of_kernels_are_those_of_the_networks(networks, given):
    index = ["width", "seed", "step", "metric"]
    found, expected = (
        of["constancy", 0].set_index(index)["value"] for of in (given, networks)
    )
    metrics = found.index.unique("metric")
    same = ["ntk_change", "ntk_cosine", "ntk_alignment", "ntk_inflation", "ntk_min"]
    same += ["ntk_max", "ntk_condition", "ntk_pseudo_error", "learning_rate_relative"]
    for metric in same:
        rows = found.xs(metric, level="metric")
        assert len(rows) == 2 * 3 * 2, metric
        np.testing.assert_array_equal(
            rows, expected.xs(metric, level="metric").reindex(rows.index), metric
        )
    assert {"loss", "weight_distance"} <= set(metrics)
    assert not [m for m in metrics if m.startswith(("weight_change", "linear_"))]


def test_one_step_is_that_of_gradient_descent(networks, files, tmp_path):
    # f₁ = f₀ − (η/N) Θ₀(f₀ − y), at training and test points
    one = of_file(files[16], training=TRAINING | {"steps": 1, "record": 2})
    made = run_study(one, tmp_path)
    found = artifacts.load(made["network", "base", 16]).data
    data = artifacts.load(made["dataset", "base", 0]).data
    start = arrays(networks["network", 16])
    u = start["f_train"] - data["y_train"]
    for f, kernel in (("f_train", "ntk"), ("f_test", "ntk_test")):
        step = np.einsum("snimj,smj->sni", start[kernel], u)
        np.testing.assert_allclose(found[f][:, 1], start[f] - 0.3 / 6 * step, 1e-12)


def test_outputs_begin_at_zero_without_others(networks, tmp_path):
    whole = arrays(networks["network", 16])
    np.savez(tmp_path / "k.npz", ntk=whole["ntk"], ntk_test=whole["ntk_test"])
    one = of_file(tmp_path / "k.npz", training=TRAINING | {"snapshots": 1})
    found = artifacts.load(run_study(one, tmp_path)["network", "base", 16]).data
    for f in ("f_train", "f_test"):
        np.testing.assert_allclose(found[f][:, 0], 0, atol=1e-14)
        assert (np.abs(found[f][:, -1]) > 1e-3).any()
    assert found["ntk"].shape[1] == 1


def test_one_kernel_of_all_outputs(networks, tmp_path):
    whole = arrays(networks["network", 16])
    theta, cross = (
        np.einsum("snimi->snm", whole[name]) / 2 for name in ("ntk", "ntk_test")
    )
    np.savez(tmp_path / "k.npz", ntk=theta[0], ntk_test=cross[0])
    training = TRAINING | {"snapshots": 1, "kernel": "trace"}
    one = of_file(tmp_path / "k.npz", training=training, seeds=1)
    made = run_study(one, tmp_path)
    found = artifacts.load(made["network", "base", 16]).data
    y = artifacts.load(made["dataset", "base", 0]).data["y_train"]
    decay = np.linalg.matrix_power(np.eye(6) - 0.3 / 6 * theta[0], 60)
    np.testing.assert_allclose(found["f_train"][0, -1], y - decay @ y, atol=1e-12)
    again = of_file(tmp_path / "k.npz", training=TRAINING | {"snapshots": 1}, seeds=1)
    with pytest.raises(ProductError, match=r"write training\.kernel: trace"):
        run_study(again, tmp_path)


def changed(whole, name, change):
    return {**whole, name: change(whole[name])}


FAULTS = {
    "no kernel": (lambda a: {"f_train": a["f_train"]}, "no ntk, ntk_test; it has"),
    "no end": (
        lambda a: {name: a[name] for name in ("ntk", "ntk_test")},
        "no ntk_end: write training.snapshots: 1",
    ),
    "seeds": (
        lambda a: {name: array[:2] for name, array in a.items()},
        "ntk is of 2 networks: write seeds: 2",
    ),
    "other seeds": (
        lambda a: changed(a, "f_test", lambda f: f[:2]),
        "f_test is of 2 networks, not 3",
    ),
    "points": (
        lambda a: changed(a, "ntk_test", lambda t: t[:, :3]),
        r"ntk_test has the shape \(3, 3, 2, 6, 2\), but the points need 4 2 6 2",
    ),
    "transposed": (
        lambda a: changed(a, "ntk", lambda t: t.swapaxes(1, 2)),
        r"ntk has the shape \(3, 2, 6, 6, 2\)",
    ),
    "order": (
        lambda a: changed(a, "ntk_end", lambda t: t[:, ::-1]),
        "ntk_end of network 0 is not symmetric",
    ),
    "negative": (
        lambda a: changed(a, "ntk", lambda t: t - 10 * t.max()),
        "ntk of network 0 has the eigenvalue -",
    ),
    "zero": (lambda a: changed(a, "ntk", lambda t: 0 * t), "not all are 0"),
    "not finite": (
        lambda a: changed(a, "f_train", lambda f: f / 0),
        "f_train holds NaN or infinity",
    ),
    "text": (
        lambda a: changed(a, "ntk_test", lambda t: t.astype(str)),
        "ntk_test holds <U32, not numbers",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
@np.errstate(divide="ignore", invalid="ignore")
def test_faults_of_a_file_are_named(networks, tmp_path, fault):
    change, said = FAULTS[fault]
    path = tmp_path / "k.npz"
    np.savez(path, **change(arrays(networks["network", 16])))
    how = {"traced": False, "after": True, "seeds": 3}
    with pytest.raises(ProductError, match=f"{path}: .*{said}"):
        kernels.read(path, 6, 4, 2, **how)


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "k.npz"
    path.write_bytes(b"PK no archive")
    with pytest.raises(ProductError, match=r"expected a \.npz of the arrays ntk"):
        kernels.read(path, 6, 4, 2, traced=False, after=False, seeds=1)


def test_a_file_may_be_brought_from_elsewhere(files, tmp_path):
    # a storage plugin copies it; the order of inputs is free
    one = of_file("gone.npz")
    data = run_stage("dataset", one, "base", 0, (), tmp_path / "dataset.npz")
    for inputs in ([data, files[16]], [files[16], data]):
        path = run_stage("train", one, "base", 16, inputs, tmp_path / "network.npz")
        made = artifacts.load(path)
        lineage = [["dataset", "base", None], ["file", "base", 16]]
        assert [line[:3] for line in made.meta["inputs"]] == lineage
        assert made.meta["inputs"][1][3] == artifacts.users_digest(files[16])


def test_results_of_another_file_are_refused(networks, tmp_path):
    path = tmp_path / "k.npz"
    np.savez(path, **arrays(networks["network", 16]))
    one = of_file(path)
    made = run_study(one, tmp_path)
    inputs = [made["dataset", "base", 0], made["network", "base", 16]]
    np.savez(path, **arrays(networks["network", 32]))
    with pytest.raises(ProductError, match=f"from another version of {path}"):
        run_stage("constancy", one, "base", 0, inputs, tmp_path / "c.csv")


UNMET = {
    "widths": ({"widths": [16, 32]}, "model.of", "one file for 2 widths"),
    "limit": ({"limit": "steps"}, "limit", "not known for model.kind: kernel"),
    "flow": ({"linearize": "flow"}, "linearize", "trained by steps"),
    "redraw": ({"data": "redraw"}, "data", "kernels of one data set"),
    "adam": ({"optimizer": "adam"}, "training.optimizer", "acts on single weights"),
    "decay": ({"weight_decay": 0.1}, "training.decay_to", "use w0"),
    "snapshots": ({"snapshots": 3}, "training.snapshots", "1, or 2 with `ntk_end`"),
    "batch": ({"batch": 2}, "training.batch", "leave it out"),
    "stop": ({"stop_at_loss": 0.1}, "training.stop_at_loss", "leave it out"),
    "weights": ({"linear_weights": True}, "training.linear_weights", "no weights"),
    "units": ({"unit_changes": True}, "training.unit_changes", "no weights"),
}


@pytest.mark.parametrize("key", UNMET)
def test_keys_that_need_a_network_are_refused(key):
    changes, place, said = UNMET[key]
    own = {name for name in changes if name in ("widths", "limit", "linearize", "data")}
    keys = changes if own else {"training": TRAINING | changes}
    found = faults({"kind": "kernel", "of": "k.npz"}, **{"widths": [16]} | keys)
    assert [text for where, text in found if where == place and said in text], found


def test_files_of_a_variant_replace_those_of_the_top():
    own = {"own": {"model": {"of": {32: "c.npz"}}, "widths": [32]}, "base": {}}
    one = study({"kind": "kernel", "of": {16: "a.npz", 32: "b.npz"}}, variants=own)
    assert one.variants["own"].model.of == {32: "c.npz"}


def test_every_width_needs_a_file():
    found = faults({"kind": "kernel", "of": {16: "a.npz"}})
    assert ("model.of", "no file for the widths [32]") in found


@pytest.mark.parametrize("path", ["-o", "{x}.npz", "", "a\nb"])
def test_paths_that_a_command_could_misread_are_refused(path):
    assert faults({"kind": "kernel", "of": path}, widths=[16])


def test_claims_and_figures_of_networks_alone_are_refused():
    panels = [{"quantity": "weight_change"}, {"quantity": "weight_change/W1"}]
    figure = {"kind": "trajectories", "name": "f", "caption": "c", "panels": panels}
    figure |= {"title": "t"}
    claim = {"kind": "power_law", "id": "X", "says": "s", "predicted": -1}
    claim |= {"tolerance": 0.2, "metric": "linear_gap", "set": "before", "source": "a"}
    files = {16: "a.npz", 32: "b.npz"}
    found = faults({"kind": "kernel", "of": files}, claims=[claim], figures=[figure])
    texts = [text for _, text in found]
    assert sum("a network: not `model.kind: kernel`" in text for text in texts) == 2
    assert sum("needs `linearize` of a network" in text for text in texts) == 1
    assert sum("leave out linearized" in text for text in texts) == 1


def test_the_rule_of_a_training_reads_the_file(files):
    one = study({"kind": "kernel", "of": files})
    train = STAGES["train"]
    assert train.file(Place(one, "base", 32)) == files[32]
    assert train.file(Place(study({"kind": "mlp"}), "base", 32)) is None


def test_the_example_of_pytorch_is_a_study(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    one = load("examples/pytorch.yaml")
    made = run_study(one, tmp_path)
    (row,) = artifacts.load(made["claims", "", 0]).data.itertuples()
    assert row.as_expected and row.verdict == "supported"
    for width in one.variants["base"].widths:
        network = artifacts.load(made["network", "base", width]).data
        assert network["ntk"].shape == (16, 2, 16, 1, 16, 1)
        assert (network["loss"][:, -1] < network["loss"][:, 0]).all()


def test_the_example_of_pytorch_trains_as_its_study_says():
    # its networks are trained by PyTorch, which is not installed here
    e = load(ROOT / "examples" / "pytorch.yaml").variants["base"]
    stated = {}
    for node in ast.parse((ROOT / "examples" / "pytorch.py").read_text()).body:
        if isinstance(node, ast.Assign):
            (target,) = node.targets
            names = getattr(target, "elts", [target])
            values = getattr(node.value, "elts", [node.value])
            if len(names) > 1:
                stated |= {
                    name.id: ast.literal_eval(value)
                    for name, value in zip(names, values, strict=True)
                }
    assert stated["WIDTHS"] == e.widths and stated["NETWORKS"] == e.seeds
    assert stated["LEARNING_RATE"] == e.training.learning_rate
    assert stated["STEPS"] == e.training.steps
