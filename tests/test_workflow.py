"""The workflow as a user meets it: Snakemake in a temporary folder, a tiny study.

One folder is run once; tests that change something use a copy of it. The jobs that a
change would run are read from the table of jobs that a dry run prints.
"""

import ast
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ntkpipe import artifacts, runtime

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.workflow
AGGREGATES = {"measure": 1, "claims": 1, "figure": 1, "report": 1}


def command(folder, *arguments, checkout=ROOT):
    where = ["--snakefile", checkout / "Snakefile", "--directory", folder]
    return [sys.executable, "-m", "snakemake", *where, "--cores", "2", *arguments]


def environment(checkout=ROOT):
    """Environment variables: use the CPU, and the package of the checkout."""
    return {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(checkout)}


def snakemake(folder, *arguments, checkout=ROOT, fails=0):
    """Run Snakemake and return what it prints."""
    done = subprocess.run(
        command(folder, *arguments, checkout=checkout),
        cwd=folder,
        env=environment(checkout),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )
    assert done.returncode == fails, done.stdout
    return done.stdout


def planned(folder, checkout=ROOT):
    """The number of jobs of each rule that would run."""
    text = snakemake(folder, "--dry-run", checkout=checkout)
    if "Nothing to be done" in text:
        return {}
    table = text.partition("Job stats:")[2].partition("\n\n")[0]
    jobs = {rule: int(n) for rule, n in re.findall(r"^(\w+) +(\d+)$", table, re.M)}
    return {rule: n for rule, n in jobs.items() if rule not in ("all", "total")}


@pytest.fixture
def copy(finished, tmp_path):
    """A copy of the finished study, with the same times of files."""
    return Path(shutil.copytree(finished, tmp_path / "copy"))


@pytest.fixture
def checkout(tmp_path):
    """A copy of workflow and package, to be edited."""
    folder = tmp_path / "checkout"
    for part in ("ntkpipe", "workflow", "profiles"):
        shutil.copytree(ROOT / part, folder / part)
    for part in ("Snakefile", "environment.yml"):
        shutil.copy(ROOT / part, folder)
    return folder


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def edit_study(folder, old, new):
    edit(folder / "config" / "studies" / "tiny.yaml", old, new)


def insert(path, function, statement):
    """Put a statement before the last one of a function or method."""
    text = path.read_text(encoding="utf-8")
    nodes = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef)]
    last = next(n for n in nodes if n.name == function).body[-1]
    lines = text.splitlines(keepends=True)
    lines.insert(last.lineno - 1, " " * last.col_offset + statement + "\n")
    path.write_text("".join(lines), encoding="utf-8")


# ------------------------------------------------- numbers


def test_claims_are_those_of_the_measurements(finished):
    results = finished / "results" / "tiny"
    claims = pd.read_csv(results / "claims.csv").set_index("claim")
    assert claims["verdict"].to_dict() == {"still": "supported", "fits": "supported"}
    rows = pd.read_csv(results / "measurements.csv")
    change = rows.query("metric == 'ntk_change' and variant == 'tanh' and step == 100")
    assert change.groupby("width").size().to_dict() == {16: 4, 32: 4, 64: 4}
    mean = np.log(change["value"]).groupby(change["width"]).mean()
    slope = np.polyfit(np.log(mean.index), mean, 1)[0]
    assert claims.loc["still", "estimate"] == pytest.approx(slope, rel=1e-10)
    assert slope == pytest.approx(-1, abs=0.6)
    loss = rows.query("metric == 'loss_ratio' and variant == 'relu'")["value"]
    assert claims.loc["fits", "estimate"] == pytest.approx(loss.max(), rel=1e-12)


