import base64
import gzip
import html.parser
import io
import json
import math
import re
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import PIL.Image
import pytest

from ntkpipe import claims, measurements
from ntkpipe.report import doubts as doubts_
from ntkpipe.report import page as report
from ntkpipe.report.gallery import Original, Source
from ntkpipe.report.page import FigurePage, RunPage, StudyPage
from ntkpipe.report.pictures import LARGEST_SVG, STILL, picture, still
from ntkpipe.report.thumbnail import thumbnail
from ntkpipe.study import parse

SVG = (
    b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9" viewBox="0 0 9 9">'
    b'<path d="M0 0h9"/></svg>'
)
PNG = (Path(__file__).parents[1] / "benchmarks/results/scaling.png").read_bytes()
VERSIONS = {"python": "3.11.7", "jax": "0.10.2"}
RUN = RunPage(versions=VERSIONS)


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
        how_to_read="A steeper line is a larger exponent.",
        claims=("J-2", "Y-1n"),
        command="./run constancy results/constancy/figures/fig-1.svg",
        svg=SVG,
        png=PNG,
        files={"svg": "constancy/figures/fig-1.svg", "csv": "constancy/figures/f.csv"},
    )
    fields = {
        "name": "constancy",
        "title": "Is the kernel constant?",
        "question": "How far does the kernel move? And with which exponent?",
        "source": "Jacot et al. 2018",
        "notes": ("A note.",),
        "yaml": "title: Is the kernel constant?\n",
        "claims": {"J-2": "id: J-2\nkind: power_law\n"},
        "labels": {"tanh": "smooth networks"},
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

    VOID = frozenset({"meta", "img", "input"})

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
        if self.stack and self.stack[-1] not in ("script", "style"):
            self.text += data


def rendered(*studies, claims=CLAIMS, **more):
    return report.page(studies or [study()], claims, RUN, **more)


def part(page, begin, end):
    """The text between two texts of a page."""
    at = page.index(begin)
    return page[at : page.index(end, at)]


def rows(page):
    """The rows of the table of claims by their anchors."""
    found = re.findall(
        r'<tbody class="claim".*?</tbody>', part(page, 'id="forest"', "</table>"), re.S
    )
    return {re.search(r'<tr id="([^"]+)"', row)[1]: row for row in found}


def test_page_is_well_formed_and_every_anchor_exists():
    other = study(name="other", figures=())
    page = Reader(rendered(study(), other))
    assert page.stack == []
    assert len(page.ids) == len(set(page.ids))
    anchors = {unquote(link[1:]) for link in page.links if link.startswith("#")}
    states = {anchor for anchor in anchors if "=" in anchor}
    assert {"J-2", "study-other"} <= anchors
    assert anchors - states <= set(page.ids)


def test_the_anchor_of_a_claim_is_its_name():
    names = "J-8g/α", "J-8g/β", "R/‖∇f‖", "D-1/mean field", "run"
    page = rendered(claims=table(*map(verdict, names)))
    ids = [*rows(page)]
    assert ids == [*names[:3], "D-1/mean_field", "constancy:run"]
    twice = table(verdict("J-1"), verdict("J-1", study="other"))
    page = rendered(study(), study(name="other", figures=()), claims=twice)
    assert [*rows(page)] == ["J-1", "other:J-1"]


def test_an_edit_of_any_file_of_the_layout_shows_in_the_layout():
    page, layout = rendered(), report.layout()
    style = page[page.index("<style>") + 7 : page.index("</style>")].strip()
    assert style in layout and "<!doctype html>" in layout
    folder = Path(report.__file__).parent
    named = {*report.TEMPLATES, *report.STYLES, *report.SCRIPTS}
    there = {
        path.name
        for ending in ("jinja", "css", "js")
        for path in folder.glob(f"*.{ending}")
    }
    assert there == named


def luminance(color):
    """Relative luminance of a colour #rrggbb (WCAG 2)."""
    parts = [int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in parts
    ]
    return np.dot([0.2126, 0.7152, 0.0722], linear)


def test_texts_have_contrast_in_light_and_dark():
    style = (Path(report.__file__).parent / "style.css").read_text("utf-8")
    themes = [
        dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", theme))
        for theme in re.findall(r":root \{([^}]*)\}", style)
    ]
    assert len(themes) == 2
    for theme in themes:
        for back in ("back", "panel"):
            for ink in ("ink", "soft", "link", "good", "bad", "open"):
                pair = sorted(luminance(theme[name]) for name in (back, ink))
                assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5, (back, ink)


def test_page_loads_nothing():
    page = rendered()
    reader = Reader(page)
    assert all(source.startswith("data:image/webp;") for source in reader.sources)
    assert not {"link", "iframe", "object"} & set(reader.tags)
    assert not re.search(r"https?://|url\(|@import|import\(|fetch\(", page)
    assert "constancy/figures/fig-1.svg" in reader.links


def test_the_header_counts_verdicts_and_links_to_filters():
    top = part(rendered(), "<header>", "</header>")
    tiles = re.findall(r'<a href="#([^"]+)"( class="wrong")?><b>([^<]+)</b>', top)
    assert tiles == [
        ("kind=law", "", "1 of 3"),
        ("kind=identity", "", "0 of 0"),
        ("kind=control", "", "1 of 1"),
        ("kind=wrong", ' class="wrong"', "2"),
        ("kind=known", "", "0"),
    ]
    known = verdict(
        "D-1", known="contradicted", verdict="contradicted", reason="narrow"
    )
    top = part(rendered(claims=table(known)), "<header>", "</header>")
    assert re.findall(r"<b>([^<]+)</b>", top) == [
        "0 of 0",
        "0 of 0",
        "0 of 0",
        "0",
        "1",
    ]
    assert 'class="wrong"' not in top


def test_the_sections_are_in_order():
    figures = (Original(figure="1", shows=("a/b",), setting="s", differs="d"),)
    gallery = [Source(source="A paper", figures=figures)]
    page = rendered(study(), study(name="other", figures=()), gallery=gallery)
    ids = Reader(page).ids
    sections = "claims", "studies", "study-constancy", "study-other", "gallery", "run"
    at = [ids.index(name) for name in sections]
    assert at == sorted(at)
    links = re.findall('href="#([a-z-]+)"', part(page, "<nav", "</nav>"))
    assert links == ["top", *sections]


def test_studies_have_a_sign_in_the_navigation_and_links_to_neighbours():
    other = study(name="other", title="Another", figures=())
    quiet = study(name="quiet", title="No claims", figures=())
    claims = pd.concat([CLAIMS, table(verdict("Z-1", study="other"))])
    page = rendered(study(), other, quiet, claims=claims)
    signs = re.findall(r'class="(glyph[^"]*)"', part(page, "<nav", "</nav>"))
    assert signs == ["glyph wrong", "glyph", "glyph"]
    assert (
        len(re.findall('rel="prev"', page)) == len(re.findall('rel="next"', page)) == 2
    )
    after = page[page.index('id="study-other"') :]
    assert part(after, 'rel="prev"', ">").endswith('href="#study-constancy"')


def test_answers_come_first_with_their_bold_words_and_are_escaped():
    said = {"answers": ["**Lazy** at <8>.", "No bold."], "plan": ["widths 4, 8"]}
    page = rendered(answers=said)
    assert "<p><strong>Lazy</strong> at &lt;8&gt;.</p>" in page
    assert page.index("<h1>") < page.index("No bold.") < page.index("widths 4, 8")
    assert page.index("widths 4, 8") < page.index('class="tiles"')
    assert 'class="answers"' not in rendered()


def test_a_row_of_a_claim_has_everything():
    reason = "The source's band is too wide."
    page = rendered(
        claims=table(verdict("J-2", level=0.95, interval="two-sided", reason=reason))
    )
    row = Reader(rows(page)["J-2"]).text
    for said in (
        "The kernel is constant in the limit.",
        "−0.993 [−1.02, −0.964]",
        "[−1.08, −0.92]",
        "95 % two-sided",
        "slope of the geometric mean",
        "relative kernel change",
        "smooth networks",
        "64, 256, 1024",
        "100",
        "64→256",
        reason,
        "Jacot et al. 2018, Theorem 2",
        "Wider networks move less",
        "kind: power_law",
    ):
        assert said in row
    assert 'title="ntk_change"' in page and 'title="tanh"' in page
    assert 'href="#figure-constancy-fig-1"' in rows(page)["J-2"]
    assert "nan" not in row


def test_only_what_is_not_as_expected_is_marked_with_its_reason():
    page = rendered()
    found = rows(page)
    wrong = {id for id, row in found.items() if 'class="wrong"' in row}
    assert wrong == {"J-9", "J-0"}
    assert all(("data-wrong" in row) == (id in wrong) for id, row in found.items())
    assert all(('class="why"' in row) == (id in wrong) for id, row in found.items())
    told = part(page, 'id="claims"', 'id="forest"')
    assert {unquote(link) for link in re.findall('<a href="#([^"]+)"', told)} == wrong
    assert "✓" in found["Y-1n"] and 'class="outcome control"' in found["Y-1n"]


def test_claims_stand_beside_their_figure_and_link_to_their_row():
    page = rendered()
    section = part(page, '<section class="study"', "</section>")
    beside, others = re.findall(r'<ul class="beside">(.*?)</ul>', section, re.S)
    assert re.findall('<a href="#([^"]+)"', beside) == ["J-2", "Y-1n"]
    assert re.findall('<a href="#([^"]+)"', others) == ["J-9", "J-0"]
    # a second figure of the same claim names it
    figures = study().figures
    twice = (*figures, FigurePage(name="g", title="G", caption="c", claims=("J-2",)))
    section = part(
        rendered(study(figures=twice)), 'id="figure-constancy-g"', "</section>"
    )
    assert 'href="#J-2">J-2</a>' in section


def test_a_kernel_of_infinite_width_is_no_network():
    exact = verdict("J-6", n=1, widths="0", variant="")
    row = rows(rendered(claims=table(exact)))["J-6"]
    facts = dict(re.findall(r"<dt>([^<]+)</dt><dd>([^<]*)</dd>", row))
    assert "∞" in facts.values() and "1" not in facts.values()


def test_a_study_has_everything():
    text = Reader(rendered()).text
    for said in (
        "1. Is the kernel constant?",
        "How far does the kernel move?",
        "After Jacot et al. 2018, Fig. 1.",
        "A steeper line is a larger exponent.",
        "./run constancy results/constancy/figures/fig-1.svg",
        "Run time 83 s on cpu",
        "constancy.yaml",
        "title: Is the kernel constant?",
        "jax 0.10.2",
        "half the mean over points",
        "CITATION.cff",
    ):
        assert said in text


def test_a_study_without_results_has_the_command_that_runs_it():
    waits = StudyPage(
        name="mine",
        title="My <study>",
        question="",
        unshown="not run yet",
        command="./run mine",
    )
    page = rendered(study(), waits)
    reader = Reader(page)
    assert "study-mine" not in reader.ids and "#study-mine" not in reader.links
    assert "My &lt;study&gt;" in page and "<code>./run mine</code>" in page


def test_faults_and_remarks_are_in_their_study_and_in_this_run():
    warned = study(
        warnings=("width 10: 2 of 5 networks <diverged>",), remarks=("slow",)
    )
    page = rendered(warned)
    own, run = (
        part(page, 'id="study-', "</section>"),
        part(page, 'id="run"', "</section>"),
    )
    for place in (own, run):
        assert "2 of 5 networks &lt;diverged&gt;" in place
        folded = part(place, '<details class="remarks">', "</details>")
        assert "slow" in folded and "diverged" not in folded
    assert 'class="remarks"' not in rendered(study(warnings=("diverged",)))


def test_this_run_has_times_failures_and_repeated_jobs():
    fast = study(name="fast", title="Fast", figures=(), runtime_s=20.75)
    other = study(
        name="other", figures=(), failed=[("logs/o/train.log", "no <memory>")]
    )
    run = RunPage(versions=VERSIONS, repeated={"other: training": 2})
    page = part(
        report.page([study(), fast, other], CLAIMS, run), 'id="run"', "</section>"
    )
    assert re.findall(r"--share: ([\d.]+)%", page) == ["100.0", "25.0", "100.0"]
    assert "logs/o/train.log</code>: no &lt;memory&gt;" in page
    assert "other: training (2 times)" in page
    quiet = part(rendered(), 'id="run"', "</section>")
    assert "logs/" not in quiet and "times)" not in quiet


def test_this_run_is_compared_with_the_last_release():
    release = {
        ("constancy", "J-2"): "inconclusive",
        ("constancy", "J-9"): "inconclusive",
        ("constancy", "J-old"): "supported",
        ("elsewhere", "X-1"): "supported",
    }
    run = RunPage(versions=VERSIONS, release=release)
    page = part(report.page([study()], CLAIMS, run), 'id="run"', 'id="cite"')
    changed, _, others = page[page.rindex("<h3>") :].partition("</ul>")
    assert re.findall('href="#([^"]+)"', changed) == ["J-2"]
    assert re.findall('href="#([^"]+)"', others) == ["Y-1n", "J-0"]
    assert "J-old" in others and "X-1" not in page


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
    words = measurements.in_words("linear_gap")
    assert f"1 of 4 networks has no value of {words}" in remarks[0]
    assert "stability limit" in remarks[0]
    assert remarks[1].endswith("limit 2/λ_max of 2 of 4 linearised models")
    # a network that is not above the limit, and another metric
    for row in ((gap, 1, 1), ("undefined/mode_rate/1", 3, 1)):
        faults, _ = doubts(row, *past)
        words = measurements.in_words(row[0].removeprefix("undefined/"))
        assert faults[0].endswith(f"1 of 4 networks has no value of {words}")
    faults, _ = doubts(("undefined/ntk_change", 1, 3), ("dead", 1, 1))
    words = measurements.in_words("ntk_change")
    assert faults[1].endswith(f"(0/0) of {words} for 1 of 4 networks, all dead")
    faults, _ = doubts(("undefined/limit_min", 0, 1), width=0, seeds=1)
    words = measurements.in_words("limit_min")
    assert faults == [f"tanh (no biases), width ∞: no value (0/0) of {words}"]


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
        name=evil,
        title=evil,
        caption=evil,
        after=evil,
        how_to_read=evil,
        command=evil,
        claims=(evil,),
        svg=SVG,
        png=PNG,
        files={evil: evil},
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
                claims={evil: evil},
                labels={evil: evil},
                figures=(figure,),
                device=evil,
                versions={evil: evil},
                warnings=(evil,),
                remarks=(evil,),
                files={evil: evil},
                failed=((evil, evil),),
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
                variant=evil,
                as_expected=False,
            )
        ),
        RunPage(
            versions={evil: evil},
            repeated={evil: 1},
            release={(evil, evil): evil, (evil, f"{evil}2"): evil},
        ),
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
    assert "<script>alert" not in page and 'alert("' not in page
    assert "onload='" not in page
    # the packed picture and the scripts of the page
    assert reader.tags.count("script") == 1 + len(report.SCRIPTS)
    assert reader.stack == []
    assert reader.text.count(evil) > 30


