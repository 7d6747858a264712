import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from urllib.parse import unquote

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from skimage import data as photographs

from recolor.cleaning.decisions import parse_decisions, stored_decisions
from recolor.cleaning.detect import DETECTORS, ISSUES, detect_issue
from recolor.cleaning.gallery import make_gallery
from recolor.cleaning.gallery.near import NEAR_IMAGES, Found, near_misses
from recolor.cleaning.gallery.sections import make_sections, read_detected, worst_and_borderline
from recolor.cleaning.index import index_images
from recolor.cleaning.measure import measure_part, merge_measurements, plan_measure
from recolor.cleaning.select import select
from recolor.cli.main import cli
from recolor.config.settings import BlurryConfig, Config, DuplicateConfig, LowResolutionConfig, SkewedConfig
from recolor.errors import ConfigError, InputError, MissingStageError
from recolor.manifests.io import read_table
from recolor.manifests.pandas import read_manifest
from recolor.manifests.schemas import MEASUREMENTS
from recolor.pages.html import printable
from recolor.pipeline.workspace import open_workspace, remember_images

SMALL = replace(Config(), low_resolution=LowResolutionConfig(min_side_px=64))
HOSTILE = (
    "<img src=x onerror=document.title='taken'>.jpg",
    "a<" + "/script><script>document.title='taken'<" + "/script>.jpg",
    "quote\" and 'single', comma.jpg",
    "new\nline\r\n.jpg",
    "javascript:document.title='taken'.jpg",
    " led by a space.jpg",
    "{{ 7 * 7 }} 100% #1?.jpg",
    "&amp;quot; \u202e\u2028 山.jpg",
    "decision,keep\n.jpg",
)


def save(picture, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, **options)


@pytest.fixture(scope="module")
def images_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gallery") / "images of <b>today</b>"
    for number in range(8):
        at = np.s_[number * 30 : number * 30 + 200, number * 20 : number * 20 + 220]
        save(photographs.astronaut()[at], folder / f"{number:02}.jpg", quality=90)
    for number, name in enumerate(HOSTILE):
        at = np.s_[number * 25 : number * 25 + 60, number * 40 : number * 40 + 80]
        save(photographs.coffee()[at], folder / name, quality=90)
    save(photographs.chelsea()[:66, :90], folder / "nearly too small.png")
    save(photographs.rocket(), folder / "best.png")
    save(photographs.rocket(), folder / "copy.jpg", quality=80)
    save(np.fliplr(photographs.rocket())[::2, ::2], folder / "mirrored.jpg", quality=80)
    save(photographs.camera(), folder / "grey.png")
    (folder / "bad <b>.jpg").write_bytes(b"<html>")
    return folder


@pytest.fixture
def images(images_once, tmp_path):
    """A copy of the images, which the test may change."""
    return shutil.copytree(images_once, tmp_path / images_once.name)


def clean(workspace, images, config=SMALL):
    index_images(workspace, images, config)
    for part in plan_measure(workspace, images, config).missing:
        measure_part(workspace, images, part, config)
    merge_measurements(workspace, config)
    for issue in ISSUES:
        detect_issue(workspace, issue, config)
    select(workspace, config)


@pytest.fixture(scope="module")
def cleaned_once(images_once):
    workspace = open_workspace(images_once.parent / "workspace")
    clean(workspace, images_once)
    return workspace


@pytest.fixture
def cleaned(cleaned_once, workspace):
    """A copy of the workspace in which these images are cleaned."""
    shutil.copytree(cleaned_once.root, workspace.root, dirs_exist_ok=True)
    return workspace


