"""What a file is that is no image which Recolor reads: for messages that say what to do."""

import re

_PATTERNS = (
    (
        re.compile(rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<(!doctype html|html|head|body)", re.I | re.S),
        "an HTML page: what a failed download leaves",
    ),
    (re.compile(rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*(<!doctype svg[^>]*>\s*)?<svg", re.I | re.S), "an SVG drawing"),
    (re.compile(rb"\0+\Z"), "zero bytes: it was never written"),
    (re.compile(rb"[\t\r\n -~]+\Z"), "text"),
)
_HEAD_BYTES = 1024
_SIGNATURES = (
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"Rar!", "a RAR archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"8BPS", "a Photoshop document: export it as TIFF or PNG"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 image, which is not read: convert it to TIFF or PNG"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image, which is not read: convert it to TIFF or PNG"),
    (b"\xff\x0a", "a JPEG XL image, which is not read: convert it to JPEG or PNG"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL image, which is not read: convert it to JPEG or PNG"),
    (b"FUJIFILMCCD-RAW", "a raw file: develop it first"),
    (b"\x1aE\xdf\xa3", "a video"),
    (b"version https://git-lfs", "a pointer of Git LFS: fetch the file itself"),
)


def describe(data: bytes) -> str:
    """Returns what a file appears to be by its first bytes, in a few words.

    Args:
        data: The bytes of a file.
    """
    head = data[:_HEAD_BYTES]
    found = [name for signature, name in _SIGNATURES if head.startswith(signature)]
    if head[4:8] == b"ftyp":
        found.append("a video, or an image of a kind that is not read")
    found += [name for pattern, name in _PATTERNS if pattern.match(head)]
    return found[0] if found else f"no image signature, but the bytes {head[:8].hex(' ')}"
