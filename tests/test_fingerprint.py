"""The fingerprint changes with imported code, and with nothing else."""

import importlib
import sys
import textwrap

import pytest

from ntkpipe import fingerprint
from ntkpipe.data.circle import Circle
from ntkpipe.data.targets import Noise, Values

CORE = '''
"""A module."""
from demo_pkg.inner.other import helper

def stage(x: int) -> int:
    """Say."""
    # a comment
    return helper(x) + SCALE

SCALE = 2
TABLE: dict[str, int] = {"a": 1}
'''
OTHER = """
def helper(x):
    return x + 1
"""
# each imports demo_pkg.inner.other, seen from demo_pkg.inner.core
FORMS = {
    "import": "import demo_pkg.inner.other",
    "import as": "import demo_pkg.inner.other as o",
    "several": "import os, demo_pkg.inner.other",
    "module from package": "from demo_pkg.inner import other",
    "module under another name": "from demo_pkg.inner import other as o",
    "name from module": "from demo_pkg.inner.other import helper",
    "all names": "from demo_pkg.inner.other import *",
    "relative name": "from .other import helper",
    "relative module": "from . import other",
    "relative to a package above": "from ..inner import other",
    "name relative to a package above": "from ..inner.other import helper",
    "in a function": "def f():\n    from .other import helper\n",
    "in a condition": "if True:\n    import demo_pkg.inner.other as o\n",
    "lazily": 'o = Lazy("demo_pkg.inner.other")',
    "by way of a module": "from ..between import helper",
    "by way of a package": "from demo_pkg.inner import helper",
    "by way of a package above": "from .. import helper",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package within a package, and a way to edit and fingerprint it."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name, text):
        path = tmp_path / "demo_pkg" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))

    def take(core=CORE, other=OTHER, root="demo_pkg.inner.core", **more):
        files = {"__init__": "from demo_pkg.inner.other import helper"}
        files |= {"between": "from demo_pkg.inner.other import helper"}
        files |= {"inner/__init__": "from .other import helper"}
        files |= {"inner/core": core, "inner/other": other}
        for name, text in (files | more).items():
            write(f"{name}.py", text)
        for name in [n for n in sys.modules if n.startswith("demo_pkg")]:
            del sys.modules[name]
        fingerprint.forget()
        importlib.invalidate_caches()
        return fingerprint.fingerprint(root)

    yield take
    fingerprint.forget()


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_of_import_is_followed(package, form):
    before = package(core=form)
    assert package(core=form, other=OTHER.replace("x + 1", "x + 2")) != before
    assert "demo_pkg" not in sys.modules, "it is read, not imported"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("+ SCALE", "- SCALE"),
        ("SCALE = 2", "SCALE = 3"),
        ('{"a": 1}', '{"a": 2}'),  # a table with an annotation
    ],
)
def test_edits_of_a_module_are_seen(package, old, new):
    assert package(core=CORE.replace(old, new)) != package()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""A module."""', '"""Another."""'),
        ('"""Say."""', '"""Say more."""'),
        ("# a comment", "# another"),
        ("x: int", "x: float"),
        ("-> int", "-> float"),
        ("dict[str, int]", "dict"),
    ],
)
def test_edits_of_texts_are_not_seen(package, old, new):
    assert package(core=CORE.replace(old, new)) == package()


def test_modules_that_are_not_imported_do_not_count(package):
    before = package()
    assert package(between="x = 1") == before
    # packages above an imported module only list what is in them
    assert package(**{"__init__": "x = 1", "inner/__init__": "x = 1"}) == before


def test_sections_bring_the_modules_of_their_own_kind():
    circle = Circle(points=3, target=Noise())
    assert set(fingerprint.sections(circle)) == {Circle, Noise}
    same = Circle(points=9, target=Noise())
    assert fingerprint.fingerprint(same) == fingerprint.fingerprint(circle)
    values = Circle(points=3, target=Values(y=(1.0, 2.0, 3.0)))
    kinds = {kind.__module__ for kind in fingerprint.sections(values)}
    assert fingerprint.fingerprint(values) == fingerprint.fingerprint(*kinds)


@pytest.mark.parametrize("stage", ["train", "claims", "measure", "figure"])
def test_a_stage_does_not_depend_on_how_a_study_is_read(stage):
    """Values of a study are parameters of a job."""
    found = fingerprint.modules(f"ntkpipe.stages.{stage}")
    assert len(found) > 3
    assert not {"ntkpipe.study", "ntkpipe.provenance", "ntkpipe.stages.job"} & found
