"""The page of all results: one self-contained HTML file, claims first.

The page loads nothing: pictures are data URIs, the style is inline, there is no
script. Everything that comes from a study file is escaped.
"""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ntkpipe.gallery import Original, Source
from ntkpipe.lazy import Lazy

pd = Lazy("pandas")

LARGEST_SVG = 300_000  # bytes; the png of a larger one is smaller
LARGEST_GIF = 3_000_000  # bytes; a larger one is linked

TITLE = "The neural tangent kernel, regenerated"
ABOUT = (
    "Experiments of the literature on the neural tangent kernel (NTK), run again with "
    "many seeds at several widths. Every claim of that literature is a measurement "
    "with a confidence interval, held against a band that was set before the run; a "
    "contradicted claim is a result like any other and is shown as one."
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
        _contents(studies, gallery),
        _claims_section(claims),
        _gallery(studies, gallery),
        *(
            _study(study, _of(claims, study.name), versions, number)
            for number, study in enumerate(studies, 1)
        ),
        _conventions(),
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
    parts = [f"<h1>{TITLE}</h1>", f"<p class=lead>{ABOUT}</p>", _summary(claims)]
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


def _summary(claims: pd.DataFrame) -> str:
    """N of M claims as expected; the others by name, first."""
    if claims.empty:
        return "<p class=summary>No study of this page makes a claim.</p>"
    met = claims["as_expected"].astype(bool)
    line = f"<strong>{met.sum()} of {len(claims)} claims came out as expected.</strong>"
    controls = claims["expected"] == "contradicted"
    if controls.any():
        line += (
            f" {controls.sum()} of them "
            f"{'is a control' if controls.sum() == 1 else 'are controls'}, expected to "
            "be contradicted."
        )
    others = claims[~met]
    if others.empty:
        return f'<p class="summary good">{line}</p>'
    names = "; ".join(
        f'<a href="#{_row_id(row)}">{_text(row["claim"])}</a> '
        f"({_text(_word(row['verdict']))})"
        for _, row in others.iterrows()
    )
    return f'<p class="summary bad">Not as expected: {names}.<br>{line}</p>'


def _contents(studies: Sequence[StudyPage], gallery: Sequence[Source]) -> str:
    # no numbers: those of the sections are of studies only
    items = ['<li><a href="#claims">All claims</a></li>']
    if gallery:
        items.append('<li><a href="#gallery">Figures of the sources</a></li>')
    for study in studies:
        figures = "".join(
            f'<li><a href="#{_id(study, figure)}">{_text(figure.title)}</a></li>'
            for figure in study.figures
        )
        figures = f"<ul>{figures}</ul>" if figures else ""
        link = f'<a href="#{_id(study)}">{_text(study.title)}</a>'
        items.append(f"<li>{link}{figures}</li>")
    items.append('<li><a href="#conventions">Conventions</a></li>')
    items.append('<li><a href="#cite">How to cite, versions</a></li>')
    return (
        f'<nav aria-label="Contents"><h2>Contents</h2><ul>{"".join(items)}</ul></nav>'
    )


def _claims_section(claims: pd.DataFrame) -> str:
    if claims.empty:
        return '<section id="claims"><h2>All claims</h2><p>None.</p></section>'
    # the surprising ones first, else in the order of the studies
    order = claims["as_expected"].astype(bool).sort_values(kind="stable").index
    return (
        '<section id="claims"><h2>All claims</h2>'
        "<p>Each claim is tested by an interval: <em>supported</em> if it lies inside "
        "the predicted band, <em>contradicted</em> if outside, <em>inconclusive</em> "
        "if both. <span class=tag>control</span> marks a claim known to be wrong, "
        "which has to come out contradicted.</p>"
        f"{_claims_table(claims.loc[order], link=True)}</section>"
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
        notes = "".join(f"<li>{_text(note)}</li>" for note in source.notes)
        notes = f"<h4>Errata</h4><ul>{notes}</ul>" if notes else ""
        parts.append(
            f"<h3>{_text(source.source)}</h3><div class=wide><table class=gallery>"
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
        f"<td>{_text(original.setting)}</td><td>{_text(original.differs)}</td></tr>"
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
    """A row for each claim; the page's first table links to the study of each."""
    rows = "".join(_claim_row(row, link) for _, row in claims.iterrows())
    return (
        '<div class=wide><table class=claims><thead><tr><th scope="col">Claim</th>'
        '<th scope="col">What it says</th><th scope="col">Predicted</th>'
        '<th scope="col">Measured</th><th scope="col">n</th>'
        '<th scope="col">Verdict</th><th scope="col">As expected</th>'
        f"</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _claim_row(row: pd.Series, link: bool) -> str:
    icon, word = VERDICTS.get(row["verdict"], ("–", row["verdict"]))
    control = row["expected"] == "contradicted"
    met = bool(row["as_expected"])
    name = f"<strong>{_text(row['claim'])}</strong>"
    if link:
        study = _said(row, "study")
        name = f'<a href="#{_slug("study", study)}">{name}</a>'
    # the first table has the anchors, so that no id is given twice
    anchor = f' id="{_row_id(row)}"' if link else ""
    tag = " <span class=tag>control</span>" if control else ""
    more = "" if link else _how(row)
    source = _said(row, "source")
    source = f"<br><span class=source>{_text(source)}</span>" if source else ""
    return (
        f'<tr{anchor} class="{"met" if met else "unmet"}">'
        f'<th scope="row">{name}{tag}</th>'
        f"<td>{_text(row['says'])}{source}{more}</td>"
        f"<td class=number>{_prediction(row)}</td>"
        f"<td class=number>{_measured(row)}</td>"
        f"<td class=number>{_count(row['n'])}</td>"
        f'<td class="verdict {_text(row["verdict"])}">'
        f"<span aria-hidden=true>{icon}</span> {_text(word)}</td>"
        f"<td>{'yes' if met else '<strong>no</strong>'}</td></tr>"
    )


def _how(row: pd.Series) -> str:
    """What was measured, at which widths, and remarks, folded away."""
    measured = " of ".join(
        filter(None, (_said(row, "statistic"), _said(row, "metric")))
    )
    where = [_said(row, "variant"), _said(row, "widths") and f"n = {row['widths']}"]
    where = ", ".join(part for part in where if part)
    lines = [
        f"{measured}{f' ({where})' if where else ''}" if measured else where,
        _said(row, "detail"),
        _said(row, "reason") and f"The band: {row['reason']}",
    ]
    inside = "".join(f"<p>{_text(line)}</p>" for line in lines if line)
    return f"<details><summary>how</summary>{inside}</details>" if inside else ""


def _prediction(row: pd.Series) -> str:
    """The predicted value, and the accepted band below it."""
    value, band = _number(row.get("predicted"), ".3g"), _said(row, "tolerance")
    low, high = (_number(row.get(end), ".3g") for end in ("low", "high"))
    if not band and (low or high):
        band = f"[{low or '−∞'}, {high or '∞'}]"
    lines = [value, f"<span class=band>{_text(band)}</span>" if band else ""]
    return "<br>".join(line for line in lines if line) or "–"


def _measured(row: pd.Series) -> str:
    """The estimate, and its interval below it."""
    value = _number(row["estimate"])
    if not value:
        return "–"
    low, high = _number(row["ci_low"]), _number(row["ci_high"])
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
        parts.append(f"<p class=source>Source: {_text(study.source)}</p>")
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
        notes = "".join(f"<li>{_text(note)}</li>" for note in study.notes)
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
    after = f" <span class=source>After {_text(figure.after)}.</span>"
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
    items = "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in CONVENTIONS)
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


def _said(row: pd.Series, column: str) -> str:
    """A text of a row; empty where the table has none."""
    value = row.get(column, "")
    return "" if pd.isna(value) else str(value)


def _link(address: str, name: str) -> str:
    return f'<a href="{_text(address)}">{_text(name)}</a>'


def _of(claims: pd.DataFrame, study: str) -> pd.DataFrame:
    return claims[claims["study"] == study] if len(claims) else claims


def _slug(*parts: str) -> str:
    """An anchor of letters, digits and hyphens."""
    return "-".join(
        "".join(c if c.isascii() and c.isalnum() else "-" for c in part)
        for part in parts
    ).lower()


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


def _number(value: Any, digits: str = "#.3g") -> str:
    """Three digits, a real minus sign; empty for what is not a finite number."""
    if value is None or pd.isna(value) or not math.isfinite(value):
        return ""
    if value != 0 and not 1e-3 <= abs(value) < 1e5:
        lead, _, exponent = f"{value:.2e}".partition("e")
        power = str(int(exponent)).replace("-", "−")
        return f"{lead.replace('-', '−')}·10<sup>{power}</sup>"
    if value == 0 or abs(value) >= 1000:
        digits = ",.0f"
    return f"{value:{digits}}".rstrip(".").replace("-", "−")


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
nav h2 { font-size: 1.08rem; margin: 1.5rem 0 .5rem; padding: 0; border: 0; }
a { color: var(--link); text-underline-offset: .15em; }
a:focus-visible, summary:focus-visible { outline: 3px solid var(--link);
  outline-offset: 2px; }
.lead { color: var(--soft); }
.question { font-size: 1.08rem; }
.summary { max-width: none; padding: .8rem 1rem; background: var(--panel);
  border-left: 5px solid var(--good); }
.summary.bad { border-color: var(--bad); }
.warning { max-width: none; padding: .6rem 1rem; background: var(--panel);
  border-left: 5px solid var(--bad); }
.warning p { margin: .2rem 0; } .warning ul { margin: .2rem 0; padding-left: 1.2rem; }
.remarks { padding: .4rem 1rem; background: var(--panel);
  border-left: 5px solid var(--line); }
.remarks ul { margin: .2rem 0; padding-left: 1.2rem; font-size: .93rem; }
.source, .run, .band, .interval { color: var(--soft); font-size: .88rem; }
nav { padding: .1rem 0 0; } nav ul { margin: .2rem 0; padding-left: 1.4rem; }
nav ul ul { font-size: .92rem; }
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
.number { white-space: nowrap; }
.number .band { white-space: normal; display: inline-block; min-width: 7.2rem;
  max-width: 13rem; }
.claims tbody th { white-space: normal; overflow-wrap: break-word; min-width: 7rem;
  max-width: 10rem; }
.claims td:nth-child(2) { min-width: 16rem; }
.gallery tbody th { white-space: normal; min-width: 8rem; }
.gallery td { min-width: 10rem; }
.gallery img { display: block; width: 15rem; max-width: none; margin-bottom: .4rem;
  background: #fff; border: 1px solid var(--line); border-radius: 4px; }
h4 { font-size: .95rem; margin: 1rem 0 .3rem; }
.verdict { white-space: nowrap; font-weight: 600; }
.verdict span { display: inline-block; width: 1.1em; text-align: center; }
.supported { color: var(--good); } .contradicted { color: var(--bad); }
.inconclusive, .missing { color: var(--open); }
.tag { font-size: .75rem; padding: .05rem .4rem; border: 1px solid currentColor;
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
dt { font-weight: 600; margin-top: .8rem; } dd { margin-left: 0; }
@media print, (prefers-reduced-motion: reduce) {
  figure img.moving { display: none; } figure img.still { display: block; }
  html { scroll-behavior: auto; }
}
@media print {
  :root { --ink: #000; --soft: #444; --line: #bbb; --back: #fff; --panel: #f4f4f4;
    --link: #000; --good: #00694e; --bad: #a3380a; --open: #6b4f9e; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav { display: none; } figure, tr { break-inside: avoid; }
  h2, h3 { break-after: avoid; } a { text-decoration: none; }
}
"""
