"""Hooks of MkDocs: notebooks, and pages of files outside docs/.

A notebook is a Python file of docs/learn in Jupytext's percent format. It is executed,
and its page has its outputs; an exception fails the build. A file of the repository to
which a page links becomes a page of the site under `repository/`.
"""

import base64
import os
import posixpath
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import jupytext
from jupyter_client import KernelManager
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
ELSEWHERE = "repository"
SECONDS = 600  # for one cell
LINK = re.compile(r"(\]\()([^)\s#:]+)((?:#[^)\s]*)?\))")
# GitHub draws these charts; a browser would need a program from the network
CHART = re.compile(r"^```mermaid\n.*?^```\n", re.M | re.S)
LOADED = re.compile(r'<(?:script|img|iframe)\b[^>]*\bsrc="(?:https?:)?//[^"]*"')
FENCED = re.compile(r"(^ *```.*?^ *```$)", re.M | re.S)
PICTURES = (".svg", ".png", ".gif")
LANGUAGES = {".cff": "yaml", ".smk": "python", "": "text"}


def on_files(files, config):
    """Add the pages of notebooks and of linked files."""
    texts = {}
    for file in files.documentation_pages():
        texts[f"docs/{file.src_uri}"] = Path(file.abs_src_path).read_text("utf-8")
    for path in sorted((DOCS / "learn").glob("*.py")):
        text, pictures = notebook(path)
        texts[f"docs/learn/{path.stem}.md"] = text
        uri = f"learn/{path.stem}.md"
        files.append(File.generated(config, uri, content=text))
        for name, content in pictures.items():
            files.append(File.generated(config, f"learn/{name}", content=content))
    for path in linked(texts):
        picture = path.endswith(PICTURES)
        content = (ROOT / path).read_bytes() if picture else shown(path)
        files.append(File.generated(config, page_of(path), content=content))
    return files


def on_page_markdown(markdown, page, config, files):
    """Lead links out of docs/ to the pages of the files, and leave out charts."""
    own = source_of(page.file.src_uri)
    here = posixpath.dirname(page.file.src_uri)

    def moved(match):
        target = repository_path(own, match[2])
        if target is None:
            return match[0]
        inside = target.startswith("docs/") and not target.endswith(".py")
        uri = target.removeprefix("docs/") if inside else page_of(target)
        return f"{match[1]}{posixpath.relpath(uri, here or '.')}{match[3]}"

    return outside_code(CHART.sub("", markdown), moved)


def on_post_page(output, page, config):
    """Refuse what a browser would load from the network."""
    if found := LOADED.search(output):
        raise PluginError(f"{page.file.src_uri}: {found[0]} is loaded from the network")
    return output


def outside_code(markdown: str, replace) -> str:
    """The text with its links replaced, but not those within code."""
    parts = FENCED.split(markdown)
    return "".join(
        part if i % 2 else LINK.sub(replace, part) for i, part in enumerate(parts)
    )


def source_of(uri: str) -> str:
    """The file of the repository that a page shows."""
    if uri.startswith(f"{ELSEWHERE}/"):
        path = uri.removeprefix(f"{ELSEWHERE}/")
        return path if (ROOT / path).is_file() else path.removesuffix(".md")
    return f"docs/{uri}"


def page_of(path: str) -> str:
    """The page that shows a file of the repository."""
    if path.startswith("docs/learn/"):
        return f"{path.removeprefix('docs/').removesuffix('.py')}.md"
    if path.endswith(PICTURES):
        return f"{ELSEWHERE}/{path}"
    return f"{ELSEWHERE}/{path.removesuffix('.md')}.md"


def repository_path(page: str, link: str) -> str | None:
    """The path to which a link of a page leads; None if it is no file."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page), link))
    return path if (ROOT / path).is_file() else None


def linked(texts: dict[str, str]) -> Iterator[str]:
    """Files outside docs/ to which pages, or files that they link to, lead."""
    todo, found = list(texts.items()), set()
    for page, text in todo:  # the list grows in the loop
        for part in FENCED.split(text)[::2]:
            for match in LINK.finditer(part):
                path = repository_path(page, match[2])
                if not path or path.startswith("docs/") or path in found:
                    continue
                found.add(path)
                yield path
                if path.endswith(".md"):
                    todo.append((path, (ROOT / path).read_text("utf-8")))


def shown(path: str) -> str:
    """The page of a file: its text, or a listing."""
    text = (ROOT / path).read_text("utf-8")
    if path.endswith(".md"):
        return text
    kind = os.path.splitext(path)[1]
    language = LANGUAGES.get(kind, kind.removeprefix("."))
    head = "---\nsearch:\n  exclude: true\n---\n"
    return f"{head}# {path}\n\n````{language}\n{text.rstrip()}\n````\n"


def notebook(path: Path) -> tuple[str, dict[str, bytes]]:
    """Execute a notebook: its page in Markdown, and its pictures by name."""
    parts, pictures = [], {}
    for cell in executed(path)["cells"]:
        if cell["cell_type"] == "markdown":
            parts.append(cell["source"])
            continue
        parts.append(f"```python\n{cell['source']}\n```")
        data = [output.get("data", {}) for output in cell["outputs"]]
        # what a cell prints arrives in pieces
        if text := "".join(output.get("text", "") for output in cell["outputs"]):
            parts.append(f"```{{.text .output}}\n{text.rstrip()}\n```")
        for picture in (one["image/png"] for one in data if "image/png" in one):
            name = f"{path.stem}-{len(pictures) + 1}.png"
            pictures[name] = base64.b64decode(picture)
            parts.append(f"![The figure that the code above draws]({name})")
    return "\n\n".join(parts) + "\n", pictures


def executed(path: Path):
    """The cells of a notebook with their outputs; an exception of a cell is raised."""
    cells = jupytext.read(path)
    # not over TCP, so that no other user of the machine can read it
    kernel = KernelManager(kernel_name="python3", transport="ipc")
    client = NotebookClient(
        cells,
        km=kernel,
        timeout=SECONDS,
        resources={"metadata": {"path": str(ROOT)}},
    )
    try:
        client.execute(env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    finally:
        kernel.shutdown_kernel(now=True)
    return cells
