"""The three files that list the required packages agree."""

import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text())
LOCK = (ROOT / "requirements.lock").read_text()
NETWORKS = (ROOT / "requirements-networks.lock").read_text()
DOCS = (ROOT / "requirements-docs.lock").read_text()
# conda's name of Snakemake without plugins, which is what pip installs
PYPI_NAME = {"snakemake-minimal": "snakemake"}


def ranges(requirements):
    parsed = [Requirement(r) for r in requirements]
    return {canonicalize_name(r.name): r.specifier for r in parsed}


def pins(lock=LOCK):
    """(name, version) of all pins of the lock that apply to this interpreter."""
    lines = [line.rstrip(" \\") for line in lock.splitlines() if "==" in line]
    parsed = [Requirement(line) for line in lines if not line.lstrip().startswith("#")]
    environment = default_environment()
    return {
        canonicalize_name(r.name): str(r.specifier).removeprefix("==")
        for r in parsed
        if r.marker is None or r.marker.evaluate(environment)
    }


def test_environment_yml_states_the_ranges_of_pyproject():
    conda = ranges(d for d in CONDA["dependencies"] if isinstance(d, str))
    conda = {PYPI_NAME.get(name, name): specifier for name, specifier in conda.items()}
    assert str(conda.pop("python")) == PROJECT["requires-python"]
    dev = ranges(PROJECT["optional-dependencies"]["dev"])
    assert conda.pop("pytest") == dev["pytest"]
    assert conda == ranges(PROJECT["dependencies"])


@pytest.mark.parametrize(
    "package", ["snakemake-minimal", "jax", "jaxlib", "pandas", "seaborn", "pytest"]
)
def test_environment_yml_has_each_required_package(package):
    assert package in ranges(CONDA["dependencies"])


def test_the_lock_has_a_version_within_each_range():
    locked = pins()
    extras = PROJECT["optional-dependencies"]
    wanted = PROJECT["dependencies"] + extras["dev"] + extras["slurm"]
    for name, specifier in ranges(wanted).items():
        assert specifier.contains(locked[name]), name


@pytest.mark.parametrize(("extra", "lock"), [("networks", NETWORKS), ("docs", DOCS)])
def test_the_lock_of_an_extra_has_its_packages_and_nothing_twice(extra, lock):
    locked = pins(lock)
    for name, specifier in ranges(PROJECT["optional-dependencies"][extra]).items():
        assert specifier.contains(locked[name]), name
    assert not locked.keys() & pins().keys()


def test_the_lock_of_the_manual_has_what_other_platforms_need_otherwise():
    # requirements.lock has it for Windows only
    assert "colorama" in pins(DOCS)


@pytest.mark.parametrize(("lock", "most"), [(LOCK, 30), (NETWORKS, 10), (DOCS, 20)])
def test_every_pin_of_a_lock_has_a_hash(lock, most):
    assert len(pins(lock)) > most
    for entry in lock.split("\n\n"):
        for block in entry.replace("\\\n", " ").splitlines():
            if "==" in block and not block.lstrip().startswith("#"):
                assert "--hash=sha256:" in block, block


def test_no_host_is_named():
    assert "://" not in LOCK + NETWORKS + DOCS
    assert "://" not in (ROOT / "environment.yml").read_text()
