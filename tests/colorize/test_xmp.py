"""XMP of the coloured file: what changes, and that nothing else does; against a parser of the standard library."""

import io
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stale_metadata import container, packet

from recolor.colorize.xmp import Xmp, xmp_of_result

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
TIFF, EXIF = "{http://ns.adobe.com/tiff/1.0/}", "{http://ns.adobe.com/exif/1.0/}"
TRUE = {
    f"{TIFF}Orientation": "1",
    f"{TIFF}ImageWidth": "300",
    f"{TIFF}ImageLength": "500",
    f"{EXIF}PixelXDimension": "300",
    f"{EXIF}PixelYDimension": "500",
    f"{EXIF}ColorSpace": "1",
}


def again(data, orientation=6):
    return xmp_of_result(data, 300, 500, orientation)


def properties(data):
    """Properties of a packet: text, or the written element if it has others inside."""
    (node,) = ET.parse(io.BytesIO(data)).getroot().iter(f"{RDF}Description")
    inside = {child.tag: ET.tostring(child).strip() if len(child) else child.text for child in node}
    return dict(node.attrib) | inside


def test_only_the_bytes_of_a_stale_value_change():
    data = packet(
        'tiff:Orientation="6" dc:source="plate &amp; 17"', "<!-- by hand --><dc:format>image/jpeg</dc:format>"
    )
    assert again(data) == Xmp(data.replace(b'Orientation="6"', b'Orientation="1"'))
    data = packet(
        "dc:source='it is \"6\"'", "<tiff:Orientation>6</tiff:Orientation>\n<tiff:ImageWidth>9</tiff:ImageWidth>"
    )
    stale = ((b">6</tiff", b">1</tiff"), (b">9</tiff", b">300</tiff"))
    expected = data
    for before, after in stale:
        expected = expected.replace(before, after)
    assert again(data).packet == expected


def test_a_packet_that_is_true_already_keeps_every_byte():
    data = packet(
        'tiff:Orientation="1" dc:source="plate 17"', "<dc:subject><rdf:Bag/></dc:subject><dc:title></dc:title>"
    )
    assert again(data, orientation=1) == Xmp(data)


@pytest.mark.parametrize(
    "form",
    [
        '<GCamera:MotionPhoto>1</GCamera:MotionPhoto><hdrgm:Version>1</hdrgm:Version><dc:source/>',
        '<GCamera:MotionPhoto></GCamera:MotionPhoto><hdrgm:Version/><dc:source/>',
        f'<dc:source/>{container(("image/jpeg", "GainMap", 5), ("video/mp4", "MotionPhoto", 5))}',
        "<dc:source/><Container:Directory><rdf:Seq><rdf:li rdf:parseType='Resource'><Item:Semantic>MotionPhoto"
        "</Item:Semantic></rdf:li><rdf:li><Container:Item Item:Semantic = 'GainMap'/></rdf:li></rdf:Seq>"
        "</Container:Directory>",
    ],
)  # fmt: skip
def test_what_refers_to_bytes_that_are_gone_goes_with_its_namespaces_and_is_named(form):
    found = again(packet("", form))
    assert set(found.dropped) == {"the video of a motion photo", "the gain map (HDR)"}
    assert list(properties(found.packet)) == [f"{RDF}about", "{http://purl.org/dc/elements/1.1/}source"]
    assert b"google" not in found.packet
    assert b"hdr-gain-map" not in found.packet


def test_a_namespace_that_is_still_used_stays_declared():
    found = again(packet('GCamera:MicroVideo="1" GCamera:BurstID="7"'))
    assert properties(found.packet)["{http://ns.google.com/photos/1.0/camera/}BurstID"] == "7"
    assert b"MicroVideo" not in found.packet


def test_namespaces_of_what_is_inside_go_with_it():
    depth = "http://ns.google.com/photos/dd/1.0"
    inside = f'<Device:Container xmlns:Device="{depth}/device/"><Item:Mime rdf:about=""/></Device:Container>'
    found = again(packet('dc:source="plate 17"', inside).replace(b"container/item/", b"dd/item/"))
    assert found.dropped == ("the depth map",)
    assert b"google" not in found.packet
    assert b"rdf:about" in found.packet


def test_properties_of_nested_structures_are_not_those_of_the_picture():
    data = packet("", '<dc:source rdf:parseType="Resource"><tiff:Orientation>6</tiff:Orientation></dc:source>')
    assert again(data).packet == data


