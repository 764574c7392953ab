"""A user's own table."""

from __future__ import annotations

import csv
import functools
import io
import logging
import os
import stat
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import BeforeValidator, Field

from ntkpipe import artifacts
from ntkpipe.data.base import LARGEST, Count, Data, Sizes, UserFile, of_classes
from ntkpipe.lazy import Lazy
from ntkpipe.section import Fault, did_you_mean, section

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = Lazy("pandas")
jr = Lazy("jax.random")

MOST_LEVELS = 20  # of a feature that is text
MOST_CLASSES = 100  # of a target that is text
MOST_COLUMNS = 10_000
MOST_BYTES = 2**27  # of a file; reading them takes 10 to 40 s and 3 GB
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
FAULT = "{path}: {reason}"
ROUNDING = 8 * np.finfo(float).eps
log = logging.getLogger("ntkpipe")


def _in_a_tuple(names: Any) -> Any:
    """One name, or a list of names, as a tuple."""
    if isinstance(names, list):
        return tuple(names)
    return (names,) if isinstance(names, str) else names


Columns = Annotated[
    tuple[str, ...],
    Field(min_length=1, max_length=MOST_COLUMNS),
    BeforeValidator(_in_a_tuple, json_schema_input_type=str | list[str]),
]


class Table(NamedTuple):
    """Features and targets of all rows. A cell that is text is the number of its level.

    `levels` has the sorted levels of each column that is text.
    """

    x: pd.DataFrame
    y: pd.DataFrame
    levels: dict[str, np.ndarray]


@section
class Csv(UserFile):
    """A user's own table in a `.csv` file: a header, then one row for each point.

    Test and training rows are drawn by the seed. Text in a target makes classes: ∓1 for
    two, one-hot vectors minus 1/k for k > 2, at most 100. A feature of text, named in
    `features`, makes an input of 0 or 1 for each different text, at most 20. If the
    file changes, all results that depend on it are computed again.
    """

    kind: Literal["csv"] = "csv"
    target: Columns
    """Column or columns to learn; each number is one output."""
    features: Columns | None = None
    """Columns of the inputs; default: all others whose cells are numbers."""
    test: Annotated[float, Field(gt=0, le=10**7)] = 0.2
    """Test rows: below 1 their share of the rows, else their number."""
    points: Count | None = None
    """Number of training rows, drawn from all rows that are not test rows; default:
    all of these."""
    standardise: bool = True
    """Shift and scale each column of numbers, targets included, so that the training
    rows have mean 0 and variance 1. Inputs and classes of text are not scaled."""

    labeller: ClassVar[None] = None

    def faults(self) -> Iterator[Fault]:
        """Columns that are named twice, or a number of rows that is not whole."""
        named = {"target": self.target, "features": self.features or ()}
        for key, names in named.items():
            for name in {name for name in names if names.count(name) > 1}:
                yield Fault((key,), f"{name!r} is given twice")
        for name in {*self.target} & {*named["features"]}:
            yield Fault(("features",), f"{name!r} is the target, too")
        if self.test > 1 and self.test % 1:
            text = f"{self.test:g} is neither a share below 1 nor a whole number"
            yield Fault(("test",), text)

    @property
    def sizes(self) -> Sizes:
        """The sizes of the table; a guess if the file is missing or refused."""
        try:
            table = self._read()
            n, m = self._counts(len(table.x))
        except (artifacts.ProductError, ValueError):
            inputs = len(self.features) if self.features else 100
            return Sizes(self.points or 1000, 1000, inputs, len(self.target))
        levels = {name: len(found) for name, found in table.levels.items()}
        classes = [levels.get(name, 1) for name in table.y]
        d = sum(levels.get(name, 1) for name in table.x)
        return Sizes(n, m, d, sum(1 if k == 2 else k for k in classes))

    def numbers(self) -> int:
        """Count of numbers in memory while the file is read: 24 bytes for each byte."""
        try:
            return 24 * os.path.getsize(self.path) // 8
        except OSError:
            return 0

    def sample(self, key) -> Data:
        """Read the table; draw test rows and training rows without replacement."""
        table = self._read()
        with artifacts.refusing(self.path, FAULT):
            n, m = self._counts(len(table.x))
            order = np.asarray(jr.permutation(key, len(table.x)))
            drawn = order[np.r_[m : m + n, :m]]  # the same test rows for any `points`
            x = self._arrays(table.x, table.levels, drawn, n, _one_hot)
            y = self._arrays(table.y, table.levels, drawn, n, of_classes)
        return Data(x[:n], y[:n], x[n:], y[n:])

    def _counts(self, rows: int) -> tuple[int, int]:
        """Numbers of training and test rows; refuse more than there are."""
        m = round(self.test * rows) if self.test < 1 else int(self.test)
        m = max(m, 1)
        left = rows - m
        if left < 1:
            raise ValueError(
                f"no training rows: dataset.test takes {m} of the {rows} rows"
            )
        if self.points is not None and self.points > left:
            raise ValueError(
                f"dataset.points is {self.points}, but {left} of the {rows} rows are "
                "not test rows"
            )
        return self.points or left, m

    def _arrays(
        self,
        cells: pd.DataFrame,
        levels: dict[str, np.ndarray],
        rows: np.ndarray,
        n: int,
        encode: Callable[[np.ndarray, np.ndarray], np.ndarray],
    ) -> np.ndarray:
        """The numbers of the drawn rows; the first n of them are training rows."""
        counts = [len(levels.get(name, " ")) for name in cells]
        if (size := 8 * len(rows) * sum(counts)) > artifacts.MOST_USER_BYTES:
            raise ValueError(
                f"{len(rows):,} rows of {sum(counts):,} numbers take {size:,} bytes, "
                f"at most {artifacts.MOST_USER_BYTES:,}: state fewer dataset.points"
            )
        blocks = []
        for (name, column), count in zip(cells.items(), counts, strict=True):
            values = column.to_numpy()[rows]
            if name in levels:
                blocks.append(encode(values, np.arange(count)))
                continue
            if self.standardise:
                if _is_constant(values[:n]):
                    raise ValueError(
                        f"column {_shown(name)} is constant in the {n} training rows: "
                        "state more dataset.points, leave it out of dataset.features, "
                        "or set dataset.standardise: false"
                    )
                values = (values - values[:n].mean()) / values[:n].std()
            blocks.append(values[:, None])
        return np.concatenate(blocks, axis=1)

    def _read(self) -> Table:
        """The table of the file; read once, also if each seed draws its own rows."""
        with artifacts.refusing(self.path, FAULT):
            now = os.stat(self.path)
            if not stat.S_ISREG(now.st_mode):
                raise ValueError("is not a file")
            version = now.st_mtime_ns, now.st_size, now.st_ino
            return _table(self.path, self.target, self.features, *version)


