"""Renders the gallery as HTML that loads nothing and escapes every file name."""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import quote

from recolor.cleaning.gallery.cards import Section
from recolor.cleaning.gallery.thumbnails import Thumbnail
from recolor.manifests.names import decode_path
from recolor.pages.html import inline_script, page_environment, printable
from recolor.pipeline.cache import fingerprint


def render_gallery(
    sections: Sequence[Section],
    thumbnails: Mapping[str, Thumbnail],
    decisions: Mapping[str, bool],
    images: Path | None,
    folder: Path,
) -> str:
    """Renders the page.

    Args:
        sections: The sections of the page.
        thumbnails: Thumbnail of every image on the page, by path.
        decisions: Earlier decisions by path; True is keep.
        images: Absolute path of the image folder; thumbnails link to the originals. None: there are no links.
        folder: Absolute path of the folder of the page.
    """
    script = inline_script("gallery.js")
    environment = page_environment()
    link = partial(_link, images, folder)
    environment.filters.update(printable=printable, link=link, size=_size)
    numbers = {path: number for number, path in enumerate(thumbnails)}
    data = {
        "paths": list(numbers),
        "decisions": [[path, "keep" if keep else "reject"] for path, keep in decisions.items()],
    }
    return environment.get_template("gallery.html").render(
        sections=sections,
        thumbnails=thumbnails,
        numbers=numbers,
        data={**data, "id": fingerprint(data)},
        script=script.text,
        script_hash=script.sha256,
    )


def _link(images: Path | None, folder: Path, path: str) -> str:
    """Returns a relative link, which still works if page and images are moved together; empty without images."""
    return quote(os.fsencode(os.path.relpath(images / decode_path(path), folder))) if images else ""


def _size(size_bytes: int) -> str:
    """Returns a readable size: `912 B`, `34 kB`, `1.2 MB`."""
    if size_bytes < 1000:
        return f"{size_bytes} B"
    return f"{size_bytes / 1000:.0f} kB" if size_bytes < 1_000_000 else f"{size_bytes / 1_000_000:.1f} MB"
