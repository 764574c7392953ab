"""Change the package in one place at a time, and check that a test fails.

    python tests/mutants.py [PACKAGE …] [--seed N …] [--count N] [--jobs N]
                            [--only PATTERN] [--list]

A mutant is a copy of the code that is changed in one place. A line of the code is drawn
at random, then one of the operators below, then one of its changes of this line. A
mutant is killed if a test of its file fails, or takes much longer than with unchanged
code; otherwise it survives. A survivor means that a test is missing, or that the mutant
is equivalent, so that no test can detect it. `EQUIVALENT` lists equivalent mutants with
a reason; others are drawn in their place. The exit status is 1 if fewer than nine in
ten mutants of a seed are killed.

All work is done in copies in a temporary folder. Mutant N of a seed stays the same as
long as the code is unchanged. `--only` runs the mutants whose line matches a pattern.
The tests of unchanged code run once for all seeds.
"""

import argparse
import ast
import concurrent.futures
import contextlib
import functools
import os
import queue
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
CODE = "ntkpipe"
ENOUGH = 0.9  # share of mutants that must be killed
PATIENCE, LEAST = 4, 60  # time limit: 4 times the time of unchanged code, at least 60 s


class Number(NamedTuple):
    """The number of a mutant among those of a seed."""

    seed: int
    n: int


class Package(NamedTuple):
    """Patterns of the files that are changed, and of the test files that are run."""

    files: tuple[str, ...]
    tests: tuple[str, ...]


# A package is a folder of files, perhaps with a module beside it. Test files that have
# or contain the name of the changed file run first, then these in this order.
PACKAGES = {
    "kernels": Package(
        ("kernels/**/*.py",),
        (
            *("test_linear.py", "test_measurements.py", "test_precision.py"),
            *("test_infinite.py", "test_large.py", "test_empirical.py"),
            *("test_descent.py", "test_curvature.py", "test_taps.py"),
            "test_explain.py",
            *("test_cntk.py", "test_conv.py", "test_transformer.py"),
        ),
    ),
    "claims": Package(
        ("claims/**/*.py",),
        ("test_claims*.py", "test_statistics.py", "test_power.py", "test_study.py"),
    ),
    "measurements": Package(
        ("measurements/**/*.py", "metric.py"),
        ("test_measured.py", "test_measurements.py", "test_moments.py"),
    ),
    "training": Package(
        ("training/**/*.py",),
        (
            *("test_training.py", "test_losses.py", "test_optimizers.py"),
            *("test_users_loss.py", "test_cost.py"),
            *("test_moments.py", "test_measurements.py"),
            *("test_measured.py", "test_study.py"),
        ),
    ),
}

# (file, line, changed line): the reason why no test can distinguish the two lines.
EQUIVALENT: dict[tuple[str, str, str], str] = {
    (
        "measurements/kernel.py",
        "rounding = theta.shape[-1] * np.finfo(ntk.dtype).eps",
        "rounding = theta.shape[-2] * np.finfo(ntk.dtype).eps",
    ): "the kernel is a square matrix",
    (
        "measurements/frequencies.py",
        'size = fourier(network["f_train"] - data["y_train"])[..., list(chosen)]',
        'size = fourier((data["y_train"] - network["f_train"]))[..., list(chosen)]',
    ): "a Fourier component has the size of its opposite",
    (
        "kernels/curvature.py",
        "tiny = 100 * jnp.finfo(start.dtype).eps",
        "tiny = 200 * jnp.finfo(start.dtype).eps",
    ): "both are above rounding and far below what a Lanczos step leaves",
    (
        "kernels/infinite.py",
        'on_cpu = jax.default_backend() == "cpu"',
        'on_cpu = jax.default_backend() != "cpu"',
    ): "options of the compiler; the numbers are the same",
    (
        "claims/normal_law.py",
        "least = 1e-9 * most",
        "least = 2e-09 * most",
    ): "both are far below every half-width that is asked for",
    (
        "measurements/kernel.py",
        'pseudo = np.einsum("...nimj->...nm", ntk) / k',
        'pseudo = np.einsum("...nimj->...mn", ntk) / k',
    ): "the sum of a symmetric kernel over outputs is symmetric",
    (
        "claims/fits.py",
        "error = float(np.std(unexplained(draws), ddof=1)) if spread.any() else 0.0",
        "error = float(np.std(unexplained(draws), ddof=0)) if spread.any() else 0.0",
    ): "of thousands of draws; the error of drawing is larger by far",
    (
        "claims/base.py",
        "wide = [equivalence(r.low, r.high, *band) for r in intervals(corrected)]",
        "wide = [equivalence(r.high, r.low, *band) for r in intervals(corrected)]",
    ): "only `contradicted` is read; an interval is disjoint either way round",
    (
        "kernels/empirical.py",
        "@partial(jax.jit, donate_argnums=0)",
        "@partial(jax.jit, donate_argnums=-1)",
    ): "which memory may be reused; the numbers are the same",
    (
        "kernels/products.py",
        "iterations: int = 30,",
        "iterations: int = 31,",
    ): "one step more of the same recurrence; the stated errors hold for both",
}


