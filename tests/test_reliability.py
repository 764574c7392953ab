"""Failures: damaged files, hostile input, bad numbers, full disks, killed processes.

docs/reliability.md lists the promises that these tests check, and how to run more.
"""

import contextlib
import copy
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fuzz import kills, studies
from helpers import run_stage, run_study
from test_workflow import ROOT, environment, snakemake

from ntkpipe import artifacts, experiment, provenance, runtime, study
from ntkpipe.claims import reading
from ntkpipe.stages import report as build
from ntkpipe.stages.verify import verify

MICRO = {
    "title": "Micro",
    "question": "Does it hold?",
    "dataset": {
        "kind": "points",
        "x": [[1.0, 0.5], [-0.5, 1.0], [0.2, -1.0]],
        "y": [[1.0], [-1.0], [0.5]],
        "test": 3,
    },
    "model": {"activation": "tanh"},
    "training": {"learning_rate": 0.5, "steps": 5, "record": 4, "snapshots": 2},
    "widths": [4, 8],
    "seeds": 3,
    "limit": "steps",
    "claims": [
        {
            "id": "still",
            "kind": "bound",
            "set": "before",
            "says": "The kernel stands still",
            "source": "nobody",
            "metric": "ntk_change",
            "statistic": "max",
            "at_most": 10,
        }
    ],
    "figures": [
        {
            "name": "loss",
            "kind": "scaling",
            "title": "Kernel",
            "caption": "Change of the kernel.",
            "metrics": [{"metric": "ntk_change"}],
        }
    ],
}


def micro(**change):
    """The micro study with changes of its experiment."""
    raw = copy.deepcopy(MICRO)
    for key, value in change.items():
        raw[key] = raw.get(key, {}) | value if isinstance(value, dict) else value
    return study.parse(json.dumps(raw), "micro.yaml")


def page(one, made, folder):
    """The text of the page of a study, its figures drawn."""
    table = made["measurements", "", 0]
    drawn = []
    for figure in one.figures:
        outputs = [
            str(folder / one.name / "figures" / f"{figure.name}.{ending}")
            for ending in ("csv", "svg")
        ]
        run_stage("figure", one, inputs=[table], output=outputs, figure=figure.name)
        drawn += outputs
    output = folder / "index.html"
    run_stage(
        "report", one, inputs=[table, made["claims", "", 0], *drawn], output=output
    )
    return output.read_text(encoding="utf-8")


def values(made, metric):
    """The rows of a metric in the table of all measurements."""
    table = artifacts.load(made["measurements", "", 0]).data
    return table[table["metric"] == metric]


# ------------------------------------------------- names


@pytest.mark.parametrize("name", ["2024", "nan"])
def test_names_may_look_like_numbers_or_nothing(tmp_path, name, capsys):
    claim = MICRO["claims"][0] | {"id": "NA", "variant": "inf"}
    own = json.dumps(MICRO | {"widths": [4], "seeds": 1, "claims": [claim]})
    variants = "{2: {}, '1e3': {seed: 1}, 'null': {seed: 2}, inf: {seed: 3}}"
    text = f"{own[:-1]}, variants: {variants}}}"
    one = study.parse(text, f"{name}.yaml")
    made = run_study(one, tmp_path)
    rows = artifacts.load(made["measurements", "", 0]).data
    assert set(rows["variant"]) == {"2", "1e3", "null", "inf"}
    shown = page(one, made, tmp_path)
    assert "The kernel stands still" in shown and ">NA<" in shown
    assert verify([one], [made["claims", "", 0]]) == 1  # of one seed
    assert f"{name}: NA is inconclusive" in capsys.readouterr().out


# ------------------------------------------------- damage