@functools.lru_cache(maxsize=1)
def _table(
    path: str, target: tuple[str, ...], features: tuple[str, ...] | None, *version: int
) -> Table:
    """Read and check a table: every cell that is used is a number or text."""
    del version
    if os.path.getsize(path) > MOST_BYTES:
        raise ValueError(f"is larger than {MOST_BYTES:,} bytes: keep fewer rows")
    with open(path, "rb") as file:
        body = file.read().rstrip(b"\r\n")
    names, rows = _structure(body)
    for name in (*target, *(features or ())):
        if name not in names:
            there = ", ".join(map(_shown, names[:5])) + ", …" * (len(names) > 5)
            near = did_you_mean(name, names)
            raise ValueError(f"no column {_shown(name)}: it has {there}{near}")
    cells = pd.read_csv(
        io.BytesIO(body),
        encoding="utf-8-sig",
        header=0,
        names=names,
        usecols=[*target, *features] if features else None,
        index_col=False,
        skipinitialspace=True,
        low_memory=False,  # one type for all cells of a column
    )
    if len(cells) != rows:
        raise ValueError("its quotation marks are unbalanced: save it again as CSV")
    levels: dict[str, np.ndarray] = {}
    y = {name: _column(cells[name], levels, MOST_CLASSES) for name in target}
    if features is None:
        others = [name for name in names if name not in target]
        text = [name for name in others if _numbers(cells[name]) is None]
        if text:
            log.info("columns of text that are no features: %s", ", ".join(text))
        features = tuple(name for name in others if name not in text)
        if not features:
            raise ValueError("no column of numbers is left: name some dataset.features")
    x = {name: _column(cells[name], levels, MOST_LEVELS) for name in features}
    table = Table(pd.DataFrame(x), pd.DataFrame(y), levels)
    _refuse_contradictions(table)
    return table


