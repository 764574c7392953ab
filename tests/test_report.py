import html.parser
import io
import json
import math
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import PIL.Image
import pytest

from ntkpipe import claims
from ntkpipe.report import doubts as doubts_
from ntkpipe.report import page as report
from ntkpipe.report.charts import Block
from ntkpipe.report.gallery import Original, Source
from ntkpipe.report.page import FigurePage, StudyPage
from ntkpipe.report.thumbnail import thumbnail
from ntkpipe.stages import report as build
from ntkpipe.study import parse

SVG = (
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M0 0"/></svg>'
)
PNG = (Path(__file__).parents[1] / "benchmarks/results/scaling.png").read_bytes()
VERSIONS = {"python": "3.11.7", "jax": "0.10.2"}


def verdict(claim, **changes):
    fields = {
        "claim": claim,
        "says": "The kernel is constant in the limit.",
        "source": "Jacot et al. 2018, Theorem 2",
        "estimate": -0.993,
        "ci_low": -1.021,
        "ci_high": -0.964,
        "expected": "supported",
        "low": -1.08,
        "high": -0.92,
        "n": 100,
        "verdict": "supported",
        "as_expected": True,
        "study": "constancy",
        "metric": "ntk_change",
        "statistic": "slope of the geometric mean",
        "variant": "tanh",
        "predicted": -1.0,
        "widths": "64, 256, 1024",
        "detail": (("local slopes", (("64→256", -1.1),)),),
    }
    return claims.Verdict(**fields | changes)


def table(*verdicts):
    return claims.table(verdicts)


def study(**changes):
    figure = FigurePage(
        name="fig-1",
        title="Wider networks move less",
        caption="Relative change of the weights.",
        after="Jacot et al. 2018, Fig. 1",
        svg=SVG,
        files={"svg": "constancy/figures/fig-1.svg", "csv": "constancy/figures/f.csv"},
    )
    fields = {
        "name": "constancy",
        "title": "Is the kernel constant?",
        "question": "How far does the kernel move? And with which exponent?",
        "source": "Jacot et al. 2018",
        "notes": ("A note.",),
        "yaml": "title: Is the kernel constant?\n",
        "figures": (figure,),
        "runtime_s": 83.0,
        "device": "cpu",
        "versions": VERSIONS,
    }
    return StudyPage(**fields | changes)


CLAIMS = table(
    verdict("J-2"),
    verdict("J-9", verdict="inconclusive", as_expected=False),
    verdict("Y-1n", nature="control", expected="contradicted", verdict="contradicted"),
    verdict("J-0", verdict="missing", as_expected=False, estimate=math.nan, n=0),
)


class Reader(html.parser.HTMLParser):
    """Collects text, ids, links and tags; knows whether all tags are closed."""

    VOID = frozenset({"meta", "img", "br", "wbr", "input"})

    def __init__(self, page):
        super().__init__()
        self.ids, self.links, self.sources, self.stack = [], [], [], []
        self.tags, self.text, self.alternatives = [], "", []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append(tag)
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.links += [attrs["href"]] if "href" in attrs else []
        self.sources += [attrs["src"]] if "src" in attrs else []
        self.alternatives += [attrs["alt"]] if "alt" in attrs else []
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_page_is_well_formed_and_every_anchor_exists():
    page = Reader(report.page([study()], CLAIMS, VERSIONS))
    assert page.stack == []
    assert len(page.ids) == len(set(page.ids))
    anchors = [link[1:] for link in page.links if link.startswith("#")]
    assert anchors and set(anchors) <= set(page.ids)


def test_anchors_differ_where_names_do():
    names = "J-8g/α", "J-8g/β", "R/‖∇f‖", "R/‖∇²f‖"
    page = report.page([study()], table(*map(verdict, names)), VERSIONS)
    assert len(re.findall(r'<tr id="(claim-[a-z0-9-]+)"', page)) == 4
    reader = Reader(page)
    assert len(reader.ids) == len(set(reader.ids))


def test_an_edit_of_template_or_style_shows_in_the_layout():
    page = report.page([study()], CLAIMS, VERSIONS)
    style = page[page.index("<style>") + 7 : page.index("</style>")].strip()
    assert style in report.layout() and "<!doctype html>" in report.layout()


