"""The inputs of each job, and the parameters whose change runs a job again."""

import hashlib
import json
from pathlib import Path

from ntkpipe import artifacts
from ntkpipe.fingerprint import fingerprint
from ntkpipe.report.page import layout
from ntkpipe.stages import plan
from ntkpipe.stages.figure import is_animated


def inputs(stage):
    """The products of earlier stages that a stage reads."""

    def paths(wildcards):
        found = STAGES[stage].inputs(place(wildcards))
        made = [f"<results>/{source.path(at)}" for source, at in found]
        return [path for product in made for path in with_record(product)]

    return paths


def with_record(path):
    """The path of a product; for a table also the path of its record NAME.csv.json."""
    return [path, f"{path}.json"] if path.endswith(".csv") else [path]


def users_file(stage):
    """The user's own file that a stage reads: data, or kernels in place of networks."""

    def path(wildcards):
        file = STAGES[stage].file(place(wildcards))
        return [file] if file else []

    return path


def all_files(wildcards):
    """Every file of every study."""
    return [
        f"<results>/{file}" for study in STUDIES.values() for file in plan.files(study)
    ]


def all_figures(wildcards):
    """Every file of every figure of every study."""
    return [file for file in all_files(wildcards) if "/figures/" in file]


def named_figures(animated):
    """A pattern for the names of all animated figures, or of all still ones.

    The pattern includes the study, because the same name may be a still figure in one
    study and an animation in another.
    """
    return one_of(
        f"(?<=/{study.name}/figures/){figure.name}"
        for study in STUDIES.values()
        for figure in study.figures
        if is_animated(figure) == animated
    )


def settings(stage):
    """The settings that a stage reads, as a parameter: a change runs the job again."""

    def spec(wildcards):
        value = STAGES[stage].spec(place(wildcards))
        if file := STAGES[stage].file(place(wildcards)):
            # a digest, because a file may be replaced by one with an older time
            value["files"] = [artifacts.users_digest(file)]
        return json.dumps(value, sort_keys=True, ensure_ascii=False)

    return spec


def shown(wildcards):
    """Digests of what the page shows besides its inputs, and of its template."""
    texts = {name: study.text for name, study in STUDIES.items()}
    for path in sorted(Path(config["studies"]).glob("*.yaml")):
        if path.stem not in STUDIES:
            # a study of an earlier run, and the record of its claims
            texts[path.stem] = path.read_text("utf-8", errors="replace")
            record = Path(RESULTS, path.stem, "claims.csv.json")
            if record.is_file():
                texts[f"{path.stem} claims"] = record.read_text("utf-8")
    texts["layout"] = layout()
    for key in ("gallery", "answers"):
        if config[key]:
            texts[key] = Path(config[key]).read_text("utf-8")
    return json.dumps({name: digest(text) for name, text in texts.items()})


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def code(stage):
    """A fingerprint of the code that a stage runs, as a parameter."""
    return lambda wildcards: STAGES[stage].code(place(wildcards))


def code_of(module):
    """A fingerprint of the code of a command that runs once for all studies."""
    return lambda wildcards: fingerprint(f"ntkpipe.stages.{module}", artifacts.__name__)
