"""Settings of all tests: double precision, no display; the tiny study, run once."""

import os
import shutil

os.environ["MPLBACKEND"] = "Agg"

import jax
import pytest

from ntkpipe import xla

# Most of the time of the tests is compilation. The tests compile without optimisation,
# and the jobs that they start compile as jobs do.
xla.set_flags()
as_jobs = os.environ.get("XLA_FLAGS", "")
fast = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
os.environ["XLA_FLAGS"] = f"{as_jobs} {fast}"
jax.devices()  # reads the flags
os.environ["XLA_FLAGS"] = as_jobs
jax.config.update("jax_enable_x64", True)
# JAX raises where arrays of other ranks or types are combined implicitly.
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The folder of the finished tiny study; tests must not change it."""
    from test_workflow import ROOT, snakemake

    folder = tmp_path_factory.mktemp("study") / "tiny"
    shutil.copytree(ROOT / "tests" / "workflow", folder)
    snakemake(folder)
    return folder