def test_page_loads_nothing():
    page = report.page([study()], CLAIMS, VERSIONS)
    reader = Reader(page)
    assert all(
        source.startswith("data:image/svg+xml;base64,") for source in reader.sources
    )
    assert not {"script", "link", "iframe", "object"} & set(reader.tags)
    assert not re.search(r"https?://|url\(|@import", page)
    assert "constancy/figures/fig-1.svg" in reader.links


def test_the_first_lines_state_the_topic_and_the_unexpected_verdicts():
    page = report.page([study()], CLAIMS, VERSIONS)
    reader = Reader(page)
    counted = "1 of 3 laws and numbers as expected; 1 of 1 control refuted."
    at = reader.text.index("neural tangent kernel (NTK)"), reader.text.index(counted)
    assert at[0] < at[1]
    top = page[: page.index('id="claims"')]
    for claim, word in (("J-9", "inconclusive"), ("J-0", "not measured")):
        link = f'<a href="#claim-constancy-{claim.lower()}">{claim}</a></strong>'
        assert f"{link} ({word}): The kernel is constant" in top
    assert "#claim-constancy-j-2" not in top
    good = Reader(report.page([study()], table(verdict("J-2")), VERSIONS)).text
    assert "1 of 1 law or number as expected." in good
    assert "Not as expected" not in good


def test_verdicts_come_before_conventions_and_studies():
    """First the verdicts, then the conventions, then the studies."""
    figures = (Original(figure="1", shows=("a/b",), setting="s", differs="d"),)
    gallery = [Source(source="A paper", figures=figures)]
    other = study(name="other", figures=())
    page = report.page([study(), other], CLAIMS, VERSIONS, gallery)
    ids = Reader(page).ids
    sections = "claims", "conventions", "study-constancy", "study-other", "gallery"
    at = [ids.index(name) for name in (*sections, "cite")]
    assert at == sorted(at)
    nav = page[page.index("<nav") : page.index("</nav>")]
    assert re.findall('href="#([a-z]+)"', nav) == [
        "claims",
        "conventions",
        "gallery",
        "cite",
    ]


def test_answers_come_first_with_their_bold_words_and_are_escaped():
    said = {"answers": ["**Lazy** at <8>.", "No bold."], "plan": ["widths 4, 8"]}
    page = report.page([study()], CLAIMS, VERSIONS, answers=said)
    assert "<p><strong>Lazy</strong> at &lt;8&gt;.</p>" in page
    assert page.index("No bold.") < page.index("widths 4, 8") < page.index("<nav")
    assert "Answers" not in report.page([study()], CLAIMS, VERSIONS)


def test_each_study_has_a_row_with_its_verdicts_and_links():
    other = study(name="other", title="Another", figures=())
    quiet = study(name="quiet", title="No claims", figures=())
    rows = pd.concat([CLAIMS, table(verdict("Z-1", study="other"))])
    page = report.page([study(), other, quiet], rows, VERSIONS)
    first = page[page.index('<table class="studies">') : page.index("</table>")]
    mine, theirs, none = first.split("<tr>")[2:]
    for link in ("study-constancy", "figure-constancy-fig-1", "claim-constancy-j-9"):
        assert f'href="#{link}"' in mine
    assert "✗</span> 2 of 4" in mine and "inconclusive" in mine
    assert 'href="#study-other"' in theirs and "✓</span> 1 of 1" in theirs
    assert "no claims" in none and "0 of 0" not in none


@pytest.mark.parametrize("count", [2, 20, 21, 100])
def test_many_claims_are_folded_and_printed(count):
    many = table(*(verdict(f"J-{i}") for i in range(count)))
    page = report.page([study()], many, VERSIONS)
    assert f"All {count} claims" in page
    assert f'<details class="all"{" open" if count <= 20 else ""}>' in page
    style = page[page.index("<style>") : page.index("</style>")]
    printed = style[style.rindex("@media print") :]
    assert re.search(r"\.all::details-content[^}]*content-visibility: visible", printed)
    assert ".wide { overflow: visible; }" in printed


