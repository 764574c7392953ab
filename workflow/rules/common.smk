"""What the rules ask of the studies: settings, code, inputs, threads and resources."""

import atexit
import base64
import errno
import functools
import hashlib
import itertools
import json
import os
import shlex
import sys
import tempfile
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import validate

from ntkpipe import cost, gallery, io, provenance
from ntkpipe.study import StudyError, load_all, plain


def read_studies():
    """The studies that the configuration names, or exit 2 with all their faults."""
    config["gallery"] = config.get("gallery") or ""  # `--config gallery=` is None
    try:
        validate(config, "../schemas/config.schema.yaml")
        folder = Path(config["studies"])
        names = config["run"]
        if names == "all":
            names = sorted(path.stem for path in folder.glob("*.yaml"))
        if not names:
            raise StudyError([f"run: there is no study file in {folder}"])
        if config["gallery"]:
            gallery.load(config["gallery"])
        found = load_all(folder, names)
        if faults := overwritten(found):
            raise StudyError(faults)
        return found
    except WorkflowError as error:
        invalid = error.__context__  # jsonschema's, which knows the key
        key = getattr(invalid, "json_path", "$").removeprefix("$")
        reason = getattr(invalid, "message", str(error))
        faults = [f"config{key}: {' '.join(reason.split()[-40:])}"]
    except StudyError as error:
        faults = error.faults
    print(*(f"ntkpipe: {fault}" for fault in faults), sep="\n", file=sys.stderr)
    sys.exit(2)


def overwritten(studies):
    """Faults of data that a user keeps where the workflow writes."""
    written = {
        Path(os.path.realpath(folder), name) for folder in FOLDERS for name in studies
    }
    return [
        f"{study.name}: {variant}: dataset.path: {e.dataset.path} is where results or "
        "logs are written: put it elsewhere"
        for study in studies.values()
        for variant, e in study.variants.items()
        if e.dataset.kind == "npz"
        and written & {*Path(os.path.realpath(e.dataset.path)).parents}
    ]


def refuse_blocked():
    """One sentence, and exit 1, if a file is where a folder must be or the reverse."""
    folders = [".snakemake", *FOLDERS]
    for folder, study in itertools.product(FOLDERS, STUDIES.values()):
        names = ("", "figures", *study.variants)
        folders += [Path(folder, study.name, name) for name in names]
    blocked = [f"{path} is no folder" for path in folders if os.path.isfile(path)]
    if os.path.isdir(ALIVE_LOCK):
        blocked.append(f"{ALIVE_LOCK} is a folder")
    if blocked:
        sys.exit(f"ntkpipe: {blocked[0]}: move it away and run again")


def tell_if_unrecorded():
    """One sentence if results are there and Snakemake's records of them are not.

    It then goes by times of files and takes results of other settings to be up to date.
    """
    if os.path.exists(".snakemake/metadata.db"):  # the records of --persistence-backend
        return
    lacking = {}
    for pattern in (*all_products(None), *all_figures(None)):
        path = workflow.pathvars.apply(pattern)
        if os.path.exists(path) and not is_recorded(path):
            lacking[path] = STUDIES[pattern.split("/")[1]]
    if not lacking:
        return
    from ntkpipe import stages

    other = [
        path
        for path, study in lacking.items()
        if path.endswith((".csv", ".npz")) and not stages.is_of(study, path)
    ]
    named = ", ".join(other[:5]) + f" and {len(other) - 5} more" * (len(other) > 5)
    print(
        f"ntkpipe: Snakemake has no record (.snakemake/metadata) of {len(lacking)} "
        "results and can't see what was changed since they were made"
        + (f"; made otherwise than the studies say now: {named}" if other else "")
        + ": --forceall makes all anew",
        file=sys.stderr,
    )


def is_recorded(path):
    """Whether Snakemake has a record of this file, or a mark that it is incomplete.

    Either is called as the file, in base64.
    """
    name = base64.urlsafe_b64encode(path.encode()).decode()
    parts = [name[at : at + 254] for at in range(0, len(name), 254)]
    folders = [f"@{part}" for part in parts[:-1]]
    return any(
        Path(".snakemake", kind, *folders, parts[-1]).exists()
        for kind in ("metadata", "incomplete")
    )


