"""From the words in `run:` to studies: a word names a study, a group, or `all`."""

import difflib
from collections.abc import Iterable
from pathlib import Path

from ntkpipe.study import Study, StudyError, load_files, read_yaml

ALL, CORE = "all", "core"


def select(folder: str | Path, words: str | Iterable[str]) -> dict[str, Study]:
    """The studies in a folder that the words select, in the order of the page.

    A word is the name of a study, its `group`, or `all`. All faults are raised at once.
    """
    files = {path.stem: path for path in sorted(Path(folder).glob("*.yaml"))}
    if not files:
        raise StudyError([f"run: no study file (*.yaml) in {folder}"])
    groups: dict[str, list[str]] = {ALL: list(files)}
    words = [words] if isinstance(words, str) else [*words]
    if not {*words} <= files.keys() | groups.keys():
        for name, path in files.items():
            groups.setdefault(_group(path), []).append(name)
    names, faults = {}, []  # `names` is used as an ordered set
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
    """The group of a study file, even if the file has other faults."""
    try:
        values = read_yaml(path)
    except StudyError:
        return CORE  # loading the file raises its faults
    return str(values.get("group", CORE)) if isinstance(values, dict) else CORE


def _unknown(word: str, folder: str | Path, names: list[str], groups: list[str]) -> str:
    near = difflib.get_close_matches(word, names + groups, 1)
    there = f"the studies {', '.join(names)} and the groups {', '.join(groups)}"
    hint = f"did you mean {near[0]}?" if near else f"there are {there}"
    return f"run: no study or group {word!r} in {folder}; {hint}"
