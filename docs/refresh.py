"""Write the generated blocks of the manual.

    python docs/refresh.py [RESULTS]

A block lies between `<!-- begin NAME -->` and `<!-- end NAME -->`. The tables of keys,
metrics, commands and rules are written from their definitions. The tables of claims,
verdicts and power show what was measured in RESULTS (default `results`); README.md has
their counts. The verdicts are also written for the page, which states what differs from
them. The main figure is copied, and thumbnails are made of the figures of the gallery.
"""

import argparse
import logging
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pydantic
import yaml

from ntkpipe import citations, cli, measurements, study, text
from ntkpipe.artifacts import Product, ProductError
from ntkpipe.claims import normal_law, power, words
from ntkpipe.claims.base import Equivalence, Statement
from ntkpipe.report import gallery
from ntkpipe.report.thumbnail import thumbnail
from ntkpipe.selection import in_order
from ntkpipe.stages import CLAIMS, STAGES, replicate
from ntkpipe.stages.job import read_products
from ntkpipe.study import load_files

ROOT = Path(__file__).parents[1]
STUDIES = ROOT / "config" / "studies"
RELEASE = ROOT / "ntkpipe" / "report" / "release.csv"
FIGURE = "width/figures/review.svg"
SYMBOLS = {
    "supported": "✓",
    "consistent": "✓",
    "contradicted": "✗",
    "inconclusive": "?",
    "missing": "–",
}
CLAIM_HEADS = ("claim", "says", "band set", "accepted", "measured", "level", "verdict")
MEASURED = {
    "claims": "*/claims.csv",
    "verdicts": "*/claims.csv",
    "counts": "*/claims.csv",
    "power": "power.csv",
    "replicates": "replicates/verdicts.csv",
}
NOT_MEASURED = "not measured here"
FAR = 100_000  # larger upper limits only catch slips: the manual leaves them out
log = logging.getLogger("refresh")


def main(results: Path) -> None:
    """Write the blocks of all files, and copy the figures that the results have.

    A block of measured values stays as it is if the results lack its file.
    """
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    if (results / FIGURE).exists():
        shutil.copyfile(results / FIGURE, ROOT / "docs" / "images" / "review.svg")
    for name in dict.fromkeys(shown for source in sources() for shown in source):
        picture = results / name.replace("/", "/figures/")
        picture = picture.with_suffix(".png")
        if picture.exists():
            small = ROOT / "docs" / thumbnail_of(name)
            small.parent.mkdir(exist_ok=True)
            small.write_bytes(thumbnail(picture.read_bytes(), 960))
    RELEASE.write_text(released(results), encoding="utf-8")
    for name, blocks in files(results).items():
        path = ROOT / name
        text = path.read_text(encoding="utf-8")
        for block, make in blocks.items():
            kept = MEASURED.get(block) and body(text, block)
            if not kept or any(results.glob(MEASURED[block])):
                text = replaced(text, block, make())
        path.write_text(text, encoding="utf-8")


PAGES = {
    "config/README.md": ["keys of config.yaml"],
    "docs/reference/study.md": ["keys of a study", "keys of an experiment"],
    "docs/reference/data.md": ["kinds of data"],
    "docs/reference/targets.md": ["kinds of target"],
    "docs/reference/model.md": ["kinds of model"],
    "docs/reference/training.md": ["keys of training", "kinds of loss"],
    "docs/reference/measure.md": ["keys of measure"],
    "docs/reference/claims.md": [
        "keys of all claims",
        "keys of a band",
        "kinds of claim",
    ],
    "docs/reference/figures.md": ["keys of all figures", "kinds of figure"],
}
"""The pages of the tables of keys, with their blocks."""


