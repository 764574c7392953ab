"""The JSON schema of study files."""

from typing import Any

from ntkpipe.study.study import STUDY


def schema() -> dict[str, Any]:
    """JSON schema of study files, for editors."""
    result = STUDY.json_schema()
    experiment = result["$defs"].pop("Experiment")
    properties = dict(experiment["properties"])
    # a variant may have any key of the experiment; no key is required
    result["$defs"]["Variant"] = {
        "type": "object",
        "description": "The keys of the experiment that a variant changes.",
        "properties": {key: {} for key in properties},
        "additionalProperties": False,
    }
    for given_by_the_file in ("name", "text"):
        del result["properties"][given_by_the_file]
    result["properties"] |= properties
    result["properties"]["variants"] = {
        "type": "object",
        "additionalProperties": {"$ref": "#/$defs/Variant"},
        "description": "Variants by name, each with the keys that it changes.",
    }
    result["required"] = ["title", "question"]
    result["title"] = "A study of ntkpipe"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **result}
