"""The page of all results: one self-contained HTML file, claims first.

The page loads nothing: pictures are data URIs, the style is inline, there is no
script. Everything that comes from a study file is escaped.
"""

from __future__ import annotations

import base64
import html
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ntkpipe.claims import words
from ntkpipe.gallery import Original, Source
from ntkpipe.lazy import Lazy

pd = Lazy("pandas")

FEW = 20  # claims; the table of more is folded
LARGEST_SVG = 300_000  # bytes; the png of a larger one is smaller
LARGEST_GIF = 3_000_000  # bytes; a larger one is linked

TITLE = "The neural tangent kernel, regenerated"
LEAD = (
    "A wide neural network hardly moves while it learns. Its neural tangent kernel "
    "(NTK) stands still, and training becomes a linear differential equation that can "
    "be solved on paper."
)
ABOUT = (
    "Here the experiments behind these statements are run again, with many networks at "
    "several widths. Every claim is a measurement with a confidence interval, held "
    "against a band that was set before the run; a contradicted claim is a result like "
    "any other and is shown as one."
)
# https://…, 10.1000/… and 1806.07572, in which the first four digits are a month
ADDRESS = re.compile(
    r"(?P<url>https?://[^\s<>()\"']*[^\s<>()\"'.,;:])"
    r"|(?:doi:\s?)?(?<![\w./])(?P<doi>10\.\d{4,9}/[^\s<>()\"']*[^\s<>()\"'.,;:])"
    r"|(?:arXiv:\s?)?(?<![\w.])"
    r"(?P<arxiv>\d\d(?:0[1-9]|1[0-2])\.\d{4,5}(?:v\d+)?)(?!\w)",
    re.IGNORECASE,
)
VERDICTS = {
    "supported": ("✓", "supported"),
    "contradicted": ("✗", "contradicted"),
    "inconclusive": ("?", "inconclusive"),
    "missing": ("–", "not measured"),
}
CONVENTIONS = (
    (
        "Loss",
        "L = 1/(2N) Σ‖f(x<sub>i</sub>) − y<sub>i</sub>‖²: half the mean over points of "
        "the sum over outputs.",
    ),
    (
        "Time",
        "t = η · step, with η the learning rate. Gradient flow is then "
        "ḟ = −(1/N) Θ (f − y), and the mode of Θ with eigenvalue λ decays as "
        "e<sup>−λt/N</sup>.",
    ),
    (
        "Kernel",
        "Θ(x, x′) = Σ ∂f(x)/∂w · ∂f(x′)/∂w over all weights, per pair of outputs; "
        "Θ₀ is that at initialisation, Θ∞ the limit of infinite width.",
    ),
    (
        "Relative change",
        "‖a(t) − a(0)‖ / ‖a(0)‖ in the Frobenius norm: a kernel that doubles has "
        "changed by 1.",
    ),
    (
        "Interval",
        "95 % unless a claim says otherwise, by a bootstrap over seeds (whole "
        "networks), separately at each width.",
    ),
    (
        "Verdict",
        "Supported if the interval lies inside the predicted band, contradicted if it "
        "lies outside, inconclusive if it does both: noise is never rewarded.",
    ),
    (
        "Control",
        "A claim that is known to be wrong and has to come out contradicted. It shows "
        "that the same test can fail.",
    ),
)


@dataclass(frozen=True, kw_only=True)
class FigurePage:
    """A figure: its texts, its picture, and the files that lie beside the page."""

    name: str
    title: str
    caption: str
    after: str = ""
    svg: bytes = b""
    png: bytes = b""
    gif: bytes = b""  # an animation; the png is then its still
    files: Mapping[str, str] = field(default_factory=dict)  # ending → relative address


@dataclass(frozen=True, kw_only=True)
class StudyPage:
    """A study: its texts, its figures, and how it was run."""

    name: str
    title: str
    question: str
    source: str = ""
    notes: Sequence[str] = ()
    yaml: str = ""
    figures: Sequence[FigurePage] = ()
    runtime_s: float | None = None
    device: str = ""
    seeds: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    warnings: Sequence[str] = ()  # networks or numbers that are not there
    remarks: Sequence[str] = ()  # what may be intended
    files: Mapping[str, str] = field(default_factory=dict)  # name → relative address


