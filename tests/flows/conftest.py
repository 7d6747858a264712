import pytest
from prefect.testing.utilities import prefect_test_harness

from recolor.demo import make_demo_images


@pytest.fixture(scope="session")
def prefect_server():
    """One temporary server on loopback, with a database of its own, for all tests of flows."""
    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flows") / "images"
    make_demo_images(folder, landscapes=24)
    return folder
