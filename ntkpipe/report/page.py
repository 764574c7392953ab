"""The contents of the page of all studies; `page.html.jinja` has its layout.

The page is one file that loads no other file: pictures are data URIs, the style is
inline. Scripts draw the interactive charts, see `charts`. The template escapes every
value (autoescape is on).
"""

from __future__ import annotations

import base64
import importlib.resources
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from ntkpipe import text
from ntkpipe.claims import words
from ntkpipe.lazy import Lazy
from ntkpipe.report import charts
from ntkpipe.report.thumbnail import thumbnail

if TYPE_CHECKING:
    import jinja2
    import pandas as pd

    from ntkpipe.report.gallery import Source
else:
    jinja2 = Lazy("jinja2")

TEMPLATE, STYLE = "page.html.jinja", "style.css"
FEW = 20  # claims; a longer table is folded
LARGEST_SVG = 300_000  # bytes; the png of a larger one is smaller
VERDICTS = {
    "supported": ("✓", "supported"),
    "consistent": ("✓", "consistent"),
    "contradicted": ("✗", "contradicted"),
    "inconclusive": ("?", "inconclusive"),
    "missing": ("–", "not measured"),
}


@dataclass(frozen=True, kw_only=True)
class FigurePage:
    """A figure: its texts, its picture, and links to its files."""

    name: str
    title: str
    caption: str
    after: str = ""
    svg: bytes = b""
    png: bytes = b""
    block: charts.Block | None = None  # its interactive form
    preview: charts.Preview | None = None  # the beginning of its table
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
    figures: Sequence[FigurePage] = ()
    runtime_s: float | None = None
    device: str = ""
    seeds: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    warnings: Sequence[str] = ()  # on missing networks or numbers
    remarks: Sequence[str] = ()  # on what may be intended
    files: Mapping[str, str] = field(default_factory=dict)  # name → relative address


def page(
    studies: Sequence[StudyPage],
    claims: pd.DataFrame,
    versions: Mapping[str, str],
    gallery: Sequence[Source] = (),
    answers: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """The page as HTML.

    Args:
        studies: in the order of the page.
        claims: rows of claims.csv of all studies, with the fields of `claims.Verdict`.
        versions: package versions of the page; a study lists its own if they differ.
        gallery: the figures of the sources, in order.
        answers: of `ask`: `answers`, paragraphs in which **…** is bold, and `plan`, the
            lines that say how they were measured.
    """
    shown = [_claim(row) for row in claims.to_dict("records")]
    return _template().render(
        studies=studies,
        claims=shown,
        tally=words.tally(claims.to_dict("records")),
        # unexpected verdicts first, otherwise in the order of the studies
        sorted_claims=sorted(shown, key=lambda claim: claim.met),
        few=FEW,
        titles={study.name: study.title for study in studies},
        drawn={f"{s.name}/{f.name}": (s, f) for s in studies for f in s.figures},
        versions=versions,
        gallery=gallery,
        answers=answers or {},
        style=charts.style() + _resource(STYLE),
        scripts=charts.scripts([f.block for s in studies for f in s.figures]),
    )


def layout() -> str:
    """The template, the style sheets and the script; an edit makes the page again."""
    return _resource(TEMPLATE) + charts.style() + _resource(STYLE) + charts.script()


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
        "thumbnail": thumbnail,
        "picture": _picture,
    }
    environment.globals |= {"many": text.many, "slug": _slug, "run_of": _run_of}
    return environment.get_template(TEMPLATE)


# ------------------------------------------------------------------ claims


@dataclass(frozen=True, kw_only=True)
class _Claim:
    """A row of claims.csv as the page shows it."""

    study: str
    name: str
    id: str
    says: str
    source: str
    verdict: str
    icon: str
    word: str
    met: bool
    nature: str
    set: str
    known: str
    predicted: str
    band: str
    measured: str
    interval: str
    level: str
    off: str
    networks: str
    how: str
    detail: str
    reason: str


def _claim(row: Mapping[str, Any]) -> _Claim:
    icon, word = VERDICTS.get(row["verdict"], ("–", row["verdict"]))
    study, name = text.cell(row, "study"), str(row["claim"])
    # infinite width has no networks
    exact = text.cell(row, "widths") in ("0", "0.0")
    measured, interval = words.estimate(row)
    reason = text.cell(row, "reason")
    return _Claim(
        study=study,
        name=name,
        id=_slug("claim", study, name),
        says=row["says"],
        source=text.cell(row, "source"),
        verdict=row["verdict"],
        icon=icon,
        word=word,
        met=bool(row["as_expected"]),
        nature=row["nature"],
        set=row["set"],
        known=text.cell(row, "known"),
        predicted=words.predicted(row),
        band=words.accepted(row),
        measured=measured,
        interval=interval,
        level=words.level(row),
        off=words.OFF if words.off(row) else "",
        networks=text.NONE if exact else text.count(row["n"]),
        how=_quantity(row, "∞" if exact else text.cell(row, "widths")),
        detail=words.detail(row),
        reason=reason and f"The band: {reason}",
    )


def _quantity(row: Mapping[str, Any], widths: str) -> str:
    """The measured quantity, with its variant and widths."""
    cells = (text.cell(row, column) for column in ("statistic", "metric"))
    measured = " of ".join(filter(None, cells))
    places = (text.cell(row, "variant"), widths and f"n = {widths}")
    where = ", ".join(filter(None, places))
    return f"{measured} ({where})" if measured and where else measured or where


# ------------------------------------------------------------------ studies


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


class _Picture(NamedTuple):
    """A picture within the page."""

    mime: str
    data: bytes


def _picture(figure: FigurePage) -> _Picture | None:
    """The svg, or the png if it is smaller."""
    if figure.svg and (len(figure.svg) < LARGEST_SVG or not figure.png):
        return _Picture("svg+xml", figure.svg)
    return _Picture("png", figure.png) if figure.png else None


def _slug(*parts: str) -> str:
    """An anchor of letters, digits and hyphens; other letters become code points."""

    def plain(c: str) -> str:
        if not c.isascii():
            return f"{ord(c):x}"
        return c if c.isalnum() else "-"

    return "-".join("".join(map(plain, part)) for part in parts).lower()