def page(
    studies: Sequence[StudyPage],
    claims: pd.DataFrame,
    versions: Mapping[str, str],
    gallery: Sequence[Source] = (),
) -> str:
    """The whole page.

    Args:
        studies: in the order of the page.
        claims: rows of claims.csv of all studies, with the fields of `claims.Verdict`.
        versions: of what made the page; those of a study are shown where they differ.
        gallery: the sources' figures, in their order.
    """
    body = [
        _header(studies, claims),
        _contents(gallery),
        _claims_section(studies, claims),
        _conventions(),
        *(
            _study(study, _of(claims, study.name), versions, number)
            for number, study in enumerate(studies, 1)
        ),
        _gallery(studies, gallery),
        _colophon(versions),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{TITLE}</title>\n<style>{CSS}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in body if part)
        + "\n</body>\n</html>\n"
    )


def _header(studies: Sequence[StudyPage], claims: pd.DataFrame) -> str:
    parts = [
        f"<h1>{TITLE}</h1><p class=lead>{LEAD}</p><p>{ABOUT}</p>",
        _summary(studies, claims),
    ]
    warnings = _of_each(studies, "warnings")
    if warnings:
        title = "⚠ Diverged or dead networks, missing values"
        parts.append(
            f"<div class=warning><p><strong>{title}</strong></p>{warnings}</div>"
        )
    remarks = _of_each(studies, "remarks")
    if remarks:
        count = sum(bool(study.remarks) for study in studies)
        title = f"Remarks on {_many(count, 'study', 'studies')}"
        parts.append(_remarks(title, remarks))
    return f"<header>{''.join(parts)}</header>"


def _of_each(studies: Sequence[StudyPage], kind: str) -> str:
    """The first two of each study's; all of them stand at the study."""
    items = []
    for study in studies:
        texts = getattr(study, kind)
        shown = "; ".join(_text(text) for text in texts[:2])
        more = f"; and {len(texts) - 2} more" if len(texts) > 2 else ""
        if texts:
            link = f'<a href="#{_id(study)}">{_text(study.title)}</a>'
            items.append(f"<li>{link}: {shown}{more}</li>")
    return f"<ul>{''.join(items)}</ul>" if items else ""


def _remarks(title: str, inside: str) -> str:
    return f"<details class=remarks><summary>{title}</summary>{inside}</details>"


def _summary(studies: Sequence[StudyPage], claims: pd.DataFrame) -> str:
    """N of M verdicts as expected; the others by name, each with a link."""
    if claims.empty:
        return "<p class=summary>No study of this page makes a claim.</p>"
    met = claims["as_expected"].astype(bool)
    line = (
        f"<strong>{met.sum()} of {_many(len(claims), 'verdict')} came out as expected."
        "</strong>"
    )
    controls = int((claims["expected"] == "contradicted").sum())
    if controls:
        line += (
            f" {_many(controls, 'claim is a control', 'claims are controls')}: known "
            "to be wrong, and expected to be contradicted."
        )
    others = claims[~met]
    if others.empty:
        return f"<div class=summary><p>{line}</p></div>"
    titles = {study.name: study.title for study in studies}
    items = "".join(
        f"<li>{_name(row, link=True)} ({_text(_word(row['verdict']))}): "
        f"{_text(row['says'])}. <span class=source>"
        f"{_text(titles.get(_said(row, 'study'), ''))}</span></li>"
        for _, row in others.iterrows()
    )
    return (
        f'<div class="summary bad"><p>{line}</p><p>Not as expected:</p>'
        f"<ul>{items}</ul></div>"
    )


def _contents(gallery: Sequence[Source]) -> str:
    """The parts of the page; the studies and their figures are in the first table."""
    links = {"claims": "Studies and claims", "conventions": "Conventions"}
    if gallery:
        links["gallery"] = "Figures of the sources"
    links["cite"] = "How to cite, versions"
    items = "".join(f"<li>{_link(f'#{to}', name)}</li>" for to, name in links.items())
    return f'<nav aria-label="Contents"><ul>{items}</ul></nav>'


