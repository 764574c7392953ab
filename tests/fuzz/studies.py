"""Mutated study files: each must give a valid study, or faults that name a key.

    python tests/fuzz/studies.py [COUNT] [SEED]

A valid study is also planned: its jobs, their inputs and costs, and the recorded steps.
Small data are drawn. No mutant may write a file, hang, or end in another way.
"""

import contextlib
import copy
import functools
import json
import math
import os
import random
import re
import signal
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
import yaml

from ntkpipe import artifacts, cost, study
from ntkpipe.stages import plan as planning
from ntkpipe.study.loader import document

ROOT = Path(__file__).parent.parent.parent
FILES = sorted((ROOT / "config" / "studies").glob("*.yaml"))
FILES += sorted((ROOT / "tests" / "workflow" / "config" / "studies").glob("*.yaml"))
FILES += sorted(Path(__file__).parent.glob("*.yaml"))
SMALL, FEW = 10**7, 600  # numbers of data, and points with a target, that are drawn
KEYS = set(study.schema()["properties"])
SECONDS = 10  # CPU time of one file; the slowest regular one takes a few

VALUES = [
    *(None, True, False, "", "a", "true", "1", "1e-3", " ", "\n", "\x00", "\ud7ff"),
    *(0, 1, -1, 2, 3.5, -0.0, 1e-320, 1e308, -1e308, 10**7, 10**9, 10**10, 10**17),
    *(2**31, 2**32, 2**63, 10**30, 10**400, math.nan, math.inf, -math.inf, 1e-9),
    *(
        "../../etc/passwd",
        "/etc/passwd",
        "a/../../b",
        "..",
        ".",
        "~",
        "$HOME",
        "a\x00b",
    ),
    *(
        "$(touch owned)",
        "`touch owned`",
        "; touch owned",
        "{width}",
        "{0}",
        "%s",
        "<results>",
    ),
    *("Ünïcödé", "ﬀ", "Ⅸ", "‮abc", "﻿", "😀" * 50, "a" * 5000, "é" * 64),
    *([], {}, [[]], [{}], {"kind": None}, {"kind": "nothing"}, {"kind": ["mlp"]}),
    *(
        [1, 2, 3],
        [1, 1],
        [0],
        [-5],
        [10**7] * 3,
        ["a"],
        [None],
        [[1.0, 2.0]],
        [math.nan],
    ),
    *({"a": {"b": {"c": {}}}}, {"": 1}, {"a b": {}}, {"../x": {}}, {"A": None}),
    *([3, 3], [0, 42], [[], []], {"kind": "product"}, {"kind": "npz", "path": ""}),
    *({"kind": "harmonics", "frequencies": [1], "amplitudes": [1, 2]}, "arrays.npz"),
    *("table.csv", "kind", ["y", "z"], {"kind": "csv", "path": "table.csv"}, 0.5),
    *({"figures": {}}, {"name": "x"}, {"1": 2}, {"16": 4}, {"kind": "values", "y": []}),
    list(range(1, 3000)),
]
WORDS = [
    *("&a ", "*a", "<<: *a", "!!python/object/apply:os.system ['touch owned']"),
    *(
        "!!python/name:os.system",
        "!!binary aGVsbG8=",
        "!!set {a}",
        "!!timestamp 2001-01-01",
    ),
    *(
        "!include /etc/passwd",
        "!",
        "!!",
        "? ",
        "- ",
        ": ",
        "|",
        ">",
        "%YAML 1.1\n---\n",
        "---\n",
    ),
    *(
        "...\n",
        "\t",
        "\r\n",
        "#",
        "'",
        '"',
        "{",
        "}",
        "[",
        "]",
        ",",
        "@",
        "`",
        "\x00",
        "\x07",
    ),
    *(
        "\u2028",
        "\ufeff",
        "\x85",
        "0x1F",
        "0o17",
        "017",
        "1_000",
        "12:30:45",
        ".inf",
        "-.INF",
    ),
    *(
        ".nan",
        "1e400",
        "1e-400",
        "9" * 40,
        "yes",
        "no",
        "on",
        "=",
        "~",
        "null",
        "2001-01-01",
    ),
    *(
        "[" * 2000,
        "{a: " * 500,
        "a: &x [1]\nb: *x\n",
        "- - - - - ",
        "\\" * 50,
        '"\\ud800"',
    ),
]


