"""`Stage`: the description of one step of the method."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from pydantic_core import to_jsonable_python

from ntkpipe import artifacts, cost
from ntkpipe.experiment import Experiment
from ntkpipe.fingerprint import fingerprint
from ntkpipe.study import Study


class Place(NamedTuple):
    """Study, variant, width and figure for which a stage runs."""

    study: Study
    variant: str = ""
    width: int = 0
    figure: str = ""

    @property
    def experiment(self) -> Experiment:
        """The experiment of the variant."""
        return self.study.variants[self.variant]

    def __str__(self) -> str:
        """The place in words, for messages."""
        parts = (self.study.name, self.variant, self.width and f"width {self.width}")
        return ", ".join(part for part in parts if part)


def keys(*names: str) -> Callable[[Place], dict[str, Any]]:
    """Settings of a stage that are keys of the experiment."""
    return lambda at: {name: getattr(at.experiment, name) for name in names}


@dataclass(frozen=True)
class Stage:
    """One step of the method, from files to a file.

    Settings, code and cost are functions of the place. `run` takes a job.
    """

    name: str
    """Name of the rule, the command and the module."""
    help: str
    """Help text of the command, one line."""
    per: Literal["width", "variant", "study", "figure", "run"]
    """The stage runs once for each of these."""
    makes: str
    """Name of its output file; without the ending it is the name of the product."""
    run: Callable[[Any], None]
    """Reads the inputs of a `Job` and writes its outputs."""
    reads: tuple[Stage, ...] = ()
    """The stages whose products it reads."""
    settings: Callable[[Place], Any] = lambda at: {}
    """The settings that it reads itself, without the settings of its inputs."""
    sections: Callable[[Place], Any] = lambda at: ()
    """Sections of the study whose code it runs."""
    wanted: Callable[[Experiment], bool] = lambda e: True
    """Whether an experiment needs this stage."""
    variant_of: Callable[[Place], str] = lambda at: at.variant
    """The variant for which this stage runs, if several variants share its product."""
    chooses: Callable[[Place], list[tuple[Stage, Place]]] | None = None
    """The products it reads, if it does not read those of all variants and widths."""
    file: Callable[[Place], str | None] = lambda at: None
    """Path of the user's file of numbers that it reads, if any."""
    gpu: bool = False
    """Whether it may use a GPU."""
    memory_mb: Callable[[Place], int] = lambda at: 0
    """Memory of the arrays, in MB."""
    flop: Callable[[Place], int] = lambda at: 0
    """Number of floating-point operations."""
    seconds: Callable[[Place], cost.Seconds] | None = None
    """Seconds, if they do not follow from `flop`; see `cost.Seconds`."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Further options of its command, with their help texts."""
    input_help: str = "products of earlier stages"
    """Help text of --input."""

    @property
    def product(self) -> str:
        """The name of its product."""
        return self.makes.partition(".")[0]

    def spec(self, at: Place) -> Any:
        """Its settings as JSON values.

        They are a parameter of its rule and part of the metadata of its product. Other
        changes of the study file do not run the stage again.
        """
        return to_jsonable_python(self.settings(at))

    def code(self, at: Place) -> str:
        """A fingerprint of the code that it runs, including `artifacts`."""
        module = self.run.__module__
        return fingerprint(module, artifacts.__name__, self.sections(at))

    def is_at(self, at: Place) -> bool:
        """Whether this stage runs at a place."""
        if self.per in ("study", "run"):
            return not (at.variant or at.width or at.figure)
        if self.per == "figure":
            return at.figure in (figure.name for figure in at.study.figures)
        e = at.study.variants.get(at.variant)
        if e is None or self.variant_of(at) != at.variant or not self.wanted(e):
            return False
        return at.width in e.widths if self.per == "width" else not at.width

    def places(self, study: Study, variant: str = "", width: int = 0) -> list[Place]:
        """The places in a study at which it runs, or those of one variant or width."""
        if self.per == "study":
            return [Place(study)]
        if self.per == "figure":
            return [Place(study, figure=figure.name) for figure in study.figures]
        if self.per == "run":
            return []
        found = [
            Place(study, name) for name in ([variant] if variant else study.variants)
        ]
        if self.per == "width":
            found = [
                at._replace(width=n)
                for at in found
                for n in ([width] if width else at.experiment.widths)
            ]
        return [at for at in found if self.is_at(at)]

    def inputs(self, at: Place) -> list[tuple[Stage, Place]]:
        """The products that it reads: those of its own variant and width, or all."""
        if self.chooses is not None:
            return self.chooses(at)
        return [
            (source, place)
            for source in self.reads
            for place in source.places(
                at.study, at.variant and source.variant_of(at), at.width
            )
        ]

    def path(self, at: Place, name: str = "") -> str:
        """Path of its product, or of a file with another name, in the results."""
        folders = [at.study.name, at.variant, at.width and f"width{at.width}"]
        folders += ["figures"] if at.figure else []
        return "/".join(str(part) for part in [*folders, name or self.makes] if part)


def makers(stages: Iterable[Stage]) -> dict[str, Stage]:
    """The stages and all their upstream stages, by product."""
    found: dict[str, Stage] = {}
    for stage in stages:
        found |= {stage.product: stage} | makers(stage.reads)
    return found
