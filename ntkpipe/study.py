"""A study: one YAML file of data, models, training, claims and figures.

The file holds one experiment and, under `variants`, what other experiments of the
study change of it. All faults of a file are told at once, each with its path.
"""

import dataclasses
import difflib
import functools
import itertools
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import yaml
from pydantic import Field

from ntkpipe.claims import Claim
from ntkpipe.datasets import Dataset
from ntkpipe.figures import Figure
from ntkpipe.models import Model
from ntkpipe.section import section
from ntkpipe.training.protocol import Training

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Width = Annotated[int, Field(ge=1, le=10**7)]
Seeds = Annotated[int, Field(ge=1, le=10**6)]
LARGEST_FILE = 2**18  # bytes; a second or two to read
MOST_JOBS = 5000  # trainings; a second or two to plan
MOST_FAULTS = 30  # told at once
LONGEST_NAME = 64  # characters; files are called so
BASE = "base"


class StudyError(Exception):
    """A study file has faults: `faults` has one line for each."""

    def __init__(self, faults: Iterable[str]):
        self.faults = tuple(map(_printable, faults))
        super().__init__("\n".join(self.faults))


def _printable(text: str) -> str:
    """A line for a terminal, whatever characters it quotes of a file."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


@section
class Measure:
    """What is measured beyond the metrics that every experiment has."""

    modes: Annotated[int, Field(ge=0, le=1000)] = 0
    """Number of eigenvectors of H(w₀) whose decay rate is fitted."""
    limit_points: Annotated[int, Field(ge=0, le=1000)] = 0
    """Number of test points at which networks are held against the Gaussian limit."""
    kernel_at: tuple[Annotated[int, Field(ge=0, le=10**6)], ...] = ()
    """Θ(x₀, x_i) for these test points, x₀ the first (with training.test_kernel)."""
    frequencies: tuple[Annotated[int, Field(ge=1, le=10**6)], ...] = ()
    """Frequencies k of the circle at which the time to fit cos kγ is measured."""
    fit_level: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """A frequency is fitted when this share of its residual is left."""
    loss_error: bool = False
    """Hold the loss against its predictions, while it is above 1e-3 of its start."""
    straight: bool = False
    """How far f leaves the straight line from 0 to y (with limit and zero_output)."""


@section
class Experiment:
    """One data set, model and training at several widths, each with many seeds."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of the data and of all networks."""
    dtype: Literal["float64", "float32"] = "float64"
    """Precision of weights, outputs and kernels."""
    dataset: Dataset
    """Training and test points."""
    model: Model
    """Architecture, parametrisation and initialisation."""
    training: Training
    """Optimiser, steps and what is recorded."""
    widths: Annotated[tuple[Width, ...], Field(min_length=1)]
    """Hidden widths n."""
    seeds: Seeds | dict[Width, Seeds] = 10
    """Number of networks at each width, or a number for each width."""
    linearize: Literal["none", "steps", "flow"] = "steps"
    """The linearised model in closed form: of the optimiser's steps, or their flow."""
    limit: Literal["none", "steps", "flow"] = "none"
    """Infinite width: kernels, mean and covariance of the trained ensemble."""
    measure: Measure = Measure()
    """What is measured beyond the usual."""

    def __post_init__(self):
        """Refuse what can't go together."""
        if len(self.widths) > MOST_JOBS:
            raise ValueError(f"widths: {len(self.widths)} of them, at most {MOST_JOBS}")
        if isinstance(self.seeds, dict):
            missing = sorted(set(self.widths) - set(self.seeds))
            if missing:
                raise ValueError(f"seeds: no number for the widths {missing}")
        if len(set(self.widths)) < len(self.widths):
            raise ValueError("widths: a width is given twice")
        if self.measure.kernel_at and not self.training.test_kernel:
            raise ValueError("measure.kernel_at: needs training.test_kernel: true")
        if self.measure.limit_points and self.limit == "none":
            raise ValueError("measure.limit_points: needs limit")
        if self.dataset.kind != "npz":  # whose points are counted when it is read
            points = self.dataset.sizes.test
            if self.measure.limit_points > points:
                raise ValueError(
                    f"measure.limit_points: {self.measure.limit_points}, and there are "
                    f"{points} test points"
                )
            if points <= max(self.measure.kernel_at, default=0):
                raise ValueError(
                    f"measure.kernel_at: no test point {max(self.measure.kernel_at)}: "
                    f"there are {points}, the first is 0"
                )
        if self.measure.frequencies:
            d = self.dataset
            if d.kind != "circle" or d.angles is not None:
                raise ValueError(
                    "measure.frequencies: needs equal angles, dataset.kind: circle "
                    "without `angles`"
                )
            if 2 * max(self.measure.frequencies) >= d.points:
                raise ValueError(
                    f"measure.frequencies: {max(self.measure.frequencies)} is not "
                    f"below half of dataset.points: {d.points}"
                )
        if self.measure.straight and (
            self.limit == "none" or self.model.zero_output == "none"
        ):
            raise ValueError(
                "measure.straight: needs limit, and zero_output: subtract or double"
            )
        if self.measure.loss_error and self.limit == self.linearize == "none":
            raise ValueError("measure.loss_error: needs limit or linearize")
        if self.linearize != "none" and self.training.optimizer == "adam":
            raise ValueError("linearize: adam has no closed form; say linearize: none")
        if self.training.linear_weights and self.training.optimizer == "adam":
            raise ValueError("training.linear_weights: adam has no closed form")
        model = self.model
        kept = self.training.keep_matrix
        if kept is not None and kept.layer > model.depth + 1:
            raise ValueError(
                f"training.keep_matrix: no layer {kept.layer}: there are "
                f"{model.depth + 1}, hidden ones and the last"
            )
        if self.limit != "none":
            if model.kind != "mlp":
                raise ValueError("limit: needs model.kind: mlp")
            if model.parameterization != "ntk" or model.init != "normal":
                raise ValueError(
                    "limit: needs model.parameterization: ntk and model.init: normal"
                )
            if model.alpha != 1 and model.zero_output == "none":
                raise ValueError("limit: needs alpha: 1, or zero_output")
            if model.input_decay or model.output_decay:
                raise ValueError("limit: needs no input_decay and no output_decay")
            if self.training.optimizer != "gd":
                raise ValueError("limit: needs training.optimizer: gd")
        if self.training.ensemble is not None:
            if model.kind != "mlp" or model.zero_output != "none":
                raise ValueError(
                    "training.ensemble: needs model.kind: mlp and zero_output: none"
                )
        if self.linearize == "flow" and self.training.optimizer == "momentum":
            raise ValueError("linearize: the flow has no momentum; say steps")
        if model.kind == "one_parameter" and self.dataset.kind != "npz":
            _, _, d, k = self.dataset.sizes
            if (d, k) != (1, 1):
                raise ValueError(
                    "model.kind: one_parameter takes one input and one output, and "
                    f"the points have {d} and {k}"
                )

    def seeds_at(self, width: int) -> int:
        """Number of networks of a width."""
        return self.seeds[width] if isinstance(self.seeds, dict) else self.seeds


