"""A study: one YAML file of data, models, training, claims and figures.

The file holds one experiment. Each of its `variants` lists the keys in which another
experiment differs. All faults of a file are reported at once, each with its key.
"""

import dataclasses
import functools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeGuard

import pydantic

from ntkpipe.claims import Claim
from ntkpipe.experiment import Experiment
from ntkpipe.figures import Figure, default
from ntkpipe.section import COLLECT, Fault, faults_within
from ntkpipe.study.faults import (
    BASE,
    StudyError,
    is_another_kind,
    names,
    of_pydantic,
    once,
    placed,
    unshown,
)
from ntkpipe.study.loader import document, read_text, read_yaml
from ntkpipe.study.schema import schema
from ntkpipe.study.study import STUDY, Study, between
from ntkpipe.training.losses import of_word

__all__ = [
    "Study",
    "StudyError",
    "load",
    "load_files",
    "parse",
    "read_yaml",
    "schema",
]

_EXPERIMENT = {field.name for field in dataclasses.fields(Experiment)}
_GIVEN = ("name", "text")  # fields of `Study` that come from the file, not from keys
# built only when a study has faults
_adapter = functools.cache(pydantic.TypeAdapter)
_names = functools.cache(lambda: names(STUDY.json_schema()))


def load(path: str | Path) -> Study:
    """Read a study file, or raise a `StudyError` with all its faults."""
    return parse(read_text(path), path)


def load_files(paths: Iterable[str | Path]) -> list[Study]:
    """Read several study files, or raise a `StudyError` with all their faults."""
    studies: list[Study] = []
    faults: list[Fault] = []
    for path in paths:
        try:
            studies.append(load(path))
        except StudyError as error:
            faults += error.faults
    if faults:
        raise StudyError(faults)
    return studies


def parse(text: str, path: str | Path) -> Study:
    """The study in a text; `path` gives its name and is part of each fault."""
    path = Path(path)
    file = document(text, path)
    raw = file.values
    if not isinstance(raw, dict):
        fault = Fault((), "a study file is a mapping of keys to values", str(path))
        raise StudyError([fault])
    faults = [
        Fault((key,), "unknown key (the name of the file is the name of the study)")
        for key in _GIVEN
        if key in raw
    ]
    changes = raw.get("variants", {BASE: {}})
    if not _is_mapping_of_mappings(changes):
        changes = {BASE: {}}
        text_ = "expected a mapping of variants to the keys that they change"
        faults.append(Fault(("variants",), text_))
    changes = {str(name): change or {} for name, change in changes.items()}
    base = {key: value for key, value in raw.items() if key in _EXPERIMENT}
    whole = {
        **{key: value for key, value in raw.items() if key not in _EXPERIMENT},
        "name": path.stem,
        "text": text,
        "variants": {name: _merge(base, change) for name, change in changes.items()},
    }
    faults += unshown(raw)
    faults += _located(whole["variants"], str(path.parent))
    try:
        # strict JSON mode: lists become tuples; "3" and true are not taken as numbers
        study = STUDY.validate_json(json.dumps(whole), context=COLLECT)
    except pydantic.ValidationError as error:
        faults += of_pydantic(error, whole, _names())
        faults += _between_keys(whole, error)
    else:
        faults += faults_within(study)
    if faults:
        faults = once(faults, base, changes)
        raise StudyError(placed(faults, str(path), file.lines(), raw))
    if "figures" not in raw:
        study = dataclasses.replace(study, figures=default.figures(study.variants))
    return study


def _between_keys(
    whole: dict[str, Any], error: pydantic.ValidationError
) -> Iterator[Fault]:
    """Faults between keys, in the parts of a study that could be read."""
    faulty = {tuple(map(str, one["loc"][:2])) for one in error.errors()}

    def sound(kind: Any, section: str, parts: Iterable[tuple]) -> dict:
        return {
            name: _adapter(kind).validate_json(json.dumps(part), context=COLLECT)
            for name, part in parts
            if (section, str(name)) not in faulty
        }

    def items(section: str) -> Iterable[tuple]:
        listed = whole.get(section, [])
        return enumerate(listed) if isinstance(listed, list) else ()

    variants = sound(Experiment, "variants", whole["variants"].items())
    claims = sound(Claim, "claims", items("claims"))
    figures = sound(Figure, "figures", items("figures"))
    parts = {"variants": variants, "claims": claims, "figures": figures}
    yield from faults_within(parts)
    yield from between(whole["variants"], variants, claims, figures)


def _located(variants: dict[str, Any], folder: str) -> Iterator[Fault]:
    """Tell users' functions where the study file lies; no file may say so."""
    for name, experiment in variants.items():
        model, training = experiment.get("model"), experiment.get("training")
        if _is_users(model):
            yield from _without_folder(model, "variants", name, "model")
            experiment["model"] = model | {"folder": folder}
        if not isinstance(training, dict):
            continue
        loss = of_word(training.get("loss"))
        if _is_users(loss):
            yield from _without_folder(loss, "variants", name, "training", "loss")
            # a new mapping, because variants may share this one
            experiment["training"] = training | {"loss": loss | {"folder": folder}}


def _is_users(section: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(section, dict) and section.get("kind") == "python"


def _without_folder(section: dict[str, Any], *keys: str) -> Iterator[Fault]:
    if "folder" in section:
        yield Fault((*keys, "folder"), "unknown key")


def _is_mapping_of_mappings(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(v, dict) or v is None for v in value.values())
    )


def _merge(base: Any, change: Any) -> Any:
    """`base` updated by `change`, key by key; another `kind` replaces the mapping."""
    if not (isinstance(base, dict) and isinstance(change, dict)):
        return change
    if is_another_kind(base, change):
        return change
    merged = dict(base)
    for key, value in change.items():
        # a mapping of seeds or files by width is one value, not a section
        if key in merged and key not in ("seeds", "of"):
            value = _merge(merged[key], value)
        merged[key] = value
    return merged