# -- changes ------------------------------------------------------------------------


class Change(NamedTuple):
    """Bytes `start` to `end` of a file become `text`."""

    start: int
    end: int
    text: str


class Source:
    """A file, its syntax tree, and where the nodes of the tree are in it."""

    def __init__(self, code: str):
        self.code = code
        self.bytes = code.encode()
        self.tree = ast.parse(code)
        # reshape(-2) is reshape(-1)
        self.rest = {
            getattr(argument, "operand", None)
            for call in ast.walk(self.tree)
            if isinstance(call, ast.Call) and name(call.func) == "reshape"
            for argument in call.args
        }
        lines = self.bytes.splitlines(keepends=True)
        self.starts = [0]
        for line in lines:
            self.starts.append(self.starts[-1] + len(line))

    def start(self, node: ast.AST) -> int:
        return self.starts[node.lineno - 1] + node.col_offset

    def end(self, node: ast.AST) -> int:
        return self.starts[node.end_lineno - 1] + node.end_col_offset

    def text(self, start: int, end: int) -> str:
        return self.bytes[start:end].decode()

    def of(self, node: ast.AST) -> str:
        return self.text(self.start(node), self.end(node))

    def line(self, offset: int) -> int:
        """The number of the line, from 1."""
        return self.bytes.count(b"\n", 0, offset) + 1

    def replace(self, node: ast.AST, text: str) -> Change:
        return Change(self.start(node), self.end(node), text)

    def changed(self, change: Change) -> str:
        before, after = self.bytes[: change.start], self.bytes[change.end :]
        return (before + change.text.encode() + after).decode()

    def token(self, left: ast.AST, right: ast.AST, old: str, new: str):
        """Changes of an operator between two nodes; none if there is a comment, too."""
        start, end = self.end(left), self.start(right)
        between = self.text(start, end)
        if "#" not in between and between.count(old) == 1:
            yield Change(start, end, between.replace(old, new))


SIMPLE = (ast.Name, ast.Constant, ast.Call, ast.Attribute, ast.Subscript)


def operand(source: Source, node: ast.AST) -> str:
    """The text of a node, so that it can be an operand of any operator."""
    text = source.of(node)
    return text if isinstance(node, SIMPLE) else f"({text})"


COMPARISONS = {
    ast.Lt: ("<", ["<=", ">"]),
    ast.LtE: ("<=", ["<", ">="]),
    ast.Gt: (">", [">=", "<"]),
    ast.GtE: (">=", [">", "<="]),
    ast.Eq: ("==", ["!="]),
    ast.NotEq: ("!=", ["=="]),
    ast.Is: ("is", ["is not"]),
    ast.IsNot: ("is not", ["is"]),
    ast.In: ("in", ["not in"]),
    ast.NotIn: ("not in", ["in"]),
}


def comparison(source: Source, node: ast.AST) -> Iterator[Change]:
    """a < b: a <= b, a > b; a == b: a != b; a in b: a not in b; …"""
    if isinstance(node, ast.Compare):
        terms = [node.left, *node.comparators]
        for left, right, kind in zip(terms, terms[1:], node.ops, strict=False):
            old, others = COMPARISONS[type(kind)]
            for new in others:
                yield from source.token(left, right, old, new)