@section
class Study:
    """One experiment, its variants, and what is claimed and shown of them."""

    name: Name
    title: str
    """Heading on the page."""
    question: str
    """What the study asks, in two sentences."""
    source: str = ""
    """Where the experiment comes from."""
    notes: tuple[str, ...] = ()
    """Remarks shown on the page: differences from the source, errata, results."""
    variants: dict[Name, Experiment]
    """The experiments; `base` is the file itself where it has no variants."""
    claims: tuple[Claim, ...] = ()
    """What is expected, with acceptance bands that are set before the run."""
    figures: tuple[Figure, ...] = ()
    """What is drawn."""
    text: str = ""

    def __post_init__(self):
        """Refuse names that are not there and names given twice."""
        jobs = sum(len(e.widths) for e in self.variants.values())
        if jobs > MOST_JOBS:
            raise ValueError(
                f"variants: {jobs} trainings, at most {MOST_JOBS} in a study"
            )
        for what, items in (("claims", self.claims), ("figures", self.figures)):
            names = [item.id if what == "claims" else item.name for item in items]
            for name in sorted({n for n in names if names.count(n) > 1}):
                raise ValueError(f"{what}: {name} is given twice")
            for item, name in zip(items, names, strict=True):
                unknown = sorted(set(_variants_of(item)) - set(self.variants))
                if unknown:
                    raise ValueError(
                        f"{what}.{name}: no variant {', '.join(unknown)}; "
                        f"there are {', '.join(self.variants)}"
                    )
        for figure in self.figures:
            if len(figure.name) > LONGEST_NAME:
                raise ValueError(
                    f"figures: {figure.name[:20]}… has {len(figure.name)} characters, "
                    f"at most {LONGEST_NAME}"
                )
            if figure.name in ("claims", "measurements"):  # as the page knows them
                raise ValueError(f"figures: {figure.name} is the name of a table")
            for name in figure.variants_read() or self.variants:
                if lacking := next(figure.lacks(self.variants[name]), ""):
                    raise ValueError(f"figures.{figure.name}: {name} has no {lacking}")
        if "figures" in self.variants:  # whose constancy.csv may be a figure's
            raise ValueError("variants: `figures` is the folder of the figures")

    def jobs(self) -> Iterator[tuple[str, int]]:
        """All (variant, width)."""
        for name, experiment in self.variants.items():
            for width in experiment.widths:
                yield name, width

    def data_of(self, variant: str) -> str:
        """The first variant that has the same data, whose dataset.npz is read."""
        own = self.variants[variant]
        return next(
            name
            for name, e in self.variants.items()
            if (e.seed, e.dataset) == (own.seed, own.dataset)
        )

    def figure(self, name: str) -> Figure:
        """The figure of a name."""
        for figure in self.figures:
            if figure.name == name:
                return figure
        there = ", ".join(f.name for f in self.figures) or "none"
        raise StudyError([f"{self.name}: no figure {name!r}; there are {there}"])

    def spec(self, stage: str, variant: str = "", width: int = 0) -> dict[str, Any]:
        """The settings that a stage reads itself, not counting its inputs' own.

        These are its rule's parameters and stand in its product: a change of
        anything else does not run it again.
        """
        if stage in ("measure", "report"):
            return {}
        if stage == "claims":
            return {"claims": plain(self.claims)}
        e = self.variants.get(variant)
        if stage == "dataset":
            return plain({"seed": e.seed, "dataset": e.dataset})
        if stage == "train":
            return plain(
                {
                    "seed": e.seed,
                    "dtype": e.dtype,
                    "model": e.model,
                    "training": e.training,
                    "seeds": e.seeds_at(width),
                }
            )
        closed_form = {"model": e.model, "training": e.training}
        if stage == "linearize":
            return plain(closed_form | {"linearize": e.linearize})
        if stage == "limit":
            return plain(closed_form | {"limit": e.limit})
        if stage == "constancy":
            shown = {"widths": e.widths, "limit": e.limit, "measure": e.measure}
            return plain(closed_form | shown)
        raise ValueError(f"no stage {stage}")


