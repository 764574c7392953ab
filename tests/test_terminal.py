"""The terminal: the plugin, the state of a run, the words of `./run`."""

import contextlib
import fcntl
import importlib.util
import io
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from ntkpipe import study
from ntkpipe.progress import Progress
from ntkpipe.terminal import logs, misses, panel, symbols, words
from ntkpipe.terminal.board import Board, Planned

ROOT = Path(__file__).parent.parent
TINY = ROOT / "tests/workflow/config/studies/tiny.yaml"
TRACEBACK = "Traceback (most recent call last):\n  f()\nValueError: no\n"
STATUS = "returned non-zero exit status"
FAILS = 'echo "ntkpipe: mine.npz: no x_train; it has a"; exit 2'
# Ctrl-C reaches the processes of which the terminal is the controlling one
CONTROLLED = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)
JOB = """
echo "width 16, seed 0–3: step 40 of 100 (40%, 1 s)"
sleep {seconds}
[ "$1" != relu ] || {{ {relu}; }}
touch "$2"
"""


# ------------------------------------------------- a run of Snakemake


@pytest.fixture
def folder(tmp_path):
    shutil.copy(ROOT / "tests/terminal/Snakefile", tmp_path)
    return tmp_path


def command(folder, *options, relu=":", seconds="0.2"):
    (folder / "job.sh").write_text(JOB.format(relu=relu, seconds=seconds))
    profile = ["--workflow-profile", ROOT / "profiles/default"]
    return [sys.executable, "-m", "snakemake", "--cores", "1", *profile, *options]


def environment(**more):
    # pytest's workers state a width of 80 columns
    hidden = ("NO_COLOR", "TERM", "COLUMNS", "LINES")
    own = {k: v for k, v in os.environ.items() if k not in hidden}
    return (
        own
        | {"PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"}
        | {
            "TINY": str(TINY),
            "TERM": "xterm-256color",
            **more,
        }
    )


def piped(folder, *options, fails=0, env=None, **job):
    done = subprocess.run(
        command(folder, *options, **job),
        cwd=folder,
        env=environment(**(env or {})),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=120,
    )
    said = done.stdout.decode()
    assert done.returncode == fails, said
    return said


def on_terminal(folder, *options, columns=100, control_c=False, env=None, **job):
    """The exit status, and all that is written to a pseudo-terminal."""
    main, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", CONTROLLED, *command(folder, *options, **job)],
        cwd=folder,
        env=environment(**(env or {})),
        stdin=other,
        stdout=other,
        stderr=other,
        start_new_session=True,
    )
    os.close(other)
    written = b""
    with contextlib.suppress(OSError):  # the end of a terminal is an error
        while chunk := os.read(main, 65536):
            written += chunk
            if control_c and "running" in written.decode(errors="replace"):
                os.write(main, b"\x03")
                control_c = False
    os.close(main)
    return process.wait(timeout=60), written.decode()


def shown(written):
    """What stands on the terminal at the end, as lines."""
    lines, row, column = [""], 0, 0
    parts = r"\x1b\[([?0-9;]*)([A-Za-z])|\r|\n|[^\x1b\r\n]+"
    for found in re.finditer(parts, written):
        text, order = found[0], found[2]
        if text == "\r":
            column = 0
        elif text == "\n":
            row += 1
            lines += [""] * (row == len(lines))
        elif order == "A":
            row -= int(found[1] or 1)
        elif order == "K":
            lines[row] = "" if found[1] == "2" else lines[row][:column]
        elif not order:
            line = lines[row].ljust(column)
            lines[row] = line[:column] + text + line[column + len(text) :]
            column += len(text)
    return [line.rstrip() for line in lines if line.strip()]