def _claims_section(studies: Sequence[StudyPage], claims: pd.DataFrame) -> str:
    """How each study came out and where it is, then all claims, folded if many."""
    rows = "".join(
        _study_row(study, _of(claims, study.name), number)
        for number, study in enumerate(studies, 1)
    )
    parts = [
        '<section id="claims"><h2>Studies and claims</h2>',
        '<table class=studies><thead><tr><th scope="col">Study and its figures</th>'
        '<th scope="col">Verdicts as expected</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>",
    ]
    if len(claims):
        # the surprising ones first, else in the order of the studies
        order = claims["as_expected"].astype(bool).sort_values(kind="stable").index
        title = (
            f"{_many(len(claims), 'claim')}: source, prediction, measurement, verdict"
        )
        parts.append(
            f"<details class=all{' open' if len(claims) <= FEW else ''}>"
            f"<summary>{'All ' if len(claims) > 1 else ''}{title}</summary>"
            "<p>Each claim is tested by an interval: <em>supported</em> if it lies "
            "inside the predicted band, <em>contradicted</em> if outside, "
            "<em>inconclusive</em> if both. <span class=tag>control</span> marks a "
            "claim known to be wrong, which has to come out contradicted. A name leads "
            "to the claim in its study, where it says how it was measured.</p>"
            f"{_claims_table(claims.loc[order], link=True)}</details>"
        )
    return f"{''.join(parts)}</section>"


def _study_row(study: StudyPage, claims: pd.DataFrame, number: int) -> str:
    """A study with links to it and to its figures, and how many verdicts are met."""
    figures = " · ".join(
        _link(f"#{_id(study, figure)}", figure.title) for figure in study.figures
    )
    figures = f"<br><span class=source>{figures}</span>" if figures else ""
    met = claims["as_expected"].astype(bool) if len(claims) else claims.index
    if claims.empty:
        count = "no claims"
    elif met.all():
        count = f"{_icon('✓')} {len(met)} of {len(met)}"
    else:
        others = "".join(
            f"<br>{_name(row, link=True)}: {_text(_word(row['verdict']))}"
            for _, row in claims[~met].iterrows()
        )
        count = f"<strong>{_icon('✗')} {met.sum()} of {len(met)}</strong>{others}"
    return (
        f'<tr><th scope="row">{number}. {_link(f"#{_id(study)}", study.title)}{figures}'
        f"</th><td>{count}</td></tr>"
    )


def _gallery(studies: Sequence[StudyPage], gallery: Sequence[Source]) -> str:
    """The sources' figures in their order, each with what regenerates it."""
    there = {
        f"{study.name}/{figure.name}": (study, figure)
        for study in studies
        for figure in study.figures
    }
    parts = []
    for source in gallery:
        rows = "".join(_original(original, there) for original in source.figures)
        notes = "".join(f"<li>{_prose(note)}</li>" for note in source.notes)
        notes = f"<h4>Errata</h4><ul>{notes}</ul>" if notes else ""
        parts.append(
            f"<h3>{_prose(source.source)}</h3><div class=wide>"
            '<table class="gallery stacked">'
            '<thead><tr><th scope="col">There</th><th scope="col">Here</th>'
            '<th scope="col">Setting there</th><th scope="col">What differs</th></tr>'
            f"</thead><tbody>{rows}</tbody></table></div>{notes}"
        )
    if not parts:
        return ""
    return (
        '<section id="gallery"><h2>Figures of the sources</h2><p>In the order of each '
        f"source. A picture leads to the figure.</p>{''.join(parts)}</section>"
    )


