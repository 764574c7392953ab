"""The tables of results that the moving pictures of the page read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ntkpipe import artifacts
from ntkpipe.artifacts import Product
from ntkpipe.lazy import Lazy
from ntkpipe.stages.figure import FIGURE
from ntkpipe.stages.job import check_settings
from ntkpipe.study import Study

if TYPE_CHECKING:
    import pandas as pd

    from ntkpipe.report import theorem
else:
    theorem = Lazy("ntkpipe.report.theorem")


def tables(
    study: Study, products: Mapping[tuple, Product], files: Sequence[Path]
) -> dict[tuple[str, str], pd.DataFrame]:
    """Measurements and tables of figures of a study, by study and name.

    Args:
        study: a study of the page; of most studies no picture reads a table.
        products: its measurements, among others.
        files: files of figures, of any studies.
    """
    if study.name not in theorem.FIGURES:
        return {}
    found = {(study.name, "measurements"): products["measurements", None, None].data}
    for name in theorem.FIGURES[study.name]:
        end = (study.name, "figures", f"{name}.csv")
        for path in (path for path in files if path.parts[-3:] == end):
            table = artifacts.load(path)
            check_settings(study, str(path), table, FIGURE)
            found[study.name, name] = table.data
    return found
