"""The command `verify`: compare the verdicts with the expected ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntkpipe.artifacts import Product
from ntkpipe.claims import words
from ntkpipe.lazy import Lazy
from ntkpipe.stages.claims import CLAIMS
from ntkpipe.stages.job import read_studies
from ntkpipe.study import Study

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = Lazy("pandas")


def verify(studies: list[Study], inputs: list[str]) -> int:
    """Print the verdicts that are not as expected; return 1 if there are any.

    A law that is known to be contradicted is listed, but never counts as a failure.
    """
    table = verdicts(read_studies(studies, inputs, CLAIMS))
    known = table["known"].fillna("") != ""
    other = table[~table["as_expected"].astype(bool) & ~known]
    for _, row in table[known].iterrows():
        expected = f"known to be {row['known']}"
        print(f"{row['study']}: {row['claim']} is {row['verdict']}, {expected}")
    for _, row in other.iterrows():
        accepted = words.accepted(row)
        measured = " ".join(filter(None, (words.measured(row), words.level(row))))
        values = measured or "no number", accepted and f"accepted {accepted}"
        print(
            f"{row['study']}: {row['claim']} is {row['verdict']}, expected "
            f"{row['expected']}: {', '.join(filter(None, values))}. {row['says']}."
        )
        if detail := words.detail(row):
            print(f"    {detail}")
    print(words.tally(table.to_dict("records")))
    return 1 if len(other) else 0


def verdicts(by_study: dict[str, dict[tuple, Product]]) -> pd.DataFrame:
    """The claims of all studies in one table."""
    tables = [own["claims", None, None].data for own in by_study.values()]
    return pd.concat(tables, ignore_index=True)
