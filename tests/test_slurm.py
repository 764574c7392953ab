"""The workflow on a real SLURM of one node, which tests/slurm/up.sh starts.

On CI machines missing packages of Debian are installed; on other machines only with
NTKPIPE_SLURM=1.
"""

import collections
import importlib.util
import itertools
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from datetime import datetime
from pathlib import Path

import pytest
from test_workflow import ROOT, command, environment

pytestmark = pytest.mark.workflow
SLURM = ROOT / "tests" / "slurm"
PROFILE = ["--profile", ROOT / "profiles" / "slurm", "--max-threads", "2"]
# the first look at a job after 1 s, not 40 s
SOON = ["--slurm-init-seconds-before-status-checks", "1"]
SOON += ["--seconds-between-status-checks", "1"]
# a shell's background jobs, and so their tests, ignore Ctrl-C
HEARING = ["env", "--default-signal=INT"]


def why_not():
    """The reason why SLURM can't run here; empty if it can."""
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        return "no plugin: pip install 'ntkpipe[slurm]'"
    search = os.environ["PATH"] + ":/usr/sbin"
    missing = [
        name
        for name in ("sbatch", "slurmctld", "slurmd", "munged")
        if shutil.which(name, path=search) is None
    ]
    if not missing:
        return ""
    allowed = "CI" in os.environ or "NTKPIPE_SLURM" in os.environ
    if allowed and os.geteuid() == 0 and shutil.which("apt-get"):
        return ""
    return f"no {', '.join(missing)} (as root, NTKPIPE_SLURM=1 installs them)"


@pytest.fixture(scope="module")
def cluster():
    """The environment of a cluster of one node with one fake GPU."""
    if reason := why_not():
        pytest.skip(reason)
    # a short path, because the path of a socket has a maximum length
    with tempfile.TemporaryDirectory(prefix="slurm") as folder:
        up = subprocess.run(
            [SLURM / "up.sh", folder],
            env={**os.environ, "INSTALL": "yes"},
            capture_output=True,
            text=True,
            timeout=600,
        )
        try:
            if up.returncode:
                pytest.skip(f"SLURM did not come up: {up.stderr[-300:]}")
            yield {
                **environment(),
                "SLURM_CONF": f"{folder}/slurm.conf",
                "PATH": f"{folder}/bin:{os.environ['PATH']}",
            }
        finally:
            subprocess.run([SLURM / "down.sh", folder], check=True)
            time.sleep(0.5)  # for the daemons' last files


def run(folder, cluster, *arguments, **environment_):
    done = subprocess.run(
        command(folder, *PROFILE, *SOON, *arguments),
        cwd=folder,
        env=cluster | environment_,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
    )
    return done.returncode, done.stdout