def _original(original: Original, there: Mapping[str, tuple]) -> str:
    shown = []
    for name in original.shows:
        if name not in there:
            shown.append(f"<span class=source>{_text(name)}: not in this run</span>")
            continue
        study, figure = there[name]
        image = base64.b64encode(thumbnail(figure.png)).decode("ascii")
        shown.append(
            f'<a href="#{_id(study, figure)}"><img alt="{_text(figure.title)}" '
            f'src="data:image/png;base64,{image}"></a>'
        )
    return (
        f'<tr><th scope="row">{_text(original.figure)}</th><td>{"".join(shown)}</td>'
        f'<td data-head="Setting there">{_prose(original.setting)}</td>'
        f'<td data-head="What differs">{_prose(original.differs)}</td></tr>'
    )


def thumbnail(png: bytes, width: int = 240) -> bytes:
    """A small picture of a picture."""
    from PIL import Image  # comes with matplotlib

    if not png:
        return b""
    small = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        shape = (width, round(image.height * width / image.width))
        resized = image.convert("RGB").resize(shape, Image.Resampling.LANCZOS)
        # the default, by the median, gives a colour of few pixels to another line
        colours = resized.quantize(128, method=Image.Quantize.FASTOCTREE)
        colours.save(small, "png", optimize=True)
    return small.getvalue()