def sign(source: Source, node: ast.AST) -> Iterator[Change]:
    """a + b: a − b; a − b: a + b; −a: a; and so in a += b."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield source.replace(node, operand(source, node.operand))
    if isinstance(node, ast.BinOp):
        left, right = node.left, node.right
    elif isinstance(node, ast.AugAssign):
        left, right = node.target, node.value
    else:
        return
    if is_text(left) or is_text(right):
        return
    if isinstance(node.op, ast.Add):
        yield from source.token(left, right, "+", "-")
    if isinstance(node.op, ast.Sub):
        yield from source.token(left, right, "-", "+")


def is_text(node: ast.AST) -> bool:
    """Whether a node is a string, formatted or not, or a sum with a string."""
    if isinstance(node, ast.BinOp):
        return is_text(node.left) or is_text(node.right)
    constant = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return constant or isinstance(node, ast.JoinedStr)


def number(node: ast.AST, *kinds: type) -> bool:
    """Whether a node is a constant of one of these types."""
    return isinstance(node, ast.Constant) and type(node.value) in kinds


def plus_minus_one(source: Source, node: ast.AST) -> Iterator[Change]:
    """An integer n: n + 1, n − 1."""
    if number(node, int):
        if node not in source.rest:
            yield source.replace(node, repr(node.value + 1))
        yield source.replace(node, repr(node.value - 1))


def doubled(source: Source, node: ast.AST) -> Iterator[Change]:
    """A number c: 2 c."""
    if number(node, int, float) and node.value and node not in source.rest:
        yield source.replace(node, repr(2 * node.value))


SYMMETRIC = {
    *("max", "min", "maximum", "minimum", "logical_and", "logical_or"),
    "cosine_distance",
}


def swapped(source: Source, node: ast.AST) -> Iterator[Change]:
    """f(a, b): f(b, a); a − b: b − a, a/b: b/a, a**b: b**a."""
    if isinstance(node, ast.Call) and name(node.func) not in SYMMETRIC:
        for a, b in zip(node.args, node.args[1:], strict=False):
            if isinstance(a, ast.Starred) or isinstance(b, ast.Starred):
                continue
            between = source.text(source.end(a), source.start(b))
            new = source.of(b) + between + source.of(a)
            yield Change(source.start(a), source.end(b), new)
    kinds = {ast.Sub: "-", ast.Div: "/", ast.Pow: "**"}
    if isinstance(node, ast.BinOp) and (token := kinds.get(type(node.op))):
        a, b = operand(source, node.left), operand(source, node.right)
        yield source.replace(node, f"({b} {token} {a})")


def name(node: ast.AST) -> str:
    """The last name in `a` or `m.a`; empty for other nodes."""
    return getattr(node, "attr", None) or getattr(node, "id", "")


OTHER_AXIS = {0: 1, 1: 0, -1: -2, -2: -1}
ALONG = {
    *("all", "any", "argmax", "argmin", "argsort", "cumsum", "max", "mean", "min"),
    *("prod", "std", "sum", "var"),
}


def axis(source: Source, node: ast.AST) -> Iterator[Change]:
    """f(…, axis=0): axis=1; −1: −2; and so with a.sum(0)."""
    if isinstance(node, ast.keyword) and (node.arg or "").startswith("axis"):
        at = node.value
    elif (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ALONG
        and node.args
    ):
        at = node.args[-1]
    else:
        return
    with contextlib.suppress(ValueError):
        value = ast.literal_eval(at)
        if type(value) is int:
            yield source.replace(at, repr(OTHER_AXIS.get(value, value + 1)))


def dropped(source: Source, node: ast.AST) -> Iterator[Change]:
    """A statement of a function: pass.

    A statement stays if its removal only leaves a name undefined, and so does a last
    return.
    """
    if not isinstance(node, ast.FunctionDef | ast.Module):
        return
    bound: set[str] = set()
    if isinstance(node, ast.FunctionDef):
        bound = {a.arg for a in ast.walk(node.args) if isinstance(a, ast.arg)}
    for statement in statements(node.body):
        returns_last = statement is node.body[-1] and isinstance(statement, ast.Return)
        if droppable(statement, bound) and not returns_last:
            yield source.replace(statement, "pass")
        bound |= targets(statement)


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """All statements of a body in order, without those of inner functions, classes."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            continue
        yield from statements(getattr(statement, "body", []))
        for handler in getattr(statement, "handlers", []):
            yield from statements(handler.body)
        yield from statements(getattr(statement, "orelse", []))
        yield from statements(getattr(statement, "finalbody", []))


