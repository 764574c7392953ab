"""For every test: double precision, no display, and the tiny study, run once."""

import os
import shutil

os.environ["MPLBACKEND"] = "Agg"

import jax
import pytest

from ntkpipe import xla

xla.set_flags()  # as jobs do: compilation is most of the tests' time
jax.config.update("jax_enable_x64", True)
# Arrays of other ranks or types meet only where the code says so.
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The folder of the tiny study, run on this machine; not to be changed."""
    from test_workflow import ROOT, snakemake

    folder = tmp_path_factory.mktemp("study") / "tiny"
    shutil.copytree(ROOT / "tests" / "workflow", folder)
    snakemake(folder)
    return folder
