"""The JSON schema of study files."""

from typing import Any

from ntkpipe.study.study import STUDY


def schema() -> dict[str, Any]:
    """JSON schema of study files, for editors."""
    result = STUDY.json_schema()
    experiment = result["$defs"].pop("Experiment")
    properties = dict(experiment["properties"])
    # a variant changes any part of the experiment: all keys, none required
    result["$defs"]["Variant"] = {
        "type": "object",
        "description": "What a variant changes of the experiment, key by key.",
        "properties": {key: {} for key in properties},
        "additionalProperties": False,
    }
    for given_by_the_file in ("name", "text"):
        del result["properties"][given_by_the_file]
    result["properties"] |= properties
    result["properties"]["variants"] = {
        "type": "object",
        "additionalProperties": {"$ref": "#/$defs/Variant"},
        "description": "Names and what each changes of the experiment.",
    }
    result["required"] = ["title", "question"]
    result["title"] = "A study of ntkpipe"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **result}
