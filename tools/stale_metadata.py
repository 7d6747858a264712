"""Photographs whose metadata would not be true of their coloured version, and what Recolor makes of it.

`python tools/stale_metadata.py` prints the table of docs/colouring.md. The files are made here, with the markers and
names that phones and programs write; the pictures are tiny.
"""

import io
import re
import struct
import warnings
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pillow_heif
from PIL import Image

from recolor.color.gamut import join
from recolor.colorize.encode import Format, encode
from recolor.colorize.photo import read_photo
from recolor.colorize.plan import FORMATS
from recolor.config.settings import MeasureConfig
from recolor.images.jpeg_header import read_header, scans

WIDTH_PX, HEIGHT_PX = 24, 16  # as stored; Orientation 6 turns it
GREY = Image.fromarray(np.linspace(40, 200, WIDTH_PX * HEIGHT_PX).reshape(HEIGHT_PX, WIDTH_PX).astype(np.uint8))
MP4 = b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + b"\0\0\0\x40mdat" + bytes(range(56))
IPTC = b"\x1c\x02\x69\0\x09Half Dome"
_NAMESPACES = {
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "xmpNote": "http://ns.adobe.com/xmp/note/",
    "GCamera": "http://ns.google.com/photos/1.0/camera/",
    "Container": "http://ns.google.com/photos/1.0/container/",
    "Item": "http://ns.google.com/photos/1.0/container/item/",
    "GDepth": "http://ns.google.com/photos/1.0/depthmap/",
    "hdrgm": "http://ns.adobe.com/hdr-gain-map/1.0/",
    "HDRGainMap": "http://ns.apple.com/HDRGainMap/1.0/",
    "mwg-rs": "http://www.metadataworkinggroup.com/schemas/regions/",
}
_SIZES = f'tiff:ImageWidth="{WIDTH_PX}" tiff:ImageLength="{HEIGHT_PX}" exif:PixelXDimension="{WIDTH_PX}"'
_SIZES += f' exif:PixelYDimension="{HEIGHT_PX}"'


def packet(attributes: str = "", elements: str = "") -> bytes:
    """An XMP packet of the namespaces that it uses."""
    used = [f'xmlns:{name}="{uri}"' for name, uri in _NAMESPACES.items() if f"{name}:" in attributes + elements]
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF'
        f' xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n <rdf:Description rdf:about="" {" ".join(used)}'
        f' {attributes}>{elements}</rdf:Description></rdf:RDF></x:xmpmeta>\n{" " * 64}\n<?xpacket end="w"?>'
    ).encode()


def container(*items: tuple[str, str, int]) -> str:
    """Google's list of the items of a file: type, meaning and length."""
    listed = "".join(
        f'<rdf:li rdf:parseType="Resource"><Container:Item Item:Mime="{mime}" Item:Semantic="{what}"'
        f' Item:Length="{length}"/></rdf:li>'
        for mime, what, length in items
    )
    return f"<Container:Directory><rdf:Seq>{listed}</rdf:Seq></Container:Directory>"


def exif(orientation: int = 6, *, adobe_rgb: bool = False, interoperability: bool = True) -> bytes:
    """An EXIF block with sizes, and a description of the samples as editors copy it from a TIFF."""
    made = Image.Exif()
    made[0x010F], made[0x0112] = "Maker", orientation
    made[0x0100], made[0x0101] = WIDTH_PX, HEIGHT_PX
    made[0x0106] = 1  # PhotometricInterpretation
    inner = made.get_ifd(0x8769)
    inner[0xA002], inner[0xA003], inner[0xA001] = WIDTH_PX, HEIGHT_PX, 65535 if adobe_rgb else 1
    inner[0x829A] = 0.25
    if interoperability:
        inner[0xA005] = {1: "R03" if adobe_rgb else "R98"}
    return made.tobytes() + bytes(4)  # no directory follows the last one


def resource(number: int, content: bytes) -> bytes:
    """One of Photoshop's image resources."""
    padding = b"\0" * (len(content) % 2)
    return b"8BIM" + struct.pack(">HHI", number, 0, len(content)) + content + padding


