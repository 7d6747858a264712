"""Mutated headers and bodies: what is decoded has the pixels that another decoder shows.

`RECOLOR_FUZZ_EXAMPLES=5000 pytest tests/images/test_fuzz.py` looks at more than the few that a test has time for.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = os.environ.get("RECOLOR_FUZZ_EXAMPLES", "150")
# OpenCV and Pillow refuse TIFFs with a strip height beyond the picture.
ALLOWED = {"16-bit TIFF": "other refuses"}


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "16-bit TIFF", "AVIF"])
@pytest.mark.slow  # hundreds of damaged files of every format
def test_what_is_decoded_has_the_pixels_that_another_decoder_shows(name):
    program = Path(__file__).with_name("fuzz_formats.py")
    command = [sys.executable, "-W", "ignore", program, name, EXAMPLES]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    *disagreements, counts = map(json.loads, run.stdout.splitlines())
    assert sum(counts.values()) == int(EXAMPLES)
    assert [found for found in disagreements if found["how"] != ALLOWED.get(name)] == []
