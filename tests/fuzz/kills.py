"""kill −9 at random moments of the tiny study; the next run must set all right.

    python tests/fuzz/kills.py [COUNT] [SEED]

Half of the study is still to be done when it is started. After a while one is
killed: Snakemake, a job, or both and all (a power cut). Then the study is run as
anybody would, and every product and figure must be what it is without a kill.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
VICTIMS = ("snakemake", "job", "all")


def start(folder, log):
    """Start Snakemake in its own group of processes."""
    where = ["--snakefile", ROOT / "Snakefile", "--directory", folder]
    return subprocess.Popen(
        [sys.executable, "-m", "snakemake", *where, "--cores", "2"],
        cwd=folder,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)},
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def finish(folder):
    """Run the study to its end; what Snakemake printed, and how it ended."""
    with open(folder / "run.txt", "w") as log:
        code = start(folder, log).wait(timeout=600)
    return code, (folder / "run.txt").read_text()


def jobs(folder):
    """Numbers of the processes that run a stage in this folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            here = os.readlink(process / "cwd") == str(folder)
            if here and b"ntkpipe" in words and b"-m" in words:
                found.append(int(process.name))
    return found


def half_done(whole, folder, rng):
    """A copy of a finished study, about half of its jobs undone."""
    shutil.copytree(whole, folder)
    study = folder / "results" / "tiny"
    # what nobody misses is not made anew: of a variant all, or widths of it
    for variant in sorted({path.parent for path in study.glob("*/width*")}):
        parts = [variant] if rng.random() < 0.5 else sorted(variant.glob("width*"))
        for part in parts:
            if rng.random() < 0.7:
                shutil.rmtree(part)
    undo_the_end(folder)


def undo_the_end(folder):
    """Remove what is made of all products, so that what lacks is missed."""
    study = folder / "results" / "tiny"
    shutil.rmtree(study / "figures")
    for made_of_all in [*study.glob("*.csv"), folder / "results" / "index.html"]:
        made_of_all.unlink()


def contents(folder):
    """All products and figures by name; the page tells run times, so it is left out."""
    study = folder / "results" / "tiny"
    return {
        str(path.relative_to(study)): path.read_bytes()
        for path in sorted(study.rglob("*"))
        if path.is_file()
    }


def trial(whole, folder, rng, seconds, victim):
    """Kill once; None, or what is wrong afterwards."""
    half_done(whole, folder, rng)
    with open(folder / "killed.txt", "w") as log:
        main = start(folder, log)
        end = time.monotonic() + rng.uniform(0, seconds)
        while time.monotonic() < end and main.poll() is None:
            time.sleep(0.01)
        if victim != "snakemake":
            for job in jobs(folder)[: None if victim == "all" else 1]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(job, signal.SIGKILL)
        if victim != "job":
            main.kill()
        main.wait(timeout=600)
    try:
        code, said = finish(folder)
        if code:
            return f"the next run ended with {code}:\n{said[-3000:]}"
        if "LockException" in said or "IncompleteFiles" in said:
            return f"a person was needed:\n{said[-3000:]}"
        found, wanted = contents(folder), contents(whole)
        other = {n for n in found | wanted if found.get(n) != wanted.get(n)}
        # a job that was killed while it wrote left this, and was not run again
        other = {name for name in other if not name.endswith(".tmp")}
        if other:
            return f"other bytes: {sorted(other)}"
        if "</html>" not in (folder / "results" / "index.html").read_text():
            return "half a page"
    finally:
        for job in jobs(folder):  # orphans, which nobody waits for
            with contextlib.suppress(ProcessLookupError):
                os.kill(job, signal.SIGKILL)
    return None


def survey(whole, place, count, seed, seconds):
    """Kill so many times; how often which victim, and what went wrong."""
    rng = random.Random(seed)
    killed, wrong = dict.fromkeys(VICTIMS, 0), []
    for number in range(count):
        victim = VICTIMS[number % 3]
        folder = place / f"trial{number}"
        fault = trial(whole, folder, rng, seconds, victim)
        killed[victim] += 1
        if fault:
            wrong.append(f"trial {number}, {victim}: {fault}")
            print(wrong[-1], file=sys.stderr, flush=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return killed, wrong


def main(count, seed):
    """Run the undisturbed study, then the trials; 1 if one went wrong."""
    with tempfile.TemporaryDirectory(prefix="kills") as place:
        whole = Path(place, "whole").resolve()
        shutil.copytree(ROOT / "tests" / "workflow", whole)
        begin = time.monotonic()
        code, said = finish(whole)
        if code:
            sys.exit(said)
        seconds = time.monotonic() - begin
        print(f"undisturbed: {seconds:.0f} s", flush=True)
        killed, wrong = survey(whole, whole.parent, count, seed, 0.7 * seconds)
        print(*wrong, sep="\n")
        print(
            f"{count} kills ({', '.join(f'{n} of {v}' for v, n in killed.items())}): "
            f"{count - len(wrong)} survived, {time.monotonic() - begin:.0f} s"
        )
    return bool(wrong)


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]]
    sys.exit(main(*(numbers + [50, 1][len(numbers) :])))
