"""The benchmarks run at toy size, and the table of their README is that of the csv."""

import contextlib
import importlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import jax
import matplotlib.pyplot as plt
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import results, scaling
from benchmarks.results import ROWS
from benchmarks.rivals import Rivals
from benchmarks.rows import ROOT
from ntkpipe import runtime

ALONE = [
    row
    for row in ROWS
    if row.name
    in (
        "kernel/gemm/1024/1024",
        "kernel/memory",
        "kernel/float32",
        "kernel/reference",
        "descent/gemm",
        "descent/kernel",
        "linearised",
        "hessian/1024",
        "network/jacrev/cnn/64/1",
        "network/jacrev/resnet/64/10",
        "network/gemm/attention/64/10",
        "network/memory/resnet/1024/1",
        "network/compile/resnet/16/1",
    )
]


@pytest.mark.parametrize("row", ALONE, ids=lambda row: row.name)
def test_rows_run_at_toy_size(row):
    # the networks of `benchmarks.networks` are written as users write them
    own = row.name.startswith("network")
    with jax.numpy_rank_promotion("allow") if own else contextlib.nullcontext():
        found = results.measure(row, Rivals(allowed=False), toy=True, rounds=1)
    assert not found["skipped"]
    assert found["rounds"] == 1
    assert math.isfinite(found["median"])
    if row.name in ("kernel/float32", "kernel/reference"):
        assert found["met"] == "yes"
    assert row.text in results.line(found)


def test_rows_without_their_rival_are_skipped_with_the_reason():
    for name in ("kernel/best", "convolutional/pooling/symmetric"):
        row = next(row for row in ROWS if row.name.startswith(name))
        found = results.measure(row, Rivals(allowed=False), toy=True, rounds=1)
        assert "--no-rivals" in found["skipped"]
        assert "skipped" in results.line(found)


def test_a_rival_answers_line_by_line(tmp_path):
    (tmp_path / "with_toy.py").write_text(
        "CASES = {'sum': lambda n: lambda: sum(range(n)), 'bad': lambda: 1 / 0}"
    )
    code = (ROOT / "benchmarks" / "server.py").read_text()
    (tmp_path / "server.py").write_text(code)
    lines = [{"case": "sum", "n": 9}, {"run": "it"}, {"case": "bad"}]
    done = subprocess.run(
        [sys.executable, tmp_path / "server.py", "with_toy"],
        input="\n".join(map(json.dumps, lines)),
        capture_output=True,
        text=True,
        check=True,
    )
    ready, timed, failed = map(json.loads, done.stdout.splitlines())
    assert ready == {"ready": True}
    assert timed["seconds"] >= 0
    assert failed["error"].startswith("ZeroDivisionError")


def test_names_are_unique_and_results_are_kept_in_order(tmp_path):
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)
    rivals = Rivals(allowed=False)
    for row in (ALONE[3], ALONE[2], ALONE[3]):
        results.keep(results.measure(row, rivals, True, 1), tmp_path)
    assert pd.read_csv(tmp_path / "rows.csv")["row"].tolist() == [
        ALONE[2].name,
        ALONE[3].name,
    ]


def test_scaling_is_measured_and_drawn(tmp_path):
    scaling.measure(tmp_path, toy=True)
    found = pd.read_csv(tmp_path / "scaling.csv")
    assert set(found["axis"]) == set(scaling.AXES)
    found = pd.read_csv(results.FOLDER / "scaling.csv")
    found.to_csv(tmp_path / "scaling.csv", index=False)
    scaling.draw(tmp_path)
    assert (tmp_path / "scaling.svg").stat().st_size > 1000
    assert not plt.get_fignums()


def test_toy_sizes_leave_the_results_alone(capsys):
    from benchmarks.__main__ import main

    with pytest.raises(SystemExit):
        main(["--toy", "--rows", "kernel/float32"])
    assert "--toy needs --output" in capsys.readouterr().err


def test_unknown_rows_are_refused(capsys):
    from benchmarks.__main__ import main

    with pytest.raises(SystemExit):
        main(["--rows", "kernel/memory,kernle", "--no-rivals"])
    assert "no row begins with kernle: there are kernel/gemm" in capsys.readouterr().err


def test_memory_that_was_freed_before_counts_when_it_is_used_again():
    code = """
import numpy as np
from benchmarks.rows import peak
np.ones(4 * 10**7)
print(peak(lambda: np.ones(2 * 10**7)))
"""
    run = [sys.executable, "-c", code]
    done = subprocess.run(
        run,
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env=os.environ | runtime.KEEP_FREED,
    )
    assert 0.14 < float(done.stdout) < 0.2


def test_the_gpu_benchmark_runs_at_toy_size_on_any_machine(tmp_path):
    run = [sys.executable, "-m", "benchmarks", "gpu", "--toy", "--output", tmp_path]
    done = subprocess.run(run, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    found = pd.read_csv(tmp_path / "gpu.csv")
    parts = {"ceilings", "correctness", "steps", "kernels", "papers", "large"}
    assert parts < set(found["part"])
    errors = found[found["part"] == "correctness"]
    allowed = errors["dtype"].map({"float32": 1e-5, "float64": 1e-10})
    assert (errors["error"] <= allowed).all()
    failed = found["note"].astype(str).str.startswith("failed")
    assert set(found.loc[failed, "part"]) <= {"ceilings"}  # precisions of GPUs only
    again = [*run[:4], "--page", "--output", tmp_path]
    subprocess.run(again, check=True, capture_output=True, cwd=ROOT)
    assert "## correctness" in (tmp_path / "gpu.md").read_text()


def test_rows_of_a_gpu_run_that_is_cut_off_are_kept(tmp_path):
    from benchmarks import gpu

    gpu.measure_all(tmp_path, toy=True, limit=0, wanted=["ceilings"])
    found = pd.read_csv(tmp_path / "gpu.csv")
    assert (found["note"] == "not reached in time").all()


def test_the_committed_gpu_rows_are_right_to_rounding():
    found = pd.read_csv(results.FOLDER / "gpu.csv")
    errors = found[found["part"] == "correctness"]
    assert set(errors["case"]) == set(gpu_cases())
    assert errors["note"].isna().all()


def gpu_cases():
    from benchmarks import gpu

    return gpu.CORRECT


def test_missing_packages_are_named(monkeypatch, capsys):
    from benchmarks import __main__, wheels

    monkeypatch.setattr(wheels, "missing", lambda: ["pydantic"])
    assert __main__.main(["gpu", "--toy"]) == 2
    assert "this Python lacks pydantic" in capsys.readouterr().err


def test_collected_packages_have_the_versions_of_the_lock():
    from benchmarks import wheels

    assert wheels.missing() == []
    for package in wheels.PACKAGES:
        assert wheels.locked(package).startswith(f"{package}==")
    with pytest.raises(LookupError, match="nothing-like-this is not in"):
        wheels.locked("nothing-like-this")


def test_readme_has_the_table_of_the_csv():
    text = results.README.read_text()
    between = text.split(results.MARKS[0])[1].split(results.MARKS[1])[0]
    assert between.strip() == results.table()
    rows = pd.read_csv(results.FOLDER / "rows.csv")
    assert rows["row"].tolist() == [row.name for row in ROWS]


@pytest.mark.parametrize("option", ["--rows", "--toy", "--scaling", "--large"])
def test_options_are_explained(option):
    assert (
        option in importlib.import_module("benchmarks.__main__").parser().format_help()
    )
