"""The gallery: the figures of the sources, and those that regenerate them."""

import io
from pathlib import Path

import pytest
from PIL import Image

from ntkpipe import claims, study
from ntkpipe.report import gallery
from ntkpipe.report import page as report
from ntkpipe.report.thumbnail import thumbnail

ROOT = Path(__file__).parents[1]
SOURCES = gallery.load(ROOT / "config" / "gallery.yaml")
STUDIES = {
    path.stem: study.load(path) for path in (ROOT / "config" / "studies").glob("*.yaml")
}


def test_every_original_is_regenerated_by_an_existing_figure():
    there = {f"{s.name}/{f.name}" for s in STUDIES.values() for f in s.figures}
    shown = {name for source in SOURCES for o in source.figures for name in o.shows}
    assert shown <= there, "no such figure in config/studies"


def test_every_figure_after_a_published_one_is_in_the_gallery():
    shown = {name for source in SOURCES for o in source.figures for name in o.shows}
    after = {
        f"{s.name}/{f.name}" for s in STUDIES.values() for f in s.figures if f.after
    }
    assert after <= shown, "a figure with `after` belongs into config/gallery.yaml"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- source: x\n  figures: [{figure: a, setting: b, differs: c}]", "shows"),
        ("- source: x\n  figures: [{figure: a, shows: [../b], setting: b}]", "pattern"),
        ("- source: x\n  figures: [{figure: a, shows: [a/b], setting: b}]", "differs"),
        ("- source: x\n  figure: []", "figure"),
        ("- *x", "aliases"),
    ],
)
def test_a_faulty_gallery_is_refused_with_its_key(tmp_path, text, says):
    path = tmp_path / "gallery.yaml"
    path.write_text(text)
    with pytest.raises(study.StudyError, match=says) as error:
        gallery.load(path)
    assert str(path) in str(error.value)


def test_a_thumbnail_is_a_small_picture_of_the_same_shape():
    picture = ROOT / "benchmarks" / "results" / "scaling.png"
    before, after = (
        Image.open(io.BytesIO(data))
        for data in (picture.read_bytes(), thumbnail(picture.read_bytes()))
    )
    assert after.width == 240
    assert after.height == pytest.approx(240 * before.height / before.width, abs=1)


def test_the_page_shows_the_sources_in_their_order_and_what_is_missing():
    picture = (ROOT / "benchmarks" / "results" / "scaling.png").read_bytes()
    figure = report.FigurePage(name="f", title="F", caption="", png=picture)
    page = report.StudyPage(name="s", title="S", question="", figures=[figure])
    originals = [
        {"figure": "<fig. 2>", "shows": ["s/f"], "setting": "wide", "differs": "no"},
        {"figure": "fig. 1", "shows": ["t/g"], "setting": "deep", "differs": "yes"},
    ]
    source = gallery.Source(
        source="A & B 2018",
        figures=tuple(
            gallery.Original(**(o | {"shows": tuple(o["shows"])})) for o in originals
        ),
        notes=("a slip",),
    )
    text = report.page([page], claims.table([]), gallery=[source])
    places = [
        text.index(part)
        for part in (
            'id="gallery"',
            "A &amp; B 2018",
            "&lt;fig. 2&gt;",
            'href="#figure-s-f"><img class="plot" alt="" data-packed="picture-s-f"',
            "t/g: not in this run",
            "a slip",
        )
    ]
    assert places == sorted(places)
    assert 'id="gallery"' not in report.page([page], claims.table([]))
