"""The hooks that build the manual as a site; they need the extra `docs`."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("nbclient")
pytest.importorskip("mkdocs")
pytest.importorskip("jupytext")

ROOT = Path(__file__).parents[1]
SPEC = importlib.util.spec_from_file_location("hooks", ROOT / "docs/site/hooks.py")
hooks = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(hooks)


def shown(page, text):
    """The text of a page, with the links of the site."""
    page = SimpleNamespace(file=SimpleNamespace(src_uri=page))
    return hooks.on_page_markdown(text, page, {}, None)


@pytest.mark.parametrize(
    ("page", "link", "target"),
    [
        ("claims.md", "start/results.md", "start/results.md"),
        (
            "use/data.md",
            "../reference/data.md#licences",
            "../reference/data.md#licences",
        ),
        ("use/data.md", "../learn/my_network.py", "../learn/my_network.md"),
        ("use/data.md", "../../README.md", "../repository/README.md"),
        (
            "claims.md",
            "../config/studies/width.yaml",
            "repository/config/studies/width.yaml.md",
        ),
        ("repository/README.md", "docs/use/ask.md#the-plan", "../use/ask.md#the-plan"),
        ("repository/README.md", "docs/images/review.svg", "../images/review.svg"),
        ("repository/README.md", "config/README.md", "config/README.md"),
        (
            "repository/benchmarks/README.md",
            "results/scaling.svg",
            "results/scaling.svg",
        ),
        ("claims.md", "missing.md", "missing.md"),
        ("claims.md", "#below", "#below"),
        ("claims.md", "https://a.b/README.md", "https://a.b/README.md"),
    ],
)
def test_links_lead_to_the_pages_of_files(page, link, target):
    assert shown(page, f"a [b]({link}) c") == f"a [b]({target}) c"


def test_links_within_code_stay():
    text = "```text\n[a](../README.md)\n```\n"
    assert shown("claims.md", text) == text


def test_charts_are_left_out():
    assert shown("a.md", "a\n\n```mermaid\nb --> c\n```\n\nd\n") == "a\n\n\nd\n"


def test_files_that_pages_link_to_are_found_with_their_own_links():
    found = set(hooks.linked({"docs/claims.md": "[a](../README.md) [b](power.md)"}))
    assert {"README.md", "CONTRIBUTING.md", "CITATION.cff"} <= found
    assert not any(path.startswith("docs/") for path in found)


def test_what_is_loaded_from_the_network_is_refused():
    page = SimpleNamespace(file=SimpleNamespace(src_uri="a.md"))
    link = '<a href="https://a.b">a</a><img src="a.png">'
    assert hooks.on_post_page(link, page, {}) == link
    for tag in ('<script src="https://a.b/c.js">', '<img alt="" src="//a.b/c.png">'):
        with pytest.raises(hooks.PluginError, match=r"a\.md: <.* from the network"):
            hooks.on_post_page(tag, page, {})


def test_a_notebook_has_its_outputs_and_its_exceptions(tmp_path):
    path = tmp_path / "a.py"
    path.write_text(
        "# %% [markdown]\n# Two [b](b.md)\n\n# %%\nprint(1 + 1)\nprint(3)\n"
    )
    text, pictures = hooks.notebook(path)
    code = "```python\nprint(1 + 1)\nprint(3)\n```"
    assert text == f"Two [b](b.md)\n\n{code}\n\n```{{.text .output}}\n2\n3\n```\n"
    assert pictures == {}
    path.write_text("# %%\n1 / 0\n")
    with pytest.raises(Exception, match="ZeroDivisionError"):
        hooks.notebook(path)