def _structure(body: bytes) -> tuple[list[str], int]:
    """The names of the columns, and the number of rows; all rows have equal lengths."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = body.count(b"\n", 0, error.start) + 1
        raise ValueError(f"row {row} is not UTF-8: save it as CSV in UTF-8") from error
    if not text.strip():
        raise ValueError("is empty: the first row must have the names of the columns")
    if "\0" in text:
        raise ValueError("is no text: save it as CSV in UTF-8")
    del text
    lines = io.TextIOWrapper(io.BytesIO(body), "utf-8-sig", newline="")
    reader = csv.reader(lines, skipinitialspace=True, strict=True)
    row = 0
    try:
        names = next(reader)
        _check_names(names)
        row = 1
        for row, cells in enumerate(reader, 2):
            if len(cells) != len(names):
                raise ValueError(
                    f"row {row} has {len(cells)} cells, and the header {len(names)}: "
                    "correct it, or remove it"
                )
    except csv.Error as error:
        raise ValueError(f"row {row + 1}: {error}: correct this row") from error
    if row < 3:
        raise ValueError("has fewer than two rows below the header: add rows")
    return names, row - 1


def _check_names(names: list[str]) -> None:
    """Refuse a header that does not name each column once."""
    if len(names) < 2:
        for separator, words in SEPARATORS.items():
            if separator in "".join(names):
                raise ValueError(
                    f"its cells are separated by {words}: save it with commas, and "
                    "with points in decimal numbers"
                )
        raise ValueError("has one column: a target and a feature are needed")
    if len(names) > MOST_COLUMNS:
        raise ValueError(f"has {len(names):,} columns, at most {MOST_COLUMNS:,}")
    for column, name in enumerate(names, 1):
        if not name.strip() or not name.isprintable():
            raise ValueError(
                f"column {column} has no printable name in row 1: name it, or remove "
                "it (pandas: to_csv(index=False))"
            )
    if len({*names}) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"two columns are named {_shown(twice)}: rename one")


def _numbers(cells: pd.Series) -> np.ndarray | None:
    """The cells as numbers, NaN where a cell is none; None if no cell is a number."""
    if cells.dtype.kind in "fiu":
        return cells.to_numpy(float)
    # True and False are text; a missing cell has the code −1
    codes, texts = pd.factorize(cells.astype(str).where(cells.notna()))
    numbers = pd.to_numeric(np.asarray(texts, object), errors="coerce")
    if np.isnan(numbers := np.append(numbers, np.nan).astype(float)).all():
        return None
    return numbers[codes]


def _column(cells: pd.Series, levels: dict[str, np.ndarray], most: int) -> np.ndarray:
    """The numbers of a column; those of its levels if it is text."""
    column = f"column {_shown(cells.name)}"
    if (missing := cells.isna()).any():
        raise ValueError(
            f"row {_first(missing)}, {column}: the value is missing (empty, NA, "
            "None …): fill it in, or leave out the row or the column"
        )
    numbers = _numbers(cells)
    if numbers is None:
        codes, texts = pd.factorize(cells.astype(str), sort=True)
        if len(texts) > most:
            raise ValueError(
                f"{column} has {len(texts)} different texts, at most {most}: leave it "
                "out, or join rare ones"
            )
        levels[str(cells.name)] = np.asarray(texts)
        numbers = codes.astype(float)
    for wrong, reason in (
        (np.isnan(numbers), "is no number, as other cells are: correct it"),
        (np.abs(numbers) > LARGEST, f"is larger than {LARGEST:g}: correct it"),
    ):
        if wrong.any():
            row = _first(wrong)
            raise ValueError(
                f"row {row}, {column}: {_shown(cells[row - 2])} {reason}, or leave out "
                "the row or the column"
            )
    if _is_constant(numbers):
        raise ValueError(
            f"{column} is constant from row 2 to row {len(cells) + 1}, "
            f"{_shown(cells[0])}: remove it, or leave it out of dataset.features"
        )
    return numbers


def _refuse_contradictions(table: Table) -> None:
    """Refuse two rows with equal features and different targets."""
    different = pd.concat([table.x, table.y], axis=1).drop_duplicates()
    again = different.duplicated([*table.x])
    if again.any():
        second = again.idxmax()
        equal = (table.x == table.x.loc[second]).all(axis=1)
        unlike = (table.y != table.y.loc[second]).any(axis=1)
        first = (equal & unlike).idxmax()
        column = (table.y.loc[first] != table.y.loc[second]).idxmax()
        raise ValueError(
            f"rows {first + 2} and {second + 2} have equal features but different "
            f"targets in column {_shown(column)}: remove one, or add a feature that "
            "differs"
        )


def _one_hot(levels: np.ndarray, all_levels: np.ndarray) -> np.ndarray:
    """1 at the level of each cell, else 0, (n,) → (n k)."""
    return (levels[:, None] == all_levels).astype(float)


def _is_constant(values: np.ndarray) -> bool:
    """Whether numbers are equal but for rounding."""
    return bool(values.std() <= ROUNDING * np.abs(values).max())


def _first(rows: np.ndarray | pd.Series) -> int:
    """The number in the file of the first row that is true; the header is row 1."""
    return int(np.argmax(rows)) + 2


def _shown(value: object) -> str:
    """A name or a cell in quotes, shortened."""
    text = repr(str(value))
    return text if len(text) <= 40 else f"{text[:36]}…'"