def load(path: str | Path) -> Study:
    """Read a study file, or raise a `StudyError` with all its faults."""
    return parse(_text_of(path), path)


def read_yaml(path: str | Path) -> Any:
    """The values in a YAML file, or raise a `StudyError`."""
    return _values(_text_of(path), path)


def _text_of(path: str | Path) -> str:
    try:
        if Path(path).stat().st_size > LARGEST_FILE:
            raise StudyError([f"{path}: larger than 256 kB, which is no study file"])
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError([f"{path}: can't be read: {error}"]) from error


def _values(text: str, path: str | Path) -> Any:
    try:
        raw = yaml.load(text, _Loader)
        json.dumps(raw, ensure_ascii=False).encode()  # half a character is none
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split()) or "nested too deeply"
        raise StudyError([f"{path}: not readable as YAML: {reason}"]) from error
    return raw


def parse(text: str, path: str | Path) -> Study:
    """The study in a text; `path` gives its name and stands before each fault."""
    path = Path(path)
    raw = _values(text, path)
    if not isinstance(raw, dict):
        raise StudyError([f"{path}: a study file is a mapping of keys to values"])
    faults: list[str] = []
    variants = raw.get("variants", {BASE: {}})
    if not _is_mapping_of_mappings(variants):
        variants = {BASE: {}}
        faults.append("variants: expected a mapping of names to what each changes")
    variants = {str(name): change or {} for name, change in variants.items()}
    for key in sorted({"name", "text"} & raw.keys()):
        faults.append(f"{key}: unknown key (a study is called as its file is)")
    base = {k: v for k, v in raw.items() if k in _EXPERIMENT}
    raw_study = {
        **{k: v for k, v in raw.items() if k not in _EXPERIMENT},
        "name": path.stem,
        "text": text,
        "variants": {name: _merge(base, v) for name, v in variants.items()},
    }
    faults += itertools.islice(_unshown(raw), MOST_FAULTS)
    try:
        # strict JSON mode: lists are tuples, but "3" and true are no numbers
        result = _STUDY.validate_json(json.dumps(raw_study))
    except pydantic.ValidationError as error:
        faults += _faults(error, raw_study, variants)
    except RecursionError:
        faults.append("nested too deeply")
    if faults:
        raise StudyError(f"{path}: {fault}" for fault in faults)
    return result


