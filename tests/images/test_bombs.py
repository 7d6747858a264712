"""Small files whose headers claim more pixels than are allowed: refused before any pixels take memory."""

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image

from recolor.config.settings import MeasureConfig
from recolor.errors import ImageError
from recolor.images import decode

SIDE_PX = 12_000


def small(kind, **options):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, kind, **options)
    return bytearray(buffer.getvalue())


def png():
    data = small("PNG")
    data[16:24] = struct.pack(">II", SIDE_PX, SIDE_PX)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return data


def jpeg():
    data = small("JPEG")
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", SIDE_PX, SIDE_PX)
    return data


def bmp():
    data = small("BMP")
    data[18:26] = struct.pack("<ii", SIDE_PX, SIDE_PX)
    return data


def gif_screen():
    data = small("GIF")
    data[6:10] = struct.pack("<HH", SIDE_PX, SIDE_PX)
    return data


def gif_frame():
    data = small("GIF")
    at = data.index(b"," + bytes(4))
    data[at + 5 : at + 9] = struct.pack("<HH", SIDE_PX, SIDE_PX)
    return data


def tiff():
    data = small("TIFF")
    (start,) = struct.unpack_from("<I", data, 4)
    for entry in range(start + 2, start + 2 + 12 * struct.unpack_from("<H", data, start)[0], 12):
        (tag,) = struct.unpack_from("<H", data, entry)
        if tag in (256, 257):  # ImageWidth, ImageLength
            struct.pack_into("<HHII", data, entry, tag, 4, 1, SIDE_PX)
    return data


def webp():
    data = small("WEBP")
    at = data.index(b"\x9d\x01\x2a") + 3
    data[at : at + 4] = struct.pack("<HH", SIDE_PX, SIDE_PX)
    return data


def webp_lossless():
    data = small("WEBP", lossless=True)
    (bits,) = struct.unpack_from("<I", data, 21)
    struct.pack_into("<I", data, 21, bits >> 28 << 28 | (SIDE_PX - 1) << 14 | (SIDE_PX - 1))
    return data


BOMBS = [png, jpeg, bmp, gif_screen, gif_frame, tiff, webp, webp_lossless]


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_header_with_too_many_pixels_is_enough_to_refuse_it(bomb):
    with pytest.raises(ImageError) as error:
        decode(bytes(bomb()), MeasureConfig())
    assert error.value.reason == "too_many_pixels"
    assert str(SIDE_PX) in error.value.detail


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak of memory from /proc")
def test_refusing_it_takes_little_memory(tmp_path):
    for bomb in BOMBS:
        (tmp_path / bomb.__name__).write_bytes(bomb())
    program = (
        "import sys; from pathlib import Path; from recolor.config.settings import MeasureConfig;"
        "from recolor.cleaning.measure.rows import IndexedFile, measure_files;"
        "peak = lambda: next(int(w.split()[1]) for w in open('/proc/self/status') if w.startswith('VmHWM'));"
        "before = peak();"
        "files = [IndexedFile(file, file.stat().st_size) for file in Path(sys.argv[1]).iterdir()];"
        "assert len(list(measure_files(files, MeasureConfig()))) == 8;"
        "print(peak() - before)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True, timeout=120
    )
    assert int(run.stdout) < 50_000  # KiB; the pixels of one would be 432 MB
