"""Valid study files load; for faulty ones all faults are reported at once."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from fuzz import studies
from hypothesis import given, settings
from hypothesis import strategies as st

from ntkpipe import study

ROOT = Path(__file__).parents[1]
STUDIES = sorted((ROOT / "config" / "studies").glob("*.yaml"))
GOOD = """
title: A
question: B?
dataset: {kind: circle, points: 4, target: {kind: product}}
model: {depth: 1}
training: {learning_rate: 1e-3, steps: 10}
widths: [8, 16]
seeds: 3
"""


def faults(text):
    with pytest.raises(study.StudyError) as error:
        study.parse(text, "x.yaml")
    return [str(fault) for fault in error.value.faults]


def changed(**keys):
    raw = yaml.safe_load(GOOD)
    raw["training"]["learning_rate"] = 1e-3
    return json.dumps(raw | keys)


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_shipped_studies_load(path):
    loaded = study.load(path)
    assert loaded.claims and loaded.figures
    assert loaded.name == path.stem


def test_numbers_are_numbers_and_words_are_words():
    loaded = study.parse(GOOD, "x.yaml")
    assert loaded.variants["base"].training.learning_rate == 1e-3
    assert loaded.name == "x"
    assert study.parse(GOOD.replace("title: A", "title: no"), "x.yaml").title == "no"


def test_a_study_says_of_which_variants_random_data_are_drawn_once():
    data = {"kind": "gaussian", "points": 5, "target": {"kind": "noise"}}
    draws = {"limit": "steps", "measure": {"limit_draws": 3}}

    def said(variants):
        return study.parse(changed(variants=variants), "x.yaml").one_data_set

    assert said({"fixed": {}}) == ""
    assert "Variants" not in said({"one": {"dataset": data}})
    mixed = said({"fixed": {}, "one": {"dataset": data}, "two": {"dataset": data}})
    assert "one, two" in mixed and "fixed" not in mixed
    assert said({"many": {"dataset": data} | draws}) == ""
    assert said({"own": {"dataset": data, "data": "redraw"}}) == ""


def test_variants_change_what_they_name_and_nothing_else():
    text = (
        GOOD
        + """
variants:
  one: {}
  two:
    model: {activation: tanh}
    dataset: {kind: gaussian, points: 5, target: {kind: noise}}
  three: {seeds: {8: 1, 16: 2}}
"""
    )
    one, two, three = study.parse(text, "x.yaml").variants.values()
    assert one.model.activation == "relu" and two.model.activation == "tanh"
    assert two.model.depth == one.model.depth == 1
    assert two.dataset.kind == "gaussian"
    assert [three.seeds_at(w) for w in (8, 16)] == [1, 2]


def test_all_faults_are_reported_at_once_with_their_places():
    text = """