def _claims_table(claims: pd.DataFrame, link: bool) -> str:
    """A row for each claim; names in the page's first table lead to the studies'."""
    rows = "".join(_claim_row(row, link) for _, row in claims.iterrows())
    heads = ("Claim", "Verdict", "What it says", "Predicted", "Measured", "Networks")
    heads = "".join(f'<th scope="col">{head}</th>' for head in heads)
    return (
        f'<div class=wide><table class="claims stacked"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _claim_row(row: pd.Series, link: bool) -> str:
    icon, word = VERDICTS.get(row["verdict"], ("–", row["verdict"]))
    met = bool(row["as_expected"])
    control = row["expected"] == "contradicted"
    tag = " <span class=tag>control</span>" if control else ""
    # the studies' tables have the anchors, so that no id is given twice
    anchor = "" if link else f' id="{_row_id(row)}"'
    source = _said(row, "source")
    source = f"<br><span class=source>{_prose(source)}</span>" if source else ""
    networks = "–" if _exact(row) else _count(row["n"])
    expected = "as expected" if met else "<strong>not as expected</strong>"
    return (
        f'<tr{anchor} class="{"met" if met else "unmet"}">'
        f'<th scope="row">{_name(row, link)}{tag}</th>'
        f'<td class="verdict"><span class="{_text(row["verdict"])}">{_icon(icon)} '
        f"{_text(word)}</span><br>{expected}</td>"
        f"<td>{_text(row['says'])}{source}{'' if link else _how(row)}</td>"
        f'<td class=number data-head="Predicted">{_prediction(row)}</td>'
        f'<td class=number data-head="Measured">{_measured(row)}</td>'
        f'<td class=number data-head="Networks">{networks}</td></tr>'
    )


def _exact(row: pd.Series) -> bool:
    """Whether a claim is of infinite width, and not of networks."""
    return _said(row, "widths") in ("0", "0.0")


def _name(row: pd.Series, link: bool) -> str:
    """A claim's name, which may break after a slash."""
    name = _text(row["claim"]).replace("/", "/<wbr>")
    name = f'<a href="#{_row_id(row)}">{name}</a>' if link else name
    return f"<strong>{name}</strong>"


def _icon(icon: str) -> str:
    """A sign that repeats what the words beside it say."""
    return f"<span aria-hidden=true>{icon}</span>"


def _how(row: pd.Series) -> str:
    """What was measured, at which widths, and remarks, folded away."""
    measured = " of ".join(
        filter(None, (_said(row, "statistic"), _said(row, "metric")))
    )
    widths = "∞" if _exact(row) else _said(row, "widths")
    where = [_said(row, "variant"), widths and f"n = {widths}"]
    where = ", ".join(part for part in where if part)
    lines = [
        f"{measured}{f' ({where})' if where else ''}" if measured else where,
        _said(row, "reason") and f"The band: {row['reason']}",
    ]
    lines = [_prose(line) for line in lines]
    lines.insert(1, _text(words.detail(row)))
    inside = "".join(f"<p>{line}</p>" for line in lines if line)
    return f"<details><summary>how</summary>{inside}</details>" if inside else ""


def _prediction(row: pd.Series) -> str:
    """The predicted value, and the accepted band below it."""
    value, band = _number(row.get("predicted"), 4, False), words.accepted(row)
    lines = [value, f"<span class=band>{band}</span>" if band else ""]
    return "<br>".join(line for line in lines if line) or "–"


def _measured(row: pd.Series) -> str:
    """The estimate, and its interval below it."""
    ends = [row["ci_low"], row["ci_high"]]
    low, high, value = _numbers(ends, row["estimate"])
    if not value:
        return "–"
    interval = f"<br><span class=interval>[{low}, {high}]</span>"
    return value + (interval if low and high else "")


def _study(
    study: StudyPage, claims: pd.DataFrame, versions: Mapping[str, str], number: int
) -> str:
    parts = [
        f"<h2>{number}. {_text(study.title)}</h2>",
        f"<p class=question>{_text(study.question)}</p>",
    ]
    if study.source:
        parts.append(f"<p class=source>Source: {_prose(study.source)}</p>")
    if study.warnings:
        items = "".join(f"<li>{_text(warning)}</li>" for warning in study.warnings)
        parts.append(f"<div class=warning><ul>{items}</ul></div>")
    if study.remarks:
        items = "".join(f"<li>{_text(remark)}</li>" for remark in study.remarks)
        parts.append(_remarks("Remarks", f"<ul>{items}</ul>"))
    parts += [_figure(study, figure) for figure in study.figures]
    if len(claims):
        parts.append(f"<h3>Claims</h3>{_claims_table(claims, link=False)}")
    if study.notes:
        notes = "".join(f"<li>{_prose(note)}</li>" for note in study.notes)
        parts.append(f"<h3>Notes</h3><ul>{notes}</ul>")
    parts.append(_run(study, versions))
    return f'<section id="{_id(study)}">{"".join(parts)}</section>'


def _run(study: StudyPage, versions: Mapping[str, str]) -> str:
    """How the study was run, and its configuration."""
    facts = []
    if study.runtime_s is not None:
        facts.append(f"Run time {_duration(study.runtime_s)}")
    if study.device:
        facts.append(f"on {study.device}" if facts else f"Run on {study.device}")
    if study.seeds:
        facts.append(f"({study.seeds})")
    other = {k: v for k, v in study.versions.items() if versions.get(k) != v}
    if other:
        facts.append("with " + ", ".join(f"{k} {v}" for k, v in other.items()))
    line = f"{_text(' '.join(facts))}. " if facts else ""
    links = ", ".join(_link(address, name) for name, address in study.files.items())
    if links:
        line += f"Data: {links}."
    parts = [f"<p class=run>{line}</p>"] if line else []
    if study.yaml:
        parts.append(
            "<details class=yaml><summary>Configuration "
            f"(<code>{_text(study.name)}.yaml</code>)</summary>"
            f"<pre><code>{_text(study.yaml)}</code></pre></details>"
        )
    return "".join(parts)


def _figure(study: StudyPage, figure: FigurePage) -> str:
    after = f" <span class=source>After {_prose(figure.after)}.</span>"
    files = " ".join(_link(address, kind) for kind, address in figure.files.items())
    return (
        f'<figure id="{_id(study, figure)}"><h3>{_text(figure.title)}</h3>'
        f"{_picture(figure)}<figcaption>{_text(figure.caption)}"
        f"{after if figure.after else ''}"
        f"{f' <span class=files>{files}</span>' if files else ''}"
        "</figcaption></figure>"
    )


def _picture(figure: FigurePage) -> str:
    """The svg, or the png where that is smaller to send; or the animation with a still.

    The still is what is printed, and shown to those who want no motion.
    """
    if figure.svg and (len(figure.svg) < LARGEST_SVG or not figure.png):
        return _image(figure, "svg+xml", figure.svg)
    if not figure.png:
        return f"<p class=warning>No picture of {_text(figure.name)} was made.</p>"
    if not figure.gif:
        return _image(figure, "png", figure.png)
    if len(figure.gif) > LARGEST_GIF:
        size = f"animation, {len(figure.gif) / 1e6:.1f} MB"
        link = _link(figure.files.get("gif", f"{figure.name}.gif"), size)
        return f"{_image(figure, 'png', figure.png)}<p class=run>{link}</p>"
    moving = _image(figure, "gif", figure.gif, "moving")
    return moving + _image(figure, "png", figure.png, "still")


def _image(figure: FigurePage, kind: str, data: bytes, role: str = "") -> str:
    """A picture as a data URI."""
    encoded = base64.b64encode(data).decode("ascii")
    alt = _text(f"{figure.title}: {figure.caption}")
    role = f" class={role}" if role else ""
    return f'<img{role} alt="{alt}" src="data:image/{kind};base64,{encoded}">'


def _conventions() -> str:
    items = "".join(
        f"<div><dt>{name}</dt><dd>{text}</dd></div>" for name, text in CONVENTIONS
    )
    return f'<section id="conventions"><h2>Conventions</h2><dl>{items}</dl></section>'


def _colophon(versions: Mapping[str, str]) -> str:
    made = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        '<section id="cite"><h2>How to cite, versions</h2>'
        "<p>Please cite the papers named as sources above, and this software as "
        "<code>CITATION.cff</code> says. Each figure has the plotted numbers beside it "
        "(csv), and each product carries the settings and versions that made it.</p>"
        f"<p class=run>Made with {_text(made or 'unknown versions')}.</p></section>"
    )


