"""The benchmarks at toy size, and the table of their README against its csv."""

import importlib
import json
import math
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import results, scaling
from benchmarks.rivals import Rivals
from benchmarks.rows import ROOT, ROWS

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
    )
]


@pytest.mark.parametrize("row", ALONE, ids=lambda row: row.name)
def test_rows_run_at_toy_size(row):
    found = results.measure(row, Rivals(allowed=False), toy=True, rounds=1)
    assert not found["skipped"]
    assert found["rounds"] == 1
    assert math.isfinite(found["median"])
    if row.name in ("kernel/float32", "kernel/reference"):
        assert found["met"] == "yes"
    assert row.text in results.line(found)


def test_rows_without_their_rival_are_skipped_with_the_reason():
    row = next(row for row in ROWS if row.name.startswith("kernel/best"))
    found = results.measure(row, Rivals(allowed=False), toy=True, rounds=1)
    assert "not asked for" in found["skipped"]
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


def test_rows_that_are_not_there_are_refused(capsys):
    from benchmarks.__main__ import main

    with pytest.raises(SystemExit):
        main(["--rows", "kernel/memory,kernle", "--no-rivals"])
    assert "--rows kernle: there are kernel/gemm" in capsys.readouterr().err


def test_memory_that_was_freed_before_counts_when_it_is_used_again():
    code = """
from ntkpipe import allocator
allocator.keep_freed()
import numpy as np
from benchmarks.rows import peak
np.ones(4 * 10**7)
print(peak(lambda: np.ones(2 * 10**7)))
"""
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, capture_output=True, text=True, check=True, cwd=ROOT)
    assert 0.14 < float(done.stdout) < 0.2


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
