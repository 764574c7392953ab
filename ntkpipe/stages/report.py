"""The page of all studies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ntkpipe import io, provenance
from ntkpipe.io import ProductError
from ntkpipe.lazy import Lazy
from ntkpipe.stages.claims import CLAIMS
from ntkpipe.stages.figure import FIGURE
from ntkpipe.stages.job import Job, check_settings, read_studies
from ntkpipe.stages.linearize import momentum
from ntkpipe.stages.measure import MEASURE
from ntkpipe.stages.stage import Stage
from ntkpipe.stages.verify import verdicts
from ntkpipe.study import Experiment, Study

pd = Lazy("pandas")


def run(job: Job) -> None:
    """The page of all studies: index.html."""
    write(
        list(job.studies),
        list(job.inputs),
        job.outputs[0],
        job.options.get("benchmarks"),
        job.options.get("gallery"),
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
    },
)


def write(
    studies: list[Study],
    inputs: list[str],
    output: str,
    benchmarks: str | None = None,
    gallery: str | None = None,
) -> None:
    """The page of all studies: index.html."""
    from ntkpipe import gallery as gallery_
    from ntkpipe import report as report_

    products = [path for path in inputs if _is_product(path)]
    files = [Path(path) for path in inputs if not _is_product(path)]
    by_study = read_studies(studies, products, CLAIMS, MEASURE)
    pages = [
        _study_page(study, by_study[study.name], files, Path(output).parent, benchmarks)
        for study in studies
    ]
    sources = gallery_.load(gallery) if gallery else ()
    page = report_.page(pages, verdicts(by_study), provenance.versions(), sources)
    io.write(output, lambda file: file.write(page.encode()))


def _is_product(path: str) -> bool:
    return Path(path).name in ("claims.csv", "measurements.csv")


def _study_page(study, products, files, folder, runs):
    """What the page shows of one study."""
    from ntkpipe import report as report_

    claims_, table = (products[name, None, None] for name in ("claims", "measurements"))
    warnings, remarks = _warnings(study, table.data)
    figures = []
    for figure_ in study.figures:
        own = [
            path
            for path in files
            if path.stem == figure_.name
            and path.parts[-3:-1] == (study.name, "figures")
        ]
        found = {path.suffix[1:]: path for path in own}
        # all of them, also those that are only linked
        shown = _pictures(study, figure_, found)
        figures.append(
            report_.FigurePage(
                name=figure_.name,
                title=figure_.title,
                caption=figure_.caption,
                after=figure_.after,
                svg=shown.get("svg", b""),
                png=shown.get("png", b""),
                gif=shown.get("gif", b""),
                files={e: os.path.relpath(p, folder) for e, p in found.items()},
            )
        )
    return report_.StudyPage(
        name=study.name,
        title=study.title,
        question=study.question,
        source=study.source,
        notes=study.notes,
        yaml=study.text,
        figures=figures,
        runtime_s=_run_time(study, runs),
        device=table.meta.get("device", ""),
        seeds=_seeds(study),
        versions=claims_.meta["versions"],
        warnings=warnings,
        remarks=remarks,
        files={
            f"{name}.csv": f"{study.name}/{name}.csv"
            for name in ("claims", "measurements")
        },
    )


def _pictures(study, figure_, files: dict[str, Path]) -> dict[str, bytes]:
    """The pictures of a figure by their endings, as they were drawn with its table."""
    pictures = {ending: path for ending, path in files.items() if ending != "csv"}
    if not pictures:
        return {}
    if "csv" not in files:
        raise ProductError(f"no table of the figure {figure_.name} among the inputs")
    path = str(files["csv"])
    table = io.load(path)
    about = {"product": "figure", "study": study.name, "figure": figure_.name}
    io.check(path, table, about)
    check_settings(study, path, table, FIGURE)
    digests = table.meta["pictures"]
    return {e: io.read_picture(p, digests.get(e)) for e, p in pictures.items()}


def _warnings(study: Study, table: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Which numbers are not there or worth nothing, and what else one should know.

    Widths of a variant of which the same is said share a line.
    """
    found: dict[tuple[bool, str, str], list[int]] = {}
    for (variant, width), rows in table.groupby(["variant", "width"], sort=False):
        for fault, says in _doubts(rows, study.variants[variant]):
            found.setdefault((fault, variant, says), []).append(width)
    notes: dict[bool, list[str]] = {True: [], False: []}
    for (fault, variant, says), widths in found.items():
        what = "width" if len(widths) == 1 else "widths"
        # the exact kernels are in the table as those of width 0
        names = ", ".join(str(width or "∞") for width in widths)
        notes[fault].append(f"{_called(study, variant)}, {what} {names}: {says}")
    return notes[True], notes[False]


