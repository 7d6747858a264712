import os

# The models of the tests are tiny: with more than one thread, torch spends its time handing out the work (15 s against
# 1 s for twelve steps). Set before anything loads torch, and inherited by the programs that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from recolor.workspace import open_workspace

# A stray setting of the machine must not change what the tests see.
for name in [name for name in os.environ if name.startswith("PREFECT_")]:
    del os.environ[name]


@pytest.fixture
def workspace(tmp_path):
    return open_workspace(tmp_path / "workspace")