def droppable(statement: ast.stmt, bound: set[str]) -> bool:
    """Whether the code after a statement may still run without it."""
    if isinstance(statement, ast.Expr):
        return not is_text(statement.value) and not is_message(statement.value)
    if isinstance(statement, ast.Assign):
        return targets(statement) <= bound
    kinds = ast.AugAssign | ast.Raise | ast.Return | ast.Continue | ast.Break
    return isinstance(statement, kinds)


def targets(statement: ast.stmt) -> set[str]:
    """The names to which a statement assigns values."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return {statement.name}
    if isinstance(statement, ast.Assign):
        nodes = statement.targets
    else:
        nodes = [getattr(statement, "target", ast.Pass())]
        nodes += [
            i.optional_vars or ast.Pass() for i in getattr(statement, "items", [])
        ]
    return {
        n.id
        for node in nodes
        for n in ast.walk(node)
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }


def transposition(source: Source, node: ast.AST) -> Iterator[Change]:
    """a.T: a; swapaxes(a, …): a; "ij,jk->ik": "ij,jk->ki"."""
    if isinstance(node, ast.Attribute) and node.attr in ("T", "mT"):
        yield source.replace(node, source.of(node.value))
    if not isinstance(node, ast.Call) or not node.args:
        return
    if name(node.func) in ("swapaxes", "transpose", "moveaxis"):
        method = name(getattr(node.func, "value", node)) not in ("np", "jnp", "")
        array = node.func.value if method else node.args[0]
        yield source.replace(node, operand(source, array))
    if name(node.func) == "einsum" and number(node.args[0], str):
        left, arrow, right = node.args[0].value.rpartition("->")
        if right[-2:].isalpha() and len(right) > 1:
            new = f'"{left}{arrow}{right[:-2]}{right[-1]}{right[-2]}"'
            yield source.replace(node.args[0], new)


OPERATORS = {
    "comparison": comparison,
    "sign": sign,
    "±1": plus_minus_one,
    "×2": doubled,
    "swap": swapped,
    "axis": axis,
    "drop": dropped,
    "transpose": transposition,
}

# calls that only print or raise messages, and calls that only name a type
MESSAGES = {"print", "warn", "debug", "info", "warning", "error", "exception"}
TYPES = {"Annotated", "Literal"}
NOT_CODE = {
    ast.AnnAssign: ("annotation",),
    ast.arg: ("annotation",),
    ast.Assert: ("msg",),
    ast.FunctionDef: ("returns",),
    ast.Raise: ("exc", "cause"),
}


def is_message(node: ast.AST) -> bool:
    """Whether a node is a call that only gives a message."""
    return isinstance(node, ast.Call) and name(node.func) in MESSAGES


def is_mutable(node: ast.AST) -> bool:
    """Whether a change of the node may change what the code computes."""
    if isinstance(node, ast.Subscript):
        return name(node.value) not in TYPES
    if isinstance(node, ast.If):
        return name(node.test) != "TYPE_CHECKING"
    return not isinstance(node, ast.JoinedStr) and not is_message(node)


def nodes(node: ast.AST) -> Iterator[ast.AST]:
    """The node, and all nodes below it that may be changed."""
    yield node
    for field, value in ast.iter_fields(node):
        if field in NOT_CODE.get(type(node), ()):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and is_mutable(child):
                yield from nodes(child)


# -- mutants ------------------------------------------------------------------------


class Mutant(NamedTuple):
    """One change of one file."""

    package: str
    file: str
    line: int
    operator: str
    before: str
    after: str
    code: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line} {self.operator}"
        return f"{where}  `{self.before}` → `{self.after}`"


def first_difference(before: str, after: str) -> tuple[int, str, str]:
    """The number of the first line that differs, and this line of both texts."""
    old, new = before.splitlines(), after.splitlines()
    at = next(i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b)
    return at + 1, old[at].strip(), new[at].strip()


def mutant(package: str, file: str, source: Source, operator: str, change: Change):
    """The mutant; None if it does not compile or is the same program."""
    code = source.changed(change)
    try:
        tree = ast.parse(code)
        compile(tree, file, "exec")
    except (SyntaxError, ValueError):
        return None
    if ast.dump(tree) == ast.dump(source.tree):
        return None
    line, before, after = first_difference(source.code, code)
    return Mutant(package, file, line, operator, before, after, code)


Changes = dict[int, dict[str, list[Change]]]  # line → operator → changes


def changes(source: Source) -> Changes:
    """All different changes of a file, by the line in which they begin."""
    found: dict[Change, str] = {}
    for node in nodes(source.tree):
        for operator, apply in OPERATORS.items():
            for change in apply(source, node):
                found.setdefault(change, operator)
    lines: Changes = defaultdict(lambda: defaultdict(list))
    for change, operator in sorted(found.items()):
        lines[source.line(change.start)][operator].append(change)
    return lines


def files(package: str, root: Path = ROOT) -> list[str]:
    """The files of a package of `PACKAGES`, or of the module or folder of this name."""
    patterns = (f"{package}.py", f"{package}/**/*.py")
    if package in PACKAGES:
        patterns = PACKAGES[package].files
    code = root / CODE
    found = {path for pattern in patterns for path in code.glob(pattern)}
    if not found:
        raise SystemExit(f"no file of {package} in {code}")
    return sorted(str(path.relative_to(code)) for path in found)


def tests(package: str, file: str, root: Path = ROOT) -> list[str]:
    """The test files for a file; those that have or contain its name come first."""
    folder, stem = root / "tests", Path(file).stem
    patterns = PACKAGES[package].tests if package in PACKAGES else ()
    listed = [p.name for pattern in patterns for p in sorted(folder.glob(pattern))]
    own = [path.name for path in sorted(folder.glob(f"test_{stem}.py"))]
    own += [n for n in listed if stem in n]
    name = re.compile(rf"\b{stem}\b")
    named = [n for n in listed if name.search((folder / n).read_text("utf-8"))]
    if not (found := list(dict.fromkeys([*own, *named, *listed]))):
        raise SystemExit(f"no test of {file} in {folder}")
    return found


def drawn(packages: list[str], seed: int, root: Path = ROOT) -> Iterator[Mutant]:
    """Mutants in random order: draw a line, an operator, and one of its changes."""
    sources, lines = {}, {}
    for package in packages:
        for file in files(package, root):
            source = Source((root / CODE / file).read_text(encoding="utf-8"))
            sources[file] = package, source
            lines |= {(file, n): found for n, found in changes(source).items()}
    chance = random.Random(seed)
    while lines:
        file, at = chance.choice(list(lines))
        operator = chance.choice(list(lines[file, at]))
        left = lines[file, at][operator]
        change = left.pop(chance.randrange(len(left)))
        if not left:
            del lines[file, at][operator]
        if not lines[file, at]:
            del lines[file, at]
        package, source = sources[file]
        if found := mutant(package, file, source, operator, change):
            yield found


def draw(
    packages: list[str], seed: int, count: int, root: Path = ROOT
) -> tuple[list[Mutant], list[Mutant]]:
    """The first `count` mutants, and the equivalent ones that were drawn meanwhile."""
    chosen, equivalent = [], []
    for found in drawn(packages, seed, root):
        if len(chosen) == count:
            break
        known = (found.file, found.before, found.after) in EQUIVALENT
        (equivalent if known else chosen).append(found)
    return chosen, equivalent


# -- runs ---------------------------------------------------------------------------


def copy_tree(folder: Path) -> Path:
    """A copy of the code and its tests, without results and hidden folders."""

    def left_out(where: str, names: list[str]) -> list[str]:
        hidden = [n for n in names if n.startswith(".") and (Path(where) / n).is_dir()]
        top = ["results"] if Path(where) == ROOT else []
        return ["__pycache__", *hidden, *top]

    return Path(shutil.copytree(ROOT, folder, ignore=left_out))


def run_tests(root: Path, names: list[str], limit: float | None) -> tuple[str, float]:
    """`passed`, `failed` or `timeout`, and the seconds that the tests took.

    Compiled programs are cached beside the copy, because compilation takes most time.
    """
    start = time.monotonic()
    environment = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": str(root.parent / f"{root.name}-compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "JAX_PLATFORMS": "cpu",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(root),
    }
    options = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", *options, *(f"tests/{n}" for n in names)],
        cwd=root,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        outcome = "failed" if process.wait(limit) else "passed"
    except subprocess.TimeoutExpired:
        outcome = "timeout"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return outcome, time.monotonic() - start


def try_mutant(
    copies: queue.Queue, found: Mutant, limits: dict[frozenset, float]
) -> tuple[str, float]:
    """`killed`, `timeout` or `survived`, and the seconds that the tests took."""
    root = copies.get()
    path = root / CODE / found.file
    whole = path.read_bytes()
    try:
        path.write_text(found.code, encoding="utf-8")
        names = tests(found.package, found.file, root)
        outcome, seconds = run_tests(root, names, limits[frozenset(names)])
    finally:
        path.write_bytes(whole)
        copies.put(root)
    return {"passed": "survived", "failed": "killed"}.get(outcome, outcome), seconds


def unchanged(copies: queue.Queue, names: frozenset[str]) -> float:
    """The seconds that the tests take with unchanged code; raise if they fail."""
    root = copies.get()
    try:
        outcome, seconds = run_tests(root, sorted(names), None)
    finally:
        copies.put(root)
    if outcome != "passed":
        raise SystemExit(f"with the code unchanged, {', '.join(sorted(names))} fail")
    return seconds


def run(mutants: dict[Number, Mutant], jobs: int) -> dict[Number, str]:
    """Try all mutants, print a line for each, and return their outcomes."""
    outcomes = {}
    with (
        tempfile.TemporaryDirectory(prefix="mutants-") as folder,
        concurrent.futures.ThreadPoolExecutor(jobs) as pool,
    ):
        copies = queue.Queue()
        for job in range(jobs):
            copies.put(copy_tree(Path(folder).resolve() / f"copy{job}"))
        sets = {frozenset(tests(m.package, m.file)) for m in mutants.values()}
        times = pool.map(functools.partial(unchanged, copies), sets)
        limits = {}
        for names, seconds in zip(sets, times, strict=True):
            limits[names] = max(LEAST, PATIENCE * seconds)
            print(f"unchanged: {', '.join(sorted(names))} in {seconds:.0f} s")
        waiting = {
            pool.submit(try_mutant, copies, found, limits): n
            for n, found in mutants.items()
        }
        for done in concurrent.futures.as_completed(waiting):
            n, (outcome, seconds) = waiting[done], done.result()
            outcomes[n] = outcome
            print(f"{line(n, mutants[n])}  {outcome}, {seconds:.0f} s", flush=True)
    return outcomes


def line(number: Number, found: Mutant) -> str:
    """The line of a mutant in the output."""
    return f"{number.seed}:{number.n:3} {found}"


def summary(outcomes: dict[Number, str], mutants: dict[Number, Mutant]) -> str:
    """The number of killed mutants of each seed, and a list of the survivors."""
    lines = []
    for seed, (killed, tried) in counts(outcomes).items():
        lines.append(f"seed {seed}: {killed} of {tried} killed")
    survivors = [n for n, outcome in sorted(outcomes.items()) if outcome == "survived"]
    return "\n".join(lines + [f"survived: {line(n, mutants[n])}" for n in survivors])


def counts(outcomes: dict[Number, str]) -> dict[int, tuple[int, int]]:
    """Seed → the numbers of killed mutants and of all mutants."""
    found: dict[int, tuple[int, int]] = {}
    for number, outcome in sorted(outcomes.items()):
        killed, tried = found.get(number.seed, (0, 0))
        found[number.seed] = killed + (outcome != "survived"), tried + 1
    return found


def main() -> int:
    """Draw mutants and run the tests of each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("packages", nargs="*", help=f"default: {', '.join(PACKAGES)}")
    parser.add_argument("--seed", type=int, nargs="+", default=[1])
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=2, help="tests run side by side")
    parser.add_argument("--only", default="", help="regular expression for the lines")
    parser.add_argument("--list", action="store_true", help="print the mutants only")
    given = parser.parse_args()
    mutants = {}
    for seed in given.seed:
        chosen, equivalent = draw(given.packages or [*PACKAGES], seed, given.count)
        numbered = {Number(seed, n): found for n, found in enumerate(chosen, 1)}
        mutants |= {
            n: found
            for n, found in numbered.items()
            if re.search(given.only, line(n, found))
        }
        for found in equivalent:
            reason = EQUIVALENT[found.file, found.before, found.after]
            print(f"equivalent: {found}: {reason}")
    if given.list or not mutants:
        for n, found in mutants.items():
            print(line(n, found))
        return 0
    outcomes = run(mutants, given.jobs)
    print(summary(outcomes, mutants))
    return int(any(k < ENOUGH * n for k, n in counts(outcomes).values()))


if __name__ == "__main__":
    sys.exit(main())