def files(results: Path) -> dict[str, dict[str, Callable[[], str]]]:
    """The blocks of each file: name → function that returns the block's text."""
    tables = keys()
    return {
        "README.md": {"counts": lambda: _summary(results)},
        "docs/verdicts.md": {"verdicts": lambda: verdicts_table(results)},
        "docs/claims.md": {"claims": lambda: claims_table(results)},
        "docs/power.md": {
            "power": lambda: power_table(results),
            "replicates": lambda: replicates_table(results),
        },
        "docs/gallery.md": {"gallery": gallery_text},
        "docs/develop/design.md": {"rules": rules_table},
        "docs/use/cite.md": {"cite": cited_example},
        "docs/reference/metrics.md": {"metrics": metrics_table},
        "docs/reference/command-line.md": {"commands": commands},
        **{
            page: {block: partial(str, tables[block]) for block in blocks}
            for page, blocks in PAGES.items()
        },
    }


def replaced(text: str, block: str, body: str) -> str:
    """`text`, with the body of one block replaced."""
    begin, end = f"<!-- begin {block} -->\n", f"<!-- end {block} -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"needs one {begin.strip()} and one {end}")
    head, _, rest = text.partition(begin)
    return f"{head}{begin}\n{body.strip()}\n\n{end}{rest.partition(end)[2]}"


def body(text: str, block: str) -> str:
    """The text of a block."""
    begin, end = f"<!-- begin {block} -->\n", f"<!-- end {block} -->"
    return text.partition(begin)[2].partition(end)[0].strip()


# ------------------------------------------------------------------ claims


def claims_table(results: Path) -> str:
    """All claims with their verdicts, a table for each study.

    Verdicts on claims that differ from those of the present study file are left out.
    """
    tables = []
    for one, product in _studies(results):
        rows = (
            {} if product is None else {r.claim: r for r in product.data.itertuples()}
        )
        lines = [_claim_row(claim, rows.get(claim.id)) for claim in one.claims]
        tables.append(
            f"## [{one.title}](../config/studies/{one.name}.yaml)\n\n{one.question}\n\n"
            + (one.one_data_set and f"{one.one_data_set}\n\n")
            + _table(CLAIM_HEADS, lines)
        )
    return "\n\n".join([_summary(results), *tables])


def verdicts_table(results: Path) -> str:
    """The studies, and the number of their claims that are as expected."""
    rows = []
    for one, product in _studies(results):
        count = f"{len(one.claims)}"
        surprises = ""
        if product is not None:
            known = product.data["known"].fillna("") != ""
            met = product.data["as_expected"].astype(bool)
            count = f"{met[~known].sum()} of {len(met[~known])}"
            shown = [
                f"**{row.claim}: {row.verdict}**"
                for row in product.data[~met & ~known].itertuples()
            ]
            laws = product.data.loc[known, "claim"]
            shown += [f"{law}: known to be contradicted" for law in laws]
            surprises = ", ".join(shown)
        rows.append(
            (
                f"[{one.title}](../config/studies/{one.name}.yaml)",
                one.source,
                count if product is not None else f"{count}, {NOT_MEASURED}",
                surprises,
            )
        )
    heads = ("study", "after", "claims as expected", "not as expected")
    return f"{_summary(results)}\n\n{_table(heads, rows)}"


def power_table(results: Path) -> str:
    """The probability that each verdict is the same with other networks."""
    if not (path := results / MEASURED["power"]).exists():
        return "Not measured yet."
    table = pd.read_csv(path).fillna({"known": "", "seeds_needed": "", "note": ""})
    counted, short = power.counted(table), power.too_few(table)
    total = power.expected_changes(table)
    head = (
        f"Σ(1 − P) = {total:.2f} over {counted.sum()} laws and numbers that have an "
        f"interval. {len(short)} claims have P < {normal_law.ENOUGH} or too few seeds."
    )
    heads = ("study", "claim", "verdict", "h/δ", "P", "P if true", "seeds", "needed")
    rows = [
        (
            row.study,
            row.claim if row.nature == "law" else f"{row.claim} ({row.nature})",
            row.verdict,
            text.number(row.ratio, 2),
            text.number(row.again, 2, zeros=False),
            text.number(row.if_true, 2, zeros=False),
            str(row.seeds),
            str(row.seeds_needed or row.note),
        )
        for row in table.itertuples()
    ]
    return f"{head}\n\n{_table(heads, rows)}"