def clear_stale_locks():
    """Take away Snakemake's lock of this folder if whoever took it is no more.

    Every Snakemake that reads this file shares a lock that the kernel gives back even
    after kill -9. Who gets it alone knows that no other Snakemake is at work here.
    """
    import fcntl

    os.makedirs(".snakemake", exist_ok=True)
    alive = open(ALIVE_LOCK, "w")
    try:
        fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for lock in Path(".snakemake/locks").glob("*.lock"):
            lock.unlink()
        fcntl.flock(alive, fcntl.LOCK_SH)
    except BlockingIOError:
        fcntl.flock(alive, fcntl.LOCK_SH)  # another one is at work: Snakemake says so
    except OSError:
        pass  # a file system without such locks: a stale one needs --unlock
    return alive


def tell_if_full():
    """One sentence if the disk of this folder is full, and whether it is.

    Logs, marks and locks lie here, too: without room for them Snakemake ends in
    tracebacks, which do not say what to do.
    """
    try:
        os.makedirs(".snakemake", exist_ok=True)
        with tempfile.TemporaryFile(dir=".snakemake") as file:
            file.write(bytes(LEAST_ROOM))
            file.flush()
        return False
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            return False  # Snakemake says it better
    print(
        f"ntkpipe: {os.getcwd()} is on a disk that is full (less than "
        f"{LEAST_ROOM // 1024} kB is free): make room and run again, what is done "
        "is kept",
        file=sys.stderr,
    )
    return True


LEAST_ROOM = 64 * 1024
ALIVE_LOCK = ".snakemake/alive.lock"
# Snakemake fills pathvars into inputs, outputs and logs, and into nothing else
BENCHMARKS = workflow.pathvars.apply("<benchmarks>")
FOLDERS = [*map(workflow.pathvars.apply, ("<results>", "<logs>")), BENCHMARKS]
STUDIES = read_studies()
if workflow.is_main_process:
    refuse_blocked()
    if tell_if_full():
        sys.exit(1)
    atexit.register(tell_if_full)  # the last word, whatever Snakemake ends with
    ALIVE = clear_stale_locks()
    if {"-n", "--dry-run", "--dryrun"} & set(sys.argv):
        print(cost.table(list(STUDIES.values()), config["together"]), file=sys.stderr)
if not workflow.deployment_settings.deployment_method:
    # jobs take the Python that runs Snakemake, also where its environment isn't active
    folder = shlex.quote(str(Path(sys.executable).parent))
    shell.prefix(f"set -euo pipefail; export PATH={folder}:$PATH; ")


def one_of(names):
    """A wildcard that is one of these names."""
    return "|".join(sorted(set(map(str, names)))) or "none"


def trained_together():
    """Widths that share a training, and the (study, variant) where they do."""
    found = {}
    for study in STUDIES.values() if config["together"] else ():
        for variant, experiment in study.variants.items():
            if widths := cost.short_widths(experiment):
                found.setdefault(widths, []).append((study.name, variant))
    return found


TOGETHER = trained_together()


def variant_of(places):
    """A wildcard that is the variant of one of these (study, variant)."""
    return one_of(f"(?<=/{study}/){variant}" for study, variant in places)


def width_alone():
    """A wildcard that is a width which shares its training with no other."""
    shared = [
        f"(?<=/{study}/{variant}/width)({one_of(widths)})/"
        for widths, places in TOGETHER.items()
        for study, variant in places
    ]
    return f"(?!{'|'.join(shared)})[0-9]+" if shared else "[0-9]+"


def study_of(wildcards):
    return STUDIES[wildcards.study]


def experiment_of(wildcards):
    return study_of(wildcards).variants[wildcards.variant]


def figure_of(wildcards):
    return study_of(wildcards).figure(wildcards.figure)


def study_file(wildcards):
    """The file is no input: a job depends on its own settings in it, see `settings`."""
    return f"{config['studies']}/{wildcards.study}.yaml"


def study_files(wildcards):
    return [f"{config['studies']}/{name}.yaml" for name in STUDIES]


# ------------------------------------------------- what makes a job out of date


def settings(stage, widths=()):
    """The settings that a stage reads, as a parameter: a change runs it again."""

    def spec(wildcards):
        variant, width = wildcards.get("variant", ""), wildcards.get("width", 0)
        if stage == "figure":
            value = plain(study_of(wildcards).drawn(wildcards.figure))
        elif stage == "report":
            # the page shows the study files, and the sources' figures
            value = {name: digest(study.text) for name, study in STUDIES.items()}
            value["gallery"] = file_digest(config["gallery"])
        elif widths:
            one = study_of(wildcards)
            value = {width: one.spec(stage, variant, width) for width in widths}
        else:
            value = study_of(wildcards).spec(stage, variant, int(width))
        if stage == "dataset" and (files := users_data(wildcards)):
            # times tell nothing of a file that is replaced by an older one
            value["files"] = [io.users_digest(path) for path in files]
        return json.dumps(value, sort_keys=True, ensure_ascii=False)

    return spec


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_digest(path):
    """Of a file that is read, where one is named."""
    return digest(Path(path).read_text("utf-8")) if path else ""


