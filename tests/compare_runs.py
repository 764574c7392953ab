"""Compare two results folders: `python tests/compare_runs.py BEFORE AFTER`.

Every array of every product and every column of every table is compared. The script
prints the arrays and columns that only one run has, the largest relative difference of
all others, and each verdict that changed. It exits with 1 if a verdict changed, else 0.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd


class Difference(NamedTuple):
    """Largest |a − b|/max|a| of one array or column, and where it was found."""

    relative: float
    path: str


def arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a product, or the columns of a table, without metadata."""
    if path.suffix == ".npz":
        with np.load(path) as file:
            return {name: file[name] for name in file.files if name != "meta"}
    first = path.open(encoding="utf-8").readline()
    table = pd.read_csv(path, skiprows=int(first.startswith(("#", "{", '"{'))))
    return {str(name): table[name].to_numpy() for name in table}


def relative(a: np.ndarray, b: np.ndarray) -> float:
    """Largest |a − b|/max|a|; 0 where both are NaN, infinite for different shapes."""
    if a.shape != b.shape:
        return np.inf
    if not (np.issubdtype(a.dtype, np.number) and np.issubdtype(b.dtype, np.number)):
        same = (a == b) | (pd.isna(a) & pd.isna(b))
        return 0.0 if np.all(same) else np.inf
    if np.array_equal(a, b, equal_nan=True):
        return 0.0
    if not np.array_equal(np.isfinite(a), np.isfinite(b)):
        return np.inf
    a, b = a[np.isfinite(a)].astype(float), b[np.isfinite(b)].astype(float)
    return float(np.abs(a - b).max() / max(np.abs(a).max(), np.finfo(float).tiny))


def files(folder: Path) -> Iterator[Path]:
    """Products and tables of a results folder, relative to it."""
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".npz", ".csv"):
            yield path.relative_to(folder)


def verdicts(folder: Path) -> dict[tuple[str, str], str]:
    """The verdict of each claim: (study, id) → verdict."""
    return {
        (path.parent.name, claim): verdict
        for path in sorted(folder.glob("*/claims.csv"))
        for claim, verdict in zip(
            arrays(path)["claim"], arrays(path)["verdict"], strict=True
        )
    }


def kind(path: Path) -> str:
    """The kind of a file, such as `network.npz`: its files are reported together."""
    return "figures/*.csv" if path.parent.name == "figures" else path.name


def compare(before: Path, after: Path) -> int:
    """Print all differences, and return the number of verdicts that changed."""
    left, right = set(files(before)), set(files(after))
    for title, only in (("removed", left - right), ("added", right - left)):
        if only:
            print(f"{title} files: {json.dumps(sorted(map(str, only)))}")
    worst: dict[str, Difference] = {}
    count: defaultdict[str, int] = defaultdict(int)
    for path in sorted(left & right):
        a, b = arrays(before / path), arrays(after / path)
        for name in a.keys() ^ b.keys():
            count[f"{kind(path)}: {name} {'removed' if name in a else 'added'}"] += 1
        for name in a.keys() & b.keys():
            found = Difference(relative(a[name], b[name]), str(path))
            key = f"{kind(path)}: {name}"
            worst[key] = max(found, worst.get(key, found))
    for text, number in sorted(count.items()):
        print(f"{text} in {number} files")
    same = sum(not found.relative for found in worst.values())
    print(f"{same} of {len(worst)} arrays and columns are the same to the last bit")
    for key, found in sorted(worst.items(), key=lambda item: -item[1].relative):
        if found.relative:
            print(f"{key}: {found.relative:.2g} in {found.path}")
    old, new = verdicts(before), verdicts(after)
    changed = [claim for claim in old.keys() & new.keys() if old[claim] != new[claim]]
    for study, claim in sorted(changed):
        at = study, claim
        print(f"verdict of {study}/{claim}: {old[at]} before, {new[at]} after")
    print(f"{len(changed)} of {len(old.keys() & new.keys())} verdicts changed")
    return len(changed)


if __name__ == "__main__":
    sys.exit(compare(Path(sys.argv[1]), Path(sys.argv[2])) > 0)