def test_a_text_never_leaves_the_attribute_it_stands_in():
    """Titles are alternative texts, names are addresses."""
    evil = """a "b" 'c' <d> & &amp;"""
    figure = FigurePage(
        name="f", title=evil, caption=evil, svg=SVG, png=PNG, files={"svg": evil}
    )
    one = study(name="s", figures=(figure,))
    original = Original(figure="1", shows=("s/f",), setting="s", differs="d")
    gallery = [Source(source="A paper", figures=(original,))]
    page = rendered(one, claims=table(verdict(evil, study="s")), gallery=gallery)
    reader = Reader(page)
    assert set(reader.alternatives) == {evil, ""}
    assert evil in reader.links
    assert not re.search(r"\s", "".join(reader.ids))


def packed(page, name="picture-constancy-fig-1"):
    """The file that is packed in a page, and its type."""
    found = re.search(rf'<script [^>]*id="{name}"([^>]*)>([^<]*)</script>', page)
    body = base64.b64decode(found[2])
    if "data-zipped" in found[1]:
        body = gzip.decompress(body)
    return re.search('data-type="([^"]+)"', found[1])[1], body


def test_pictures_are_packed_and_unpack_to_the_same_bytes():
    assert packed(rendered()) == ("image/svg+xml", SVG)
    other = study(figures=(FigurePage(name="fig-1", title="t", caption="c", png=PNG),))
    assert packed(rendered(other)) == ("image/png", PNG)


