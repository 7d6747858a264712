"""Outliers, decisions, limits and applying them: what the page Decide asks of the server."""

import csv
import io
import json
import math
import subprocess
import sys
import threading

import pytest
from PIL import Image

from recolor.app import apply as apply_module
from recolor.app import decide_routes
from recolor.app.review import load_review
from recolor.cleaning.decisions import stored_decisions, write_decisions
from recolor.errors import InputError, WorkspaceBusyError
from recolor.manifests.pandas import read_manifest
from recolor.pipeline.workspace import Workspace, locked


def section(desk, issue):
    return next(one for one in desk.get("/api/review").json()["sections"] if one["issue"] == issue)


def decide(desk, **decided):
    answer = desk.post("/api/decisions", json=decided)
    assert answer.status_code == 200, answer.text
    return answer.json()


def apply(desk, **settings):
    answer = desk.post("/api/apply", json={"settings": settings})
    if answer.status_code != 202:
        return answer.json()
    desk.app_applier().wait()
    return desk.get("/api/apply").json()


@pytest.fixture
def desk(connect, cleaned, monkeypatch):
    """A client of both pages, which can wait for the run that it started."""
    made = []
    applier = decide_routes.Applier
    monkeypatch.setattr(decide_routes, "Applier", lambda *given: made.append(applier(*given)) or made[-1])
    client = connect(workspace=cleaned)
    client.app_applier = lambda: made[0]
    return client


def table(workspace, name):
    return read_manifest(workspace / "manifests" / f"{name}.parquet")


def rows(workspace):
    with (workspace.manifests / "decisions.csv").open(newline="") as file:
        return list(csv.reader(file))


def test_the_sections_are_those_of_the_manifests(desk, cleaned):
    found = desk.get("/api/review").json()
    for one in found["sections"]:
        if one["issue"] != "decision":
            assert one["count"] == len(table(cleaned.root, one["issue"]))
    blurry = section(desk, "blurry")
    assert [card["path"] for card in blurry["outliers"]] == list(
        table(cleaned.root, "blurry").sort_values(["score", "path"])["path"]
    )
    assert all(card["reason"] for card in blurry["outliers"])


def test_the_state_says_what_select_would_reject(desk, cleaned):
    state = desk.get("/api/state").json()
    assert set(state["rejected"]) == set(table(cleaned.root, "outliers")["path"])
    assert state["decisions"] == {}


def test_a_decision_is_in_the_file_at_once_and_changes_the_state(desk, cleaned):
    path = section(desk, "blurry")["outliers"][0]["path"]
    state = decide(desk, paths=[path], decision="keep")
    assert rows(cleaned) == [["path", "decision"], [path, "keep"]]
    assert state["decisions"] == {path: "keep"}
    assert path not in state["rejected"]
    state = decide(desk, paths=[path], decision=None)
    assert rows(cleaned) == [["path", "decision"]]
    assert path in state["rejected"]


def test_undo_takes_back_the_last_decision_wherever_it_was_made(desk, cleaned):
    first, second = (
        card["path"] for card in section(desk, "blurry")["outliers"][:1] + section(desk, "skewed")["outliers"][:1]
    )
    decide(desk, paths=[first], decision="keep")
    decide(desk, paths=[second], decision="keep")
    decide(desk, paths=[second], decision="reject")
    undone = desk.post("/api/undo", json={}).json()
    assert undone["undone"] == [second]
    assert undone["decisions"] == {first: "keep", second: "keep"}
    desk.post("/api/undo", json={})
    last = desk.post("/api/undo", json={}).json()
    assert (last["undone"], last["decisions"], last["undoable"]) == ([first], {}, 0)
    assert desk.post("/api/undo", json={}).json()["undone"] == []


def test_undo_leaves_alone_what_was_decided_otherwise_in_the_file_meanwhile(desk, cleaned):
    paths = [card["path"] for card in section(desk, "monochrome")["outliers"][:2]]
    decide(desk, paths=paths, decision="keep")
    write_decisions(cleaned, {paths[0]: False, paths[1]: True, "of another.jpg": True})
    undone = desk.post("/api/undo", json={}).json()
    assert undone["undone"] == [paths[1]]
    assert undone["decisions"] == {paths[0]: "reject", "of another.jpg": "keep"}


def test_lines_that_someone_adds_to_the_file_are_kept(desk, cleaned):
    path = section(desk, "blurry")["outliers"][0]["path"]
    (cleaned.manifests / "decisions.csv").write_text("path;decision\nmine.jpg;reject\n", encoding="utf-8-sig")
    decide(desk, paths=[path], decision="keep")
    assert rows(cleaned) == [["path", "decision"], ["mine.jpg", "reject"], [path, "keep"]]


def test_a_malformed_file_is_told_and_left_alone(desk, cleaned):
    path = section(desk, "blurry")["outliers"][0]["path"]
    (cleaned.manifests / "decisions.csv").write_text("path,decision\nmine.jpg,maybe\n")
    answer = desk.post("/api/decisions", json={"paths": [path], "decision": "keep"})
    assert answer.status_code == 422
    assert "line 2" in answer.json()["error"]
    assert (cleaned.manifests / "decisions.csv").read_text() == "path,decision\nmine.jpg,maybe\n"


