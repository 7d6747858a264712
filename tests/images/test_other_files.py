import pytest

from recolor.config.settings import MeasureConfig
from recolor.errors import ImageError
from recolor.images import decode


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"<!DOCTYPE html><html><body>404</body>", "an HTML page: what a failed download leaves"),
        (b"\n<html lang='en'>", "an HTML page: what a failed download leaves"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b"PK\3\4" + bytes(60), "a ZIP archive"),
        (b"8BPS\0\1" + bytes(60), "a Photoshop document: export it as TIFF or PNG"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 image, which is not read: convert it to TIFF or PNG"),
        (b"\xff\x0a" + bytes(60), "a JPEG XL image, which is not read: convert it to JPEG or PNG"),
        (b"\0\0\0\x18ftypisom\0\0\2\0isomiso2", "a video, or an image of a kind that is not read"),
        (bytes(5000), "zero bytes: it was never written"),
        (b"It was a dark and stormy night.\n", "text"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS: fetch the file itself"),
        (b"\x12\x34\xfe\xff\x00\x01\x02\x03\x04", "no image signature, but the bytes 12 34 fe ff 00 01 02 03"),
    ],
)
def test_what_is_no_image_is_said(data, said):
    with pytest.raises(ImageError) as error:
        decode(data, MeasureConfig())
    assert (error.value.reason, error.value.detail) == ("not_an_image", said)
