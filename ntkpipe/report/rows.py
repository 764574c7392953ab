"""The claims as the page shows them: a `Row` for each row of claims.csv."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ntkpipe import text
from ntkpipe.claims import words
from ntkpipe.lazy import Lazy
from ntkpipe.report.forest import Mark, mark

if TYPE_CHECKING:
    from ntkpipe import measurements
else:
    measurements = Lazy("ntkpipe.measurements")

ICONS = {
    "supported": "✓",
    "consistent": "✓",
    "contradicted": "✗",
    "inconclusive": "?",
    "missing": "–",
}
MET = {
    "law": "{}",
    "identity": "verified",
    "control": "refuted, as it should be",
}
UNMET = {
    "law": "{}",
    "identity": "{}, but it should hold",
    "control": "{}, but it should be refuted",
}
WORDS = {"missing": "not measured"}
"""Verdicts whose word on the page differs from that in claims.csv."""


class Part(NamedTuple):
    """A part of a text; `raw` is the name of the metric or variant that it names."""

    text: str
    raw: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A claim: its texts, its numbers as texts, and its place on the common axis."""

    study: str
    name: str
    id: str
    """The anchor of the claim, `#R-1`."""
    says: str
    source: str
    nature: str
    set: str
    known: bool
    met: bool
    verdict: str
    icon: str
    outcome: str
    """The verdict in words: `supported`, or `refuted, as it should be`."""
    why: str
    """Why the verdict is not as expected, or why a law is known to be contradicted."""
    predicted: str
    band: str
    measured: str
    interval: str
    level: str
    off: str
    networks: str
    statistic: str
    metric: Sequence[Part]
    variant: Sequence[Part]
    widths: str
    detail: str
    reason: str
    mark: Mark | None

    @property
    def wrong(self) -> bool:
        """Whether the verdict is not as expected. Known contradictions are apart."""
        return not (self.met or self.known)

    @property
    def kind(self) -> str:
        """`law`, `identity`, `control`, or `known` for a law known to be false."""
        return "known" if self.known else self.nature


def rows(
    claims: Sequence[Mapping[str, Any]],
    labels: Mapping[str, Mapping[str, str]],
    taken: Sequence[str] = (),
) -> list[Row]:
    """The claims in the order given.

    Args:
        claims: rows of claims.csv, with the fields of `claims.Verdict`.
        labels: the labels of the variants of each study.
        taken: anchors that the claims must not have.
    """
    ids = {*taken}
    found = []
    for claim in claims:
        anchor = _anchor(str(claim["claim"]), text.cell(claim, "study"), ids)
        ids.add(anchor)
        found.append(_row(claim, anchor, labels.get(text.cell(claim, "study"), {})))
    return found


def _anchor(name: str, study: str, taken: set[str]) -> str:
    """The name without spaces; with the study, and a number, if it is taken."""
    for one in (name, f"{study}:{name}"):
        anchor = re.sub(r"\s", "_", one)
        if anchor and anchor not in taken:
            return anchor
    number = next(k for k in range(2, len(taken) + 3) if f"{anchor}:{k}" not in taken)
    return f"{anchor}:{number}"


def _row(claim: Mapping[str, Any], anchor: str, labels: Mapping[str, str]) -> Row:
    # infinite width has no networks
    exact = text.cell(claim, "widths") in ("0", "0.0")
    measured, interval = words.estimate(claim)
    icon, outcome = _outcome(claim)
    return Row(
        study=text.cell(claim, "study"),
        name=str(claim["claim"]),
        id=anchor,
        says=claim["says"],
        source=text.cell(claim, "source"),
        nature=claim["nature"],
        set=claim["set"],
        known=bool(text.cell(claim, "known")),
        met=bool(claim["as_expected"]),
        verdict=claim["verdict"],
        icon=icon,
        outcome=outcome,
        why=_why(claim),
        predicted=words.predicted(claim),
        band=words.accepted(claim),
        measured=measured,
        interval=interval,
        level=words.level(claim),
        off=words.OFF if words.off(claim) else "",
        networks=text.NONE if exact else text.count(claim["n"]),
        statistic=text.cell(claim, "statistic"),
        metric=[*_named(text.cell(claim, "metric"))],
        variant=[*_labelled(text.cell(claim, "variant"), labels)],
        widths="∞" if exact else text.cell(claim, "widths"),
        detail=words.detail(claim),
        reason=text.cell(claim, "reason"),
        mark=mark(claim),
    )


def _outcome(claim: Mapping[str, Any]) -> tuple[str, str]:
    """A sign and words. A refuted control has a check mark, because it is expected."""
    nature, met = claim["nature"], bool(claim["as_expected"])
    icon = ICONS.get(claim["verdict"], "–")
    word = WORDS.get(claim["verdict"], claim["verdict"])
    if text.cell(claim, "known"):
        return icon, f"{word}, as known" if met else word
    if met:
        return "✓", MET[nature].format(word)
    return "✗" if icon == "✓" else icon, UNMET[nature].format(word)


def _why(claim: Mapping[str, Any]) -> str:
    """One line on a verdict that is not as expected, or is known to be contradicted."""
    if text.cell(claim, "known"):
        return text.cell(claim, "reason")
    if claim["as_expected"]:
        return ""
    if claim["verdict"] == "missing":
        return words.detail(claim) or "there is no measurement"
    measured, band = words.measured(claim) or "no number", words.accepted(claim)
    accepted = f"the accepted band {band}" if band else "the accepted band"
    return {
        "contradicted": f"measured {measured}, outside {accepted}",
        "inconclusive": f"measured {measured}, which is on both sides of an edge of "
        f"{accepted}; more networks would decide",
    }.get(claim["verdict"], f"measured {measured}, inside {accepted}")


def _named(metric: str) -> Iterator[Part]:
    """A text about metrics, with the label of each: `ntk_change / weight_change`."""
    end = 0
    for found in re.finditer(r"[a-z]\w*(?:/[\w*.]+)?", metric):
        label = measurements.in_words(found[0])
        if label != found[0]:
            yield Part(metric[end : found.start()])
            yield Part(label, found[0])
            end = found.end()
    yield Part(metric[end:])


def _labelled(variant: str, labels: Mapping[str, str]) -> Iterator[Part]:
    """The variants of a claim, with their labels: `tanh, relu` or `tanh / relu`."""
    for part in re.split(r"(, | / )", variant):
        label = labels.get(part, part)
        yield Part(label, part if label != part else "")
