"""The manuals are true: their code runs, and their tables are those of the code."""

import ast
import dataclasses
import importlib.util
import re
import tomllib
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest
import yaml
from helpers import run_study

import ntkpipe
from ntkpipe import artifacts, claims, cli, measurements, study
from ntkpipe.stages import CLAIMS, STAGES, Place
from ntkpipe.stages.job import Job

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
MANUALS = sorted(
    {
        *(
            path
            for folder in (".", "config", "profiles", "results", "examples")
            for path in (ROOT / folder).glob("*.md")
        ),
        *DOCS.rglob("*.md"),
    }
)
NOTEBOOKS = sorted((DOCS / "learn").glob("*.py"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
VERBS = {"help", "quick", "plan", "study", "figure", "open"}
VERBS |= {"verify", "replicate", "ask", "test", "all"}
WRITTEN = {"depth", "patients"}  # studies that the reader writes
HINT = "python docs/refresh.py"


def module(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def read(path):
    """The text of a manual; of a notebook the cells of text."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return text
    return "\n".join(
        line.removeprefix("#").removeprefix(" ")
        for line in text.splitlines()
        if line.startswith("#")
    )


def name(path):
    return str(path.relative_to(ROOT))


refresh = module(ROOT / "docs" / "refresh.py")
PAGE_OF = {block: page for page, blocks in refresh.PAGES.items() for block in blocks}


def code(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


def headings(text):
    """Anchors of the headings of a Markdown text, as on GitHub."""
    titles = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.S), re.M)
    return {
        re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-")
        for title in titles
    }


# ------------------------------------------------- generated parts


@pytest.mark.parametrize("block", refresh.keys())
def test_tables_of_keys_are_those_of_the_sections(block):
    text = read(ROOT / PAGE_OF[block])
    assert refresh.body(text, block) == refresh.keys()[block].strip(), HINT


@pytest.mark.parametrize(
    ("page", "block", "make"),
    [
        ("reference/metrics.md", "metrics", refresh.metrics_table),
        ("reference/command-line.md", "commands", refresh.commands),
        ("use/cite.md", "cite", refresh.cited_example),
        ("gallery.md", "gallery", refresh.gallery_text),
    ],
)
def test_other_tables_are_those_of_the_code(page, block, make):
    assert refresh.body(read(DOCS / page), block) == make().strip(), HINT


def test_every_block_is_generated():
    files = refresh.files(ROOT / "results")
    others = {"docs/coverage.md": {"coverage"}}  # tests/coverage.py writes it
    for path in MANUALS:
        blocks = set(re.findall(r"<!-- begin (.+?) -->", read(path)))
        assert blocks == set(files.get(name(path), others.get(name(path), ())))


@pytest.mark.workflow
def test_the_table_of_rules_is_that_of_the_workflow():
    text = read(DOCS / "develop" / "design.md")
    assert refresh.body(text, "rules") == refresh.rules_table(), HINT


def test_every_argument_of_a_command_is_explained():
    for row in re.findall(r"^\| `.+$", refresh.commands(), re.M):
        assert not row.endswith("|  |"), row


def test_claims_in_the_manual_are_those_of_the_study_files():
    table = refresh.body((ROOT / "docs" / "claims.md").read_text("utf-8"), "claims")
    heading = re.compile(r"^## \[.+?\]\(\.\./(config/studies/.+?)\)$", re.M)
    parts = heading.split(table)[1:]
    assert len(parts) // 2 == len(list(refresh.STUDIES.glob("*.yaml")))
    for path, rows in zip(parts[::2], parts[1::2], strict=True):
        shown = re.findall(r"^\| (?!claim |---)(.+?) \| ", rows, re.M)
        stated = study.load(ROOT / path).claims
        assert shown == [refresh.name_of(claim) for claim in stated], HINT


def test_the_verdicts_of_the_release_are_those_of_the_manual():
    table = refresh.body((ROOT / "docs" / "claims.md").read_text("utf-8"), "claims")
    release = pd.read_csv(refresh.RELEASE, dtype=str)
    parts = re.split(
        r"^## \[.+?\]\(\.\./config/studies/(.+?)\.yaml\)$", table, flags=re.M
    )
    for name, rows in zip(parts[1::2], parts[2::2], strict=True):
        words = re.findall(r"\| (?:\*\*)?[✓✗?–] (\w+)(?=[^|]*\|$)", rows, re.M)
        assert words == release["verdict"][release["study"] == name].to_list(), HINT


def test_the_verdicts_of_measured_studies_are_released(tmp_path):
    release = pd.read_csv(refresh.RELEASE, dtype=str)
    assert refresh.released(tmp_path) == release.to_csv(index=False)
    one = study.load(ROOT / "config" / "studies" / "width.yaml")
    empty = pd.DataFrame(columns=list(artifacts.TABLES["measurements"]))
    verdicts = [claim.evaluate(empty)._replace(study="width") for claim in one.claims]
    (tmp_path / "width").mkdir()
    output = str(tmp_path / "width/claims.csv")
    job = Job(CLAIMS, Place(one), inputs=(), outputs=(output,))
    job.write_table(claims.table(verdicts))
    lines = refresh.released(tmp_path).splitlines()
    assert len(lines) == 1 + len(release)
    assert [line for line in lines if line.startswith("width,")] == [
        f"width,{claim.id},missing" for claim in one.claims
    ]


def test_a_table_of_claims_shows_what_was_measured(tmp_path):
    path = ROOT / "config" / "studies" / "width.yaml"
    one = study.load(path)
    table = refresh.claims_table(tmp_path)
    assert table.startswith("No claim was measured yet")
    assert table.count(refresh.NOT_MEASURED) > 5
    verdicts = [
        claim.evaluate(pd.DataFrame(columns=list(artifacts.TABLES["measurements"])))
        for claim in one.claims
    ]
    first = verdicts[0]._replace(
        estimate=-0.93321,
        ci_low=-0.9561,
        ci_high=-0.91,
        predicted=-1.0,
        level=0.95,
        interval="two-sided",
        low=-1.15,
        high=-0.85,
        verdict="supported",
        as_expected=True,
    )
    (tmp_path / "width").mkdir()
    frame = claims.table([first, *verdicts[1:]]).assign(study="width")
    output = str(tmp_path / "width/claims.csv")
    Job(CLAIMS, Place(one), inputs=(), outputs=(output,)).write_table(frame)
    table = refresh.claims_table(tmp_path)
    measured = "−0.933 [−0.956, −0.910] | 95 % two-sided | ✓ supported ≈ |"
    assert f"| after pilot | [−1.15, −0.85] | {measured}" in table
    assert f"1 of {len(verdicts) - 1} laws and numbers as expected" in table
    assert "0 of 1 control refuted" in table
    assert "**– missing**" in table
    counted = refresh.verdicts_table(tmp_path)
    assert f"| 1 of {len(verdicts)} | **{one.claims[1].id}: missing**" in counted


def test_blocks_are_replaced_and_nothing_else():
    text = "a\n<!-- begin x -->\nold\n<!-- end x -->\nb\n"
    new = refresh.replaced(text, "x", "new\n")
    assert new == "a\n<!-- begin x -->\n\nnew\n\n<!-- end x -->\nb\n"
    assert refresh.body(new, "x") == "new"
    with pytest.raises(ValueError, match="begin y"):
        refresh.replaced(text, "y", "new")


# ------------------------------------------------- what is written by hand


def test_the_readme_names_what_a_reader_looks_for():
    for words in ("workflow", "./run  ", "./run test", "| command |", "CITATION.cff"):
        assert words in README, words
    assert len(README.splitlines()) <= 150
    text = read(DOCS / "start" / "install.md")
    by_hand = "pip install -r requirements.lock && pip install --no-deps -e ."
    assert by_hand in text and "snakemake --cores 2" in text


def test_python_of_the_package_runs():
    (text,) = code(read(DOCS / "reference" / "api.md"), "python")
    names = {}
    exec(text, names)
    theta, limit = np.asarray(names["theta"]), np.asarray(names["infinite"])
    assert theta.shape == (5, 2, 5, 2) and limit.shape == (5, 5)
    expected = np.einsum("nm,ij->nimj", limit, np.eye(2))
    assert np.linalg.norm(theta - expected) < 0.1 * np.linalg.norm(expected)
    assert jax.config.jax_enable_x64


def test_python_that_writes_data_makes_a_dataset(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = read(DOCS / "use" / "data.md")
    (program,) = code(text, "python")
    exec(program, {})
    keys = yaml.safe_load(code(text, "yaml")[1])
    study_text = yaml.safe_dump(yaml.safe_load(EXAMPLE) | keys)
    data = study.parse(study_text, "x.yaml").variants["deep"].dataset
    sample = data.sample(jax.random.key(0))
    assert sample.x_train.shape == (80, 5) and sample.y_test.shape == (40, 1)


def test_python_of_the_results_reads_them(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (program,) = code(read(DOCS / "use" / "figures.md"), "python")
    (path,) = re.findall(r'read_csv\("(.+?)"\)', program)
    Path(path).parent.mkdir(parents=True)
    Path(path).write_text("step,value\n0,1\n")
    exec(program, {})
    assert capsys.readouterr().out == "['step', 'value']\n"


EXAMPLE = code(read(DOCS / "use" / "experiment.md"), "yaml")[0]


def test_the_example_study_is_a_study():
    one = study.parse(EXAMPLE, "depth.yaml")
    assert len(list(one.jobs())) == 8
    assert sum(e.seeds_at(w) for e in one.variants.values() for w in e.widths) == 160
    assert len(one.claims) == len(one.figures) == 1
    assert len(EXAMPLE.splitlines()) <= 35


def yaml_of_the_manuals():
    for path in [*MANUALS, *NOTEBOOKS]:
        for i, text in enumerate(code(read(path), "yaml")):
            yield pytest.param(text, id=f"{name(path)}-{i + 1}")


@pytest.mark.parametrize("text", [*yaml_of_the_manuals()])
def test_yaml_of_the_manuals_is_valid(text, tmp_path):
    """A study, or keys of one: these replace those of the example."""
    values = yaml.safe_load(text)
    if "title" not in values:
        example = yaml.safe_load(EXAMPLE)
        example |= {"variants": {"base": {}}, "claims": [], "figures": []}
        values = example | values
    if values["model"].get("kind") == "python":
        source = (ROOT / "examples" / "residual.py").read_text("utf-8")
        (tmp_path / values["model"]["file"]).write_text(source, "utf-8")
    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump(values, allow_unicode=True), "utf-8")
    study.load(path)


@pytest.mark.parametrize("path", [*MANUALS, *NOTEBOOKS], ids=name)
def test_words_of_run_exist(path):
    files = [*(ROOT / "config" / "studies").glob("*.yaml")]
    files += (ROOT / "examples").glob("*.yaml")
    groups = {yaml.safe_load(f.read_text("utf-8")).get("group", "core") for f in files}
    known = VERBS | WRITTEN | groups | {file.stem for file in files}
    for word in re.findall(r"\./run ([a-z_]+)(?![\w/])", read(path)):
        assert word in known, word


LITERAL = re.compile(r"\s+")


def messages_of_the_code():
    """The texts of the code, with … in place of values."""
    files = [*(ROOT / "ntkpipe").rglob("*.py"), ROOT / "workflow/rules/startup.smk"]
    files.append(ROOT / "workflow/rules/common.smk")
    yield (ROOT / "run").read_text("utf-8")
    for file in files:
        text = file.read_text("utf-8").partition("\nRESULTS, LOGS")[0]
        nodes = [*ast.walk(ast.parse(text))]
        docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        for node in nodes:
            if id(node) in docstrings:
                continue
            if isinstance(node, ast.JoinedStr):
                yield "".join(
                    part.value if isinstance(part, ast.Constant) else "…"
                    for part in node.values
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield re.sub(r"\{\w+\}", "…", node.value)


def test_messages_of_the_manual_are_those_of_the_code():
    """Each part of a message, between …, is in a text of the code."""
    known = [LITERAL.sub(" ", text) for text in messages_of_the_code()]
    messages = code(read(DOCS / "use" / "troubleshooting.md"), "text")
    assert len(messages) >= 15
    for message in messages:
        parts = LITERAL.sub(" ", message).split("…")
        words = [part.removeprefix("ntkpipe: ").strip(" ();,:?") for part in parts]
        assert len(max(words, key=len)) >= 8
        for part in words:
            assert any(part in text for text in known), part


def test_every_page_of_the_manual_is_in_the_navigation():
    config = yaml.safe_load((DOCS / "site" / "mkdocs.yml").read_text("utf-8"))
    listed = set(re.findall(r"[\w/-]+\.md", str(config["nav"])))
    pages = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")}
    pages |= {f"learn/{path.stem}.md" for path in NOTEBOOKS}
    assert {page for page in listed if not page.startswith("repository/")} == pages
    for page in listed - pages:
        assert (ROOT / page.removeprefix("repository/")).exists(), page


@pytest.mark.parametrize("path", [*MANUALS, *NOTEBOOKS], ids=name)
def test_links_lead_somewhere(path):
    text = read(path)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        linked = path.parent / file if file else path
        assert linked.exists(), target
        if anchor:
            assert anchor in headings(read(linked)), target


@pytest.mark.parametrize("path", [*MANUALS, *NOTEBOOKS], ids=name)
def test_commands_exist_and_paths_are_of_the_repository(path):
    text = read(path)
    for stage in re.findall(r"python -m ntkpipe ([a-z]+)", text):
        # the worked example of a stage, which test_extensions.py runs
        known = STAGES.keys() | cli.COMMANDS.keys() | {"extremes"}
        assert stage in known, stage
    for script in re.findall(r"python (\S+\.py)", text):
        assert (ROOT / script).exists(), script
    # the reader writes the example study and the example rule of the manuals
    for file in set(
        re.findall(r"\b(?:config|profiles|docs|workflow)/[\w./-]+\w", text)
    ):
        made = {f"config/studies/{study}.yaml" for study in WRITTEN}
        made |= {"workflow/rules/extremes.smk", "config/studies/NAME.yaml"}
        assert (ROOT / file).exists() or file in made, file
    assert not re.search(r"(?<![\w.])/(work|root|home|tmp|usr)/", text)


def test_each_promise_names_an_existing_test():
    """docs/reliability.md has `test_name`, or the beginning of a name before …"""
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    functions = {
        path.name: set(re.findall(r"^def (test_\w+)\(", path.read_text("utf-8"), re.M))
        for path in (ROOT / "tests").glob("test_*.py")
    }
    everywhere = set().union(*functions.values())
    rows = [
        line.split("|")[2]
        for line in text.splitlines()
        if line.startswith("| ") and not line.startswith("| promise")
    ]
    assert len(rows) > 20
    for tests in rows:
        named = re.findall(r"`(?:(test_\w+\.py)(?:::)?)?(test_\w+)?(…?)`", tests)
        assert [name for name in named if any(name)], tests
        for file, name, rest in named:
            known = functions[file] if file else everywhere
            found = [f for f in known if f == name or (rest and f.startswith(name))]
            assert found or not name, (file, name)


def test_every_module_and_package_has_a_line_in_contributing():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `(\w+(?:\.py|/))` \|", text, re.M))
    package = ROOT / "ntkpipe"
    modules = {path.name for path in package.glob("*.py")}
    packages = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    top = {"benchmarks/", "config/", "docs/", "examples/", "profiles/", "tests/"}
    assert listed - top == modules | packages


def test_versions_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    newest = re.findall(r"^## \[(.+?)\]", changes, re.M)[0]
    assert newest == project["version"] == ntkpipe.__version__ == citation["version"]
    assert citation["license"] == project["license"]
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    for reference in citation["references"]:
        assert {"type", "title", "authors", "year"} <= set(reference)


def test_pictures_of_the_readme_are_small():
    for name in re.findall(r"!\[.+?\]\((.+?)\)", README):
        assert (ROOT / name).stat().st_size <= 200_000, name


STUDY = """
title: A
question: B?
dataset: {kind: circle, points: 16, target: {kind: teacher, outputs: 2}, test: 3}
model: {depth: 1, b_std: 0.1}
training:
  learning_rate: 0.2
  steps: 40
  test_kernel: true
  linear_weights: true
  unit_changes: true
  curvature: true
  sharpness: true
  ensemble: {networks: 20}
widths: [3]
seeds: 2
limit: steps
measure:
  {modes: 1, limit_points: 2, kernel_at: [0, 1], frequencies: [1, 2], fit_level: 0.99,
   loss_error: true}
variants:
  base: {}
  zero:
    model: {zero_output: subtract}
    training: {ensemble: null}
    measure: {straightness: true, limit_points: 0}
"""


def measured(one, tmp_path):
    """Run a study, and return the names of its metrics."""
    output = run_study(one, tmp_path)["measurements", "", 0]
    return set(artifacts.load(output).data["metric"])


def test_all_metrics_are_measured(tmp_path):
    one, found = study.parse(STUDY, "x.yaml"), set()
    for variant, experiment in one.variants.items():
        only = dataclasses.replace(one, variants={variant: experiment})
        names = measured(only, tmp_path / variant)
        found |= {name.partition("/")[0] for name in names}
    # metrics of networks that reached a loss, of hundreds of points on the circle, and
    # of a positive definite kernel
    rare = {
        "loss_rate",
        "ntk_condition",
        "undefined",
        "stop_step",
        "limit_ntk_mode",
        "limit_nngp_mode",
    }
    assert {metric.name for metric in measurements.METRICS} - found <= rare


@pytest.mark.parametrize("variant", ["base", "zero"])
def test_an_experiment_has_the_metrics_whose_needs_it_meets(variant, tmp_path):
    one = study.parse(STUDY, "x.yaml")
    e = one.variants[variant]
    only = dataclasses.replace(one, variants={variant: e})
    found = measured(only, tmp_path)
    for name in found:
        assert measurements.unknown(name) is None
        assert measurements.unmet(name, e) is None
    rare = ("undefined", "limit_ntk_mode", "limit_nngp_mode")
    for metric in measurements.METRICS:
        if not metric.unmet(e) and not metric.missing_is_expected:
            has = any(metric.matches(name) for name in found)
            assert has or metric.name in rare, metric.name
