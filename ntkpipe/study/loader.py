"""Read study files: YAML 1.2 without aliases, tags and repeated keys; with lines."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import yaml

try:
    from yaml import CSafeLoader as SafeLoader
except ImportError:  # PyYAML without libyaml, several times slower
    from yaml import SafeLoader

from ntkpipe.section import Fault
from ntkpipe.study.faults import StudyError

LARGEST_FILE = 2**18  # bytes; reading them takes about a second
DEEPEST = 50  # mappings and lists within each other


class Document(NamedTuple):
    """The values of a YAML file, and its nodes."""

    values: Any
    node: yaml.Node | None

    def lines(self) -> dict[tuple[str, ...], int]:
        """The line of each key and of each item of a list."""
        found: dict[tuple[str, ...], int] = {}
        todo: list[tuple[tuple[str, ...], yaml.Node | None]] = [((), self.node)]
        for place, node in todo:  # the list grows in the loop
            parts: Iterable[tuple[str, yaml.Node, yaml.Node]] = ()
            if isinstance(node, yaml.MappingNode):
                parts = ((str(key.value), key, value) for key, value in node.value)
            elif isinstance(node, yaml.SequenceNode):
                parts = ((str(i), item, item) for i, item in enumerate(node.value))
            for name, at, part in parts:
                found[*place, name] = at.start_mark.line + 1
                todo.append(((*place, name), part))
        return found


def read_yaml(path: str | Path) -> Any:
    """The values in a YAML file, or raise a `StudyError`."""
    return document(read_text(path), path).values


def read_text(path: str | Path) -> str:
    """The text of a file; raise a `StudyError` if it is too large or unreadable."""
    try:
        if Path(path).stat().st_size > LARGEST_FILE:
            text = "larger than 256 kB, the limit for a study file"
            raise StudyError([Fault((), text, str(path))])
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError([Fault((), f"can't be read: {error}", str(path))]) from error


def document(text: str, path: str | Path) -> Document:
    """The values in a text, or raise a `StudyError` whose fault names `path`."""
    try:
        _check_events(text)
        loader = _Loader(text)
        node = loader.get_single_node()
        values = None if node is None else loader.construct_document(node)
        json.dumps(values, ensure_ascii=False).encode()  # refuse unpaired surrogates
    except (yaml.YAMLError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        fault = Fault((), f"not readable as YAML: {reason}", str(path))
        raise StudyError([fault]) from error
    return Document(values, node)


def _check_events(text: str) -> None:
    """Raise `YAMLError` at an alias, at a tag, and where the text is too deep."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        unwanted = ""
        if isinstance(event, yaml.AliasEvent):
            unwanted = "aliases (*name) are not allowed"
        elif tag := getattr(event, "tag", None):
            name = tag.replace("tag:yaml.org,2002:", "!!")
            unwanted = f"tags ({name[:50]}) are not allowed"
        elif isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            unwanted = "nested too deeply" if depth > DEEPEST else ""
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if unwanted:
            raise yaml.MarkedYAMLError(problem=unwanted, problem_mark=event.start_mark)


class _Loader(SafeLoader):
    """Scalars of YAML 1.2 (1e-3 is a number, `no` is text); no key twice."""

    yaml_implicit_resolvers: dict = {}  # noqa: RUF012

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            named = isinstance(key, (str, int)) and not isinstance(key, bool)
            if not named or str(key) in seen:
                wrong = "is given twice" if named else "is not a name"
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key!r} {wrong}",
                    problem_mark=key_node.start_mark,
                )
            seen.add(str(key))  # 2 and "2" are the same name
        return super().construct_mapping(node, deep)


for _tag, _pattern, _first in (
    ("bool", r"true|false", "tf"),
    ("int", r"[-+]?(0|[1-9][0-9]{0,17})", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan",
        "-+.0123456789",
    ),
    ("null", r"null|~|", ["n", "~", ""]),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first)
    )
