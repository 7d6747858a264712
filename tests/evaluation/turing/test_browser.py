"""The page in a real browser, clicked through."""

import base64
import csv
import json

import numpy as np
import pytest
from scipy.stats import binomtest

from recolor.evaluation.turing.make import render_turing
from recolor.pages.html import printable


@pytest.fixture
def page(pairs, browser, tmp_path):
    path = tmp_path / "turing.html"
    path.write_text(render_turing(pairs, np.random.default_rng(1)), encoding="utf-8")
    browser.open(path)
    return browser


def text(page, name):
    return page.run(f"document.getElementById('{name}').textContent")


def begin(page):
    page.click("document.getElementById('begin')")
    page.wait_for("ready")


def place_of_photograph(page, pairs):
    """Found by the bytes that the two pictures on the screen have."""
    sources = page.run("buttons.map((button) => button.querySelector('img').src)")
    shown = [base64.b64decode(source.partition(",")[2]) for source in sources]
    photographs = tuple(pair.photograph for pair in pairs)
    (place,) = [place for place, jpeg in enumerate(shown) if jpeg.startswith(photographs)]
    return place


def answer(page, pairs, rights, choose):
    """Answers every pair, rightly where `rights` says so; gives the places that the photographs had."""
    places = []
    for number, right in enumerate(rights):
        assert text(page, "progress") == f"{number + 1} of {len(pairs)}"
        places.append(place_of_photograph(page, pairs))
        choose(page, places[-1] if right else 1 - places[-1])
        page.wait_for("ready || !sections[2].hidden")
    return places


def by_click(page, place):
    page.click(f"buttons[{place}]")


def by_arrow(page, place):
    page.press(("ArrowLeft", "ArrowRight")[place])


def by_digit(page, place):
    page.press("12"[place])


def percent(share):
    return f"{round(100 * share, 1):g}%"


@pytest.mark.parametrize("count", [1, 2, 5, 20, 137])
def test_intervals_are_those_of_scipy(page, count):
    found = page.run(f"Array.from({{length: {count + 1}}}, (_, fooled) => wilson(fooled, {count}))")
    for fooled, interval in enumerate(found):
        expected = binomtest(fooled, count).proportion_ci(method="wilson")
        assert (interval["low"], interval["high"]) == pytest.approx((expected.low, expected.high), abs=1e-14)


@pytest.mark.parametrize(
    ("fooled", "choose", "headline"),
    [
        (0, by_click, "The model's colours can be distinguished from real ones."),
        (12, by_arrow, "The model's pictures look more real than photographs."),
        (5, by_digit, "These answers cannot be distinguished from guessing."),
    ],
)
def test_the_result_is_that_of_the_answers(page, pairs, fooled, choose, headline):
    begin(page)
    answer(page, pairs, [number >= fooled for number in range(12)], choose)
    interval = binomtest(fooled, 12).proportion_ci(method="wilson")
    assert text(page, "rate") == percent(fooled / 12)
    assert text(page, "fooled") == f"{fooled} of 12"
    assert text(page, "right") == f"{12 - fooled} of 12"
    assert text(page, "interval") == f"{percent(interval.low)} to {percent(interval.high)}"
    assert text(page, "headline") == headline
    assert page.run("document.activeElement.id") == "result"
    assert page.complaints() == []


def test_the_list_says_which_was_real_and_what_was_chosen(page, pairs):
    begin(page)
    rights = [number % 3 > 0 for number in range(12)]
    places = answer(page, pairs, rights, by_click)
    listed = page.run(
        "[...document.querySelectorAll('#answers li')].map((item) => ({name: item.querySelector('.name').textContent,"
        " outcome: item.querySelector('.outcome').textContent,"
        " captions: [...item.querySelectorAll('b')].map((caption) => caption.textContent),"
        " chosen: [...item.querySelectorAll('em')].map((mark) => !mark.hidden)}))"
    )
    assert sorted(item["name"].partition(". ")[2] for item in listed) == sorted(printable(pair.name) for pair in pairs)
    for item, right, place in zip(listed, rights, places, strict=True):
        assert item["outcome"] == ("right" if right else "fooled")
        assert item["captions"][place] == "Photograph"
        assert item["captions"][1 - place] == "Coloured by the model"
        assert item["chosen"][place] is right
        assert item["chosen"][1 - place] is not right
    assert page.run("[document.title, document.querySelectorAll('script').length]") == [
        "Recolor: which one is the photograph?",
        2,
    ]


