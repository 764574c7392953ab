"""Inputs, output and settings of each stage, and the files that a run makes."""

import json

import pytest
from helpers import run_stage, run_study

from ntkpipe import artifacts, stages, study
from ntkpipe.stages import STAGES, Place, plan

PICTURES = ("png", "svg", "pdf", "column.pdf")
STUDY = """
title: A
question: B?
dataset: {kind: points, x: [[1.0], [-1.0]], y: [[1.0], [0.0]], test: 2}
model: {depth: 1}
training: {learning_rate: 0.1, steps: 2, snapshots: 2}
widths: [4, 8]
seeds: 2
variants:
  base: {}
  deep: {model: {depth: 2}, limit: steps}
  other: {dataset: {test: 3}, linearize: none, widths: [8]}
figures:
  - {name: change, kind: scaling, title: T, caption: C, metrics: [{metric: ntk_change}]}
  - {name: deep, kind: spectrum, title: T, caption: C, variants: [deep], widths: [8]}
"""


def parsed(*change):
    text = STUDY.replace(*change) if change else STUDY
    return study.parse(text, "x.yaml")


def inputs(stage, one, *at, **figure):
    found = STAGES[stage].inputs(Place(one, *at, **figure))
    return {source.path(place) for source, place in found}


def test_what_a_run_makes_of_a_study():
    tables = [
        *(f"x/{variant}/constancy.csv" for variant in ("base", "deep", "other")),
        *("x/measurements.csv", "x/claims.csv"),
        *("x/figures/change.csv", "x/figures/deep.csv"),
    ]
    assert set(plan.files(parsed())) == {
        *tables,
        *(f"{table}.json" for table in tables),
        "x/base/dataset.npz",
        "x/other/dataset.npz",
        *(f"x/{v}/width{n}/network.npz" for v in ("base", "deep") for n in (4, 8)),
        *(f"x/{v}/width{n}/linearized.npz" for v in ("base", "deep") for n in (4, 8)),
        "x/other/width8/network.npz",
        "x/deep/limit.npz",
        *(f"x/figures/change.{ending}" for ending in PICTURES),
        *(f"x/figures/deep.{ending}" for ending in PICTURES),
    }


def test_a_stage_reads_what_is_of_its_own_place():
    one = parsed()
    assert inputs("train", one, "deep", 8) == {"x/base/dataset.npz"}
    assert inputs("train", one, "other", 8) == {"x/other/dataset.npz"}
    network = "x/deep/width4/network.npz"
    assert inputs("linearize", one, "deep", 4) == {"x/base/dataset.npz", network}
    other = {"x/other/dataset.npz", "x/other/width8/network.npz"}
    assert inputs("constancy", one, "other") == other
    of_deep = {
        f"x/deep/width{n}/{p}.npz" for n in (4, 8) for p in ("network", "linearized")
    }
    shared = {"x/base/dataset.npz", "x/deep/limit.npz"}
    assert inputs("constancy", one, "deep") == of_deep | shared
    tables = {f"x/{variant}/constancy.csv" for variant in ("base", "deep", "other")}
    assert inputs("measure", one) == tables | {"x/deep/limit.npz"}
    assert inputs("claims", one) == {"x/measurements.csv"}
    assert inputs("figure", one, figure="change") == {"x/measurements.csv"}
    figure = one.figure("deep")
    shown = {"network": "x/deep/width8/network.npz", "limit": "x/deep/limit.npz"}
    shown |= {"linearized": "x/deep/width8/linearized.npz"}
    shown |= {"dataset": "x/base/dataset.npz"}
    found = inputs("figure", one, figure="deep") - {"x/measurements.csv"}
    assert found == {shown[name] for name in figure.reads} and found


def test_a_stage_depends_on_its_own_settings_only():
    def spec(stage, one, width=0):
        return stages.settings(stage, one, "base", width)

    before, wider = parsed(), parsed("[4, 8]", "[4, 8, 16]")
    assert spec("constancy", before) != spec("constancy", wider)
    for stage in ("dataset", "train", "linearize"):
        assert spec(stage, before, 8) == spec(stage, wider, 8)
    more = parsed("seeds: 2", "seeds: 4")
    assert spec("dataset", before) == spec("dataset", more)
    assert spec("train", before, 8) != spec("train", more, 8)
    assert spec("claims", before) == spec("claims", more)
    json.dumps([spec(stage, before, 8) for stage in ("dataset", "train", "limit")])


def test_a_product_that_a_command_does_not_read_is_named(tmp_path):
    one, made = parsed(), run_study(parsed(), tmp_path)
    table, output = made["measurements", "", 0], tmp_path / "network.npz"
    with pytest.raises(
        artifacts.ProductError, match=f"{table} is the measurements of x, whi"
    ):
        run_stage("train", one, "base", 4, [table], output)


def test_a_product_is_of_a_study_if_it_has_its_settings(tmp_path):
    one, data = parsed(), tmp_path / "dataset.npz"
    run_stage("dataset", one, "base", output=data)
    assert plan.is_of(one, str(data))
    assert plan.is_of(parsed("seeds: 2", "seeds: 3"), str(data))
    assert not plan.is_of(parsed("test: 2", "test: 3"), str(data))
    assert not plan.is_of(study.parse(STUDY, "y.yaml"), str(data))
    data.write_bytes(b"")
    assert not plan.is_of(one, str(data))
