"""The numbers of a row: as a printed line, in results/rows.csv, and in README.md."""

import os
import time
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import network_rows, rows
from benchmarks.rivals import Missing, Rivals
from benchmarks.rows import Row
from ntkpipe.text import brief

ROWS = [*rows.ROWS, *network_rows.ROWS]
FOLDER = Path(__file__).parent / "results"
README = Path(__file__).parent / "README.md"
MARKS = "<!-- table: python -m benchmarks --table -->", "<!-- end of table -->"


def measure(row: Row, rivals: Rivals, toy: bool, rounds: int | None) -> dict:
    """One record of rows.csv."""
    found = {
        "row": row.name,
        "text": row.text,
        "sense": row.sense,
        "target": row.target,
        "unit": row.unit,
        "min": np.nan,
        "median": np.nan,
        "max": np.nan,
        "rounds": 0,
        "met": "",
        "load": os.getloadavg()[0],
        "skipped": "",
        "date": time.strftime("%Y-%m-%d"),
    }
    count = min(row.rounds, rounds or row.rounds)
    try:
        values = row.measure(count, rivals, **(row.toy if toy else row.sizes))
    except Missing as reason:
        return found | {"skipped": str(reason)}
    middle = float(np.median(values))
    met = middle >= row.target if row.sense == "≥" else middle <= row.target
    return found | {
        "min": min(values),
        "median": middle,
        "max": max(values),
        "rounds": len(values),
        "met": "yes" if met else "no",
    }


def line(found: dict) -> str:
    """The line that is printed for a row."""
    if found["skipped"]:
        return f"{found['text']}: skipped, {found['skipped']}"
    return (
        f"{found['text']}: {brief(found['median'])}{found['unit']} "
        f"({brief(found['min'])} to {brief(found['max'])}), "
        f"target {found['sense']} {brief(found['target'])}{found['unit']}, "
        f"met: {found['met']}"
    )


def keep(found: dict, folder: Path) -> None:
    """Replace the row of this name in rows.csv; rows are in the order of the table."""
    path = folder / "rows.csv"
    kept = pd.read_csv(path).to_dict("records") if path.exists() else []
    records = {row["row"]: row for row in kept} | {found["row"]: found}
    order = [row.name for row in ROWS if row.name in records]
    table = pd.DataFrame([records[name] for name in order])
    table.to_csv(path, index=False, float_format="%.4g")


def table(path: Path = FOLDER / "rows.csv") -> str:
    """rows.csv as a Markdown table."""
    head = "| | target | median | min – max | rounds | load | met |"
    lines = [head, "|---|---|---|---|---|---|---|"]
    for row in pd.read_csv(path, keep_default_na=False).to_dict("records"):
        target = f"{row['sense']} {brief(float(row['target']))} {row['unit']}"
        if row["skipped"]:
            skipped = f"skipped: {row['skipped']}"
            lines.append(f"| {row['text']} | {target} | {skipped} |||||")
            continue
        low, middle, high = (
            brief(float(row[name])) for name in ("min", "median", "max")
        )
        lines.append(
            f"| {row['text']} | {target} | {middle} {row['unit']} | {low} – {high} | "
            f"{row['rounds']} | {float(row['load']):.1f} | {row['met']} |"
        )
    return "\n".join(lines)


def write_readme() -> None:
    """Put the table into README.md, between its marks."""
    if not (FOLDER / "rows.csv").exists():
        return
    text = README.read_text()
    before, rest = text.split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    README.write_text(f"{before}{MARKS[0]}\n{table()}\n{MARKS[1]}{after}")