def jpeg(picture: Image.Image = GREY, *, segments: Mapping[int, bytes] | None = None, **options: object) -> bytes:
    """A JPEG with segments of its own behind the others, by marker."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90, **options)
    data = buffer.getvalue()
    end = 4 + int.from_bytes(data[4:6])
    own = [bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body for marker, body in (segments or {}).items()]
    return data[:end] + b"".join(own) + data[end:]


def _motion_photo() -> bytes:
    listed = container(("image/jpeg", "Primary", 0), ("video/mp4", "MotionPhoto", len(MP4)))
    xmp = packet('GCamera:MotionPhoto="1" GCamera:MotionPhotoVersion="1" ' + _SIZES, listed)
    return jpeg(exif=exif(), xmp=xmp) + MP4


def _micro_video() -> bytes:
    said = f'GCamera:MicroVideo="1" GCamera:MicroVideoVersion="1" GCamera:MicroVideoOffset="{len(MP4)}"'
    return jpeg(xmp=packet(f'{said} GCamera:BurstID="7" ' + _SIZES)) + MP4


def _samsung_video() -> bytes:
    video = b"\0\0\x30\x0a\x10\0\0\0MotionPhoto_Data" + MP4
    directory = b"SEFH" + struct.pack("<IIHHII", 107, 1, 0, 0x0A30, len(video), len(video))
    return jpeg(exif=exif()) + video + directory + struct.pack("<I", len(directory)) + b"SEFT"


def _ultra_hdr() -> bytes:
    gain_map = jpeg(GREY.resize((6, 4)), xmp=packet('hdrgm:Version="1.0" hdrgm:GainMapMax="2.3"'))
    listed = container(("image/jpeg", "Primary", 0), ("image/jpeg", "GainMap", len(gain_map)))
    return jpeg(xmp=packet('hdrgm:Version="1.0"', listed), segments={0xE2: b"MPF\0II*\0\x08\0\0\0\0\0"}) + gain_map


def _apple_hdr() -> bytes:
    kind = b"<apdi:AuxiliaryImageType>urn:com:apple:photo:2020:aux:hdrgainmap</apdi:AuxiliaryImageType>"
    gain_map = jpeg(GREY.resize((6, 4)), segments={0xE1: b"http://ns.adobe.com/xap/1.0/\0" + kind})
    xmp = packet('HDRGainMap:HDRGainMapVersion="65536"')
    return jpeg(exif=exif(), xmp=xmp, segments={0xE2: b"MPF\0MM\0*\0\0\0\x08\0\0"}) + gain_map


def _depth_map() -> bytes:
    xmp = packet(f'GDepth:Format="RangeInverse" GDepth:Mime="image/png" xmpNote:HasExtendedXMP="{"0A" * 16}" {_SIZES}')
    more = b"http://ns.adobe.com/xmp/extension/\0" + b"0A" * 16 + struct.pack(">II", 9, 0) + b"GDepth:Da"
    return jpeg(xmp=xmp, segments={0xE1: more})


def _stereo() -> bytes:
    return jpeg(segments={0xE2: b"MPF\0II*\0\x08\0\0\0\0\0"}) + jpeg()


def _photoshop() -> bytes:
    resources = (
        resource(0x0404, IPTC) + resource(0x040C, b"\0" * 28 + jpeg(GREY.resize((6, 4)))) + resource(0x0425, b"d" * 16)
    )
    thumbnails = '<xmp:Thumbnails><rdf:Alt><rdf:li rdf:parseType="Resource"/></rdf:Alt></xmp:Thumbnails>'
    more = f'photoshop:ColorMode="1" photoshop:ICCProfile="Dot Gain 20%" tiff:Orientation="6" {_SIZES}'
    xmp = packet(more, f"<dc:source>plate 17</dc:source><tiff:SamplesPerPixel>1</tiff:SamplesPerPixel>{thumbnails}")
    return jpeg(exif=exif(), xmp=xmp, segments={0xED: b"Photoshop 3.0\0" + resources})


def _faces() -> bytes:
    faces = '<mwg-rs:Regions rdf:parseType="Resource"><mwg-rs:RegionList/></mwg-rs:Regions>'
    return jpeg(exif=exif(), xmp=packet('tiff:Orientation="6" dc:source="plate 17"', faces))


def _imagemagick() -> bytes:
    texts = {
        "exif:PixelXDimension": str(WIDTH_PX),
        "exif:Orientation": "6",
        "Thumb::Image::Width": "99",
        "Title": "Dome",
    }
    chunks = [(b"tEXt", f"{name}\0{value}".encode()) for name, value in texts.items()]
    for name, profile in {"exif": exif(), "iptc": resource(0x0404, IPTC), "xmp": packet(_SIZES)}.items():
        raw = b"\n%b\n%8d\n%b\n" % (name.encode(), len(profile), profile.hex().encode())
        chunks.append((b"zTXt", b"Raw profile type " + name.encode() + b"\0\0" + zlib.compress(raw)))
    return png(*chunks)


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG with chunks of its own behind the pixels."""
    buffer = io.BytesIO()
    GREY.save(buffer, "PNG")
    data = buffer.getvalue()
    own = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    return data[:-12] + b"".join(own) + data[-12:]


