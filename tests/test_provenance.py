"""The fingerprint sees edits of code that is used, and nothing else."""

import importlib
import sys
import textwrap

import pytest

from ntkpipe import provenance
from ntkpipe.datasets import Circle, Noise, Values

CORE = '''
"""A module."""
from demo_pkg.other import helper, constant
from demo_pkg import third

def stage(x: int) -> int:
    """Say."""
    # a comment
    return helper(x) + third.far(x) + SCALE

SCALE = 2

def unused():
    return constant
'''
OTHER = """
constant = 1
def helper(x):
    return inner(x)
def inner(x):
    return x + 1
def apart(x):
    return x
"""
THIRD = """
def far(x):
    return x
def near(x):
    return x
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of three modules, and a way to edit and fingerprint it."""
    folder = tmp_path / "demo_pkg"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.setattr(provenance, "PACKAGE", "demo_pkg")
    monkeypatch.syspath_prepend(str(tmp_path))

    def fingerprint(core=CORE, other=OTHER, third=THIRD, root="stage"):
        for name, text in (("core", core), ("other", other), ("third", third)):
            (folder / f"{name}.py").write_text(textwrap.dedent(text))
            sys.modules.pop(f"demo_pkg.{name}", None)
        sys.modules.pop("demo_pkg", None)
        provenance._read.cache_clear()
        importlib.invalidate_caches()
        return provenance.fingerprint(f"demo_pkg.core:{root}")

    yield fingerprint
    provenance._read.cache_clear()


def test_edits_of_what_is_used_are_seen(package):
    before = package()
    assert package(core=CORE.replace("+ SCALE", "- SCALE")) != before
    assert package(core=CORE.replace("SCALE = 2", "SCALE = 3")) != before
    assert package(other=OTHER.replace("x + 1", "x + 2")) != before
    farther = THIRD.replace("return x", "return 2 * x", 1)
    assert package(third=farther) != before


def test_other_edits_are_not(package):
    before = package()
    assert package(core=CORE.replace('"""Say."""', '"""Say more."""')) == before
    assert package(core=CORE.replace("# a comment", "# another")) == before
    assert package(core=CORE.replace("x: int", "x: float")) == before
    assert package(core=CORE.replace("return constant", "return 7")) == before
    assert package(other=OTHER.replace("constant = 1", "constant = 5")) == before
    assert package(other=OTHER.replace("def apart(x):\n    return x", "")) == before
    assert package(third=THIRD.replace("near", "nearer")) == before


def test_sections_bring_the_code_of_their_own_kind():
    circle = Circle(points=3, target=Noise())
    assert set(provenance.sections(circle)) == {Circle, Noise}
    noise = provenance.fingerprint(circle)
    values = provenance.fingerprint(Circle(points=3, target=Values(y=(1.0, 2.0, 3.0))))
    assert noise != values
    assert provenance.fingerprint(Circle(points=9, target=Noise())) == noise


def test_versions_name_what_numbers_depend_on():
    assert {"python", "jax", "jaxlib", "numpy", "ntkpipe"} <= set(provenance.versions())
    assert provenance.device() in ("cpu",) or ":" in provenance.device()