def code(stage):
    """A fingerprint of the code that a stage runs, as a parameter."""

    def fingerprint(wildcards):
        sections = {
            "dataset": lambda: experiment_of(wildcards).dataset,
            "train": lambda: model_and_training(wildcards),
            "limit": lambda: model_and_training(wildcards),
            "claims": lambda: study_of(wildcards).claims,
            "figure": lambda: figure_of(wildcards),
        }.get(stage, tuple)()
        return fingerprint_of(stage, frozenset(provenance.sections(sections)))

    return fingerprint


def model_and_training(wildcards):
    return experiment_of(wildcards).model, experiment_of(wildcards).training


@functools.cache
def fingerprint_of(stage, sections):
    return provenance.fingerprint(f"ntkpipe.stages:{stage}", *sections)


# ------------------------------------------------- inputs


def users_data(wildcards):
    """A user's own arrays, where the data are such."""
    dataset = experiment_of(wildcards).dataset
    return [dataset.path] if dataset.kind == "npz" else []


def product(name, variant, width=None):
    """Path of a product of a variant, or of one of its widths."""
    folder = f"{variant}/width{width}" if width else variant
    return f"<results>/{{study}}/{folder}/{name}"


def with_record(table):
    """A table, and the record of what made it, which is written and read with it."""
    return [table, f"{table}.json"]


def dataset(wildcards):
    """The data, drawn once for all variants that have the same."""
    variant = study_of(wildcards).data_of(wildcards.variant)
    return product("dataset.npz", variant)


def all_networks(wildcards):
    """The networks of all widths of a variant."""
    widths = experiment_of(wildcards).widths
    return [product("network.npz", "{variant}", width) for width in widths]


def all_linearized(wildcards):
    """Their linearised models, where the experiment has any."""
    e = experiment_of(wildcards)
    if e.linearize == "none":
        return []
    return [product("linearized.npz", "{variant}", width) for width in e.widths]


def limit(wildcards):
    """The infinite-width limit, where the experiment has one."""
    if experiment_of(wildcards).limit == "none":
        return []
    return product("limit.npz", "{variant}")


def all_constancy(wildcards):
    """The measurements of all variants of a study."""
    names = study_of(wildcards).variants
    tables = [product("constancy.csv", variant) for variant in names]
    return [path for table in tables for path in with_record(table)]


def all_limits(wildcards):
    """The infinite-width limits of a study, where it has any."""
    return [
        product("limit.npz", variant)
        for variant, experiment in study_of(wildcards).variants.items()
        if experiment.limit != "none"
    ]


def all_products(wildcards):
    """Every product and table of all studies."""
    paths = {}  # a set that keeps its order
    for study in STUDIES.values():
        for variant, width in study.jobs():
            experiment = study.variants[variant]
            parts = [
                ("dataset.npz", study.data_of(variant), None),
                ("network.npz", variant, width),
                *((name, variant, None) for name in with_record("constancy.csv")),
            ]
            if experiment.linearize != "none":
                parts.append(("linearized.npz", variant, width))
            if experiment.limit != "none":
                parts.append(("limit.npz", variant, None))
            paths |= dict.fromkeys(
                product(*part).format(study=study.name) for part in parts
            )
        for table in ("measurements", "claims"):
            paths |= dict.fromkeys(with_record(f"<results>/{study.name}/{table}.csv"))
    return list(paths)


def shown(wildcards):
    """The products that a figure reads: name, variant, width."""
    study, figure = study_of(wildcards), figure_of(wildcards)
    parts = {}  # a set that keeps its order
    for variant in figure.variants_read() or study.variants:
        for name in figure.reads:
            if name == "dataset":
                parts[name, study.data_of(variant), None] = None
            elif name == "limit":
                parts[name, variant, None] = None
            else:
                widths = figure.widths or study.variants[variant].widths
                parts |= dict.fromkeys((name, variant, width) for width in widths)
    return list(parts)