# ------------------------------------------------------------------ words


def _text(value: Any) -> str:
    return html.escape(str(value))


def _prose(text: str) -> str:
    """A text with links where it has addresses, DOIs or numbers of arXiv."""
    parts, end = [], 0
    for found in ADDRESS.finditer(text):
        kind = found.lastgroup
        address = found["url"] or {
            "doi": f"https://doi.org/{found['doi']}",
            "arxiv": f"https://arxiv.org/abs/{found['arxiv']}",
        }.get(kind, "")
        parts += [_text(text[end : found.start()]), _link(address, found[0])]
        end = found.end()
    return "".join([*parts, _text(text[end:])])


def _said(row: pd.Series, column: str) -> str:
    """A text of a row; empty where the table has none."""
    value = row.get(column, "")
    return "" if pd.isna(value) else str(value)


def _link(address: str, name: str) -> str:
    return f'<a href="{_text(address)}">{_text(name)}</a>'


def _of(claims: pd.DataFrame, study: str) -> pd.DataFrame:
    return claims[claims["study"] == study] if len(claims) else claims


def _slug(*parts: str) -> str:
    """An anchor of letters, digits and hyphens; other letters are their numbers."""

    def plain(c: str) -> str:
        if not c.isascii():
            return f"{ord(c):x}"
        return c if c.isalnum() else "-"

    return "-".join("".join(map(plain, part)) for part in parts).lower()


def _id(study: StudyPage, figure: FigurePage | None = None) -> str:
    if figure is None:
        return _slug("study", study.name)
    return _slug("figure", study.name, figure.name)


def _row_id(row: pd.Series) -> str:
    return _slug("claim", _said(row, "study"), str(row["claim"]))


def _many(count: int, one: str, more: str = "") -> str:
    """1 claim, 2 claims."""
    return f"{count:,} {one if count == 1 else more or f'{one}s'}"


def _word(verdict: str) -> str:
    return VERDICTS.get(verdict, ("", verdict))[1]


def _count(value: Any) -> str:
    return "–" if pd.isna(value) or value == 0 else f"{int(value):,}"


def _numbers(ends: Iterable[Any], *others: Any, zeros: bool = True) -> list[str]:
    """Numbers with as many digits, of 3 to 6, as it takes to tell the ends apart."""
    ends = list(ends)
    for digits in (3, 4, 5, 6):
        texts = [_number(value, digits, zeros) for value in ends]
        if len(set(texts)) == len(texts):
            break
    else:
        digits = 3
    return [_number(value, digits, zeros) for value in (*ends, *others)]