def test_measurements_are_those_of_the_products(finished):
    results = finished / "results" / "tiny"
    data = artifacts.load(results / "tanh" / "dataset.npz").data
    width = results / "tanh" / "width32"
    network = artifacts.load(width / "network.npz").data
    linear = artifacts.load(width / "linearized.npz").data
    limit = artifacts.load(results / "tanh" / "limit.npz").data
    rows = pd.read_csv(results / "measurements.csv")
    rows = rows.query("variant == 'tanh' and width == 32 and seed == 2 and step == 100")
    value = rows.set_index("metric")["value"]

    before, after = network["ntk"][2, 0].ravel(), network["ntk"][2, -1].ravel()
    change = np.linalg.norm(after - before) / np.linalg.norm(before)
    assert value["ntk_change"] == pytest.approx(change, rel=1e-10)
    gap = network["f_train"][2] - linear["f_train"][2]
    gap = np.sqrt((gap**2).mean((1, 2))).max()
    assert value["linear_gap"] == pytest.approx(gap, rel=1e-10)
    residual = network["f_train"][2, -1] - data["y_train"]
    assert network["loss"][2, -1] == pytest.approx((residual**2).sum() / 8, rel=1e-10)
    # one step of the linearised model, written out: f − (η/N) Θ (f − y)
    f0, theta = linear["f_train"][2, 0, :, 0], network["ntk"][2, 0, :, 0, :, 0]
    step = f0 - theta @ (f0 - data["y_train"][:, 0]) / 4
    assert linear["f_train"][2, 1, :, 0] == pytest.approx(step, rel=1e-10)
    kernel = network["ntk"][:, 0, :, 0, :, 0].mean(0)
    distance = np.linalg.norm(kernel - limit["ntk_train_train"])
    assert distance < 0.5 * np.linalg.norm(kernel)


def test_every_file_of_the_figure_and_the_page_are_there(finished):
    results = finished / "results"
    for ending in ("csv", "png", "svg", "pdf", "column.pdf"):
        assert (results / "tiny" / "figures" / f"kernel.{ending}").stat().st_size > 100
    page = (results / "index.html").read_text(encoding="utf-8")
    assert "The kernel stands still" in page and "supported" in page
    assert re.search(r"Run time \d+ (s|min)", page)


# ------------------------------------------------- what runs again


def test_a_second_run_has_nothing_to_do(finished):
    assert planned(finished) == {}


def test_the_page_keeps_studies_of_earlier_runs(copy):
    page, folder = copy / "results" / "index.html", copy / "config" / "studies"
    text = (folder / "tiny.yaml").read_text(encoding="utf-8")
    never, broken = folder / "never.yaml", folder / "broken.yaml"
    never.write_text(re.sub("(?m)^title:.*", "title: Another one", text))
    broken.write_text("titel: Broken\n")
    (folder / "second.yaml").write_text(
        """
title: A second study
question: Is it on the page, too?
dataset: {kind: points, x: [[1], [2]], y: [[0], [1]]}
model: {depth: 1}
training: {learning_rate: 0.1, steps: 4}
widths: [4]
linearize: none
""",
        encoding="utf-8",
    )

    def run(*words):
        snakemake(copy, "--config", f"run=[{','.join(words)}]")
        again = snakemake(copy, "--dry-run", "--config", f"run=[{','.join(words)}]")
        assert "Nothing to be done" in again
        shown = page.read_text(encoding="utf-8")
        waiting = shown[shown.index('class="unshown"') : shown.index("<section class")]
        return set(re.findall('id="study-([a-z]+)"', shown)), waiting

    shown, waiting = run("second")
    assert shown == {"tiny", "second"}
    assert "./run never" in waiting and "broken.yaml: title" in waiting
    never.unlink()
    broken.unlink()
    # results of other settings are not those of the study
    edit_study(copy, "learning_rate: 1", "learning_rate: 0.5")
    shown, waiting = run("second")
    assert shown == {"second"} and "./run tiny" in waiting


def test_a_new_width_trains_this_width_only(copy):
    edit_study(copy, "widths: [16, 32, 64]", "widths: [16, 32, 48, 64]")
    new = {"train": 1, "linearize": 1, "constancy": 1}
    assert planned(copy) == new | AGGREGATES


def test_other_seeds_train_but_keep_data_and_limit(copy):
    edit_study(copy, "seeds: 4", "seeds: 5")
    assert planned(copy) == {"train": 4, "linearize": 3, "constancy": 2} | AGGREGATES


def test_a_users_file_that_is_replaced_by_an_older_one_is_read_again(copy):
    x, path = np.arange(6.0).reshape(3, 2), copy / "mine.npz"
    own = "variants:\n  own: {dataset: {kind: npz, path: mine.npz}}\n"
    edit_study(copy, "variants:\n", own)
    made = "results/tiny/own/dataset.npz"
    for scale in (1, 2):
        np.savez(path, x_train=scale * x, y_train=x[:, 0], x_test=x, y_test=x[:, 1])
        os.utime(path, (1000, 1000))
        snakemake(copy, made)
        assert (artifacts.load(copy / made).data["x_train"] == scale * x).all()
    path.unlink()
    assert "MissingInputException" in snakemake(copy, made, "--forceall", fails=1)


