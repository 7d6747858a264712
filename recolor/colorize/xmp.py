"""Makes an XMP packet true of the coloured file, byte by byte.

Expat says where each property stands, and only those bytes are exchanged. A tree that is written again (`xml.etree`)
would lose the processing instructions around the packet, comments and the padding, and rename the namespaces, which
some readers know by their prefix alone.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from xml.parsers import expat

from recolor.colorize.embedded import DEPTH, EXTENDED_XMP, FURTHER_PICTURES, GAIN_MAP, MOTION_PHOTO
from recolor.images.orientation import TRANSPOSED

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns# RDF"  # names as expat gives them: namespace, space, local name
_TIFF, _EXIF = "http://ns.adobe.com/tiff/1.0/", "http://ns.adobe.com/exif/1.0/"
_EXIF_EX, _PHOTOSHOP = "http://cipa.jp/exif/1.0/", "http://ns.adobe.com/photoshop/1.0/"
_GOOGLE = "http://ns.google.com/photos/1.0/"
_SOUND, _REGIONS = "the sound", "marked regions, whose places are of the unturned picture"
_UNSTATED = ""  # dropped without a word: it says nothing that is lost
# What refers to bytes that are not in the result, by namespace. Google's container lists what its items are.
_NAMESPACES: Mapping[str, str] = {
    _GOOGLE + "container/": _UNSTATED,
    _GOOGLE + "container/item/": _UNSTATED,
    _GOOGLE + "depthmap/": DEPTH,
    _GOOGLE + "image/": FURTHER_PICTURES,
    _GOOGLE + "audio/": _SOUND,
    "http://ns.google.com/photos/dd/1.0/device/": DEPTH,  # the property around all of Dynamic Depth
    "http://ns.adobe.com/hdr-gain-map/1.0/": GAIN_MAP,
    "http://ns.apple.com/HDRGainMap/1.0/": GAIN_MAP,
    "http://ns.apple.com/pixeldatainfo/1.0/": _UNSTATED,
    "http://ns.apple.com/depthData/1.0/": DEPTH,
}
_SEMANTICS = {"MotionPhoto": MOTION_PHOTO, "GainMap": GAIN_MAP, "Depth": DEPTH, "Original": FURTHER_PICTURES}
_MAKERS = (_GOOGLE + "camera/", "http://ns.oplus.com/photos/1.0/camera/")
_OF_VIDEO = re.compile("(MotionPhoto|MicroVideo|OLivePhoto|VideoLength)")
_PROPERTIES: Mapping[str, str] = {
    "http://ns.adobe.com/xmp/note/ HasExtendedXMP": EXTENDED_XMP,
    "http://ns.adobe.com/xap/1.0/ Thumbnails": _UNSTATED,
    **dict.fromkeys(
        [f"{_TIFF} {name}" for name in (
            "BitsPerSample", "Compression", "PhotometricInterpretation", "SamplesPerPixel", "PlanarConfiguration",
            "YCbCrSubSampling", "TransferFunction", "WhitePoint", "PrimaryChromaticities", "YCbCrCoefficients",
            "ReferenceBlackWhite")], _UNSTATED),
    f"{_EXIF} CompressedBitsPerPixel": _UNSTATED,
    f"{_EXIF_EX} Gamma": _UNSTATED,
}  # fmt: skip
_REGION_PROPERTIES: Mapping[str, str] = {  # places relative to the picture as it was stored
    "http://www.metadataworkinggroup.com/schemas/regions/ Regions": _REGIONS,
    "http://ns.microsoft.com/photo/1.2/ RegionInfo": _REGIONS,
    "http://iptc.org/std/Iptc4xmpExt/2008-02-29/ ImageRegion": _REGIONS,
    f"{_EXIF} SubjectArea": _UNSTATED,
    f"{_EXIF} SubjectLocation": _UNSTATED,
}
_EXCHANGED = [  # where the picture is turned
    (f"{_TIFF} XResolution", f"{_TIFF} YResolution"),
    (f"{_EXIF} FocalPlaneXResolution", f"{_EXIF} FocalPlaneYResolution"),
]
_ATTRIBUTE = re.compile(rb"\s+([^\s=/>]+)\s*=\s*(\"[^\"]*\"|'[^']*')")
_TAG_NAME = re.compile(rb"<[^\s/>]+")
_SEMANTIC = _GOOGLE + "container/item/ Semantic"


@dataclass(frozen=True, slots=True)
class Xmp:
    """An XMP packet, empty if it cannot be read, and names of what was dropped that the reader may miss."""

    packet: bytes
    dropped: tuple[str, ...] = ()


def xmp_of_result(packet: bytes, width_px: int, height_px: int, orientation: int) -> Xmp:
    """Returns a packet that is true of upright sRGB pixels alone; all other bytes of it stay as they are.

    Sizes, orientation and colour space are set where the packet gives any. Properties that refer to bytes which the
    result does not have, thumbnails, and descriptions of the original's samples are removed.

    Args:
        packet: The packet, UTF-8.
        width_px: Width of the result.
        height_px: Height of the result.
        orientation: Orientation that was applied, 1..8.
    """
    packet = packet.rstrip(b"\0")
    if not packet:
        return Xmp(b"")
    values = {
        f"{_TIFF} Orientation": b"1",
        f"{_TIFF} ImageWidth": b"%d" % width_px,
        f"{_TIFF} ImageLength": b"%d" % height_px,
        f"{_EXIF} PixelXDimension": b"%d" % width_px,
        f"{_EXIF} PixelYDimension": b"%d" % height_px,
        f"{_EXIF} ColorSpace": b"1",
        f"{_EXIF_EX} InteroperabilityIndex": b"R98",
        f"{_PHOTOSHOP} ColorMode": b"3",
        f"{_PHOTOSHOP} ICCProfile": b"sRGB IEC61966-2.1",
    }
    regions = {} if orientation == 1 else _REGION_PROPERTIES
    try:
        editor = _Editor(packet, values, {**_PROPERTIES, **regions})
        return editor.rewritten(exchange=orientation in TRANSPOSED)
    except (expat.ExpatError, _NotAPacketError):
        return Xmp(b"", ("XMP that is not well-formed",))


class _NotAPacketError(Exception):
    """The XML has what no packet has, such as a document type with entities."""


@dataclass(frozen=True, slots=True)
class _Span:
    """Positions of some bytes of the packet."""

    start: int
    end: int


@dataclass(slots=True)
class _Property:
    """An element that is a property: name, depth, where it and its content start, and whether it is plain text."""

    name: str
    depth: int
    start: int
    content: int
    is_plain: bool


@dataclass(slots=True)
class _Found:
    """What a pass over the packet finds.

    Attributes:
        edits: Bytes to exchange, and by what.
        values: Values of the properties to set or exchange.
        declared: Declarations of namespaces outside of what is removed.
        used: Namespaces that are used outside of what is removed.
        unused: Namespaces of what is removed.
        dropped: Names of what is dropped.
    """

    edits: list[tuple[_Span, bytes]] = field(default_factory=list)
    values: dict[str, _Span] = field(default_factory=dict)
    declared: list[tuple[_Span, str]] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    unused: set[str] = field(default_factory=lambda: set(_NAMESPACES))
    dropped: dict[str, None] = field(default_factory=dict)


class _Editor:
    """Follows the elements of a packet, and notes which bytes are to be exchanged."""

    def __init__(self, packet: bytes, values: Mapping[str, bytes], properties: Mapping[str, str]) -> None:
        self._packet = packet
        self._values = values
        self._properties = properties
        self._simple = {*values, *(name for pair in _EXCHANGED for name in pair)}
        self._open: list[str] = []
        self._property: _Property | None = None
        self._found = _Found()
        self._parser = expat.ParserCreate("utf-8", " ")
        self._parser.ordered_attributes = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.StartDoctypeDeclHandler = _refuse

    def rewritten(self, *, exchange: bool) -> Xmp:
        """Returns the packet with all changes.

        Args:
            exchange: Whether horizontal and vertical resolutions change places.

        Raises:
            expat.ExpatError: The packet is not well-formed.
        """
        self._parser.Parse(self._packet, True)
        found = self._found
        edits = found.edits + [
            (found.values[name], value) for name, value in self._values.items() if name in found.values
        ]
        for across, down in _EXCHANGED if exchange else ():
            if across in found.values and down in found.values:
                edits.append((found.values[across], self._bytes(found.values[down])))
                edits.append((found.values[down], self._bytes(found.values[across])))
        unused = found.unused - found.used
        edits += [(span, b"") for span, namespace in found.declared if namespace in unused]
        return Xmp(_edited(self._packet, edits), tuple(found.dropped))

    def _bytes(self, span: _Span) -> bytes:
        return self._packet[span.start : span.end]

    def _start(self, name: str, attributes: Sequence[str]) -> None:
        position = self._parser.CurrentByteIndex
        self._open.append(name)
        named = dict(zip(attributes[::2], attributes[1::2], strict=True))
        if self._property is not None:
            self._property.is_plain = False
            if _is_removed(self._property.name, self._properties):
                self._drop_item(name, named)
                return
        tag = _Tag(self._packet, position)
        is_property = self._property is None and self._open[-3:-2] == [_RDF]
        if is_property:
            self._property = _Property(name, len(self._open), position, tag.end, is_plain=not named)
            if _is_removed(name, self._properties):
                self._drop(name)
                self._drop_item(name, named)
                return
        self._use(name)
        self._read_attributes(tag, list(named), is_node=self._open[-2:-1] == [_RDF])

    def _read_attributes(self, tag: "_Tag", names: Sequence[str], *, is_node: bool) -> None:
        """Notes what is to become of attributes; those of a node, such as `rdf:Description`, are properties."""
        names_left = iter(names)
        for written, whole, value in tag.attributes():
            if written.startswith(b"xmlns"):
                self._found.declared.append((whole, self._bytes(value).decode()))
                continue
            name = next(names_left)
            if is_node and _is_removed(name, self._properties):
                self._drop(name)
                self._found.edits.append((whole, b""))
                continue
            self._use(name)
            if is_node and name in self._simple:
                self._found.values[name] = value

    def _end(self, name: str) -> None:
        position = self._parser.CurrentByteIndex
        current = self._property
        depth = len(self._open)
        self._open.pop()
        if current is None or depth != current.depth:
            return
        self._property = None
        is_empty = self._packet[current.content - 2 : current.content] == b"/>"  # expat is behind it then
        end = position if is_empty else self._packet.index(b">", position) + 1
        is_known = current.name in self._simple
        if _is_removed(name, self._properties) or (is_known and not current.is_plain):
            self._found.edits.append((_Span(current.start, end), b""))
        elif is_known and position > current.content:
            self._found.values[current.name] = _Span(current.content, position)

    def _use(self, name: str) -> None:
        self._found.used.add(_namespace(name))

    def _drop(self, name: str) -> None:
        self._found.unused.add(_namespace(name))
        self._tell(_meaning(name, self._properties))

    def _drop_item(self, name: str, attributes: Mapping[str, str]) -> None:
        """Notes an element of what is removed; the meaning of an item of Google's is an attribute or an element."""
        self._found.unused.update(_namespace(some) for some in (name, *attributes))
        self._tell(_SEMANTICS.get(attributes.get(_SEMANTIC, ""), _UNSTATED))
        if name == _SEMANTIC:
            start = _Tag(self._packet, self._parser.CurrentByteIndex).end
            text = self._packet[start : self._packet.find(b"<", start)].decode(errors="replace")
            self._tell(_SEMANTICS.get(text.strip(), _UNSTATED))

    def _tell(self, meaning: str | None) -> None:
        if meaning:
            self._found.dropped[meaning] = None


