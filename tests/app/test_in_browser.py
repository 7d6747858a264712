"""Both pages in a real browser, with a real server: photographs are dropped, outliers decided about."""

import csv
import io
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import zipfile
from importlib.resources import files

import numpy as np
import pytest
from PIL import Image
from skimage import data

from recolor.app.access import Access
from recolor.app.application import make_app
from recolor.app.models import BackgroundModels
from recolor.manifests.pandas import read_manifest

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("error")]  # a server and a browser


class Server:
    """A running `recolor app`, which can be killed and started again on the same port."""

    def __init__(self, folder, *options):
        self.folder, self.options = folder, options
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.start()

    def start(self, **process):
        command = [sys.executable, "-m", "recolor", "app", "--no-browser", "--port", str(self.port), *self.options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=self.folder, **process)
        self.said = self.process.stdout.readline()
        self.url = re.search(r"http://\S+", self.said)[0]

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def killable(models, cleaned, tmp_path):
    running = Server(tmp_path, "--model", models, "--workspace", cleaned.root)
    yield running
    running.kill()


@pytest.fixture
def url(colorizer, photographs, cleaned):
    """The address of a server in this process, which need not load torch and the models first."""
    uvicorn = pytest.importorskip("uvicorn")
    app = make_app(Access(), BackgroundModels(lambda: colorizer), photographs, cleaned)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        server.should_exit = True
        thread.join()


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "box"
    (folder / "1932").mkdir(parents=True)
    for number, name in enumerate(("1932/beach.jpg", "1932/hill.png", "garden.jpg")):
        Image.fromarray(data.coffee()[number * 20 : number * 20 + 240, :320]).save(folder / name)
    return folder


def text(browser, element):
    return browser.run(f"document.getElementById('{element}').textContent")


def wait_for_picture(browser, part=""):
    shown = "document.getElementById('after')"
    return browser.wait_for(
        f"{shown}.complete && {shown}.naturalWidth > 0 && ({shown}.dataset.shown ?? '').includes('{part}')"
    )


def slide(browser, element, value):
    browser.run(f"""(() => {{
        const slider = {element};
        slider.value = {value};
        slider.dispatchEvent(new Event("input", {{ bubbles: true }}));
        slider.dispatchEvent(new Event("change", {{ bubbles: true }}));
    }})()""")


def by_id(name):
    return f"document.getElementById('{name}')"


def violations(browser):
    """Returns what axe-core finds, and where: WCAG 2.1 A and AA, with contrast."""
    if not browser.run("window.axe !== undefined"):
        browser.run(files("axe_core_python").joinpath("axe.min.js").read_text() + "; 0")
    browser.run(
        "window.found = null; axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'best-practice'] })"
        ".then((result) => { found = result.violations; }); 0"
    )
    browser.wait_for("found !== null")
    return browser.run("found.map((one) => `${one.id}: ${one.nodes.map((node) => node.target).join(', ')}`)")


def wait_for(condition):
    for _ in range(600):
        if found := condition():
            return found
        time.sleep(0.05)
    return pytest.fail("it did not happen in 30 s")


def decisions(workspace):
    file = workspace.manifests / "decisions.csv"
    if not file.exists():
        return {}
    with file.open(newline="") as lines:
        return {row["path"]: row["decision"] for row in csv.DictReader(lines)}


def open_decide(browser, url, issue):
    browser.go_to(f"{url}decide")
    browser.wait_for(f"{by_id('tab-' + issue)} !== null")
    browser.click(by_id(f"tab-{issue}"))
    browser.wait_for(f"{by_id('title')}.textContent.toLowerCase().startsWith('{issue.replace('_', ' ')}')")


def card(number):
    return f"document.querySelectorAll('#section .card')[{number}]"


def path_of(browser, number):
    return browser.run(f"{card(number)}.getAttribute('aria-label')")


