"""The command `power`: how likely other networks are to give the same verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ntkpipe import artifacts
from ntkpipe.artifacts import ProductError
from ntkpipe.claims import normal_law
from ntkpipe.claims import power as powers
from ntkpipe.lazy import Lazy
from ntkpipe.progress import Progress
from ntkpipe.stages.job import log, read_products
from ntkpipe.stages.measure import MEASURE
from ntkpipe.stages.stage import Place
from ntkpipe.study import Study
from ntkpipe.text import NONE, number

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = Lazy("pandas")

DRAWS = 200


def power(
    studies: list[Study], results: str, output: str, draws: int = DRAWS, seed: int = 0
) -> int:
    """Write a table of the power of all claims, and print its summary."""
    tables = []
    for study in studies:
        path = f"{results}/{MEASURE.path(Place(study))}"
        if Path(path).exists():
            rows = _of_study(study, path, draws, seed)
            tables.append(powers.table([*rows]))
        else:
            log.warning("%s: not run yet, there is no %s", study.name, path)
    if not tables:
        raise ProductError(f"no measurements.csv in {results}: run a study first")
    rows = pd.concat(tables, ignore_index=True)
    body = rows.to_csv(index=False, lineterminator="\n").encode()
    artifacts.write(output, lambda file: file.write(body))
    print(summary(rows))
    return 0


def _of_study(study: Study, path: str, draws: int, seed: int):
    table = read_products(study, [path], MEASURE)["measurements", None, None].data
    progress = Progress()
    for done, claim in enumerate(study.claims, 1):
        yield powers.of_claim(claim, table, study.name, draws, seed)
        progress(f"power of {study.name}", done, len(study.claims))


def summary(rows: pd.DataFrame) -> str:
    """Σ(1 − P), the claims with too few seeds, and the studies with too many."""
    few, many = powers.too_few(rows), powers.too_many(rows)
    return "\n".join(
        [
            f"expected number of other verdicts, Σ(1 − P): "
            f"{powers.expected_changes(rows):.2f} of {powers.counted(rows).sum()} "
            "laws and numbers with an interval",
            f"{len(few)} claims with P < {normal_law.ENOUGH} or too few seeds:",
            *(f"    {_line(row)}" for row in few.to_dict("records")),
            f"{len(many)} studies with more seeds than their claims need:",
            *(
                f"    {row['study']}: {row['claim']} needs the most seeds, "
                f"{row['seeds_needed']} instead of {row['seeds']} "
                f"({row['factor']:.2g} times as many)"
                for row in many.to_dict("records")
            ),
        ]
    )


def _line(row: dict) -> str:
    return (
        f"{row['study']}: {row['claim']} is {row['verdict']}, "
        f"h/δ {number(row['ratio'], 2) or NONE}, P {row['again']:.2f} ± "
        f"{row['again_error']:.2f}, if true {number(row['if_true'], 2) or NONE}; "
        f"seeds {row['seeds']}, needed {row['seeds_needed'] or NONE}"
    )