@pytest.mark.parametrize("path", ["no such.jpg", "../../etc/passwd", "/etc/passwd", ""])
def test_only_images_of_the_workspace_are_decided_about_and_served(desk, cleaned, path):
    assert desk.post("/api/decisions", json={"paths": [path], "decision": "keep"}).status_code == 404
    assert desk.get("/api/thumbnail", params={"path": path}).status_code == 404
    assert desk.get("/api/original", params={"path": path}).status_code == 404
    assert not (cleaned.manifests / "decisions.csv").exists()


def test_half_a_character_is_no_image_and_no_setting(desk):
    headers = {"content-type": "application/json"}
    for path, body in (
        ("decisions", r'{"decision": "keep", "paths": ["\ud800"]}'),
        ("apply", r'{"settings": {"\ud800": 1}}'),
    ):
        answer = desk.post(f"/api/{path}", content=body, headers=headers)
        assert answer.status_code == 404
        assert r"\ud800" in answer.json()["error"]


def test_what_cannot_be_decoded_cannot_be_kept(desk):
    path = next(card["path"] for card in section(desk, "corrupt")["outliers"] if card["width_px"] is None)
    answer = desk.post("/api/decisions", json={"paths": [path], "decision": "keep"})
    assert answer.status_code == 404
    assert "cannot be decoded" in answer.json()["error"]


def test_all_of_an_issue_or_those_down_to_a_score_are_decided_about_as_one_change(desk, cleaned):
    listed = table(cleaned.root, "monochrome")
    border = float(listed["score"].median())
    state = decide(desk, issue="monochrome", below=border, decision="keep")
    assert set(state["decisions"]) == set(listed.loc[listed["score"] <= border, "path"])
    state = decide(desk, issue="monochrome", decision="reject")
    assert set(state["decisions"].values()) == {"reject"}
    assert len(state["decisions"]) == len(listed)
    assert set(desk.post("/api/undo", json={}).json()["decisions"].values()) == {"keep"}
    assert desk.post("/api/decisions", json={"issue": "no issue", "decision": "keep"}).status_code == 404


def reject_in_two_threads(servers, workspace):
    """Rejects all outliers of three issues, every other one through each server; returns their paths."""
    paths = [path for issue in ("blurry", "monochrome", "skewed") for path in table(workspace.root, issue)["path"]]

    def work(number):
        for path in paths[number::2]:
            decide(servers[number], paths=[path], decision="reject")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return set(paths)


def test_two_tabs_at_once_lose_no_decision(connect, cleaned):
    server = connect(workspace=cleaned)
    rejected = reject_in_two_threads([server, server], cleaned)
    assert set(stored_decisions(cleaned)) == rejected


def test_two_servers_in_one_program_lose_no_decision(connect, cleaned):
    servers = [connect(workspace=cleaned), connect(workspace=cleaned)]
    for server in servers:
        server.get("/api/state")  # FastAPI makes its routes now: in two threads it would race on `catch_warnings`
    rejected = reject_in_two_threads(servers, cleaned)
    assert set(stored_decisions(cleaned)) == rejected


