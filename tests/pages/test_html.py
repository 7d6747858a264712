import base64
import hashlib

from recolor.pages.html import data_uri, inline_script, page_environment, printable


def test_names_are_made_printable_on_one_line():
    assert printable("a b/ü<b>.jpg") == "a b/ü<b>.jpg"
    assert printable("a\nb\x1b[31m.jpg") == r"a\nb\x1b[31m.jpg"
    assert printable("\u202e.jpg") == r"\u202e.jpg"


def test_templates_escape_what_is_put_into_them():
    rendered = page_environment().from_string('<i title="{{ name }}">{{ name }}</i>').render(name='"><script>')
    assert rendered == '<i title="&#34;&gt;&lt;script&gt;">&#34;&gt;&lt;script&gt;</i>'


def test_a_data_uri_holds_the_bytes():
    data = bytes(range(256))
    head, body = data_uri("image/png", data).split(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(body) == data


def test_a_script_comes_with_the_hash_that_a_policy_allows_it_by():
    script = inline_script("gallery.js")
    assert script.text.startswith('"use strict";')
    assert base64.b64decode(script.sha256) == hashlib.sha256(script.text.encode()).digest()
