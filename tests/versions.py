"""Run tests on the oldest and on the newest versions of JAX that are allowed.

    python tests/versions.py [--newest python3.13] [TESTS …]

The oldest versions are those of `requirements.lock`, in this Python's environment. The
newest are what pip finds for another Python without the lock, in a temporary
environment. By default the tests are those of kernels, whose closed forms depend on
JAX's description of a network. Printed are the versions and the number of tests that
passed. The exit status is 1 if a test fails. It takes some minutes and a gigabyte.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
TESTS = ["test_taps.py", "test_explain.py", "test_empirical.py"]
SAY = """
import sys
from importlib.metadata import version
names = [f"{name} {version(name)}" for name in ("jax", "jaxlib", "numpy", "scipy")]
print(f"Python {sys.version.split()[0]},", ", ".join(names), flush=True)
"""


def installed(python: str, folder: Path) -> Path:
    """The Python of a new environment with the newest versions."""
    subprocess.run([python, "-m", "venv", folder], check=True)
    own = folder / "bin" / "python"
    pip = [own, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    done = subprocess.run([*pip, "-e", f"{ROOT}[dev]"], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"the newest versions can't be installed:\n{done.stderr}")
    return own


def passed(python: str | Path, tests: list[str]) -> bool:
    """Print versions, run tests, print their last line; whether all passed."""
    subprocess.run([python, "-c", SAY], check=True)
    done = subprocess.run(
        [python, "-m", "pytest", "-p", "no:cacheprovider", *tests],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    lines = done.stdout.strip().splitlines()
    print("\n".join(line for line in lines if line.startswith("FAILED")))
    print(lines[-1] if lines else done.stderr, flush=True)
    return done.returncode == 0


def main() -> int:
    """Run the tests in both environments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--newest", default="python3.13", help="default: python3.13")
    parser.add_argument("tests", nargs="*", default=[f"tests/{t}" for t in TESTS])
    options = parser.parse_args()
    results = [passed(sys.executable, options.tests)]
    with tempfile.TemporaryDirectory(prefix="newest") as folder:
        newest = installed(options.newest, Path(folder))
        results.append(passed(newest, options.tests))
    return int(not all(results))


if __name__ == "__main__":
    sys.exit(main())
