"""kill −9 at random moments of the tiny study; the next run must repair everything.

    python tests/fuzz/kills.py [COUNT] [SEED] [--first N] [--whole FOLDER]

Each trial begins with a finished study from which a few products were deleted, so that
a few jobs must run. A victim is killed at a random time after a random number of jobs
has started; for a power cut, as soon as a file is being written. The victim is
Snakemake, a job, or all processes. Then the study is run as usual, and every product
and figure must be the same as without a kill.

Trial N is the same on every machine; `--first 10` begins with trial 10. `--whole` keeps
the finished study for further calls.
"""

import argparse
import collections
import concurrent.futures
import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
VICTIMS = ("snakemake", "job", "all")
MOST_TRIES = 5  # a kill that was too late is repeated at an earlier time
# deleted parts, and the number of jobs that make them again, before tables and page
UNDONE = {
    ("relu/width16",): 2,
    ("tanh/width16",): 3,
    ("tanh/width64",): 3,
    ("tanh/width32/linearized.npz", "tanh/limit.npz"): 5,
    ("relu/width16/network.npz", "tanh/width16"): 5,
    ("figures", "claims.csv"): 0,
    ("tanh/dataset.npz",): 12,
}


def start(folder, log):
    """Start Snakemake in its own process group."""
    where = ["--snakefile", ROOT / "Snakefile", "--directory", folder]
    return subprocess.Popen(
        # -p: Snakemake's own messages
        [sys.executable, "-m", "snakemake", *where, "--cores", "2", "-p"],
        cwd=folder,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)},
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def finish(folder):
    """Run the study to its end; return the output and exit status of Snakemake."""
    with open(folder / "run.txt", "w") as log:
        code = start(folder, log).wait(timeout=600)
    return code, (folder / "run.txt").read_text()


