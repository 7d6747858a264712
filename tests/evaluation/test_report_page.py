"""The report in a real browser."""

import base64
import io
import time
from dataclasses import replace

import numpy as np
import pytest
from evaluation.hue_examples import hue_summary
from PIL import Image
from skimage import data

from recolor.evaluation.comparison import Comparison, Difference
from recolor.evaluation.loss_curve import loss_curve
from recolor.evaluation.methods import Method
from recolor.evaluation.pictures import Picture
from recolor.evaluation.report import (
    Count,
    ModelFacts,
    OutlierCounts,
    PictureGroup,
    Report,
    metric_rows,
    render_report,
)
from recolor.evaluation.summary import SetMetrics, Summary

HOSTILE = "<img src=x onerror=document.title='taken'>\n.jpg"
NAMES = ["a.jpg", HOSTILE, "c.jpg"]
METRICS = SetMetrics(
    psnr_db=23.4,
    ssim=0.9,
    delta_e_2000=8.0,
    ab_mse=0.002,
    ab_rmse=11.6,
    ab_psnr_db=27.9,
    ab_psnr_db_set=26.8,
    ab_distance=13.0,
    colourfulness=20.0,
    colourfulness_abs=18.0,
    truth_colourfulness=40.0,
    truth_colourfulness_abs=36.0,
    delta_cf_set=20.0,
    delta_cf_set_abs=18.0,
    delta_cf_image=20.5,
    closer_than_grey=0.625,
    hue_kept=0.5,
    green_kept=0.35,
    orange_ratio=4.4,
)
GREY = replace(METRICS, psnr_db=20.0, delta_e_2000=12.0, colourfulness=0.0)
ORACLE = replace(METRICS, psnr_db=40.0, delta_e_2000=2.0, colourfulness=39.0)
METHODS = [
    (Method("", "grey", "control"), GREY),
    (Method("", "mean_ab", "control"), GREY),
    (Method("m", "generator", "model"), METRICS),
    (Method("m", "refined", "model"), METRICS),
    (Method("", "oracle", "control"), ORACLE),
    (Method("m", "oracle_refined", "control"), ORACLE),
]


def picture(number, name):
    """Tiles of one photograph; the columns have the brightnesses 0.25, 0.5, 0.75 and 1."""
    rgb = data.astronaut()[40 * number :][:120, 100:260]
    return Picture(name, 4.0 + number, tuple((rgb * (0.25 * (column + 1))).astype(np.uint8) for column in range(4)))


STEPS = np.arange(1.0, 1001.0)
CURVE = loss_curve(STEPS, 1.0 / STEPS, STEPS[99::100], 0.1 / STEPS[99::100])


@pytest.fixture
def report():
    summaries = [Summary(method, 48, metrics, metrics, metrics, hue_summary(0.35)) for method, metrics in METHODS]
    pictures = tuple(picture(number, name) for number, name in enumerate(NAMES))
    difference = Difference(
        metric="delta_e_2000", first=9.0, second=8.0, difference=-1.0, low=-1.5, high=-0.4, better="m"
    )
    psnr = replace(difference, metric="psnr_db")
    return Report(
        measured_on="48 photographs of the test split",
        notes=("A note.",),
        rows=metric_rows(summaries, "the training photographs"),
        comparisons=(Comparison(METHODS[3][0], Method("n", "refined", "model"), (difference,)),),
        headings=("Greyscale", "Generator", "Refined", "Photograph"),
        groups=(PictureGroup("Pictures", "All.", pictures[:2]), PictureGroup("Worst", "One.", pictures[2:])),
        models=(ModelFacts("Generator", CURVE, (("model.width", "64"), ("a.long.name." * 8, "0" * 200))),),
        splits=(Count("train", 900), Count("val", 0), Count("test", 48)),
        outliers=OutlierCounts((Count("blurry", 3),), 3),
        against=(psnr, psnr),
        provenance=(("Recolor", "0.2.0"), ("Data set", "a-long-name" * 20)),
    )