def test_claims_table_says_it_in_words_and_numbers():
    page = report.page([study()], CLAIMS, VERSIONS)
    first = page[page.index('<details class="all"') : page.index("</section>")]
    heads = re.findall(r'<th scope="col">([^<]*)</th>', first)
    # the verdict where a telephone shows it, and n is the width everywhere else
    assert heads[:2] == ["Claim", "Verdict"] and heads[-1] == "Networks"
    rows = [row for row in first.split("<tr ")[1:]]
    assert [re.search("J-.|Y-1n", row)[0] for row in rows] == [
        "J-9",
        "J-0",
        "J-2",
        "Y-1n",
    ]
    for said in ("−0.993", "[−1.02, −0.964]", "[−1.08, −0.92]", "Theorem 2", "100"):
        assert said in rows[0]
    for row, icon, word, expected in zip(
        rows,
        "?–✓✗",
        ("inconclusive", "not measured", "supported", "contradicted"),
        (False, False, True, True),
        strict=True,
    ):
        assert f'<span aria-hidden="true">{icon}</span> {word}' in row
        assert ("not as expected" in row) != expected and "as expected" in row
    # the row and its legend
    assert first.count('<span class="tag">control</span>') == 2
    assert "nan" not in first


def test_a_kernel_of_infinite_width_is_no_network():
    exact = verdict("J-6", n=1, widths="0", variant="")
    page = report.page([study()], table(exact), VERSIONS)
    assert "(n = ∞)" in page and page.count('data-head="Networks">–</td>') == 2


def test_study_section_has_everything():
    text = Reader(report.page([study()], CLAIMS, VERSIONS)).text
    for said in (
        "1. Is the kernel constant?",
        "How far does the kernel move?",
        "After Jacot et al. 2018, Fig. 1.",
        "slope of the geometric mean of ntk_change (tanh, n = 64, 256, 1024)",
        "Run time 83 s on cpu",
        "constancy.yaml",
        "title: Is the kernel constant?",
        "jax 0.10.2",
        "half the mean over points",
        "CITATION.cff",
    ):
        assert said in text


def test_missing_and_diverged_runs_are_named_at_the_top():
    warned = study(warnings=("width 10: 2 of 5 networks diverged (seeds 1, 3)",))
    page = report.page([warned], CLAIMS, VERSIONS)
    assert page.index("2 of 5 networks diverged") < page.index('id="claims"')
    assert page.count("2 of 5 networks diverged") == 2
    many = study(warnings=("first", "second", "third <b>", "fourth"))
    page = report.page([many], CLAIMS, VERSIONS)
    top, _, rest = page.partition('id="claims"')
    assert "first; second; and 2 more" in top and "third" not in top
    assert "third &lt;b&gt;" in rest


def test_what_may_be_intended_is_a_remark_and_no_warning():
    page = report.page([study(remarks=("a <slow> one",))], CLAIMS, VERSIONS)
    assert '<div class="warning">' not in page
    for part in page.partition('id="claims"')[::2]:
        folded = part[part.index('<details class="remarks">') :].partition("</details>")
        assert "a &lt;slow&gt; one" in folded[0]
    assert "Remarks on 1 study<" in page
    # each alone has its own place
    page = report.page([study(warnings=("diverged",))], CLAIMS, VERSIONS)
    assert page.count('<div class="warning">') == 2
    assert 'class="remarks"' not in page


