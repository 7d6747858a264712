"""The collected malformed files: each verdict as labelled, or an exception with its reason; bounded time and memory."""

import csv
import json
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from recolor.errors import DECODE_REASONS

FOLDER = Path(__file__).parents[2] / "../shared/data/malformed"
PEAK = Path("/proc/self/clear_refs")  # writing 5 to it starts the peak of memory anew (Linux)
pytestmark = [
    pytest.mark.skipif(not FOLDER.is_dir(), reason="../shared/data/malformed is not there"),
    pytest.mark.skipif(not PEAK.exists(), reason="the peak of memory cannot be read here"),
]

# Labelled invalid and decoded all the same: how many, by what the label says. Only the first two are decoded without a
# note; see docs/decisions/2026-11-reader.md.
EXCEPTIONS = {
    # A good grey picture from Photoshop, beside the ICC profile that replaces them: colour descriptions that cannot be
    # used leave the pixels as they are, as a broken ICC profile does.
    "invalid cHRM white point": 1,
    # One byte after IEND, where the picture ends. A file with 18,922 of them is labelled valid; so it is with JPEG.
    "EOF while reading chunk length": 1,
    # All pixels are there with their checksum, and two decoders show the same.
    "must precede PLTE": 5,
    "multiple tIME": 1,
    "invalid tIME length": 1,
    "multiple pHYs": 1,
    "invalid pHYs length": 1,
    "multiple bKGD": 1,
    "bKGD must precede IDAT": 1,
    "CRC error in chunk zTXt": 2,
    "doesn't end with an IEND chunk": 1,
}
# Labelled tolerable, which leaves both verdicts open. The others are decoded.
TOLERABLE_BUT_REFUSED = {
    "bmpsuite-q__pal1huff.bmp": "unsupported",  # OS/2's fax compression
    "bmpsuite-q__pal2.bmp": "unsupported",  # two bits a pixel: Windows CE only
    "bmpsuite-q__pal2color.bmp": "unsupported",
    "bmpsuite-q__pal4rlecut.bmp": "truncated",  # ends five rows early
    "bmpsuite-q__pal8rlecut.bmp": "truncated",
    "bmpsuite-q__pal8os2v2-16.bmp": "unsupported",  # OS/2's header cut to 16 bytes
    "bmpsuite-q__pal8oversizepal.bmp": "bad_entropy_data",  # 300 colours for 256 indices
    "bmpsuite-q__rgb24jpeg.bmp": "unsupported",  # a JPEG or PNG in a BMP: meant for printers
    "bmpsuite-q__rgb24png.bmp": "unsupported",
    "bmpsuite-x__ba-bm.bmp": "not_an_image",  # OS/2's array of bitmaps
}
PROGRAM = f"""
import json, signal, sys
from pathlib import Path
from recolor.config.settings import MeasureConfig
from recolor.errors import ImageError
from recolor.images import decode, read_bytes

def kib(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))

limits = MeasureConfig()
for path in sorted(Path(sys.argv[1]).iterdir()):
    signal.alarm(30)  # seconds; ends the program
    Path({str(PEAK)!r}).write_text("5")
    before = kib("VmRSS")
    try:
        reason, detail = "decoded", decode(read_bytes(path, limits), limits, 256).rgb.shape
    except ImageError as error:
        reason, detail = error.reason, error.detail
    print(json.dumps([path.name, reason, detail, kib("VmHWM") - before]))
"""


@dataclass(frozen=True)
class Verdict:
    reason: str
    detail: str | list[int]
    peak_kib: int


def judge(folder):
    """The verdict on each file, in a program of its own: a decoder that crashes or hangs is a failure, not an end."""
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder)], capture_output=True, text=True, check=True, timeout=300
    )
    return {name: Verdict(*rest) for name, *rest in map(json.loads, run.stdout.splitlines())}


@pytest.fixture(scope="module")
def found():
    return judge(FOLDER / "files")


def labelled(verdict):
    with (FOLDER / "index.csv").open(newline="") as file:
        return {row["file"]: row["why"] for row in csv.DictReader(file) if row["verdict"] == verdict}


def test_every_file_has_a_label_and_a_verdict(found):
    assert set(found) == {*labelled("valid"), *labelled("invalid"), *labelled("tolerable")}
    assert len(found) > 400


def test_every_valid_file_is_decoded(found):
    assert {name: found[name].detail for name in labelled("valid") if found[name].reason != "decoded"} == {}


def test_every_invalid_file_is_refused_but_for_the_exceptions(found):
    decoded = {name: why for name, why in labelled("invalid").items() if found[name].reason == "decoded"}
    assert Counter(label for why in decoded.values() for label in EXCEPTIONS if label in why) == EXCEPTIONS
    assert len(decoded) == sum(EXCEPTIONS.values()), decoded


def test_every_tolerable_file_is_decoded_but_for_those_listed(found):
    refused = {name: found[name].reason for name in labelled("tolerable") if found[name].reason != "decoded"}
    assert refused == TOLERABLE_BUT_REFUSED


def test_every_refusal_has_its_reason(found):
    refused = [verdict for verdict in found.values() if verdict.reason != "decoded"]
    assert {verdict.reason for verdict in refused} <= set(DECODE_REASONS)
    assert all(verdict.detail and "\n" not in verdict.detail for verdict in refused)


def test_every_file_takes_bounded_memory(found):
    """One of 24 KB claims 6 terapixels."""
    peaks = {name: verdict.peak_kib for name, verdict in found.items() if verdict.peak_kib > 20_000}
    assert peaks == {}


def test_broken_downloads_have_their_reasons():
    assert Counter(verdict.reason for verdict in judge(FOLDER / "wild").values()) == {"empty": 9, "truncated": 1}
