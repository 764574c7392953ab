"""Which studies are run: words that name a study, a group of studies, or all."""

import difflib
from collections.abc import Iterable
from pathlib import Path

from ntkpipe.study import Study, StudyError, load_files, read_yaml

ALL, CORE = "all", "core"


def select(folder: str | Path, words: str | Iterable[str]) -> dict[str, Study]:
    """The studies of a folder that words name, in the order of the page.

    A word is the name of a study, its `group`, or `all`. All faults are raised at once.
    """
    files = {path.stem: path for path in sorted(Path(folder).glob("*.yaml"))}
    if not files:
        raise StudyError([f"run: there is no study file in {folder}"])
    groups: dict[str, list[str]] = {ALL: list(files)}
    words = [words] if isinstance(words, str) else [*words]
    if not {*words} <= files.keys() | groups.keys():
        for name, path in files.items():
            groups.setdefault(_group(path), []).append(name)
    names, faults = {}, []  # a set that keeps its order
    for word in words:
        if word in files:
            names[word] = None
        elif word in groups:
            names |= dict.fromkeys(groups[word])
        else:
            faults.append(_unknown(str(word), folder, [*files], [*groups]))
    studies: list[Study] = []
    try:
        studies = load_files(files[name] for name in names)
    except StudyError as error:
        faults += error.faults
    if faults:
        raise StudyError(faults)
    studies.sort(key=lambda one: (one.order is None, one.order, one.name))
    return {study.name: study for study in studies}


def _group(path: Path) -> str:
    """The group that a study file says, whatever else is wrong with the file."""
    try:
        values = read_yaml(path)
    except StudyError:
        return CORE  # where its faults are raised
    return str(values.get("group", CORE)) if isinstance(values, dict) else CORE


def _unknown(word: str, folder: str | Path, names: list[str], groups: list[str]) -> str:
    near = difflib.get_close_matches(word, names + groups, 1)
    there = f"the studies {', '.join(names)} and the groups {', '.join(groups)}"
    hint = f"did you mean {near[0]}?" if near else f"there are {there}"
    return f"run: no study or group {word!r} in {folder}; {hint}"
