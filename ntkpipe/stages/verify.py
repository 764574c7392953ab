"""The command `verify`: compare the verdicts with the expected ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ntkpipe.artifacts import Product, ProductError
from ntkpipe.claims import words
from ntkpipe.lazy import Lazy
from ntkpipe.stages.claims import CLAIMS
from ntkpipe.stages.job import read_products, read_studies
from ntkpipe.stages.stage import Place
from ntkpipe.study import Study
from ntkpipe.text import cell

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = Lazy("pandas")

Row = Mapping[str, Any]
"""A row of claims.csv."""


class Judged(NamedTuple):
    """The claims of studies, and the studies without a valid table of claims."""

    rows: list[Row]
    missing: dict[str, str]
    """The reason for each study without verdicts; empty if there is no table."""

    @property
    def others(self) -> list[Row]:
        """Claims that did not come out as expected."""
        return [row for row in self.rows if not is_met(row) and not cell(row, "known")]

    @property
    def known(self) -> list[Row]:
        """Laws that are known to be contradicted; they never count as a failure."""
        return [row for row in self.rows if cell(row, "known")]


def verify(studies: list[Study], inputs: list[str]) -> int:
    """Print the verdicts of these tables; return 1 if any is not as expected."""
    table = verdicts(read_studies(studies, inputs, CLAIMS))
    return _say(Judged(table.to_dict("records"), {}))


def verify_found(studies: Iterable[Study], results: str, asked: Iterable[str]) -> int:
    """Print the verdicts that are in the folder of results, and what is missing.

    Args:
        studies: the studies whose verdicts are judged.
        results: folder of results.
        asked: the studies that are named as missing if they have no verdicts.

    Returns:
        1 if a verdict is not as expected, or if there is none.
    """
    found = judged(studies, results)
    asked = {*asked}
    missing = {s: why for s, why in found.missing.items() if why or s in asked}
    status = _say(found._replace(missing=missing))
    if missing:
        print("`./run verify --run` computes what is missing")
    return status if found.rows else 1


def _say(found: Judged) -> int:
    print(*lines(found), sep="\n")
    return 1 if found.others else 0


def judged(studies: Iterable[Study], results: str | Path) -> Judged:
    """The verdicts of studies, from the tables in the folder of results.

    A table that was made with other settings than those of the study file counts as
    missing.
    """
    rows: list[Row] = []
    missing: dict[str, str] = {}
    for study in studies:
        path = Path(results, CLAIMS.path(Place(study)))
        if not path.exists():
            missing[study.name] = ""
            continue
        try:
            product = read_products(study, [str(path)], CLAIMS)["claims", None, None]
        except ProductError as error:
            other = f"{path} was made with other settings than those of the study file"
            missing[study.name] = other if "another spec" in str(error) else str(error)
        else:
            rows += product.data.to_dict("records")
    return Judged(rows, missing)


def is_met(row: Row) -> bool:
    """Whether a verdict is as expected."""
    return bool(row["as_expected"])


def short(rows: Iterable[Row]) -> str:
    """`5 of 5`: verdicts as expected of those that are counted; empty without any."""
    counted = [row for row in rows if not cell(row, "known")]
    return f"{sum(map(is_met, counted))} of {len(counted)}" if counted else ""


def lines(found: Judged) -> Iterator[str]:
    """How many verdicts are as expected, the others with their numbers, the missing."""
    if found.rows or not found.missing:
        yield words.tally(found.rows) or "no claims"
    for row in found.others:
        yield f"  ✗ {sentence(row)}, expected {row['expected']}. {row['says']}."
        if detail := words.detail(row):
            yield f"      {detail}"
    for row in found.known:
        yield f"  · {sentence(row)}, known to be {row['known']}"
    if without := [name for name, reason in found.missing.items() if not reason]:
        yield f"no verdicts yet: {', '.join(without)}"
    yield from filter(None, found.missing.values())


def sentence(row: Row) -> str:
    """A verdict with its numbers: estimate, interval, accepted band."""
    measured = " ".join(filter(None, (words.measured(row), words.level(row))))
    accepted = words.accepted(row)
    values = measured or "no number", accepted and f"accepted {accepted}"
    numbers = ", ".join(filter(None, values))
    return f"{row['study']}: {row['claim']} is {row['verdict']}: {numbers}"


def verdicts(by_study: dict[str, dict[tuple, Product]]) -> pd.DataFrame:
    """The claims of all studies in one table."""
    tables = [own["claims", None, None].data for own in by_study.values()]
    return pd.concat(tables, ignore_index=True)
