import io
import logging
import os
import struct
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from recolor.cleaning.gallery.thumbnails import make_thumbnail
from recolor.config.settings import Config, MeasureConfig
from recolor.pipeline.c_messages import _HAS_GLIBC, no_c_messages
from recolor.stages import CLEANING, run_each

pytestmark = pytest.mark.skipif(not _HAS_GLIBC, reason="the C library's stderr cannot be set")


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def noisy_png():
    """16 bits, with a profile of which libpng says that it is too short."""
    pixels = (np.arange(96 * 96 * 3).reshape(96, 96, 3) * 2 % 65536).astype(">u2")
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in pixels))
    profile = chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(200)))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 96, 96, 16, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + profile + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def noisy_fax():
    """A TIFF of which libtiff says that its code words are bad."""
    buffer = io.BytesIO()
    Image.fromarray(np.eye(96, dtype=bool)).save(buffer, "TIFF", compression="group4")
    data = bytearray(buffer.getvalue())
    data[30:50] = b"\xaa" * 20
    return bytes(data)


def decode_noisily():
    cv2.imdecode(np.frombuffer(noisy_png(), np.uint8), cv2.IMREAD_UNCHANGED)


def test_what_a_decoder_prints_is_discarded_inside_and_only_inside(capfd):
    decode_noisily()
    assert "libpng warning: iCCP" in capfd.readouterr().err
    with no_c_messages():
        with no_c_messages():
            decode_noisily()
        decode_noisily()
    assert capfd.readouterr().err == ""
    decode_noisily()
    assert "libpng warning: iCCP" in capfd.readouterr().err


def test_python_and_its_child_processes_still_write(capfd):
    with no_c_messages():
        os.write(2, b"descriptor\n")
        subprocess.run([sys.executable, "-c", "import sys; sys.stderr.write('child')"], check=True)
        logging.lastResort.handle(logging.makeLogRecord({"msg": "log", "levelno": logging.WARNING}))
    assert capfd.readouterr().err.startswith("descriptor\nchild")


@pytest.mark.parametrize("runner", ["threads", "processes"])
def test_cleaning_and_the_gallery_print_nothing_about_noisy_files(tmp_path, workspace, capfd, runner):
    images = tmp_path / "images"
    images.mkdir()
    (images / "noisy.png").write_bytes(noisy_png())
    (images / "fax.tif").write_bytes(noisy_fax())
    Image.fromarray(np.eye(96, dtype=bool)).save(images / "good.tif", compression="group4")
    Image.open(io.BytesIO(noisy_fax())).load()
    assert "Fax4Decode" in capfd.readouterr().err
    words = {"runner": runner, "workers": 1}
    config = Config(execution=type(Config().execution)(**words))
    list(run_each(CLEANING[:2], workspace, images, config))
    make_thumbnail(images, "fax.tif", MeasureConfig())
    said = capfd.readouterr().err
    assert "Fax" not in said
    assert "libpng" not in said
