import os

import pytest

from recolor.workspace import open_workspace

# A stray setting of the machine must not change what the tests see.
for name in [name for name in os.environ if name.startswith("PREFECT_")]:
    del os.environ[name]


@pytest.fixture
def workspace(tmp_path):
    return open_workspace(tmp_path / "workspace")