@pytest.fixture
def page(report, browser, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(render_report(report), encoding="utf-8")
    browser.open(path)
    return browser


def emulate(page, width, scheme="light", media=""):
    page.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.call("Emulation.setEmulatedMedia", media=media, features=features)


def tile(row, column):
    return f"document.querySelectorAll('.tiles')[{row}].children[{column}]"


def enlarged(page):
    """Whether a picture is enlarged, its description, its pressed column buttons, and its mean value."""
    source, *facts = page.run(f"[picture.src, zoom.open, picture.alt, {PRESSED}]")
    return *facts, mean_of(source)


PRESSED = (
    "columns.filter((button) => button.getAttribute('aria-pressed') === 'true').map((button) => button.textContent)"
)


def becomes(page, expected, part=slice(None)):
    """Waits for the effect of a click or key: a busy browser answers before it is done."""
    for _ in range(200):
        if enlarged(page)[part] == expected:
            break
        time.sleep(0.05)
    assert enlarged(page)[part] == expected


def mean_of(source):
    jpeg = base64.b64decode(source.removeprefix("data:image/jpeg;base64,"))
    return np.asarray(Image.open(io.BytesIO(jpeg))).mean()


def tile_mean(row, column):
    return pytest.approx(picture(row, "").tiles[column].mean(), abs=1)


def test_a_click_enlarges_a_picture_and_keys_flip_it_against_the_others(page):
    page.click(tile(0, 2))
    becomes(page, (True, "Refined: a.jpg", ["Refined"], tile_mean(0, 2)))
    page.press("ArrowRight")
    becomes(page, (True, "Photograph: a.jpg", ["Photograph"], tile_mean(0, 3)))
    page.press("ArrowRight")
    becomes(page, (True, "Greyscale: a.jpg", ["Greyscale"], tile_mean(0, 0)))
    page.press("ArrowLeft")
    page.press("ArrowDown")
    page.press("ArrowDown")  # into the next group
    becomes(page, (True, "Photograph: c.jpg", ["Photograph"], tile_mean(2, 3)))
    assert "ΔE 6.0" in page.run("document.getElementById('zoomed').textContent")
    page.press("ArrowDown")
    page.press("ArrowUp")
    page.press("ArrowUp")
    assert enlarged(page)[1].startswith("Photograph: <img src=x")
    assert page.run("document.title") == "Recolor: how good is the model?"
    assert page.complaints() == []


def test_an_enlarged_picture_is_chosen_by_name_and_closed_in_every_way(page):
    page.click(tile(1, 0))
    page.click("columns[3]")
    becomes(page, (["Photograph"], tile_mean(1, 3)), slice(2, None))
    page.click("picture")
    becomes(page, (["Greyscale"], tile_mean(1, 0)), slice(2, None))
    page.click("document.getElementById('close')")
    page.wait_for("!zoom.open")
    page.wait_for(f"document.activeElement === {tile(1, 0)}")
    page.click(tile(0, 1))
    for kind in ("mousePressed", "mouseReleased"):
        page.call("Input.dispatchMouseEvent", type=kind, x=3, y=3, button="left", clickCount=1)
    page.wait_for("!zoom.open")
    page.wait_for(f"document.activeElement === {tile(0, 1)}")  # otherwise it would take the focus from the next
    page.run(f"{tile(2, 1)}.focus()")
    page.call("Input.dispatchKeyEvent", type="keyDown", key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r")
    becomes(page, (True, "Generator: c.jpg"), slice(2))
    page.call("Input.dispatchKeyEvent", type="rawKeyDown", key="Escape", code="Escape", windowsVirtualKeyCode=27)
    page.wait_for("!zoom.open")


def test_models_stand_apart_from_controls(page):
    rows = page.run(
        "[...document.querySelector('table').querySelectorAll('tbody tr[class]')]"
        ".map((row) => [row.className, row.querySelector('th').firstChild.textContent,"
        " getComputedStyle(row.querySelector('td') ?? row).backgroundColor])"
    )
    assert [(kind, title) for kind, title, _ in rows] == [
        ("model", "Generator"),
        ("model", "Generator and refiner"),
        ("part", "Controls"),
        ("control", "Grey"),
        ("control", "Mean colour"),
        ("control", "True colour, upsampled"),
        ("control", "True colour, refined"),
        ("truth", "Photographs"),
    ]
    colours = {kind: {colour for of_kind, _, colour in rows if of_kind == kind} for kind in ("model", "control")}
    assert len(colours["model"]) == 1
    assert not colours["model"] & colours["control"]


def test_intervals_are_small_beside_their_numbers(page):
    sizes = page.run(
        "(cell => [cell, cell.querySelector('small')].map((part) => parseFloat(getComputedStyle(part).fontSize)))"
        "(document.querySelector('.model td'))"
    )
    assert sizes[1] <= 0.8 * sizes[0]


def test_cards_show_where_the_model_stands_between_grey_and_the_true_colours(page):
    """ΔE 8 of 12..2, PSNR 23.4 of 20..40, colourfulness 20 of 0..40."""
    widths = page.run("[...document.querySelectorAll('.track i')].map((bar) => bar.style.width)")
    assert widths[:3] == ["40%", "17%", "50%"]


def test_every_number_is_explained_on_request(page):
    headings = page.run(
        "[...document.querySelectorAll('table')[0].querySelectorAll('thead th')].slice(1).map(t => t.innerText)"
    )
    explained = page.run("[...document.querySelectorAll('#meaning dt')].map((term) => term.textContent)")
    assert ["".join(heading.split()) for heading in headings] == ["".join(term.split()) for term in explained]
    headings = page.run("[...document.querySelectorAll('.hues thead th')].slice(1, 6).map(t => t.innerText)")
    explained = page.run("[...document.querySelectorAll('.of-hues dt')].slice(0, 5).map((term) => term.textContent)")
    assert ["".join(heading.split()) for heading in headings] == ["".join(term.split()) for term in explained]
    assert page.run("document.querySelector('.meaning').checkVisibility()") is False
    page.click("document.querySelector('#meaning summary')")
    assert page.run("document.querySelector('.meaning').checkVisibility()") is True


def test_hues_are_drawn_for_the_model_and_for_each_control(page):
    """35% of the truly green pixels are orange; no pixel is red; neutral is 400 of 1,000 pixels."""
    tables = page.run(
        "[...document.querySelectorAll('.heat')].map((table) => [...table.querySelectorAll('tbody tr')]"
        ".map((row) => [...row.querySelectorAll('td')].map((cell) => cell.textContent)))"
    )
    assert len(tables) == len(METHODS)
    assert tables[0] == [
        ["65", "0", "35", "0", "0"],
        ["0", "100", "0", "0", "0"],
        ["0", "0", "100", "0", "0"],
        ["–"] * 5,
        ["0", "0", "0", "0", "100"],
        ["13", "30", "17", "0", "40"],
    ]
    shades = page.run(
        "[...document.querySelectorAll('.heat tbody tr')[0].querySelectorAll('td')]"
        ".map((cell) => parseFloat(getComputedStyle(cell, '::before').opacity))"
    )
    assert shades == pytest.approx([0.65, 0, 0.35, 0, 0])
    bars = page.run("[...document.querySelectorAll('.twin')].map((bars) => bars.innerText.split(/\\s+/))")
    assert bars[0][:6] == ["green", "20.0", "13.0", "blue", "30.0", "30.0"]
    assert bars[1] == [
        "green",
        "31.0",
        "18.0",
        "blue",
        "24.0",
        "20.0",
        "orange",
        "28.0",
        "26.0",
        "neutral",
        "3.0",
        "4.0",
    ]


@pytest.mark.parametrize("width", [390, 1400])
def test_the_hues_of_the_model_are_whole_on_a_phone_and_on_a_desk(page, width):
    emulate(page, width)
    cells = page.run(
        "[...document.querySelector('.heat').querySelectorAll('th, td')]"
        ".map((cell) => [cell.getBoundingClientRect().right, cell.scrollWidth - cell.clientWidth])"
    )
    assert max(right for right, _ in cells) < width
    assert max(cut for _, cut in cells) <= 0


@pytest.mark.parametrize("width", [360, 820, 1280, 2000])
@pytest.mark.parametrize("picture_enlarged", [False, True])
def test_the_page_fits_every_width(page, width, picture_enlarged):
    emulate(page, width)
    page.run("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    if picture_enlarged:
        page.click(tile(0, 0))
        box = page.run("picture.getBoundingClientRect().toJSON()")
        assert 0 <= box["left"] < box["right"] <= width
        assert 0 <= box["top"] < box["bottom"] <= 800
        assert box["width"] > 300
    assert page.run("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_both_schemes(page, scheme):
    """Contrast of at least 4.5 to 1 (WCAG 2.2, 1.4.3) between text and background."""
    emulate(page, 1280, scheme)
    for selector in (
        "p.lead",
        ".faint",
        ".cards span",
        ".model th",
        ".model td small",
        ".control td",
        "summary",
        ".note",
        ".heat td.kept",
        ".heat th small",
        ".twin em",
        ".key",
    ):
        text, ground = page.run(
            f"(function (part) {{ const own = getComputedStyle(part).color; let at = part;"
            f" while (getComputedStyle(at).backgroundColor === 'rgba(0, 0, 0, 0)') at = at.parentElement;"
            f" return [own, getComputedStyle(at).backgroundColor]; }})(document.querySelector('{selector}'))"
        )
        assert contrast(text, ground) >= 4.5, (selector, text, ground)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_numbers_can_be_read_on_the_darkest_cell_of_the_hues(page, scheme):
    emulate(page, 1280, scheme)
    text, shade, card = page.run(
        "((cell) => [getComputedStyle(cell).color, getComputedStyle(cell, '::before').backgroundColor,"
        " getComputedStyle(cell.closest('.card')).backgroundColor])(document.querySelector('.heat td'))"
    )
    *over, alpha = (float(part) for part in shade[shade.index("(") + 1 : -1].split(","))
    under = [float(part) for part in card[card.index("(") + 1 : -1].split(",")][:3]
    mixed = [alpha * above + (1 - alpha) * below for above, below in zip(over, under, strict=True)]
    assert contrast(text, f"rgb({', '.join(map(str, mixed))})") >= 4.5


def contrast(first, second):
    lights = sorted(map(luminance, (first, second)))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def luminance(colour):
    value = np.array([float(part) for part in colour[colour.index("(") + 1 : -1].split(",")][:3]) / 255
    linear = np.where(value > 0.04045, ((value + 0.055) / 1.055) ** 2.4, value / 12.92)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_paper_shows_the_whole_table_the_pictures_and_what_the_numbers_mean(page):
    emulate(page, 690, "dark", media="print")  # A4 without its margins
    page.run("dispatchEvent(new Event('beforeprint'))")
    assert page.run("document.querySelector('.meaning').checkVisibility()") is True
    assert page.run("document.querySelector('.settings').checkVisibility()") is False
    rights = page.run("[...document.querySelectorAll('table')].map((table) => table.getBoundingClientRect().right)")
    assert max(rights) <= 691
    assert luminance(page.run("getComputedStyle(document.querySelector('h1')).color")) < 0.05  # ink on paper
    assert page.run(
        "[...document.querySelectorAll('.tiles img')].every((image) => image.complete && image.naturalWidth)"
    )
    page.run("dispatchEvent(new Event('afterprint'))")
    assert page.run("meaning.open") is False
    printed = base64.b64decode(page.call("Page.printToPDF", printBackground=True)["data"])
    assert printed.startswith(b"%PDF")
