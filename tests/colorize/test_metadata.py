"""What a photograph's file says before and after: the cases of tools/stale_metadata.py, in every format."""

import struct
from functools import cache
from pathlib import Path

import pytest
import stale_metadata
from stale_metadata import CASES, HEIGHT_PX, IPTC, WIDTH_PX, coloured, exif, jpeg, packet, png, read_facts, resource

from recolor.colorize.embedded import read_embedded
from recolor.colorize.metadata import Metadata

PAGE = Path(__file__).parents[2] / "docs" / "colouring.md"
VIDEO, GAIN_MAP, DEPTH = "the video of a motion photo", "the gain map (HDR)", "the depth map"
FACES = "marked regions, whose places are of the unturned picture"
SAID = {
    "motion photo (Google)": (VIDEO,),
    "motion photo (MicroVideo)": (VIDEO,),
    "motion photo (Samsung)": (VIDEO,),
    "gain map (Ultra HDR)": (GAIN_MAP,),
    "gain map (Apple)": (GAIN_MAP,),
    "depth map, extended XMP": (DEPTH,),
    "stereo pair (MPF)": ("further pictures",),
    "faces marked": (FACES,),
    "HEIC with a video and faces": (FACES, VIDEO),
}
GONE = (
    "xmp:Thumbnails",
    "mwg-rs:Regions",
    "Container:Directory",
    "thumbnail of Photoshop",
    "MPF",
    "MP4",
    "second JPEG",
)


@cache
def made(name):
    return CASES[name]()


@pytest.mark.parametrize("name", CASES)
def test_what_a_coloured_file_says_is_true_of_it(name):
    data, dropped = coloured(made(name))
    facts = read_facts(data)
    assert facts.stated_sizes_px <= {facts.size_px}
    assert facts.exif.get("Orientation", 1) == 1
    assert facts.xmp.get("tiff:Orientation", "1") == "1"
    assert facts.exif.get("ColorSpace", 1) == 1
    assert facts.exif.get("InteroperabilityIndex", "R98") == "R98"
    assert not set(facts.others) & {*GONE, "extended XMP"}
    assert not any(name.startswith(("GCamera:M", "GDepth", "hdrgm", "HDRGainMap", "xmpNote")) for name in facts.xmp)
    assert dropped == SAID.get(name, ())


@pytest.mark.parametrize("to", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("name", ["saved by Photoshop", "PNG of ImageMagick", "TIFF"])
def test_iptc_and_true_sizes_come_from_every_format_to_every_other(name, to):
    data, dropped = coloured(made(name), to)
    facts = read_facts(data)
    assert ("IPTC" in facts.others) == ("IPTC" not in dropped) == (to != "WEBP")
    assert facts.size_px == (HEIGHT_PX, WIDTH_PX)
    assert facts.stated_sizes_px == {facts.size_px}


def test_the_page_shows_the_table_of_the_cases():
    assert stale_metadata.table() in PAGE.read_text(encoding="utf-8")


def test_a_bmp_holds_no_metadata_and_that_is_said():
    assert coloured(made("saved by Photoshop"), "BMP")[1] == ("EXIF", "XMP", "IPTC")
    assert coloured(jpeg(comment=b"plate 17"), "PNG")[1] == ("the comment",)
    assert coloured(png((b"tEXt", b"Title\0Dome")), "JPEG")[1] == ("the texts of a PNG",)


def test_more_metadata_than_a_jpeg_holds_is_named():
    large = Metadata(exif=bytes(70_000), xmp=bytes(70_000), resources=resource(0x0404, bytes(150_000)))
    held = large.held_by("JPEG")
    assert held.dropped == ("EXIF", "XMP")
    assert held.resources == large.resources  # in several segments
    assert large.held_by("PNG").dropped == ()


@pytest.mark.parametrize(
    ("segments", "said"),
    [
        ({0xE1: b"Exif\0\0no exif"}, "EXIF that cannot be read"),
        ({0xE1: b"http://ns.adobe.com/xap/1.0/\0<x"}, "XMP that is not well-formed"),
        ({0xE1: b"http://ns.adobe.com/xmp/extension/\0"}, "extended XMP"),
        ({0xE2: b"urn:iso:std:iso:ts:21496:-1\0\0\0\0\0"}, GAIN_MAP),
        ({0xEB: b"JP\0\1jumb c2pa"}, "content credentials (C2PA)"),
    ],
)
def test_what_cannot_be_kept_is_named_and_the_rest_stays(segments, said):
    data, dropped = coloured(jpeg(segments={**segments, 0xED: b"Photoshop 3.0\0" + resource(0x0404, IPTC)}))
    assert dropped == (said,)
    assert "IPTC" in read_facts(data).others


def test_a_maker_s_own_trailer_is_no_loss():
    assert coloured(jpeg() + b"SEFH" + bytes(20) + b"SEFT")[1] == ()


def test_metadata_behind_the_pixels_of_a_png_count():
    data, _ = coloured(
        png((b"eXIf", exif()[6:]), (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet('dc:source="dome"')))
    )
    facts = read_facts(data)
    assert facts.exif["PixelXDimension"] == facts.size_px[0] == HEIGHT_PX
    assert facts.xmp == {"dc:source": "dome"}


def test_the_resolution_of_a_bmp_is_read_whatever_its_pixels():
    data = bytearray(coloured(jpeg(dpi=(300, 300)), "BMP")[0])
    assert read_embedded(bytes(data), bytes(data), "BMP").dpi == pytest.approx((300, 300), abs=0.1)
    data[14:18] = struct.pack("<I", 12)
    assert read_embedded(bytes(data), bytes(data), "BMP").dpi is None


def test_a_directory_of_a_tiff_that_cannot_be_read_loses_itself_alone():
    data = made("TIFF")
    at = data.index(struct.pack("<HHI", 0x8769, 4, 1))
    broken = data[: at + 8] + struct.pack("<I", len(data) - 3) + data[at + 12 :]
    found = read_embedded(broken, broken, "TIFF")
    assert b"Maker" in found.exif
    assert found.xmp
    assert found.resources
