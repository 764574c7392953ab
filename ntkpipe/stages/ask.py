"""The command `ask`: plan, run and answer a study of a user's network and table."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import ntkpipe
from ntkpipe import artifacts
from ntkpipe.ask import plan, source, wrap
from ntkpipe.ask import study as studies
from ntkpipe.data.table import Csv
from ntkpipe.fingerprint import users_code
from ntkpipe.runtime import THREADS
from ntkpipe.section import made
from ntkpipe.stages.dataset import key_of_data
from ntkpipe.study import load, parse
from ntkpipe.users.run import UsersError

ROOT = Path(ntkpipe.__file__).parent.parent
"""Lines of Snakemake that are printed if it fails."""
RECORD, ANSWER, PAGE = "ask.json", "answer.md", "results/index.html"
ON_PAGE = "answers.json"

INTERVALS = "Intervals are of 95 %, over networks, for one draw of the data."


class Request(NamedTuple):
    """The words of the command line."""

    network: str
    """`FILE.py` or `FILE.py:NAME`."""
    data: str
    target: tuple[str, ...]
    minutes: float = 10.0
    output: str = ""
    width: int | None = None
    cores: str = "all"

    @property
    def file(self) -> Path:
        """The user's Python file."""
        return Path(self.network.partition(":")[0])


def say(text: str) -> None:
    """Print at once."""
    print(text, flush=True)


def ask(request: Request) -> int:
    """Plan the study, unless it is there, run it, and print the answers.

    Returns the exit status of Snakemake.

    Raises:
        ValueError: network or table can't be used, or the minutes are too few.
    """
    began, asked_name = time.monotonic(), request.network.partition(":")[2]
    if not (ROOT / "Snakefile").exists():
        raise ValueError(f"ask needs the repository of ntkpipe: no Snakefile in {ROOT}")
    found = _find(request.file, asked_name)
    name = _name(f"{request.file.stem}_{asked_name}")
    folder = Path(request.output or f"ask/{name}")
    study_file = folder / f"{name}.yaml"
    question, record = _question(request, found), _read(folder / RECORD)
    if study_file.exists() and record.get("question") == question:
        say(f"{study_file} is run as it is; delete it for a new plan")
    else:
        _refuse_edited(study_file, record)
        planned = _planned(request, found, study_file, began)
        record = {"question": question, **planned}
        text = json.dumps(record, indent=1, ensure_ascii=False)
        _write(folder / RECORD, text)
    if status := _run(folder, name, request.cores):
        say(f"a job failed: {folder}/logs has the logs; the same command goes on")
        return status
    _answer(study_file, record)
    return _run(folder, name, request.cores)  # writes the page again, with the answers


def _find(file: Path, name: str) -> wrap.Found:
    try:
        return wrap.find(file, name)
    except wrap.NoNetwork:
        say("# a file with a function `build`, for example:\n" + wrap.TEMPLATE)
        raise


def _name(text: str) -> str:
    """A name of a study."""
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    return name[:60] or "network"


