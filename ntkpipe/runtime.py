"""How a job uses its machine: threads, memory, devices, and JAX's settings.

All of it is set before JAX is imported, and the threads before NumPy is.
"""

import gc
import glob
import logging
import os
import sys
import time
from importlib.metadata import entry_points
from typing import IO

# New objects between two collections of garbage; Python's own is 700 or 2,000. Tracing
# makes very many that stay, and the collections took a tenth of a short job.
COLLECT_AFTER = 50_000
# Variables of mallopt(3), which glibc reads when a process starts: freed memory is kept
# for the next array, in one heap. Otherwise the kernel gets large arrays back at every
# step of a training, and clears page after page for the next ones, which was up to two
# thirds of the time of a job. The workflow sets the variables for its jobs.
KEEP_FREED = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "-1",
    "MALLOC_ARENA_MAX": "1",
}


def collect_less() -> None:
    """Collect garbage seldom."""
    gc.set_threshold(COLLECT_AFTER)


def limit_threads(threads: str | None) -> None:
    """Use so many cores: XLA goes by NPROC, LAPACK by variables of its own."""
    if threads is None:
        return
    for name in ("NPROC", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = threads


def configure_jax() -> None:
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


def choose_device(gpus: int) -> IO | None:
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