class Page(HTMLParser):
    """The elements of a page, as (tag, attributes), its text, and the content of its scripts."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.text, self.scripts = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        inside = self.elements[-1][0] if self.elements else ""
        (self.scripts if inside == "script" and data.strip() else self.text).append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def make_page(workspace, images, **options):
    made = make_gallery(workspace, images, SMALL, **options)
    return Page(made.path.read_text(encoding="utf-8"))


def section(workspace, issue, config=SMALL, most=5000):
    return next(section for section in sections(workspace, config, most) if section.issue == issue)


def sections(workspace, config=SMALL, most=5000):
    return make_sections(read_detected(workspace), stored_decisions(workspace), config, most)


def test_each_issue_shows_its_outliers_worst_first_with_score_threshold_and_reason(cleaned, images):
    text = "".join(make_page(cleaned, images).text)
    for issue in ("low_resolution", "monochrome", "blurry"):
        listed = read_manifest(cleaned.manifest(issue)).sort_values(["score", "path"])
        shown = section(cleaned, issue)
        assert [card.path for card in shown.outliers] == listed["path"].tolist()
        assert [card.reason for card in shown.outliers] == listed["reason"].tolist()
        assert shown.threshold == 0.5
        assert all(printable(reason) in text for reason in listed["reason"])
        assert all(f"{score:.2f}" in text for score in listed["score"])


def test_what_is_just_above_the_threshold_follows_it(cleaned, images):
    nearly = section(cleaned, "low_resolution").near
    assert [card.path for card in nearly] == ["nearly too small.png"]
    assert nearly[0].score == pytest.approx(66 / (66 + 64))
    html = make_gallery(cleaned, images, SMALL).path.read_text()
    assert html.index('id="low_resolution-threshold"') < html.rindex("<b>nearly too small.png</b>")


@pytest.mark.parametrize("issue", ["monochrome", "skewed", "blurry", "exposure"])
def test_near_misses_are_the_least_scores_that_are_not_listed(cleaned, issue):
    measurements = read_table(MEASUREMENTS, cleaned.manifest("measurements"))
    loosest = DETECTORS[issue].detect(measurements, replace(getattr(SMALL, issue), threshold=1.0))
    scores = dict(zip(loosest["path"].to_pylist(), loosest["score"].to_pylist()))
    for threshold in (0.1, 0.5, 0.7, 0.95):
        listed = {path for path, score in scores.items() if score < threshold}
        near = near_misses(issue, measurements, SMALL, listed, threshold)
        expected = sorted((score, path) for path, score in scores.items() if threshold <= score < threshold + 0.2)
        assert [(found.score, found.path) for found in near] == expected[:NEAR_IMAGES]


def test_pictures_that_are_nearly_copies_stand_side_by_side(cleaned):
    measurements = read_table(MEASUREMENTS, cleaned.manifest("measurements"))
    table = DETECTORS["duplicate"].detect(measurements, SMALL.duplicate)
    similarity = dict(zip(table["path"].to_pylist(), table["similarity"].to_pylist()))["mirrored.jpg"]
    assert similarity < 1
    strict = DuplicateConfig(min_similarity=similarity + (1 - similarity) / 100)
    near = near_misses("duplicate", measurements, replace(SMALL, duplicate=strict), {"copy.jpg"}, 0.5)
    assert [(found.path, found.kept_path) for found in near] == [("mirrored.jpg", "best.png")]
    assert near[0].score == pytest.approx(0.5, abs=0.01)


def test_a_detector_that_is_switched_off_has_no_near_misses(cleaned):
    measurements = read_table(MEASUREMENTS, cleaned.manifest("measurements"))
    off = replace(SMALL, blurry=BlurryConfig(enabled=False), skewed=SkewedConfig(enabled=False))
    assert near_misses("blurry", measurements, off, (), 0.5) == []
    assert near_misses("corrupt", measurements, SMALL, (), 0.5) == []


def test_copies_stand_beside_the_one_that_is_kept_and_why(cleaned):
    (group,) = section(cleaned, "duplicate").groups
    assert group.best.path == "best.png"
    assert not group.best.rejected
    assert group.best.reason == "Best copy: no other copy has more pixels, and it has the most bytes."
    assert {card.path: card.rejected for card in group.copies} == {"copy.jpg": True, "mirrored.jpg": True}


@pytest.mark.parametrize(
    ("second", "why"),
    [("same bytes", "its path comes first"), ("smaller", "most pixels"), ("more compressed", "it has the most bytes")],
)
def test_why_a_copy_is_the_best(workspace, tmp_path, second, why):
    folder = tmp_path / "pair"
    save(photographs.rocket(), folder / "a.jpg", quality=90)
    if second == "same bytes":
        shutil.copy(folder / "a.jpg", folder / "b.jpg")
    else:
        smaller = photographs.rocket()[::2, ::2] if second == "smaller" else photographs.rocket()
        save(smaller, folder / "b.jpg", quality=70)
    clean(workspace, folder)
    (group,) = section(workspace, "duplicate").groups
    assert group.best.path == "a.jpg"
    assert why in group.best.reason


def test_of_too_many_outliers_the_worst_and_the_borderline_stay():
    found = [Found(f"{number}.jpg", number / 1000, "") for number in np.random.default_rng(5).permutation(900)]
    shown = [item.path for item in worst_and_borderline(found, 40)]
    assert shown == [f"{number}.jpg" for number in (*range(30), *range(890, 900))]
    assert len(worst_and_borderline(found, 1)) == 1
    assert len(worst_and_borderline(found, 900)) == 900


def test_what_is_left_out_is_said(cleaned, images):
    page = make_page(cleaned, images, max_outliers=4)
    assert section(cleaned, "low_resolution", most=4).left_out == len(HOSTILE) - 4
    assert f"{len(HOSTILE) - 4} more are not shown" in "".join(page.text)


def test_no_image_is_opened_to_find_the_sections(cleaned, images):
    shutil.rmtree(images)
    assert {shown.issue for shown in sections(cleaned)} >= {"corrupt", "duplicate", "low_resolution"}


def test_an_image_that_went_away_is_shown_without_a_picture(cleaned, images):
    (images / "grey.png").unlink()
    (images / "copy.jpg").write_bytes(b"")
    made = make_gallery(cleaned, images, SMALL)
    text = "".join(Page(made.path.read_text()).text)
    assert made.without_picture == 3  # these two, and the corrupt one
    assert "unreadable: No such file or directory" in text
    assert "empty: the file has no bytes" in text
    assert "not_an_image" in text


def test_names_of_files_are_shown_and_never_obeyed(cleaned, images):
    page = make_page(cleaned, images)
    assert len(page.all("script")) == len(page.scripts) == 2
    assert {name for _, attributes in page.elements for name in attributes if name.startswith("on")} == set()
    assert all(image["src"].startswith("data:image/jpeg;base64,") for image in page.all("img"))
    text = "".join(page.text)
    for name in HOSTILE:
        folder, _, last = name.rpartition("/")
        assert printable(folder) in text
        assert printable(last) in text


def test_a_picture_links_to_its_original_whatever_its_name(cleaned, images):
    links = [link["href"] for link in make_page(cleaned, images).all("a") if not link["href"].startswith("#")]
    assert all(":" not in link for link in links)
    linked = {(cleaned.manifests / unquote(link)).resolve() for link in links}
    assert {images / name for name in HOSTILE} <= linked
    assert all(path.is_file() for path in linked)


def test_nothing_is_loaded_from_anywhere_and_only_our_own_script_may_run(cleaned, images):
    html = make_gallery(cleaned, images, SMALL).path.read_text()
    page = Page(html)
    script = page.scripts[1]
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert policy == (f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'")
    assert page.all("link") == []
    assert re.search(r"url\(|@import|https?:", html) is None


def test_thumbnails_are_small(cleaned, images):
    for image in make_page(cleaned, images).all("img"):
        data = base64.b64decode(image["src"].split(",")[1])
        assert len(data) < 20_000


def test_old_decisions_are_on_the_page(cleaned, images):
    decisions = "path,decision\n00.jpg,reject\ngone.jpg,keep\n" + '"quote"" and \'single\', comma.jpg",keep\n'
    (cleaned.manifests / "decisions.csv").write_text(decisions)
    data = json.loads(make_page(cleaned, images).scripts[0])
    assert data["decisions"] == [["00.jpg", "reject"], ["gone.jpg", "keep"], [HOSTILE[2], "keep"]]
    assert set(HOSTILE) <= set(data["paths"])


def test_a_malformed_decision_is_refused(cleaned, images):
    (cleaned.manifests / "decisions.csv").write_text("00.jpg,perhaps\n")
    with pytest.raises(ConfigError, match=r"decisions.csv, line 1"):
        make_gallery(cleaned, images, SMALL)


@pytest.fixture
def rejected(workspace, tmp_path):
    """A workspace in which every image is rejected, so that there is no selection."""
    folder = tmp_path / "small"
    for number in range(3):
        save(photographs.coffee()[number * 60 : number * 60 + 50, :60], folder / f"{number}.png")
    save(photographs.camera()[:50, :60], folder / "grey.png")
    with pytest.raises(InputError, match=r"all 4 images are rejected \(low_resolution 4, .*`recolor gallery`"):
        clean(workspace, folder)
    return workspace, folder


def test_when_every_image_is_rejected_the_page_shows_them_as_rejected(rejected):
    workspace, folder = rejected
    assert not workspace.manifest("clean").exists()
    shown = section(workspace, "low_resolution")
    assert {card.path for card in shown.outliers} == {"0.png", "1.png", "2.png", "grey.png"}
    assert all(card.rejected and card.decoded for card in shown.cards)
    grey = next(card for card in shown.outliers if card.path == "grey.png")
    assert "monochrome" in grey.others
    assert make_gallery(workspace, folder, SMALL).images == 4


def test_when_every_image_is_rejected_a_decision_on_the_page_is_obeyed(rejected, browser, tmp_path):
    workspace, folder = rejected
    browser.open(make_gallery(workspace, folder, SMALL).path)
    click(browser, "low_resolution", "1.png", "keep")
    assert browser.run("[made.textContent, unsaved]") == ["1 decision", True]
    saved = tmp_path / "downloads" / "decisions.csv"
    browser.download("document.getElementById('save')", saved)
    assert saved.read_text() == "path,decision\n1.png,keep\n"
    shutil.copy(saved, workspace.manifests / "decisions.csv")
    select(workspace, SMALL)
    assert read_manifest(workspace.manifest("clean"))["path"].tolist() == ["1.png"]
    assert browser.complaints() == []


def test_images_that_only_decisions_reject_can_be_taken_back_on_the_page(workspace, tmp_path, browser):
    folder = tmp_path / "pair"
    save(photographs.astronaut(), folder / "a.png")
    save(photographs.rocket(), folder / "b.png")
    lenient = replace(SMALL, skewed=SkewedConfig(enabled=False), blurry=BlurryConfig(enabled=False))
    clean(workspace, folder, lenient)
    (workspace.manifests / "decisions.csv").write_text("path,decision\na.png,reject\nb.png,reject\n")
    with pytest.raises(InputError, match=r"all 2 images are rejected \(decision 2\)"):
        select(workspace, lenient)
    cards = section(workspace, "decision", lenient).outliers
    assert [(card.path, card.reason) for card in cards] == [
        ("a.png", "rejected in decisions.csv, line 2"),
        ("b.png", "rejected in decisions.csv, line 3"),
    ]
    assert section(workspace, "decision", lenient, most=1).left_out == 1
    browser.open(make_gallery(workspace, folder, lenient).path)
    click(browser, "decision", "b.png", "keep")
    assert browser.run("decisionsCsv()") == "path,decision\na.png,reject\nb.png,keep\n"


def test_the_page_shows_what_would_be_selected_now_and_not_an_older_selection(rejected):
    workspace, _ = rejected
    decisions = workspace.manifests / "decisions.csv"
    decisions.write_text("1.png,keep\n")
    select(workspace, SMALL)
    decisions.unlink()
    assert {card.path for card in section(workspace, "low_resolution").cards if not card.rejected} == set()


def test_without_the_photographs_the_page_has_no_pictures_but_every_decision(cleaned, images, browser):
    shutil.rmtree(images)
    made = make_gallery(cleaned, None, SMALL)
    page = Page(made.path.read_text())
    assert made.images == made.without_picture
    assert page.all("img") == []
    assert [link for link in page.all("a") if "picture" in link.get("class", "") and "href" in link] == []
    assert "the folder of photographs was not found" in "".join(page.text)
    browser.open(made.path)
    click(browser, "monochrome", "grey.png", "keep")
    assert browser.run("[...decisions]") == [["grey.png", "keep"]]


@pytest.mark.parametrize("known", [True, False])
def test_the_verb_needs_no_photographs(cleaned, images, known):
    if known:
        remember_images(cleaned, images)
    shutil.rmtree(images)
    answer = CliRunner().invoke(cli, ["gallery", "--workspace", str(cleaned.root)], catch_exceptions=False)
    assert answer.exit_code == 0
    missing = f"{images}: there is no such folder" if known else "the folder of photographs is not known"
    assert answer.stderr == f"{missing}, so the page has no pictures. Give the folder with --images.\n"
    assert (cleaned.manifests / "gallery.html").is_file()


def test_before_the_cleaning_there_is_no_gallery(workspace, images):
    with pytest.raises(MissingStageError, match="recolor measure"):
        make_gallery(workspace, images, SMALL)
    with pytest.raises(InputError, match="no such folder"):
        make_gallery(workspace, images / "none", SMALL)


def test_the_verb_writes_the_page_without_torch_and_says_where(cleaned, images, tmp_path):
    code = (
        "import sys; from recolor.cli.main import cli; cli.main(sys.argv[1:], standalone_mode=False);"
        "print({'torch', 'matplotlib'} & set(sys.modules))"
    )
    out = tmp_path / "new folder" / "look.html"
    arguments = ["gallery", "--workspace", str(cleaned.root), "--images", str(images), "--out", str(out)]
    process = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    *_, said, _, following, _, loaded = process.stdout.splitlines()
    assert loaded == "set()"
    assert said.startswith(f"{out} (")
    assert following == f"Next: recolor select --workspace {cleaned.root}"
    assert out.is_file()


def click(browser, issue, path, button):
    card = f"cards.find(card => card.closest('[data-issue={issue}]') && pathOf(card) === {json.dumps(path)})"
    browser.click(f"{card}.querySelector('button[value={button}]')")


def test_decisions_that_are_clicked_and_saved_are_obeyed(cleaned, images, browser, tmp_path):
    (cleaned.manifests / "decisions.csv").write_text("path,decision\n00.jpg,reject\ncopy.jpg,keep\n01.jpg,reject\n")
    browser.open(make_gallery(cleaned, images, SMALL).path)
    assert browser.run("made.textContent") == "3 decisions"
    for path in HOSTILE:
        click(browser, "low_resolution", path, "keep")
    click(browser, "low_resolution", "nearly too small.png", "reject")
    click(browser, "duplicate", "copy.jpg", "keep")  # a second click takes it back
    click(browser, "duplicate", "best.png", "reject")
    assert browser.run("[made.textContent, unsaved]") == [f"{len(HOSTILE) + 4} decisions", True]
    saved = tmp_path / "downloads" / "decisions.csv"
    browser.download("document.getElementById('save')", saved)
    assert browser.run("[made.textContent, unsaved]") == [f"{len(HOSTILE) + 4} decisions", False]

    with saved.open(encoding="utf-8", newline="") as file:
        decisions = parse_decisions(file.read(), saved)
    rejected = ("00.jpg", "01.jpg", "nearly too small.png", "best.png")
    assert {path: decision.keep for path, decision in decisions.items()} == {
        **dict.fromkeys(rejected, False),
        **dict.fromkeys(HOSTILE, True),
    }
    shutil.copy(saved, cleaned.manifests / "decisions.csv")
    select(cleaned, SMALL)
    kept = set(read_manifest(cleaned.manifest("clean"))["path"])
    assert set(HOSTILE) <= kept
    assert not set(rejected) & kept
    assert browser.run("document.title") == "Recolor: outliers"
    assert browser.complaints() == []


def test_an_image_of_two_issues_shows_one_decision(cleaned, images, browser):
    save(photographs.camera()[:50, :50], images / "grey and small.png")
    clean(cleaned, images)
    browser.open(make_gallery(cleaned, images, SMALL).path)
    click(browser, "monochrome", "grey and small.png", "keep")
    marked = "cards.filter(card => card.dataset.decision === 'keep').map(card => pathOf(card))"
    assert browser.run(marked) == ["grey and small.png"] * browser.run(
        "cards.filter(card => pathOf(card) === 'grey and small.png').length"
    )
    assert browser.run(f"{marked}.length") >= 2


def test_the_keyboard_moves_and_decides(cleaned, images, browser):
    browser.open(make_gallery(cleaned, images, SMALL).path)
    browser.run("document.querySelector('.tabs [value=low_resolution]').click()")
    order = [card.path for card in section(cleaned, "low_resolution").cards]
    focused = "pathOf(document.activeElement)"
    browser.press("ArrowRight")
    assert browser.run(focused) == order[0]
    browser.press("k")
    browser.press("r")
    assert browser.run(focused) == order[2]
    browser.press("ArrowLeft")
    browser.press("u")
    assert browser.run(focused) == order[1]
    browser.press("ArrowDown")
    columns = browser.run(
        "cards.filter(isShown).filter((card, _, all) => "
        "card.getBoundingClientRect().top === all[0].getBoundingClientRect().top).length"
    )
    assert browser.run(focused) == order[1 + columns]
    browser.press("ArrowUp")
    assert browser.run(focused) == order[1]
    assert browser.run("[...decisions]") == [[order[0], "keep"]]


def test_undo_takes_back_the_last_decision_wherever_the_focus_is(cleaned, images, browser):
    browser.open(make_gallery(cleaned, images, SMALL).path)
    click(browser, "low_resolution", HOSTILE[0], "keep")
    click(browser, "monochrome", "grey.png", "keep")
    click(browser, "monochrome", "grey.png", "reject")
    browser.run("document.querySelector('.card[tabindex]').focus()")
    browser.press("u")
    assert browser.run("[...decisions]") == [[HOSTILE[0], "keep"], ["grey.png", "keep"]]
    assert browser.run("pathOf(document.activeElement)") == "grey.png"
    browser.press("u")
    browser.click("document.getElementById('undo')")
    assert browser.run("[[...decisions], undo.disabled]") == [[], True]


def test_decisions_outlive_a_reload_until_they_are_saved_and_the_page_is_made_anew(cleaned, images, browser, tmp_path):
    page = make_gallery(cleaned, images, SMALL).path
    browser.open(page)
    click(browser, "monochrome", "grey.png", "keep")
    reload_anyway(browser)
    assert browser.run("[[...decisions], unsaved]") == [[["grey.png", "keep"]], True]
    browser.download("document.getElementById('save')", tmp_path / "decisions.csv")
    browser.reload()
    assert browser.run("[[...decisions], unsaved]") == [[["grey.png", "keep"]], False]
    (cleaned.manifests / "decisions.csv").write_text("path,decision\n00.jpg,reject\n")
    make_gallery(cleaned, images, SMALL)
    browser.reload()
    assert browser.run("[[...decisions], unsaved]") == [[["00.jpg", "reject"]], False]


def reload_anyway(browser):
    """Reloads a page that asks first, as it has decisions that are not saved."""
    browser.run("unsaved = false")
    browser.reload()


def test_the_page_can_be_narrowed_to_an_issue_and_to_the_undecided(cleaned, images, browser):
    (cleaned.manifests / "decisions.csv").write_text("grey.png,keep\nmirrored.jpg,reject\n")
    browser.open(make_gallery(cleaned, images, SMALL).path)
    shown = "[...new Set(cards.filter(isShown).map(pathOf))]"
    show = "(value => {{ const s = document.getElementById('show'); s.value = value;"
    show += " s.dispatchEvent(new Event('change')); }})('{}')"
    browser.run(show.format("undecided"))
    undecided = browser.run(shown)
    assert "grey.png" not in undecided
    assert {"best.png", *HOSTILE} <= set(undecided)
    browser.run(show.format("decided"))
    assert set(browser.run(shown)) == {"grey.png", "best.png", "copy.jpg", "mirrored.jpg"}  # copies stay together
    browser.run(show.format("all"))
    browser.run("document.querySelector('.tabs [value=duplicate]').click()")
    assert set(browser.run(shown)) == {"best.png", "copy.jpg", "mirrored.jpg"}
