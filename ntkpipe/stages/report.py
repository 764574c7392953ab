"""The page of all studies, from the products on disk.

The page shows the studies of the run, and the other studies of the same folder that
have results. Inputs of the run must fit the study files. Results of another study that
do not fit are left out, with the reason.
"""

from __future__ import annotations

import csv
import importlib.resources
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ntkpipe import artifacts, provenance
from ntkpipe.artifacts import Product, ProductError
from ntkpipe.lazy import Lazy
from ntkpipe.selection import in_order
from ntkpipe.stages import jobs, moving
from ntkpipe.stages.claims import CLAIMS
from ntkpipe.stages.figure import FIGURE, endings, is_animated
from ntkpipe.stages.job import Job, check_settings, read_products, read_studies
from ntkpipe.stages.measure import MEASURE
from ntkpipe.stages.stage import Place, Stage
from ntkpipe.study import Study, StudyError, load
from ntkpipe.study.loader import document

if TYPE_CHECKING:
    import pandas as pd
    import yaml

    from ntkpipe import claims
    from ntkpipe.report import charts, doubts, explorable, links, page, theorem
    from ntkpipe.report import gallery as galleries
else:
    pd = Lazy("pandas")
    yaml = Lazy("yaml")
    # imported only when a page is made
    charts = Lazy("ntkpipe.report.charts")
    claims = Lazy("ntkpipe.claims")
    doubts = Lazy("ntkpipe.report.doubts")
    explorable = Lazy("ntkpipe.report.explorable")
    galleries = Lazy("ntkpipe.report.gallery")
    links = Lazy("ntkpipe.report.links")
    page = Lazy("ntkpipe.report.page")
    theorem = Lazy("ntkpipe.report.theorem")

TABLES = ("claims", "measurements")
RELEASE = "release.csv"


class Folders(NamedTuple):
    """Where the results and the logs of jobs are; "" if there are none."""

    results: str = ""
    logs: str = ""
    benchmarks: str = ""


class Found(NamedTuple):
    """The results of a study: its products, and the files of its figures."""

    study: Study
    products: Mapping[tuple, Product]
    files: Sequence[Path]


def run(job: Job) -> None:
    """Write the page of all studies: index.html."""
    given = {name: job.options.get(name) or "" for name in REPORT.options}
    results = os.path.dirname(job.outputs[0])
    folders = Folders(results, given["logs"], given["benchmarks"])
    found = of_run(job.studies, job.inputs)
    others = of_others(given["studies"], results, [*found])
    found |= {name: one for name, one in others.items() if isinstance(one, Found)}
    order = in_order(one.study for one in found.values())
    pages = [_study_page(found[study.name], folders) for study in order]
    pages += [one for one in others.values() if not isinstance(one, Found)]
    sources = galleries.load(given["gallery"]) if given["gallery"] else ()
    answers = given["answers"]
    tables: dict[tuple[str, str], pd.DataFrame] = {}
    for one in found.values():
        tables |= moving.tables(one.study, one.products, one.files)
    text = page.page(
        pages,
        _verdicts([found[study.name] for study in order]),
        page.RunPage(
            versions=provenance.versions(),
            repeated=jobs.repeated(given["snakemake"]),
            release=released(),
        ),
        sources,
        json.loads(Path(answers).read_text("utf-8")) if answers else {},
        explorable.contents(list(order), tables, theorem.PICTURES),
    )
    artifacts.write(job.outputs[0], lambda file: file.write(text.encode()))


REPORT = Stage(
    name="report",
    help="the page of all studies (index.html)",
    per="run",
    makes="index.html",
    run=run,
    reads=(MEASURE, CLAIMS, FIGURE),
    options={
        "studies": "folder of study files; those with results are on the page, too",
        "logs": "folder of the jobs' logs, if any",
        "benchmarks": "folder of run times, if any",
        "snakemake": "folder of Snakemake's logs, if any",
        "gallery": "the sources' figures (YAML)",
        "answers": "answers of `ask` (JSON)",
    },
)


# ------------------------------------------------------------------ results


def of_run(studies: Sequence[Study], inputs: Sequence[str]) -> dict[str, Found]:
    """The results of the studies of the run, by name; the inputs have all of them."""
    tables = [path for path in inputs if Path(path).stem in TABLES]
    products = read_studies(studies, tables, CLAIMS, MEASURE)
    files = [Path(path) for path in inputs if path not in tables]
    return {
        study.name: Found(
            study,
            products[study.name],
            [path for path in files if path.parts[-3:-1] == (study.name, "figures")],
        )
        for study in studies
    }


def of_others(
    folder: str, results: str, names: Sequence[str]
) -> dict[str, Found | page.StudyPage]:
    """The results of the other studies of a folder, by name.

    A study without results, or whose results or study file have faults, is a page that
    says so.
    """
    found: dict[str, Found | page.StudyPage] = {}
    for path in sorted(Path(folder).glob("*.yaml")) if folder else ():
        name = path.stem
        if name in names:
            continue
        title = name
        try:
            study = load(path)
            title = study.title
            one = _of_other(study, results)
            found[name] = one or _unshown(name, title, "not run yet")
        except (StudyError, ProductError) as error:
            found[name] = _unshown(name, title, str(error).splitlines()[0])
    return found