class _Tag:
    """A start tag, of which expat has said that it is well-formed."""

    def __init__(self, packet: bytes, position: int) -> None:
        name = _TAG_NAME.match(packet, position)
        assert name is not None
        self._found: list[re.Match[bytes]] = []
        end = name.end()
        while found := _ATTRIBUTE.match(packet, end):
            self._found.append(found)
            end = found.end()
        self.end = packet.index(b">", end) + 1

    def attributes(self) -> list[tuple[bytes, _Span, _Span]]:
        """Returns the name of each attribute as written, where it stands, and where its value stands."""
        return [
            (found[1], _Span(found.start(), found.end()), _Span(found.start(2) + 1, found.end(2) - 1))
            for found in self._found
        ]


def _is_removed(name: str, properties: Mapping[str, str]) -> bool:
    return _meaning(name, properties) is not None


def _meaning(name: str, properties: Mapping[str, str]) -> str | None:
    """Returns what a property stands for that is removed: its name, empty if nothing is lost; None if it is kept."""
    namespace, _, local = name.rpartition(" ")
    if namespace in _MAKERS and _OF_VIDEO.match(local):
        return MOTION_PHOTO
    return _NAMESPACES.get(namespace, properties.get(name))


def _namespace(name: str) -> str:
    return name.rpartition(" ")[0]


def _refuse(*_: object) -> None:
    raise _NotAPacketError


def _edited(packet: bytes, edits: Sequence[tuple[_Span, bytes]]) -> bytes:
    parts, position = [], 0
    for span, new in sorted(edits, key=lambda edit: edit[0].start):
        parts += [packet[position : span.start], new]
        position = span.end
    return b"".join((*parts, packet[position:]))