def test_a_dropped_photograph_is_shown_before_and_after_and_downloaded(url, browser, pictures, tmp_path):
    browser.go_to(url)
    browser.drop([pictures / "garden.jpg"], by_id("empty"))
    wait_for_picture(browser)
    assert text(browser, "name") == "garden.jpg"
    slide(browser, by_id("divide"), 25)
    assert browser.run("getComputedStyle(document.getElementById('pair')).getPropertyValue('--at')") == "25%"
    browser.click("document.querySelector('[name=look][value=vivid]')")
    wait_for_picture(browser, "vivid")
    slide(browser, by_id("saturation"), 0)
    wait_for_picture(browser, "saturation=0")
    browser.download(by_id("download"), tmp_path / "garden.jpg")
    grey = np.asarray(Image.open(tmp_path / "garden.jpg")).astype(int)
    assert grey.shape == (240, 320, 3)
    assert (grey.max(2) - grey.min(2)).mean() < 2
    assert browser.complaints() == []


def test_a_dropped_folder_is_coloured_and_downloaded_whole_and_says_what_it_passed_over(
    url, browser, pictures, tmp_path
):
    (pictures / "film.mp4").write_bytes(b"film")
    (pictures / "notes.txt").write_text("notes")
    browser.go_to(url)
    browser.drop([pictures], by_id("empty"))
    browser.wait_for(f"{by_id('progress')}.textContent.startsWith('3 of 3 photographs coloured')")
    assert text(browser, "progress").endswith("passed over: 1 other file, 1 video")
    browser.download(by_id("download-all"), tmp_path / "coloured.zip")
    with zipfile.ZipFile(tmp_path / "coloured.zip") as archive:
        assert sorted(archive.namelist()) == ["box/1932/beach.jpg", "box/1932/hill.png", "box/garden.jpg"]
        assert Image.open(io.BytesIO(archive.read("box/1932/hill.png"))).format == "PNG"


def test_a_file_that_is_no_photograph_says_so_and_does_not_stop_the_others(url, browser, pictures):
    (pictures / "no photograph.jpg").write_text("words")
    browser.go_to(url)
    browser.choose([pictures / "no photograph.jpg", pictures / "garden.jpg"], "#files")
    browser.wait_for(f"{by_id('progress')}.textContent == '1 of 2 photographs coloured · 1 failed'")
    browser.click("[...document.querySelectorAll('.take')].find((one) => one.textContent.includes('no photograph'))")
    assert "not_an_image" in text(browser, "problem")


def test_a_file_that_is_gone_says_so_and_is_not_sent_for_ever(url, browser, pictures):
    browser.go_to(url)
    browser.run(f"{by_id('files')}.addEventListener('change', (event) => event.stopImmediatePropagation(), true); 0")
    browser.choose([pictures / "garden.jpg"], "#files")
    (pictures / "garden.jpg").unlink()
    browser.run(
        "{ const sent = new DataTransfer(); sent.items.add(document.getElementById('files').files[0]);"
        " const drop = new DragEvent('drop', { dataTransfer: sent, bubbles: true, cancelable: true });"
        " document.body.dispatchEvent(drop); }; 0"
    )
    browser.wait_for(f"{by_id('progress')}.textContent == '0 of 1 photograph coloured · 1 failed'")
    assert "cannot be read" in text(browser, "problem")


def test_no_photograph_stays_on_the_server_that_was_removed_or_whose_page_was_left(url, browser, pictures, photographs):
    def stored():
        return len(list(photographs._folder.path.iterdir())) - 1

    browser.go_to(url)
    browser.choose(sorted(pictures.rglob("*.*g")), "#files")
    browser.wait_for(f"{by_id('film')}.children.length == 3")
    browser.click(by_id("remove-all"))
    wait_for(lambda: stored() == 0)
    time.sleep(1)
    assert stored() == 0
    browser.choose([pictures / "garden.jpg"], "#files")
    wait_for_picture(browser)
    assert stored() == 1
    browser.reload()
    wait_for(lambda: stored() == 0)