@pytest.mark.workflow
def test_a_pipe_gets_a_line_for_each_study_and_the_summary(folder):
    said = piped(folder).splitlines()
    assert said[1].startswith("ntkpipe · 1 study · 3 jobs · 1 core · about ")
    assert said[2].startswith("✓ tiny: 2 jobs, jobs took")
    assert re.fullmatch(r"done in 0:0\d · 3 jobs, 0 failed", said[3])
    assert said[4:] == ["no verdicts yet: tiny", "logs: logs/"]
    log = next((folder / ".snakemake/log").glob("*.log")).read_text()
    assert "Finished jobid" in log  # the file has all messages
    assert "Nothing to be done" in piped(folder)


@pytest.mark.workflow
def test_a_failure_is_one_sentence_with_its_log(folder):
    said = piped(folder, relu=FAILS, fails=1)
    line = "✗ tiny: training relu at width 16: mine.npz: no x_train; it has a "
    assert said.count(line + "(logs/tiny/relu/width16/train.log)") == 2
    assert "1 of" not in said.split("ended after")[0].split("✗")[0]
    assert "2 of 3" not in said and "1 of 3 jobs done, 1 failed" in said
    assert "not run, because of these: 1 job" in said
    assert "CalledProcessError" not in said and "set -euo" not in said
    silent = piped(folder, "--quiet", "all", relu=FAILS, fails=1).splitlines()
    assert len(silent) == 2 and line in silent[1]


@pytest.mark.workflow
def test_a_job_that_is_tried_again_is_no_failure(folder):
    (folder / "once").touch()
    killed = "[ ! -e once ] || { rm once; kill -9 $$; }"
    said = piped(folder, "--retries", "1", relu=killed)
    assert said.count("↻ tiny: training relu at width 16: was killed (SIGKILL)") == 1
    assert "it is tried again" in said and "✗" not in said
    assert "3 jobs, 0 failed, 1 tried again" in said


@pytest.mark.workflow
@pytest.mark.parametrize("columns", [60, 100])
def test_the_panel_fits_the_terminal_and_leaves_the_summary(folder, columns):
    status, written = on_terminal(folder, columns=columns, seconds="1.5")
    assert status == 0
    assert "▶\x1b[0m tiny training" in written and "step 40 of 100" in written
    assert written.rstrip().count("\x1b[?25h") == 1  # the cursor is shown again
    drawn = re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", written)
    lines = re.split(r"[\r\n]+", drawn)[1:]
    assert max(len(line) for line in lines if "▶" in line or "█" in line) <= columns
    end = shown(written)
    assert [line for line in end if "done in" in line and "3 jobs, 0 failed" in line]
    assert not any("running" in line or "█" in line for line in end)


@pytest.mark.workflow
def test_control_c_stops_the_run_and_names_no_failure(folder):
    status, written = on_terminal(folder, control_c=True, seconds="20")
    end = "\n".join(shown(written))
    assert status == 1 and "stopped after 0:" in end
    assert "the same command goes on" in end and "✗" not in end


@pytest.mark.workflow
def test_colours_and_symbols_can_be_off(folder):
    status, written = on_terminal(
        folder, env={"NO_COLOR": "1", "PYTHONIOENCODING": "ascii"}, seconds="1.2"
    )
    assert status == 0 and written.isascii()
    assert not re.search(r"\x1b\[[0-9;]*3\dm", written)
    assert "####" in written and "> tiny training" in written


@pytest.mark.workflow
def test_own_messages_of_snakemake_are_shown_on_request(folder):
    assert "Would remove" not in (said := piped(folder, "--dry-run"))
    assert "Job stats:" in said and "tiny: training relu at width 16" in said
    said = piped(folder, "--printshellcmds")
    assert "sh job.sh relu" in said and "Finished jobid" in said
    assert "3 jobs, 0 failed" in said


@pytest.mark.workflow
def test_a_target_that_does_not_exist_is_explained(folder):
    said = piped(folder, "results/tiny/figures/kernl.svg", fails=1)
    assert "ntkpipe: no figure kernl in tiny; it has: kernel" in said
    assert "MissingRuleException" not in said
    said = piped(folder, "nothing.svg", fails=1)
    assert "MissingRuleException" in said


