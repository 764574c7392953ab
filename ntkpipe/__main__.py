"""The command line: `python -m ntkpipe STAGE STUDY …` runs one stage by hand.

The rules of the workflow print and run just these commands. Threads and devices are
chosen here, before JAX is imported.
"""

import argparse
import gc
import glob
import logging
import os
import sys
import time
from importlib.metadata import entry_points
from typing import IO

from ntkpipe import allocator

STAGES = {
    "dataset": "draw the data of a variant (dataset.npz)",
    "train": "train all networks of one width, kernels measured on the way",
    "linearize": "the linearised model of each network, in closed form",
    "limit": "infinite width: kernels, mean and covariance of the ensemble",
    "constancy": "how far kernel, weights and outputs went, at all widths",
    "measure": "all measurements of a study in one table",
    "claims": "a verdict on each claim of a study",
    "figure": "draw one figure of a study",
    "report": "the page of all studies (index.html)",
    "verify": "fail, and list them, if verdicts did not come out as expected",
    "validate": "check study files, all faults at once",
    "schema": "print the JSON schema of study files",
}
# New objects between two collections of garbage; Python's own is 700 or 2,000. Tracing
# makes very many that stay, and the collections took a tenth of a short job.
COLLECT_AFTER = 50_000
# the stages that are worth a GPU; all others leave it to them
ON_GPU = ("train", "linearize")
EXAMPLE = """\
example, the first stages of a study by hand:
  S=config/studies/constancy.yaml R=results/constancy/tanh
  python -m ntkpipe dataset $S --variant tanh --output $R/dataset.npz
  python -m ntkpipe train $S --variant tanh --width 256 \\
      --input $R/dataset.npz --output $R/width256/network.npz
"""


def parser() -> argparse.ArgumentParser:
    """The arguments, one sub-command a stage."""
    top = argparse.ArgumentParser(
        prog="ntkpipe",
        description=__doc__.splitlines()[0],
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="stage", required=True, metavar="STAGE")
    for stage, text in STAGES.items():
        command = commands.add_parser(stage, help=text, description=text)
        if stage == "schema":
            continue
        many = stage in ("report", "validate", "verify")
        command.add_argument(
            "study", nargs="+" if many else 1, help="study file (YAML)"
        )
        if stage == "validate":
            continue
        if stage in ("dataset", "train", "linearize", "limit", "constancy"):
            command.add_argument("--variant", default="base", help="default: base")
        if stage in ("train", "linearize"):
            command.add_argument(
                "--width",
                type=int,
                nargs="+" if stage == "train" else 1,
                required=True,
                help="hidden width"
                + (", or several, in the order of --output" * (stage == "train")),
            )
        if stage == "figure":
            command.add_argument("--name", required=True, help="name of the figure")
        if stage == "report":
            command.add_argument("--benchmarks", help="folder of run times, if any")
            command.add_argument("--gallery", help="the sources' figures (YAML)")
        earlier = "products of earlier stages"
        own = "a user's own data, in place of the study's dataset.path"
        command.add_argument(
            "--input",
            nargs="*",
            default=[],
            help=own if stage == "dataset" else earlier,
        )
        if stage in ON_GPU:
            command.add_argument(
                "--gpu",
                type=int,
                choices=(0, 1),
                default=1,
                help="0: on the CPU; 1: on a GPU, if there is one (default)",
            )
        if stage != "verify":
            command.add_argument("--output", nargs="+", required=True)
            command.add_argument(
                "--threads", type=_positive, help="use this many cores (default: all)"
            )
    return top