def replicates_table(results: Path) -> str:
    """How many verdicts of each replicate are as expected, and those that are not."""
    if not (path := results / MEASURED["replicates"]).exists():
        return "Not measured yet."
    table = pd.read_csv(path, keep_default_na=False)
    lines = replicate.summary(table).splitlines()
    return "\n".join(
        f"  - {line.strip()}" if line.startswith(" ") else f"- {line}" for line in lines
    )


def _studies(results: Path) -> list[tuple[study.Study, Product | None]]:
    """Each study and its verdicts, in the order of the page; None if not measured."""
    # those whose packages are not installed, too
    studies = in_order(load_files(sorted(STUDIES.glob("*.yaml"))))
    return [(one, _measured(one, results)) for one in studies]


def _measured(one: study.Study, results: Path) -> Product | None:
    """The study's claims.csv, if it was made from the present claims; else None."""
    path = str(results / one.name / "claims.csv")
    try:
        products = read_products(one, [path], CLAIMS)
    except ProductError as error:
        log.info("%s is %s: %s", one.name, NOT_MEASURED, str(error)[:100])
        return None
    return products["claims", None, None]


def _summary(results: Path) -> str:
    products = [product for _, product in _studies(results) if product is not None]
    if not products:
        return f"No claim was measured yet. All are marked “{NOT_MEASURED}”."
    verdicts = [product.data for product in products]
    rows = pd.concat(verdicts).to_dict("records")
    versions = products[-1].meta["versions"]
    made = ", ".join(f"{name} {versions[name]}" for name in ("python", "jax", "numpy"))
    text = f"{words.tally(rows)}. Measured with {made}"
    seconds = sum(
        pd.read_csv(path, sep="\t")["s"].sum()
        for one in products
        for path in (results.parent / "logs" / "benchmarks").glob(
            f"{one.meta['study']}/**/*.tsv"
        )
    )
    return text + (f"; all jobs took {seconds / 60:.0f} minutes." if seconds else ".")


def released(results: Path) -> str:
    """The verdicts as the package has them, for the page: study, claim, verdict.

    Studies that were not measured keep their lines.
    """
    kept = pd.read_csv(RELEASE, dtype=str).groupby("study", sort=False)
    lines = {str(name): rows for name, rows in kept}
    for one, product in _studies(results):
        if product is not None:
            lines[one.name] = product.data[["study", "claim", "verdict"]]
    names = [one.name for one, _ in _studies(results) if one.name in lines]
    return pd.concat([lines[name] for name in names]).to_csv(index=False)


def name_of(claim) -> str:
    """The claim's id, with its nature in parentheses unless it is a law."""
    return claim.id if claim.nature == "law" else f"{claim.id} ({claim.nature})"


def _claim_row(claim, row) -> tuple[str, ...]:
    says = f"{claim.says}<br><sub>{claim.source}</sub>"
    if row is None:
        return name_of(claim), says, claim.band_set, "", "", "", NOT_MEASURED
    verdict = f"{SYMBOLS[row.verdict]} {row.verdict}"
    if claim.known:
        verdict += f" (known)<br><sub>{claim.reason}</sub>"
    elif not row.as_expected:
        verdict = f"**{verdict}**"
    values = row._asdict()
    if words.off(values):
        verdict += " ≈"
    level = words.level(values) or text.NONE
    shown = words.accepted(values), words.measured(values), level, verdict
    return name_of(claim), says, claim.band_set, *shown


# ------------------------------------------------------------------ gallery


def gallery_text() -> str:
    """The sources' figures in their order, with thumbnails of our figures."""
    parts = []
    for source in gallery.load(ROOT / "config" / "gallery.yaml"):
        rows = [
            (
                original.figure,
                "<br>".join(_picture(name) for name in original.shows),
                original.setting,
                original.differs,
            )
            for original in source.figures
        ]
        parts.append(f"## {source.source}")
        parts.append(_table(("there", "here", "setting there", "what differs"), rows))
        if source.notes:
            parts.append("\n".join(["Errata:", "", *(f"- {n}" for n in source.notes)]))
    return "\n\n".join(parts)