@pytest.mark.workflow
def test_a_fault_of_the_panel_loses_no_message(folder):
    broken = folder / "Snakefile"
    text = broken.read_text().replace(
        "rule all:",
        "import ntkpipe.terminal.screen as s\ns.summary = None\n\nrule all:",
    )
    broken.write_text(text)
    said = piped(folder, relu=FAILS, fails=1)
    assert "the panel stopped" in said and "Error in rule train" in said


# ------------------------------------------------- its parts


def board(**more):
    now = [0.0]
    made = Board(cores=2, studies=("a", "b"), clock=lambda: now[0], **more)
    made.plan(
        [
            Planned(0, "train", "a", 60.0),
            Planned(1, "train", "a", 60.0, needs=(0,)),
            Planned(2, "train", "b", 120.0, retries=1),
            Planned(3, "report", "", 1.5, needs=(1, 2)),
        ]
    )
    return made, now


def test_time_left_is_weighted_and_corrected_by_what_was_measured():
    made, now = board()
    assert made.seconds_left() == pytest.approx(241.5 / 2)
    made.start(0, "train", "a", "training", "", 1)
    now[0] = 180.0  # three times the prediction
    made.finish(0)
    assert 2.4 < made.rates()["train"] < 3
    rate = made.rates()["train"]
    assert made.seconds_left() == pytest.approx(120 * rate)  # the longest job
    assert made.share() == pytest.approx(60 / 241.5)
    made.share_of = lambda started: 0.25
    made.start(2, "train", "b", "training", "", 1)
    now[0] += 10  # a quarter in ten seconds
    assert made.seconds_left() == pytest.approx(60 * rate)
    made.share_of = lambda started: 0.05
    rest = 60 * rate + 190 + 1.5 * made.rates()["report"]
    assert made.seconds_left() == pytest.approx(max(rest / 2, 190))


def test_jobs_after_a_failed_one_are_not_waited_for():
    made, _ = board()
    assert not made.fail(2, "train", "killed", "").is_final
    assert made.failed == [] and made.repeated == 1
    assert made.fail(2, "train", "killed", "").is_final
    assert made.lost == {2, 3} and made.not_run == 1
    assert made.ended_studies() == ["b"] and made.failed_studies() == {"b", ""}


def test_lines_of_progress_are_read():
    stream = io.StringIO()
    told = Progress(stream)
    told.shown -= 60
    told("width 512, seed 8–15", 1200, 4800)
    assert logs.progress(stream.getvalue(), 16) == ("step 1,200 of 4,800", 0.625)
    line = "width 64, seed 11: step 30 of 60 (50%, 3 s)\n"
    assert logs.progress(line, 46) == ("seed 12 of 46", 0.25)
    assert logs.progress("ntkpipe: train: 4 seeds\n") is None


@pytest.mark.parametrize(
    ("log", "exception", "said", "reason"),
    [
        ("x\nntkpipe: a.npz is damaged\n", "", "", "a.npz is damaged"),
        (TRACEBACK, "", "", "stopped with ValueError: no"),
        ("ntkpipe: 3 diverged", f"{STATUS} 137", "", "was killed (SIGKILL)"),
        ("", f"{STATUS} 3", "", "failed with exit status 3"),
        ("", "", "SLURM-job '1' failed: 'TIMEOUT'. ", "SLURM-job '1' failed: 'T"),
        ("x", "died with <Signals.SIGTERM: 15>", "", "was ended by the signal SIGT"),
    ],
)
def test_the_reason_of_a_failure_is_in_the_log(log, exception, said, reason):
    assert logs.reason(log, exception, said).startswith(reason)


def test_a_miss_names_what_there_is():
    studies = {"tiny": study.load(TINY)}
    for target, says in {
        "figures/kernl.svg": "no figure kernl in tiny; it has: kernel",
        "figures/kernel.gif": "it has: kernel.csv, kernel.csv.json, kernel.png",
        "tanhh/width16/network.npz": "no variant tanhh in tiny; it has: tanh, relu",
        "relu/width17/network.npz": "no width17 in tiny, relu; it has: width16",
        "claim.csv": "did you mean results/tiny/claims.csv?",
    }.items():
        assert says in misses.miss(f"results/tiny/{target}", studies, "results")
    said = misses.miss("results/tinny/claims.csv", studies, "results")
    assert said.endswith("did you mean tiny?")
    assert misses.miss("elsewhere/x", studies, "results") == ""