def doubts(*rows, width=8, seeds=4, **training):
    """Texts of faults and of remarks about a table with rows (metric, seed, value)."""
    quiet = [("diverged", seed, 0) for seed in range(seeds)]
    told = {metric for metric, *_ in rows}
    quiet += [(m, seed, 0) for m in told - {"diverged"} for seed in range(seeds)]
    table = pd.DataFrame([*quiet, *rows], columns=["metric", "seed", "value"])
    table = table.drop_duplicates(["metric", "seed"], keep="last")
    training = {"learning_rate": 1, "steps": 20, "record": 4} | training
    one = parse(
        json.dumps(
            {
                "title": "A title",
                "question": "A question?",
                "dataset": {"kind": "points", "x": [[1], [2]], "y": [[0], [1]]},
                "model": {"depth": 1, "activation": "tanh"},
                "training": training,
                "widths": [8],
                "linearize": "none",
                "variants": {"tanh": {}},
                "figures": [
                    {
                        "kind": "trajectories",
                        "name": "loss",
                        "title": "t",
                        "caption": "c",
                        "panels": [{"quantity": "loss"}],
                        "models": ["network"],
                        "labels": {"tanh": "no biases"},
                    }
                ],
            }
        ),
        "toy.yaml",
    )
    table = table.assign(variant="tanh", width=width, step=0)
    notes = list(doubts_.data_quality_notes(one, table))
    faults = [note.text for note in notes if note.is_fault]
    return faults, [note.text for note in notes if not note.is_fault]


def test_only_missing_networks_and_numbers_are_faults():
    where = "tanh (no biases), width 8: "
    assert doubts() == ([], [])
    faults, remarks = doubts(("diverged", 1, 1), ("dead", 0, 1), ("dead", 2, 1))
    says = "2 of 4 networks are dead: the last hidden layer is the same for all points"
    assert faults == [f"{where}1 of 4 networks diverged", where + says]
    assert remarks == []
    faults, remarks = doubts(("singular", 1, 1), ("unresolved", 1, 1))
    assert faults == []
    assert remarks == [
        f"{where}1 of 4 networks has a singular kernel: λ_min is 0 up to rounding",
        f"{where}1 of 4 networks moved its kernel by less than rounding errors",
    ]
    says = "0 up to rounding"
    assert doubts(("singular", 0, 1), seeds=1)[1][0].endswith(says)
    assert "1 of 1 network has" in doubts(("singular", 0, 1), seeds=1)[1][0]


def test_a_missing_value_has_its_cause_if_that_is_known():
    gap, rate = "undefined/linear_gap", "learning_rate_relative"
    past = [(rate, 2, 1.5), (rate, 3, 1.2)]
    faults, remarks = doubts((gap, 3, 1), *past)
    assert faults == []
    assert "1 of 4 networks has no value of linear_gap" in remarks[0]
    assert "stability limit" in remarks[0]
    assert remarks[1].endswith("limit 2/λ_max of 2 of 4 linearised models")
    # a network that is not above the limit, and another metric
    for row in ((gap, 1, 1), ("undefined/mode_rate/1", 3, 1)):
        faults, _ = doubts(row, *past)
        name = row[0].removeprefix("undefined/")
        assert faults[0].endswith(f"1 of 4 networks has no value of {name}")
    faults, _ = doubts(("undefined/ntk_change", 1, 3), ("dead", 1, 1))
    assert faults[1].endswith("(0/0) of ntk_change for 1 of 4 networks, all dead")
    faults, _ = doubts(("undefined/limit_min", 0, 1), width=0, seeds=1)
    assert faults == ["tanh (no biases), width ∞: no value (0/0) of limit_min"]


def test_momentum_has_its_own_stability_limit():
    rates = [("learning_rate_relative", 0, 1.5), ("learning_rate_relative", 1, 1.95)]
    heavy = {"optimizer": "momentum", "momentum": 0.9}
    _, remarks = doubts(*rates, **heavy)
    assert remarks[0].endswith("2(1 + β)/λ_max of 1 of 4 linearised models")
    assert doubts(*rates, optimizer="adam") == ([], [])
    assert doubts(*rates, steps=0, record=2, snapshots=1) == ([], [])


def test_a_loss_that_was_not_reached_is_a_remark():
    faults, remarks = doubts(
        *(("converged", seed, seed > 0) for seed in range(4)), stop_at_loss=1e-3
    )
    says = "1 of 4 networks did not reach the stopping loss within 20 steps"
    assert faults == [] and remarks == [f"tanh (no biases), width 8: {says}"]


