"""The package as a user installs it: a wheel in a separate environment."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CODE = """
import sys
from pathlib import Path
import ntkpipe
assert Path(ntkpipe.__file__).is_relative_to(sys.prefix), ntkpipe.__file__
import jax
from ntkpipe.claims import table
from ntkpipe.kernels import ntk
from ntkpipe.models import MLP
from ntkpipe.report.page import page
from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry
assert LoggerPluginRegistry().is_installed("ntkpipe")
model = MLP(depth=1)
x = jax.numpy.ones((2, 3))
theta = ntk(model.apply, model.init_params(jax.random.key(0), 8, 3, 1), x)
assert theta.shape == (2, 1, 2, 1) and float(theta[0, 0, 0, 0]) > 0
Path("page.html").write_text(page([], table([]).assign(study=""), {}), encoding="utf-8")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from the files that git tracks or would add."""
    folder = tmp_path_factory.mktemp("wheel")
    names = ("ntkpipe", "pyproject.toml", "README.md", "LICENSE")
    for name in names:
        source, target = ROOT / name, folder / "source" / name
        if source.is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, target, ignore=ignore)
        else:
            target.parent.mkdir(exist_ok=True)
            shutil.copy(source, target)
    run = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-index"]
    run += ["--no-build-isolation", "--wheel-dir", folder, folder / "source"]
    subprocess.run(run, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_has_every_file_of_the_package(wheel):
    packed = {
        name for name in zipfile.ZipFile(wheel).namelist() if "dist-info" not in name
    }
    there = {
        # Snakemake finds the plugin by the name of a package at the top
        str(path.relative_to(ROOT)).removeprefix("ntkpipe/terminal/found/")
        for path in (ROOT / "ntkpipe").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == there


def test_an_installed_wheel_computes_a_kernel_and_renders_a_page(wheel, tmp_path):
    environment = tmp_path / "environment"
    # dependencies come from this environment, the package itself from the wheel
    create = [sys.executable, "-m", "venv", "--without-pip", environment]
    subprocess.run(create, check=True)
    (packages,) = environment.glob("lib/python3*/site-packages")
    zipfile.ZipFile(wheel).extractall(packages)
    ours = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "needs.pth").write_text("\n".join(ours))
    run = [environment / "bin" / "python", "-c", CODE]
    done = subprocess.run(run, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "<html" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_the_default_profile_finds_the_plugin_of_an_editable_install(wheel, tmp_path):
    """Snakemake does not see it by its name, so the profile registers it."""
    environment = tmp_path / "environment"
    create = [sys.executable, "-m", "venv", "--without-pip", environment]
    subprocess.run(create, check=True)
    (packages,) = environment.glob("lib/python3*/site-packages")
    ours = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "needs.pth").write_text("\n".join(ours))
    source = shutil.copytree(wheel.parent / "source", tmp_path / "source")
    python = environment / "bin" / "python"
    run = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "-q",
        "--no-deps",
    ]
    run += ["--no-index", "--no-build-isolation", "-e", source]
    subprocess.run(run, check=True, capture_output=True)
    code = (
        "from ntkpipe.terminal.hooks import register\n"
        "import snakemake_logger_plugin_ntkpipe\n"
        "from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry\n"
        "assert register() and LoggerPluginRegistry().is_installed('ntkpipe')\n"
    )
    done = subprocess.run([python, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