def load_files(paths: Iterable[str | Path]) -> list[Study]:
    """Read several study files, or all faults of all of them at once."""
    studies, faults = [], []
    for path in paths:
        try:
            studies.append(load(path))
        except StudyError as error:
            faults += error.faults
    if faults:
        raise StudyError(faults)
    return studies


def load_all(folder: str | Path, names: Iterable[str]) -> dict[str, Study]:
    """The named studies of a folder, or all faults of all of them at once."""
    paths, faults = {}, []
    known = sorted(path.stem for path in Path(folder).glob("*.yaml"))
    for name in names:
        if name in known:
            paths[name] = Path(folder) / f"{name}.yaml"
            continue
        near = difflib.get_close_matches(str(name), known, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        faults.append(f"run: no study {name!r} in {folder}; {hint}")
    try:
        studies = load_files(paths.values())
    except StudyError as error:
        faults += error.faults
    if faults:
        raise StudyError(faults)
    return {study.name: study for study in studies}


def schema() -> dict[str, Any]:
    """JSON schema of study files, for editors."""
    result = _STUDY.json_schema()
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


def plain(value: Any) -> Any:
    """Sections as dicts, tuples as lists: what JSON gives back."""
    if dataclasses.is_dataclass(value):
        return {
            f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)
        }
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(v) for v in value]
    return value


def _variants_of(item) -> Iterable[str]:
    """Names of variants that a claim or a figure reads."""
    return item.variants() if hasattr(item, "evaluate") else item.variants_read()


_STUDY = pydantic.TypeAdapter(Study)
_EXPERIMENT = {field.name for field in dataclasses.fields(Experiment)}
# all but the characters of XML, without those that control a terminal
_UNSHOWN = re.compile(r"[^\t\n -~\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# how an error of several keys says to which of them it belongs
_KEY = re.compile(r"([^\s:]+): ")


def _is_mapping_of_mappings(value) -> bool:
    return (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(v, dict) or v is None for v in value.values())
    )


def _unshown(raw: Any) -> Iterator[str]:
    """Faults of texts that no page and no picture can show."""
    todo: list[tuple[tuple[str, ...], Any]] = [((), raw)]
    for place, value in todo:  # which grows
        if isinstance(value, (dict, list)):
            items = value.items() if isinstance(value, dict) else enumerate(value)
            todo += [((*place, str(key)), part) for key, part in items]
        elif isinstance(value, str) and (found := _UNSHOWN.search(value)):
            yield f"{'.'.join(place)}: has the character U+{ord(found[0]):04X}"