def bomb(rng):
    """A document that grows exponentially when its aliases are expanded."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for i in range(1, rng.randint(5, 30)):
        lines.append(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]")
    return "\n".join(lines)


def mutate_text(text, rng):
    """A few edits of the characters and lines of a file."""
    for _ in range(rng.choice([1, 1, 1, 2, 3, 10])):
        lines = text.split("\n")
        i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
        place = rng.randrange(len(text) + 1)
        edit = rng.randrange(11)
        if edit == 0:
            text = text[:place] + text[place + rng.choice([1, 2, 20]) :]
        elif edit == 1:
            text = text[:place] + rng.choice(WORDS) + text[place:]
        elif edit == 2:
            text = text[:place] + chr(rng.randrange(0xD7FF)) + text[place + 1 :]
        elif edit == 3:
            lines[i], lines[j] = lines[j], lines[i]
            text = "\n".join(lines)
        elif edit == 4:
            text = "\n".join(lines[:i] + lines[i + 1 :])
        elif edit == 5:
            text = "\n".join([*lines[: i + 1], *lines[i:]])
        elif edit == 6:
            lines[i] = " " * rng.randint(1, 3) + lines[i]
            text = "\n".join(lines)
        elif edit == 7:
            text = text[:place]
        elif edit == 8:
            text = bomb(rng) + "\n" + text
        else:  # replace a value, or part of a value, by a word
            lines[i] = re.sub(
                r"(?<=: ).*", lambda _: rng.choice(WORDS), lines[i], count=1
            )
            text = "\n".join(lines)
    return text


def places(tree, path=()):
    """All (path, value) within a tree of mappings and lists."""
    yield path, tree
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from places(value, (*path, key))
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from places(value, (*path, index))


def at(tree, path):
    """The value at a path."""
    for key in path:
        tree = tree[key]
    return tree


def mutate_tree(tree, rng):
    """A few edits of keys and values, as the text of a file."""
    tree = copy.deepcopy(tree)
    for _ in range(rng.choice([1, 1, 1, 1, 2, 4])):
        paths = [path for path, _ in places(tree) if path]
        if not paths:
            break
        path = rng.choice(paths)
        parent, key = at(tree, path[:-1]), path[-1]
        edit = rng.randrange(7)
        if edit == 0:
            del parent[key]
        elif edit == 1 and isinstance(parent, dict):
            name = str(key)
            slips = [name + "s", name[:-1], name.upper(), "", "é", "../" + name]
            parent[rng.choice([*slips, "kind", "figures", 3])] = parent.pop(key)
        elif edit == 2:
            parent[key] = copy.deepcopy(at(tree, rng.choice(paths)))
        elif edit == 3 and isinstance(parent[key], (int, float)):
            scale = rng.choice([0, -1, 0.5, 10, 1e3, 1e9, 1e20, 1e-20])
            with contextlib.suppress(OverflowError):  # a number too large for any file
                parent[key] = type(parent[key])(parent[key] * scale)
        elif edit == 4 and isinstance(parent, list):
            parent.extend([copy.deepcopy(parent[key])] * rng.choice([1, 2, 50]))
        elif edit == 5 and isinstance(parent, dict):
            parent[rng.choice(["x", "kind", "name", "text", "variants"])] = rng.choice(
                VALUES
            )
        else:
            parent[key] = rng.choice(VALUES)
    return yaml.safe_dump(tree, allow_unicode=rng.random() < 0.5, sort_keys=False)


def mutants(count, seed, files=FILES):
    """`count` mutated texts; the same for the same seed."""
    rng = random.Random(seed)
    texts = [path.read_text(encoding="utf-8") for path in files]
    trees = [yaml.safe_load(text) for text in texts]
    # half as many mutants of the large files, which take longest
    weights = [1 / len(text) for text in texts]
    for _ in range(count):
        [which] = rng.choices(range(len(texts)), weights)
        if rng.random() < 0.4:
            yield mutate_text(texts[which], rng)
        else:
            yield mutate_tree(trees[which], rng)


def plan(found):
    """Compute everything that Snakemake needs before it runs a job."""
    for variant, width in found.jobs():
        e = found.variants[variant]
        assert e.seeds_at(width) >= 1
    for e in found.variants.values():
        assert len(e.training.recorded()) <= e.training.record + 2
        e.training.snapshot_indices()
    for figure in found.figures:
        found.figure(figure.name)
        assert re.fullmatch("[A-Za-z0-9_-]+", figure.name)
    for variant in found.variants:
        assert re.fullmatch("[a-z0-9_-]+", variant)
    for stage, at in planning.products(found):
        json.dumps([stage.spec(at), stage.code(at)])
        assert all(place.study is found for _, place in stage.inputs(at))
    files = [*planning.files(found)]
    assert len(set(files)) == len(files), "two rules make one file"
    assert all(math.isfinite(number) for number in planning.of_study(found))
    for e in found.variants.values():
        for estimate in (cost.data_mb, cost.data_flop, cost.limit_mb):
            assert estimate(e) >= 0
        assert cost.constancy_mb(e) >= cost.all_widths(cost.kernel_mb)(e) >= 0
        assert cost.all_widths(cost.train_mb)(e) >= 0
        draw(e.dataset)


@functools.lru_cache
def draw(dataset):
    """Draw the data if they are few; an error must be a sentence."""
    n, m, d, k = dataset.sizes
    most = FEW if dataset.labeller else SMALL
    if n > most or (n + m) * (n + m + d) > SMALL:
        return
    try:
        data = dataset.sample(jax.random.key(0))
    except artifacts.ProductError:
        assert dataset.user_file
    except ValueError as error:
        assert "eigenvalue" in str(error), error  # only known once data are drawn
    else:
        shapes = [np.shape(array) for array in data]
        assert shapes == [(n, d), (n, k), (m, d), (m, k)], shapes


# faults of a whole file
WHOLE = ("not readable as YAML: ", "a study file is a mapping of keys", "… and more")


def names_a_key(fault, text):
    """Whether a fault is one line with a key, or is about the whole file."""
    if not str(fault).isprintable() or fault.text.startswith(WHOLE):
        return str(fault).isprintable()
    written = {
        str(key) for path, _ in places(document(text, "").values) for key in path
    }
    return bool(fault.key) and fault.key[0] in written | KEYS


def outcome(text):
    """`valid`, `refused`, or a description of an invalid outcome."""
    before = os.listdir()
    try:
        plan(study.parse(text, "fuzz.yaml"))
    except study.StudyError as error:
        bad = [fault for fault in error.faults if not names_a_key(fault, text)]
        if bad or not error.faults:
            return f"a fault that names nothing: {bad[:1]}"
        if len(str(error)) > 100_000:
            return "faults that nobody can read"
        return "refused"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:300]}"
    return "valid" if os.listdir() == before else "files were written"


def exit_codes(count, seed, files=FILES):
    """The exit status of `ntkpipe validate` for each mutant, in its own process."""
    from ntkpipe.cli import main

    path, codes = Path("fuzz.yaml"), []
    for text in mutants(count, seed, files):
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        codes.append(main(["validate", str(path)]))
    return codes


@contextlib.contextmanager
def own_folder():
    """A folder with the data of npz.yaml and csv.yaml; it shows new files."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        x, y = np.arange(6.0).reshape(3, 2), np.ones(3)
        np.savez("arrays.npz", x_train=x, y_train=y, x_test=x, y_test=y)
        rows = "a,b,kind,y,z\n1,5,u,2,7\n2,4,v,3,9\n3,3,u,1,8\n4,1,v,5,7\n"
        Path("table.csv").write_text(rows, encoding="utf-8")
        yield


