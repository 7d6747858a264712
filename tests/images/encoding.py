"""Files of pictures, encoded in memory."""

import io

import tifffile
from PIL import Image


def encoded(picture, file_format, **options):
    """The file that Pillow writes of a picture or of pixels."""
    buffer = io.BytesIO()
    picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    picture.save(buffer, file_format, **options)
    return buffer.getvalue()


def tiff(pixels, **options):
    """The file that tifffile writes: any depth, planes and byte order."""
    buffer = io.BytesIO()
    big, order = options.pop("bigtiff", False), options.pop("byteorder", "<")
    with tifffile.TiffWriter(buffer, bigtiff=big, byteorder=order) as writer:
        writer.write(pixels, **({"metadata": None} | options))
    return buffer.getvalue()
