"""The contents of the page of all studies; `page.html.jinja` has its layout.

The page is one file that loads no other file. Style and scripts are inline, pictures
are packed until they are shown. The template escapes every value (autoescape is on).
Without scripts the page has all texts and tables, and one picture of each study.
"""

from __future__ import annotations

import base64
import importlib.resources
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ntkpipe import text
from ntkpipe.claims import words
from ntkpipe.lazy import Lazy
from ntkpipe.report import pictures
from ntkpipe.report.rows import Row, rows

if TYPE_CHECKING:
    import jinja2
    import pandas as pd

    from ntkpipe.report.gallery import Source
else:
    jinja2 = Lazy("jinja2")

TEMPLATE = "page.html.jinja"
TEMPLATES = (
    TEMPLATE,
    "claims.html.jinja",
    "figure.html.jinja",
    "gallery.html.jinja",
    "run.html.jinja",
    "study.html.jinja",
    "words.html.jinja",
    "explorable.html.jinja",
    "theorem.html.jinja",
)
STYLES = ("style.css", "claims.css", "explorable.css", "print.css")
SCRIPTS = ("claims.js", "page.js")
MOVING = ("network.js", "plot.js", "explorable.js", "theorem.js")
"""Scripts of the pictures that a reader can move."""
SECTIONS = (
    "top",
    "explore",
    "theorem",
    "lazy-or-rich",
    "claims",
    "studies",
    "gallery",
    "run",
    "cite",
)
"""Anchors of the page that no claim may have."""


@dataclass(frozen=True, kw_only=True)
class FigurePage:
    """A figure: its texts, its picture, and links to its files."""

    name: str
    title: str
    caption: str
    after: str = ""
    how_to_read: str = ""
    claims: Sequence[str] = ()  # ids of the claims beside it
    command: str = ""  # draws it again
    svg: bytes = b""
    png: bytes = b""
    gif: bytes = b""  # an animation; the png is then its still
    files: Mapping[str, str] = field(default_factory=dict)  # ending → relative address


@dataclass(frozen=True, kw_only=True)
class StudyPage:
    """A study: its texts, its figures, and facts about its run."""

    name: str
    title: str
    question: str
    source: str = ""
    data: str = ""  # of how many data sets the intervals are
    notes: Sequence[str] = ()
    yaml: str = ""
    claims: Mapping[str, str] = field(default_factory=dict)  # id → YAML
    labels: Mapping[str, str] = field(default_factory=dict)  # variant → label
    figures: Sequence[FigurePage] = ()
    runtime_s: float | None = None
    device: str = ""
    seeds: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    warnings: Sequence[str] = ()  # on missing networks or numbers
    remarks: Sequence[str] = ()  # on what may be intended
    files: Mapping[str, str] = field(default_factory=dict)  # name → relative address
    failed: Sequence[tuple[str, str]] = ()  # log and last line of failed jobs
    unshown: str = ""  # why there are no results to show
    command: str = ""  # makes the results


@dataclass(frozen=True, kw_only=True)
class RunPage:
    """Facts about the run besides those of each study."""

    versions: Mapping[str, str] = field(default_factory=dict)  # of the page
    repeated: Mapping[str, int] = field(default_factory=dict)  # job → times
    release: Mapping[tuple[str, str], str] | None = None
    """The verdicts of the last release, by study and claim."""


def page(
    studies: Sequence[StudyPage],
    claims: pd.DataFrame,
    run: RunPage | None = None,
    gallery: Sequence[Source] = (),
    answers: Mapping[str, Sequence[str]] | None = None,
    explorable: Mapping[str, Any] | None = None,
) -> str:
    """The page as HTML.

    Args:
        studies: in the order of the page.
        claims: rows of claims.csv of all studies, with the fields of `claims.Verdict`.
        run: facts about the run.
        gallery: the figures of the sources, in order.
        answers: of `ask`: `answers`, paragraphs in which **…** is bold, and `plan`, the
            lines that say how they were measured.
        explorable: the numbers of the pictures that a reader can move, of
            `explorable.contents`.
    """
    run = run or RunPage()
    shown = [study for study in studies if not study.unshown]
    records = claims.to_dict("records")
    labels = {study.name: study.labels for study in studies}
    made = rows(records, labels, _anchors(studies))
    titles = {study.name: study.title for study in studies}
    return _template().render(
        studies=shown,
        unshown=[study for study in studies if study.unshown],
        claims=made,
        of_study={s.name: [r for r in made if r.study == s.name] for s in shown},
        tally=words.tally(records),
        tiles=_tiles(made),
        beside=_beside(shown, made),
        figures_of=_figures_of(shown),
        yaml={(s.name, name): y for s in shown for name, y in s.claims.items()},
        prefixes=_prefixes(made, gallery, titles),
        titles=titles,
        drawn={f"{s.name}/{f.name}": (s, f) for s in shown for f in s.figures},
        run=run,
        failed=[job for study in shown for job in study.failed],
        changes=_changes(made, run.release),
        slowest=max((s.runtime_s or 0 for s in shown), default=0),
        gallery=gallery,
        answers=answers or {},
        explorable=explorable or {},
        moving={name: _resource(name) for name in MOVING},
        style="".join(map(_resource, STYLES)),
        scripts=[*map(_resource, SCRIPTS)],
    )