def _tiff() -> bytes:
    tags = Image.Exif()
    tags.load(exif(interoperability=False))  # Pillow writes a wrong offset of it into a TIFF
    tags[700] = packet('tiff:Orientation="6" ' + _SIZES)
    tags[33723], tags[34377] = IPTC, resource(0x040C, b"\0" * 28 + b"\xff\xd8\xff")
    buffer = io.BytesIO()
    GREY.save(buffer, "TIFF", exif=tags.tobytes())
    return buffer.getvalue()


def _webp() -> bytes:
    buffer = io.BytesIO()
    GREY.save(buffer, "WEBP", exif=exif(), xmp=packet('tiff:Orientation="6" ' + _SIZES))
    return buffer.getvalue()


def _avif() -> bytes:
    buffer = io.BytesIO()
    GREY.save(buffer, "AVIF", exif=exif(), xmp=packet('tiff:Orientation="6" ' + _SIZES))
    return buffer.getvalue()


def _heic() -> bytes:
    buffer = io.BytesIO()
    large = GREY.convert("RGB").resize((4 * WIDTH_PX, 4 * HEIGHT_PX))
    faces = '<mwg-rs:Regions rdf:parseType="Resource"><mwg-rs:RegionList/></mwg-rs:Regions>'
    pillow_heif.from_pillow(large).save(buffer, exif=exif(), xmp=packet(_SIZES, faces))
    return buffer.getvalue() + struct.pack(">I", 8 + len(MP4)) + b"mpvd" + MP4