title: A
dataset: {kind: circle, points: "4", target: {kind: prodct}}
model: {depth: true, activaton: relu}
training: {learning_rate: -1, stepps: 10}
widths: []
colour: red
"""
    found = "\n".join(faults(text))
    for expected in (
        "x.yaml: question: is missing",
        "x.yaml: dataset.points: Input should be a valid integer, not '4'",
        "dataset.target.kind: no kind 'prodct'",
        "did you mean product?",
        "model.depth: Input should be a valid integer, not True",
        "model.activaton: unknown key; did you mean activation?",
        "training.learning_rate: Input should be greater than 0",
        "training.stepps: unknown key; did you mean steps?",
        "training.steps: is missing",
        "widths: ",
        "colour: unknown key",
    ):
        assert expected in found, found


@pytest.mark.parametrize(
    "keys, message",
    [
        ({"seeds": {"8": 3}}, "x.yaml: seeds: no number for the widths [16]"),
        ({"widths": [8, 8]}, "a width is given twice"),
        (
            {"limit": "flow", "model": {"depth": 1, "alpha": 2.0}},
            "model.alpha: infinite width needs 1, or zero_output, not 2",
        ),
        ({"measure": {"frequencies": [2]}}, "measure.frequencies: 2 "),
        (
            {
                "measure": {"frequencies": [1]},
                "dataset": {
                    "kind": "gaussian",
                    "points": 4,
                    "target": {"kind": "noise"},
                },
            },
            "needs equal angles",
        ),
        ({"measure": {"straightness": True}}, "measure.straightness: needs limit"),
        (
            {
                "measure": {"modes": 1},
                "training": {"learning_rate": 1, "steps": 2, "optimizer": "momentum"},
            },
            "measure.modes: needs training.optimizer: gd, not momentum",
        ),
        ({"measure": {"limit_points": 5}}, "measure.limit_points: needs limit"),
        (
            {"measure": {"limit_points": 66}, "limit": "flow"},
            "measure.limit_points: 66 ",
        ),
        (
            {
                "measure": {"kernel_at": [3, 65, 0]},
                "training": {"learning_rate": 1, "steps": 1, "test_kernel": True},
            },
            "measure.kernel_at: no test point 65",
        ),
        (
            {"measure": {"loss_error": True}, "linearize": "none"},
            "needs limit or linearize",
        ),
        ({"model": {"output_weights": "plus"}}, "output_weights"),
        (
            {"model": {"kind": "one_parameter"}},
            "model.kind: one_parameter takes one input and one output",
        ),
        ({"limit": "flow", "model": {"parameterization": "mup"}}, "ntk"),
        (
            {"training": {"learning_rate": 1, "steps": 1, "keep_matrix": {"layer": 4}}},
            "training.keep_matrix.layer: no layer 4",
        ),
        (
            {"training": {"learning_rate": 1, "steps": 1, "ensemble": {"networks": 1}}},
            "training.ensemble.networks",
        ),
        (
            {
                "training": {
                    "learning_rate": 1,
                    "steps": 1,
                    "ensemble": {"networks": 9},
                },
                "model": {"zero_output": "subtract"},
            },
            "training.ensemble: needs model.zero_output: none, not subtract",
        ),
        ({"variants": {"../up": {}}}, "String should match pattern"),
        ({"variants": {"a": {"title": "x"}}}, "variants.a.title: unknown key here"),
        ({"variants": ["a"]}, "variants: expected a mapping"),
        ({"variants": {"figures": {}}}, "variants: `figures` is"),
        ({"name": "../../etc"}, "name: unknown key"),
        ({"seed": 2**64}, "seed"),
        ({"widths": [10**30]}, "widths"),
    ],
)
def test_what_does_not_go_together_is_refused(keys, message):
    assert message in "\n".join(faults(changed(**keys)))


SIX = """
title: A
question: B?
dataset: {kind: circle, points: 4, target: {kind: product}}
model: {depth: 1, parameterization: mup}
training: {learning_rate: 1e-3, steps: 10, optimizer: adam, keep_matrix: {layer: 5}}
widths: [8, 16]
limit: flow
measure:
  kernel_at: [1]
  straightness: true
"""


def keys(text):
    with pytest.raises(study.StudyError) as error:
        study.parse(text, "x.yaml")
    return {".".join(fault.key): fault.line for fault in error.value.faults}


BETWEEN = {
    "measure.kernel_at": 10,
    "training.keep_matrix.layer": 6,
    "model.parameterization": 5,
    "measure.straightness": 11,
    "limit": 8,
    "linearize": 0,
}


def test_all_faults_between_keys_are_reported_at_once_with_their_lines():
    assert keys(SIX) == BETWEEN
    # even if one key can't be read, faults of the other keys are reported
    claim = (
        "{kind: bound, id: Z, set: before, says: s, source: s, at_most: 1, metric: 3}"
    )
    assert keys(f"{SIX}colour: red\nclaims: [{claim}]").keys() == {
        *BETWEEN,
        "colour",
        "claims.Z.metric",
    }


def test_a_fault_of_the_top_is_not_repeated_for_each_variant():
    three = SIX + "variants: {a: {}, b: {seeds: 4}, c: {training: {record: 5}}}"
    assert keys(three) == BETWEEN
    # two variants correct the fault, a third one inherits it
    some = """variants:
  a: {training: {optimizer: gd}, model: {parameterization: ntk}}
  b: {}
  c: {training: {optimizer: gd}}