def layout() -> str:
    """The templates, styles and scripts; an edit of one makes the page again."""
    return "".join(map(_resource, (*TEMPLATES, *STYLES, *SCRIPTS, *MOVING)))


def _resource(name: str) -> str:
    return importlib.resources.files(__package__).joinpath(name).read_text("utf-8")


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_resource),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "links": text.links,
        "powers": text.powers,
        "base64": lambda data: base64.b64encode(data).decode("ascii"),
        "duration": text.duration,
    }
    environment.globals |= {
        "many": text.many,
        "slug": _slug,
        "run_of": _run_of,
        "picture": pictures.picture,
        "shape": pictures.shape,
        "animation": pictures.animation,
        "still": pictures.still,
    }
    return environment.get_template(TEMPLATE)


# ------------------------------------------------------------------ claims


def _tiles(claims: Sequence[Row]) -> list[tuple[str, str, str, bool]]:
    """Number, words, filter and whether it is a fault, of each tile of the header."""
    counted = [row for row in claims if not row.known]

    def met(nature: str) -> str:
        own = [row for row in counted if row.nature == nature]
        return f"{sum(row.met for row in own)} of {len(own)}"

    wrong, known = sum(r.wrong for r in claims), len(claims) - len(counted)
    return [
        (met("law"), "laws and numbers as expected", "kind=law", False),
        (met("identity"), "identities verified", "kind=identity", False),
        (met("control"), "controls refuted", "kind=control", False),
        (str(wrong), "not as expected", "kind=wrong", wrong > 0),
        (str(known), "known to be contradicted", "kind=known", False),
    ]


def _beside(
    studies: Iterable[StudyPage], claims: Sequence[Row]
) -> dict[tuple[str, str], tuple[list[Row], list[Row]]]:
    """The claims beside each figure, by study and figure.

    A claim stands beside the first figure that shows it; the second list has those that
    stand beside an earlier one. The name "" has the claims that no figure shows.
    """
    found = {}
    for study in studies:
        own = {row.name: row for row in claims if row.study == study.name}
        left = dict(own)
        for figure in study.figures:
            names = [name for name in figure.claims if name in own]
            first = [left.pop(name) for name in names if name in left]
            also = [own[name] for name in names if own[name] not in first]
            found[study.name, figure.name] = first, also
        found[study.name, ""] = [*left.values()], []
    return found


def _figures_of(
    studies: Iterable[StudyPage],
) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """Address and title of the figures that show each claim, by study and claim."""
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for study in studies:
        for figure in study.figures:
            address = f"#{_slug('figure', study.name, figure.name)}"
            for name in figure.claims:
                found.setdefault((study.name, name), []).append((address, figure.title))
    return found


def _prefixes(
    claims: Iterable[Row], gallery: Iterable[Source], titles: Mapping[str, str]
) -> dict[str, str]:
    """What the letters before the hyphen of the claims' names stand for."""
    sources = {one: source.source for source in gallery for one in source.prefix}
    found: dict[str, dict[str, None]] = {}
    for row in claims:
        letter, hyphen, _ = row.name.partition("-")
        if hyphen and letter.isalpha() and letter.isupper():
            found.setdefault(letter, {})[titles.get(row.study, row.study)] = None
    return {one: sources.get(one) or "; ".join(found[one]) for one in sorted(found)}


def _changes(
    claims: Sequence[Row], release: Mapping[tuple[str, str], str] | None
) -> dict[str, list]:
    """What differs from the verdicts of the last release, in the studies shown.

    `changed` has rows and their earlier verdicts, `new` has rows, `gone` has names.
    """
    release = release or {}
    own = {(row.study, row.name): row for row in claims}
    known = {study for study, _ in release} & {study for study, _ in own}
    changed = [
        (row, release[key])
        for key, row in own.items()
        if release.get(key, row.verdict) != row.verdict
    ]
    gone = [key for key in release if key[0] in known and key not in own]
    return {
        "changed": changed,
        "new": [row for key, row in own.items() if key not in release],
        "gone": gone,
    }


# ------------------------------------------------------------------ studies


def _anchors(studies: Iterable[StudyPage]) -> list[str]:
    """The anchors of sections, studies and figures."""
    anchors = [*SECTIONS]
    for study in studies:
        anchors.append(_slug("study", study.name))
        anchors += [_slug("figure", study.name, f.name) for f in study.figures]
    return anchors


def _run_of(study: StudyPage, versions: Mapping[str, str]) -> str:
    """Facts about the run of a study: time, device, networks, differing versions."""
    facts = []
    if study.runtime_s is not None:
        facts.append(f"Run time {text.duration(study.runtime_s)}")
    if study.device:
        facts.append(f"on {study.device}" if facts else f"Run on {study.device}")
    if study.seeds:
        facts.append(f"({study.seeds})")
    other = {k: v for k, v in study.versions.items() if versions.get(k) != v}
    if other:
        facts.append("with " + ", ".join(f"{k} {v}" for k, v in other.items()))
    return " ".join(facts)


def _slug(*parts: str) -> str:
    """An anchor of letters, digits and hyphens; other letters become code points."""

    def plain(c: str) -> str:
        if not c.isascii():
            return f"{ord(c):x}"
        return c if c.isalnum() else "-"

    return "-".join("".join(map(plain, part)) for part in parts).lower()
