"""A study: an experiment, its variants, claims and figures."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Annotated

import pydantic
from pydantic import Field

from ntkpipe import fingerprint, measurements
from ntkpipe.claims import Claim
from ntkpipe.claims.base import Statement
from ntkpipe.experiment import MOST_JOBS, Experiment
from ntkpipe.figures import Figure
from ntkpipe.figures.base import unknown
from ntkpipe.section import Fault, did_you_mean, section
from ntkpipe.study.faults import StudyError
from ntkpipe.users.function import UsersFunction

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
LONGEST_NAME = 64  # characters; the name is part of file names
TABLES = ("claims", "measurements")  # names that no figure may have


@section
class Study:
    """One experiment, its variants, claims and figures."""

    name: Name
    title: str
    """Heading on the page."""
    question: str
    """The question of the study, in two sentences."""
    source: str = ""
    """The publication from which the experiment is taken."""
    group: Name = "core"
    """The group of the study: `./run GROUP` runs all studies of a group."""
    order: int | None = None
    """Position on the page, lowest first; studies without one follow, by name."""
    notes: tuple[str, ...] = ()
    """Remarks shown on the page: differences from the source, errata, results."""
    variants: dict[Name, Experiment]
    """The experiments; without variants, `base` is the experiment of the file."""
    claims: tuple[Claim, ...] = ()
    """The claims, with accepted bands."""
    figures: tuple[Figure, ...] = ()
    """The figures."""
    text: str = ""

    def faults(self) -> Iterator[Fault]:
        """Faults between keys: unknown and repeated names, unmet requirements."""
        jobs = sum(len(e.widths) for e in self.variants.values())
        if jobs > MOST_JOBS:
            text = f"{jobs} trainings, at most {MOST_JOBS} in a study"
            yield Fault(("variants",), text)
        # STUDY/figures/constancy.csv could belong to a variant or to a figure
        if "figures" in self.variants:
            text = "`figures` is reserved for the folder of figures"
            yield Fault(("variants",), text)
        claims, figures = dict(enumerate(self.claims)), dict(enumerate(self.figures))
        yield from between(self.variants, self.variants, claims, figures)

    def jobs(self) -> Iterator[tuple[str, int]]:
        """(variant, width) of all trainings."""
        for name, experiment in self.variants.items():
            for width in experiment.widths:
                yield name, width

    def programs(self) -> list[str]:
        """The Python files of users that jobs of the study run."""
        return sorted({f.file for f in self._users_functions()})

    def lacking(self) -> list[Fault]:
        """Packages that these files need and that are not installed."""
        faults = (fault for f in self._users_functions() for fault in f.lacking())
        return [*dict.fromkeys(faults)]

    def _users_functions(self) -> list[UsersFunction]:
        sections = fingerprint.instances([*self.variants.values()])
        return [one for one in sections if isinstance(one, UsersFunction)]

    def data_of(self, variant: str) -> str:
        """The first variant with the same data; its dataset.npz serves all of them."""

        def data(e: Experiment) -> tuple:
            return e.data_seed, e.dataset, e.data, e.draws

        own = self.variants[variant]
        return next(name for name, e in self.variants.items() if data(e) == data(own))

    @property
    def one_data_set(self) -> str:
        """A sentence if intervals hold for one draw of random data, else nothing.

        All networks of a variant see the same data, unless `data: redraw` gives each
        seed its own, or the limit is of many draws.
        """
        drawn_once = [
            name
            for name, e in self.variants.items()
            if e.dataset.is_random and e.data == "once" and e.measure.limit_draws == 1
        ]
        if not drawn_once:
            return ""
        text = (
            "The data are drawn at random once. Intervals are over networks, for this "
            "data set."
        )
        if len(drawn_once) < len(self.variants):
            text = f"Variants {', '.join(drawn_once)}: {text[0].lower()}{text[1:]}"
        return text

    def figure(self, name: str) -> Figure:
        """The figure with this name."""
        for figure in self.figures:
            if figure.name == name:
                return figure
        names = [figure.name for figure in self.figures]
        there = ", ".join(names) or "none"
        near = did_you_mean(name, names)
        text = f"no figure {name!r}: there are {there}{near}"
        raise StudyError([Fault(("figures",), text, self.name)])

    def drawn(self, name: str) -> tuple[Figure, tuple[Claim, ...]]:
        """The figure with this name, and the claims whose results it shows."""
        figure = self.figure(name)
        return figure, figure.claims_shown(self.claims)


def between(
    names: Collection[str],
    variants: Mapping[str, Experiment],
    claims: Mapping[int, Claim],
    figures: Mapping[int, Figure],
) -> Iterator[Fault]:
    """Faults between claims, figures and variants.

    Args:
        names: the names of all variants.
        variants: the variants that could be read.
        claims: the claims that could be read, by their number.
        figures: the figures that could be read, by their number.
    """
    sound = {name: e for name, e in variants.items() if not any(e.faults())}
    for what, key, items in (("claims", "id", claims), ("figures", "name", figures)):
        count = Counter(getattr(item, key) for item in items.values())
        for i, item in items.items():
            if count.pop(name := getattr(item, key), 1) > 1:
                yield Fault((what, str(i), key), f"{name} is given twice")
            for missing in dict.fromkeys(_variants_of(item)):
                if missing not in names:
                    yield Fault((what, str(i)), _no_variant(missing, names))
            for fault in _metric_faults(item, names, sound):
                yield fault.within(what, str(i))
    for i, claim in claims.items():
        for name in claim.variants() or names:
            for fault in claim.unmet(sound[name]) if name in sound else ():
                yield fault.within("claims", str(i))
    for i, figure in figures.items():
        yield from (f.within("figures", str(i)) for f in _name_faults(figure))
        ids = [claim.id for claim in claims.values()]
        for fault in unknown("claims", "claim", figure.claims or (), ids):
            yield fault.within("figures", str(i))
        for label in figure.labels:
            if label not in names:
                text = _no_variant(label, names)
                yield Fault(("figures", str(i), "labels"), text)
        unmet: dict[Fault, list[str]] = {}
        for name in figure.variants_read() or names:
            for fault in figure.unmet(sound[name]) if name in sound else ():
                unmet.setdefault(fault, []).append(name)
        for fault, having in unmet.items():
            prefix = f"variant {', '.join(having)}: " if len(names) > 1 else ""
            fault = fault._replace(text=prefix + fault.text)
            yield fault.within("figures", str(i))


def _metric_faults(
    item: Claim | Figure, names: Collection[str], sound: Mapping[str, Experiment]
) -> Iterator[Fault]:
    """Faults of unknown metrics, and of metrics that no variant records."""
    for key, metric, groups in item.metrics_read():
        if reason := measurements.unknown(metric):
            yield Fault(key, reason)
            continue
        for group in groups:
            read = [name for name in group or names if name in sound]
            reasons = [measurements.unmet(metric, sound[name]) for name in read]
            if read and None not in reasons:
                prefix = f"variant {', '.join(read)}: " if len(names) > 1 else ""
                yield Fault(key, f"{prefix}not recorded: {reasons[0]}")


def _name_faults(figure: Figure) -> Iterator[Fault]:
    """Faults of a name that is too long, or is the name of a table."""
    name = figure.name
    if len(name) > LONGEST_NAME:
        text = f"{name[:20]}… has {len(name)} characters, at most {LONGEST_NAME}"
        yield Fault(("name",), text)
    if name in TABLES:
        yield Fault(("name",), f"{name} is the name of a table")


def _no_variant(name: str, names: Collection[str]) -> str:
    near = did_you_mean(name, names)
    return f"no variant {name}: there are {', '.join(names)}{near}"


def _variants_of(item: Claim | Figure) -> Iterable[str]:
    """Names of variants that a claim or a figure reads."""
    return item.variants() if isinstance(item, Statement) else item.variants_read()


STUDY = pydantic.TypeAdapter(Study)