def test_an_edited_table_trains_again_and_an_untouched_one_does_not(copy):
    path = copy / "mine.csv"
    own = "variants:\n  own: {dataset: {kind: csv, path: mine.csv, target: y}}\n"
    edit_study(copy, "variants:\n", own)
    made = [
        f"results/tiny/own/{name}" for name in ("dataset.npz", "width16/network.npz")
    ]
    table = pd.DataFrame({"x": range(6), "z": [1, 0, 2, 0, 3, 0], "y": range(6)})
    for change in (0, 1):
        table.assign(y=table["y"] ** 2 + change * (table["x"] == 3)).to_csv(path)
        edit(path, ",x,", "row,x,")
        os.utime(path, (1000, 1000))
        snakemake(copy, *made)
        both = [artifacts.load(copy / name) for name in made]
        lineage = [line for one in both for line in one.meta["inputs"]]
        digest = artifacts.users_digest(path)
        assert lineage.count(["file", "own", None, digest]) == 2
        assert "Nothing to be done" in snakemake(copy, *made, "--dry-run")


def test_kernels_in_an_edited_file_train_again_and_others_do_not(copy):
    own = "variants:\n  own:\n    model: {kind: kernel, of: mine.npz}\n"
    own += "    dataset: {kind: npz, path: data.npz}\n    widths: [16]\n    seeds: 1\n"
    own += "    training: {snapshots: 2}\n"
    edit_study(copy, "variants:\n", own)
    edit_study(copy, "model:\n", "model:\n  kind: mlp\n")
    x, path = np.arange(6.0).reshape(3, 2), copy / "mine.npz"
    np.savez(copy / "data.npz", x_train=x, y_train=x[:, 0], x_test=x, y_test=x[:, 1])
    made = "results/tiny/own/width16/network.npz"
    for scale in (1.0, 2.0):
        theta = scale * np.eye(3)
        np.savez(path, ntk=theta, ntk_test=theta, ntk_end=theta)
        os.utime(path, (1000, 1000))
        snakemake(copy, made)
        found = artifacts.load(copy / made)
        assert (found.data["ntk"][0, 0, :, 0, :, 0] == theta).all()
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert ["file", "own", 16, digest] in found.meta["inputs"]
        assert "Nothing to be done" in snakemake(copy, made, "--dry-run")
    path.rename(copy / "results" / "mine.npz")
    edit_study(copy, "of: mine.npz", "of: results/tiny/mine.npz")
    said = snakemake(copy, made, "--dry-run", fails=2)
    assert "results/tiny/mine.npz is in a folder of results or logs" in said


def test_a_figure_may_be_called_as_the_table_of_a_variant(copy):
    edit_study(copy, "  - name: kernel\n", "  - name: constancy\n")
    assert planned(copy) == {"figure": 1, "report": 1}


def test_results_without_records_are_reported_and_other_settings_named(copy):
    assert "no record" not in snakemake(copy, "--dry-run")
    (copy / ".snakemake" / "metadata").rename(copy / "elsewhere")
    said = snakemake(copy, "--dry-run")
    assert "no record (.snakemake/metadata) of" in said and "Nothing to be" in said
    assert "--forceall" in said and ".npz" not in said
    edit_study(copy, "learning_rate: 1", "learning_rate: 0.5")
    said = snakemake(copy, "--dry-run")
    assert "tiny/tanh/width16/network.npz" in said and "Nothing to be" in said
    assert re.search(r"\.npz.* and \d+ more; --forceall", said)


def test_words_of_a_study_redraw_and_rewrite_only(copy):
    # the page shows the study file
    edit_study(copy, "question: >-", "# a comment\nquestion: >-\n  In other words:")
    assert planned(copy) == {"report": 1}
    edit_study(copy, "caption: Relative", "caption: The relative")
    assert planned(copy) == {"figure": 1, "report": 1}


def test_comments_and_docstrings_run_nothing_again(finished, checkout):
    for path in (checkout / "ntkpipe").rglob("*.py"):
        text = path.read_text(encoding="utf-8").replace('"""', '"""Note. ', 1)
        path.write_text(text + "\n# a comment\n", encoding="utf-8")
    assert planned(finished, checkout) == {}


