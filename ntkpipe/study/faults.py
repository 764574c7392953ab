"""Faults of a study file as data: from pydantic's errors to keys, lines and texts."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import pydantic
from pydantic_core import ErrorDetails

from ntkpipe.section import Fault, did_you_mean

MOST_FAULTS = 30  # reported at once
MOST_ERRORS = 1000  # pydantic's errors that are converted; this takes about a second
BASE = "base"
CONTROL = ("claims", "control")  # `nature: control` replaced `control: true`
# characters that XML does not allow, and control characters of terminals
_UNSHOWN = re.compile(r"[^\t\n -~\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class StudyError(Exception):
    """A study file has faults; the message has one line for each."""

    def __init__(self, faults: Iterable[Fault | str]):
        self.faults = tuple(
            Fault((), fault) if isinstance(fault, str) else fault for fault in faults
        )
        super().__init__("\n".join(map(str, self.faults)))


class Names(NamedTuple):
    """Names in a JSON schema."""

    keys: set[str]
    """Keys of all sections."""
    choices: set[str]
    """Pydantic's names for members of a union in the location of an error."""


def names(schema: dict[str, Any]) -> Names:
    """The names in the JSON schema of a study."""
    found = Names(set(), {"int", "constrained-int", "float", "[key]"})
    for definition in [schema, *schema["$defs"].values()]:
        properties = definition.get("properties", {})
        found.keys.update(properties)
        if "const" in (kind := properties.get("kind", {})):
            found.choices.add(kind["const"])
    return found


def of_pydantic(
    error: pydantic.ValidationError, raw: dict[str, Any], known: Names
) -> Iterator[Fault]:
    """Pydantic's errors of a study as faults.

    Args:
        error: what pydantic raised.
        raw: the refused study, with all keys of each variant.
        known: the names in the study's schema.
    """
    for one in error.errors(include_url=False)[:MOST_ERRORS]:
        key = _key(one["loc"], raw, known.choices)
        if one["type"] == "union_tag_invalid":
            key = (*key, "kind")
        yield Fault(key, _text(one, key, known.keys))


def _key(location: tuple, raw: Any, choices: set[str]) -> tuple[str, ...]:
    """The keys in the location of an error, without the members of unions."""
    key = []
    for index, part in enumerate(location):
        known = isinstance(raw, (dict, list)) and (
            part in raw if isinstance(raw, dict) else part in range(len(raw))
        )
        if known:
            raw = raw[part]
        elif index < len(location) - 1 or part in choices:
            continue
        key.append(str(part))
    return tuple(key)


def _text(error: ErrorDetails, key: tuple[str, ...], keys: set[str]) -> str:
    """The text of an error: what is wrong, the value, and the nearest valid name."""
    value, context = error.get("input"), error.get("ctx", {})
    match error["type"]:
        case "unexpected_keyword_argument" if (key[0], key[-1]) == CONTROL:
            return "is no longer a key: write `nature: control`"
        case "unexpected_keyword_argument" if key[-1] in keys:
            return "unknown key here; it belongs to another section"
        case "unexpected_keyword_argument":
            return "unknown key" + did_you_mean(key[-1], keys, 0.7)
        case "missing":
            return "is missing"
        case "union_tag_not_found":
            return "needs a `kind`"
        case "union_tag_invalid":
            kinds = context["expected_tags"]
            near = did_you_mean(str(context["tag"]), kinds.split("'")[1::2])
            return f"no kind {_shown(context['tag'])}: there are {kinds}{near}"
        case "value_error":
            return str(context["error"])
    text = error["msg"]
    if not isinstance(value, (dict, list)):
        text += f", not {_shown(value)}"
    if error["type"] == "literal_error" and isinstance(value, str):
        text += did_you_mean(value, context["expected"].split("'")[1::2])
    return text