def test_symbols_keep_their_length():
    line = f"{symbols.DONE} {symbols.bar(0.5, 4)} −0.5 ↻ …"
    assert symbols.plain(line, "utf-8") == line
    assert symbols.plain(line, "ascii") == "+ ##.. -0.5 ~ ~"


def test_estimates_are_coarse():
    assert [panel.about(s) for s in (3, 42, 231, 3000, 9000)] == [
        *("5 s", "40 s", "3:50", "50 min", "2 h")
    ]


# ------------------------------------------------- the words of ./run


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "tests/workflow/config", tmp_path / "config")
    monkeypatch.chdir(tmp_path)


RUN = ["--config", "run=['tiny']"]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ([], []),
        (["--dry-run"], ["--dry-run"]),
        (["--", "--help"], ["--help"]),
        (["tiny", "--dry-run"], ["--dry-run", *RUN]),
        (["study", "tiny"], RUN),
        (["plan", "all"], ["--dry-run", "--quiet", "--config", "run=['all']"]),
        (["figure", "tiny/kernel"], [*RUN, "--", "results/tiny/figures/kernel.svg"]),
        (["results/tiny/claims.csv"], [*RUN, "--", "results/tiny/claims.csv"]),
        (
            ["--config", "run=[x]", "results/tiny/claims.csv", "-n"],
            ["-n", "--config", "run=[x]", "--", "results/tiny/claims.csv"],
        ),
        (["tiny", "--config", "gallery="], ["--config", "gallery=", "run=['tiny']"]),
        (["--resources", "gpu=2", "a/b"], ["--resources", "gpu=2", "--", "a/b"]),
    ],
)
def test_words_stand_for_arguments_of_snakemake(checkout, given, found):
    assert words.arguments(given) == found


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["tests"], "no command, study or group 'tests'; did you mean test?"),
        (["tinny"], "did you mean tiny?"),
        (["study", "core"], "no study 'core'; the studies are tiny"),
        (["study"], "study needs a name"),
        (["figure", "tiny/kernl"], "no figure kernl in tiny; it has: kernel"),
        (["figure", "tiny"], "figure needs STUDY/NAME"),
    ],
)
def test_words_that_mean_nothing_are_refused(checkout, given, says):
    with pytest.raises(words.WordError, match=re.escape(says)):
        words.arguments(given)


def test_the_studies_of_quick_exist():
    there = words.groups(ROOT / "config/studies")
    assert {there[name] for name in words.QUICK} == {"core"}


@pytest.mark.parametrize(
    ("given", "status", "says"),
    [
        (["--help"], 0, "./run verify"),
        (["tests"], 2, "did you mean test?"),
        (["open"], 1, "there is no page yet"),
        (["verify", "tiny"], 1, "no verdicts yet: tiny"),
        (["verify", "-n"], 2, "needs --run"),
    ],
)
def test_commands_end_with_a_status(checkout, given, status, says):
    done = subprocess.run(
        [sys.executable, "-m", "ntkpipe.terminal", *given],
        env=environment(PYTHONSAFEPATH=""),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == status, done.stderr
    assert says in done.stdout + done.stderr and "Traceback" not in done.stderr


def test_the_manual_has_the_table_of_commands():
    text = (ROOT / "README.md").read_text("utf-8")
    for command_, does in words.TABLE:
        assert f"| `{command_}` | {does} |" in text


def test_the_package_with_the_name_that_snakemake_looks_for_has_the_plugin():
    name = "snakemake_logger_plugin_ntkpipe"
    path = ROOT / "ntkpipe/terminal/found" / name / "__init__.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    from ntkpipe.terminal.plugin import LogHandler

    assert module.LogHandler is LogHandler
