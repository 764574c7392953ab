import subprocess
import sys

import pytest

from ntkpipe.lazy import Lazy

MODULES = """
import sys
from ntkpipe.cli import main
assert main({arguments}) == 0
slow = {{"jax", "jinja2", "pandas", "scipy.stats", "seaborn"}}
print(sorted(slow & set(sys.modules)))
"""


def imported(*arguments):
    """The slow packages that a command has imported."""
    run = [sys.executable, "-c", MODULES.format(arguments=[str(a) for a in arguments])]
    done = subprocess.run(run, check=True, capture_output=True, text=True)
    return done.stdout.splitlines()[-1]


def test_a_module_is_imported_when_it_is_used():
    fractions = Lazy("fractions")
    assert fractions.Fraction(1, 2) == 0.5
    with pytest.raises(AttributeError):
        fractions.nothing  # noqa: B018
    with pytest.raises(ModuleNotFoundError):
        Lazy("there_is_no_such_module").anything  # noqa: B018


def test_a_job_imports_what_it_needs(finished, tmp_path):
    """Claims do not import JAX, and trainings not pandas, because both are slow."""
    study, results = finished / "config/studies/tiny.yaml", finished / "results/tiny"
    assert imported("validate", study) == "[]"
    new = ["--output", tmp_path / "new"]
    data = ["--variant", "relu", "--input", results / "tanh/dataset.npz"]
    table = ["--input", results / "measurements.csv"]
    assert imported("train", study, *data, "--width", 16, *new) == "['jax']"
    assert imported("claims", study, *table, *new) == "['pandas']"
    figure = ["--name", "kernel", *table, "--output", tmp_path / "kernel.svg"]
    assert imported("figure", study, *figure) == "['pandas', 'scipy.stats', 'seaborn']"


@pytest.mark.parametrize("name", ["kernels.linear", "models", "data", "training"])
def test_a_package_can_be_imported_first(name):
    subprocess.run([sys.executable, "-c", f"import ntkpipe.{name}"], check=True)