def _number(value: Any, digits: int = 3, zeros: bool = True) -> str:
    """So many digits, a real minus sign; empty for what is not a finite number.

    Without `zeros` 0.50 is 0.5, as it was typed.
    """
    if value is None or pd.isna(value) or not math.isfinite(value):
        return ""
    if value == 0:
        return "0"
    power = ""
    if 10 <= abs(value) < 1e5:
        before = len(str(int(abs(value))))
        lead = f"{value:,.{max(0, digits - before)}f}"
    elif 1e-3 <= abs(value) < 10:
        lead = f"{value:#.{digits}g}"
    else:
        lead, _, exponent = f"{value:.{digits - 1}e}".partition("e")
        power = f"10<sup>{int(exponent)}</sup>"
    if not zeros and "." in lead:
        lead = lead.rstrip("0").rstrip(".")
    if power:
        lead = f"{lead}·{power}" if zeros or lead not in ("1", "-1") else power
    return lead.replace("-", "−")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


CSS = """
:root { color-scheme: light dark; --ink: #1d2129; --soft: #5a6270; --line: #d9dde3;
  --back: #ffffff; --panel: #f5f6f8; --link: #0b57a4; --good: #00694e;
  --bad: #a3380a; --open: #6b4f9e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e7ec; --soft: #a3abb8;
  --line: #3a414d; --back: #15181d; --panel: #1f242b; --link: #8ec1ff;
  --good: #5fd0ab; --bad: #ff9f6b; --open: #c4aef0; } }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; }
body { margin: 0 auto; padding: 2rem 1.25rem 5rem; max-width: 62rem; color: var(--ink);
  background: var(--back); font: 1rem/1.55 system-ui, -apple-system, "Segoe UI",
  "Helvetica Neue", Arial, sans-serif; }
p, li, dd { max-width: 46rem; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 .75rem; }
h2 { font-size: 1.45rem; line-height: 1.25; margin: 3.5rem 0 .75rem;
  padding-top: .75rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.08rem; margin: 2rem 0 .5rem; }
a { color: var(--link); text-underline-offset: .15em; }
a:focus-visible, summary:focus-visible { outline: 3px solid var(--link);
  outline-offset: 2px; }
.lead { font-size: 1.15rem; }
.question { font-size: 1.08rem; }
.summary { max-width: none; padding: .8rem 1rem; background: var(--panel);
  border-left: 5px solid var(--good); }
.summary.bad { border-color: var(--bad); }
.summary p { margin: .2rem 0; }
.summary ul { margin: .2rem 0; padding-left: 1.2rem; }
.summary li { max-width: none; }
.warning { max-width: none; margin: 1rem 0; padding: .6rem 1rem;
  background: var(--panel); border-left: 5px solid var(--bad); }
.warning p { margin: .2rem 0; } .warning ul { margin: .2rem 0; padding-left: 1.2rem; }
.warning li, .remarks li { max-width: none; }
.remarks { padding: .4rem 1rem; background: var(--panel);
  border-left: 5px solid var(--line); }
.remarks ul { margin: .2rem 0; padding-left: 1.2rem; font-size: .93rem; }
.source, .run, .band, .interval { color: var(--soft); font-size: .88rem; }
nav ul { display: flex; flex-wrap: wrap; gap: .3rem 1.6rem; margin: 1rem 0 0;
  padding: 0; list-style: none; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; line-height: 1.4;
  font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .5rem .7rem .5rem 0;
  border-bottom: 1px solid var(--line); }
thead th { color: var(--soft); font-weight: 600; border-bottom-width: 2px;
  white-space: nowrap; }
tbody th { font-weight: 400; white-space: nowrap; }
tr.unmet { background: color-mix(in srgb, var(--bad) 11%, transparent); }
tr:target { outline: 2px solid var(--link); outline-offset: -2px; }
sup, sub { line-height: 0; }
.studies { margin-bottom: 1.5rem; }
.studies tbody th { white-space: normal; }
.studies td { width: 11rem; min-width: 6.5rem; }
.studies .source a { color: inherit; text-decoration-color: var(--line); }
.all > summary { font-weight: 600; font-size: 1.08rem; }
.claims tbody th { white-space: normal; overflow-wrap: anywhere; width: 8.5em; }
.claims .tag { display: inline-block; }
.claims td:nth-child(2) { width: 9em; }
.claims td:nth-child(4), .claims td:nth-child(5) { width: 10.5em; }
.claims td:nth-child(6) { width: 4.5em; }
.gallery tbody th { white-space: normal; overflow-wrap: anywhere; width: 10em; }
.gallery td { min-width: 10rem; }
.gallery img { display: block; width: 15rem; max-width: none; margin-bottom: .4rem;
  background: #fff; border: 1px solid var(--line); border-radius: 4px; }
h4 { font-size: .95rem; margin: 1rem 0 .3rem; }
.verdict { font-size: .88rem; } .verdict > span { font-weight: 600; font-size: .9rem;
  white-space: nowrap; }
td [aria-hidden] { display: inline-block; width: 1.1em; text-align: center; }
.supported { color: var(--good); } .contradicted { color: var(--bad); }
.inconclusive, .missing { color: var(--open); }
.tag { font-size: .8em; padding: .05rem .4rem; border: 1px solid currentColor;
  border-radius: 1rem; white-space: nowrap; color: var(--soft); }
figure { margin: 2rem 0 2.75rem; } figure h3 { margin-bottom: .6rem; }
figure img { display: block; max-width: 100%; height: auto; background: #fff;
  padding: .6rem; border: 1px solid var(--line); border-radius: 4px; }
figure img.still { display: none; }
figcaption { margin-top: .6rem; max-width: 46rem; font-size: .93rem; }
.files { white-space: nowrap; } .files a { margin-left: .35rem; font-size: .85rem; }
details { margin: .4rem 0; } summary { cursor: pointer; color: var(--link); }
td details { font-size: .85rem; } td details p { margin: .2rem 0; }
pre { overflow-x: auto; padding: 1rem; background: var(--panel); font-size: .82rem;
  line-height: 1.45; border-radius: 4px; }
dl { columns: 24rem; column-gap: 2.5rem; } dl > div { break-inside: avoid; }
dt { font-weight: 600; } dd { margin: 0 0 .8rem; }
@media screen and (max-width: 52rem) {
  .stacked thead { position: absolute; clip-path: inset(50%); }
  .stacked, .stacked tbody { display: block; }
  .stacked tr { display: grid; grid-template-columns: 1fr 1fr; gap: .2rem .8rem;
    padding: .7rem 0; border-bottom: 1px solid var(--line); }
  .stacked tr > * { border: 0; padding: 0; width: auto !important; min-width: 0; }
  .claims td:nth-child(3), .gallery tr > * { grid-column: 1 / -1; }
  td[data-head]::before { content: attr(data-head) ": "; color: var(--soft); }
  .gallery img { max-width: 100%; }
}
@media print, (prefers-reduced-motion: reduce) {
  figure img.moving { display: none; } figure img.still { display: block; }
  html { scroll-behavior: auto; }
}
@media print {
  :root { --ink: #000; --soft: #444; --line: #bbb; --back: #fff; --panel: #f4f4f4;
    --link: #000; --good: #00694e; --bad: #a3380a; --open: #6b4f9e; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav, header .remarks { display: none; } figure, tr { break-inside: avoid; }
  .wide { overflow: visible; } table { font-size: 8pt; } .gallery img { width: 9em; }
  th, td { padding: .3em .6em .3em 0; } .gallery tr > * { min-width: 0; }
  td .source, th .source, .band, .interval, .verdict, .verdict > span, td details {
    font-size: inherit; }
  .all::details-content, section .remarks::details-content,
  td details::details-content { content-visibility: visible; block-size: auto; }
  h2, h3 { break-after: avoid; } a { text-decoration: none; }
}
"""