def test_keys_reach_the_slider_and_the_photographs(url, browser, pictures):
    browser.go_to(url)
    browser.choose(sorted(pictures.rglob("*.jpg")), "#files")
    browser.wait_for(f"{by_id('progress')}.textContent.startsWith('2 of 2')")
    wait_for_picture(browser)
    browser.run(f"{by_id('divide')}.focus()")
    for _ in range(3):
        browser.call("Input.dispatchKeyEvent", type="keyDown", key="ArrowRight", windowsVirtualKeyCode=39)
        browser.call("Input.dispatchKeyEvent", type="keyUp", key="ArrowRight", windowsVirtualKeyCode=39)
    assert browser.run(f"{by_id('divide')}.value") == "53"
    first = text(browser, "name")
    browser.run("document.querySelector('.take').focus()")
    browser.press("ArrowRight")
    browser.wait_for(f"{by_id('name')}.textContent != '{first}'")


def test_photographs_go_on_after_the_server_was_killed_and_started_again(killable, browser, pictures):
    browser.go_to(killable.url)
    browser.drop([pictures / "garden.jpg"], by_id("empty"))
    wait_for_picture(browser)
    killable.kill()
    browser.click("document.querySelector('[name=look][value=careful]')")
    browser.wait_for(f"!{by_id('offline')}.hidden")
    killable.start()
    wait_for_picture(browser, "careful")
    browser.wait_for(f"{by_id('offline')}.hidden")


def test_decisions_are_in_the_file_at_once_and_undo_takes_back_the_last(url, browser, cleaned):
    open_decide(browser, url, "blurry")
    first, second = path_of(browser, 0), path_of(browser, 1)
    browser.click(f"{card(0)}.querySelector('[value=keep]')")
    browser.wait_for(f"{card(0)}.querySelector('.status').textContent == 'kept'")
    assert decisions(cleaned) == {first: "keep"}
    browser.press("ArrowRight")
    browser.press("r")
    browser.wait_for(f"{card(1)}.dataset.decision == 'reject' && !{by_id('undo')}.disabled")
    browser.wait_for(f"{by_id('undo')}.textContent == 'Undo (2)'")
    assert decisions(cleaned) == {first: "keep", second: "reject"}
    browser.press("u")
    browser.wait_for(f"!{card(1)}.dataset.decision")
    assert decisions(cleaned) == {first: "keep"}
    browser.reload()
    browser.wait_for(f"document.querySelector('.card') !== null && {card(0)}.dataset.decision == 'keep'")
    assert text(browser, "told").endswith("1 decision")
    assert browser.complaints() == []


def test_undo_right_after_a_decision_takes_back_that_one(url, browser, cleaned):
    open_decide(browser, url, "blurry")
    first = path_of(browser, 0)
    browser.click(f"{card(0)}.querySelector('[value=keep]')")
    browser.wait_for(f"{by_id('undo')}.textContent == 'Undo (1)'")
    browser.run(f"{card(1)}.querySelector('[value=reject]').click(); {by_id('undo')}.click(); 0")
    browser.wait_for(f"!{card(1)}.dataset.decision && {by_id('undo')}.textContent == 'Undo (1)'")
    assert decisions(cleaned) == {first: "keep"}


def test_a_threshold_between_two_places_of_its_slider_is_not_moved(url, browser, cleaned):
    cleaned.settings_file.write_text("[blurry]\nthreshold = 0.525\n[monochrome]\nthreshold = 0.497\n")
    for issue in ("blurry", "monochrome"):
        open_decide(browser, url, issue)
        assert text(browser, "apply") == "Apply"
        assert browser.run("[...document.querySelectorAll('.setting output')].at(-1).textContent").startswith("all ")