def products_shown(wildcards):
    """Just the products that a figure reads."""
    return [product(f"{name}.npz", *at) for name, *at in shown(wildcards)]


def all_figures(wildcards):
    """Every file of every figure of every study."""
    return [
        f"<results>/{study.name}/figures/{figure.name}.{ending}"
        for study in STUDIES.values()
        for figure in study.figures
        for ending in (MOVING if is_animated(figure) else STILL)
    ]


STILL = ("csv", "csv.json", "png", "svg", "pdf")
MOVING = ("csv", "csv.json", "png", "gif")


def is_animated(figure):
    return getattr(figure, "animated", False)


def named_figures(animated):
    """A wildcard for the figures of a kind, each after the name of its study.

    Two studies may use one name, for a still figure and for an animation.
    """
    return one_of(
        f"(?<=/{study.name}/figures/){figure.name}"
        for study in STUDIES.values()
        for figure in study.figures
        if is_animated(figure) == animated
    )


# ------------------------------------------------- threads and resources

MANY_THREADS = 8  # Snakemake takes fewer where --cores says so
FEW_POINTS = 16
LONG = 10**13  # operations of several minutes, of one core
SMALL_KERNEL = 1000
CORE = 5 * 10**9 * 60  # operations in a minute, of one slow core; of eigh fewer
EIGH = 2 * 10**9 * 60


def growing(amount):
    """An amount, or what a function gives: so much more each time the job failed.

    A job that ran out of memory or time has more of both when it is tried again.
    """

    def resource(wildcards, attempt):
        return attempt * (amount(wildcards) if callable(amount) else amount)

    return resource


def of(estimate, at_least=0, each=1):
    """A resource from an estimate of `ntkpipe.cost`, in units of `each`."""

    def amount(wildcards):
        width = [int(wildcards.width)] if "width" in wildcards.keys() else []
        return at_least + estimate(experiment_of(wildcards), *width) // each

    return amount


def of_widths(estimate, widths, at_least=0, each=1):
    """The same of widths that share a training, one after the other."""

    def amount(wildcards):
        e = experiment_of(wildcards)
        return at_least + sum(estimate(e, width) for width in widths) // each

    return amount


def of_shown(estimate, at_least, each=1):
    """A resource from an estimate for the products that a figure reads."""

    def amount(wildcards):
        variants = study_of(wildcards).variants
        parts = [(name, variants[v], width) for name, v, width in shown(wildcards)]
        return at_least + estimate(parts) // each

    return amount


def is_narrow(wildcards):
    return cost.is_narrow(experiment_of(wildcards), int(wildcards.width))


def train_threads(wildcards):
    """One core, and all that --cores allows for a training of minutes.

    A job starts and compiles on one core, and one that asks for more waits until they
    are free. The products of few points, or of narrow networks, wait for memory: there
    a second core made the training itself no faster.
    """
    e = experiment_of(wildcards)
    long = cost.train_flop(e, int(wildcards.width)) > LONG
    wide = not is_narrow(wildcards) and cost.points(e) >= FEW_POINTS
    return MANY_THREADS if long and wide else 1


def train_gpu(wildcards):
    """A GPU for wide networks: a CPU is through with toys before a GPU is ready."""
    return 0 if is_narrow(wildcards) else 1


def kernel_gpu(wildcards):
    """A GPU for the eigenvectors of large kernels."""
    return 0 if cost.kernel_rows(experiment_of(wildcards)) <= SMALL_KERNEL else 1


data_mem_mb = of(cost.data_mb, at_least=1000)
data_minutes = of(cost.data_flop, at_least=10, each=EIGH)
train_mem_mb = of(cost.train_mb, at_least=1000)
train_minutes = of(cost.train_flop, at_least=10, each=CORE)
kernel_mem_mb = of(cost.kernel_mb, at_least=1000)
kernel_minutes = of(cost.eigh_flop, at_least=10, each=EIGH)
constancy_mem_mb = of(cost.constancy_mb, at_least=1000)
constancy_minutes = of(cost.all_widths(cost.eigh_flop), at_least=10, each=EIGH)
limit_mem_mb = of(cost.limit_mb, at_least=2000)
limit_minutes = of(cost.limit_flop, at_least=30, each=EIGH)
figure_mem_mb = of_shown(cost.shown_mb, at_least=2000)
figure_minutes = of_shown(cost.shown_flop, at_least=10, each=EIGH)

if workflow.is_main_process:
    tell_if_unrecorded()
