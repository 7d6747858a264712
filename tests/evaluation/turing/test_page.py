import base64
import hashlib
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from recolor.evaluation.turing.make import photograph_comes_second, render_turing
from recolor.evaluation.turing.pairs import Pair
from recolor.pages.html import printable


class Page(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.tags, self.scripts, self.attributes = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, text):
        if self.tags[-1:] == ["script"] and text.strip():
            self.scripts.append(text)


def render(pairs, seed=0):
    return render_turing(pairs, np.random.default_rng(seed))


def data_of(html):
    return json.loads(Page(html).scripts[0])


def bytes_of(uri):
    return base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"), validate=True)


def place_of_photograph(shown, pair):
    (place,) = [place for place, uri in enumerate(shown["pictures"]) if bytes_of(uri).startswith(pair.photograph)]
    return place


def test_the_photograph_stands_where_the_orders_byte_says(pairs):
    data = data_of(render(pairs))
    places = [place_of_photograph(shown, pair) for shown, pair in zip(data["pairs"], pairs, strict=True)]
    assert places == [bin(byte).count("1") % 2 for byte in bytes.fromhex(data["order"])]
    assert set(places) == {0, 1}


def test_neither_place_is_likelier():
    second = [photograph_comes_second(byte) for byte in range(256)]
    assert sum(second) == 128
    many = [Pair(f"{number}", b"real", b"made") for number in range(400)]
    placed = [place_of_photograph(*both) for both in zip(data_of(render(many))["pairs"], many, strict=True)]
    assert 160 < sum(placed) < 240


def test_two_pictures_have_one_length_and_the_pixels_that_they_had(pairs):
    assert all(len(pair.photograph) != len(pair.coloured) for pair in pairs)
    for shown, pair in zip(data_of(render(pairs))["pairs"], pairs, strict=True):
        assert len(set(map(len, shown["pictures"]))) == 1
        drawn = {Image.open(io.BytesIO(bytes_of(uri))).tobytes() for uri in shown["pictures"]}
        assert drawn == {Image.open(io.BytesIO(jpeg)).tobytes() for jpeg in (pair.photograph, pair.coloured)}


def test_the_data_hold_names_pictures_and_an_order_and_no_answers(pairs):
    data = data_of(render(pairs))
    assert set(data) == {"order", "pairs"}
    assert {key for shown in data["pairs"] for key in shown} == {"name", "pictures"}
    assert [shown["name"] for shown in data["pairs"]] == [printable(pair.name) for pair in pairs]


def test_a_seed_gives_its_page(pairs):
    assert render(pairs, 5) == render(pairs, 5)
    assert data_of(render(pairs, 5))["order"] != data_of(render(pairs, 6))["order"]


def test_nothing_is_loaded_from_anywhere_and_only_our_own_script_may_run(pairs):
    html = render(pairs)
    page = Page(html)
    allowed = base64.b64encode(hashlib.sha256(page.scripts[1].encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'"
    assert ("content", policy) in page.attributes
    assert len(page.scripts) == page.tags.count("script") == 2
    assert not {"link", "iframe", "object", "a"} & set(page.tags)
    assert re.search(r"url\(|@import|https?:|fetch\(|XMLHttp", html) is None


def test_names_are_never_markup(pairs):
    page = Page(render(pairs))
    assert page.tags.count("img") == 4  # of the trial, and of the template of the list
    assert not [name for name, _ in page.attributes if name.startswith("on")]


@pytest.mark.parametrize(("count", "said"), [(1, "1 pair of"), (12, "12 pairs of")])
def test_the_number_of_pairs_is_said(pairs, count, said):
    assert said in render(pairs[:count])