def jobs(folder):
    """The processes that run a stage in this folder, and the stage of each."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            here = os.readlink(process / "cwd") == str(folder)
            if here and b"ntkpipe" in words and b"-m" in words:
                stage = words[words.index(b"ntkpipe") + 1].decode()
                found[int(process.name)] = stage
    return found


def undo(folder, parts):
    """Remove parts of a finished study, files or folders."""
    for part in parts:
        path = folder / "results" / "tiny" / part
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def undo_the_end(folder):
    """Remove the files that are made from all products."""
    undo(folder, ["figures", "measurements.csv", "claims.csv"])
    (folder / "results" / "index.html").unlink()


def contents(folder):
    """All products and figures by name, without the page, which shows run times."""
    study = folder / "results" / "tiny"
    return {
        str(path.relative_to(study)): path.read_bytes()
        for path in sorted(study.rglob("*"))
        if path.is_file()
    }


def is_written(folder):
    """Whether a product is just being written."""
    return any((folder / "results").rglob(".*.tmp"))


def kill(main, folder, victim):
    """Kill a victim; return the names of the killed processes."""
    found = jobs(folder)
    if victim == "job":
        found = dict(list(found.items())[:1])
    names = list(found.values()) if victim != "snakemake" else []
    if victim != "job":
        if main.poll() is not None:
            return []
        names.append("snakemake")
        if victim == "all":
            os.killpg(main.pid, signal.SIGKILL)
        main.kill()
    if victim != "snakemake":
        for job in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(job, signal.SIGKILL)
    return names


def disturb(folder, rng, victim, most):
    """Run a study and kill a victim; return the names of the killed processes."""
    begun = rng.randint(0, most)
    pause = rng.uniform(0, 2.5)
    writing = victim == "all" and rng.random() < 0.4
    with open(folder / "killed.txt", "w") as log:
        main = start(folder, log)

        def wait(condition):
            while main.poll() is None and not condition():
                time.sleep(0.005)

        def begun_now():
            said = (folder / "killed.txt").read_text(errors="replace")
            return len(re.findall(r"^Job \d+: ", said, re.M))

        wait(lambda: begun_now() >= begun)
        if writing:
            wait(lambda: is_written(folder))
        else:
            end = time.monotonic() + pause
            wait(lambda: time.monotonic() > end)
        if victim == "job":
            wait(lambda: jobs(folder))
        names = kill(main, folder, victim)
        main.wait(timeout=600)
    return names + ["a file half-written"] * (bool(names) and is_written(folder))


def trial(whole, place, seed, number):
    """Kill once; return the killed processes, and the error afterwards or None."""
    rng = random.Random(f"{seed}/{number}")
    victim = VICTIMS[number % 3]
    parts, made = rng.choices(list(UNDONE.items()), [3, 3, 3, 3, 3, 2, 1])[0]
    folder = place / f"trial{number}"
    try:
        for tries in range(MOST_TRIES):
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(whole, folder)
            undo(folder, parts)
            if rng.random() < 0.5:
                for path in folder.glob("results/tiny/*.csv"):
                    path.unlink()
            # four more jobs follow: two tables, the figure and the page
            names = disturb(folder, rng, victim, (made + 3) // (tries + 1))
            if names:
                break
        else:
            return [], "nothing was left to be killed"
        return names, after(whole, folder)
    finally:
        for job in jobs(folder):  # orphaned jobs, for which no process waits
            with contextlib.suppress(ProcessLookupError):
                os.kill(job, signal.SIGKILL)


def after(whole, folder):
    """Run a disturbed study to its end; return the error, or None."""
    code, said = finish(folder)
    if code:
        return f"the next run ended with {code}:\n{said[-3000:]}"
    if "LockException" in said or "IncompleteFiles" in said:
        return f"a person was needed:\n{said[-3000:]}"
    found, wanted = contents(folder), contents(whole)
    # temporary files of a job that was killed while writing and did not run again
    found = {name: body for name, body in found.items() if not name.endswith(".tmp")}
    if set(found) != set(wanted):
        return f"missing or too much: {sorted(set(found) ^ set(wanted))}"
    if other := sorted(name for name in found if found[name] != wanted[name]):
        return f"other bytes: {other}"
    if "</html>" not in (folder / "results" / "index.html").read_text():
        return "half a page"
    return None


def survey(whole, place, numbers, seed):
    """Run trials, two at a time; return how often each was killed, and all errors."""
    killed, wrong = collections.Counter(), []
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = pool.map(lambda n: trial(whole, place, seed, n), numbers)
        for number, (names, fault) in zip(numbers, results, strict=True):
            print(f"trial {number}: {', '.join(names)}", flush=True)
            killed.update(names)
            killed.update([f"aimed at {VICTIMS[number % 3]}"])
            if fault:
                wrong.append(f"trial {number}: {fault}")
                print(wrong[-1], file=sys.stderr, flush=True)
            else:
                shutil.rmtree(place / f"trial{number}", ignore_errors=True)
    return killed, wrong


def main(options):
    """Run the undisturbed study, then the trials; return 1 if a trial failed."""
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kills") as place:
        whole = Path(options.whole or f"{place}/whole").resolve()
        if not whole.exists():
            shutil.copytree(ROOT / "tests" / "workflow", whole)
            code, said = finish(whole)
            if code:
                sys.exit(said)
        numbers = range(options.first, options.first + options.count)
        killed, wrong = survey(whole, Path(place).resolve(), numbers, options.seed)
    print(*(f"{count:3d} {name}" for name, count in killed.most_common()), sep="\n")
    print(
        f"{len(numbers)} kills, {len(numbers) - len(wrong)} survived, "
        f"{time.monotonic() - begin:.0f} s"
    )
    return bool(wrong)


if __name__ == "__main__":
    words = argparse.ArgumentParser()
    words.add_argument("count", type=int, nargs="?", default=50)
    words.add_argument("seed", type=int, nargs="?", default=1)
    words.add_argument("--first", type=int, default=0)
    words.add_argument("--whole")
    sys.exit(main(words.parse_args()))