def test_a_picture_is_svg_unless_large():
    noise = np.random.default_rng(0).bytes(2 * LARGEST_SVG)
    large = SVG + base64.b64encode(noise)
    assert picture(SVG, PNG).mime == "image/svg+xml"
    assert picture(large, PNG).mime == "image/png"
    assert picture(large, b"").mime == "image/svg+xml"
    assert picture(b"", b"") is None
    assert picture(SVG, b"")[-2:] == (9, 9)


def test_each_study_has_one_small_still_for_readers_without_scripts():
    figures = [FigurePage(name=n, title=n, caption="c", svg=SVG, png=PNG) for n in "ab"]
    page = rendered(study(figures=figures), study(name="other", figures=figures))
    stills = re.findall(r'<noscript><img [^>]*src="([^"]+)"', page)
    assert len(stills) == 2 and all(len(one) <= STILL for one in stills)
    noise = np.random.default_rng(0).integers(0, 255, (900, 1200, 3), "uint8")
    body = io.BytesIO()
    PIL.Image.fromarray(noise).save(body, "png")
    found = still(body.getvalue())
    assert 0 < len(found) <= STILL
    with PIL.Image.open(io.BytesIO(base64.b64decode(found.split(",")[1]))) as image:
        assert image.width / image.height == pytest.approx(4 / 3, rel=0.02)


