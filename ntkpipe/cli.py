"""The command line: `python -m ntkpipe STAGE STUDY …` runs one stage.

The rules of the workflow run these commands. Threads and devices are chosen here,
before NumPy and JAX are imported.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ntkpipe import runtime

if TYPE_CHECKING:
    from ntkpipe.stages import Place, Stage
    from ntkpipe.study import Study

# commands that make no product
COMMANDS = {
    "verify": "list the verdicts that are not as expected; fail if there are any",
    "validate": "check study files; list all faults at once",
    "power": "estimate how likely other networks are to give the same verdicts",
    "replicate": "run studies again with other seeds, and compare the verdicts",
    "cite": "print the sources of studies as BibTeX",
    "ask": "say of your own network and table whether the network is lazy",
    "explain": "print how each parameter of a network enters its kernel",
    "schema": "print the JSON schema of study files",
}
EXAMPLE = """\
example, the first stages of a study:
  S=config/studies/constancy.yaml R=results/constancy/tanh
  python -m ntkpipe dataset $S --variant tanh --output $R/dataset.npz
  python -m ntkpipe train $S --variant tanh --width 256 \\
      --input $R/dataset.npz --output $R/width256/network.npz
"""


def parser() -> argparse.ArgumentParser:
    """The parser: a sub-command for each stage and for each of `COMMANDS`."""
    from ntkpipe.stages import STAGES

    top = argparse.ArgumentParser(
        prog="ntkpipe",
        description=__doc__.splitlines()[0],
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="stage", required=True, metavar="STAGE")
    for stage in STAGES.values():
        command = commands.add_parser(
            stage.name, help=stage.help, description=stage.help
        )
        _add_stage(command, stage)
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        if name == "power":
            _add_power(command)
        elif name == "replicate":
            _add_replicate(command)
        elif name == "explain":
            _add_explain(command)
        elif name == "ask":
            _add_ask(command)
        elif name == "cite":
            _add_cite(command)
        elif name == "verify":
            _add_verify(command)
        elif name != "schema":
            command.add_argument("study", nargs="+", help="study file (YAML)")
    return top


def _add_stage(command: argparse.ArgumentParser, stage: Stage) -> None:
    nargs = "+" if stage.per == "run" else 1
    command.add_argument("study", nargs=nargs, help="study file (YAML)")
    if stage.per in ("variant", "width"):
        command.add_argument(
            "--variant", default="base", help="its variant (default: base)"
        )
    if stage.per == "width":
        command.add_argument("--width", type=int, required=True, help="hidden width")
    if stage.per == "figure":
        command.add_argument("--name", required=True, help="name of the figure")
    for name, text in stage.options.items():
        command.add_argument(f"--{name}", help=text)
    command.add_argument("--input", nargs="*", default=[], help=stage.input_help)
    if stage.gpu:
        command.add_argument(
            "--gpu",
            type=int,
            choices=(0, 1),
            default=1,
            help="0: use the CPU; 1: use a GPU if there is one (default)",
        )
    command.add_argument("--output", nargs="+", required=True, help="file to write")
    command.add_argument(
        "--threads", type=_positive, help="use this many cores (default: all)"
    )


def _add_power(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "study", nargs="*", help="study file (YAML); default: config/studies/*.yaml"
    )
    command.add_argument(
        "--results", default="results", help="folder of results (default: results)"
    )
    command.add_argument(
        "--draws", type=_positive, default=200, help="runs per claim (default: 200)"
    )
    command.add_argument(
        "--seed", type=int, default=0, help="seed of these runs (default: 0)"
    )
    command.add_argument("--output", help="table (csv); default: RESULTS/power.csv")


def _add_cite(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "study", nargs="*", help="study file (YAML); default: all sources are printed"
    )
    command.add_argument(
        "--references",
        default="CITATION.cff",
        help="file of the sources; default: CITATION.cff",
    )


def _add_replicate(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "run", nargs="*", default=["core"], help="studies or groups; default: core"
    )
    command.add_argument(
        "--studies",
        default="config/studies",
        help="folder of study files; default: config/studies",
    )
    command.add_argument(
        "--results", default="results", help="folder of results (default: results)"
    )
    command.add_argument(
        "--seeds", type=_positive, default=5, help="number of replicates (default: 5)"
    )
    command.add_argument(
        "--cores", default="all", help="cores for Snakemake (default: all)"
    )


def _add_verify(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "study",
        nargs="*",
        help="study files (YAML), or names of studies or groups; default: all studies "
        "with verdicts",
    )
    command.add_argument(
        "--studies",
        default="config/studies",
        help="folder of study files; default: config/studies",
    )
    command.add_argument("--results", default="results", help="default: results")
    command.add_argument(
        "--input", nargs="*", default=[], help="claims.csv of each study file"
    )


def _add_explain(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "network",
        nargs="+",
        help="study file (YAML), or module:function with function(width, key, x) -> "
        "(apply, params)",
    )
    command.add_argument(
        "--shape", default="1", help="shape of a point, as 16,16,3 (default: 1)"
    )
    command.add_argument(
        "--width", type=_positive, default=16, help="width of the network (default: 16)"
    )


def _add_ask(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "network", help="FILE.py, or FILE.py:NAME for a function or class in it"
    )
    command.add_argument("data", help="table (csv) with a header")
    command.add_argument(
        "--target", nargs="+", required=True, help="column or columns to learn"
    )
    command.add_argument(
        "--minutes", type=float, default=10.0, help="time for everything (default: 10)"
    )
    command.add_argument(
        "--output", default="", help="folder to write (default: ask/NAME)"
    )
    command.add_argument(
        "--width", type=_positive, help="your width (default: that of the network)"
    )
    command.add_argument(
        "--cores", default="all", help="cores for Snakemake (default: all)"
    )


def _positive(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return int(text)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return 0, 1 (unexpected verdicts, failure) or 2 (bad input)."""
    early = argparse.ArgumentParser(add_help=False)
    early.add_argument("--threads")  # read before NumPy is imported
    early.add_argument("stage", nargs="?")
    first = early.parse_known_args(arguments)[0]
    # as the jobs whose time it estimates
    runtime.limit_threads("1" if first.stage == "ask" else first.threads)
    runtime.collect_less()
    options = parser().parse_args(arguments)
    logging.basicConfig(format="%(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("ntkpipe").setLevel(logging.INFO)
    # the lock is released when this process ends, also if it is killed
    gpu_lock = None
    if options.stage != "replicate":  # its jobs choose their devices
        gpu_lock = runtime.choose_device(getattr(options, "gpu", 0))
    runtime.configure_jax()

    from ntkpipe import artifacts, study, xla

    xla.set_flags()

    try:
        return _run(options)
    except study.StudyError as error:
        for fault in error.faults:
            print(f"ntkpipe: {fault}", file=sys.stderr)
    except (artifacts.ProductError, ValueError) as error:
        print(f"ntkpipe: {error}", file=sys.stderr)
    except OSError as error:
        print(f"ntkpipe: {error}", file=sys.stderr)
        return 1
    except (MemoryError, RuntimeError) as error:  # JAX raises RuntimeError
        if "RESOURCE_EXHAUSTED" not in str(error) and type(error) is not MemoryError:
            raise
        reason = " ".join(str(error).split())[:200]
        print(f"ntkpipe: not enough memory: {reason}", file=sys.stderr)
        return 1
    finally:
        del gpu_lock
    return 2


def _run(options: argparse.Namespace) -> int:
    from ntkpipe import study
    from ntkpipe.stages import STAGES
    from ntkpipe.stages.job import Job

    if options.stage == "schema":
        print(json.dumps(study.schema(), indent=2, ensure_ascii=False))
        return 0
    if options.stage == "power":
        from ntkpipe.stages.power import power

        output = options.output or f"{options.results}/power.csv"
        files = options.study or sorted(Path("config/studies").glob("*.yaml"))
        studies = study.load_files(files)
        return power(studies, options.results, output, options.draws, options.seed)
    if options.stage == "replicate":
        from ntkpipe.selection import select
        from ntkpipe.stages.replicate import replicate

        chosen, cores = select(options.studies, options.run), ["--cores", options.cores]
        return replicate(chosen, options.studies, options.results, options.seeds, cores)
    if options.stage == "explain":
        from ntkpipe.stages.explain import explain

        shape = tuple(map(_positive, options.shape.split(",")))
        return explain(options.network, shape, options.width)
    if options.stage == "ask":
        from ntkpipe.stages.ask import Request, ask

        words = {name: getattr(options, name) for name in Request._fields}
        return ask(Request(**words | {"target": tuple(options.target)}))
    if options.stage == "cite":
        from ntkpipe import citations

        sources = citations.load(options.references)
        studies = study.load_files(options.study)
        found = citations.cited(studies, sources) if studies else sources
        print(citations.bibtex(found))
        return 0
    if options.stage == "verify":
        return _verify(options)
    studies = study.load_files(options.study)
    if options.stage == "validate":
        for one in studies:
            jobs = len(list(one.jobs()))
            print(f"{one.name}: {jobs} trainings, {len(one.claims)} claims, ok")
            for program in one.programs():
                print(f"{one.name}: jobs will run {program} with your rights")
            for fault in one.lacking():
                print(f"{one.name}: {fault}")
        return 0
    stage = STAGES[options.stage]
    job = Job(
        stage,
        _place(options, studies[0]),
        _products(options.input),
        _products(options.output),
        tuple(studies),
        {name: getattr(options, name) for name in stage.options},
    )
    stage.run(job)
    return 0


def _verify(options: argparse.Namespace) -> int:
    from ntkpipe import study
    from ntkpipe.selection import ALL, CORE, select
    from ntkpipe.stages.verify import verify, verify_found

    words = options.study
    if options.input or any(word.endswith((".yaml", ".yml")) for word in words):
        studies = study.load_files(words)
        if options.input:
            return verify(studies, list(_products(options.input)))
        return verify_found(studies, options.results, [one.name for one in studies])
    found = select(options.studies, words or [ALL])
    asked = select(options.studies, words or [CORE])
    return verify_found(found.values(), options.results, asked)


def _products(paths: list[str]) -> tuple[str, ...]:
    """The paths without the records of tables, which `artifacts` reads and writes."""
    from ntkpipe import artifacts

    return tuple(path for path in paths if not artifacts.is_record(path))


def _place(options: argparse.Namespace, one: Study) -> Place:
    """The place that the options name; raise `StudyError` if there is none."""
    from ntkpipe.stages import Place
    from ntkpipe.study import StudyError

    asked = vars(options)
    variant, width = asked.get("variant", ""), asked.get("width", 0)
    at = Place(one, variant, width, asked.get("name", ""))
    if "variant" in asked and variant not in one.variants:
        there = ", ".join(one.variants)
        raise StudyError([f"--variant: no variant {variant!r}: there are {there}"])
    if "width" in asked and width not in at.experiment.widths:
        there = ", ".join(map(str, at.experiment.widths))
        raise StudyError([f"--width: no width {width}: there are {there}"])
    if "name" in asked:
        one.figure(at.figure)  # raises `StudyError` if there is none
    return at
