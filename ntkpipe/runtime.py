"""How a job uses its machine: threads, memory, devices, and JAX's settings.

All of it must be set before JAX is imported. The threads must also be set before NumPy
is imported.
"""

import gc
import glob
import logging
import os
import sys
import time
from importlib.metadata import entry_points
from typing import IO

# Number of new objects after which garbage is collected; Python's default is 700 or
# 2,000. Tracing creates very many objects that stay in use. With the default, garbage
# collection took a tenth of the time of a short job.
COLLECT_AFTER = 50_000
# Variables of mallopt(3), which glibc reads when a process starts. The process then
# keeps freed memory for its next arrays, in one heap. By default it returns large
# arrays to the operating system at every step of a training, and clearing the pages of
# the next arrays took up to two thirds of a job. The workflow sets these variables.
KEEP_FREED = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "-1",
    "MALLOC_ARENA_MAX": "1",
}

THREADS = ("NPROC", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables that limit the threads of XLA, which reads NPROC, and of BLAS."""


def collect_less() -> None:
    """Collect garbage rarely."""
    gc.set_threshold(COLLECT_AFTER)


def limit_threads(threads: str | None) -> None:
    """Limit the threads of XLA and of the BLAS libraries."""
    if threads is not None:
        os.environ |= dict.fromkeys(THREADS, threads)


def configure_jax() -> None:
    """Set JAX's options by environment variables, without importing JAX.

    If NTKPIPE_CACHE or JAX_COMPILATION_CACHE_DIR is set, compiled programs are kept in
    that folder. Each version of jaxlib has a subfolder, because it must not read
    programs of another version. JAX's default thresholds would not keep the small
    programs of a short job.
    """
    settings = {
        "jax_enable_x64": True,
        # TF32, a GPU's default, has errors as large as a wide network's kernel change
        "jax_default_matmul_precision": "highest",
    }
    own = os.environ.get("NTKPIPE_CACHE")
    folder = own or os.environ.get("JAX_COMPILATION_CACHE_DIR")
    if folder:
        from jaxlib.version import __version__

        # do not append the subfolder twice: the variable set below may be read again
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
    """Select the CPU or, if `gpus` is not 0, one GPU that no other job uses.

    Returns the lock of the GPU. The operating system releases the lock when this
    process ends, even by kill -9.
    """
    if not gpus:
        os.environ["JAX_PLATFORMS"] = "cpu"
        return None
    # other programs on the same GPU need memory, too
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    names = _gpus()
    if not names:
        return None
    log = logging.getLogger("ntkpipe")
    if not entry_points(group="jax_plugins"):
        log.warning(
            "JAX has no GPU plugin, so this job uses the CPU: see profiles/README.md"
        )
    name, lock = _free_gpu(names)
    os.environ["CUDA_VISIBLE_DEVICES"] = name
    log.info("GPU %s", name)
    return lock


def _gpus() -> list[str]:
    """GPUs to choose from: NTKPIPE_GPUS, else the visible ones, else all.

    The list is empty if SLURM has assigned one GPU, or none, to the job.
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
    """Wait until one of these GPUs is free; return its name and its lock."""
    import fcntl

    os.makedirs(".snakemake", exist_ok=True)
    # a name may contain slashes, as in MIG-GPU-…/1/0
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