def sources() -> list[list[str]]:
    """For each source, our figures that regenerate its figures."""
    loaded = gallery.load(ROOT / "config" / "gallery.yaml")
    return [[name for o in source.figures for name in o.shows] for source in loaded]


def thumbnail_of(name: str) -> str:
    """Path of the thumbnail of a figure, relative to docs/."""
    return f"images/gallery/{name.replace('/', '-')}.png"


def _picture(name: str) -> str:
    link = f"../config/studies/{name.partition('/')[0]}.yaml"
    if (ROOT / "docs" / thumbnail_of(name)).exists():
        return f"[![{name}]({thumbnail_of(name)})]({link})<br>`{name}`"
    return f"[`{name}`]({link})"


# ------------------------------------------------------------------ rules, commands


def rules_table() -> str:
    """The rules: what they do, how often, and the rules whose output they read.

    Above the table is Snakemake's own chart, with names in place of numbers. Its lines
    are sorted, because Snakemake prints them in no fixed order.
    """
    arguments = ["--rulegraph", "mermaid-js", "--config", "run=all"]
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    rules = dict(re.findall(r"(id\d+)\[(.+?)\]", done.stdout))
    edges = re.findall(r"(id\d+) --> (id\d+)", done.stdout)
    order = [*STAGES, "animation"]
    reads = {rule: [] for rule in sorted({*rules.values()} - {"all"}, key=order.index)}
    for source, rule in edges:
        if rules[rule] in reads:
            reads[rules[rule]].append(rules[source])
    rows = []
    for rule, sources in reads.items():
        stage = STAGES["figure" if rule == "animation" else rule]
        does = f"{stage.help}, animated" if rule == "animation" else stage.help
        its = ", ".join(sorted(sources, key=order.index))
        rows.append((f"`{rule}`", does, stage.per, its))
    lines = sorted(f"    {rules[a]} --> {rules[b]}" for a, b in edges)
    chart = "\n".join(["```mermaid", "flowchart TB", *lines, "```"])
    heads = ("rule", "does", "once for each", "reads the output of")
    return f"{chart}\n\n{_table(heads, rows)}"


def commands() -> str:
    """What each command does, and its arguments. The stages are last."""
    parser = cli.parser()
    (action,) = (
        a for a in parser._actions if isinstance(a, argparse._SubParsersAction)
    )
    helps = {choice.dest: choice.help for choice in action._choices_actions}
    parts = []
    for name in sorted(action.choices, key=lambda name: name in STAGES):
        command = action.choices[name]
        rows = [
            (f"`{_argument(a)}`", a.help or "")
            for a in command._actions
            if not isinstance(a, argparse._HelpAction)
        ]
        kind = "A stage of the workflow: " if name in STAGES else ""
        about = f"{kind}{helps[name]}."
        parts.append(f"## {name}\n\n{about[0].upper()}{about[1:]}")
        if rows:
            parts.append(_table(("argument", "what it is"), rows))
    return "\n\n".join(parts)


def _argument(action: argparse.Action) -> str:
    """An argument, as in a usage line."""
    name = (action.metavar or action.dest).upper()
    value = {0: "", "*": f"[{name} …]", "+": f"{name} …"}.get(action.nargs, name)
    return " ".join([*action.option_strings[:1], value]).strip()


def cited_example() -> str:
    """What `cite` prints of the study of the example."""
    one = study.load(STUDIES / "output_scale.yaml")
    sources = citations.load(ROOT / "CITATION.cff")
    return f"```bibtex\n{citations.bibtex(citations.cited([one], sources))}\n```"


# ------------------------------------------------------------------ keys


