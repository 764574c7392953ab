"""Select studies by the words in `run:`: names of studies, groups, or `all`."""

import logging
from collections.abc import Iterable
from pathlib import Path

from ntkpipe.section import Fault, did_you_mean
from ntkpipe.study import Study, StudyError, load_files, read_yaml

log = logging.getLogger("ntkpipe")
ALL, CORE = "all", "core"


def select(folder: str | Path, words: str | Iterable[str]) -> dict[str, Study]:
    """The studies in a folder that the words select, in the order of the result page.

    A word is the name of a study, its `group`, or `all`. All faults are raised at once.
    A study that needs a package which is not installed is a fault if it is named, or if
    no other study is left; else it is left out with a warning.
    """
    files = {path.stem: path for path in sorted(Path(folder).glob("*.yaml"))}
    if not files:
        raise StudyError([f"run: no study file (*.yaml) in {folder}"])
    groups: dict[str, list[str]] = {ALL: list(files)}
    words = [words] if isinstance(words, str) else [*words]
    if not {*words} <= files.keys() | groups.keys():
        for name, path in files.items():
            groups.setdefault(_group(path), []).append(name)
    members = groups | {name: [name] for name in files}
    names = dict.fromkeys(name for word in words for name in members.get(word, ()))
    faults: list[str | Fault] = [
        _unknown(str(word), folder, [*files], [*groups])
        for word in words
        if word not in members
    ]
    studies: list[Study] = []
    try:
        studies = load_files(files[name] for name in names)
    except StudyError as error:
        faults += error.faults
    lacking = {s.name: [f._replace(file=s.name) for f in s.lacking()] for s in studies}
    found = [study for study in studies if not lacking[study.name]]
    for name, its in lacking.items():
        if name in words or not found:
            faults += its
        else:
            for fault in its:
                log.warning("left out: %s", fault)
    if faults:
        raise StudyError(faults)
    return {study.name: study for study in in_order(found)}


def in_order(studies: Iterable[Study]) -> list[Study]:
    """The studies in the order of the result page: by `order`, then by name."""
    return sorted(studies, key=lambda one: (one.order is None, one.order, one.name))


def _group(path: Path) -> str:
    """The group of a study file, even if the file has other faults."""
    try:
        values = read_yaml(path)
    except StudyError:
        return CORE  # loading the file raises its faults
    return str(values.get("group", CORE)) if isinstance(values, dict) else CORE


def _unknown(word: str, folder: str | Path, names: list[str], groups: list[str]) -> str:
    there = f"the studies {', '.join(names)} and the groups {', '.join(groups)}"
    hint = did_you_mean(word, [*names, *groups]) or f"; there are {there}"
    return f"run: no study or group {word!r} in {folder}{hint}"