# the first stage that reads each product: (stage, its product, variant, width)
READER = {
    "dataset": "train",
    "network": "constancy",
    "linearized": "constancy",
    "limit": "constancy",
    "constancy": "measure",
    "measurements": "claims",
}
NEEDED = {"train": (), "constancy": ("network", "linearized", "limit")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The micro study, run."""
    one = micro()
    return one, run_study(one, tmp_path_factory.mktemp("micro"))


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """A study with the same products, other numbers, and another name."""
    raw = copy.deepcopy(MICRO) | {"seed": 5}
    one = study.parse(json.dumps(raw), "other.yaml")
    return run_study(one, tmp_path_factory.mktemp("other"))


@pytest.fixture(scope="module")
def reseeded(tmp_path_factory):
    """The micro study with another seed, as from a backup or another branch."""
    return run_study(micro(seed=5), tmp_path_factory.mktemp("reseeded"))


def read(one, made, product):
    """Run the stage that reads a product, and return the path of its output."""
    variant, width = ("", 0) if product == "measurements" else ("base", 4)
    name = READER[product]
    if name == "constancy":
        width = 0
    if name == "measure":
        inputs = [p for key, p in made.items() if key[0] in ("constancy", "limit")]
        variant, width = "", 0
    elif name == "claims":
        inputs = [made["measurements", "", 0]]
    else:
        inputs = [
            path
            for key, path in made.items()
            if key[1] == "base" and key[0] in ("dataset", *NEEDED[name])
        ]
    ending = "npz" if name == "train" else "csv"
    output = Path(made["measurements", "", 0]).parent / f"again.{ending}"
    run_stage(name, one, variant, width, inputs, output)
    return output.read_bytes()


def damages(path, *others):
    """Ways to damage a file: a name, and the damaged bytes."""
    body = Path(path).read_bytes()
    rng = random.Random(str(path))
    yield "emptied", b""
    yield "cut in half", body[: len(body) // 2]
    yield "cut by a byte", body[:-1]
    yield "zeros", bytes(len(body))
    for strange in others:
        if strange == body:
            continue  # a table may have the same numbers and another record
        yield "of another study or seed", strange
    yield "a pickle", b"\x80\x04\x95\x0c\x00\x00\x00\x00\x00\x00\x00\x8c\x08"
    yield "text", b"<html>404</html>"
    for _ in range(12):
        bit = rng.randrange(8 * len(body))
        flipped = bytearray(body)
        flipped[bit // 8] ^= 1 << bit % 8
        yield f"bit {bit} flipped", bytes(flipped)


def files(path):
    """The files of a product: a table has its record beside it."""
    path = Path(path)
    return [path, artifacts.record_of(path)] if path.suffix == ".csv" else [path]


def spoilt(path, *others):
    """Ways to damage a product: damage one file, or take all files of another one."""
    whole = [file.read_bytes() for file in files(path)]
    strange = [[file.read_bytes() for file in files(other)] for other in others]
    for which, file in enumerate(files(path)):
        for kind, body in damages(file, *(bodies[which] for bodies in strange)):
            yield kind, [*whole[:which], body, *whole[which + 1 :]]
    yield from (("all of another study or seed", bodies) for bodies in strange)


@pytest.mark.parametrize("product", READER)
def test_a_damaged_product_is_named_or_reads_as_before(
    whole, other, reseeded, product, tmp_path
):
    one, made = whole
    key = next(k for k in made if k[0] == product)
    wanted = read(one, made, product)
    found = {}
    path = tmp_path / Path(made[key]).name
    for kind, bodies in spoilt(made[key], other[key], reseeded[key]):
        for file, body in zip(files(path), bodies, strict=True):
            file.write_bytes(body)
        try:
            result = read(one, made | {key: str(path)}, product)
        except artifacts.ProductError as error:
            assert str(path) in str(error), kind
            assert "delete it and run again" in str(error)
            found[kind] = "refused"
        else:  # a bit of the archive that no number depends on
            assert result == wanted, kind
            found[kind] = "as before"
    if product in ("dataset", "limit"):  # of fixed points: alike for all seeds
        found = {k: v for k, v in found.items() if "another study or seed" not in k}
    assert all(v == "refused" for k, v in found.items() if not k.startswith("bit"))


def test_a_product_of_another_width_is_refused(whole, tmp_path):
    one, made = whole
    # it is unknown which of the two files is in the wrong place
    there = made["network", "base", 8]
    copied = shutil.copy(there, tmp_path / "network.npz")
    swapped = made | {("network", "base", 4): copied}
    says = "are both the network of micro, base, width 8: delete both and run again"
    with pytest.raises(artifacts.ProductError, match=says) as error:
        read(one, swapped, "network")
    assert str(copied) in str(error.value) and str(there) in str(error.value)
    says = rf"no network of micro, base, width 4 .*{there} .* micro, base, width 8"
    data, output = made["dataset", "base", 0], str(tmp_path / "linearized.npz")
    with pytest.raises(artifacts.ProductError, match=says):
        run_stage("linearize", one, "base", 4, [data, there], output)
    lacking = {k: v for k, v in made.items() if k != ("network", "base", 4)}
    with pytest.raises(artifacts.ProductError, match="no network of micro, base"):
        read(one, lacking, "network")


def test_products_of_a_users_other_file_are_refused(tmp_path):
    own, x = tmp_path / "mine.npz", np.arange(6.0).reshape(3, 2)

    def bring(scale, at):
        arrays = {name: scale * x for name in ("x_train", "x_test")}
        arrays |= {name: x[:, 0] for name in ("y_train", "y_test")}
        np.savez(own, **arrays)
        os.utime(own, (at, at))

    def made(name, of, inputs=(), width=0):
        output = str(tmp_path / of / f"{name}.npz")
        return run_stage(name, one, "base", width, inputs, output)

    raw = MICRO | {"dataset": {"kind": "npz", "path": str(own)}}
    one = study.parse(json.dumps(raw), "micro.yaml")
    bring(1.0, at=2000)
    old = made("dataset", "old")
    network = made("train", "old", [old], 4)
    bring(2.0, at=1000)
    again = f".* {own}: delete it and run again"
    with pytest.raises(artifacts.ProductError, match=rf"old/dataset.npz {again}"):
        made("limit", "old", [old])
    new = made("dataset", "new")
    with pytest.raises(artifacts.ProductError, match=rf"old/train.npz {again}"):
        made("linearize", "new", [new, network], 4)
    own.unlink()
    with pytest.raises(artifacts.ProductError, match=r"new/dataset.npz .*old/train"):
        made("linearize", "new", [new, network], 4)
    made("linearize", "old", [old, network], 4)


@pytest.mark.parametrize("name", ["claims", "figure"])
def test_a_command_without_the_measurements_says_so(whole, tmp_path, name):
    one, _ = whole
    with pytest.raises(
        artifacts.ProductError, match=r"no measurements of micro among .*none"
    ):
        figure = "loss" if name == "figure" else ""
        run_stage(name, one, output=tmp_path / "made.csv", figure=figure)


def test_verify_refuses_what_is_not_the_claims_of_its_studies(
    whole, other, reseeded, capsys
):
    one, made = whole
    second = study.parse(json.dumps(MICRO | {"seed": 5}), "other.yaml")
    ours, theirs, before = (
        str(paths["claims", "", 0]) for paths in (made, other, reseeded)
    )
    assert verify([one, second], [ours, theirs]) == 0
    assert "2 of 2 laws and numbers as expected" in capsys.readouterr().out
    for studies_, inputs, says in (
        (
            [one, second],
            [ours, ours],
            f"{ours} and {ours} are both the claims of micro",
        ),
        ([one], [theirs], f"{theirs} belongs to other, not to micro"),
        ([one], [made["measurements", "", 0]], "no claims of micro among the inputs"),
        (
            [one],
            [before],
            f"{before} was made from a network of micro, base, width 4 with other",
        ),
        ([micro(claims=[])], [ours], f"{ours} was made with another spec"),
    ):
        with pytest.raises(artifacts.ProductError, match=re.escape(says)):
            verify(studies_, inputs)


def test_a_damaged_figure_is_named(whole, other, tmp_path):
    """Picture or table: every flipped bit is found when the page is made."""
    one, made = whole
    name = one.figures[0].name
    folder = tmp_path / one.name / "figures"
    paths = [str(folder / f"{name}.{e}") for e in ("csv", "png", "svg", "pdf")]
    tables = made["measurements", "", 0], made["claims", "", 0]
    output = tmp_path / "index.html"

    def draw(study_, table, outputs):
        run_stage("figure", study_, inputs=[table], output=outputs, figure=name)

    def report():
        run_stage("report", one, inputs=[*tables, *paths], output=output)

    folder.mkdir(parents=True)
    draw(one, tables[0], paths)
    report()
    output.unlink()
    # figures of another study, of another seed, and with other settings
    theirs, reseeded_, strict = (str(tmp_path / f"{n}.csv") for n in "abc")
    again = study.parse(json.dumps(MICRO | {"seed": 5}), "other.yaml")
    draw(again, other["measurements", "", 0], [theirs])
    before = run_study(micro(seed=5), tmp_path / "before")
    draw(micro(seed=5), before["measurements", "", 0], [reseeded_])
    captioned = micro(figures=[MICRO["figures"][0] | {"caption": "Another."}])
    draw(captioned, tables[0], [strict])
    for path in paths:
        body = [file.read_bytes() for file in files(path)]
        others = (theirs, reseeded_, strict) if path.endswith("csv") else ()
        for damage, bodies in spoilt(path, *others):
            for file, changed in zip(files(path), bodies, strict=True):
                file.write_bytes(changed)
            with pytest.raises(
                artifacts.ProductError, match="delete it and run again"
            ) as bad:
                report()
            assert str(path) in str(bad.value), damage
            assert not output.exists()
        for file, whole_ in zip(files(path), body, strict=True):
            file.write_bytes(whole_)
    report()
    del paths[0]
    with pytest.raises(artifacts.ProductError, match=f"no table of the figure {name}"):
        report()


def test_what_a_killed_writer_left_is_cleared_but_not_what_is_written(tmp_path):
    left = tmp_path / ".a.csv.x1y2.tmp"
    left.write_text("half")
    with artifacts.atomic(tmp_path / "a.csv") as first:
        assert not left.exists()
        first.write(b"first")
        with artifacts.atomic(tmp_path / "a.csv") as second:
            second.write(b"second")
    assert (tmp_path / "a.csv").read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["a.csv"]


@pytest.mark.workflow
def test_a_damaged_intermediate_is_made_anew_once_deleted(finished, tmp_path):
    folder = Path(shutil.copytree(finished, tmp_path / "copy"))
    network = folder / "results" / "tiny" / "tanh" / "width16" / "network.npz"
    whole = kills.contents(folder)
    network.write_bytes(network.read_bytes()[:-100])
    said = snakemake(folder, fails=1)
    assert "tanh/width16/network.npz is damaged" in said and "Traceback" not in said
    network.unlink()
    snakemake(folder)
    assert kills.contents(folder) == whole


# ------------------------------------------------- hostile study files


def test_mutated_studies_are_valid_or_refused_by_key():
    small = [path for path in studies.FILES if path.stat().st_size < 3000]
    counts, wrong, slowest = studies.survey(2000, 20, small)
    assert not wrong, wrong[0]
    assert counts["valid"] > 50 and counts["refused"] > 1000
    assert slowest < studies.SECONDS


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"a{i}: 1\n" for i in range(20_000)),
        "dataset: {kind: points, x: [[" + "a, " * 60_000 + "]], y: [[1]]}",
        "a: " + "[" * 100_000,
        "a: " + "1" * 200_000,
        "widths: [" + ", ".join(map(str, range(1, 40_000))) + "]",
        "variants: {" + ", ".join(f"v{i}: " for i in range(20_000)) + "}",
        "? " * 50_000,
        "- " * 50_000,
        "&a " * 10_000,
    ],
    ids=lambda text: text[:12],
)
def test_large_files_are_refused_in_seconds(text, tmp_path):
    path = tmp_path / "large.yaml"
    path.write_text(text)
    begin = time.process_time()
    with pytest.raises(study.StudyError) as error:
        study.load(path)
    assert time.process_time() - begin < 5
    assert len(str(error.value)) < 20_000


def test_too_many_trainings_are_refused():
    widths = list(range(1, experiment.MOST_JOBS + 2))
    with pytest.raises(study.StudyError, match=r"widths: 5001 of them, at most 5000"):
        micro(widths=widths)


PLAN = """\
import json, pathlib, sys
from snakemake.api import SnakemakeApi
from snakemake.settings.enums import Quietness
from snakemake.settings.types import OutputSettings, ResourceSettings
with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
    flow = api.workflow(
        resource_settings=ResourceSettings(cores=2),
        snakefile=pathlib.Path(sys.argv[1]),
        workdir=pathlib.Path.cwd(),
    )
    flow.dag().execute_workflow(executor="dryrun")
    print(json.dumps([
        [job.rule.name, job.wildcards.get("variant") or job.wildcards.get("figure"), {
            "threads": job.threads,
            **{n: job.resources.get(n) for n in ("gpu", "mem_mb", "runtime")},
        }]
        for job in flow._workflow.dag.jobs
    ]))
"""


@pytest.mark.workflow
def test_absurd_sizes_are_planned_and_asked_for(tmp_path):
    folder = tmp_path / "tiny"
    shutil.copytree(ROOT / "tests" / "workflow", folder)
    raw = json.loads(json.dumps(MICRO))
    raw["dataset"] = {
        "kind": "gaussian",
        "points": 10**7,
        "target": {"kind": "eigenvector"},
        "test": 10**7,
    }
    raw["training"] |= {"steps": 10**9, "record": 10_000, "snapshots": 1000}
    raw |= {"widths": [10**7], "seeds": 10**6}
    raw["variants"] = {
        "absurd": {},
        "toy": {"dataset": {"points": 4, "test": 9}, "widths": [16], "seeds": 1},
        "wide": {
            "dataset": {"points": 64, "test": 9},
            "training": {"steps": 10**5},
            "widths": [8192],
        },
        "few": {"dataset": {"points": 4}, "training": {"steps": 9}, "widths": [65536]},
        "brief": {
            "dataset": {"points": 64, "test": 9},
            "training": {"steps": 100},
            "widths": [8192],
            "seeds": 1,
        },
    }
    raw["claims"] = []
    raw["figures"] = [
        MICRO["figures"][0]
        | {"name": variant, "kind": "function_band", "variants": [variant]}
        for variant in ("toy", "wide", "absurd")
    ]
    for figure in raw["figures"]:
        del figure["metrics"]
    (folder / "config" / "studies" / "tiny.yaml").write_text(json.dumps(raw))
    begin = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run(
        [sys.executable, "-c", PLAN, ROOT / "Snakefile"],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - begin < 60
    plan = {(r, at): job for r, at, job in json.loads(done.stdout.splitlines()[-1])}
    asked = {at: job for (rule, at), job in plan.items() if rule == "train"}
    toy, wide, absurd = (asked[name] for name in ("toy", "wide", "absurd"))
    # a toy gets one core and no GPU; a wide network gets all cores that --cores allows
    assert (toy["threads"], toy["gpu"]) == (1, 0)
    assert (wide["threads"], wide["gpu"]) == (2, 1)
    # products of a few rows are limited by memory bandwidth, and a short job mostly
    # starts and compiles, so a second core does not help
    for name in ("few", "brief"):
        assert (asked[name]["threads"], asked[name]["gpu"]) == (1, 1)
    assert toy["runtime"] < wide["runtime"] < absurd["runtime"]
    for rule in ("dataset", "train", "linearize", "limit", "constancy", "figure"):
        toy, wide, absurd = (plan[rule, at] for at in ("toy", "wide", "absurd"))
        assert toy["mem_mb"] <= wide["mem_mb"] < absurd["mem_mb"] / 1000, rule
        assert toy["runtime"] <= wide["runtime"] < absurd["runtime"] / 1000, rule
        # and next to nothing for a toy beside what a start takes
        assert toy["mem_mb"] < 2100, rule


# ------------------------------------------------- numbers that go wrong


# no network is left to draw, and the picture says so
@pytest.mark.filterwarnings("ignore:Data has no positive values")
def test_diverged_networks_are_reported_and_stop_no_other_job(tmp_path):
    one = micro(
        variants={
            "wild": {
                "model": {"activation": "relu"},
                "training": {"learning_rate": 1e6, "steps": 200},
            },
            "tame": {},
        },
        widths=[8],
        claims=[
            MICRO["claims"][0] | {"id": variant, "variant": variant}
            for variant in ("wild", "tame")
        ],
        figures=[MICRO["figures"][0] | {"variants": ["wild", "tame"]}],
    )
    made = run_study(one, tmp_path)
    diverged = values(made, "diverged").groupby("variant")["value"].mean()
    assert diverged["wild"] > 0 and diverged["tame"] == 0
    table = artifacts.load(made["measurements", "", 0]).data
    assert np.isfinite(table["value"]).all()
    claims = artifacts.load(made["claims", "", 0]).data.set_index("claim")
    assert claims.loc["tame", "verdict"] == "supported"
    assert claims.loc["wild", "verdict"] == "missing" or "diverged" in str(
        claims.loc["wild", "detail"]
    )
    assert re.search(
        r"wild, widths? [48, ]+: \d of 3 networks diverged", page(one, made, tmp_path)
    )


def test_dead_networks_are_reported(tmp_path):
    one = micro(
        dataset={"x": [[1.0], [2.0]], "y": [[1.0], [2.0]]},
        model={"activation": "relu"},
        training={"learning_rate": 0.05},
        widths=[1],
        seeds=10,
        limit="none",
    )
    made = run_study(one, tmp_path)
    table = values(made, "dead")
    dead = table[table["step"] == 0].set_index("seed")["value"]
    network = artifacts.load(made["network", "base", 1]).data
    assert dead.tolist() == [float(k.max() == 0) for k in network["nngp"][:, 0]]
    assert 0 < dead.sum() < 10
    # 0/0 has no row, but a row `undefined/…` counts it
    change, undefined = values(made, "ntk_change"), values(made, "undefined/ntk_change")
    assert len(change["seed"].unique()) == 10 - dead.sum()
    assert (
        undefined["seed"][undefined["value"] > 0].tolist()
        == dead.index[dead == 1].tolist()
    )
    text = page(one, made, tmp_path)
    # more networks died during training, and have no value at the end
    ever = table.groupby("seed")["value"].max()
    assert f"{ever.sum():.0f} of 10 networks are dead" in text
    assert dead.sum() < ever.sum() < 10
    everything = artifacts.load(made["measurements", "", 0]).data
    cosine = reading.read(everything, "ntk_cosine", "final", None, 1, None).values
    assert set(cosine.index.unique("seed")) == set(ever.index[ever == 0])
    assert "no value (0/0) of" in text


def test_a_study_of_dead_networks_has_its_page(tmp_path):
    """All networks are dead from the start, so a figure has nothing to show."""
    dead = {
        "dataset": {"x": [[1.0], [2.0]], "y": [[1.0], [2.0]]},
        "model": {"activation": "relu"},
        "widths": [1],
        "seeds": 2,
        "limit": "none",
    }
    one = micro(seed=1, **dead)
    made = run_study(one, tmp_path / "one")
    assert (values(made, "dead")["value"] == 1).all()
    assert "2 of 2 networks are dead" in page(one, made, tmp_path / "one")
    drawn = artifacts.load(tmp_path / "one" / "micro" / "figures" / "loss.csv").data
    assert "no metric ntk_change" in drawn["note"].item()
    # those beside them are shown
    both = [MICRO["figures"][0] | {"variants": ["dead", "tame"]}]
    variants = {"dead": dead, "tame": {}}
    beside = micro(seed=1, variants=variants, claims=[], figures=both)
    made = run_study(beside, tmp_path / "two")
    assert "2 of 2 networks are dead" in page(beside, made, tmp_path / "two")
    drawn = artifacts.load(tmp_path / "two" / "micro" / "figures" / "loss.csv").data
    assert set(drawn["variant"]) == {"tame"}


def test_duplicate_points_make_a_singular_kernel_that_is_reported(tmp_path, caplog):
    points = [[1.0, 0.5], [1.0, 0.5], [0.2, -1.0]]
    one = micro(dataset={"x": points}, widths=[4])
    made = run_study(one, tmp_path)
    assert "training points 0 and 1 are equal: H is singular" in caplog.text
    assert (values(made, "singular")["value"] == 1).all()
    assert values(made, "ntk_condition").empty
    assert not values(made, "linear_gap").empty
    assert "3 of 3 networks have a singular kernel" in page(one, made, tmp_path)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_change_below_rounding_is_reported(tmp_path, dtype):
    one = micro(
        model={"alpha": 1e5, "zero_output": "subtract"},
        training={"learning_rate": 0.01},
        dtype=dtype,
        widths=[512],
        limit="none",
    )
    made = run_study(one, tmp_path)
    change = values(made, "ntk_change")["value"]
    lost = dtype == "float32"
    assert (values(made, "unresolved")["value"] == lost).all()
    text = page(one, made, tmp_path)
    said = "3 of 3 networks moved their kernel"
    # at the study, and at the claim that the kernel is constant
    assert text.count(said) == (3 if lost else 0)
    if not lost:
        final = change[change > 0]
        assert len(final) == 3 and final.max() < 1e-5


def test_products_have_no_nan_without_a_report(whole):
    _, made = whole
    for key, path in made.items():
        data = artifacts.load(path).data
        if isinstance(data, pd.DataFrame):
            if key[0] != "claims":
                assert np.isfinite(data["value"]).all()
        else:
            for array in data.values():
                assert array.dtype.kind != "f" or np.isfinite(array).all()
    for metric in ("diverged", "dead", "singular", "unresolved"):
        found = values(made, metric)["value"]
        assert len(found) >= 6 and (found == 0).all(), metric


def test_the_page_says_what_made_it(whole, tmp_path):
    one, made = whole
    text = page(one, made, tmp_path)
    versions = provenance.versions()
    assert f"jax {versions['jax']}" in text and f"python {versions['python']}" in text
    assert "Run on cpu (3 networks per width, seed 0)" in text
    few = micro(
        seed=7, variants={"one": {"seeds": 1}, "two": {}}, claims=[], figures=[]
    )
    assert build.seeds(few) == "1 to 3 networks per width, seed 7"


def test_versions_and_devices_are_those_of_all_jobs(whole, tmp_path):
    """After an upgrade claims are made again, and networks are not."""
    one, made = whole
    meta, table = artifacts.load(made["constancy", "base", 0])
    newer = provenance.versions()["jax"]
    meta["versions"] |= {"jax": "0.9.1"}
    before = str(tmp_path / "constancy.csv")
    artifacts.save_table(before, table, meta | {"device": "gpu: H100"})
    inputs = [before, made["limit", "base", 0]]
    measured = str(tmp_path / "measurements.csv")
    run_stage("measure", one, inputs=inputs, output=measured)
    judged = run_stage("claims", one, inputs=[measured], output=tmp_path / "claims.csv")
    made = {("measurements", "", 0): measured, ("claims", "", 0): judged}
    text = page(one, made, tmp_path)
    assert f"with jax {', '.join(sorted(('0.9.1', newer)))}." in text
    assert "Run on cpu, gpu: H100" in text


def test_the_same_commands_give_the_same_bytes(whole, tmp_path):
    one, made = whole
    again = run_study(one, tmp_path)
    for key, path in made.items():
        assert Path(path).read_bytes() == Path(again[key]).read_bytes(), key


# ------------------------------------------------- cores and GPUs

BUSY = """\
import sys, time
from ntkpipe import runtime
runtime.limit_threads(sys.argv[1])
import jax, numpy as np
jax.config.update("jax_enable_x64", True)
a = jax.random.normal(jax.random.key(0), (700, 700))
multiply = jax.jit(lambda a: (a @ a.T / 700).clip(-1, 1) + jax.numpy.sin(a))
solve = jax.jit(lambda a: jax.numpy.linalg.eigh(a @ a.T)[1])
wall, cpu = time.monotonic(), time.process_time()
while time.monotonic() < wall + 1.5:
    a = multiply(a).block_until_ready()
    solve(a).block_until_ready()
    np.linalg.eigvalsh(np.asarray(a @ a.T))
print((time.process_time() - cpu) / (time.monotonic() - wall))
"""


def test_one_thread_is_one_core():
    done = subprocess.run(
        [sys.executable, "-c", BUSY, "1"],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(done.stdout) < 1.1


@pytest.mark.workflow
def test_one_core_or_two_change_no_verdict_of_a_study(finished, tmp_path):
    """The tiny study with two threads a job, one job at a time."""
    folder = Path(shutil.copytree(ROOT / "tests" / "workflow", tmp_path / "tiny"))
    stages_ = ("dataset", "train", "linearize", "limit", "constancy", "measure")
    threads = [f"{stage}=2" for stage in (*stages_, "claims")]
    target = "results/tiny/claims.csv"
    snakemake(folder, "--set-threads", *threads, "--", target)
    one, two = (
        {
            name: artifacts.load(where / "results" / "tiny" / f"{name}.csv").data
            for name in ("claims", "measurements")
        }
        for where in (finished, folder)
    )
    assert (one["claims"]["verdict"] == two["claims"]["verdict"]).all()
    same = [c for c in one["measurements"] if c != "value"]
    pd.testing.assert_frame_equal(
        one["measurements"][same], two["measurements"][same], check_exact=True
    )
    values = [
        table["measurements"].set_index("metric")["value"] for table in (one, two)
    ]
    for metric in values[0].index.unique():
        first, second = (value.loc[[metric]].to_numpy() for value in values)
        scale = max(np.abs(first).max(), 1e-300)
        assert np.abs(first - second).max() <= 1e-9 * scale, metric


def test_one_core_or_two_make_no_difference_that_counts(tmp_path):
    """A wide network, whose matrix products XLA divides among the cores."""
    raw = copy.deepcopy(MICRO) | {"widths": [1024], "seeds": 1, "claims": []}
    raw["model"]["depth"] = 2
    raw["training"] |= {"steps": 20}
    raw["figures"] = []
    raw["dataset"] = {
        "kind": "sphere",
        "points": 64,
        "dimension": 8,
        "target": {"kind": "noise"},
    }
    path = tmp_path / "wide.yaml"
    path.write_text(json.dumps(raw))
    common = ["--variant", "base", "--threads"]

    def ntkpipe(*words):
        done = [sys.executable, "-m", "ntkpipe", *map(str, words)]
        subprocess.run(done, env=environment(), check=True, capture_output=True)

    data = tmp_path / "dataset.npz"
    ntkpipe("dataset", path, "--output", data, *common, 1)
    arrays = []
    for threads in (1, 2):
        output = tmp_path / f"network{threads}.npz"
        where = ["--input", data, "--output", output, "--width", 1024]
        ntkpipe("train", path, *where, *common, threads)
        arrays.append(artifacts.load(output).data)
    for name, array in arrays[0].items():
        if array.dtype.kind == "f":
            scale = max(np.abs(array).max(), 1e-300) if array.size else 1
            assert np.abs(array - arrays[1][name]).max(initial=0) < 1e-9 * scale, name


SLOT = """\
import os, time
from ntkpipe import runtime
lock = runtime.choose_device(1)
print(os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
time.sleep(60)
"""


def test_each_gpu_has_one_job_and_is_free_again_after_kill_9(tmp_path):
    def job():
        return subprocess.Popen(
            [sys.executable, "-c", SLOT],
            cwd=tmp_path,
            env={**environment(), "NTKPIPE_GPUS": "0,1"},
            stdout=subprocess.PIPE,
            text=True,
        )

    running = [job(), job()]
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: [process.kill() for process in running])
        mine = [process.stdout.readline().strip() for process in running]
        assert sorted(mine) == ["0", "1"]
        running.append(job())
        time.sleep(0.5)
        os.set_blocking(running[2].stdout.fileno(), False)
        assert not running[2].stdout.readline()
        running[1].send_signal(signal.SIGKILL)
        running[1].wait()
        os.set_blocking(running[2].stdout.fileno(), True)
        assert running[2].stdout.readline().strip() == mine[1]


@pytest.mark.parametrize(
    ("gpus", "given", "wanted"),
    [
        (0, {"NTKPIPE_GPUS": "0"}, {"JAX_PLATFORMS": "cpu"}),
        (1, {}, {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}),
        (1, {"NTKPIPE_GPUS": "3"}, {"CUDA_VISIBLE_DEVICES": "3"}),
        (1, {"CUDA_VISIBLE_DEVICES": "5,7"}, {"CUDA_VISIBLE_DEVICES": "5"}),
        (1, {"CUDA_VISIBLE_DEVICES": "-1"}, {"CUDA_VISIBLE_DEVICES": "-1"}),
        # SLURM has chosen already
        (1, {"NTKPIPE_GPUS": "3", "SLURM_JOB_ID": "1"}, {"CUDA_VISIBLE_DEVICES": None}),
        (
            1,
            {"CUDA_VISIBLE_DEVICES": "4", "SLURM_JOB_ID": "1"},
            {"CUDA_VISIBLE_DEVICES": "4"},
        ),
        # or has left a choice
        (
            1,
            {"CUDA_VISIBLE_DEVICES": "4,6", "SLURM_JOB_ID": "1"},
            {"CUDA_VISIBLE_DEVICES": "4"},
        ),
    ],
)
def test_devices_are_chosen_by_the_environment(
    monkeypatch, tmp_path, gpus, given, wanted
):
    monkeypatch.chdir(tmp_path)
    for name in (
        *("JAX_PLATFORMS", "CUDA_VISIBLE_DEVICES", "XLA_PYTHON_CLIENT_PREALLOCATE"),
        *("NTKPIPE_GPUS", "SLURM_JOB_ID"),
    ):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(runtime.glob, "glob", lambda pattern: [])
    lock = runtime.choose_device(gpus)
    assert {name: os.environ.get(name) for name in wanted} == wanted
    if lock:
        lock.close()


def test_all_gpus_of_a_machine_are_slots(monkeypatch, tmp_path, caplog):
    monkeypatch.chdir(tmp_path)
    for name in ("NTKPIPE_GPUS", "SLURM_JOB_ID", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    devices = ["/dev/nvidia3", "/dev/nvidia4"]
    monkeypatch.setattr(runtime.glob, "glob", lambda pattern: devices)
    monkeypatch.setattr(runtime, "entry_points", lambda group: ())
    locks = []
    for wanted in ("0", "1"):
        locks.append(runtime.choose_device(1))
        assert os.environ.pop("CUDA_VISIBLE_DEVICES") == wanted
    for lock in locks:
        lock.close()
    assert "this job uses the CPU" in caplog.text


@pytest.mark.workflow
def test_gpus_are_divided_among_the_jobs_of_a_run(tmp_path):
    """With two fake GPUs, each training gets one of them, and other jobs get none."""
    folder = tmp_path / "tiny"
    shutil.copytree(ROOT / "tests" / "workflow", folder)
    widths = ["results/tiny/tanh/width16", "results/tiny/tanh/width32"]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "--cores", "2"),
            *("--snakefile", ROOT / "Snakefile", "--directory", folder),
            *("--profile", ROOT / "profiles" / "gpu", "--resources", "gpu=2"),
            *("--set-resources", "train:gpu=1", "--"),
            *[f"{width}/network.npz" for width in widths],
        ],
        env=environment() | {"NTKPIPE_GPUS": "0,1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    logs = folder / "logs" / "tiny" / "tanh"
    used = {
        re.search(r"ntkpipe: GPU (\d)", (logs / w / "train.log").read_text())[1]
        for w in ("width16", "width32")
    }
    assert used == {"0", "1"}
    assert "GPU" not in (logs / "dataset.log").read_text()


# ------------------------------------------------- kills and full disks


@pytest.mark.workflow
def test_kills_at_random_moments_lose_nothing(finished, tmp_path):
    killed, wrong = kills.survey(finished, tmp_path, range(3), seed=1)
    assert not wrong, wrong[0]
    assert killed["snakemake"] == 2 and killed.total() >= 6


@contextlib.contextmanager
def small_disk(folder, size):
    """Mount a file system of `size` bytes in a folder; None if that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "ntkpipe-test", folder]
    if shutil.which("mount") is None or subprocess.run(mount).returncode:
        pytest.skip("no right to mount a small file system")
    try:
        yield lambda size: subprocess.run(
            ["mount", "-o", f"remount,size={size}", folder], check=True
        )
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.workflow
def test_a_full_disk_is_reported_in_a_sentence_and_loses_nothing(finished, tmp_path):
    folder = Path(shutil.copytree(finished, tmp_path / "copy"))
    whole = kills.contents(folder)
    results, relu = folder / "results", folder / "results" / "tiny" / "relu"
    shutil.rmtree(results)
    # not the folder of one output, which Snakemake removes where it is left empty
    with small_disk(results, "40m") as grow:
        shutil.copytree(finished / "results", results, dirs_exist_ok=True)
        shutil.rmtree(relu)
        kills.undo_the_end(folder)
        grow(shutil.disk_usage(results).used + 16 * 1024)
        said = snakemake(folder, fails=1)
        assert re.search(
            r"tiny: .*results/tiny/relu/\S+ is not written: No space left on device",
            said,
        )
        assert "Traceback" not in said
        assert not list(relu.rglob("*.tmp"))
        grow("40m")
        snakemake(folder)
        assert kills.contents(folder) == whole


@pytest.mark.workflow
def test_a_disk_full_of_everything_is_reported_and_loses_nothing(finished, tmp_path):
    """There is no room for logs and for Snakemake's own files, either."""
    sentence = r"ntkpipe: the disk of \S+tiny is full "
    with small_disk(tmp_path / "disk", "20m"):
        folder = Path(shutil.copytree(finished, tmp_path / "disk" / "tiny"))
        whole = kills.contents(folder)
        kills.undo_the_end(folder)
        before = kills.contents(folder)
        ballast, body = folder / "ballast", bytes(2**20 * 20)
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while file.write(body):
                pass
        # full from the start: a sentence, and no more than that
        said = snakemake(folder, fails=1)
        assert re.search(sentence, said) and "Traceback" not in said
        # full after a while: a job says so, or the last line after Snakemake's own end
        os.truncate(ballast, ballast.stat().st_size - 128 * 1024)
        said = snakemake(folder, fails=1)
        job = r"tiny: .*results/\S+ is not written: No space left on device"
        assert re.search(job, said) or re.search(sentence, said.splitlines()[-1]), said
        now = kills.contents(folder)
        assert before.items() <= now.items() <= whole.items()
        ballast.unlink()
        snakemake(folder)
        assert kills.contents(folder) == whole