def test_an_edit_of_a_stage_runs_this_one_and_what_follows(finished, checkout):
    insert(checkout / "ntkpipe" / "stages" / "linearize.py", "run", "edited = 1")
    plan = planned(finished, checkout)
    assert plan == {"linearize": 3, "constancy": 1} | AGGREGATES


def test_an_edit_of_the_measurements_does_not_train_again(finished, checkout):
    path = checkout / "ntkpipe" / "measurements" / "modes.py"
    insert(path, "modes", "edited = 1")
    assert planned(finished, checkout) == {"constancy": 2} | AGGREGATES


def test_an_edit_of_a_kind_of_figure_redraws_only_this_kind(finished, checkout):
    figures = checkout / "ntkpipe" / "figures"
    for kind, jobs in (
        ("heatmap", {"report": 1}),
        ("scaling", {"figure": 1, "report": 1}),
    ):
        insert(figures / f"{kind}.py", "table", "edited = 1")
        assert planned(finished, checkout) == jobs


def test_an_edit_of_how_studies_are_read_runs_nothing(finished, checkout):
    for name in ("study", "cost", "provenance", "cli", "stages/job"):
        with (checkout / "ntkpipe" / f"{name}.py").open("a") as file:
            file.write("edited = 1\n")
    assert planned(finished, checkout) == {}


# ------------------------------------------------- accidents


def test_the_scheduler_looks_at_waiting_jobs_when_one_has_ended(tmp_path):
    folder = tmp_path / "waits"
    shutil.copytree(ROOT / "tests" / "workflow", folder)
    (folder / "Snakefile").write_text(
        f"""
include: "{ROOT}/Snakefile"


rule wait:
    output:
        "{{n}}.done",
    shell:
        "sleep 1; env > {{output}}"


rule waits:
    input:
        expand("{{n}}.done", n=range(12)),
"""
    )
    run = [sys.executable, "-m", "snakemake", "--cores", "2", "--verbose", "waits"]
    said = subprocess.run(
        run, cwd=folder, env=environment(), capture_output=True, text=True, timeout=120
    )
    assert said.returncode == 0, said.stderr
    # every job starts a shell that sets these
    variables = {f"{name}={value}" for name, value in runtime.KEEP_FREED.items()}
    assert variables <= set((folder / "0.done").read_text().splitlines())
    # 13 jobs; with the timers that Snakemake starts at each pass, it was 37
    assert 6 <= said.stderr.count("Ready jobs:") <= 16


def test_a_damaged_product_is_named_and_can_be_deleted(copy):
    network = copy / "results" / "tiny" / "relu" / "width16" / "network.npz"
    network.write_bytes(network.read_bytes()[:1000])
    said = snakemake(copy, fails=1)
    assert "relu/width16/network.npz is damaged" in said
    assert "delete it and run again" in said and "Traceback" not in said
    network.unlink()
    snakemake(copy)


def test_a_lock_is_kept_while_its_run_lives_and_cleared_after_kill_9(copy):
    results, study = copy / "results", copy / "results" / "tiny"
    network = study / "relu" / "width16" / "network.npz"
    whole, verdicts = network.read_bytes(), (study / "claims.csv").read_bytes()
    shutil.rmtree(study / "relu")
    for path in (
        study / "measurements.csv",
        study / "claims.csv",
        results / "index.html",
    ):
        path.unlink()
    log = copy / "logs" / "tiny" / "relu" / "width16" / "train.log"
    log.unlink()

    run = subprocess.Popen(command(copy, "--quiet", "all"), cwd=copy, env=environment())
    while not log.exists() and run.poll() is None:
        time.sleep(0.05)
    os.kill(run.pid, signal.SIGSTOP)  # so that it does not end during the test
    assert "LockException" in snakemake(copy, fails=1)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    assert any((copy / ".snakemake" / "locks").iterdir())

    snakemake(copy)
    assert planned(copy) == {}
    # the next run makes the same files, byte for byte
    assert network.read_bytes() == whole
    assert (study / "claims.csv").read_bytes() == verdicts


def test_a_page_without_the_gallery_is_one_setting_away(finished):
    plan = snakemake(finished, "--dry-run", "--config", "gallery=")
    assert "Nothing to be done" in plan