def _called(study: Study, variant: str) -> str:
    """A variant, and what the first figure with a label for it calls it."""
    for figure_ in study.figures:
        label = getattr(figure_, "labels", {}).get(variant, variant)
        if label.casefold() != variant.casefold():
            return f"{variant} ({label})"
    return variant


def _doubts(rows: pd.DataFrame, e: Experiment) -> Iterator[tuple[bool, str]]:
    """What makes the numbers of one width doubtful: (whether it is a fault, in words).

    A fault is a network or a number that is not there. The rest may be intended.
    """
    lost = rows.loc[rows["metric"] == "diverged", "value"]
    if lost.any():
        yield True, f"{_some(lost.sum(), len(lost))} diverged"
    seeds = {
        metric: set(rows.loc[(rows["metric"] == metric) & (rows["value"] > 0), "seed"])
        for metric in ("dead", "singular", "unresolved")
    }
    for metric, one, many, says in (
        ("dead", "is", "are", "dead: the last hidden layer is the same for all points"),
        # no cause is named: equal or antipodal points, few weights, few frequencies …
        ("singular", "has", "have", "a singular kernel: λ_min is 0 but for rounding"),
        ("unresolved", "moved its", "moved their", "kernel by less than rounding does"),
    ):
        count = len(seeds[metric])
        if count:
            total = rows.loc[rows["metric"] == metric, "seed"].nunique()
            verb = one if count == 1 else many
            yield metric == "dead", f"{_some(count, total)} {verb} {says}"
    rate = rows[(rows["metric"] == "learning_rate_relative") & (rows["step"] == 0)]
    # gradient descent is stable up to η = 2/λ_max, the heavy ball to 2(1 + β)/λ_max
    unstable = set(rate.loc[rate["value"] > 1 + momentum(e), "seed"])
    yield from _undefined(rows, seeds["dead"], unstable)
    if unstable and e.training.steps and e.training.optimizer != "adam":
        limit = "2(1 + β)/λ_max" if momentum(e) else "2/λ_max"
        yield (
            False,
            f"the learning rate is past the stability limit {limit} of "
            f"{_some(len(unstable), len(rate), 'linearised model')}",
        )
    if e.training.stop_at_loss is not None:
        reached = rows.loc[rows["metric"] == "converged", "value"]
        if not reached.all():
            missed = _some((1 - reached).sum(), len(reached))
            yield (
                False,
                f"{missed} did not reach the loss to stop at in {e.training.steps:,} "
                "steps",
            )


def _undefined(
    rows: pd.DataFrame, dead: set[int], unstable: set[int]
) -> Iterator[tuple[bool, str]]:
    """Which metrics have no value of which networks, and why where that is known."""
    prefix = "undefined/"
    undefined = rows[rows["metric"].str.startswith(prefix) & (rows["value"] > 0)]
    found: dict[tuple[bool, str], list[str]] = {}
    for metric, own in undefined.groupby("metric", sort=False):
        name, seeds = metric.removeprefix(prefix), set(own["seed"])
        count = _some(len(seeds), rows["seed"].nunique())
        have = f"{count} {'has' if len(seeds) == 1 else 'have'} no value of {{}}"
        if (own["width"] == 0).all():
            because = (True, "without a value (0/0) are {}")
        elif seeds <= dead:
            because = (True, f"without a value (0/0) are {{}}: {count}, all dead")
        elif name.startswith("linear_") and seeds <= unstable:
            because = (
                False,
                f"{have}, as the linearised model diverged past the stability limit",
            )
        else:
            because = (True, have)
        found.setdefault(because, []).append(name)
    for (fault, says), names in found.items():
        yield fault, says.format(", ".join(names))


def _some(count: float, total: int, what: str = "network") -> str:
    """3 of 4 networks, 1 of 1 network."""
    return f"{count:.0f} of {total} {what}{'' if total == 1 else 's'}"


def _seeds(study: Study) -> str:
    """How many networks there are at a width, and the seed they are drawn from."""
    numbers = sorted({study.variants[v].seeds_at(width) for v, width in study.jobs()})
    seeds = sorted({e.seed for e in study.variants.values()})
    many = f"{numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else f"{numbers[0]}"
    networks = "network" if numbers == [1] else "networks"
    return f"{many} {networks} a width, seed {', '.join(map(str, seeds))}"


def _run_time(study: Study, runs: str | None) -> float | None:
    """Seconds that all jobs of a study took, where they were measured."""
    if runs is None:
        return None
    tables = set(Path(runs, study.name).rglob("*.tsv"))
    for variant, e in study.variants.items():
        own = Path(runs, study.name, variant)
        widths = {f"width{width}" for width in e.widths}
        tables -= {t for t in own.glob("width*/*.tsv") if t.parent.name not in widths}
    if not tables:
        return None
    try:
        return float(
            sum(pd.read_csv(path, sep="\t")["s"].sum() for path in sorted(tables))
        )
    except (ValueError, KeyError, TypeError):
        return None  # a run that was killed leaves half a table
