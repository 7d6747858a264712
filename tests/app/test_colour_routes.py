"""Photographs on the page Colour: taken in, shown in a look, and downloaded as `recolor colorize` writes them."""

import io
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from skimage import data

from recolor.app.colour_routes import LookOfPage
from recolor.app.photos import PREVIEW_PX, Photographs, clean_name, different_names
from recolor.colorize import Look, colorize_paths
from recolor.colorize.look import LOOKS
from recolor.config.settings import MeasureConfig


def encoded(rgb, kind="JPEG", **options):
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, kind, **options)
    return file.getvalue()


def pixels(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def photograph():
    return data.coffee()[:240, :320]


def put(client, content, name="coffee.jpg"):
    answer = client.put("/api/photographs", params={"name": name}, content=content)
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_a_photograph_is_described_and_shown_before_and_after(client):
    found = put(client, encoded(photograph()))
    assert (found["name"], found["output"]) == ("coffee.jpg", "coffee.jpg")
    assert (found["width_px"], found["height_px"]) == (320, 240)
    assert found["had_colour"]
    before = pixels(client.get(f"/api/photographs/{found['id']}/before").content)
    after = pixels(client.get(f"/api/photographs/{found['id']}/after").content)
    assert before.shape == after.shape == (240, 320, 3)
    assert np.abs(before.astype(int) - photograph()).mean() < 4


def test_the_look_and_the_saturation_change_the_picture_and_not_its_lightness(client):
    number = put(client, encoded(photograph()))["id"]

    def after(**look):
        return pixels(client.get(f"/api/photographs/{number}/after", params=look).content).astype(int)

    grey, natural, strong = after(saturation=0), after(), after(saturation=2)
    spread = [float((picture.max(2) - picture.min(2)).mean()) for picture in (grey, natural, strong)]
    assert spread[0] < 1 < spread[1] < spread[2]
    assert np.abs(after(temperature=0.05) - natural).mean() > 0.5
    assert np.abs(after(look="careful") - natural).mean() > 0.1
    assert np.abs(after(tilt_a=0.1) - natural).mean() > 0.5


def test_the_generator_runs_once_for_all_looks(client, colorizer, monkeypatch):
    runs = []
    predict = type(colorizer.generator).predict

    def counted(self, L):
        runs.append(L.shape)
        return predict(self, L)

    monkeypatch.setattr(type(colorizer.generator), "predict", counted)
    number = put(client, encoded(photograph()))["id"]
    for look in ({}, {"look": "vivid"}, {"saturation": 0.5}, {"temperature": 0.2}, {"tilt_b": 0.05}):
        assert client.get(f"/api/photographs/{number}/after", params=look).status_code == 200
    assert client.get(f"/api/photographs/{number}/candidates").status_code == 200
    assert len(runs) == 1


@pytest.mark.parametrize("name", LOOKS)
def test_the_page_asks_for_the_looks_of_the_command(name):
    assert LookOfPage(look=name).chosen() == Look.named(name)


def test_the_download_is_what_the_command_writes(client, colorizer, tmp_path):
    exif = b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"
    content = encoded(photograph(), "PNG", exif=exif, dpi=(300, 300))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "coffee.png").write_bytes(content)
    look = replace(Look.named("vivid"), saturation=Look.named("vivid").saturation * 0.5, temperature=0.3)
    colorize_paths([tmp_path / "in"], tmp_path / "out", colorizer, look=look)
    written = (tmp_path / "out" / "coffee.png").read_bytes()
    number = put(client, content, "coffee.png")["id"]
    answer = client.get(
        f"/api/photographs/{number}/file", params={"look": "vivid", "saturation": 0.5, "temperature": 0.3}
    )
    # The models round differently on another number of threads.
    assert np.abs(pixels(answer.content).astype(int) - pixels(written)).max() <= 2
    assert Image.open(io.BytesIO(answer.content)).info == Image.open(io.BytesIO(written)).info
    assert 'filename="coffee.png"' in answer.headers["content-disposition"]


@pytest.mark.parametrize(("kind", "name", "output"), [("PNG", "a.png", "a.png"), ("GIF", "b.gif", "b.gif.png")])
def test_formats_are_kept_and_what_cannot_be_written_becomes_png(client, kind, name, output):
    found = put(client, encoded(photograph()[:64, :64], kind), name)
    answer = client.get(f"/api/photographs/{found['id']}/file")
    assert found["output"] == output
    assert Image.open(io.BytesIO(answer.content)).format == "PNG"