"""
    assert keys(SIX + some) == {
        "measure.kernel_at": 10,
        "training.keep_matrix.layer": 6,
        "model.parameterization": 5,
        "measure.straightness": 11,
        "variants.b.limit": 8,
        "variants.b.linearize": 14,
    }
    own = GOOD + "variants:\n  a: {}\n  b:\n    model: {depth: no}\n"
    assert keys(own) == {"variants.b.model.depth": 12}
    assert keys(GOOD.replace("depth: 1", "depth: x") + "variants: {a: , b: }") == {
        "model.depth": 5
    }


TRAINING = {"learning_rate": 0.1, "steps": 3}


@pytest.mark.parametrize(
    "change, near",
    [
        ({"dataset": {"kind": "circel", "target": {"kind": "noise"}}}, "circle"),
        ({"model": {"activation": "rellu"}}, "relu"),
        ({"model": {"parameterization": "standart"}}, "standard"),
        ({"model": {"kind": "mpl"}}, "mlp"),
        ({"linearise": "none"}, "linearize"),
        # as these were called before
        ({"training": TRAINING | {"units": True}}, "unit_changes"),
        ({"measure": {"straight": True}}, "straightness"),
        ({"claims": [{"kind": "power-law"}]}, "power_law"),
        ({"figures": [{"kind": "spektrum"}]}, "spectrum"),
    ],
)
def test_misspelt_names_are_reported_with_the_nearest_one(change, near):
    (fault,) = faults(changed(**change))
    assert f"did you mean {near}?" in fault


def test_a_control_is_a_nature():
    (fault,) = faults(changed(claims=[CLAIM | {"metric": "loss", "control": True}]))
    assert "claims.Z.control: is no longer a key: write `nature: control`" in fault


CLAIM = {"id": "Z", "set": "before", "says": "s", "source": "s"}
CLAIM |= {"kind": "bound", "at_most": 1}
SCALING = {"name": "f", "kind": "scaling", "title": "T", "caption": "C"}
CURVES = SCALING | {"kind": "trajectories"}


@pytest.mark.parametrize(
    "keys, key, named",
    [
        (
            {"claims": [CLAIM | {"metric": "ntk_chnge"}]},
            "claims.Z.metric",
            "ntk_change",
        ),
        (
            {"claims": [CLAIM | {"metric": "mode_rate/1"}]},
            "claims.Z.metric",
            "measure.modes",
        ),
        (
            {"figures": [SCALING | {"metrics": [{"metric": "wieght_change"}]}]},
            "figures.f.metrics.0.metric",
            "weight_change",
        ),
        (
            {"figures": [SCALING | {"metrics": [{"metric": "limit_gap"}]}]},
            "figures.f.metrics.0.metric",
            "limit",
        ),
        (
            {"figures": [CURVES | {"panels": [{"quantity": "los"}]}]},
            "figures.f.panels.0.quantity",
            "loss",
        ),
        (
            {"figures": [CURVES | {"panels": [{"quantity": "neuron_move"}]}]},
            "figures.f.panels.0.quantity",
            "training.unit_changes",
        ),
    ],
)
def test_missing_metrics_are_refused_before_anything_runs(keys, key, named):
    with pytest.raises(study.StudyError) as error:
        study.parse(changed(**keys), "x.yaml")
    (fault,) = error.value.faults
    assert ".".join(fault.key) == key and named in fault.text


def test_one_variant_that_records_a_metric_is_enough_where_none_is_named():
    variants = {"a": {}, "b": {"limit": "steps"}}
    figure = SCALING | {"metrics": [{"metric": "limit_gap"}]}
    assert study.parse(changed(figures=[figure], variants=variants), "x.yaml")
    claim = CLAIM | {"metric": "limit_gap", "variant": "b"}
    assert study.parse(changed(claims=[claim], variants=variants), "x.yaml")
    (fault,) = faults(changed(claims=[claim | {"variant": "a"}], variants=variants))
    assert "variant a: not recorded: limit_gap" in fault


@pytest.mark.parametrize(
    "figure, message",
    [
        ({"kind": "modes", "widths": [16]}, "f.widths: variant b: no width 16"),
        ({"kind": "function_band"}, "f: variant a: no limit"),
        (
            {"kind": "trajectories", "panels": [{"quantity": "loss"}]},
            "f: variant b: no linearised model",
        ),
    ],
)
def test_figures_show_what_is_there(figure, message):
    figure = {"name": "f", "title": "t", "caption": "c"} | figure
    variants = {"a": {}, "b": {"widths": [8], "linearize": "none", "limit": "steps"}}
    with_figure = {"figures": [figure], "variants": variants}
    (fault,) = faults(changed(**with_figure))
    assert fault.startswith(f"x.yaml: figures.{message}")
    figure["variants"] = ["b" if "limit" in message else "a"]
    study.parse(changed(**with_figure), "x.yaml")


@pytest.mark.parametrize("nature", ["law", "identity", "control"])
def test_a_law_states_when_its_band_was_set(nature):
    claim = {key: value for key, value in CLAIM.items() if key != "set"}
    text = changed(claims=[claim | {"metric": "loss", "nature": nature}])
    if nature == "law":
        (fault,) = faults(text)
        assert "claims.Z.set: is missing: write `set: before`" in fault
    else:
        (found,) = study.parse(text, "x.yaml").claims
        assert found.band_set == "before"


def test_claims_and_figures_must_name_variants_that_exist():
    claim = {
        "kind": "power_law",
        "id": "Z",
        "set": "before",
        "says": "s",
        "source": "s",
        "variant": "nowhere",
        "metric": "loss",
        "predicted": -1,
        "tolerance": 0.1,
    }
    assert "claims.Z: no variant nowhere: there are base" in "\n".join(
        faults(changed(claims=[claim]))
    )
    claim["variant"] = "basis"
    (fault,) = faults(changed(claims=[claim]))
    assert "did you mean base?" in fault
    figure = {"name": "f", "kind": "scaling", "title": "T", "caption": "C"}
    figure |= {"metrics": [{"metric": "loss"}], "labels": {"basis": "b"}}
    (fault,) = faults(changed(figures=[figure]))
    assert fault.startswith("x.yaml: figures.f.labels: no variant basis")
    one = study.parse(changed(figures=[figure | {"labels": {}}]), "x.yaml")
    with pytest.raises(study.StudyError, match="did you mean f"):
        one.figure("ff")
    claim["variant"] = "base"
    assert "Z is given twice" in "\n".join(faults(changed(claims=[claim, claim])))


@pytest.mark.parametrize(
    "text, message",
    [
        ("a: &x [1]\nb: *x", "aliases"),
        ("a: 1\na: 2", "'a' is given twice"),
        ("a: !!python/object:os.system {}", "tags (!!python/object:os.system)"),
        ("- 1", "a mapping of keys"),
        ("a: [", "not readable as YAML"),
        ("a: .nan", "unknown key"),
        ("? [1]\n: 2", "name"),
        ("[" * 5000, "not readable as YAML"),
        ("{a: " * 3000, "not readable as YAML"),
        ("\x00", "not readable as YAML"),
        ('title: "\\ud800"', "not readable as YAML"),
        ("'': 1", "x.yaml: '': unknown key"),
        ('"\\e[2J\\n": 1', r"x.yaml: \x1b[2J\n: unknown key"),
    ],
)
def test_hostile_yaml_is_refused(text, message):
    assert message in "\n".join(faults(text))


@given(st.text(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_text_is_a_study_or_a_list_of_faults(text):
    try:
        study.parse(text, "x.yaml")
    except study.StudyError as error:
        assert error.faults


def fails(text, path):
    raise study.StudyError([f"{path}: study: is wrong"])


def breaks(text, path):
    raise KeyError("variants")


def writes(text, path):
    Path("owned").touch()
    return study.parse(text, path)


def collides(text, path):
    one = study.parse(text, path)
    object.__setattr__(one, "variants", {"figures": one.variants["base"]})
    return one


def draws_another_number(text, path):
    one = study.parse(text, path)
    object.__setattr__(one.variants["base"].dataset, "x", ((1.0,),))
    return one


@pytest.mark.parametrize(
    "parse, wrong",
    [
        (fails, "a fault that names nothing"),
        (breaks, "KeyError"),
        (writes, "files were written"),
        (collides, "two rules make one file"),
        (draws_another_number, "AssertionError"),
        (study.parse, "valid"),
    ],
)
def test_the_search_for_faults_sees_them(parse, wrong, tmp_path, monkeypatch):
    figure = {"name": "constancy", "kind": "scaling", "title": "t", "caption": "c"}
    figure["metrics"] = [{"metric": "loss"}]
    data = {"kind": "points", "x": [[1.0], [2.0]], "y": [[1.0], [2.0]]}
    text = changed(figures=[figure], dataset=data)
    module = SimpleNamespace(**vars(study) | {"parse": parse})
    monkeypatch.setattr(studies, "study", module)
    monkeypatch.chdir(tmp_path)
    assert wrong in studies.outcome(text)


def test_mutants_are_validated_with_0_or_2_and_a_line_for_each_fault(tmp_path):
    code = "from fuzz import studies; print(studies.exit_codes(200, 9))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'tests'}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=True,
    )
    *valid, codes = done.stdout.splitlines()
    assert set(json.loads(codes)) == {0, 2}
    assert len(valid) == codes.count("0")
    lines = done.stderr.splitlines()
    assert all(line.startswith("ntkpipe: fuzz.yaml: ") for line in lines), lines
    assert len(lines) >= codes.count("2")


def test_missing_binary_and_large_files_are_refused(tmp_path):
    with pytest.raises(study.StudyError, match="can't be read"):
        study.load(tmp_path / "gone.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(study.StudyError, match="can't be read"):
        study.load(tmp_path / "binary.yaml")
    (tmp_path / "big.yaml").write_bytes(b"#" * (2**20 + 1))
    with pytest.raises(study.StudyError, match="larger than 256 kB"):
        study.load(tmp_path / "big.yaml")


def test_schema_in_the_repository_is_that_of_the_sections():
    path = ROOT / "config" / "study.schema.json"
    expected = json.dumps(study.schema(), indent=2, ensure_ascii=False) + "\n"
    assert path.read_text(encoding="utf-8") == expected, (
        "python -m ntkpipe schema > config/study.schema.json"
    )


@pytest.mark.parametrize("character", ["\0", "\1", "\x1b", "\r", "\x85", "\ufffe"])
def test_texts_that_no_page_can_show_are_refused(character):
    figure = {"name": "a", "kind": "scaling", "title": "T", "caption": "C"}
    figure |= {"metrics": [{"metric": "loss"}], "labels": {"base": f"a{character}b"}}
    (fault,) = faults(changed(figures=[figure], title="ω\tx\n\u202fé — √"))
    at = f"U+{ord(character):04X}"
    assert fault.startswith(f"x.yaml: figures.a.labels.base: has the character {at}")


def test_figures_have_names_that_files_may_have():
    figure = {"name": "a" * 65, "kind": "scaling", "title": "T", "caption": "C"}
    figure |= {"metrics": [{"metric": "loss"}]}
    (fault,) = faults(changed(figures=[figure]))
    assert "has 65 characters, at most 64" in fault
    (fault,) = faults(changed(figures=[figure | {"name": "claims"}]))
    assert fault.startswith("x.yaml: figures.claims.name: claims is the name of a")


def test_a_kind_of_model_has_its_own_keys():
    points = {"kind": "points", "x": [[1.0]], "y": [[1.0]]}
    one = changed(model={"kind": "one_parameter", "alpha": 2.0}, dataset=points)
    assert study.parse(one, "x.yaml").variants["base"].model.depth == 0
    assert study.parse(GOOD, "x.yaml").variants["base"].model.kind == "mlp"
    assert any("model" in f for f in faults(changed(model={"kind": "two"})))
    assert any("model" in f for f in faults(changed(model=3)))
    found = faults(changed(model={"kind": "one_parameter"}, limit="steps"))
    assert any("limit: needs model.kind: mlp" in fault for fault in found)
    (fault,) = faults(changed(model={"kind": "one_parameter", "depth": 2}))
    assert "depth" in fault
    adam = {"learning_rate": 1.0, "steps": 1, "optimizer": "adam"}
    (fault,) = faults(
        changed(training=adam | {"linear_weights": True}, linearize="none")
    )
    assert "adam has no closed form" in fault


NOISE = {"kind": "gaussian", "points": 5, "target": {"kind": "noise"}}


@pytest.mark.parametrize(
    ("change", "key", "text"),
    [
        ({}, "data", "at random"),  # points and targets of GOOD are fixed
        ({"dataset": NOISE, "limit": "steps"}, "data", "limit: none"),
        (
            {"dataset": NOISE, "training": {"ensemble": {"networks": 4}}},
            "data",
            "ensemble",
        ),
    ],
)
def test_data_that_cannot_be_drawn_anew_are_refused(change, key, text):
    base = yaml.safe_load(GOOD)
    base["training"]["learning_rate"] = 1e-3
    training = base["training"] | change.pop("training", {})
    raw = base | change | {"data": "redraw", "training": training}
    assert any(
        f"{key}:" in fault and text in fault for fault in faults(json.dumps(raw))
    )


def test_a_figure_of_one_data_set_is_refused_where_each_network_has_its_own():
    spectrum = {"kind": "modes", "name": "f", "title": "A", "caption": "B"}
    curves = spectrum | {"kind": "trajectories", "panels": [{"quantity": "test_loss"}]}
    keys = {"dataset": NOISE | {"test": 4}, "data": "redraw"}
    assert "redraw" in " ".join(faults(changed(figures=[spectrum], **keys)))
    assert study.parse(changed(figures=[curves], **keys), "x.yaml").figures


def test_variants_share_drawn_data_if_they_have_as_many_draws():
    variants = {"a": {}, "b": {"seeds": 4}, "c": {"widths": [8]}}
    raw = changed(dataset=NOISE, data="redraw", variants=variants)
    one = study.parse(raw, "x.yaml")
    assert [one.data_of(name) for name in "abc"] == ["a", "b", "a"]