def test_everything_is_escaped():
    evil = """<script>alert("&")</script>' onload='alert("2")' x="<b>"""
    figure = FigurePage(
        name=evil, title=evil, caption=evil, after=evil, svg=SVG, files={evil: evil}
    )
    page = report.page(
        [
            study(
                name=evil,
                title=evil,
                question=evil,
                source=evil,
                notes=(evil,),
                yaml=evil,
                figures=(figure,),
                device=evil,
                versions={evil: evil},
                warnings=(evil,),
                remarks=(evil,),
                files={evil: evil},
            )
        ],
        table(
            verdict(
                evil,
                study=evil,
                says=evil,
                source=evil,
                detail=((evil, evil), ("note", evil)),
                reason=evil,
                metric=evil,
            )
        ),
        {evil: evil},
        [
            Source(
                source=evil,
                figures=(
                    Original(figure=evil, shows=("a/b",), setting=evil, differs=evil),
                ),
                notes=(evil,),
            )
        ],
    )
    reader = Reader(page)
    assert "<script" not in page and 'alert("' not in page and "onload='" not in page
    assert reader.stack == [] and not {"script", "b"} & set(reader.tags)
    assert reader.text.count(evil) > 30


def test_a_text_never_leaves_the_attribute_it_stands_in():
    """Titles and captions are alternative texts, names are addresses."""
    evil = """a "b" 'c' <d> & &amp;"""
    figure = FigurePage(
        name="f", title=evil, caption=evil, svg=SVG, png=PNG, files={"svg": evil}
    )
    one = study(name="s", figures=(figure,))
    original = Original(figure="1", shows=("s/f",), setting="s", differs="d")
    gallery = [Source(source="A paper", figures=(original,))]
    reader = Reader(report.page([one], table(), VERSIONS, gallery))
    assert sorted(reader.alternatives) == [evil, f"{evil}: {evil}"]
    assert evil in reader.links
    assert all(re.fullmatch("[a-z0-9-]+", name) for name in reader.ids)


@pytest.mark.parametrize(
    ("svg", "png", "kind"),
    [
        (SVG, b"png", "svg+xml"),
        (SVG + b" " * 300_000, b"png", "png"),
        (SVG + b" " * 300_000, b"", "svg+xml"),
        (b"", b"png", "png"),
    ],
)
def test_picture_is_svg_unless_large(svg, png, kind):
    figure = FigurePage(name="f", title="t", caption="c", svg=svg, png=png)
    page = report.page([study(figures=(figure,))], CLAIMS, VERSIONS)
    assert f'src="data:image/{kind};base64,' in page


def test_an_animation_is_linked_and_its_still_is_in_the_page():
    block = Block(
        kind="frames",
        data="eJw=",
        notes=("Shown is every second frame.",),
        about={"width": 2, "height": 3, "count": 4, "palette": [255]},
    )
    files = {"gif": "s/figures/f.gif"}
    figure = FigurePage(
        name="f", title="t", caption="c", png=b"png", block=block, files=files
    )
    page = report.page([study(figures=(figure,))], CLAIMS, VERSIONS)
    assert '<a href="s/figures/f.gif">gif</a>' in page and "image/gif" not in page
    assert 'alt="t: c" src="data:image/png;base64,' in page
    assert 'max="3"' in page and "Shown is every second frame." in page
    assert Reader(page).stack == [] and 'id="vega"' not in page


def test_a_missing_picture_is_named():
    figure = FigurePage(name="fig-9", title="t", caption="c")
    text = Reader(report.page([study(figures=(figure,))], CLAIMS, VERSIONS)).text
    assert "There is no picture of fig-9." in text


def test_versions_of_a_study_are_shown_where_they_differ():
    other = study(versions={"python": "3.11.7", "jax": "0.12.0"})
    text = Reader(report.page([other], CLAIMS, VERSIONS)).text
    assert "with jax 0.12.0" in text


def test_a_page_without_claims_says_so():
    reader = Reader(report.page([study(figures=())], table(), VERSIONS))
    assert "No study of this page makes a claim." in reader.text
    assert reader.stack == []


def cells(page, head):
    """The texts of a column of the first table of claims."""
    first = page[page.index('<details class="all"') : page.index("</section>")]
    found = re.findall(rf'<td class="number" data-head="{head}">(.*?)</td>', first)
    return [re.sub("<br>", " ", re.sub("</?span[^>]*>", "", cell)) for cell in found]


