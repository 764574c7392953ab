"""The workflow without a shared file system: jobs run in empty folders.

Files are in a store, a folder that only Snakemake's storage plugin reads and writes,
with rsync.
"""

import os
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
from test_workflow import ROOT

from ntkpipe import artifacts

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def rsync():
    """The program of the plugin, which is installed on CI machines if missing."""
    if shutil.which("rsync"):
        return
    if not ("CI" in os.environ and os.geteuid() == 0 and shutil.which("apt-get")):
        pytest.skip("no rsync")
    install = "apt-get update -qq && apt-get install -y -qq rsync"
    done = subprocess.run(install, shell=True, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no rsync: {done.stderr[-300:]}")


@pytest.fixture
def places(tmp_path, rsync):
    """The workflow with the tiny study in a repository, folders of jobs, the store."""
    here, nodes, store = (tmp_path / name for name in ("here", "nodes", "store"))
    for made in (nodes, store):
        made.mkdir()
    for part in ("ntkpipe", "workflow", "profiles"):
        without = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / part, here / part, ignore=without)
    shutil.copytree(ROOT / "tests" / "workflow" / "config", here / "config")
    for part in ("Snakefile", "environment.yml"):
        shutil.copy(ROOT / part, here)
    return here, nodes, store


def snakemake(here, nodes, store, *targets):
    """Run Snakemake with only the store shared; each job gets the files of git."""
    for words in ("init --quiet", "add ."):
        subprocess.run(["git", *words.split()], cwd=here, check=True)
    scripts = ROOT / "tests" / "storage"
    run = [sys.executable, "-m", "snakemake", "--jobs", "4", *targets]
    run += ["--executor", "cluster-generic", "--seconds-between-status-checks", "1"]
    submit = shlex.join(map(str, (scripts / "submit.sh", here, nodes)))
    run += ["--cluster-generic-submit-cmd", submit]
    run += ["--cluster-generic-status-cmd", scripts / "status.sh"]
    run += ["--shared-fs-usage", "none", "--job-deploy-sources"]
    run += ["--default-storage-provider", "fs", "--default-storage-prefix", store]
    # no PYTHONPATH, because a job uses the package that is sent with it
    known = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        run,
        cwd=here,
        env=known | {"JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    outs = [path.read_text()[-2000:] for path in nodes.glob("*/out")]
    assert done.returncode == 0, "\n".join([done.stdout, *outs])
    return done.stdout


def test_no_rule_needs_a_shared_folder(finished, places):
    here, nodes, store = places
    # one job of each rule that the host does not run, and the inputs of these jobs
    names = ("tanh/limit.npz", "tanh/width64/linearized.npz", "relu/constancy.csv")
    made = [f"results/tiny/{name}" for name in names]
    snakemake(*places, *made)
    assert not (here / "results").exists() and not (here / "logs").exists()
    assert "Nothing to be done" in snakemake(*places, *made)
    for name in (*made, "results/tiny/tanh/width64/network.npz"):
        assert (store / name).read_bytes() == (finished / name).read_bytes(), name

    shutil.copytree(finished / "results", store / "results", dirs_exist_ok=True)
    page = store / "results" / "index.html"
    page.unlink()
    snakemake(*places, "results/index.html", "--forcerun", "figure")
    for ending in ("csv", "png"):
        name = f"results/tiny/figures/kernel.{ending}"
        assert (store / name).read_bytes() == (finished / name).read_bytes(), name
    assert 'href="tiny/figures/kernel.png"' in page.read_text(encoding="utf-8")
    assert len(list(nodes.glob("*/status"))) == 7


def test_a_users_data_come_from_the_store(places):
    here, _, store = places
    x = np.arange(6.0).reshape(3, 2)
    np.savez(store / "mine.npz", x_train=x, y_train=x[:, 0], x_test=x, y_test=x[:, 1])
    study = here / "config" / "studies" / "tiny.yaml"
    own = "variants:\n  own: {dataset: {kind: npz, path: mine.npz}}\n"
    study.write_text(study.read_text().replace("variants:\n", own, 1))
    made = "results/tiny/own/dataset.npz"
    snakemake(*places, made)
    assert (artifacts.load(store / made).data["x_train"] == x).all()
    assert not (here / "mine.npz").exists()
