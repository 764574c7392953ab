"""What is said of a target that no rule makes: what there is in its place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath

from ntkpipe.section import did_you_mean
from ntkpipe.stages.figure import endings
from ntkpipe.study import Study

TARGET = re.compile(r"No rule to produce (.+?) \(if you use input functions")
"""Snakemake's message about a target that no rule makes."""


def miss(target: str, studies: Mapping[str, Study], results: str) -> str:
    """A sentence about a file that is not made; empty if nothing can be said of it.

    Args:
        target: the path as it was given.
        studies: the studies of the run, by name.
        results: the folder of results.
    """
    try:
        parts = PurePath(target).relative_to(results).parts
    except ValueError:
        return ""
    if not parts:
        return ""
    name = parts[0]
    if name not in studies:
        there = ", ".join(studies) or "none"
        near = did_you_mean(name, studies)
        text = f"no study {name} in this run; it has: {there}{near}"
        return text if near else f"{text}. ./run {name} runs another study"
    study = studies[name]
    if len(parts) == 3 and parts[1] == "figures":
        return no_figure(study, parts[2])
    if len(parts) > 2 and parts[1] not in study.variants:
        there, near = ", ".join(study.variants), did_you_mean(parts[1], study.variants)
        return f"no variant {parts[1]} in {name}; it has: {there}{near}"
    if len(parts) > 3:
        widths = [f"width{n}" for n in study.variants[parts[1]].widths]
        if parts[2] not in widths:
            return f"no {parts[2]} in {name}, {parts[1]}; it has: {', '.join(widths)}"
    return _no_file(target, study, results)


def no_figure(study: Study, file: str) -> str:
    """A sentence about a figure, or a file of it, that the study does not have."""
    stem = file.partition(".")[0]
    figures = {figure.name: figure for figure in study.figures}
    if stem not in figures:
        there = ", ".join(figures) or "none"
        return f"no figure {stem} in {study.name}; it has: {there}"
    made = ", ".join(f"{stem}.{one}" for one in endings(figures[stem]))
    return f"no file {file} of figure {stem} of {study.name}; it has: {made}"


def _no_file(target: str, study: Study, results: str) -> str:
    from ntkpipe.stages import plan

    files = [f"{results}/{file}" for file in plan.files(study)]
    near = did_you_mean(target, files, 0.8)
    return f"no rule makes {target}{near}"
