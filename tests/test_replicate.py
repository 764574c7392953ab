"""Replicates: runs with other seeds in their own folders, and their verdicts."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from ntkpipe import study
from ntkpipe.stages import STAGES, replicate

ROOT = Path(__file__).parent.parent
FIXED = """\
title: A
question: B?
dataset: {kind: points, x: [[-1], [1]], y: [[1], [0]], test: 3}
model: {depth: 1}
training: {learning_rate: 0.1, steps: 3, record: 2}
widths: [4]
seeds: 2
limit: steps
"""


def written(tmp_path, text, seed=1001):
    path = tmp_path / "one.yaml"
    path.write_text(text)
    return study.load(path), replicate.write_study(path, tmp_path / "again", seed)


def test_a_replicate_has_another_seed_in_all_variants(tmp_path):
    text = FIXED + "seed: 3\nvariants: {a: {}, b: {seed: 7}, c: null}\n"
    one, again = written(tmp_path, text.replace("c: null", "c: {dtype: float32}"))
    assert [e.seed for e in one.variants.values()] == [3, 7, 3]
    assert [e.seed for e in again.variants.values()] == [1004, 1008, 1004]
    assert one.claims == again.claims and one.figures == again.figures


POINTS = "points, x: [[-1], [1]], y: [[1], [0]]"
DRAWN = "gaussian, points: 2, dimension: 1, target: {kind: noise}"
ONE = FIXED.replace("limit: steps\n", "").replace("{depth: 1}", "{kind: one_parameter}")
ALL = {"dataset", "train", "linearize", "constancy", "measure", "claims"}


@pytest.mark.parametrize(
    ("text", "untouched"),
    [
        (FIXED, {"dataset", "limit"}),  # products of networks depend on the seed, too
        (FIXED.replace(POINTS, DRAWN), set()),
        (ONE.replace("widths: [4]", "widths: [1]"), ALL),
    ],
    ids=["points", "noise", "one_parameter"],
)
def test_products_that_do_not_depend_on_a_seed_are_recognised(
    tmp_path, text, untouched
):
    one, again = written(tmp_path, text)
    found = {
        name
        for name, stage in STAGES.items()
        for at in stage.places(one)
        if stage.per != "figure" and replicate.is_untouched(stage, at, again)
    }
    assert found == untouched


def test_the_summary_does_not_count_laws_known_to_be_contradicted():
    table = pd.DataFrame(
        [
            ("s", "A", "law", "", "supported", "supported", "inconclusive"),
            ("s", "B", "law", "contradicted", "contradicted", "supported", "supported"),
            ("s", "C", "identity", "", "supported", "supported", "supported"),
            ("s", "D", "control", "", "contradicted", "contradicted", ""),
        ],
        columns=[*replicate.COLUMNS, "run", "1001"],
    )
    lines = replicate.summary(table).splitlines()
    assert len(lines) == 4
    assert "1 of 1 laws" in lines[0] and "0 of 1 laws" in lines[1]
    assert "1 of 1 controls" in lines[0] and "control" not in lines[1]
    assert "1 not run" in lines[1] and "97%" in lines[1] and "97%" not in lines[0]
    assert lines[2].startswith("    s: A (law)") and lines[2].endswith("inconclusive")
    assert lines[3].startswith("    s: B (law)") and "known to be" in lines[3]


@pytest.mark.workflow
def test_a_replicate_runs_once_and_links_products_that_no_seed_changes(
    finished, tmp_path
):
    folder = tmp_path / "tiny"
    shutil.copytree(finished, folder)
    (folder / "Snakefile").write_text(f'include: "{ROOT}/Snakefile"\n')
    before = {p: p.stat().st_mtime_ns for p in folder.glob("results/**/*.*")}
    command = [sys.executable, "-m", "ntkpipe", "replicate", "all", "--seeds", "1"]

    def run():
        done = subprocess.run(
            [*command, "--cores", "2"],
            **{"cwd": folder, "capture_output": True, "text": True},
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    said = run()
    assert {p: p.stat().st_mtime_ns for p in before} == before
    (own,) = (path.parent for path in folder.glob("results/*/claims.csv"))
    other = folder / "results/replicates/1001" / own.name
    assert "seed 1001: 2 of 2 laws" in said
    table = pd.read_csv(folder / "results/replicates/verdicts.csv")
    assert set(table) == {*replicate.COLUMNS, "run", "1001"} and len(table) == 2
    # the points are fixed, so the limit is linked and not made; networks are new
    assert os.path.samefile(own / "tanh/limit.npz", other / "tanh/limit.npz")
    values = [pd.read_csv(f / "measurements.csv")["value"] for f in (own, other)]
    assert min(map(len, values)) > 500 and not values[0].equals(values[1])
    assert "Nothing to be done" in run()
