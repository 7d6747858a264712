import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from recolor.manifests.names import ESCAPE_BYTES, decode_path, encode_path, shown

# Bytes of escapes are frequent, so that names which look like escapes are tried.
PIECES = st.sampled_from([b"\\", b"\\x", b"5c", b"x5c", b"\\xe9", b"e9", b"\xe9", b"\xc3\xa9", b"/", b"a"])
NAMES = st.lists(PIECES | st.binary(min_size=1, max_size=4).filter(lambda some: b"\0" not in some)).map(b"".join)


@given(NAMES)
@example(b"caf\\xe9.jpg")
@example(b"caf\xe9.jpg")
@example(b"caf\\x5cxe9.jpg")
def test_every_name_comes_back_from_its_valid_utf8_form(name):
    text = encode_path(os.fsdecode(name))
    assert text.encode("utf-8").decode("utf-8") == text
    assert os.fsencode(decode_path(text)) == name


@given(NAMES, NAMES)
def test_two_names_never_have_one_form(first, second):
    assert (encode_path(os.fsdecode(first)) == encode_path(os.fsdecode(second))) == (first == second)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"caf\xe9.jpg", "caf\\xe9.jpg"),
        (b"caf\\xe9.jpg", "caf\\x5cxe9.jpg"),
        ("café 日本.jpg".encode(), "café 日本.jpg"),
        (b"back\\slash\\xyz\\x41.jpg", "back\\slash\\xyz\\x41.jpg"),
        ("風景.jpg".encode("shift-jis"), "\\x95\\x97\\x8ci.jpg"),
    ],
)
def test_only_bytes_that_are_not_utf8_and_what_looks_like_them_are_escaped(name, text):
    assert encode_path(os.fsdecode(name)) == text


@pytest.mark.parametrize("text", ["\\x2e\\x2e\\x2fx", "\\x2fetc", "a\\x00b"])
def test_no_escape_stands_for_an_ascii_character_that_could_lead_out_of_the_folder(text):
    assert decode_path(text) == text


def test_a_name_in_a_message_is_one_printable_line():
    assert shown(Path(os.fsdecode(b"caf\xe9 \n\x07 \xc3\xbc.jpg"))) == "caf\\xe9 \\n\\x07 ü.jpg"


def test_a_stream_writes_the_bytes_of_a_name_as_escapes():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors=ESCAPE_BYTES)
    stream.write(os.fsdecode(b"caf\xe9 ") + "日")
    stream.flush()
    assert stream.buffer.getvalue() == b"caf\\xe9 \\u65e5"


def test_the_form_is_the_same_with_an_ascii_locale():
    code = (
        "import os, sys; from recolor.manifests.names import *\n"
        "assert sys.getfilesystemencoding() == 'ascii'\n"
        "name = 'caf\\u00e9 '.encode() + b'\\xe9'\n"
        "text = encode_path(os.fsdecode(name)); print(ascii(text), os.fsencode(decode_path(text)) == name)"
    )
    ascii_locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    environment = os.environ | ascii_locale | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "'caf\\xe9 \\\\xe9' True\n"
