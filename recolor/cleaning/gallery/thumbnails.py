"""Makes thumbnails that are embedded in the page."""

from dataclasses import dataclass
from pathlib import Path

from recolor.config.settings import MeasureConfig
from recolor.errors import ImageError
from recolor.images import decode, read_bytes
from recolor.images.preview import jpeg_bytes, reduced
from recolor.manifests.names import decode_path
from recolor.pages.html import data_uri
from recolor.pipeline.c_messages import no_c_messages

THUMBNAIL_PX = 192  # long side
_QUALITY = 72


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A picture as a data URI, or the reason why there is none."""

    uri: str | None
    problem: str = ""


@no_c_messages()
def make_thumbnail(images: Path, path: str, limits: MeasureConfig) -> Thumbnail:
    """Returns a thumbnail of an image.

    An image that cannot be decoded gives its reason, not an error.

    Args:
        images: The image folder.
        path: The image's path in it, as manifests hold it.
        limits: Maximum size of a file and an image.
    """
    try:
        return Thumbnail(data_uri("image/jpeg", thumbnail_jpeg(images / decode_path(path), limits)))
    except ImageError as error:
        return Thumbnail(None, str(error))


def thumbnail_jpeg(path: Path, limits: MeasureConfig) -> bytes:
    """Returns a thumbnail of an image file as a JPEG; of a damaged file, what is left of it.

    Raises:
        ImageError: Nothing of it can be decoded.
    """
    rgb = decode(read_bytes(path, limits), limits, THUMBNAIL_PX, lenient=True).rgb
    return jpeg_bytes(reduced(rgb, THUMBNAIL_PX), _QUALITY)
