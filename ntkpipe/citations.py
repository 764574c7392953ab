"""BibTeX entries of the software and of the sources that a study names.

CITATION.cff lists the sources. A study names them in words, such as
"Chizat et al. 2019, fig. 1; Rajat V D 2019".
"""

import re
from collections.abc import Iterable
from pathlib import Path

import yaml
from pydantic import BaseModel, Field

from ntkpipe.study import Study

TYPES = {"conference-paper": "inproceedings", "article": "article"}  # others: misc
PLACES = {"inproceedings": "booktitle", "article": "journal"}
# characters of LaTeX; braces keep the capitals of a title
ESCAPES = str.maketrans({char: rf"\{char}" for char in "&%$#_"})


class Author(BaseModel, frozen=True):
    """A person, or a group with a `name`."""

    family: str = Field("", alias="family-names")
    """Family name."""
    given: str = Field("", alias="given-names")
    """Given names."""
    name: str = ""
    """Name of a group."""

    @property
    def written(self) -> str:
        """The name as BibTeX reads it."""
        return f"{self.family}, {self.given}" if self.family else f"{{{self.name}}}"


class Reference(BaseModel, frozen=True):
    """A source, or this software, with the keys of the Citation File Format."""

    type: str
    """Such as conference-paper, article, blog, software."""
    title: str
    """Title."""
    authors: tuple[Author, ...] = Field(min_length=1)
    """Authors, in the order of the source."""
    year: int | None = None
    """Year of publication."""
    place: str = Field("", alias="collection-title")
    """Proceedings of a paper."""
    journal: str = ""
    """Journal of an article."""
    volume: str = ""
    """Volume of the journal."""
    url: str = ""
    """Address."""
    version: str = ""
    """Version of a software."""

    @property
    def key(self) -> str:
        """The key of the entry: one family name, or those of two authors, and the year.

        The software, which has neither, has the first word of its title.
        """
        names = [author.family for author in self.authors]
        name = re.sub(r"\W", "", "".join(names if len(names) < 3 else names[:1]))
        return f"{name}{self.year or self.title.partition(':')[0]}".lower()

    @property
    def pattern(self) -> re.Pattern[str]:
        """Matches the ways in which a study names the source.

        One author: "A 2019"; two: "A & B 2019"; more: "A et al. 2019", or all names.
        A title in quotation marks may stand before the year, and "(2019)" for "2019".
        """
        names = [
            rf"(?:{re.escape(a.given)} )?{re.escape(a.family or a.name)}"
            for a in self.authors
        ]
        all_names = " & ".join(filter(None, (", ".join(names[:-1]), names[-1])))
        forms = [all_names, *([rf"{names[0]} et al\."] if len(names) > 2 else [])]
        before = r"(?<!\w)(?<!& )(?<!&)"
        return re.compile(
            rf'{before}(?:{"|".join(forms)}),?(?: "[^"]+")? \(?{self.year}\b(?!\.\d)'
        )


def load(path: str | Path = "CITATION.cff") -> tuple[Reference, ...]:
    """Read a citation file: the software first, then its references."""
    values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    return tuple(map(Reference.model_validate, [values, *values["references"]]))


def named(one: Study) -> Iterable[str]:
    """The texts in which a study names its sources."""
    yield one.source
    yield from (claim.source for claim in one.claims)
    yield from (figure.after for figure in one.figures)


def cited(
    studies: Iterable[Study], references: tuple[Reference, ...]
) -> tuple[Reference, ...]:
    """The references that studies name, in the order of the citation file.

    The software, which has no year, is always among them.
    """
    texts = [text for one in studies for text in named(one)]
    return tuple(
        one
        for one in references
        if one.year is None or any(one.pattern.search(text) for text in texts)
    )


def bibtex(references: Iterable[Reference]) -> str:
    """The entries in BibTeX, separated by empty lines, in UTF-8."""
    return "\n\n".join(map(_entry, references))


def _entry(one: Reference) -> str:
    kind = TYPES.get(one.type, "misc")
    fields = {
        "title": f"{{{one.title.translate(ESCAPES)}}}",
        "author": " and ".join(author.written for author in one.authors),
        PLACES.get(kind, "howpublished"): (one.place or one.journal).translate(ESCAPES),
        "volume": one.volume,
        "year": one.year and str(one.year),
        "note": one.version and f"Version {one.version}",
        "url": one.url,
    }
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@{kind}{{{one.key},", *lines, "}"])
