"""Mutants change one place of the code, and tests that detect the change kill them."""

import ast
import subprocess
import sys
from pathlib import Path

import mutants
import pytest

EXAMPLE = '''"""A module."""
from __future__ import annotations

import numpy as np

SIZES = {"small": 10}


def total(a: int, b: float = 0.5) -> int:
    """Sum 1 and 2."""
    if a < 1:
        raise ValueError(f"{a + 1} < 1", 3)
    print("some", 4)
    c = a
    c = c + 1  # ü
    d = f(a, b).T
    return np.einsum("ij,jk->ik", c, d).sum(0)
'''


def changed_lines(source):
    """(operator, changed line) of all changes."""
    return {
        (operator, mutants.first_difference(source.code, source.changed(change))[2])
        for operators in mutants.changes(source).values()
        for operator, found in operators.items()
        for change in found
    }


def test_every_operator_changes_what_it_says_and_nothing_else_is_changed():
    found = changed_lines(mutants.Source(EXAMPLE))
    function = "def total(a: int, b: float = {}) -> int:"
    last = "return np.einsum({}).sum({})"
    assert found == {
        ("±1", 'SIZES = {"small": 11}'),
        ("±1", 'SIZES = {"small": 9}'),
        ("×2", 'SIZES = {"small": 20}'),
        ("×2", function.format("1.0")),
        ("comparison", "if a <= 1:"),
        ("comparison", "if a > 1:"),
        ("±1", "if a < 2:"),
        ("±1", "if a < 0:"),
        ("drop", "pass"),
        ("sign", "c = c - 1  # ü"),
        ("drop", "pass  # ü"),
        ("±1", "c = c + 2  # ü"),
        ("±1", "c = c + 0  # ü"),
        ("swap", "d = f(b, a).T"),
        ("transpose", "d = f(a, b)"),
        ("swap", last.format('c, "ij,jk->ik", d', 0)),
        ("swap", last.format('"ij,jk->ik", d, c', 0)),
        ("transpose", last.format('"ij,jk->ki", c, d', 0)),
        ("axis", last.format('"ij,jk->ik", c, d', 1)),
        ("±1", last.format('"ij,jk->ik", c, d', -1)),
    }


@pytest.mark.parametrize("package", mutants.PACKAGES)
def test_mutants_of_a_seed_are_the_same_and_differ_in_one_place(package):
    first, _ = mutants.draw([package], 5, 12)
    again, _ = mutants.draw([package], 5, 12)
    assert first == again and len(first) == 12
    for found in first:
        code = (mutants.ROOT / mutants.CODE / found.file).read_text(encoding="utf-8")
        assert ast.dump(ast.parse(found.code)) != ast.dump(ast.parse(code))
        assert found.before in code and found.after in found.code
        assert mutants.tests(package, found.file)


def test_the_test_with_the_name_of_the_file_comes_first(tmp_path):
    (tmp_path / "tests").mkdir()
    for name in ("claims_b", "claims_a", "large", "linear", "lone"):
        (tmp_path / "tests" / f"test_{name}.py").touch()
    listed = mutants.tests("claims", "claims/b.py", tmp_path)
    assert listed == ["test_claims_b.py", "test_claims_a.py"]
    own = mutants.tests("kernels", "kernels/large.py", tmp_path)
    assert own == ["test_large.py", "test_linear.py"]
    assert mutants.tests("lone", "lone.py", tmp_path) == ["test_lone.py"]
    with pytest.raises(SystemExit, match=r"no test of other\.py"):
        mutants.tests("other", "other.py", tmp_path)


def test_equivalent_mutants_are_those_of_the_code():
    """If a listed line was changed, its mutant must be checked again."""
    for file, before, _ in mutants.EQUIVALENT:
        code = (mutants.ROOT / mutants.CODE / file).read_text(encoding="utf-8")
        assert before in code, (file, before)


def test_a_mutant_is_killed_by_its_test_and_survives_without_one(tmp_path):
    """In a separate tree, in which one of two lines is tested."""
    for folder in (mutants.CODE, "tests"):
        (tmp_path / folder).mkdir()
    script = tmp_path / "tests" / "mutants.py"
    script.write_bytes(Path(mutants.__file__).read_bytes())
    code = tmp_path / mutants.CODE / "small.py"
    code.write_text("SEEN = 3.0\nUNSEEN = 5.0\n")
    (tmp_path / "tests" / "test_small.py").write_text(
        "from ntkpipe.small import SEEN\n\n\ndef test():\n    assert SEEN == 3.0\n"
    )
    done = subprocess.run(
        [sys.executable, script, "small", "--seed", "1", "2", "--jobs", "1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 1, done.stderr
    assert lines[0].startswith("unchanged: test_small.py in ")
    assert {"seed 1: 1 of 2 killed", "seed 2: 1 of 2 killed"} <= {*lines}
    assert sum("`SEEN = 3.0` → `SEEN = 6.0`  killed, " in line for line in lines) == 2
    lost = "small.py:2 ×2  `UNSEEN = 5.0` → `UNSEEN = 10.0`"
    assert sum(f"{lost}  survived, " in line for line in lines) == 2
    assert lines[-1].startswith("survived: ") and lines[-1].endswith(lost)
    assert code.read_text() == "SEEN = 3.0\nUNSEEN = 5.0\n"
