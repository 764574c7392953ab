"""The page of all studies, from the products on disk."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ntkpipe import artifacts, provenance
from ntkpipe.artifacts import Product, ProductError
from ntkpipe.lazy import Lazy
from ntkpipe.stages.claims import CLAIMS
from ntkpipe.stages.figure import FIGURE
from ntkpipe.stages.job import Job, check_settings, read_studies
from ntkpipe.stages.measure import MEASURE
from ntkpipe.stages.stage import Stage
from ntkpipe.stages.verify import verdicts
from ntkpipe.study import Study

if TYPE_CHECKING:
    import pandas as pd

    from ntkpipe.report import charts, doubts, page
    from ntkpipe.report import gallery as galleries
else:
    pd = Lazy("pandas")
    # imported only when a page is made
    charts = Lazy("ntkpipe.report.charts")
    doubts = Lazy("ntkpipe.report.doubts")
    galleries = Lazy("ntkpipe.report.gallery")
    page = Lazy("ntkpipe.report.page")


def run(job: Job) -> None:
    """Write the page of all studies: index.html."""
    write(
        list(job.studies),
        list(job.inputs),
        job.outputs[0],
        job.options.get("benchmarks"),
        job.options.get("gallery"),
        job.options.get("answers"),
    )


REPORT = Stage(
    name="report",
    help="the page of all studies (index.html)",
    per="run",
    makes="index.html",
    run=run,
    reads=(MEASURE, CLAIMS, FIGURE),
    options={
        "benchmarks": "folder of run times, if any",
        "gallery": "the sources' figures (YAML)",
        "answers": "answers of `ask` (JSON)",
    },
)


def write(
    studies: Sequence[Study],
    inputs: Sequence[str],
    output: str,
    benchmarks: str | None = None,
    gallery: str | None = None,
    answers: str | None = None,
) -> None:
    """Write the page of all studies.

    Args:
        studies: in the order of the page.
        inputs: claims.csv and measurements.csv of all studies, and files of figures.
        output: index.html.
        benchmarks: the folder of the jobs' run times, if they were measured.
        gallery: the file of the sources' figures, if they are to be shown.
        answers: the file of the answers of `ask`, if they are to be shown.
    """
    products = [path for path in inputs if _is_product(path)]
    files = [Path(path) for path in inputs if not _is_product(path)]
    by_study = read_studies(studies, products, CLAIMS, MEASURE)
    folder = Path(output).parent
    pages = [
        _study_page(study, by_study[study.name], files, folder, benchmarks)
        for study in studies
    ]
    sources = galleries.load(gallery) if gallery else ()
    said = json.loads(Path(answers).read_text("utf-8")) if answers else {}
    text = page.page(pages, verdicts(by_study), provenance.versions(), sources, said)
    artifacts.write(output, lambda file: file.write(text.encode()))


def _is_product(path: str) -> bool:
    return Path(path).name in ("claims.csv", "measurements.csv")


def _study_page(
    study: Study,
    products: dict[tuple, Product],
    files: Sequence[Path],
    folder: Path,
    benchmarks: str | None,
) -> page.StudyPage:
    """The contents of the page for one study; addresses are relative to `folder`."""
    claims, table = (products[name, None, None] for name in ("claims", "measurements"))
    notes = list(doubts.data_quality_notes(study, table.data))
    return page.StudyPage(
        name=study.name,
        title=study.title,
        question=study.question,
        data=study.one_data_set,
        source=study.source,
        notes=study.notes,
        yaml=study.text,
        figures=[_figure_page(study, drawn, files, folder) for drawn in study.figures],
        runtime_s=run_time(study, benchmarks),
        device=table.meta.get("device", ""),
        seeds=seeds(study),
        versions=claims.meta["versions"],
        warnings=[note.text for note in notes if note.is_fault],
        remarks=[note.text for note in notes if not note.is_fault],
        files={
            f"{name}.csv": f"{study.name}/{name}.csv"
            for name in ("claims", "measurements")
        },
    )


def _figure_page(
    study: Study, figure, files: Sequence[Path], folder: Path
) -> page.FigurePage:
    """A figure with its pictures; its files are linked and checked."""
    place = (study.name, "figures")
    found = {
        path.suffix[1:]: path
        for path in files
        if path.stem == figure.name and path.parts[-3:-1] == place
    }
    pictures, table = _pictures(study, figure, found)
    gif = pictures.get("gif", b"")
    block = None if table is None else charts.block(figure, table, gif)
    is_chart = block is not None and block.kind == "chart"
    return page.FigurePage(
        name=figure.name,
        title=figure.title,
        caption=figure.caption,
        after=figure.after,
        svg=pictures.get("svg", b""),
        png=pictures.get("png", b""),
        block=block,
        preview=None if is_chart or table is None else charts.preview(table),
        files={kind: os.path.relpath(path, folder) for kind, path in found.items()},
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


def seeds(study: Study) -> str:
    """The number of networks of each width, and their seed."""
    numbers = sorted({study.variants[v].seeds_at(width) for v, width in study.jobs()})
    roots = sorted({e.seed for e in study.variants.values()})
    many = f"{numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else f"{numbers[0]}"
    networks = "network" if numbers == [1] else "networks"
    return f"{many} {networks} per width, seed {', '.join(map(str, roots))}"


def run_time(study: Study, benchmarks: str | None) -> float | None:
    """Seconds that all jobs of a study took; None if they were not measured."""
    if benchmarks is None:
        return None
    tables = set(Path(benchmarks, study.name).rglob("*.tsv"))
    for variant, e in study.variants.items():
        own = Path(benchmarks, study.name, variant)
        widths = {f"width{width}" for width in e.widths}
        tables -= {t for t in own.glob("width*/*.tsv") if t.parent.name not in widths}
    if not tables:
        return None
    try:
        return float(
            sum(pd.read_csv(path, sep="\t")["s"].sum() for path in sorted(tables))
        )
    except (ValueError, KeyError, TypeError):
        return None  # a killed run leaves incomplete tables
