"""The collected hostile files: no crash, bounded memory, a reason for each that cannot be decoded."""

import csv
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from recolor.config import MeasureConfig
from recolor.errors import DECODE_REASONS, ImageError
from recolor.images import decode, read_bytes

FOLDER = Path(__file__).parents[1] / "../shared/data/malformed"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="../shared/data/malformed is not there")

# Wrong by the standard, but only in metadata that no pixel depends on: chromaticities, scales, suggested palettes,
# bytes after the end.
HARMLESS_PNG = 6
# Wrong densities and sizes that no pixel depends on, and damaged run lengths: no photograph is kept in those.
TOLERATED_BMP = 10


def verdict(file):
    limits = MeasureConfig()
    try:
        decoded = decode(read_bytes(file, limits), limits, 256)
    except ImageError as error:
        assert error.reason in DECODE_REASONS  # noqa: PT017 - either outcome is right
        assert error.detail  # noqa: PT017
        return error.reason
    assert decoded.rgb.size
    return "decoded"


def verdicts(kind):
    with (FOLDER / "index.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["file"].endswith(kind)]
    return Counter((row["verdict"], verdict(FOLDER / "files" / row["file"]) == "decoded") for row in rows)


def test_every_valid_png_is_decoded_and_every_invalid_one_refused_but_for_harmless_metadata():
    found = verdicts(".png")
    assert found[("valid", False)] == 0
    assert found[("valid", True)] == 171
    assert found[("invalid", True)] <= HARMLESS_PNG
    assert found[("invalid", False)] >= 226 - HARMLESS_PNG


def test_bmp_files_have_a_verdict():
    found = verdicts(".bmp")
    assert found[("valid", False)] == 0
    assert found[("invalid", True)] <= TOLERATED_BMP


def test_broken_downloads_have_their_reasons():
    found = Counter(verdict(file) for file in (FOLDER / "wild").iterdir())
    assert found == {"empty": 9, "truncated": 1}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak of memory from /proc")
def test_memory_stays_bounded():
    program = (
        "import sys; from pathlib import Path; from recolor.config import MeasureConfig;"
        "from recolor.measure.rows import measure_file;"
        "[measure_file(f, f.stat().st_size, MeasureConfig()) for f in Path(sys.argv[1]).iterdir()];"
        # Not getrusage: its peak counts the parent's memory, from before the program was loaded.
        "print(next(w.split()[1] for w in open('/proc/self/status') if w.startswith('VmHWM')))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(FOLDER / "files")], capture_output=True, text=True, check=True, timeout=120
    )
    assert int(run.stdout) < 1_000_000  # KiB; one file alone claims 6 terapixels
