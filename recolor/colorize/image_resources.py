"""Photoshop's image resources, which hold IPTC: read from a JPEG, TIFF or PNG, and made true of the coloured file.

Adobe Photoshop File Formats Specification, "Image Resources Section". A resource is `8BIM`, its number, its name, and
its content, the latter two of even length.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

IPTC = 0x0404
_SEGMENT = b"Photoshop 3.0\0"  # the beginning of each APP13 segment of a JPEG that holds some
_SIGNATURES = (b"8BIM", b"MeSa", b"AgHg", b"PHUT", b"DCSR")
_RESOLUTION = 0x03ED
_RESOLUTION_BYTES = 16
# Thumbnails, and copies of what is written elsewhere: the ICC profile, EXIF (in two parts) and XMP.
_STALE = frozenset({0x0409, 0x040C, 0x040F, 0x0422, 0x0423, 0x0424})


@dataclass(frozen=True, slots=True)
class _Resource:
    """Signature, number, name as stored, and content."""

    signature: bytes
    number: int
    name: bytes
    content: bytes

    def to_bytes(self) -> bytes:
        padding = b"\0" * (len(self.content) % 2)
        return self.signature + struct.pack(">H", self.number) + self.name + _with_length(self.content) + padding


def resources_of_result(resources: bytes, *, turned: bool) -> bytes:
    """Returns the resources that are true of the coloured file: without thumbnails and copies of other metadata.

    Args:
        resources: The resources, one after the other. They end where one cannot be read.
        turned: Whether width and height changed places, and so the resolutions.
    """
    kept = (resource for resource in _resources(resources) if resource.number not in _STALE)
    return b"".join((_turned(resource) if turned else resource).to_bytes() for resource in kept)


def iptc(resources: bytes) -> bytes:
    """Returns the IPTC data among resources, or nothing."""
    return next((resource.content for resource in _resources(resources) if resource.number == IPTC), b"")


def resource_of_iptc(data: bytes) -> bytes:
    """Returns IPTC data, such as a tag of a TIFF, as a resource."""
    return _Resource(b"8BIM", IPTC, b"\0\0", data).to_bytes()


def from_segments(bodies: Sequence[bytes]) -> bytes:
    """Returns the resources of a JPEG's APP13 segments; one may begin in a segment and end in the next."""
    return b"".join(body.removeprefix(_SEGMENT) for body in bodies if body.startswith(_SEGMENT))


def to_segments(resources: bytes, most_bytes: int) -> Iterator[bytes]:
    """Yields the bodies of APP13 segments, at most `most_bytes` of resources in each."""
    for start in range(0, len(resources), most_bytes):
        yield _SEGMENT + resources[start : start + most_bytes]


def _resources(data: bytes) -> Iterator[_Resource]:
    position = 0
    while data[position : position + 4] in _SIGNATURES and position + 7 <= len(data):
        named = position + 6
        sized = named + (data[named] + 2) // 2 * 2
        start = sized + 4
        end = start + int.from_bytes(data[sized:start])
        if start > len(data) or end > len(data):
            return
        number = int.from_bytes(data[position + 4 : named])
        yield _Resource(data[position : position + 4], number, data[named:sized], data[start:end])
        position = end + (end - start) % 2


def _turned(resource: _Resource) -> _Resource:
    """Exchanges the horizontal and vertical resolution: number and unit of each, and the unit of the side."""
    content = resource.content
    if resource.number != _RESOLUTION or len(content) != _RESOLUTION_BYTES:
        return resource
    half = _RESOLUTION_BYTES // 2
    return _Resource(resource.signature, resource.number, resource.name, content[half:] + content[:half])


def _with_length(content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + content
