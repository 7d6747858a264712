"""The server of pages: what it serves, and what it refuses."""

import os
import socket
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote

import pytest
from PIL import Image

from flows.artifacts import artifact_key
from flows.pages import page_url, pages_environment, served_file, serving_pages
from recolor.cleaning.gallery.page import _link
from recolor.errors import InputError
from recolor.pipeline.workspace import Workspace, remember_images

SECRET = "not to be seen"


@pytest.fixture
def photos(tmp_path):
    """A folder of one photograph, of a file that is none, and of links out of the folder."""
    folder = tmp_path / "my photos"
    folder.mkdir()
    Image.new("RGB", (8, 8)).save(folder / "a lake.jpg")
    (tmp_path / "secret.jpg").write_text(SECRET)
    (folder / "notes.txt").write_text(SECRET)
    (folder / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    (folder / "loop.jpg").symlink_to("loop.jpg")
    os.mkfifo(folder / "pipe.jpg")
    return folder


@pytest.fixture
def space(workspace, photos):
    """A workspace with a report, its pictures and a gallery, which has indexed the photographs."""
    workspace.evaluation.mkdir(parents=True)
    workspace.manifests.mkdir(parents=True)
    (workspace.evaluation / "report.html").write_text("<p>The report</p>")
    Image.new("RGB", (8, 8)).save(workspace.evaluation / "pictures.png")
    (workspace.evaluation / "metrics.parquet").write_text(SECRET)
    (workspace.manifests / "gallery.html").write_text("<p>The gallery</p>")
    (workspace.manifests / "decisions.csv").write_text(SECRET)
    (workspace.root / "recolor.toml").write_text(SECRET)
    remember_images(workspace, photos)
    return workspace


@pytest.fixture
def ask(space):
    """Sends a request, and returns the status, the media type and the body of the answer."""
    with serving_pages(space, 0) as url:
        port = int(url.rpartition(":")[2])

        def ask(target, method="GET", host=f"127.0.0.1:{port}"):
            connection = HTTPConnection("127.0.0.1", port, timeout=30)
            connection.putrequest(method, target, skip_host=True)
            if host:
                connection.putheader("Host", host)
            connection.endheaders()
            answer = connection.getresponse()
            found = answer.status, answer.getheader("Content-Type"), answer.read()
            connection.close()
            return found

        ask.port = port
        yield ask


def target(file):
    return quote(os.fsencode(file))


def test_report_pictures_gallery_and_photographs_are_served(ask, space, photos):
    assert ask(target(space.evaluation / "report.html")) == (200, "text/html; charset=utf-8", b"<p>The report</p>")
    assert ask(target(space.manifests / "gallery.html"))[::2] == (200, b"<p>The gallery</p>")
    for file, media_type in ((space.evaluation / "pictures.png", "image/png"), (photos / "a lake.jpg", "image/jpeg")):
        assert ask(target(file)) == (200, media_type, file.read_bytes())
        assert ask(target(file), "HEAD") == (200, media_type, b"")


def test_a_relative_link_of_the_gallery_leads_to_the_photograph(space, photos):
    link = _link(photos, space.manifests, "a lake.jpg")
    assert served_file(space, f"{target(space.manifests)}/{link}") == photos / "a lake.jpg"


def test_the_root_lists_the_pages(ask, space):
    status, media_type, body = ask("/")
    assert (status, media_type) == (200, "text/html; charset=utf-8")
    for page in (space.evaluation / "report.html", space.manifests / "gallery.html"):
        assert f'href="{target(page)}"'.encode() in body


@pytest.mark.parametrize(
    "path",
    [
        "{space}/recolor.toml",
        "{space}/manifests/decisions.csv",
        "{space}/data/evaluation/metrics.parquet",
        "{space}/data/evaluation",
        "{space}/data/evaluation/",
        "{space}/data/evaluation/../../recolor.toml",
        "{space}/data/evaluation/%2e%2e/%2e%2e/recolor.toml",
        "{space}/data/evaluation/..%2f..%2frecolor.toml",
        "{space}/data/evaluation/missing.html",
        "{space}/data/evaluation/report.html%00",
        "{photos}/notes.txt",
        "{photos}/link.jpg",
        "{photos}/loop.jpg",
        "{photos}/pipe.jpg",
        "{photos}/../secret.jpg",
        "/etc/passwd",
        "//etc/passwd",
        "report.html",
        "../recolor.toml",
        "http://elsewhere/report.html",
        "*",
    ],
)
def test_nothing_else_is_served(ask, space, photos, path):
    place = path.format(space=target(space.root), photos=target(photos))
    status, _, body = ask(place)
    assert status == 404
    assert SECRET.encode() not in body


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example", "", None])
def test_a_request_under_another_name_is_refused(ask, space, host):
    status, _, body = ask(target(space.evaluation / "report.html"), host=host)
    assert (status, b"The report" in body) == (403, False)
    assert ask(target(space.evaluation / "report.html"), host=f"localhost:{ask.port}")[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
def test_only_reading_is_allowed(ask, space, method):
    status, _, body = ask(target(space.evaluation / "report.html"), method)
    assert (status, b"The report" in body) == (501, False)
    assert (space.evaluation / "report.html").is_file()


def test_it_listens_on_this_machine_alone_and_ends_with_its_context(space):
    with serving_pages(space, 0) as url:
        assert url.startswith("http://127.0.0.1:")
        address = ("127.0.0.1", int(url.rpartition(":")[2]))
        with socket.socket() as other:  # all addresses but that one are free
            other.bind(("127.0.0.2", address[1]))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=5)


def test_a_port_in_use_is_refused_with_what_to_do(space):
    with socket.socket() as used:
        used.bind(("127.0.0.1", 0))
        used.listen()
        port = used.getsockname()[1]
        said = f"--pages-port {port}: the port is in use .* leave the option out"
        with pytest.raises(InputError, match=said), serving_pages(space, port):
            pass


def test_without_a_workspace_there_is_nothing_to_serve(tmp_path):
    assert served_file(Workspace(tmp_path / "none"), "/etc/passwd") is None


def test_runs_link_to_the_server_of_their_workspace_and_all_others_to_files(space, monkeypatch):
    report = space.evaluation / "a report.html"
    assert page_url(space, report) == report.as_uri()
    for name, value in pages_environment(space, "http://127.0.0.1:81").items():
        monkeypatch.setenv(name, value)
    assert page_url(space, report) == f"http://127.0.0.1:81{target(report)}"
    assert page_url(Workspace(Path("/elsewhere")), Path("/elsewhere/x.html")) == "file:///elsewhere/x.html"


@pytest.mark.parametrize(
    ("folder", "key"),
    [
        ("space", "space-metrics"),
        ("My Photos_2024", "my-photos-2024-metrics"),
        ("写真", "xie-zhen-metrics"),
        ("!", "workspace-metrics"),
    ],
)
def test_the_key_of_an_artifact_names_its_workspace(folder, key):
    assert artifact_key(Workspace(Path("/") / folder), "metrics") == key
