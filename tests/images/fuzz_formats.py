"""Mutates files of a format, and compares the reader with another decoder: `python fuzz_formats.py FORMAT EXAMPLES`.

Writes one line of JSON for each disagreement, and one with counts at the end. A program, as a decoder may crash.
"""

import io
import json
import random
import sys
import zlib

import cv2
import imagecodecs
import numpy as np
import tifffile
from PIL import Image
from skimage import data as photographs

from recolor.config.settings import MeasureConfig
from recolor.errors import ImageError
from recolor.images import decode

RGB = photographs.chelsea()[:96, :128]
LIMITS = MeasureConfig(max_pixels=2_000_000)


def encoded(file_format, **options):
    buffer = io.BytesIO()
    Image.fromarray(RGB).save(buffer, file_format, **options)
    return buffer.getvalue()


def deep_tiff():
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, RGB.astype(np.uint16) * 257, photometric="rgb", rowsperstrip=16)
    return buffer.getvalue()


def by_opencv(data):
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if picture is not None:
        return picture[..., ::-1]
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture.convert("RGB"))


def by_tifffile(data):
    return tifffile.imread(io.BytesIO(data))


# Sources, a decoder built on another library than the reader's, and the rounding that they may differ by.
FORMATS = {
    "JPEG": ([encoded("JPEG", quality=90), encoded("JPEG", progressive=True)], imagecodecs.jpeg8_decode, 2),
    "PNG": ([encoded("PNG", compress_level=0)], imagecodecs.spng_decode, 0),
    "WEBP": ([encoded("WEBP", quality=80), encoded("WEBP", lossless=True)], imagecodecs.webp_decode, 0),
    "GIF": ([encoded("GIF")], imagecodecs.gif_decode, 0),
    "BMP": ([encoded("BMP")], by_opencv, 0),
    "TIFF": ([encoded("TIFF"), encoded("TIFF", compression="tiff_lzw")], by_tifffile, 0),
    "16-bit TIFF": ([deep_tiff()], by_opencv, 1),
    "AVIF": ([encoded("AVIF", speed=10)], imagecodecs.avif_decode, 2),
}


def mutated(whole, source):
    data = bytearray(whole)
    for _ in range(source.randint(1, 3)):
        at = source.randrange(min(len(data), 700) if source.random() < 0.7 else len(data))
        match source.randrange(4):
            case 0:
                data[at] = source.randrange(256)
            case 1:
                data[at] ^= 1 << source.randrange(8)
            case 2:
                del data[at : at + source.randint(1, 4)]
            case _:
                data[at:at] = source.randbytes(source.randint(1, 4))
    is_png = data.startswith(b"\x89PNG") and source.random() < 0.9
    return with_checksums(bytes(data)) if is_png else bytes(data)


def with_checksums(data):
    """The PNG with checksums that are right: without them no mutation would get past the first check."""
    parts, position = [data[:8]], 8
    while position + 12 <= len(data):
        end = position + 8 + int.from_bytes(data[position : position + 4])
        body = data[position + 4 : end]
        parts.append(data[position : position + 4] + body + zlib.crc32(body).to_bytes(4))
        position = end + 4
    return b"".join(parts)


def as_rgb(pixels):
    if pixels.ndim == 3 and pixels.shape[2] >= 3:
        return pixels[..., :3]
    return np.repeat(pixels.reshape(*pixels.shape[:2], -1)[..., :1], 3, axis=2)


def compared(ours, data, other, tolerance):
    """How a decoded file compares with what another decoder shows, and what differs."""
    try:
        theirs = as_rgb(np.asarray(other(data)))
    except Exception as error:  # noqa: BLE001  whatever it raises is its answer
        return "other refuses", f"{type(error).__name__}: {error}"[:150]
    if theirs.shape != ours.rgb.shape:
        return "unlike", f"{ours.rgb.shape} {theirs.shape}"
    most = int(np.abs(theirs.astype(int) - ours.rgb).max())
    return ("agreed", "") if most <= tolerance else ("unlike", f"up to {most}")


def run(name, examples):
    sources, other, tolerance = FORMATS[name]
    source = random.Random(name)
    counts = dict.fromkeys(("refused", "left out", "agreed", "unlike", "other refuses"), 0)
    for number in range(examples):
        data = mutated(sources[number % len(sources)], source)
        try:
            ours = decode(data, LIMITS)
        except ImageError:
            counts["refused"] += 1
            continue
        covers = name != "GIF" or data[6:10] == sources[0][6:10]  # else the background is each decoder's own
        if not covers or ours.orientation != 1 or ours.icc or ours.alpha is not None:
            counts["left out"] += 1
            continue
        how, said = compared(ours, data, other, tolerance)
        counts[how] += 1
        if how != "agreed":
            sys.stdout.write(json.dumps({"number": number, "how": how, "said": said, "notes": ours.notes}) + "\n")
    sys.stdout.write(json.dumps(counts) + "\n")


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]))