def _question(request: Request, found: wrap.Found) -> dict[str, Any]:
    """What a plan depends on, apart from the machine."""
    try:
        code = users_code(request.file)
    except SyntaxError as error:
        text = f"{error.filename}, line {error.lineno}: {error.msg}"
        raise ValueError(text) from error
    return {
        "network": f"{os.path.abspath(request.file)}:{found.name}",
        "code": code,
        "data": os.path.abspath(request.data),
        "digest": artifacts.users_digest(request.data),
        "target": [*request.target],
        "minutes": request.minutes,
        "width": request.width,
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _write(path: Path, text: str) -> None:
    artifacts.write(str(path), lambda file: file.write(text.encode()))


def _refuse_edited(study_file: Path, record: dict[str, Any]) -> None:
    """Refuse to overwrite a study that is not as `ask` wrote it."""
    if not study_file.exists():
        return
    if artifacts.checksum(study_file.read_bytes()) != record.get("study"):
        raise ValueError(
            f"{study_file} was edited and is of another question: delete it, or choose "
            "another folder with --output"
        )


def _planned(
    request: Request, found: wrap.Found, study_file: Path, began: float
) -> dict[str, Any]:
    """Measure the network, and write the study; what the answer needs to know of it."""
    folder, cores = study_file.parent, _cores(request.cores)
    table = made(Csv, kind="csv", path=request.data, target=request.target)
    whole = table.sample(key_of_data(0))  # raises the faults of the table
    outputs = whole.y_train.shape[1]
    try:
        network = source.prepare(request.file, found, folder, outputs, request.width)
        from ntkpipe.ask import choose  # JAX

        chosen = choose.choose(network, table, whole, request.minutes, began, cores)
    except UsersError as error:
        text = source.in_users_file(str(error), request.file, found, folder)
        raise UsersError(text) from error
    lines = [*choose.lines(chosen, network)]
    say("\n".join(lines))
    title = f"{found.name} of {request.file.name} on {Path(request.data).name}"
    path = os.path.relpath(request.data, folder)
    text = studies.text(chosen, network, title, path, request.target)
    parse(text, study_file)
    study_file.write_text(text, encoding="utf-8")
    used = time.monotonic() - began
    return {
        "study": artifacts.checksum(text.encode()),
        "width": network.width,
        "per_seed": plan.per_seed(chosen.machine, chosen.speeds, *chosen.size[:2]),
        "fixed": plan.fixed(chosen.machine, chosen.speeds, chosen.size.widths) + used,
        "plan": lines,
    }


def _cores(words: str) -> int:
    """The number of cores of `--cores`."""
    affinity = getattr(os, "sched_getaffinity", None)
    there = len(affinity(0)) if affinity else os.cpu_count() or 1
    return int(words) if words.isdigit() else there


def _run(folder: Path, name: str, cores: str) -> int:
    """Run Snakemake in the folder of the study; its exit status.

    Once there are answers, the page shows them.
    """
    answers = ON_PAGE if (folder / ON_PAGE).exists() else ""
    command = [sys.executable, "-m", "snakemake", "--scheduler", "greedy"]
    command += ["--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    command += ["--configfile", str(ROOT / "config/config.yaml"), "--cores", cores]
    command += ["--config", "studies=.", f"run=['{name}']", "gallery="]
    command += [f"answers={answers}"]
    mine = {*THREADS, "JAX_PLATFORMS"}  # set for the measurements, not for the jobs
    environment = {k: v for k, v in os.environ.items() if k not in mine}
    # a user's file must not hide a module of the same name from the jobs
    environment |= {"PYTHONSAFEPATH": "1"}
    return subprocess.run(command, env=environment).returncode


def _answer(study_file: Path, record: dict[str, Any]) -> None:
    """Print the answers, and write them beside the study."""
    from ntkpipe.ask import answer

    folder, study = study_file.parent, load(study_file)
    facts = answer.facts(study, folder / "results", record["width"])
    sentences = [*answer.sentences(facts, record), INTERVALS]
    measured = [line.strip() for line in record["plan"]]
    found, plan_lines = "\n\n".join(sentences), "\n".join(f"- {x}" for x in measured)
    text = (
        f"# {study.title}\n\n{found}\n\n## How it was measured\n\n{plan_lines}\n\n"
        f"[The study]({study_file.name}) and [its page]({PAGE}).\n"
    )
    shown = json.dumps({"answers": sentences, "plan": measured}, ensure_ascii=False)
    _write(folder / ANSWER, text)
    _write(folder / ON_PAGE, shown)
    say(f"\n{found.replace('**', '')}\n")
    say(f"These answers: {folder / ANSWER}")
    say(f"The study, yours to edit: {study_file}")
    say(f"The page: {folder / PAGE}")