def test_answers_can_be_saved(page, pairs, tmp_path):
    begin(page)
    rights = [number % 4 > 0 for number in range(12)]
    places = answer(page, pairs, rights, by_arrow)
    page.download("document.getElementById('csv')", tmp_path / "saved" / "answers.csv")
    page.download("document.getElementById('json')", tmp_path / "saved" / "answers.json")
    with (tmp_path / "saved" / "answers.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    words = ("first", "second")
    assert [row["photograph_stood"] for row in rows] == [words[place] for place in places]
    assert [row["chosen"] == row["photograph_stood"] for row in rows] == rights
    assert [row["fooled"] == "false" for row in rows] == rights
    assert {row["photograph"] for row in rows} == {printable(pair.name) for pair in pairs}
    saved = json.loads((tmp_path / "saved" / "answers.json").read_text(encoding="utf-8"))
    interval = binomtest(3, 12).proportion_ci(method="wilson")
    assert (saved["pairs"], saved["fooled"], saved["rate"], saved["confidence"]) == (12, 3, 0.25, 0.95)
    assert (saved["low"], saved["high"]) == pytest.approx((interval.low, interval.high), abs=1e-14)
    assert [{**row, "fooled": str(row["fooled"]).lower()} for row in saved["answers"]] == rows


def test_another_round_has_another_order_and_no_old_answers(page, pairs):
    orders = []
    begin(page)
    for _ in range(2):
        orders.append(page.run("trials.map(({pair, first}) => [pair, first])"))
        answer(page, pairs, [True] * 12, by_digit)
        page.click("document.getElementById('again')")
        page.wait_for("ready")
    assert orders[0] != orders[1]
    assert sorted(pair for pair, _ in orders[0]) == list(range(12))
    assert {first for _, first in orders[0] + orders[1]} == {0, 1}
    assert page.run("[at, trials.filter(({chosen}) => chosen !== null).length]") == [0, 0]


def test_a_key_that_is_held_or_not_ours_answers_nothing(page, pairs):
    page.press("1")
    assert page.run("trials.length") == 0
    begin(page)
    for key in ("3", "a", "Escape", "ArrowUp"):
        page.press(key)
    page.call("Input.dispatchKeyEvent", type="keyDown", key="1", text="1", autoRepeat=True)
    page.call("Input.dispatchKeyEvent", type="keyDown", key="1", text="1", modifiers=2)
    assert page.run("at") == 0
    page.press("1")
    assert page.run("at") == 1


def test_while_choosing_no_text_tells_which_is_which(page, pairs):
    begin(page)
    said = page.run("sections[1].innerText + buttons.map((button) => button.querySelector('img').alt).join()")
    assert not any(printable(pair.name) in said for pair in pairs)
    assert page.run("buttons.map((button) => button.querySelector('img').alt)") == [
        "Picture 1 of pair 1",
        "Picture 2 of pair 1",
    ]


@pytest.mark.parametrize(("width", "height", "beside"), [(1280, 800, True), (390, 844, False), (844, 390, True)])
def test_both_pictures_are_seen_whole_on_every_screen(page, width, height, beside):
    page.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
    begin(page)
    first, second = page.run("buttons.map((button) => button.querySelector('img').getBoundingClientRect().toJSON())")
    for box in (first, second):
        assert 0 <= box["left"] < box["right"] <= width
        assert 0 <= box["top"] < box["bottom"] <= height
    assert (first["width"], first["height"]) == pytest.approx((second["width"], second["height"]))
    assert (first["top"] == pytest.approx(second["top"])) is beside
    assert page.run("document.documentElement.scrollWidth") <= width