@pytest.mark.slow  # starts two programs
def test_two_servers_at_once_lose_no_decision(tmp_path):
    program = """
import sys
from pathlib import Path
from recolor.app.decision_log import DecisionLog
from recolor.pipeline.workspace import Workspace
log = DecisionLog(Workspace(Path(sys.argv[1])))
for number in range(60):
    log.decide([f"{sys.argv[2]}{number}.jpg"], keep=True)
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    servers = [subprocess.Popen([*command, name]) for name in "ab"]
    assert [server.wait() for server in servers] == [0, 0]
    assert len(stored_decisions(Workspace(tmp_path))) == 120


def test_the_versions_change_with_the_file(desk, cleaned):
    before = desk.get("/api/versions").json()
    (cleaned.manifests / "decisions.csv").write_text("path,decision\nmine.jpg,reject\n")
    after = desk.get("/api/versions").json()
    assert before["review"] == after["review"]
    assert before["decisions"] != after["decisions"]
    assert desk.get("/api/state").json()["decisions_version"] == after["decisions"]


def test_thumbnails_and_originals_are_those_of_the_image_folder(desk, demo_images):
    card = next(card for card in section(desk, "blurry")["outliers"] if card["path"].endswith(".jpg"))
    small = Image.open(io.BytesIO(desk.get("/api/thumbnail", params={"path": card["path"]}).content))
    assert max(small.size) == 192
    original = desk.get("/api/original", params={"path": card["path"]})
    assert original.content == (demo_images / card["path"]).read_bytes()
    assert original.headers["content-type"] == "image/jpeg"


def test_a_file_that_was_replaced_by_a_link_to_elsewhere_is_not_served(connect, cleaned_once, tmp_path, demo_images):
    path = table(cleaned_once, "blurry")["path"].iloc[0]
    secret = tmp_path / "secret.jpg"
    secret.write_bytes((demo_images / path).read_bytes())
    images = tmp_path / "images"
    (images / path).parent.mkdir(parents=True)
    (images / path).symlink_to(secret)
    review = load_review(Workspace(cleaned_once), images)
    with pytest.raises(InputError, match="outside of the folder"):
        review.file(path)
    (images / path).unlink()
    with pytest.raises(InputError, match="gone"):
        review.file(path)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("blurry.threshold", 0.8),
        ("blurry.threshold", 0.1),
        ("skewed.threshold", 0.9),
        ("exposure.threshold", 0.2),
        ("monochrome.threshold", 0.9),
        ("low_resolution.min_side_px", 300),
        ("extreme_aspect.max_aspect", 1.2),
        ("extreme_aspect.min_aspect", 0.9),
        ("duplicate.min_similarity", 0.95),
    ],
)
def test_the_preview_of_a_limit_is_what_applying_it_changes(desk, cleaned, setting, value):
    kept = table(cleaned.root, "blurry")["path"].iloc[0]
    decide(desk, paths=[kept], decision="keep")
    apply(desk)
    before = set(table(cleaned.root, "clean")["path"])
    found = desk.get("/api/preview", params={"setting": setting, "value": value}).json()
    job = apply(desk, **{setting: value})
    assert job["state"] == "done", job
    after = set(table(cleaned.root, "clean")["path"])
    assert found["listed"] == len(table(cleaned.root, setting.partition(".")[0]))
    assert {one["path"] for one in found["rejected"]} == before - after
    assert {one["path"] for one in found["kept"]} == after - before
    applied = job["applied"]
    assert (applied["kept"], applied["kept_before"]) == (len(after), len(before))
    assert {one["path"] for one in applied["newly_rejected"]} == before - after
    assert {one["path"] for one in applied["newly_kept"]} == after - before


def test_applied_limits_are_saved_for_all_commands(desk, cleaned):
    job = apply(desk, **{"blurry.threshold": 0.62, "low_resolution.min_side_px": 260})
    assert job["applied"]["saved"] == {"blurry.threshold": 0.62, "low_resolution.min_side_px": 260}
    assert "threshold = 0.62" in cleaned.settings_file.read_text()
    limits = {limit["setting"]: limit["value"] for limit in section(desk, "blurry")["limits"]}
    assert limits == {"blurry.threshold": 0.62}


def test_a_slider_reaches_a_value_that_was_set_elsewhere(desk, cleaned):
    cleaned.settings_file.write_text("[duplicate]\nmin_similarity = 0.3\n[low_resolution]\nmin_side_px = 5000\n")
    (similarity,) = section(desk, "duplicate")["limits"]
    (side,) = section(desk, "low_resolution")["limits"]
    assert (similarity["least"], similarity["value"]) == (0.3, 0.3)
    assert (side["most"], side["value"]) == (5000, 5000)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"blurry.threshold": 7}, "threshold"),
        ({"measure.max_pixels": 1}, "cannot be changed here"),
        ({"blurry.threshold": "x"}, "not valid"),
        ({"blurry.threshold": math.nan}, "not allowed"),
        ({"low_resolution.min_side_px": math.nan}, "not allowed"),
        ({"low_resolution.min_side_px": math.inf}, "not allowed"),
    ],
)
def test_a_limit_that_is_not_allowed_starts_nothing(desk, cleaned, settings, said):
    headers = {"content-type": "application/json"}
    answer = desk.post("/api/apply", content=json.dumps({"settings": settings}), headers=headers)
    assert answer.status_code in (404, 422)
    assert said in answer.json()["error"]
    assert desk.get("/api/apply").json()["state"] == "none"
    assert not cleaned.settings_file.exists()


def test_rejecting_everything_is_told_with_the_way_out(desk, cleaned):
    images = table(cleaned.root, "measurements")["path"].tolist()
    decide(desk, paths=images, decision="reject")
    job = apply(desk)
    assert job["state"] == "failed"
    assert "are rejected" in job["error"]


def test_a_workspace_without_outliers_yet_says_what_to_run(connect, tmp_path):
    (tmp_path / "space").mkdir()
    answer = connect(workspace=Workspace(tmp_path / "space")).get("/api/review")
    assert answer.status_code == 409
    assert "Run `recolor measure` first" in answer.json()["error"]


def test_while_a_run_uses_the_workspace_applying_waits_its_turn_with_a_word(desk, cleaned, monkeypatch):
    def busy(*given, **options):
        with locked(cleaned):
            raise WorkspaceBusyError(f"{cleaned.root}: another run is using this workspace")

    monkeypatch.setattr(apply_module, "run_stages", busy)
    job = apply(desk, **{"blurry.threshold": 0.6})
    assert job["state"] == "failed"
    assert "another run" in job["error"]


def test_a_best_copy_that_is_rejected_is_told_as_rejected(desk):
    group = section(desk, "duplicate")["groups"][0]
    best = group["cards"][0]["path"]
    assert best not in desk.get("/api/state").json()["rejected"]
    assert best in decide(desk, paths=[best], decision="reject")["rejected"]