SCHEMA = study.schema()
TOP, SECTIONS = SCHEMA["properties"], SCHEMA["$defs"]
UNIONS = {
    "data": TOP["dataset"],
    "target": SECTIONS["Circle"]["properties"]["target"],
    "model": TOP["model"],
    "loss": SECTIONS["Training"]["properties"]["loss"]["anyOf"][-1],
    "claim": TOP["claims"]["items"],
    "figure": TOP["figures"]["items"],
}


def keys() -> dict[str, str]:
    """The tables of keys of the reference, by block.

    A block has the kinds of a union, or the keys of a section, followed by the sections
    to which these refer. New kinds and new inner sections appear without a change here.
    """
    experiment = SECTIONS["Variant"]["properties"]
    config = ROOT / "workflow/schemas/config.schema.yaml"
    claim, band = _statement()
    figure = _shared(UNIONS["figure"])
    shared = {"claim": {*claim, *band}, "figure": {*figure}}
    own = {key: about for key, about in TOP.items() if key not in experiment}
    required = ("dataset", "model", "training", "widths")
    return {
        "keys of config.yaml": _keys(yaml.safe_load(config.read_text())["properties"]),
        "keys of a study": _keys(own, SCHEMA["required"]),
        "keys of an experiment": _keys({key: TOP[key] for key in experiment}, required),
        "keys of training": _sections(["Training"]).partition("\n\n")[2],
        "keys of measure": _sections(["Measure"]).partition("\n\n")[2],
        "keys of all claims": _keys(claim, ("id", "says", "source")),
        "keys of a band": _keys(band),
        "keys of all figures": _keys(figure, ("name", "title", "caption")),
        **{
            f"kinds of {name}": _sections(
                [member for _, member in _members(union)], shared.get(name, ())
            )
            for name, union in UNIONS.items()
        },
    }


WHEN = {
    "snapshots": "At each snapshot\n\nStep 0 is initialisation, the last step is after "
    "training.",
    "ends": "At the first and the last snapshot",
    "groups": "Once for each group of networks\n\nAt initialisation, for the first "
    "output at the first training point x₀. E is the mean over the group.",
    "last": "Once for each network, at the last step",
    "limit": "At infinite width\n\nThese rows have the width 0.",
}


def metrics_table() -> str:
    """All metrics, with their meaning, formula, and requirements."""
    parts = []
    for when, heading in WHEN.items():
        rows = [
            (
                f"`{metric.written}`",
                metric.meaning + (f", in {metric.unit}" if metric.unit else ""),
                metric.formula,
                ", ".join(need.words for need in metric.when),
            )
            for metric in measurements.METRICS
            if metric.at == when
        ]
        parts += [
            f"## {heading}",
            _table(("metric", "what it is", "formula", "needs"), rows),
        ]
    return "\n\n".join(parts)


def _statement() -> tuple[dict, dict]:
    """The keys of all claims, and those of a claim with an accepted band."""

    def properties(cls):
        return pydantic.TypeAdapter(cls).json_schema()["properties"]

    shared, both = properties(Statement), properties(Equivalence)
    return shared, {name: both[name] for name in both if name not in shared}


def _members(union: dict) -> list[tuple[str, str]]:
    """(kind, name of its section) of each kind, sorted; empty if there is no union."""
    names = [_referred(option) for option in union.get("oneOf", ())]
    return sorted((_kind(name), name) for name in names if _kind(name))


def _referred(about: dict) -> str:
    """The name of the section to which a schema refers."""
    return about.get("$ref", "").rpartition("/")[2]


def _page_of(name: str) -> str:
    """The page of a section to which the keys of other pages refer; else empty."""
    pages = {"Training": "training.md", "Measure": "measure.md"}
    pages |= {member: "model.md" for _, member in _members(UNIONS["model"])}
    return pages.get(name, "")


def _kind(name: str) -> str:
    """The `kind` of a section; empty if it has none."""
    properties = SECTIONS.get(name, {}).get("properties", {})
    return properties.get("kind", {}).get("const", "")


