"""`./run`: the arguments that it passes to Snakemake and to pytest."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OWN = ("CORES", "EXTRAS", "PYTHON")


@pytest.fixture
def run(tmp_path):
    """A copy of `run` beside an environment whose Snakemake prints its arguments."""
    shutil.copy(ROOT / "run", tmp_path)
    binaries = tmp_path / ".venv" / "bin"
    binaries.mkdir(parents=True)
    for lock in (tmp_path, tmp_path / ".venv"):
        (lock / "requirements.lock").touch()
    for name in ("snakemake", "python"):
        (binaries / name).write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
        (binaries / name).chmod(0o755)

    def hand(*words, skipped=4, cwd=None, **environment):
        done = subprocess.run(
            [tmp_path / "run", *words],
            **{"capture_output": True, "text": True, "check": True, "cwd": cwd},
            # a word for `./run` that this test was started with is not one of its own
            env={k: v for k, v in os.environ.items() if k not in OWN} | environment,
        )
        # skipped are the scheduler and the cores
        return done.stdout.split("|")[skipped:-1]

    return hand


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--dry-run",),
        ("verify",),
        ("results/width/figures/review.svg",),
        ("--config", "run=[width]"),
    ],
)
def test_other_words_are_snakemakes(run, words):
    assert run(*words) == [*words]


def test_a_word_is_a_study_or_a_group(run):
    assert run("core") == ["--config", "run=['core']"]
    assert run("core", "--dry-run") == ["--dry-run", "--config", "run=['core']"]
    both = ["--config", "run=['core']", "gallery="]
    assert run("core", "--config", "gallery=") == both


def test_tests_run_side_by_side(run):
    *head, last = run("test", "-k", "kernel", skipped=0, CORES="3")
    assert head[:4] == ["-m", "pytest", "-n", "4"] and last == "kernel"


def test_replicates_are_a_command(run):
    words = ("replicate", "width", "--seeds", "2")
    found = run(*words, skipped=0, CORES="3")
    assert found == ["-m", "ntkpipe", *words, "--cores", "3"]


def test_a_question_is_asked_in_the_users_folder(run, tmp_path):
    """Paths are those of the user's folder, from which Python imports nothing."""
    words = ("ask", "my_network.py:Net", "data.csv", "--target", "y")
    (tmp_path / "mine").mkdir()
    (tmp_path / ".venv/bin/python").write_text('#!/bin/sh\nprintf "%s|" "$PWD" "$@"\n')
    folder, *found = run(*words, skipped=0, cwd=tmp_path / "mine", CORES="3")
    assert Path(folder) == tmp_path / "mine"
    assert found == ["-P", "-m", "ntkpipe", *words, "--cores", "3"]


def test_an_extra_has_a_lock_of_its_own(run, tmp_path):
    """An environment is made again after a change of a lock that it was made with."""
    binaries = tmp_path / "bin"
    binaries.mkdir()
    (binaries / "old").write_text('#!/bin/sh\necho "$@" >&2\nexit 1\n')
    (binaries / "old").chmod(0o755)
    for lock in (tmp_path, tmp_path / ".venv"):
        (lock / "requirements-networks.lock").write_text("flax==0\n")
    (tmp_path / ".venv" / "extras").write_text("networks\n")
    assert run("--dry-run", EXTRAS="networks") == ["--dry-run"]
    (tmp_path / "requirements-networks.lock").write_text("flax==1\n")
    with pytest.raises(subprocess.CalledProcessError) as error:
        run("--dry-run", PYTHON=str(binaries / "old"))
    assert "ntkpipe needs Python" in error.value.stderr