def test_the_preview_is_like_the_coloured_file(client):
    found = put(client, encoded(photograph(), "PNG"), "a.png")
    preview = pixels(client.get(f"/api/photographs/{found['id']}/after").content).astype(int)
    full = pixels(client.get(f"/api/photographs/{found['id']}/file").content)
    assert np.abs(preview - full).mean() < 4  # JPEG


def test_a_large_photograph_is_reduced_for_the_preview_only(client):
    rgb = np.ascontiguousarray(np.tile(photograph(), (1, 5, 1)))
    found = put(client, encoded(rgb))
    assert found["width_px"] == 1600
    assert pixels(client.get(f"/api/photographs/{found['id']}/before").content).shape[1] == PREVIEW_PX
    assert pixels(client.get(f"/api/photographs/{found['id']}/file").content).shape == (240, 1600, 3)


def test_all_are_downloaded_in_folders_with_names_that_differ(client):
    names = ["1932/a.jpg", "1932/A.jpg", "b.jpg"]
    numbers = [put(client, encoded(photograph()[:48, :48]), name)["id"] for name in names]
    wanted = {"photographs": [{"id": number, "look": "careful"} for number in numbers]}
    url = client.post("/api/downloads", json=wanted).json()["url"]
    answer = client.get(url)
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["1932/a.jpg", "1932/A~2.jpg", "b.jpg"]
        alone = client.get(f"/api/photographs/{numbers[2]}/file", params={"look": "careful"}).content
        assert archive.read("b.jpg") == alone


def test_a_photograph_that_is_gone_does_not_end_a_download(client):
    first, second = (put(client, encoded(photograph()[:48, :48]), name)["id"] for name in ("a.jpg", "b.jpg"))
    url = client.post("/api/downloads", json={"photographs": [{"id": first}, {"id": second}]}).json()["url"]
    client.delete(f"/api/photographs/{second}")
    with zipfile.ZipFile(io.BytesIO(client.get(url).content)) as archive:
        assert archive.namelist() == ["a.jpg", "not coloured.txt"]
        assert "b.jpg: this photograph is no longer here" in archive.read("not coloured.txt").decode()


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        (b"", "empty.jpg", "empty"),
        (b"no picture", "a.txt", "not_an_image"),
        (b"no picture", "film.mp4", "videos are coloured on the command line"),
        (encoded(data.coffee())[:300], "cut.jpg", "truncated"),
    ],
)
def test_what_cannot_be_coloured_is_told_and_leaves_no_file(client, photographs, content, name, said):
    answer = client.put("/api/photographs", params={"name": name}, content=content)
    assert answer.status_code in (404, 422)
    assert said in answer.json()["error"]
    assert [path.name for path in photographs._folder.path.iterdir()] == ["lock"]


def test_what_is_left_of_a_damaged_photograph_is_coloured_with_a_note(client):
    content = encoded(data.coffee())
    found = put(client, content[: len(content) * 2 // 3])
    assert found["notes"]
    assert client.get(f"/api/photographs/{found['id']}/file").status_code == 200


def test_what_the_coloured_file_will_not_hold_is_named_beforehand(client):
    xmp = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" GCamera:MotionPhoto="1"/>'
        b"</rdf:RDF></x:xmpmeta>"
    )
    assert put(client, encoded(photograph(), xmp=xmp))["dropped"] == ["the video of a motion photo"]
    assert put(client, encoded(photograph()))["dropped"] == []


def test_a_file_beyond_the_limit_is_refused_before_it_is_read_whole(colorizer, connect, photographs):
    photographs.limits = MeasureConfig(max_file_bytes=1000)
    answer = connect().put("/api/photographs", params={"name": "a.jpg"}, content=b"x" * 5000)
    assert answer.status_code == 422
    assert "too_many_bytes" in answer.json()["error"]
    assert [path.name for path in photographs._folder.path.iterdir()] == ["lock"]


def test_a_removed_photograph_is_gone_with_its_file(client, photographs):
    number = put(client, encoded(photograph()))["id"]
    assert client.delete(f"/api/photographs/{number}").status_code == 204
    assert client.get(f"/api/photographs/{number}/after").status_code == 404
    assert [path.name for path in photographs._folder.path.iterdir()] == ["lock"]


@pytest.mark.parametrize(
    "query", ["saturation=-1", "saturation=9", "temperature=0", "look=wild", "tilt_a=2", "tilt_b=x"]
)
def test_a_look_that_is_not_allowed_is_refused(client, query):
    number = put(client, encoded(photograph()[:32, :32]))["id"]
    answer = client.get(f"/api/photographs/{number}/after?{query}")
    assert answer.status_code == 422
    assert "not valid" in answer.json()["error"]


def test_candidates_are_other_pictures_in_the_same_look(client):
    number = put(client, encoded(photograph()))["id"]
    found = client.get(f"/api/photographs/{number}/candidates").json()
    usual = pixels(client.get(f"/api/photographs/{number}/thumbnail").content).astype(int)
    for one in found:
        tilt = {"tilt_a": one["tilt_a"], "tilt_b": one["tilt_b"]}
        other = pixels(client.get(f"/api/photographs/{number}/thumbnail", params=tilt).content)
        assert np.abs(other - usual).mean() > 1


def test_previews_that_are_no_longer_in_memory_are_made_again(client, photographs):
    number = put(client, encoded(photograph()))["id"]
    first = client.get(f"/api/photographs/{number}/after").content
    photographs._previews.clear()
    assert client.get(f"/api/photographs/{number}/after").content == first


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("a.jpg", "a.jpg"),
        ("../../etc/passwd", "etc/passwd"),
        ("/abs/./x//y.jpg", "abs/x/y.jpg"),
        ("C:\\photos\\a.jpg", "C:/photos/a.jpg"),
        ("a\nb\0.jpg", "a\\nb\\x00.jpg"),
        ("..", "photograph"),
        ("", "photograph"),
        ("x" * 300 + ".jpg", "x" * 196 + ".jpg"),
        ("é" * 120 + ".jpg", "é" * 98 + ".jpg"),  # 200 bytes: a disk allows 255
        ("a😀" + "x" * 194 + ".jpg", "x" * 194 + ".jpg"),
    ],
)
def test_a_name_leads_nowhere_else(name, clean):
    assert clean_name(name) == clean