def _of_other(study: Study, results: str) -> Found | None:
    """The results of a study that is not in this run; None if there are none."""
    tables = [f"{results}/{one.path(Place(study))}" for one in (CLAIMS, MEASURE)]
    there = [path for path in tables if os.path.exists(path)]
    pictures = [
        Path(results, study.name, "figures", f"{figure.name}.{ending}")
        for figure in study.figures
        for ending in endings(figure)
    ]
    files = [path for path in pictures if path.exists()]
    if not files and tables[0] not in there:
        return None
    return Found(study, read_products(study, there, CLAIMS, MEASURE), files)


def _unshown(name: str, title: str, reason: str) -> page.StudyPage:
    return page.StudyPage(
        name=name, title=title, question="", unshown=reason, command=f"./run {name}"
    )


def _verdicts(found: Sequence[Found]) -> pd.DataFrame:
    """The claims of all studies in one table."""
    key = "claims", None, None
    tables = [one.products[key].data for one in found if key in one.products]
    return pd.concat(tables, ignore_index=True) if tables else claims.table([])


def released() -> dict[tuple[str, str], str]:
    """The verdicts of the last release, by study and claim; see docs/refresh.py."""
    file = importlib.resources.files("ntkpipe.report").joinpath(RELEASE)
    rows = csv.DictReader(file.read_text("utf-8").splitlines())
    return {(row["study"], row["claim"]): row["verdict"] for row in rows}


# ------------------------------------------------------------------ contents


def _study_page(found: Found, folders: Folders) -> page.StudyPage:
    """The contents of the page for one study; addresses are relative to the results."""
    study, products, files = found
    measured = products.get(("measurements", None, None))
    judged = products.get(("claims", None, None))
    notes = list(doubts.data_quality_notes(study, measured.data)) if measured else []
    beside = links.claims_beside(study)
    return page.StudyPage(
        name=study.name,
        title=study.title,
        question=study.question,
        data=study.one_data_set,
        source=study.source,
        notes=study.notes,
        yaml=study.text,
        claims=yaml_of_claims(study),
        labels=_labels(study),
        figures=[
            _figure_page(study, drawn, files, folders.results, beside[drawn.name])
            for drawn in study.figures
        ],
        runtime_s=jobs.run_time(study, folders.benchmarks or None),
        device=measured.meta.get("device", "") if measured else "",
        seeds=seeds(study),
        versions=judged.meta["versions"] if judged else {},
        warnings=[note.text for note in notes if note.is_fault],
        remarks=[note.text for note in notes if not note.is_fault],
        files={
            f"{name}.csv": f"{study.name}/{name}.csv"
            for name in TABLES
            if (name, None, None) in products
        },
        failed=jobs.failed(study, folders.logs or None, folders.benchmarks or None),
        command=f"./run {study.name}",
    )


def _figure_page(
    study: Study,
    figure,
    files: Sequence[Path],
    folder: str,
    beside: Sequence[str],
) -> page.FigurePage:
    """A figure with its pictures; its files are linked and checked."""
    found = {path.suffix[1:]: path for path in files if path.stem == figure.name}
    pictures, table = _pictures(study, figure, found)
    block = None
    if table is not None:
        block = charts.block(figure, table, pictures.get("gif", b""))
    is_chart = block is not None and block.kind == "chart"
    ending = "gif" if is_animated(figure) else "svg"
    file = Path(folder, study.name, "figures", f"{figure.name}.{ending}")
    return page.FigurePage(
        name=figure.name,
        title=figure.title,
        caption=figure.caption,
        after=figure.after,
        how_to_read=figure.how_to_read,
        claims=beside,
        command=f"./run {study.name} {file.as_posix()}",
        svg=pictures.get("svg", b""),
        png=pictures.get("png", b""),
        block=block,
        preview=None if is_chart or table is None else charts.preview(table),
        files={
            kind: os.path.relpath(path, folder or ".") for kind, path in found.items()
        },
    )


def _pictures(
    study: Study, figure, files: dict[str, Path]
) -> tuple[dict[str, bytes], pd.DataFrame | None]:
    """The pictures of a figure by their endings, checked against its table, and it."""
    pictures = {ending: path for ending, path in files.items() if ending != "csv"}
    if not pictures:
        return {}, None
    if "csv" not in files:
        raise ProductError(f"no table of the figure {figure.name} among the inputs")
    path = str(files["csv"])
    table = artifacts.load(path)
    about = {"product": "figure", "study": study.name, "figure": figure.name}
    artifacts.check(path, table, about)
    check_settings(study, path, table, FIGURE)
    digests = table.meta["pictures"]
    read = {e: artifacts.read_picture(p, digests.get(e)) for e, p in pictures.items()}
    return read, table.data


def yaml_of_claims(study: Study) -> dict[str, str]:
    """Each claim as YAML, as the study file states it, by its id."""
    stated = document(study.text, study.name).values
    return {
        claim["id"]: yaml.safe_dump(claim, allow_unicode=True, sort_keys=False)
        for claim in stated.get("claims", ())
    }


def _labels(study: Study) -> dict[str, str]:
    """The label of each variant in the first figure that has one without formulas."""
    found: dict[str, str] = {}
    for figure in study.figures:
        for variant, label in figure.labels.items():
            if "$" not in label:
                found.setdefault(variant, label)
    return found


def seeds(study: Study) -> str:
    """The number of networks of each width, and their seed."""
    numbers = sorted({study.variants[v].seeds_at(width) for v, width in study.jobs()})
    roots = sorted({e.seed for e in study.variants.values()})
    many = f"{numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else f"{numbers[0]}"
    networks = "network" if numbers == [1] else "networks"
    return f"{many} {networks} per width, seed {', '.join(map(str, roots))}"
