"""Makes the gallery: reads the manifests, writes one HTML file.

Images are opened only for thumbnails.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from recolor.cleaning.decisions import stored_decisions
from recolor.cleaning.gallery.cards import Section
from recolor.cleaning.gallery.page import render_gallery
from recolor.cleaning.gallery.sections import make_sections, read_detected
from recolor.cleaning.gallery.thumbnails import Thumbnail, make_thumbnail
from recolor.config.settings import Config
from recolor.paths import expand_user
from recolor.pipeline.inputs import check_image_folder
from recolor.pipeline.parallel import run_parallel
from recolor.pipeline.storage import write_output
from recolor.pipeline.workspace import Workspace

MAX_OUTLIERS = 5000


@dataclass(frozen=True, slots=True)
class Gallery:
    """A gallery that was written.

    Attributes:
        path: Path of the page.
        images: Number of images on the page.
        without_picture: Number of images that could not be opened; the page gives the reasons.
        size_bytes: Size of the page.
    """

    path: Path
    images: int
    without_picture: int
    size_bytes: int


def make_gallery(
    workspace: Workspace,
    images: Path | None,
    config: Config,
    *,
    out: Path | None = None,
    max_outliers: int = MAX_OUTLIERS,
) -> Gallery:
    """Writes a self-contained HTML file that shows the outliers of each issue.

    Args:
        workspace: A workspace whose images are measured, and judged by the detectors. They need not be selected.
        images: The folder that was cleaned. None: the page has no pictures.
        config: Settings of the detectors, which decide what is near a threshold, and limits of decoding.
        out: Path of the page; by default `manifests/gallery.html` in the workspace.
        max_outliers: Maximum number of outliers per issue: the worst, and those nearest to the threshold.

    Raises:
        InputError: The image folder does not exist.
        MissingStageError: A manifest does not exist, or was made from other measurements.
        ConfigError: `decisions.csv` is malformed; the message names the line.
        StorageError: The page cannot be written.
    """
    if images is not None:
        check_image_folder(images)
    page = expand_user(out or workspace.manifests / "gallery.html").absolute()
    decisions = stored_decisions(workspace)
    sections = make_sections(read_detected(workspace), decisions, config, max_outliers)
    thumbnails = _thumbnails(images, sections, config)
    kept = {path: decision.keep for path, decision in decisions.items()}
    data = render_gallery(sections, thumbnails, kept, images and images.absolute(), page.parent).encode()
    write_output(page, data)
    without = sum(thumbnail.uri is None for thumbnail in thumbnails.values())
    return Gallery(page, len(thumbnails), without, len(data))


def _thumbnails(images: Path | None, sections: Sequence[Section], config: Config) -> dict[str, Thumbnail]:
    """Returns a thumbnail of every image on the page, each made once."""
    paths = list(dict.fromkeys(card.path for section in sections for card in section.cards))
    if images is None:
        return dict.fromkeys(paths, Thumbnail(None, "the folder of photographs was not found"))
    make = partial(make_thumbnail, images, limits=config.measure)
    return dict(zip(paths, run_parallel(make, paths, config.execution, "gallery", lambda _: 1), strict=True))
