"""Measure every row of the table: `python -m benchmarks` from the repository's root.

`python -m benchmarks gpu` measures a GPU. `python -m benchmarks wheels` collects the
packages that this needs on a machine without network. Both have their own --help.
"""

import argparse
import os
import sys
from pathlib import Path

from benchmarks import wheels
from ntkpipe.runtime import KEEP_FREED

FOLDER = Path(__file__).parent / "results"


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    top = argparse.ArgumentParser(
        prog="benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = top.add_argument
    add("--rows", help="only rows whose names begin with one of these, as in a,b")
    add("--toy", action="store_true", help="tiny sizes, to check that all rows run")
    add("--rounds", type=int, help="maximum number of rounds of each row")
    add("--no-rivals", action="store_true", help="skip rows that need other software")
    add("--environments", help="keep the other software here (default: delete it)")
    add("--output", type=Path, default=FOLDER)
    add("--scaling", action="store_true", help="only make the scaling figure")
    add("--large", type=int, metavar="N", help="only compare two kernels of N points")
    add("--table", action="store_true", help="only write README.md from rows.csv")
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run a sub-command, or the table."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["wheels"]:
        return wheels.main(arguments[1:])
    if missing := wheels.missing():
        print(
            f"this Python lacks {', '.join(missing)}: for a machine without network, "
            "see python -m benchmarks wheels --help",
            file=sys.stderr,
        )
        return 2
    if arguments[:1] == ["gpu"]:
        from benchmarks import gpu

        return gpu.main(arguments[1:])
    return table(arguments)


def table(arguments: list[str]) -> int:
    """Print rows as they are measured, then write the files."""
    import jax

    from benchmarks import results, scaling
    from benchmarks.results import ROWS
    from benchmarks.rivals import Rivals
    from ntkpipe import xla

    options = parser().parse_args(arguments)
    wanted = tuple((options.rows or "").split(","))
    for name in wanted:
        if not any(row.name.startswith(name) for row in ROWS):
            parser().error(
                f"--rows: no row begins with {name}: there are "
                f"{', '.join(row.name for row in ROWS)}"
            )
    if options.toy and options.output == results.FOLDER:
        parser().error("--toy needs --output: results/ is for full sizes")
    xla.set_flags()  # as jobs do
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_default_matmul_precision", "highest")
    options.output.mkdir(parents=True, exist_ok=True)
    everything = not (options.scaling or options.large or options.table)
    if everything:
        with Rivals(options.environments, not options.no_rivals) as rivals:
            for row in ROWS:
                if row.name.startswith(wanted):
                    found = results.measure(row, rivals, options.toy, options.rounds)
                    print(results.line(found), flush=True)
                    results.keep(found, options.output)
    if options.scaling or (everything and not options.rows):
        scaling.measure(options.output, options.toy)
        scaling.draw(options.output)
    if options.large or (everything and not options.rows):
        scaling.large(options.output, 600 if options.toy else options.large or 12_288)
    if options.output == results.FOLDER:
        results.write_readme()
    return 0


if __name__ == "__main__":
    if not KEEP_FREED.items() <= os.environ.items():
        # as jobs do; the C library reads these when a process starts
        os.execve(sys.executable, sys.orig_argv, os.environ | KEEP_FREED)
    sys.exit(main())
