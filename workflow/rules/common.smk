"""Read the studies that the configuration names."""

import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import validate

from ntkpipe.report import gallery
from ntkpipe.selection import select
from ntkpipe.stages import STAGES, Place
from ntkpipe.study import StudyError


def read_studies():
    """The studies that the configuration names; exit 2 with all faults if there are any."""
    for key in ("gallery", "answers"):
        config[key] = config.get(key) or ""  # `--config gallery=` is None
    try:
        validate(config, "../schemas/config.schema.yaml")
        if config["gallery"]:
            gallery.load(config["gallery"])
        found = select(config["studies"], config["run"])
        if faults := overwritten(found):
            raise StudyError(faults)
        return found
    except WorkflowError as error:
        invalid = error.__context__  # the error of jsonschema, which has the key
        key = getattr(invalid, "json_path", "$").removeprefix("$")
        reason = getattr(invalid, "message", str(error))
        faults = [f"config{key}: {' '.join(reason.split()[-40:])}"]
    except StudyError as error:
        faults = error.faults
    print(*(f"ntkpipe: {fault}" for fault in faults), sep="\n", file=sys.stderr)
    sys.exit(2)


def overwritten(studies):
    """A fault for each file of a user that is in a folder of the workflow."""
    written = {
        Path(os.path.realpath(folder), name) for folder in FOLDERS for name in studies
    }
    read = {
        (study.name, at.variant, key, file)
        for study in studies.values()
        for stage, key in (("dataset", "dataset.path"), ("train", "model.of"))
        for at in STAGES[stage].places(study)
        if (file := STAGES[stage].file(at))
    }
    return [
        f"{study}: {variant}: {key}: {file} is in a folder of results or logs: "
        "put it elsewhere"
        for study, variant, key, file in sorted(read)
        if written & {*Path(os.path.realpath(file)).parents}
    ]


# Snakemake replaces pathvars in inputs, outputs and logs only.
RESULTS, LOGS, BENCHMARKS = map(
    workflow.pathvars.apply, ("<results>", "<logs>", "<benchmarks>")
)
FOLDERS = [RESULTS, LOGS, BENCHMARKS]
STUDIES = read_studies()


def one_of(names):
    """A pattern for a wildcard that is one of these names."""
    return "|".join(sorted(set(map(str, names)))) or "none"


def place(wildcards):
    """The study, variant, width and figure of a job."""
    return Place(
        STUDIES[wildcards.study],
        wildcards.get("variant", ""),
        int(wildcards.get("width", 0)),
        wildcards.get("figure", ""),
    )


def study_file(wildcards):
    """The study file. It is a parameter and not an input: see `settings`."""
    return f"{config['studies']}/{wildcards.study}.yaml"


def study_files(wildcards):
    return [f"{config['studies']}/{name}.yaml" for name in STUDIES]