def test_many_are_decided_about_at_once_and_undone_at_once(url, browser, cleaned):
    open_decide(browser, url, "monochrome")
    count = len(read_manifest(cleaned.manifest("monochrome")))
    browser.click("[...document.querySelectorAll('button')].find((one) => one.textContent == 'Keep these')")
    browser.wait_for(f"{by_id('told')}.textContent.endsWith('{count} decisions')")
    assert set(decisions(cleaned).values()) == {"keep"}
    browser.click(by_id("undo"))
    browser.wait_for(f"{by_id('told')}.textContent.endsWith('0 decisions')")
    assert decisions(cleaned) == {}


def test_a_threshold_shows_what_would_go_and_apply_what_went(url, browser, cleaned):
    open_decide(browser, url, "blurry")
    before = set(read_manifest(cleaned.manifest("clean"))["path"])
    slide(browser, "document.querySelector('.setting input[type=range]')", 0.97)
    browser.wait_for("document.querySelector('.setting p').textContent.startsWith('Would list')")
    browser.wait_for("document.querySelector('.moved h3') !== null")
    would_go = int(re.search(r"([\d,]+) would go", browser.run("document.querySelector('.setting p').textContent"))[1])
    assert text(browser, "apply") == "Apply (1 setting)"
    browser.click(by_id("apply"))
    browser.wait_for(f"{by_id('applied-text')}.textContent.includes('newly rejected')")
    after = set(read_manifest(cleaned.manifest("clean"))["path"])
    assert would_go == len(before - after) > 0
    assert f"{would_go} newly rejected, 0 newly kept" in text(browser, "applied-text")
    browser.click(by_id("applied-close"))
    browser.wait_for(f"{by_id('apply')}.textContent == 'Apply'")
    assert "0.97" in browser.run("document.querySelector('.line b').textContent")


def test_the_lightbox_shows_the_original_and_decides(url, browser, cleaned, demo_images):
    open_decide(browser, url, "blurry")
    path = path_of(browser, 0)
    browser.click(f"{card(0)}.querySelector('.picture')")
    browser.wait_for(f"{by_id('large')}.complete && {by_id('large')}.naturalWidth > 0")
    with Image.open(demo_images / path) as original:
        assert browser.run(f"{by_id('large')}.naturalWidth") == original.width
    browser.press("k")
    browser.wait_for(f"{by_id('lightbox-keep')}.getAttribute('aria-pressed') == 'true'")
    assert wait_for(lambda: decisions(cleaned)) == {path: "keep"}
    browser.press("ArrowRight")
    browser.wait_for(f"{by_id('lightbox-name')}.textContent != `{path}`")


def test_a_best_copy_that_is_rejected_says_so(url, browser):
    open_decide(browser, url, "duplicate")
    browser.click(f"{card(0)}.querySelector('[value=reject]')")
    browser.wait_for(f"!{card(0)}.querySelector('.note').hidden")
    assert "itself rejected; kept in its place" in browser.run(f"{card(0)}.querySelector('.note').textContent")
    browser.click(f"{card(1)}.querySelector('[value=reject]')")
    browser.wait_for(f"{card(0)}.querySelector('.note').textContent.endsWith('no copy is kept.')")
    assert browser.run(f"{card(0)}.querySelector('.status').textContent") == "rejected"


def test_two_tabs_show_each_others_decisions(url, browser, second_browser, cleaned):
    for tab in (browser, second_browser):
        tab.call("Page.bringToFront")
        open_decide(tab, url, "blurry")
    second_browser.click(f"{card(0)}.querySelector('[value=keep]')")
    browser.call("Page.bringToFront")
    browser.wait_for(f"{card(0)}.dataset.decision == 'keep'")
    browser.click(f"{card(1)}.querySelector('[value=reject]')")
    second_browser.call("Page.bringToFront")
    second_browser.wait_for(f"{card(1)}.dataset.decision == 'reject'")
    assert len(decisions(cleaned)) == 2


