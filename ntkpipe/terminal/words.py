"""The words of `./run`, and the arguments of Snakemake that they stand for.

All functions are pure but for reading study files. `command` runs what they return.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

from ntkpipe.section import did_you_mean

TABLE = (
    ("./run", "runs the default studies (group `core`) on all cores"),
    (
        "./run quick",
        "runs two short studies of a kernel that stays constant, about a minute on two "
        "cores",
    ),
    ("./run plan", "prints what would run and what it costs, and runs nothing"),
    ("./run width", "runs one study, here `width`; several words run several studies"),
    (
        "./run jacot",
        "runs the three long studies of Jacot et al.'s figures: `jacot_kernel`, "
        "`gaussian_limit`, `principal_components`",
    ),
    (
        "./run images",
        "runs the studies of networks that learn images: `digits`, `labels`",
    ),
    (
        "./run later",
        "runs the studies of later papers: `overparametrized`, `frequencies`, "
        "`finite_width`, `feature_learning`",
    ),
    (
        "EXTRAS=networks ./run architectures",
        "runs the studies of a transformer and of a residual network in Flax and "
        "Equinox, which it first installs",
    ),
    (
        "./run all",
        "runs every study in `config/studies` whose packages are installed",
    ),
    (
        "./run figure width/review",
        "makes one figure and the files that it needs",
    ),
    ("./run open", "opens the page of all studies in the browser"),
    (
        "./run verify",
        "judges the verdicts that are there and lists those that are not as expected; "
        "fails if there are any. `--run` first computes what is missing",
    ),
    (
        "./run replicate all",
        "repeats the studies with the seeds 1001 to 1005 and lists the verdicts that "
        "differ",
    ),
    (
        "./run ask my_network.py data.csv --target y",
        "says whether your own network is lazy on your own table",
    ),
    ("./run test -k kernel", "runs some of the tests"),
    (
        "./run --configfile config/paper.yaml",
        "runs the studies at the papers' printed widths, for a large GPU",
    ),
    ("CORES=2 ./run", "uses two cores"),
    ("./run --dry-run", "lists the jobs, then the cost of each study"),
    ("./run -p", "shows the messages of Snakemake and the commands of its jobs"),
    ("./run help", "prints this table; `./run -- --help` prints the help of Snakemake"),
    (
        ".venv/bin/python -m ntkpipe validate config/studies/*.yaml",
        "checks study files without running them",
    ),
    (
        ".venv/bin/python -m ntkpipe explain config/studies/*.yaml",
        "lists how each parameter of the networks enters the kernel",
    ),
    (
        ".venv/bin/python -m ntkpipe power",
        "computes the probability that each verdict is the same with other networks",
    ),
    (
        ".venv/bin/python -m ntkpipe --help",
        "lists the stages; each is a command",
    ),
)
"""Commands, and what each does: the table of README.md and of `./run help`."""

VERBS = tuple("ask figure help open plan quick replicate study test verify".split())
QUICK = ("blog_kernel", "constancy")
"""The studies of `./run quick`."""
CONFIG = "config/config.yaml"
RESULTS = "results"
PAIRS = tuple(
    "--default-resources --groups --res --resources --set-resource-scopes "
    "--set-resources --set-scatter --set-threads".split()
)
"""Options whose values are NAME=VALUE, so that a word without `=` is a target."""
SETTINGS = ("--config", "-C")
FILES = ("--configfile", "--configfiles")


class WordError(ValueError):
    """A word of the command line can't be understood."""


class Split(NamedTuple):
    """Arguments of Snakemake, in parts."""

    options: list[str]
    settings: list[str]
    """The NAME=VALUE of `--config`."""
    files: list[str]
    """The files of `--configfile`."""
    targets: list[str]
    """Targets that an option before them would take for its values."""


def help_text(columns: int) -> str:
    """The table of commands, wrapped to the columns of the terminal."""
    import textwrap

    lines = []
    for command, does in TABLE:
        wrapped = textwrap.wrap(does.replace("`", ""), max(30, columns - 6))
        lines += [f"  {command}", *(f"      {line}" for line in wrapped)]
    return "\n".join([*lines, "", "All other arguments go to Snakemake."])


def split(words: Iterable[str]) -> Split:
    """Separate targets from the values of options.

    Snakemake takes all words after `--config` for values, also a target.
    """
    parts = Split([], [], [], [])
    option = ""
    for word in words:
        if word.startswith("-") and word != "-":
            option = word.partition("=")[0]
            if option in SETTINGS and "=" in word:
                parts.settings.append(word.partition("=")[2])
            elif option not in SETTINGS:
                parts.options.append(word)
        elif option in SETTINGS:
            (parts.settings if "=" in word else parts.targets).append(word)
        elif option in PAIRS and "=" not in word:
            parts.targets.append(word)
        elif option in FILES and Path(word).suffix in (".yaml", ".yml", ".json"):
            parts.options.append(word)
            parts.files.append(word)
        elif option in FILES:
            parts.targets.append(word)
        else:
            parts.options.append(word)
    return parts