def test_numbers_of_a_claim_are_those_of_the_project():
    rows = table(
        verdict("1", estimate=3.8659e-5, ci_low=3.8659e-5, ci_high=3.8722e-5),
        verdict("2", ci_high=math.inf, low=-math.inf, high=1e-6, predicted=math.nan),
        verdict("3", estimate=math.nan, low=0.9, high=math.inf),
        verdict(
            "4",
            predicted=math.nan,
            low=-math.inf,
            high=math.inf,
            detail=(("<b>", 1e-7),),
        ),
    )
    page = report.page([study()], rows, VERSIONS)
    power = "10<sup>−5</sup>"
    assert cells(page, "Measured") == [
        f"3.866·{power} [3.866·{power}, 3.872·{power}]",
        "−0.993",
        "–",
        "−0.993 [−1.02, −0.964]",
    ]
    assert cells(page, "Predicted") == [
        "−1 [−1.08, −0.92]",
        "≤ 10<sup>−6</sup>",
        "−1 ≥ 0.9",
        "–",
    ]
    assert "<p>&lt;b&gt; 10<sup>−7</sup></p>" in page


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("Dyer & Gur-Ari 2020 (1909.11304)", "https://arxiv.org/abs/1909.11304"),
        ("arXiv:1806.07572v4, theorem 2", "https://arxiv.org/abs/1806.07572v4"),
        (
            "doi:10.1103/PhysRevE.104.064301.",
            "https://doi.org/10.1103/PhysRevE.104.064301",
        ),
        ("see https://example.org/a?b=1&c=2.", "https://example.org/a?b=1&amp;c=2"),
        ("Rajat V D 2019, notebook (0.0076674)", None),
        ("λ₁ is 2013.1234 times 1999.12345", None),
    ],
)
def test_sources_are_links_where_they_have_an_address(text, address):
    paper = Source(
        source=text,
        figures=(Original(figure="1", shows=("a/b",), setting=text, differs=text),),
        notes=(text,),
    )
    rows = table(verdict("J-2", source=text))
    page = report.page([study(source=text, notes=(text,))], rows, {}, [paper])
    # study, its note, two tables of claims, the paper, its note, setting, differs
    assert page.count('<a href="http') == (8 if address else 0)
    assert page.count(f'<a href="{address}">') == (8 if address else 0)
    assert Reader(page).text.count(text) == 8


def test_the_page_takes_a_table_that_was_read_from_csv(tmp_path):
    CLAIMS.to_csv(tmp_path / "claims.csv", index=False)
    back = pd.read_csv(tmp_path / "claims.csv")
    page = report.page([study()], back, VERSIONS)
    assert "nan" not in Reader(page).text


def test_a_thumbnail_keeps_a_colour_of_few_pixels():
    picture = PIL.Image.new("RGB", (480, 240), "white")
    ramp = PIL.Image.linear_gradient("L").resize((400, 200))  # many greys
    picture.paste(PIL.Image.merge("RGB", [ramp, ramp, ramp]), (0, 0))
    green = (2, 158, 115)
    picture.paste(green, (440, 220, 452, 232))
    body = io.BytesIO()
    picture.save(body, "png")
    small = thumbnail(body.getvalue(), 240)
    with PIL.Image.open(io.BytesIO(small)) as image:
        found = np.asarray(image.convert("RGB")).astype(int)
    assert found.shape[:2] == (120, 240)
    assert np.abs(found - green).sum(-1).min() < 30


def test_run_time_counts_only_jobs_of_the_study(tmp_path):
    text = """
title: A
question: B?
dataset: {kind: circle, points: 4, target: {kind: product}}
model: {depth: 1}
training: {learning_rate: 1, steps: 10}
widths: [8, 16, 9000]
"""
    one = parse(text, "x.yaml")

    def took(path, seconds, at):
        path = tmp_path / "x" / "base" / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\th:m:s\n{seconds}\t0\n")
        os.utime(path, (at, at))

    for width in (8, 16, 32, 9000):  # the study no longer has 32
        took(f"width{width}/train.tsv", width, at=1000)
    assert build.run_time(one, tmp_path) == 9024
