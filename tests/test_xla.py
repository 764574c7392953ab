"""The options of XLA: this version knows them, and flags of the user come last."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkpipe import xla


@pytest.mark.parametrize("large", [False, True])
def test_xla_knows_the_options(large):
    def softplus(x):
        return jnp.log1p(jnp.exp(x))

    x = jnp.linspace(-3, 3, 7)
    quick = jax.jit(softplus, compiler_options=xla.options(0, large=large))
    np.testing.assert_allclose(quick(x), softplus(x), rtol=1e-14)


def test_a_job_compiles_with_the_flags_and_the_users_flag_wins():
    own = "--xla_force_host_platform_device_count=3"
    users = f"{own} --{xla.PARTS}=7" if xla.TWO_EMITTERS else own
    code = """
import os
from ntkpipe import xla
xla.set_flags()
import jax, jax.numpy as jnp
print(jax.device_count(), float(jnp.ones(3).sum()), os.environ["XLA_FLAGS"])
"""
    said = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": users},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert said[:2] == ["3", "3.0"]
    assert " ".join(said[2:]).endswith(users)
    quick = f"--{xla.EMITTERS}=false"
    assert (quick in said) == xla.TWO_EMITTERS


def test_the_command_line_sets_the_flags():
    code = """
import os
from ntkpipe.cli import main
main(["validate", "config/studies/width.yaml"])
print(os.environ.get("XLA_FLAGS", ""))
"""
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    said = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert (xla.EMITTERS in said) == xla.TWO_EMITTERS
