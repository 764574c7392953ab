"""Checks when Snakemake starts (disk, locks, records), and the shell of the jobs."""

import atexit
import base64
import errno
import itertools
import os
import shlex
import sys
import tempfile
from pathlib import Path

from ntkpipe import runtime
from ntkpipe.stages import plan
from ntkpipe.terminal import hooks

LEAST_ROOM = 64 * 1024
ALIVE_LOCK = ".snakemake/alive.lock"


def refuse_blocked():
    """Exit 1 with a message if a file is where a folder must be, or the reverse."""
    folders = [".snakemake", *FOLDERS]
    for folder, study in itertools.product(FOLDERS, STUDIES.values()):
        names = ("", "figures", *study.variants)
        folders += [Path(folder, study.name, name) for name in names]
    blocked = [
        f"{path} is a file, not a folder" for path in folders if os.path.isfile(path)
    ]
    if os.path.isdir(ALIVE_LOCK):
        blocked.append(f"{ALIVE_LOCK} is a folder, not a file")
    if blocked:
        sys.exit(f"ntkpipe: {blocked[0]}: move it away and run again")


def warn_if_unrecorded():
    """Warn about results for which Snakemake has no metadata.

    Without metadata Snakemake compares only the times of files, so it would keep
    results that were made with other settings.
    """
    if os.path.exists(".snakemake/metadata.db"):  # the records of --persistence-backend
        return
    lacking = {
        path: study
        for study in STUDIES.values()
        for path in (f"{RESULTS}/{file}" for file in plan.files(study))
        if os.path.exists(path) and not is_recorded(path)
    }
    if not lacking:
        return
    other = [
        path
        for path, study in lacking.items()
        if path.endswith((".csv", ".npz")) and not plan.is_of(study, path)
    ]
    named = ", ".join(other[:5]) + f" and {len(other) - 5} more" * (len(other) > 5)
    print(
        f"ntkpipe: Snakemake has no record (.snakemake/metadata) of {len(lacking)} "
        "results, so it can't detect changes since they were made"
        + (f"; made with other settings or data: {named}" if other else "")
        + "; --forceall makes all results again",
        file=sys.stderr,
    )


def is_recorded(path):
    """Whether Snakemake has metadata of this file, or marked the file as incomplete.

    The name of either record is the path of the file in base64.
    """
    name = base64.urlsafe_b64encode(path.encode()).decode()
    parts = [name[at : at + 254] for at in range(0, len(name), 254)]
    folders = [f"@{part}" for part in parts[:-1]]
    return any(
        Path(".snakemake", kind, *folders, parts[-1]).exists()
        for kind in ("metadata", "incomplete")
    )


def clear_stale_locks():
    """Remove Snakemake's lock of this folder if the process that took it has ended.

    Every running Snakemake holds a shared lock of `ALIVE_LOCK`, which the operating
    system releases even after kill -9. A process that gets the exclusive lock therefore
    knows that no other Snakemake runs here.
    """
    import fcntl

    os.makedirs(".snakemake", exist_ok=True)
    alive = open(ALIVE_LOCK, "w")
    try:
        fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for lock in Path(".snakemake/locks").glob("*.lock"):
            lock.unlink()
        fcntl.flock(alive, fcntl.LOCK_SH)
    except BlockingIOError:
        fcntl.flock(
            alive, fcntl.LOCK_SH
        )  # another Snakemake runs here, and Snakemake reports that
    except OSError:
        pass  # a file system without file locks: a stale lock needs --unlock
    return alive


def warn_if_full():
    """Print a message if the disk of this folder is full; return whether it is full.

    Snakemake also writes logs, records and locks here. On a full disk it ends with
    tracebacks that do not tell the user what to do.
    """
    try:
        os.makedirs(".snakemake", exist_ok=True)
        with tempfile.TemporaryFile(dir=".snakemake") as file:
            file.write(bytes(LEAST_ROOM))
            file.flush()
        return False
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            return False  # Snakemake reports other errors itself
    print(
        f"ntkpipe: the disk of {os.getcwd()} is full (less than "
        f"{LEAST_ROOM // 1024} kB is free): make room and run again; finished "
        "results are kept",
        file=sys.stderr,
    )
    return True


def show_cost():
    """Print the cost of the studies and, if jobs were planned, of those to run."""
    jobs = workflow.dag and [
        (job.rule.name, plan.place(STUDIES, job.wildcards_dict))
        for job in workflow.dag.needrun_jobs(exclude_finished=False)
    ]
    print(plan.table(STUDIES.values(), jobs), file=sys.stderr)


if workflow.is_main_process:
    refuse_blocked()
    if warn_if_full():
        sys.exit(1)
    atexit.register(warn_if_full)  # printed last, after any traceback
    ALIVE = clear_stale_locks()
    if workflow.output_settings.dryrun:
        atexit.register(show_cost)  # after the list of jobs
    warn_if_unrecorded()
    hooks.introduce(workflow, STUDIES, RESULTS, LOGS)

variables = dict(runtime.KEEP_FREED)
if not workflow.deployment_settings.deployment_method:
    # jobs use the Python that runs Snakemake, even if its environment is not active
    variables["PATH"] = f"{shlex.quote(str(Path(sys.executable).parent))}:$PATH"
exports = " ".join(f"{name}={value}" for name, value in variables.items())
shell.prefix(f"set -euo pipefail; export {exports}; ")