CASES: Mapping[str, Callable[[], bytes]] = {
    "turned portrait, Adobe RGB": lambda: jpeg(
        exif=exif(adobe_rgb=True), xmp=packet(_SIZES + ' exif:ColorSpace="65535"')
    ),
    "motion photo (Google)": _motion_photo,
    "motion photo (MicroVideo)": _micro_video,
    "motion photo (Samsung)": _samsung_video,
    "gain map (Ultra HDR)": _ultra_hdr,
    "gain map (Apple)": _apple_hdr,
    "depth map, extended XMP": _depth_map,
    "stereo pair (MPF)": _stereo,
    "saved by Photoshop": _photoshop,
    "faces marked": _faces,
    "PNG of ImageMagick": _imagemagick,
    "TIFF": _tiff,
    "WebP": _webp,
    "AVIF": _avif,
    "HEIC with a video and faces": _heic,
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What a file says of itself: by EXIF, by XMP's properties, by others; and the size of its picture."""

    size_px: tuple[int, int]
    exif: Mapping[str, object]
    xmp: Mapping[str, str]
    others: tuple[str, ...]

    @property
    def stated_sizes_px(self) -> set[tuple[int, int]]:
        """Sizes of the picture as EXIF and XMP give them."""
        stated = {**self.exif, **self.xmp}
        pairs = [(stated.get(across), stated.get(down)) for across, down in _SIDES]
        return {(int(str(across)), int(str(down))) for across, down in pairs if across is not None}

    @property
    def words(self) -> list[str]:
        """All of it, in a few words each."""
        sides = {name for pair in _SIDES for name in pair}
        named = [f"{name} {value}".strip() for name, value in {**self.exif, **self.xmp}.items() if name not in sides]
        return [f"{width}x{height}" for width, height in sorted(self.stated_sizes_px)] + named + list(self.others)


_SIDES = [
    ("ImageWidth", "ImageLength"),
    ("PixelXDimension", "PixelYDimension"),
    ("tiff:ImageWidth", "tiff:ImageLength"),
    ("exif:PixelXDimension", "exif:PixelYDimension"),
]
_EXIF_NAMES = {0x0100: "ImageWidth", 0x0101: "ImageLength", 0x0106: "PhotometricInterpretation", 0x0112: "Orientation"}
_INNER_NAMES = {0xA001: "ColorSpace", 0xA002: "PixelXDimension", 0xA003: "PixelYDimension"}
_PROPERTY = re.compile(rb"([\w-]+:\w+)(?:=\"([^\"]*)\"|>([^<]*)<)")


def read_facts(data: bytes) -> Facts:
    """Reads a file with Pillow, and with a search for markers."""
    with warnings.catch_warnings(action="ignore"):  # Pillow finds no picture in the index of further ones
        is_heif = data[4:8] == b"ftyp" and b"avif" not in data[:32]
        with pillow_heif.HeifImageFile(io.BytesIO(data)) if is_heif else Image.open(io.BytesIO(data)) as picture:
            picture.load()
            info, tags, size_px = dict(picture.info), picture.getexif(), picture.size
            is_tiff = picture.format == "TIFF"
    found = {name: tags[tag] for tag, name in _EXIF_NAMES.items() if tag in tags and not (is_tiff and tag != 0x0112)}
    inner = tags.get_ifd(0x8769)
    found |= {name: inner[tag] for tag, name in _INNER_NAMES.items() if tag in inner}
    found |= {"InteroperabilityIndex": index} if (index := tags.get_ifd(0xA005).get(1)) else {}
    xmp = info.get("xmp", tags.get(700, b"")) or b""
    properties = {name.decode(): (one or other).decode() for name, one, other in _PROPERTY.findall(xmp)}
    ignored = ("rdf:", "xmlns:", "Container:", "Item:", "x:", "xmp:", "mwg-rs:")
    kept = {name: value for name, value in properties.items() if not name.startswith(ignored)}
    markers = {
        "xmp:Thumbnails": b"xmp:Thumbnails" in xmp,
        "mwg-rs:Regions": b"mwg-rs:Regions" in xmp,
        "Container:Directory": b"Container:Directory" in xmp,
        "IPTC": IPTC in data or IPTC.hex().encode() in _inflated_texts(info),
        "thumbnail of Photoshop": b"8BIM\x04\x0c" in data,
        "MPF": b"MPF\0" in data,
        "extended XMP": b"http://ns.adobe.com/xmp/extension/" in data,
        "MP4": b"ftypisom" in data,
        "second JPEG": data.startswith(b"\xff\xd8\xff") and b"\xff\xd8\xff" in _behind(data),
        **{f"text {name}={value}": True for name, value in info.items() if ":" in name and isinstance(value, str)},
    }
    markers = {name: there for name, there in markers.items() if not name.startswith("text XML")}
    return Facts(size_px, found, kept, tuple(name for name, there in markers.items() if there))


def _inflated_texts(info: Mapping[object, object]) -> bytes:
    return "".join(str(value) for name, value in info.items() if str(name).startswith("Raw profile")).encode()


def _behind(data: bytes) -> bytes:
    return data[max(scan.end for scan in scans(data, read_header(data).scan)) + 2 :]


def coloured(data: bytes, to: Format | None = None) -> tuple[bytes, tuple[str, ...]]:
    """Returns the file written again in grey, as a network that sees no colour would, and what was dropped."""
    photo = read_photo(data, MeasureConfig())
    own = next((known for known in FORMATS.values() if known == photo.format), "PNG")
    metadata = photo.metadata.held_by(to or own)
    rgb = join(photo.L, np.zeros((*photo.L.shape, 2), np.float32))
    return encode(rgb, photo.alpha, metadata, to or own, 90), metadata.dropped


def table() -> str:
    """Returns the table as Markdown: what changes and goes, by case."""
    lines = ["| photograph | before | after | said |", "|---|---|---|---|"]
    for name, make in CASES.items():
        before = make()
        data, dropped = coloured(before)
        was, now = read_facts(before).words, read_facts(data).words
        changed = [words for words in was if words not in now], [words for words in now if words not in was]
        shown = [", ".join(words) or "–" for words in changed]
        lines.append(f"| {name} | {shown[0]} | {shown[1]} | {', '.join(dropped) or '–'} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