def survey(count, seed, files=FILES):
    """The number of mutants by outcome, and invalid outcomes with reasons."""
    counts, wrong, slowest = {"valid": 0, "refused": 0}, [], 0.0

    def too_long(signal_, frame):
        raise TimeoutError(f"took more than {SECONDS} s")

    # CPU time, because other programs may slow down this one
    before = signal.signal(signal.SIGPROF, too_long)
    try:
        with own_folder():
            for text in mutants(count, seed, files):
                begin = time.process_time()
                signal.setitimer(signal.ITIMER_PROF, SECONDS)
                result = outcome(text)
                signal.setitimer(signal.ITIMER_PROF, 0)
                slowest = max(slowest, time.process_time() - begin)
                if result in counts:
                    counts[result] += 1
                else:
                    wrong.append((result, text))
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    return counts, wrong, slowest


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    begin = time.perf_counter()
    counts, wrong, slowest = survey(count, seed)
    for reason, text in wrong[:20]:
        print(f"--- {reason}\n{text[:2000]}\n")
    print(
        f"{count} files: {counts['valid']} valid, {counts['refused']} refused, "
        f"{len(wrong)} wrong; slowest {slowest:.2f} s, "
        f"in all {time.perf_counter() - begin:.0f} s"
    )
    sys.exit(bool(wrong))
