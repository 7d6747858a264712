import gc
import json
import logging
import os
import shutil
import subprocess
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

# The models of the tests are tiny: with more than one thread, torch spends its time handing out the work (15 s against
# 1 s for twelve steps). Set before anything loads torch, and inherited by the programs that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import pytest
from filelock import FileLock

from recolor.demo import make_demo_images
from recolor.pipeline.progress import LOGGER
from recolor.pipeline.workspace import open_workspace

_TESTS = Path(__file__).parent

gc.disable()  # collecting makes millions of objects that stay: looking for garbage among them takes a third of its time

# How long an example takes is no fact of the code: machines are shared, and the first example imports.
hypothesis.settings.register_profile("recolor", deadline=None)
hypothesis.settings.load_profile("recolor")

# A stray setting of the machine must not change what the tests see.
for name in [name for name in os.environ if name.startswith("PREFECT_")]:
    del os.environ[name]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Marks tests in a browser as slow, and with several processes keeps tests that share something expensive in one.

    The slow ones start first.

    A wrapper, as the groups must be known before pytest-xdist's own hook reads them.

    Raises:
        pytest.UsageError: pytest-xdist did not take the groups, without which tests would miss what they share.
    """
    for item in items:
        if "chromium" in item.fixturenames:
            item.add_marker(pytest.mark.slow)  # a browser takes a minute of processor time for all of them
    if not getattr(config.option, "loadgroup", False):  # set by pytest-xdist in each of its processes
        return (yield)
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
    result = yield
    if not all(item.nodeid.endswith(f"@{_group(item)}") for item in items):
        raise pytest.UsageError("pytest-xdist ignores its groups with this version of pytest; see pyproject.toml.")
    return result


def pytest_collection_finish():
    gc.freeze()  # what is there stays to the end
    gc.enable()


def pytest_sessionfinish():
    gc.unfreeze()


def _group(item):
    """Tests of one module share its fixtures; those of several modules share a Prefect server or finished stages."""
    shared = ("prefect_server", "before")
    module = item.path.relative_to(_TESTS)
    own = "docs" if module.parts[0] == "docs" else module.as_posix()  # the documents are run in one workspace
    return next((name for name in shared if name in item.fixturenames), own)


@pytest.fixture(autouse=True)
def _log_levels():
    """Undoes what programs, which tests and their fixtures run in this process, set."""
    logging.getLogger(LOGGER).setLevel(logging.NOTSET)
    logging.getLogger().setLevel(logging.WARNING)
    yield
    logging.getLogger(LOGGER).setLevel(logging.NOTSET)
    logging.getLogger().setLevel(logging.WARNING)


@pytest.fixture
def workspace(tmp_path):
    return open_workspace(tmp_path / "workspace")


@pytest.fixture(scope="session")
def demo_images(tmp_path_factory):
    """A folder of landscapes and a fault of every kind, to be read only; the processes of pytest-xdist share it."""
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    with FileLock(folder / "demo.lock"):
        make_demo_images(folder / "demo" / "images", landscapes=24, each=1, photographs=False)
    return folder / "demo" / "images"


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """Both models, small and untrained, of pictures of 128 px: the time of a test is that of the encoder.

    Heads start at zero, so random ones stand in for a training.
    """
    import torch  # noqa: PLC0415 - most tests need none

    from recolor.config.settings import GeneratorModelConfig, RefinerModelConfig  # noqa: PLC0415 - as above
    from recolor.models.files import bins_json, save_model  # noqa: PLC0415 - as above
    from recolor.models.generator import Generator  # noqa: PLC0415 - as above
    from recolor.models.refiner import Refiner  # noqa: PLC0415 - as above

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models")
    generator = Generator(GeneratorModelConfig(encoder_weights="none", encoder_depth=1, width=8, blocks=1)).eval()
    refiner = Refiner(RefinerModelConfig(encoder_weights="none", width=8, blocks=1)).eval()
    torch.nn.init.normal_(generator.head.weight, std=0.2)
    torch.nn.init.normal_(refiner.head.weight, std=0.01)
    shape = {"encoder_weights": "none", "width": 8, "blocks": 1}
    for name in ("generator", "refiner"):
        (folder / name).mkdir()
    details = {"kind": "generator", "model": {**shape, "encoder_depth": 1}, "temperature": 0.38, "image_px": 128}
    save_model(folder / "generator", generator, {**details, "ab_bins": bins_json()})
    save_model(folder / "refiner", refiner, {"kind": "refiner", "model": shape, "image_px": 128})
    return folder


@pytest.fixture(scope="session")
def colorizer(models):
    from recolor.colorize import Colorizer  # noqa: PLC0415 - as above

    return Colorizer.from_folder(models, "cpu")


class PageLeftError(Exception):
    """The page was left while an expression was evaluated in it."""


class Browser:
    """A tab of a headless browser, driven through its DevTools protocol."""

    def __init__(self, socket):
        self.socket, self.sent, self.events = socket, 0, []

    def call(self, method, **parameters):
        self.sent += 1
        self.socket.send(json.dumps({"id": self.sent, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.recv(timeout=60))
            if message.get("id") == self.sent:
                if message.get("error", {}).get("message") == "Inspected target navigated or closed":
                    raise PageLeftError
                assert "error" not in message, message
                return message["result"]
            self.events.append(message)

    def run(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def open(self, path):
        self.go_to(path.as_uri())

    def go_to(self, url):
        self.run("window.isLeft = true")
        self.call("Page.navigate", url=url)
        self.wait_for("!window.isLeft && location.href != 'about:blank' && document.readyState == 'complete'")

    def reload(self):
        self.run("window.isLeft = true; location.reload()")
        self.wait_for("!window.isLeft && document.readyState == 'complete'")

    def wait_for(self, expression):
        """Waits until an expression is true, of the next page if this one is being left."""

        def value():
            try:
                return self.run(expression)
            except PageLeftError:
                return None

        return wait_for(value)

    def press(self, key):
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, text=key if len(key) == 1 else "")
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def click(self, element):
        """Clicks for real, at the place on the screen where the element (a JavaScript expression) is."""
        self.run(f"({element}).scrollIntoView({{block: 'center'}})")
        # What comes into view is laid out now, which may move it; the browser finds what is clicked in the drawn frame.
        self.run("window.drawn = false; requestAnimationFrame(() => requestAnimationFrame(() => { drawn = true; }))")
        self.wait_for("drawn")
        place = f"""(() => {{
            const element = {element};
            const at = element.getBoundingClientRect();
            const [x, y] = [at.left + at.width / 2, at.top + at.height / 2];
            return element.contains(document.elementFromPoint(x, y)) ? [x, y] : null;
        }})()"""
        x, y = self.wait_for(place)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def download(self, button, file):
        """Clicks a button, and waits until the browser has written the file."""
        self.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(file.parent))
        self.click(button)
        wait_for(file.is_file)

    def drop(self, paths, element):
        """Drops files or folders on an element, as from a file manager."""
        x, y = self.run(f"[({element}).getBoundingClientRect().left, ({element}).getBoundingClientRect().top]")
        data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=kind, x=x + 9, y=y + 9, data=data)

    def choose(self, files, selector):
        """Chooses files in a file dialog."""
        document = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=document, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", files=[str(file) for file in files], nodeId=node)

    def set_size(self, width_px, height_px=900):
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width_px,
            height=height_px,
            deviceScaleFactor=1,
            mobile=width_px < 600,
        )

    def set_dark(self, dark):
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def requested(self):
        """Returns the addresses of all requests of this tab."""
        sent = (event for event in self.events if event["method"] == "Network.requestWillBeSent")
        return [event["params"]["request"]["url"] for event in sent]

    def complaints(self):
        kinds = ("Runtime.exceptionThrown", "Page.javascriptDialogOpening", "Log.entryAdded")
        return [event for event in self.events if event["method"] in kinds]


def wait_for(condition):
    for _ in range(600):
        if found := condition():
            return found
        time.sleep(0.05)
    pytest.fail("the browser did not get there in 30 s")


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    """The address at which a headless browser is driven; one for all tests, as it takes seconds to start."""
    programs = ("chromium", "chromium-browser", "google-chrome", "chrome")
    program = next((found for name in programs if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("no Chromium or Chrome on this machine")
    profile = tmp_path_factory.mktemp("chromium")
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--window-size=1200,900"]
    command = [program, *options, f"--user-data-dir={profile}", "about:blank"]
    port_file = profile / "DevToolsActivePort"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            port, *_ = wait_for(lambda: port_file.read_text().split() if port_file.is_file() else None)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


@contextmanager
def new_tab(chromium):
    client = pytest.importorskip("websockets.sync.client", reason="needs websockets, which Prefect brings along")
    new = urllib.request.Request(f"{chromium}/json/new?about:blank", method="PUT")
    with urllib.request.urlopen(new) as answer:
        tab = json.load(answer)
    with client.connect(tab["webSocketDebuggerUrl"], max_size=None, close_timeout=0.5) as socket:
        browser = Browser(socket)
        for domain in ("Page", "Runtime", "Log", "Network"):
            browser.call(f"{domain}.enable")
        yield browser
    urllib.request.urlopen(f"{chromium}/json/close/{tab['id']}").close()


@pytest.fixture
def browser(chromium):
    """A new tab."""
    with new_tab(chromium) as tab:
        yield tab


@pytest.fixture
def second_browser(chromium):
    """Another tab."""
    with new_tab(chromium) as tab:
        yield tab
