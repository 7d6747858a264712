import subprocess
import sys

import pytest

PROGRAM = """
import io, signal, sys, threading, warnings
from pathlib import Path
import cv2, numpy as np, torch
from PIL import Image

torch.set_num_threads(2)
cv2.setNumThreads(2)


def state():
    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    return list(warnings.filters), cv2.getNumThreads(), torch.get_num_threads(), Image.MAX_IMAGE_PIXELS, handlers


before = state()
import recolor
from recolor.config.settings import MeasureConfig
from recolor.images import decode

pixels = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
buffer = io.BytesIO()
Image.fromarray(pixels).save(buffer, "PNG")
buffer_webp = io.BytesIO()
Image.fromarray(pixels).save(buffer_webp, "WEBP")
threads = [
    threading.Thread(target=decode, args=(data.getvalue(), MeasureConfig()))
    for data in (buffer, buffer_webp) for _ in range(8)
]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert state() == before, "decoding"

recolor.Colorizer.from_pretrained("cpu")(Image.fromarray(pixels))
assert state() == before, "Colorizer"

root = Path(sys.argv[1])
(root / "images").mkdir()
(root / "images/a.png").write_bytes(buffer.getvalue())
from recolor.cleaning.measure.isolation import measure_apart
from recolor.manifests.schemas import INDEX
import pyarrow as pa
row = {name: None for name in INDEX.arrow.names} | {"path": "a.png", "size_bytes": len(buffer.getvalue())}
measure_apart(root / "images", pa.Table.from_pylist([row], schema=INDEX.arrow), MeasureConfig())
assert state() == before, "measuring in this process"
"""


@pytest.mark.slow  # a process that loads everything
def test_decoding_colouring_and_measuring_leave_the_host_programs_settings_as_they_were(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
