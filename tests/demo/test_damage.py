from io import BytesIO

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from recolor.demo.copies import jpeg
from recolor.demo.damage import DAMAGES, scan_start
from recolor.demo.landscape import render_landscape


@pytest.fixture(scope="module")
def data():
    return jpeg(render_landscape(5, 320, 260), 90)


def _generator(seed):
    return np.random.Generator(np.random.Philox(seed))


def _is_intact(data):
    """Returns whether a strict decoder reads the whole file without an error."""
    try:
        if simplejpeg.is_jpeg(data):
            simplejpeg.decode_jpeg(data, strict=True)
        else:
            with Image.open(BytesIO(data)) as image:
                image.load()
    except (ValueError, OSError, SyntaxError):
        return False
    return True


def test_the_undamaged_file_passes_the_strict_decoder(data):
    assert _is_intact(data)


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize("seed", range(4))
def test_a_damaged_file_fails_the_strict_decoder(data, kind, seed):
    assert not _is_intact(DAMAGES[kind](data, _generator(seed)))


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_is_the_same_each_time(data, kind):
    assert DAMAGES[kind](data, _generator(9)) == DAMAGES[kind](data, _generator(9))


def test_bits_are_flipped_in_the_entropy_coded_data_only(data):
    damaged = DAMAGES["bit_flips"](data, _generator(1))
    start = scan_start(data)
    assert damaged[:start] == data[:start]
    assert damaged[-2:] == b"\xff\xd9"
    assert 0 < sum(a != b for a, b in zip(data, damaged, strict=True)) <= 24


def test_a_damaged_png_still_begins_as_one(data):
    assert DAMAGES["damaged_png"](data, _generator(1)).startswith(b"\x89PNG\r\n\x1a\n")