def gif(size=1):
    body = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (size, size), "uint8")
    PIL.Image.fromarray(noise).save(body, "gif")
    return body.getvalue()


def test_an_animation_is_played_on_request():
    figure = {"name": "fig-1", "title": "t", "caption": "c", "png": PNG}
    small = FigurePage(**figure, gif=gif())
    page = rendered(study(figures=(small,)))
    assert packed(page) == ("image/png", PNG)
    assert packed(page, "picture-constancy-fig-1-moving") == ("image/gif", gif())
    button = re.search(r'<button [^>]*class="play"[^>]*>', page)[0]
    assert 'data-packed="picture-constancy-fig-1-moving"' in button
    # a large one is played from its file
    files = {"gif": "s/figures/f.gif"}
    large = FigurePage(**figure, gif=gif(900), files=files)
    page = rendered(study(figures=(large,)))
    assert len(gif(900)) > 500_000 and "image/gif" not in page
    button = re.search(r'<button [^>]*class="play"[^>]*>', page)[0]
    assert 'data-file="s/figures/f.gif"' in button


def test_a_missing_picture_is_named():
    figure = FigurePage(name="fig-9", title="t", caption="c")
    text = Reader(rendered(study(figures=(figure,)))).text
    assert "There is no picture of fig-9." in text


