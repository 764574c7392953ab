"""Double precision and a figure backend without a display, for every test."""

import os

os.environ["MPLBACKEND"] = "Agg"

import jax

jax.config.update("jax_enable_x64", True)
