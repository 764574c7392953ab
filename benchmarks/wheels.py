"""Collect in one folder the packages that a machine with only JAX lacks.

    python -m benchmarks wheels --python 3.12 FOLDER
    PYTHONPATH=FOLDER python -m benchmarks gpu      # on that machine

The first command needs a network, the second none. Versions are those of
requirements.lock.
"""

import argparse
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

LOCK = Path(__file__).parent.parent / "requirements.lock"
# package → module: what `benchmarks gpu` needs besides jax, numpy and scipy
PACKAGES = {
    "pydantic": "pydantic",
    "pydantic-core": "pydantic_core",
    "annotated-types": "annotated_types",
    "typing-inspection": "typing_inspection",
    "typing-extensions": "typing_extensions",
    "threadpoolctl": "threadpoolctl",
    "pyyaml": "yaml",
}


def missing() -> list[str]:
    """Packages that this Python lacks."""
    names = {"jax": "jax", "scipy": "scipy", "pandas": "pandas"} | PACKAGES
    return [
        package
        for package, module in names.items()
        if importlib.util.find_spec(module) is None
    ]


def locked(package: str) -> str:
    """`package==version` as requirements.lock has it."""
    found = re.search(rf"^{package}==[^\s\\;]+", LOCK.read_text(), re.M)
    if found is None:
        raise LookupError(f"{package} is not in {LOCK.name}")
    return found[0]


def collect(folder: Path, python: str) -> int:
    """Install the packages for this version of Python; return the bytes of `folder`."""
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--upgrade"]
    command += ["--only-binary=:all:", "--python-version", python, "--no-compile"]
    command += ["--target", str(folder), *map(locked, PACKAGES)]
    subprocess.run(command, check=True)
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main(arguments: list[str]) -> int:
    """The arguments of `python -m benchmarks wheels`."""
    top = argparse.ArgumentParser(prog="benchmarks wheels", description=__doc__)
    top.formatter_class = argparse.RawDescriptionHelpFormatter
    top.add_argument(
        "--python", default="3.12", help="its version on that machine (default: 3.12)"
    )
    top.add_argument("folder", type=Path)
    options = top.parse_args(arguments)
    size = collect(options.folder, options.python)
    print(f"{options.folder}: {size / 1e6:.1f} MB for Python {options.python}")
    return 0
