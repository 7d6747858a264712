"""MkDocs hook: adds pages from outside of docs/ to the site, and adapts links between the two."""

import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
OUTSIDE = {
    "manifests/README.md": "manifests.md",
    "data/README.md": "data.md",
    "recolor/models/pretrained/MODEL_CARD.md": "model-card.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "README.md": "index.md",
}
SOURCES = {page: source for source, page in OUTSIDE.items() if page != "index.md"}
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)")


def on_files(files, config):
    for page, source in SOURCES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Links lead to the page of a file; a link to a file that has no page, such as source code, becomes its text."""
    here = page.file.src_uri
    source = SOURCES.get(here, f"docs/{here}")

    def adapted(link):
        text, target = link.groups()
        if re.match(r"\w+:|#", target):
            return link[0]
        path, hash_sign, anchor = target.partition("#")
        file = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        to = OUTSIDE.get(file) or (file.removeprefix("docs/") if file.startswith("docs/") else None)
        if to is None:
            return text
        return f"[{text}]({posixpath.relpath(to, posixpath.dirname(here) or '.')}{hash_sign}{anchor})"

    return _LINK.sub(adapted, markdown)
