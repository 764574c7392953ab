"""The cost of a study: counted operations, and the table of a dry run."""

from pathlib import Path

import numpy as np
import pytest
from helpers import run_study

from ntkpipe import artifacts, cost, study
from ntkpipe.stages import plan

ROOT = Path(__file__).parents[1]
STUDY = """
title: Toy
question: What does it cost?
dataset:
  kind: sphere
  points: 10
  dimension: 4
  test: 5
  target: {kind: teacher, outputs: 3}
model: {depth: 2}
training: {learning_rate: 1, steps: 100, record: 5, snapshots: 2}
widths: [16, 32]
seeds: {16: 4, 32: 2}
figures: []
"""


def experiment(text=STUDY):
    return study.parse(text, "toy.yaml").variants["base"]


def with_data(dataset):
    before, after = STUDY.index("dataset:"), STUDY.index("model:")
    return f"{STUDY[:before]}dataset: {dataset}\n{STUDY[after:]}"


def test_sizes_are_those_of_the_arrays():
    e = experiment()
    assert (cost.points(e), cost.outputs(e)) == (10, 3)
    assert (cost.kernel_rows(e), cost.test_rows(e)) == (30, 15)
    traced = experiment(STUDY.replace("snapshots: 2", "snapshots: 2, kernel: trace"))
    assert cost.kernel_rows(traced) == 10


@pytest.mark.parametrize("kernel", ["full", "trace"])
def test_products_hold_so_many_numbers(tmp_path, kernel):
    change = ("snapshots: 2", f"snapshots: 2, test_kernel: true, kernel: {kernel}")
    one = study.parse(STUDY.replace(*change) + "limit: steps\n", "toy.yaml")
    e, made = one.variants["base"], run_study(one, tmp_path)
    products = ("dataset", 0), ("network", 16), ("linearized", 16), ("limit", 0)
    for name, width in products:
        arrays = artifacts.load(made[name, "base", width]).data
        at = (e, width) if width else (e,)
        estimate = getattr(cost, f"{name}_numbers")(*at)
        assert estimate == pytest.approx(sum(a.size for a in arrays.values()), rel=0.3)
    shown = [("dataset", e, None), ("network", e, 16), ("linearized", e, 16)]
    paths = [made[name, "base", width or 0] for name, _, width in shown]
    numbers = sum(a.size for path in paths for a in artifacts.load(path).data.values())
    assert cost.shown_mb(1000 * shown) == pytest.approx(16e-3 * numbers, rel=0.3)


def test_a_users_data_are_counted_where_they_are(tmp_path):
    path = tmp_path / "mine.npz"
    text = with_data(f"{{kind: npz, path: {path}}}")
    guess = experiment(text)
    assert (cost.points(guess), cost.test_points(guess)) == (1000, 1000)
    x, y = np.zeros((70, 3072), np.uint8), np.zeros((70, 2))
    np.savez(path, x_train=x, y_train=y, x_test=x[:9], y_test=y[:9])
    cost.sizes.cache_clear()
    e = experiment(text)
    assert (cost.points(e), cost.test_points(e), cost.outputs(e)) == (70, 9, 2)
    assert cost.kernel_rows(e) == 140
    assert cost.data_mb(e) == 3 * 79 * 3072 * 8 // 10**6


def test_the_memory_of_images_and_of_eigenvectors_is_planned():
    plain = with_data("{kind: mnist5k, train: 2000, test: 500}")
    e = experiment(plain)
    assert cost.data_mb(e) == 3 * 2500 * 784 * 8 // 10**6
    assert cost.weights(e, 100) == 100**2 + (784 + 10) * 100
    hard = experiment(plain.replace("500}", "500, target: {kind: eigenvector}}"))
    # a kernel, a copy and its eigenvectors at least
    assert cost.data_mb(hard) > cost.data_mb(e) + 3 * 2000**2 * 8 / 1e6
    assert cost.data_flop(e) == 0 and cost.data_flop(hard) == 20 * 2000**3


@pytest.mark.parametrize(
    ("change", "factor"),
    [(("steps: 100", "steps: 200"), 2), (("16: 4", "16: 8"), 2)],
)
def test_operations_grow_with_steps_and_networks(change, factor):
    before = cost.train_flop(experiment(STUDY.replace("depth: 2", "depth: 1")), 16)
    text = STUDY.replace("depth: 2", "depth: 1").replace(*change)
    assert cost.train_flop(experiment(text), 16) == pytest.approx(
        factor * before, rel=0.2
    )


def test_the_number_of_jobs_is_that_of_the_workflow():
    one = study.parse(STUDY, "toy.yaml")
    # measure, claims; data; constancy; train and linearize at two widths
    assert plan.of_study(one).jobs == 2 + 1 + 1 + 2 * 2


def test_a_large_study_wants_a_gpu_and_a_small_one_does_not():
    small = plan.of_study(study.parse(STUDY, "toy.yaml"))
    large = plan.of_study(study.load(ROOT / "config/paper/jacot_figure1.yaml"))
    assert small.gpu_s == pytest.approx(small.cores_s)
    assert large.gpu_s < large.cores_s / 20


def test_the_last_row_of_the_table_is_the_sum():
    one = study.parse(STUDY, "toy.yaml")
    lines = plan.table([one]).splitlines()
    assert lines[0].split()[:2] == ["study", "jobs"]
    assert [line.split()[0] for line in lines[1:]] == ["toy", "the", "in"]
    assert int(lines[-1].split()[2]) == int(lines[1].split()[1]) + 1
    lines = plan.table([one], [("train", plan.Place(one, "base", 16))]).splitlines()
    assert lines[1].split()[1:3] == ["8", "1"] and lines[-1].split()[2:4] == ["9", "1"]


@pytest.mark.parametrize(
    "path", sorted((ROOT / "config/paper").glob("*.yaml")), ids=str
)
def test_studies_at_the_papers_sizes_are_valid_and_have_a_control(path):
    one = study.load(path)
    assert any(claim.nature == "control" for claim in one.claims)
    assert not (ROOT / "config/studies" / path.name).exists(), "results would collide"