def test_a_value_that_is_no_plain_text_is_removed():
    data = packet(
        "", '<tiff:ImageWidth rdf:parseType="Resource"><rdf:value>9</rdf:value></tiff:ImageWidth><dc:source/>'
    )
    assert f"{TIFF}ImageWidth" not in properties(again(data).packet)


def test_resolutions_and_regions_follow_the_turn():
    regions = '<mwg-rs:Regions rdf:parseType="Resource"><mwg-rs:RegionList/></mwg-rs:Regions>'
    data = packet('tiff:XResolution="300/1"', f"<tiff:YResolution>72/1</tiff:YResolution>{regions}")
    assert again(data, orientation=1) == Xmp(data)
    turned = again(data)
    found = properties(turned.packet)
    assert (found[f"{TIFF}XResolution"], found[f"{TIFF}YResolution"]) == ("72/1", "300/1")
    assert b"Regions" not in turned.packet
    assert turned.dropped[0].startswith("marked regions")
    mirrored = again(data, orientation=2)
    assert properties(mirrored.packet)[f"{TIFF}XResolution"] == "300/1"
    assert b"Regions" not in mirrored.packet


@pytest.mark.parametrize(
    "data",
    [
        b"<x",
        b"no xml",
        packet('tiff:Orientation="6"')[:-120],
        packet('tiff:Orientation="6"').decode().encode("utf-16"),
        packet('dc:source="\xfc"').decode().encode("latin-1", "replace"),
        b'<!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;">]><a>&d;</a>',
        b'<a xmlns:b="c"><d:e/></a>',
    ],
    ids=["cut tag", "no tag", "cut packet", "UTF-16", "Latin-1", "entities", "unknown namespace"],
)
def test_a_packet_that_is_not_well_formed_or_has_entities_is_dropped_with_a_word(data):
    assert again(data) == Xmp(b"", ("XMP that is not well-formed",))


def test_no_packet_is_none_and_padding_of_a_tag_is_no_part_of_it():
    assert again(b"") == again(b"\0\0") == Xmp(b"")
    data = packet('tiff:Orientation="1"')
    assert again(data + b"\0\0") == Xmp(data)


NAMES = ["dc:source", "dc:title", "xmp:Rating", "GCamera:BurstID", "xmpNote:Other"]
STALE = ["tiff:Orientation", "tiff:ImageWidth", "exif:PixelXDimension", "exif:ColorSpace"]
GONE = ["GCamera:MotionPhoto", "hdrgm:Version", "GDepth:Mime", "HDRGainMap:HDRGainMapVersion", "tiff:Compression"]
TEXT = st.text(st.characters(exclude_categories=["C"], include_characters=" \n"), max_size=12)


@st.composite
def packets(draw):
    """Packets of properties as attributes and as elements, with the values of those that stay."""
    attributes, elements = [], []
    for name in draw(st.lists(st.sampled_from([*NAMES, *STALE, *GONE]), unique=True)):
        text = draw(TEXT).replace("&", "&amp;").replace("<", "&lt;")
        quote = draw(st.sampled_from("\"'"))
        space, comment = draw(st.sampled_from([" ", "\n\t", " "])), draw(st.sampled_from(["", "<!-- > -->"]))
        if draw(st.booleans()):
            attributes.append(f"{name}{space.strip(' ')}={quote}{text.replace(quote, '#')}{quote}")
        else:
            elements.append(f"{comment}<{name}{space}>{text}</{name}>{comment}")
    return packet(draw(st.sampled_from([" ", "\n "])).join(attributes), "".join(elements))


@given(packets(), st.integers(1, 8))
@settings(max_examples=150)
def test_every_other_property_of_any_packet_keeps_its_value(data, orientation):
    found = again(data, orientation)
    before, after = properties(data), properties(found.packet)
    gone = [name for name in before if name not in after]
    assert all(name.rpartition("}")[2] in {gone.rpartition(":")[2] for gone in GONE} for name in gone)
    for name, value in after.items():
        assert value == TRUE.get(name, before[name]) or (name in TRUE and not before[name])
    assert again(found.packet, 1) == Xmp(found.packet)


@given(st.binary(max_size=60) | st.text(max_size=40).map(str.encode))
def test_any_bytes_are_a_packet_or_dropped(data):
    found = again(data)
    assert found.packet == b"" or found.packet == data.rstrip(b"\0")