def test_a_fault_of_a_study_is_reported_with_exit_status_2(copy):
    edit_study(copy, "steps: 100", "stepps: 100")
    said = snakemake(copy, fails=2)
    assert (
        "studies/tiny.yaml: training.stepps: unknown key; did you mean steps?" in said
    )
    assert "training.steps: is missing" in said and "Traceback" not in said


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("run=[tinny]", "did you mean tiny?"),
        ("runn=all", "'runn' was unexpected"),
        ("pathvars={results: ''}", "config.pathvars.results: '' does"),
        ("pathvars={logs: /}", "config.pathvars.logs"),
    ],
)
def test_a_fault_of_the_configuration_is_reported_with_exit_status_2(
    finished, setting, says
):
    said = snakemake(finished, "--dry-run", "--config", setting, fails=2)
    assert says in said and "Traceback" not in said


@pytest.mark.parametrize("kind", ["kind: npz", "kind: csv, target: verdict"])
def test_data_where_products_are_written_are_refused(copy, kind):
    own = f"variants:\n  own: {{dataset: {{{kind}, path: results/tiny/claims.csv}}}}\n"
    edit_study(copy, "variants:\n", own)
    said = snakemake(copy, "--dry-run", fails=2)
    assert "tiny: own: dataset.path: results/tiny/claims.csv is in a folder" in said


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        (".snakemake", False),
        (".snakemake/alive.lock", True),
        ("logs", False),
        ("results/tiny/tanh", False),
    ],
)
def test_a_file_in_place_of_a_folder_is_reported_in_a_sentence(tmp_path, path, folder):
    shutil.copytree(ROOT / "tests" / "workflow", tmp_path, dirs_exist_ok=True)
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).mkdir() if folder else (tmp_path / path).touch()
    said = snakemake(tmp_path, fails=1)
    assert f"ntkpipe: {path} is a {'folder' if folder else 'file'}" in said
    assert "Traceback" not in said and "Error" not in said


@pytest.mark.parametrize(
    ("stage", "options", "says"),
    [
        ("train", "--variant tanh --width 17", "no width 17: there are 16, 32, 64"),
        ("train", "--variant= --width 16", "no variant '': there are tanh, relu"),
        ("figure", "--name nope", "no figure 'nope'"),
    ],
)
def test_commands_report_what_a_study_does_not_have(finished, stage, options, says):
    study = finished / "config" / "studies" / "tiny.yaml"
    by_hand = [stage, study, *options.split(), "--output", "x.npz"]
    done = subprocess.run(
        [sys.executable, "-m", "ntkpipe", *by_hand],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert says in done.stderr and "Traceback" not in done.stderr


# ------------------------------------------------- verdicts, report, style


def test_verify_fails_when_a_verdict_is_not_as_expected(copy):
    def verify(fails, *words):
        run = [sys.executable, "-m", "ntkpipe", "verify", *words]
        done = subprocess.run(
            run, cwd=copy, env=environment(), capture_output=True, text=True
        )
        assert done.returncode == fails, done.stdout + done.stderr
        return done.stdout

    table = copy / "results" / "tiny" / "claims.csv"
    before = table.stat().st_mtime_ns
    assert verify(0) == "2 of 2 laws and numbers as expected\n"
    edit_study(copy, "  - id: fits\n", "  - id: fits\n    nature: control\n")
    assert "with other settings" in verify(1, "tiny")
    assert table.stat().st_mtime_ns == before  # it computes nothing
    snakemake(copy)
    said = verify(1)
    assert "✗ tiny: fits is supported" in said
    assert "1 of 1 law or number as expected; 0 of 1 control refuted" in said
    table.unlink()
    assert "no verdicts yet: tiny" in verify(1, "tiny")


def test_snakemakes_report_has_the_captions(finished, tmp_path):
    page = tmp_path / "report.html"
    snakemake(finished, "--report", page)
    assert "the accepted band and when it was set" in page.read_text(encoding="utf-8")


def test_the_rules_pass_lint_and_format(finished):
    said = snakemake(finished, "--lint")
    assert "good condition" in said
    files = [ROOT / "Snakefile", ROOT / "workflow"]
    snakefmt = Path(sys.executable).parent / "snakefmt"
    subprocess.run([snakefmt, "--check", *files], check=True, capture_output=True)
