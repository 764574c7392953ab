"""The command `replicate`: run studies again with other seeds, and compare verdicts.

A replicate has its own folder of results. All random numbers are drawn anew: data,
labels, networks, and the samples of a recorder. Only a bootstrap repeats its draws,
because its seed comes from the claim.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ntkpipe import artifacts
from ntkpipe.artifacts import ProductError
from ntkpipe.fingerprint import users_files
from ntkpipe.lazy import Lazy
from ntkpipe.stages import plan
from ntkpipe.stages.claims import CLAIMS
from ntkpipe.stages.job import log, read_products
from ntkpipe.stages.stage import Place, Stage
from ntkpipe.study import Study, load, read_yaml

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = Lazy("pandas")

FIRST = 1001
"""The seed of the first replicate; the others follow."""
ENOUGH = 0.97
"""Share of the laws and numbers of a replicate that should be as expected."""
COLUMNS = ("study", "claim", "nature", "known", "expected")
NAMES = {"run": "the finished run"}
NATURES = {
    "law": "laws and numbers as expected",
    "identity": "identities verified",
    "control": "controls refuted",
}


def replicate(
    studies: Mapping[str, Study],
    folder: str,
    results: str,
    seeds: int,
    arguments: Sequence[str] = (),
) -> int:
    """Run the studies and all replicates, and compare the verdicts; 1 if a run failed.

    Finished jobs are not repeated. A product on which no seed has an effect is taken
    from the run with the studies' own seeds.

    Args:
        studies: studies by name.
        folder: folder of their files.
        results: folder of the studies' own run, with a folder `replicates`.
        seeds: number of replicates.
        arguments: further arguments of Snakemake.
    """
    own = [] if results == "results" else [f"pathvars={{results: {results}}}"]
    status = _run(studies, folder, Path(results), arguments, *own)
    for seed in range(FIRST, FIRST + seeds):
        where = Path(results, "replicates", str(seed))
        again = {
            name: write_study(Path(folder, f"{name}.yaml"), where / "studies", seed)
            for name in studies
        }
        for name, study in studies.items():
            take_untouched(study, again[name], Path(results), where)
        log.info("replicate with seed %d, in %s", seed, where)
        paths = f"pathvars={{results: {where}, logs: {where / 'logs'}}}"
        status |= _run(again, str(where / "studies"), where, arguments, paths)
    table = compare(studies, results, range(FIRST, FIRST + seeds))
    output = Path(results, "replicates", "verdicts.csv")
    body = table.to_csv(index=False, lineterminator="\n").encode()
    artifacts.write(str(output), lambda file: file.write(body))
    print(summary(table))
    return int(status != 0)


def write_study(path: Path, folder: Path, seed: int) -> Study:
    """Write a study file with another seed, and its users' networks, and load it.

    `seed` is added to the seed of the study, and to that of each variant with its own.
    """
    values: dict[str, Any] = read_yaml(path)
    values["seed"] = values.get("seed", 0) + seed
    for variant in (values.get("variants") or {}).values():
        if "seed" in (variant or {}):
            variant["seed"] += seed
    folder.mkdir(parents=True, exist_ok=True)
    for program in load(path).programs():
        for file in users_files(path.parent / program):
            copy = folder / file.relative_to(path.parent)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, copy)
    text = yaml.safe_dump(values, allow_unicode=True, sort_keys=False)
    (written := folder / path.name).write_text(text, encoding="utf-8")
    return load(written)


def is_untouched(stage: Stage, at: Place, again: Study) -> bool:
    """Whether a product and its inputs have the same settings in another study."""
    other = at._replace(study=again)
    return stage.spec(at) == stage.spec(other) and all(
        is_untouched(source, place, again) for source, place in stage.inputs(at)
    )


def take_untouched(study: Study, again: Study, results: Path, where: Path) -> None:
    """Link the finished products on which the seed has no effect into a replicate."""
    for stage, at in plan.products(study):
        if stage.per in ("figure", "run") or not is_untouched(stage, at, again):
            continue
        source, target = results / stage.path(at), where / stage.path(at)
        if not plan.is_of(study, str(source)):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        for file in _files(source):
            _link(file, target.with_name(file.name))


def _files(product: Path) -> Iterator[Path]:
    if product.suffix == ".csv":
        yield artifacts.record_of(str(product))
    yield product


def _link(source: Path, target: Path) -> None:
    if target.exists() and target.samefile(source):
        return
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)


def _run(
    studies: Mapping[str, Study],
    folder: str,
    where: Path,
    arguments: Sequence[str],
    *config: str,
) -> int:
    """Run Snakemake up to the claims of all studies; its exit status."""
    config = (f"studies={folder}", f"run=[{','.join(studies)}]", *config)
    made = [str(where / CLAIMS.path(Place(study))) for study in studies.values()]
    command = [sys.executable, "-m", "snakemake", "--scheduler", "greedy"]
    command += [*arguments, "--config", *config, "--", *made]
    return subprocess.run(command, check=False).returncode


def compare(
    studies: Mapping[str, Study], results: str, seeds: Iterable[int]
) -> pd.DataFrame:
    """The verdicts of each claim: a column for the finished run, and for each seed.

    A verdict is empty if the study was not run, or if its file has changed since then.
    """
    rows = {
        (study.name, claim.id): {
            "study": study.name,
            "claim": claim.id,
            "nature": claim.nature,
            "known": claim.known or "",
            "expected": claim.expected,
        }
        for study in studies.values()
        for claim in study.claims
    }
    folders = {"run": Path(results)}
    folders |= {str(n): Path(results, "replicates", str(n)) for n in seeds}
    for name, folder in folders.items():
        for row in rows.values():
            row[name] = ""
        for study in studies.values():
            path = folder / CLAIMS.path(Place(study))
            if not path.exists():
                continue
            own = (
                study if name == "run" else load(folder / f"studies/{study.name}.yaml")
            )
            try:
                products = read_products(own, [str(path)], CLAIMS)
            except ProductError as error:  # made from an earlier study file
                log.warning("%s", error)
                continue
            table = products["claims", None, None].data
            for claim, verdict in zip(table["claim"], table["verdict"], strict=True):
                rows[study.name, claim][name] = verdict
    if not any(row[name] for row in rows.values() for name in folders):
        raise ProductError(f"no claims.csv in {results}")
    return pd.DataFrame([*rows.values()])


def summary(table: pd.DataFrame) -> str:
    """How many verdicts of each run are as expected, and a list of the others.

    A law that is known to be contradicted is listed but not counted.
    """
    runs = [name for name in table if name not in COLUMNS]
    counted = table[table["known"] == ""]
    lines = []
    for run in runs:
        done = counted[counted[run] != ""]
        met = done[run] == done["expected"]
        parts = [
            f"{met[own].sum()} of {own.sum()} {words}"
            for nature, words in NATURES.items()
            if (own := done["nature"] == nature).any()
        ]
        if parts and len(done) < len(counted):
            parts.append(f"{len(counted) - len(done)} not run")
        laws = done["nature"] == "law"
        if laws.any() and met[laws].mean() < ENOUGH:
            parts.append(f"fewer than {ENOUGH:.0%} of the laws")
        lines.append(
            f"{NAMES.get(run, f'seed {run}')}: {', '.join(parts) or 'not run'}"
        )
    for row in table.to_dict("records"):
        other = {n: row[n] for n in runs if row[n] not in ("", row["expected"])}
        if other:
            verdicts = ", ".join(f"{NAMES.get(n, n)} {v}" for n, v in other.items())
            about = f"{row['study']}: {row['claim']} ({row['nature']})"
            known = f" (known to be {row['known']})" if row["known"] else ""
            lines.append(f"    {about}, expected {row['expected']}{known}: {verdicts}")
            if len(set(other) - {"run"}) > 1:
                lines.append("        differs in more than one replicate")
    return "\n".join(lines)