def _merge(base: Any, change: Any) -> Any:
    """`change` over `base`, mappings key by key; another `kind` replaces whole."""
    if not (isinstance(base, dict) and isinstance(change, dict)):
        return change
    if "kind" in change and change["kind"] != base.get("kind", change["kind"]):
        return change
    merged = dict(base)
    for key, value in change.items():
        # seeds and widths are values, not sections
        if key in merged and key != "seeds":
            value = _merge(merged[key], value)
        merged[key] = value
    return merged


def _faults(error: pydantic.ValidationError, raw: dict, variants: dict) -> list[str]:
    """One line for each fault: where, what, and the nearest key that exists."""
    lines: dict[str, None] = {}  # a set that keeps its order
    for fault in error.errors(include_url=False):
        place = _place(fault["loc"], raw)
        message = _message(fault, place)
        if fault["type"] == "value_error" and (key := _KEY.match(message)):
            place += key[1].split(".")
            message = message[key.end() :]
        if place[:1] == ["variants"] and len(place) > 2:
            if place[2] not in variants.get(place[1], {}):
                place = place[2:]  # a fault of what all variants share
        lines[": ".join(filter(None, (".".join(place), message)))] = None
        if len(lines) > MOST_FAULTS:
            return [*list(lines)[:-1], "… and more"]
    return list(lines)


def _place(location: tuple, raw: Any) -> list[str]:
    """The keys of a fault's place, without pydantic's choices between kinds."""
    place = []
    for index, part in enumerate(location):
        known = isinstance(raw, (dict, list)) and (
            part in raw if isinstance(raw, dict) else part in range(len(raw))
        )
        if known:
            raw = raw[part]
        elif index < len(location) - 1 or part in _keys_and_choices()[1]:
            continue
        place.append(str(part) or "''")
    return place


def _message(fault: dict, place: list[str]) -> str:
    kind, value = fault["type"], fault.get("input")
    if kind == "unexpected_keyword_argument":
        near = difflib.get_close_matches(place[-1], _keys_and_choices()[0], 1, 0.7)
        if place[-1] in near:
            return "unknown key here, it is one of something else"
        return "unknown key" + (f", did you mean {near[0]}?" if near else "")
    if kind == "missing":
        return "is missing"
    if kind == "union_tag_not_found":
        return "needs a `kind`"
    text = fault["msg"].removeprefix("Value error, ")
    shown = repr(value)
    if isinstance(value, (dict, list)) or len(shown) > 60:
        return text
    return f"{text}, not {shown}" if kind != "value_error" else text


@functools.cache  # none of it is needed for a study without faults
def _keys_and_choices() -> tuple[set[str], set[str]]:
    """All keys of all sections, and how pydantic calls the members of its unions."""
    keys, choices = set(_EXPERIMENT), {"int", "constrained-int", "float", "[key]"}
    schema_ = _STUDY.json_schema()
    for definition in [schema_, *schema_["$defs"].values()]:
        properties = definition.get("properties", {})
        keys |= set(properties)
        if "const" in (kind := properties.get("kind", {})):
            choices.add(kind["const"])
    return keys, choices


class _Loader(yaml.SafeLoader):
    """YAML 1.2's scalars (1e-3 is a number, `no` a word); no aliases, tags, doubles."""

    yaml_implicit_resolvers: dict = {}  # noqa: RUF012

    def compose_node(self, parent, index):
        event = self.peek_event()
        unwanted = ""
        if isinstance(event, yaml.AliasEvent):
            unwanted = "aliases (*name)"
        elif event.tag is not None:
            name = event.tag.replace("tag:yaml.org,2002:", "!!")
            unwanted = f"tags ({name[:50]})"
        if unwanted:
            raise yaml.composer.ComposerError(
                None, None, f"{unwanted} are not used here", event.start_mark
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            named = isinstance(key, (str, int)) and not isinstance(key, bool)
            if not named or str(key) in seen:
                problem = f"the key {key!r} " + (
                    "is given twice" if named else "is no name"
                )
                raise yaml.constructor.ConstructorError(
                    None, None, problem, key_node.start_mark
                )
            seen.add(str(key))  # 2 and "2" are one name
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