def _positive(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return int(text)


def main(arguments: list[str] | None = None) -> int:
    """Run one stage; 0, or 1 for verdicts or failures, 2 for bad input."""
    options = parser().parse_args(arguments)
    logging.basicConfig(format="%(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("ntkpipe").setLevel(logging.INFO)
    allocator.keep_freed()
    gc.set_threshold(COLLECT_AFTER)
    _limit_threads(getattr(options, "threads", None))
    # held until this process ends, however it ends
    gpu_lock = _choose_device(getattr(options, "gpu", 0))

    _configure_jax()

    from ntkpipe import compiler, io, study

    compiler.set_flags()

    try:
        return _run(options)
    except study.StudyError as error:
        for fault in error.faults:
            print(f"ntkpipe: {fault}", file=sys.stderr)
    except (io.ProductError, ValueError) as error:
        print(f"ntkpipe: {error}", file=sys.stderr)
    except OSError as error:
        print(f"ntkpipe: {error}", file=sys.stderr)
        return 1
    except (MemoryError, RuntimeError) as error:  # JAX's own is a RuntimeError
        if "RESOURCE_EXHAUSTED" not in str(error) and type(error) is not MemoryError:
            raise
        reason = " ".join(str(error).split())[:200]
        print(f"ntkpipe: not enough memory: {reason}", file=sys.stderr)
        return 1
    finally:
        del gpu_lock
    return 2


def _run(options: argparse.Namespace) -> int:
    import json

    from ntkpipe import io, stages, study

    for files in (getattr(options, "input", []), getattr(options, "output", [])):
        files[:] = (path for path in files if not io.is_record(path))
    if options.stage == "schema":
        print(json.dumps(study.schema(), indent=2, ensure_ascii=False))
        return 0
    studies = study.load_files(options.study)
    if options.stage == "verify":
        return stages.verify(studies, options.input)
    if options.stage == "validate":
        for one in studies:
            jobs = len(list(one.jobs()))
            print(f"{one.name}: {jobs} trainings, {len(one.claims)} claims, ok")
        return 0
    if options.stage == "report":
        stages.report(
            studies,
            options.input,
            options.output[0],
            options.benchmarks,
            options.gallery,
        )
        return 0
    variant, widths = getattr(options, "variant", None), getattr(options, "width", [])
    if variant is not None and variant not in studies[0].variants:
        raise study.StudyError(
            [f"--variant {variant!r}: there are {', '.join(studies[0].variants)}"]
        )
    if options.stage == "figure":
        studies[0].figure(options.name)  # which says so if there is none
    for width in widths:
        if width not in (there := studies[0].variants[variant].widths):
            raise study.StudyError(
                [f"--width {width}: there are {', '.join(map(str, there))}"]
            )
    if widths and len(widths) != len(options.output):
        raise study.StudyError(
            [f"--output: {len(options.output)} of them, for {len(widths)} widths"]
        )
    job = stages.Job(
        study=studies[0],
        variant=variant or "",
        width=0,
        inputs=tuple(getattr(options, "input", ())),
        outputs=tuple(options.output),
        figure=getattr(options, "name", ""),
    )
    run = getattr(stages, options.stage)
    if widths:
        for width, output in zip(widths, job.outputs, strict=True):
            run(job.at(width, output))
    else:
        run(job)
    return 0


def _limit_threads(threads: int | None) -> None:
    """Use so many cores: XLA goes by NPROC, LAPACK by variables of its own."""
    if threads is None:
        return
    for name in ("NPROC", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)


def _configure_jax() -> None:
    """Settings for when a stage imports JAX; those that need no JAX are quicker.

    What is compiled is kept in NTKPIPE_CACHE, or in JAX_COMPILATION_CACHE_DIR, if set:
    in a folder for each jaxlib, which must not read what another has compiled. JAX's
    own thresholds would leave out the small programs that a short job is made of.
    """
    settings = {
        "jax_enable_x64": True,
        # on a GPU the default is TF32, as coarse as the kernel change of a wide network
        "jax_default_matmul_precision": "highest",
    }
    own = os.environ.get("NTKPIPE_CACHE")
    folder = own or os.environ.get("JAX_COMPILATION_CACHE_DIR")
    if folder:
        from jaxlib.version import __version__

        # it may be there already: the name that is set below is one that is read
        name = f"jaxlib-{__version__}"
        folder = os.path.join(os.path.abspath(folder.removesuffix(name)), name)
        settings |= {
            "jax_compilation_cache_dir": folder,
            "jax_persistent_cache_min_compile_time_secs": 0,
            "jax_persistent_cache_min_entry_size_bytes": -1,
        }
    os.environ |= {name.upper(): str(value) for name, value in settings.items()}
    if jax := sys.modules.get("jax"):
        for name, value in settings.items():
            jax.config.update(name, value)


def _choose_device(gpus: int) -> IO | None:
    """The CPU, or one GPU, of several one that no other job has.

    Returns a lock that the kernel takes back when this process ends, even by kill -9.
    """
    if not gpus:
        os.environ["JAX_PLATFORMS"] = "cpu"
        return None
    # whoever shares the GPU needs memory too
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    names = _gpus()
    if not names:
        return None
    log = logging.getLogger("ntkpipe")
    if not entry_points(group="jax_plugins"):
        log.warning("JAX knows no GPU, see profiles/README.md: this job is on the CPU")
    name, lock = _free_gpu(names)
    os.environ["CUDA_VISIBLE_DEVICES"] = name
    log.info("GPU %s", name)
    return lock


def _gpus() -> list[str]:
    """GPUs to choose from: of NTKPIPE_GPUS, or those that are visible, or there.

    None where SLURM gave a job one: then it has chosen.
    """

    def listed(variable):
        names = os.environ.get(variable, "").split(",")
        return [name for name in names if name not in ("", "-1")]

    visible = listed("CUDA_VISIBLE_DEVICES")
    if "SLURM_JOB_ID" in os.environ:
        return visible if len(visible) > 1 else []
    if "NTKPIPE_GPUS" in os.environ:
        return listed("NTKPIPE_GPUS")
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return visible
    return [str(i) for i in range(len(glob.glob("/dev/nvidia[0-9]*")))]


def _free_gpu(names: list[str]) -> tuple[str, IO]:
    """Wait until one of these GPUs is free; its name and its lock."""
    import fcntl

    os.makedirs(".snakemake", exist_ok=True)
    # names may be identifiers with slashes, MIG-GPU-…/1/0
    paths = {name: f".snakemake/gpu{name.replace('/', '-')}.lock" for name in names}
    while True:
        for name, path in paths.items():
            lock = open(path, "w")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return name, lock
            except BlockingIOError:
                lock.close()
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
