import shutil

import pytest

from recolor.app.access import TOKEN_HEADER, Access
from recolor.app.application import make_app
from recolor.app.models import BackgroundModels
from recolor.app.photos import Photographs
from recolor.config.settings import MeasureConfig
from recolor.pipeline.workspace import Workspace
from recolor.stages import CLEANING, run_stages

TOKEN = "the-token-of-this-server"


@pytest.fixture(scope="session")
def cleaned_once(demo_images, tmp_path_factory):
    """A workspace with outliers of every kind, to be read only."""
    folder = tmp_path_factory.mktemp("cleaned") / "space"
    run_stages(demo_images, folder, None, CLEANING)
    return folder


@pytest.fixture
def cleaned(cleaned_once, tmp_path):
    shutil.copytree(cleaned_once, tmp_path / "space")
    return Workspace(tmp_path / "space")


@pytest.fixture
def photographs(colorizer):
    found = Photographs(BackgroundModels(lambda: colorizer), MeasureConfig())
    yield found
    found.close()


@pytest.fixture
def connect(colorizer, photographs):
    """Returns a function that gives a client of a server, by default with its token."""
    clients = pytest.importorskip("fastapi.testclient")

    def client(host="127.0.0.1", workspace=None, base_url="http://127.0.0.1:8710", headers=None):
        app = make_app(Access(host, TOKEN), BackgroundModels(lambda: colorizer), photographs, workspace)
        given = {TOKEN_HEADER: TOKEN} if headers is None else headers
        return clients.TestClient(app, base_url=base_url, headers=given, follow_redirects=False)

    return client


@pytest.fixture
def client(connect):
    return connect()


@pytest.fixture
def desk(connect, cleaned):
    """A client of both pages."""
    return connect(workspace=cleaned)
