"""What is looked after when Snakemake starts: disk, locks, records, the jobs' shell."""

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

LEAST_ROOM = 64 * 1024
ALIVE_LOCK = ".snakemake/alive.lock"


def refuse_blocked():
    """One sentence, and exit 1, if a file is where a folder must be or the reverse."""
    folders = [".snakemake", *FOLDERS]
    for folder, study in itertools.product(FOLDERS, STUDIES.values()):
        names = ("", "figures", *study.variants)
        folders += [Path(folder, study.name, name) for name in names]
    blocked = [f"{path} is no folder" for path in folders if os.path.isfile(path)]
    if os.path.isdir(ALIVE_LOCK):
        blocked.append(f"{ALIVE_LOCK} is a folder")
    if blocked:
        sys.exit(f"ntkpipe: {blocked[0]}: move it away and run again")


def tell_if_unrecorded():
    """One sentence if results are there and Snakemake's records of them are not.

    It then goes by times of files and takes results of other settings to be up to date.
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
        "results and can't see what was changed since they were made"
        + (f"; made otherwise than the studies say now: {named}" if other else "")
        + ": --forceall makes all anew",
        file=sys.stderr,
    )


def is_recorded(path):
    """Whether Snakemake has a record of this file, or a mark that it is incomplete.

    Either is called as the file, in base64.
    """
    name = base64.urlsafe_b64encode(path.encode()).decode()
    parts = [name[at : at + 254] for at in range(0, len(name), 254)]
    folders = [f"@{part}" for part in parts[:-1]]
    return any(
        Path(".snakemake", kind, *folders, parts[-1]).exists()
        for kind in ("metadata", "incomplete")
    )


def clear_stale_locks():
    """Take away Snakemake's lock of this folder if whoever took it is no more.

    Every Snakemake that reads this file shares a lock that the kernel gives back even
    after kill -9. Who gets it alone knows that no other Snakemake is at work here.
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
        fcntl.flock(alive, fcntl.LOCK_SH)  # another one is at work: Snakemake says so
    except OSError:
        pass  # a file system without such locks: a stale one needs --unlock
    return alive


def tell_if_full():
    """One sentence if the disk of this folder is full, and whether it is.

    Logs, marks and locks lie here, too: without room for them Snakemake ends in
    tracebacks, which do not say what to do.
    """
    try:
        os.makedirs(".snakemake", exist_ok=True)
        with tempfile.TemporaryFile(dir=".snakemake") as file:
            file.write(bytes(LEAST_ROOM))
            file.flush()
        return False
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            return False  # Snakemake says it better
    print(
        f"ntkpipe: {os.getcwd()} is on a disk that is full (less than "
        f"{LEAST_ROOM // 1024} kB is free): make room and run again, what is done "
        "is kept",
        file=sys.stderr,
    )
    return True


if workflow.is_main_process:
    refuse_blocked()
    if tell_if_full():
        sys.exit(1)
    atexit.register(tell_if_full)  # the last word, whatever Snakemake ends with
    ALIVE = clear_stale_locks()
    if {"-n", "--dry-run", "--dryrun"} & set(sys.argv):
        print(plan.table(list(STUDIES.values())), file=sys.stderr)
    tell_if_unrecorded()

variables = dict(runtime.KEEP_FREED)
if not workflow.deployment_settings.deployment_method:
    # jobs take the Python that runs Snakemake, also where its environment isn't active
    variables["PATH"] = f"{shlex.quote(str(Path(sys.executable).parent))}:$PATH"
exports = " ".join(f"{name}={value}" for name, value in variables.items())
shell.prefix(f"set -euo pipefail; export {exports}; ")
