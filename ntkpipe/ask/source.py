"""A user's network in the folder of its study: copied, wrapped, and its width."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from ntkpipe.ask import wrap
from ntkpipe.ask.wrap import Found
from ntkpipe.models.python import Python
from ntkpipe.section import made
from ntkpipe.users.function import missing_packages, needs_package
from ntkpipe.users.run import UsersCode, imported

WIDTH = 256
"""The user's width, if neither the network nor the user states one."""
BUILD = "build.py"
"""Name of the wrapper's file."""
UNSTATED = "none is stated: see --width"


class Source(NamedTuple):
    """The network in the folder of the study."""

    file: Path
    """The user's own file."""
    found: Found
    folder: Path
    model: Python
    width: int
    """The user's width."""
    has_width: bool
    words: str
    """What the width is, and what the network is."""


def prepare(
    file: Path, found: Found, folder: Path, outputs: int, width: int | None
) -> Source:
    """Copy the user's file and what it imports; write a wrapper for a class.

    Args:
        file: the user's file.
        found: the function or class in it.
        folder: of the study.
        outputs: number of outputs.
        width: the user's width, if stated.

    Raises:
        ValueError: the class can't be built.
        UsersError: the import fails.
    """
    if file.name == BUILD and found.kind != "function":
        raise ValueError(
            f"{file}: {BUILD} is the name of the wrapper: rename your file"
        )
    folder.mkdir(parents=True, exist_ok=True)
    copy = wrap.copied(file, folder)
    for name, importer in missing_packages(copy).items():
        raise ValueError(f"{importer.name} {needs_package(name)}")
    own = {"kind": "python", "folder": str(folder), "file": file.name}
    if found.kind == "function":
        model = made(Python, **own, function=found.name)
        why = "--width" if width else UNSTATED
        words = f"{width or WIDTH}, the argument width of {found.name} ({why})"
        return Source(file, found, folder, model, width or WIDTH, True, words)
    return _of_class(file, found, folder, copy, outputs, width)


def _of_class(
    file: Path, found: Found, folder: Path, copy: Path, outputs: int, width: int | None
) -> Source:
    """The wrapper of a class, whose arguments are read from the imported class."""
    place = f"{file}, line {found.line}: {found.name}"
    named: Any = SimpleNamespace(function=found.name, settings={}, code_file=copy)
    with UsersCode(named).told(f"the import of {file.name}"):
        network = getattr(imported(copy), found.name)
    kind = found.kind or wrap.kind_of(network)
    if not kind:
        raise ValueError(f"{place} is no network of Flax Linen, Flax NNX or Equinox")
    how = wrap.arguments(network, kind, place)
    size = width or how.default or WIDTH
    words = f"no argument of {found.name} is a width"
    if how.width:
        why = "--width" if width else ("its default" if how.default else UNSTATED)
        words = f"{size}, the argument {how.width} of {found.name} ({why})"
    text = wrap.wrapper(file.name, found.name, kind, how, size, outputs)
    (folder / BUILD).write_text(text, encoding="utf-8")
    model = made(
        Python,
        **{"kind": "python", "file": BUILD, "function": "build", "folder": str(folder)},
        settings={"outputs": outputs},
    )
    return Source(file, found, folder, model, size, bool(how.width), words)


def scaled(source: Source, exponent: float) -> Python:
    """The network with learning rates that fall as width^−exponent."""
    if not exponent:
        return source.model
    model = source.model
    if source.found.kind == "function":
        text = wrap.slowed(source.file.name, source.found.name, source.width)
        (source.folder / BUILD).write_text(text, encoding="utf-8")
        model = replace(model, file=BUILD, function="build")
    return replace(model, settings={**model.settings, "exponent": exponent})


def in_users_file(text: str, source_file: Path, found: Found, folder: Path) -> str:
    """A message with the user's file in the place of its copy, or of the wrapper."""
    near = os.path.relpath(folder / BUILD)
    place = f"{source_file}, line {found.line}"
    text = re.sub(rf"{re.escape(near)}, line \d+", lambda _: place, text)
    return text.replace(os.path.relpath(folder / source_file.name), str(source_file))