def _shared(union: dict) -> dict:
    """The keys that all kinds have."""
    first, *others = [SECTIONS[name]["properties"] for _, name in _members(union)]
    return {
        key: about
        for key, about in first.items()
        if key != "kind" and all(key in other for other in others)
    }


def _sections(names: Iterable[str], leave_out: Collection[str] = ()) -> str:
    """Heading, text and table of each section and of the sections it refers to."""
    todo, parts = list(names), []
    members = {name for union in UNIONS.values() for _, name in _members(union)}
    for name in todo:  # the list grows in the loop
        section, kind = SECTIONS[name], _kind(name)
        left = {"kind", *leave_out}
        own = {k: v for k, v in section["properties"].items() if k not in left}
        parts.append(f"### `kind: {kind}`" if kind else f"### {name.lower()}")
        parts.append(section["description"].strip())
        if own:
            parts.append(_keys(own, section.get("required", ())))
        for option in _within(own):
            inner = _referred(option)
            if inner not in (*members, *todo) and "properties" in SECTIONS[inner]:
                todo.append(inner)
    return "\n\n".join(parts)


def _within(about: Any) -> Iterator[dict]:
    """All schemas within a schema that refer to a section."""
    if isinstance(about, dict) and isinstance(about.get("$ref"), str):
        yield about
    parts = about.values() if isinstance(about, dict) else about
    for part in parts if isinstance(about, (dict, list)) else ():
        yield from _within(part)


def _keys(properties: dict, required: Collection[str] = ()) -> str:
    rows = []
    for key, about in properties.items():
        default = "required" if key in required else _default(about.get("default"))
        what = " ".join(about.get("description", "").split())
        rows.append((f"`{key}`", _values(about), default, what))
    return _table(("key", "value", "default", "what it is"), rows)


def _default(value) -> str:
    if value is None or value in ({}, [], "", [None]):  # [None]: the squared loss
        return "–"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, dict):
        return f"`{value['kind']}`" if [*value] == ["kind"] else "its defaults"
    if isinstance(value, list):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{value}`"


def _values(about: dict) -> str:
    """The accepted values of a key, in words, from its JSON schema."""
    if "const" in about:
        return f"`{about['const']}`"
    if "enum" in about:
        return ", ".join(f"`{value}`" for value in about["enum"])
    if kinds := _members(about):
        return "`kind:` " + ", ".join(f"`{kind}`" for kind, _ in kinds)
    if "$ref" in about:
        name = _referred(about)
        if "properties" not in SECTIONS[name]:
            return ""  # no section: not written in a study file
        kind = _kind(name)
        page = _page_of(name)
        if kind:
            return f"[`{kind}`]({page}#kind-{kind})"
        anchor = "" if page in ("training.md", "measure.md") else f"#{name.lower()}"
        return f"[{name.lower()}]({page}{anchor})"
    if options := about.get("anyOf", about.get("oneOf")):
        there = [_values(option) for option in options if option.get("type") != "null"]
        return " or ".join(filter(None, there))
    kind = about.get("type")
    if kind == "array":
        items = about.get("prefixItems")
        if items:
            return f"[{', '.join(_values(item) for item in items)}]"
        item = _values(about["items"])
        return "list of " + re.sub(r"^(number|integer|list)\b", r"\1s", item)
    if kind == "object":
        inside = about.get("additionalProperties")
        if not isinstance(inside, dict):
            return "mapping"
        return f"mapping to {_values(inside)}"
    return {
        "string": "text",
        "boolean": "`true`, `false`",
        "integer": _range("integer", about),
        "number": _range("number", about),
    }[kind]


def _range(word: str, about: dict) -> str:
    low, high = about.get("minimum"), about.get("maximum")
    above, below = about.get("exclusiveMinimum"), about.get("exclusiveMaximum")
    limits = [
        f"{sign} {limit:,g}"
        for sign, limit in (("≥", low), (">", above), ("≤", high), ("<", below))
        if limit is not None and limit < FAR
    ]
    return " ".join([word, ", ".join(limits)]).strip()


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |"
        for line in lines
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "results")
