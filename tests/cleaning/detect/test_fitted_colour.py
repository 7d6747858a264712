import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from recolor.cleaning.detect import monochrome
from recolor.cleaning.measure import natural_colour

ROOT = Path(__file__).parents[3]
SHARED = ROOT / "../shared/data"


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif("RECOLOR_FIT_TESTS" not in os.environ, reason="takes a quarter of an hour: set RECOLOR_FIT_TESTS=1")
@pytest.mark.skipif(not (SHARED / "photos_more").is_dir(), reason="../shared/data/photos_more is not there")
@pytest.mark.parametrize(
    ("script", "shipped"), [("fit_skewed", natural_colour.NETWORK_FILE), ("fit_monochrome", monochrome.NETWORK_FILE)]
)
def test_the_script_reproduces_what_is_shipped(tmp_path, script, shipped):
    made = tmp_path / "made.npz"
    command = [sys.executable, ROOT / f"tools/{script}.py", "--data", SHARED, "--out", made]
    subprocess.run(command, check=True, cwd=ROOT)
    with np.load(shipped) as kept, np.load(made) as again:
        assert kept.files == again.files
        assert kept["fingerprint"] == again["fingerprint"]
        for name in set(kept.files) - {"fingerprint"}:
            np.testing.assert_allclose(kept[name], again[name], rtol=0.02, atol=0.02)