def jobs(cluster, folder):
    """The records of SLURM about the jobs of a folder."""
    text = subprocess.run(
        ["scontrol", "show", "job", "-o"],
        env=cluster,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    rows = [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in text.splitlines()]
    return [row for row in rows if row.get("WorkDir") == str(folder)]


def of_rule(rows, rule, *parts):
    """Jobs of a rule, oldest first; the plugin writes the rule into the comment."""
    found = [
        row
        for row in rows
        if f"rule_{rule}" in row["Comment"] and all(p in row["Comment"] for p in parts)
    ]
    return sorted(found, key=lambda row: int(row["JobId"]))


@pytest.fixture
def study(tmp_path):
    return Path(shutil.copytree(ROOT / "tests" / "workflow", tmp_path / "tiny"))


def test_the_study_is_the_same_to_the_byte(cluster, study, finished):
    code, said = run(study, cluster, "--set-resources", "train:gpu=1")
    assert code == 0, said
    for path in sorted((finished / "results" / "tiny").rglob("*.*")):
        own = study / path.relative_to(finished)
        assert own.read_bytes() == path.read_bytes(), path

    rows = jobs(cluster, study)
    trained = of_rule(rows, "train")
    assert len(trained) == 4
    # there is one GPU, so jobs run one after the other
    spans = sorted(
        tuple(datetime.fromisoformat(row[end]) for end in ("StartTime", "EndTime"))
        for row in trained
    )
    for (_, end), (start, _) in itertools.pairwise(spans):
        assert end <= start
    assert all("gpu" in row["TresPerJob"] for row in trained)
    others = of_rule(rows, "limit")
    assert others
    assert not any("gpu" in row.get("TresPerJob", "") for row in others)


def test_killed_jobs_are_tried_again_with_more_and_failed_ones_named(
    cluster, study, tmp_path
):
    faults = tmp_path / "faults"
    faults.mkdir()
    for job in ("relu-16.memory", "tanh-16.hang", "tanh-64.hang", "tanh-32.fail"):
        (faults / f"train-{job}").touch()
    results = study / "results" / "tiny"
    targets = [
        results / variant / f"width{width}" / "network.npz"
        for variant, width in (("relu", 16), ("tanh", 16), ("tanh", 32), ("tanh", 64))
    ]
    process = subprocess.Popen(
        command(
            study,
            *PROFILE,
            *SOON,
            "--retries",
            "1",
            "--printshellcmds",  # Snakemake's own messages
            *[target.relative_to(study) for target in targets],
        ),
        cwd=study,
        env=cluster | {"FAULTS": str(faults), "PYTHONPATH": f"{SLURM}:{ROOT}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    for width, order in (
        ("16", ["scancel"]),  # by hand, as a person or the cluster's owner might
        # its time is over: within half a minute SLURM looks and ends it
        ("64", ["scontrol", "update", "EndTime=now"]),
    ):
        wait_for((faults / f"train-tanh-{width}.done").exists, process)
        [job] = [
            row
            for row in of_rule(jobs(cluster, study), "train", "tanh", width)
            if row["JobState"] == "RUNNING"
        ]
        name = job["JobId"] if width == "16" else f"JobId={job['JobId']}"
        subprocess.run([*order, name], env=cluster, check=True)
    said, _ = process.communicate(timeout=900)
    assert process.returncode == 1, said
    made = {(t.parts[-3], t.parts[-2]) for t in targets if t.exists()}
    assert made == {("relu", "width16"), ("tanh", "width16"), ("tanh", "width64")}

    rows = jobs(cluster, study)
    states = {
        (variant, width): [
            row["JobState"] for row in of_rule(rows, "train", variant, width)
        ]
        for variant, width in (
            ("relu", "16"),
            ("tanh", "16"),
            ("tanh", "32"),
            ("tanh", "64"),
        )
    }
    assert states["tanh", "16"] == ["CANCELLED", "COMPLETED"]
    assert states["relu", "16"][0] in ("FAILED", "OUT_OF_MEMORY", "CANCELLED")
    assert states["relu", "16"][1:] == ["COMPLETED"]
    assert states["tanh", "64"] == ["TIMEOUT", "COMPLETED"]
    assert states["tanh", "32"] == ["FAILED", "FAILED"]
    first, second = of_rule(rows, "train", "relu", "16")
    assert megabytes(second) == 2 * megabytes(first)
    assert (first["TimeLimit"], second["TimeLimit"]) == ("00:10:00", "00:20:00")
    assert of_rule(rows, "train", "tanh", "64")[1]["TimeLimit"] == "00:20:00"
    # a job that finally failed is named by its files
    named = collections.Counter(
        re.findall(r"Error in rule train:.*?output: (\S+)", said, re.S)
    )
    assert named.pop("results/tiny/tanh/width32/network.npz") == 2
    assert set(named.values()) <= {1}


def test_ctrl_c_cancels_the_jobs(cluster, study, tmp_path):
    faults = tmp_path / "faults"
    faults.mkdir()
    (faults / "dataset-relu-None.hang").touch()
    process = subprocess.Popen(
        HEARING + command(study, *PROFILE, *SOON, "results/tiny/relu/dataset.npz"),
        cwd=study,
        env=cluster | {"FAULTS": str(faults), "PYTHONPATH": f"{SLURM}:{ROOT}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    wait_for((faults / "dataset-relu-None.done").exists, process)
    # Snakemake cancels jobs by number, and may get the number after the job starts
    time.sleep(5)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=200)
    assert process.returncode == 1, said
    # SLURM may still show a job as running for a moment after scancel returned
    deadline = time.monotonic() + 60
    while True:
        states = {row["JobState"] for row in jobs(cluster, study)}
        if states and states <= {"CANCELLED", "COMPLETING"}:
            break
        assert time.monotonic() < deadline, (states, said)
        time.sleep(0.5)
    # and another run is possible
    code, said = run(study, cluster, "results/tiny/relu/dataset.npz")
    assert code == 0, said


def megabytes(row):
    number, unit = re.fullmatch(r"(\d+)([MG])", row["MinMemoryNode"]).groups()
    return int(number) * {"M": 1, "G": 1024}[unit]


def wait_for(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            pytest.fail(process.communicate()[0])
        time.sleep(0.2)