def test_names_that_differ_in_case_only_are_numbered():
    assert list(different_names(["a.jpg", "A.jpg", "b/a.jpg", "a.JPG"])) == ["a.jpg", "A~2.jpg", "b/a.jpg", "a~3.JPG"]


def test_thousands_of_one_name_are_numbered_in_moments():
    names = list(different_names(["a.jpg"] * 5000))
    assert len(set(names)) == 5000
    assert names[-1] == "a~5000.jpg"


@pytest.mark.parametrize("number", ["lock", "%2e%2e", "%00", "x" * 300])
def test_only_photographs_are_removed(client, photographs, number):
    assert client.delete(f"/api/photographs/{number}").status_code == 204
    assert [path.name for path in photographs._folder.path.iterdir()] == ["lock"]


def test_the_photographs_of_a_closed_page_are_removed_at_once(client, photographs):
    numbers = [put(client, encoded(photograph()[:48, :48]))["id"] for _ in range(3)]
    assert client.post("/api/removals", json={"ids": [*numbers[:2], "lock"]}).status_code == 204
    assert {path.name for path in photographs._folder.path.iterdir()} == {"lock", numbers[2]}


def test_an_error_that_nobody_expected_leaves_no_file(photographs, monkeypatch):
    number, file = photographs.new_file()
    file.write_bytes(encoded(photograph()))
    monkeypatch.setattr(photographs, "_colorizer", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        photographs.add("a.jpg", number)
    assert not file.exists()


def test_a_photograph_whose_file_the_system_tidied_up_is_gone_so_that_the_page_sends_it_again(client, photographs):
    number = put(client, encoded(photograph()[:48, :48]))["id"]
    (photographs._folder.path / number).unlink()
    for what in ("after", "file"):
        assert client.get(f"/api/photographs/{number}/{what}").status_code == 404


def test_a_photograph_that_is_removed_while_its_preview_is_made_is_not_remembered(photographs, monkeypatch):
    number, file = photographs.new_file()
    file.write_bytes(encoded(photograph()))
    photographs.add("a.jpg", number)
    photographs._previews.clear()
    read = photographs._read

    def removed_meanwhile(number, name):
        found = read(number, name)
        photographs.remove(number)
        return found

    monkeypatch.setattr(photographs, "_read", removed_meanwhile)
    photographs.before(number)
    assert not photographs._previews


def test_the_folder_of_a_killed_server_is_removed_and_that_of_a_running_one_is_not(colorizer, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    killed = tmp_path / "recolor-app-killed"
    killed.mkdir()
    (killed / "lock").touch()
    (killed / "a photograph").touch()
    running = Photographs(lambda: colorizer, MeasureConfig())
    second = Photographs(lambda: colorizer, MeasureConfig())
    assert not killed.exists()
    assert running._folder.path.exists()
    running.close()
    second.close()
    assert list(tmp_path.iterdir()) == []


def test_the_session_names_the_temperature_of_each_look(client, colorizer):
    found = json.loads(client.get("/api/session").content)
    assert found["models"] == "ready"
    own = colorizer.generator.temperature
    assert found["temperatures"] == {"careful": 0.6, "natural": own, "vivid": own}