def studies_folder(parts: Split) -> Path:
    """The folder of study files that the arguments or config.yaml name."""
    for setting in reversed(parts.settings):
        name, _, value = setting.partition("=")
        if name == "studies":
            return Path(value)
    for file in (*reversed(parts.files), CONFIG):
        try:
            values = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError):
            continue  # Snakemake says what is wrong
        if isinstance(values, Mapping) and values.get("studies"):
            return Path(str(values["studies"]))
    return Path("config/studies")


def groups(folder: Path) -> dict[str, str]:
    """The group of each study in a folder, by the name of the study."""
    found = {}
    for path in sorted(folder.glob("*.yaml")):
        group = re.search(r"^group:\s*([\w-]+)", path.read_text("utf-8"), re.M)
        found[path.stem] = group[1] if group else "core"
    return found


def is_name(word: str) -> bool:
    """Whether a word may name a study or a command; targets have a slash or a dot."""
    return re.fullmatch(r"[A-Za-z0-9_][\w-]*", word) is not None


def arguments(words: Sequence[str]) -> list[str]:
    """The arguments of Snakemake for the words of `./run`.

    Raises:
        WordError: a word is no command, study, group or figure.
    """
    words, before = list(words), []
    if words[:1] == ["--"]:
        return words[1:]
    if words[:1] == ["plan"]:
        before, words = ["--dry-run", "--quiet"], words[1:]
    verb = words[0] if words and words[0] in ("quick", "study", "figure") else ""
    rest = words[1:] if verb else words
    count = next((i for i, w in enumerate(rest) if w.startswith("-")), len(rest))
    parts = split(rest[count:])
    folder = studies_folder(parts)
    names, targets = list(rest[:count]), parts.targets
    if verb == "quick":
        run = [*QUICK, *names]
    elif verb == "figure":
        figures = [figure(name, folder) for name in names]
        if not figures:
            raise WordError("figure needs STUDY/NAME, for example width/review")
        run = [study for study, _ in figures]
        targets = [*(path for _, path in figures), *targets]
    else:
        run = [name for name in names if is_name(name)]
        targets = [*(name for name in names if not is_name(name)), *targets]
    if verb == "study" and not run:
        raise WordError(f"study needs a name{_there(folder)}")
    if verb != "figure":
        _check(run, folder, [] if verb == "study" else [*VERBS])
    if not run and not any(s.startswith("run=") for s in parts.settings):
        run = studies_of([*targets, *parts.options], folder)
    settings = [*parts.settings, *([f"run={run}"] if run else [])]
    return [
        *before,
        *parts.options,
        *(["--config", *settings] if settings else []),
        *(["--", *targets] if targets else []),
    ]


def _check(names: Iterable[str], folder: Path, verbs: list[str]) -> None:
    """Raise unless every name is a study or, if there are verbs, a group."""
    of = groups(folder)
    known = {*of} | ({*of.values(), "all", "core"} if verbs else set())
    what = "command, study or group" if verbs else "study"
    for name in names:
        if name not in known:
            near = did_you_mean(name, sorted({*known, *verbs}))
            raise WordError(f"no {what} {name!r}{near or _there(folder)}")


def _there(folder: Path) -> str:
    return f"; the studies are {', '.join(groups(folder)) or 'none'}"


def figure(word: str, folder: Path) -> tuple[str, str]:
    """The study and the path of a figure, from STUDY/NAME.

    Raises:
        WordError: there is no such study or figure.
    """
    name, _, stem = word.partition("/")
    stem = stem.removeprefix("figures/").partition(".")[0]
    _check([name], folder, [])
    if not stem:
        raise WordError(f"figure needs STUDY/NAME, for example {name}/NAME")
    from ntkpipe.stages.figure import is_animated
    from ntkpipe.study import load
    from ntkpipe.terminal.misses import no_figure

    study = load(folder / f"{name}.yaml")
    for one in study.figures:
        if one.name == stem:
            ending = "gif" if is_animated(one) else "svg"
            return name, f"{RESULTS}/{name}/figures/{stem}.{ending}"
    raise WordError(no_figure(study, stem))


def studies_of(words: Iterable[str], folder: Path) -> list[str]:
    """The studies to which targets in the folder of results belong."""
    found = (re.match(rf"{RESULTS}/([\w-]+)/", word) for word in words)
    names = dict.fromkeys(one[1] for one in found if one)
    return [name for name in names if (folder / f"{name}.yaml").exists()]