def test_versions_of_a_study_are_shown_where_they_differ():
    other = study(versions={"python": "3.11.7", "jax": "0.12.0"})
    assert "with jax 0.12.0" in Reader(rendered(other)).text


def test_a_page_without_claims_has_no_table_of_claims():
    reader = Reader(rendered(study(figures=()), claims=table()))
    assert "forest" not in reader.ids and "filter" not in reader.ids
    assert reader.stack == []


def cells(page, head):
    """The texts of a column of the table of claims."""
    first = part(page, 'id="forest"', "</table>")
    found = re.findall(rf'<td class="number" data-head="{head}">(.*?)</td>', first)
    return [re.sub("</?span[^>]*>", "", cell) for cell in found]


def test_numbers_of_a_claim_are_those_of_the_project():
    claims = table(
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
    page = rendered(claims=claims)
    power = "10<sup>−5</sup>"
    assert cells(page, "Measured") == [
        f"3.866·{power} [3.866·{power}, 3.872·{power}]",
        "−0.993",
        "–",
        "−0.993 [−1.02, −0.964]",
    ]
    assert cells(page, "Accepted") == [
        "[−1.08, −0.92]",
        "≤ 10<sup>−6</sup>",
        "≥ 0.9",
        "–",
    ]
    assert "&lt;b&gt; 10<sup>−7</sup>" in page


def test_exponents_in_texts_are_raised():
    says = "κ falls as n^−½, not as e^{−λ₀t}"
    page = rendered(claims=table(verdict("J-2", says=says)))
    raised = "κ falls as n<sup>−½</sup>, not as e<sup>−λ₀t</sup>"
    assert raised in rows(page)["J-2"] and "n^" not in Reader(page).text


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
    claims = table(verdict("J-2", source=text))
    page = rendered(study(source=text, notes=(text,)), claims=claims, gallery=[paper])
    # study, its note, the claim, the paper, its note, setting, differs
    assert page.count('<a href="http') == (7 if address else 0)
    assert page.count(f'<a href="{address}">') == (7 if address else 0)
    assert Reader(page).text.count(text) == 7


def test_the_page_takes_a_table_that_was_read_from_csv(tmp_path):
    CLAIMS.to_csv(tmp_path / "claims.csv", index=False)
    back = pd.read_csv(tmp_path / "claims.csv")
    assert "nan" not in Reader(rendered(claims=back)).text


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