def _shown(value: Any) -> str:
    """A value of the file, shortened."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def unshown(raw: Any) -> Iterator[Fault]:
    """Faults of texts with characters that a page or a picture can't show."""
    todo: list[tuple[tuple[str, ...], Any]] = [((), raw)]
    for place, value in todo:  # the list grows in the loop
        if isinstance(value, (dict, list)):
            items = value.items() if isinstance(value, dict) else enumerate(value)
            todo += [((*place, str(key)), part) for key, part in items]
        elif isinstance(value, str) and (found := _UNSHOWN.search(value)):
            text = f"has the character U+{ord(found[0]):04X}, which can't be shown"
            yield Fault(place, text)


def once(
    faults: Iterable[Fault], base: dict[str, Any], changes: dict[str, Any]
) -> list[Fault]:
    """Each fault once: a fault at the top is not repeated for each variant.

    A fault is at the top if all variants that inherit its key have the fault.

    Args:
        faults: faults of a study that has all keys in each variant.
        base: the experiment at the top of the file.
        changes: the keys that each variant changes.
    """
    having: dict[Fault, set[str]] = {}  # fault, with the key at the top → variants
    for fault in faults:
        inside = fault.key[:1] == ("variants",) and len(fault.key) > 2
        top = fault._replace(key=fault.key[2:]) if inside else fault
        having.setdefault(top, set()).update(fault.key[1:2] if inside else ())
    found: dict[Fault, None] = {}  # a set that keeps its order
    for top, variants in having.items():
        inherit = {v for v, c in changes.items() if _inherits(top.key, base, c)}
        if variants in (set(), inherit):
            found[top] = None
            continue
        for variant in sorted(variants):
            found[top.within("variants", variant)] = None
    return list(found)


def is_another_kind(base: dict[str, Any], change: dict[str, Any]) -> bool:
    """Whether a change has another `kind`, so that it replaces the whole section."""
    return "kind" in change and change["kind"] != base.get("kind", change["kind"])


def _inherits(key: tuple[str, ...], base: Any, change: Any) -> bool:
    """Whether a variant inherits a key, or its missing section, from the top."""
    for depth, part in enumerate(key):
        if not (isinstance(change, dict) and part in change):
            return depth == 0 or isinstance(base, dict)
        if depth and isinstance(base, dict) and is_another_kind(base, change):
            return False
        change = change[part]
        base = base.get(part) if isinstance(base, dict) else None
    return False


def placed(
    faults: list[Fault],
    file: str,
    lines: dict[tuple[str, ...], int],
    raw: dict[str, Any],
) -> list[Fault]:
    """Faults with file and line; keys name claims and figures instead of numbers."""
    result = sorted(
        (
            fault._replace(
                key=_named(fault.key, raw), file=file, line=_line(fault.key, lines)
            )
            for fault in faults
        ),
        key=lambda fault: fault.line,
    )
    if len(result) > MOST_FAULTS:
        result[MOST_FAULTS - 1 :] = [Fault((), "… and more", file)]
    return result


def _line(key: tuple[str, ...], lines: dict[tuple[str, ...], int]) -> int:
    """The line of a key, or of the innermost section around it; 0 if there is none."""
    top = key[2:] if key[:1] == ("variants",) else key
    own = [key[:n] for n in range(len(key), len(key) - len(top), -1)]
    around = [top[:n] for n in range(len(top), 0, -1)]
    for place in (*own, *around, key[:2]):
        if place in lines:
            return lines[place]
    return 0


def _named(key: tuple[str, ...], raw: dict[str, Any]) -> tuple[str, ...]:
    """The key with the id of a claim, or the name of a figure, instead of a number."""
    match key:
        case (("claims" | "figures") as what, number, *rest) if number.isdecimal():
            items = raw.get(what)
            item = items[int(number)] if isinstance(items, list) else None
            name = item.get("id", item.get("name")) if isinstance(item, dict) else None
            return (what, name, *rest) if isinstance(name, str) and name else key
    return key
