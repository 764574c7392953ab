"""Sources of studies as BibTeX: each source that a study names has an entry."""

import re
from pathlib import Path

import pytest

from ntkpipe import citations, cli, study

ROOT = Path(__file__).parents[1]
SOURCES = citations.load(ROOT / "CITATION.cff")
STUDIES = sorted((ROOT / "config").glob("*/*.yaml"))
YEAR = re.compile(r"\b(?:19|20)\d\d\b(?!\.\d)")


def reference(*families, year=2019, **values):
    authors = [{"family-names": name, "given-names": "A."} for name in families]
    values = {"type": "article", "title": "A long title"} | values
    return citations.Reference.model_validate(
        values | {"authors": authors, "year": year}
    )


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_every_source_that_a_study_names_is_in_the_citation_file(path):
    for text in citations.named(study.load(path)):
        years = {match.end() for match in YEAR.finditer(text)}
        found = {
            m.end() for one in SOURCES if one.year for m in one.pattern.finditer(text)
        }
        assert years <= found, text


def test_the_citation_file_has_no_source_twice():
    assert len({one.key for one in SOURCES}) == len(SOURCES)
    assert all(one.url or one.year is None for one in SOURCES)


@pytest.mark.parametrize(
    ("text", "authors", "named"),
    [
        ("Jacot et al. 2018, thm 1", ("Jacot", "Gabriel", "Hongler"), 2018),
        ("Jacot, Gabriel & Hongler 2018", ("Jacot", "Gabriel", "Hongler"), 2018),
        ("derived; Yang & Hu 2021", ("Yang", "Hu"), 2021),
        ('A. Yang, "Understanding it" (2021), fig. 1', ("Yang",), 2021),
        ("control of S-2; Yang 2021", ("Yang",), 2021),
        ("Yang & Hu 2021", ("Yang",), None),
        ("Chen & Yang 2021", ("Yang",), None),
        ("Yang et al. 2021", ("Yang", "Hu"), None),
        ("Jacot et al. 2018", ("Acot", "Gabriel", "Hongler"), None),
        ("Yang 2021.04", ("Yang",), None),
        ("Yang 2020", ("Yang",), None),
    ],
)
def test_a_source_is_found_by_its_authors_and_year(text, authors, named):
    one = reference(*authors, year=named or 2021)
    assert bool(one.pattern.search(text)) is bool(named)


def test_an_entry_has_the_fields_of_its_type():
    paper = reference(
        "Du",
        "Poczos",
        type="conference-paper",
        title="Rates & 5 % of_it",
        **{"collection-title": "ICLR", "url": "https://a.b/c_d"},
    )
    assert citations.bibtex([paper]) == "\n".join(
        [
            "@inproceedings{dupoczos2019,",
            r"  title = {{Rates \& 5 \% of\_it}},",
            "  author = {Du, A. and Poczos, A.},",
            "  booktitle = {ICLR},",
            "  year = {2019},",
            "  url = {https://a.b/c_d},",
            "}",
        ]
    )


def test_the_command_prints_the_sources_of_a_study(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert cli.main(["cite", "config/studies/output_scale.yaml"]) == 0
    keys = re.findall(r"^@\w+\{(\w+),$", capsys.readouterr().out, re.M)
    assert keys == ["ntkpipe", "chizat2019", "vd2019"]
    assert cli.main(["cite"]) == 0
    keys = re.findall(r"^@\w+\{(\w+),$", capsys.readouterr().out, re.M)
    assert keys == [one.key for one in SOURCES]
    assert cli.main(["cite", "--references", "missing.cff"]) == 1
    assert "missing.cff" in capsys.readouterr().err