def test_decisions_wait_while_the_server_is_away_and_none_is_lost(killable, browser, cleaned):
    open_decide(browser, killable.url, "blurry")
    first, second = path_of(browser, 0), path_of(browser, 1)
    browser.click(f"{card(0)}.querySelector('[value=keep]')")
    browser.wait_for(f"{by_id('undo')}.textContent == 'Undo (1)'")
    killable.kill()
    browser.click(f"{card(1)}.querySelector('[value=reject]')")
    browser.wait_for(f"{by_id('offline')}.textContent.includes('1 decision will be sent then')")
    assert decisions(cleaned) == {first: "keep"}
    killable.start()
    browser.wait_for(f"{by_id('offline')}.hidden")
    assert decisions(cleaned) == {first: "keep", second: "reject"}


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width_px", [1200, 390])
def test_both_pages_are_accessible_and_fit_the_screen(url, browser, pictures, dark, width_px):
    browser.set_size(width_px)
    browser.set_dark(dark)
    browser.go_to(url)
    assert violations(browser) == []
    browser.choose([pictures / "garden.jpg"], "#files")
    wait_for_picture(browser)
    assert violations(browser) == []
    assert browser.run("document.documentElement.scrollWidth") <= width_px
    open_decide(browser, url, "blurry")
    slide(browser, "document.querySelector('.setting input[type=range]')", 0.97)
    browser.wait_for("document.querySelector('.moved h3') !== null")
    assert violations(browser) == []
    assert browser.run("document.documentElement.scrollWidth") <= width_px
    browser.run(f"{card(0)}.querySelector('.picture').click()")
    browser.wait_for(f"{by_id('large')}.complete")
    assert violations(browser) == []


def test_no_request_leaves_the_machine(url, browser, pictures):
    browser.go_to(url)
    browser.choose([pictures / "garden.jpg"], "#files")
    wait_for_picture(browser)
    open_decide(browser, url, "blurry")
    time.sleep(1)
    browser.run("0")
    asked = [url for url in browser.requested() if not url.startswith(("data:", "blob:"))]
    assert len(asked) > 10
    assert [url for url in asked if not url.startswith(url)] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_server_stops_without_a_traceback_and_removes_the_photographs(
    models, tmp_path, browser, pictures, monkeypatch, *, number
):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    server = Server(tmp_path, "--model", models)
    browser.go_to(server.url)
    browser.drop([pictures / "garden.jpg"], by_id("empty"))
    wait_for_picture(browser)
    assert len(list((tmp_path / "temporary").glob("recolor-app-*/*"))) == 2
    server.process.send_signal(number)
    assert server.process.wait(timeout=30) == 0
    assert "stopped" in server.process.stdout.read()
    server.process.stdout.close()
    assert list((tmp_path / "temporary").glob("recolor-app-*")) == []


def test_a_server_in_the_background_of_a_script_says_that_it_stopped(models, tmp_path):
    """A shell that runs no commands of a person lets programs in the background ignore SIGINT."""
    server = Server(tmp_path, "--model", models)
    server.kill()
    server.start(preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    urllib.request.urlopen(f"{server.url}api/session").close()  # it serves, so that it listens to signals
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(timeout=30) == 0
    assert "stopped" in server.process.stdout.read()
    server.process.stdout.close()


def test_an_upload_that_is_cut_off_leaves_no_file_and_no_traceback(models, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    server = Server(tmp_path, "--model", models)
    token = json.loads(urllib.request.urlopen(f"{server.url}api/session").read())["token"]
    head = f"PUT /api/photographs?name=a.jpg HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nx-recolor-token: {token}\r\n"
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(f"{head}Content-Length: 9000\r\n\r\n".encode() + bytes(100))
        stored = (tmp_path / "temporary").glob
        wait_for(lambda: len(list(stored("recolor-app-*/*"))) == 2)
    wait_for(lambda: len(list(stored("recolor-app-*/*"))) == 1)
    server.kill()
    assert "Traceback" not in capfd.readouterr().err


def test_a_port_in_use_is_told(models, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "recolor", "app", "--no-browser", "--port", port, "--model", models]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"--port {port}: cannot be used" in done.stderr
