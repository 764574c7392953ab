"""`./run`: what it passes on, and when it makes its environment again."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ntkpipe.terminal import command

ROOT = Path(__file__).parent.parent
OWN = ("CORES", "EXTRAS", "PYTHON")


@pytest.fixture
def run(tmp_path):
    """A copy of `run` beside an environment whose Python prints its arguments."""
    shutil.copy(ROOT / "run", tmp_path)
    binaries = tmp_path / ".venv" / "bin"
    binaries.mkdir(parents=True)
    for lock in (tmp_path, tmp_path / ".venv"):
        (lock / "requirements.lock").touch()
    (binaries / "python").write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
    (binaries / "python").chmod(0o755)

    def hand(*words, cwd=None, **environment):
        done = subprocess.run(
            [tmp_path / "run", *words],
            **{"capture_output": True, "text": True, "check": True, "cwd": cwd},
            # a word for `./run` that this test was started with is not one of its own
            env={k: v for k, v in os.environ.items() if k not in OWN} | environment,
        )
        return done.stdout.split("|")[:-1]

    return hand


@pytest.mark.parametrize("words", [(), ("--dry-run",), ("a word", "-n"), ("test",)])
def test_words_are_read_by_the_package(run, words):
    assert run(*words) == ["-P", "-m", "ntkpipe.terminal", *words]


def test_tests_run_side_by_side():
    head = command.tests("3", ["-k", "kernel"])
    assert head[:2] == ["-n", "4"] and head[-2:] == ["-k", "kernel"]


def test_other_words_are_snakemakes(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("CORES", "3")
    found = command.snakemake(["width", "-n"])
    assert found[:5] == ["snakemake", "--scheduler", "greedy", "--cores", "3"]
    assert found[5:] == ["-n", "--config", "run=['width']"]


def test_a_question_is_asked_in_the_users_folder(run, tmp_path):
    """Paths are those of the user's folder, from which Python imports nothing."""
    words = ("ask", "my_network.py:Net", "data.csv", "--target", "y")
    (tmp_path / "mine").mkdir()
    (tmp_path / ".venv/bin/python").write_text('#!/bin/sh\nprintf "%s|" "$PWD" "$@"\n')
    folder, *found = run(*words, cwd=tmp_path / "mine")
    assert Path(folder) == tmp_path / "mine"
    assert found == ["-P", "-m", "ntkpipe.terminal", *words]


def test_an_extra_has_a_lock_of_its_own(run, tmp_path):
    """An environment is made again after a change of a lock that it was made with."""
    binaries = tmp_path / "bin"
    binaries.mkdir()
    (binaries / "old").write_text('#!/bin/sh\necho "$@" >&2\nexit 1\n')
    (binaries / "old").chmod(0o755)
    for lock in (tmp_path, tmp_path / ".venv"):
        (lock / "requirements-networks.lock").write_text("flax==0\n")
    (tmp_path / ".venv" / "extras").write_text("networks\n")
    assert run("--dry-run", EXTRAS="networks")[-1] == "--dry-run"
    (tmp_path / "requirements-networks.lock").write_text("flax==1\n")
    with pytest.raises(subprocess.CalledProcessError) as error:
        run("--dry-run", PYTHON=str(binaries / "old"))
    assert "ntkpipe needs Python" in error.value.stderr
