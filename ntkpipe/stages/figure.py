"""One figure of a study: its table and its pictures."""

from __future__ import annotations

import itertools
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ntkpipe import cost
from ntkpipe.experiment import Experiment
from ntkpipe.lazy import Lazy
from ntkpipe.stages.dataset import DATASET
from ntkpipe.stages.job import Job, log
from ntkpipe.stages.limit import LIMIT
from ntkpipe.stages.linearize import LINEARIZE
from ntkpipe.stages.measure import MEASURE
from ntkpipe.stages.stage import Place, Stage
from ntkpipe.stages.train import TRAIN

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = Lazy("pandas")

COLUMN_PDF = "column.pdf"  # the width of a column; all others have that of a page
STILL = ("csv", "csv.json", "png", "svg", "pdf", COLUMN_PDF)
MOVING = ("csv", "csv.json", "png", "gif")
ARRAYS = (DATASET, TRAIN, LINEARIZE, LIMIT)


class Arrays:
    """The products of a study for its figures: arrays(product, variant, width)."""

    def __init__(self, job: Job):
        self._job = job

    @cached_property
    def variants(self) -> tuple[str, ...]:
        """All variants of the study."""
        return tuple(self._job.study.variants)

    @cached_property
    def claims(self) -> tuple:
        """The claims of the study."""
        return self._job.study.claims

    def experiment(self, variant: str) -> Experiment:
        """The settings of a variant."""
        return self._job.study.variants[variant]

    def widths(self, variant: str) -> tuple[int, ...]:
        """Widths of a variant."""
        return self._job.study.variants[variant].widths

    def __call__(self, product: str, variant: str, width: int | None = None) -> dict:
        """The arrays of a product."""
        return self._job.read(product, variant, width or 0)


def run(job: Job) -> None:
    """Draw one figure: its table (.csv) and its pictures (.png, .svg, .pdf, .gif).

    NAME.column.pdf has the width of a column, all other pictures that of a page.
    """
    from ntkpipe.figures import axes, save
    from ntkpipe.figures.style import COLUMN

    name = job.at.figure
    rows = job.read("measurements")
    drawn: Any = job.study.figure(name)  # a kind of figure
    columns = [o for o in job.outputs if o.endswith(COLUMN_PDF)]
    pictures = [o for o in job.outputs if not o.endswith((".csv", *columns))]
    try:
        table = drawn.table(rows, Arrays(job))
        picture = drawn.draw(table)
        frames = drawn.frames(table) if is_animated(drawn) else None
        drawn_as = save.save(picture, pictures, frames)
        if columns:
            save.save(drawn.draw(table, COLUMN), columns)
    except (ValueError, LookupError) as error:
        # LookupError: a list or table lacks an entry
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        reason = kind + " ".join(str(error).split())
        if not _has_faults(rows):
            own = f"figure {name}: "
            raise ValueError(own + reason.removeprefix(own)) from error
        # diverged networks must not stop the page, so the picture states the reason
        log.warning("figure %s: %s", name, reason)
        table = pd.DataFrame({"note": [reason]})
        picture = axes.nothing(reason)
        drawn_as = save.save(picture, pictures, [picture])
        save.save(axes.nothing(reason, COLUMN), columns)
    for output in set(job.outputs) - {*pictures, *columns}:
        job.write_table(table, output, pictures=drawn_as)


def _has_faults(rows: pd.DataFrame) -> bool:
    """Whether networks diverged, died or have no value, so that a figure may fail."""
    fault = rows["metric"].isin(["diverged", "dead", "singular"]) & (rows["value"] == 1)
    return bool((fault | rows["metric"].str.startswith("undefined/")).any())


def is_animated(figure) -> bool:
    """Whether a figure is an animation (.gif)."""
    return getattr(figure, "animated", False)


def endings(figure) -> tuple[str, ...]:
    """The endings of the files of a figure."""
    return MOVING if is_animated(figure) else STILL


def chooses(at: Place) -> list[tuple[Stage, Place]]:
    """The inputs of a figure: the measurements and the products that it reads."""
    figure, study = at.study.figure(at.figure), at.study
    found = {("measurements", "", 0): (MEASURE, Place(study))}
    read = [source for source in ARRAYS if source.product in figure.reads]
    for source, name in itertools.product(
        read, figure.variants_read() or study.variants
    ):
        for place in source.places(study, source.variant_of(Place(study, name))):
            if not place.width or not figure.widths or place.width in figure.widths:
                found[source.product, place.variant, place.width] = source, place
    return list(found.values())


def _arrays(at: Place) -> list[tuple]:
    """The arrays that a figure reads, for `ntkpipe.cost`."""
    return [
        (source.product, place.experiment, place.width)
        for source, place in chooses(at)
        if source in ARRAYS
    ]


FIGURE = Stage(
    name="figure",
    help="draw one figure of a study",
    per="figure",
    makes="figure.csv",
    run=run,
    reads=(MEASURE, *ARRAYS),
    chooses=chooses,
    settings=lambda at: at.study.drawn(at.figure),
    sections=lambda at: at.study.drawn(at.figure),
    memory_mb=lambda at: cost.shown_mb(_arrays(at)),
    flop=lambda at: cost.shown_flop(_arrays(at)),
)
