"""Whether the entropy-coded blocks of a sequential JPEG are all there (ITU-T T.81, annexes F.2.2 and C).

Follows the codes without decoding a pixel. It takes two seconds a megabyte, and serves the few files that the strict
decoder has no name for.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, repeat

from recolor.errors import ImageError
from recolor.images.jpeg_header import Header, Scan, scans

_TABLES, _RESTART_INTERVAL, _FILL = 0xC4, 0xDD, 0xFF
_WITHOUT_BODY = (0x01, *range(0xD0, 0xD8))
_RESTART = re.compile(rb"\xff+([\xd0-\xd7])")
_LONGEST_BITS = 16  # of a code
_REFILL_BYTES = 8
_COEFFICIENTS = 64
_ZERO_RUN = 15  # with no bits that follow: 16 zeros
_Table = list[int]  # by the next 16 bits: length of the code << 8 | what it stands for; 0 if there is no such code
_Block = tuple[_Table, _Table]  # of the first coefficient, and of the others


@dataclass(slots=True)
class _State:
    """Tables by class and number, and the number of MCUs between restart markers (0: there are none)."""

    tables: dict[int, _Table] = field(default_factory=dict)
    interval: int = 0


def check_blocks(data: bytes, header: Header) -> None:
    """Follows all codes of a sequential JPEG whose end is marked.

    Raises:
        ImageError: `truncated` if blocks are missing, `bad_entropy_data` if a code is none or bytes are left.
    """
    state, position, seen = _State(), 2, set()
    for scan in scans(data, header.scan):
        for marker, body in _segments(data, position, scan.marker):
            _read(state, marker, body)
        seen |= set(_components(data, scan))
        _check_scan(data, header, scan, state)
        position = scan.end
    if len(seen) < header.components:
        raise ImageError("truncated", f"scans of {len(seen)} of {header.components} components")


def _segments(data: bytes, position: int, end: int) -> Iterator[tuple[int, bytes]]:
    while position < end:
        marker = data[position + 1]
        if marker == _FILL or marker in _WITHOUT_BODY:
            position += 1 if marker == _FILL else 2
            continue
        length = max(2, int.from_bytes(data[position + 2 : position + 4]))
        yield marker, data[position + 4 : position + 2 + length]
        position += 2 + length


def _read(state: _State, marker: int, body: bytes) -> None:
    """Keeps what a segment says of the scans that follow."""
    if marker == _RESTART_INTERVAL:
        state.interval = int.from_bytes(body[:2])
    while marker == _TABLES and len(body) > _LONGEST_BITS:
        counts = body[1 : 1 + _LONGEST_BITS]
        size = 1 + _LONGEST_BITS + sum(counts)
        state.tables[body[0]] = _table(counts, body[1 + _LONGEST_BITS : size])
        body = body[size:]


def _table(counts: bytes, symbols: bytes) -> _Table:
    """Returns the codes of a table (C.2): counted up, and one bit longer for each length."""
    entries: _Table = []
    rest = iter(symbols)
    for length, count in enumerate(counts, 1):
        for _ in range(count):
            entries += [length << 8 | next(rest, 0)] * (1 << _LONGEST_BITS - length)
    if len(entries) > 1 << _LONGEST_BITS:
        raise ImageError("bad_entropy_data", "a Huffman table of more codes than there are")
    return entries + [0] * ((1 << _LONGEST_BITS) - len(entries))


def _components(data: bytes, scan: Scan) -> dict[int, int]:
    """Returns the components of a scan, and the byte that says their tables."""
    count = data[scan.marker + 4]
    body = data[scan.marker + 5 : scan.marker + 5 + 2 * count]
    return dict(zip(body[::2], body[1::2], strict=True))


def _check_scan(data: bytes, header: Header, scan: Scan, state: _State) -> None:
    """Follows a scan, from restart marker to restart marker."""
    units, blocks = _units(data, header, scan, state)
    coded = _RESTART.split(data[scan.start : scan.end])
    parts, restarts = coded[::2], coded[1::2]
    interval = state.interval or units
    if len(parts) != -(-units // interval) or any(mark[0] & 7 != n & 7 for n, mark in enumerate(restarts)):
        said = f"{len(restarts)} restart markers, or others than in their order, in {units} MCUs of {interval}"
        raise ImageError("bad_entropy_data", said)
    for number, part in enumerate(parts):
        stuffed = part.rstrip(b"\xff")  # fill bytes in front of a marker
        if stuffed.count(b"\xff") != stuffed.count(b"\xff\0"):
            raise ImageError("bad_entropy_data", "a marker between the codes")
        _follow(stuffed.replace(b"\xff\0", b"\xff"), blocks, min(interval, units - number * interval))


def _units(data: bytes, header: Header, scan: Scan, state: _State) -> tuple[int, list[_Block]]:
    """Returns the number of MCUs of a scan, and the tables of the blocks of each (A.2)."""
    frame = data[header.frame + 6 : header.frame + 6 + 3 * header.components]
    factors = {name: (sampling >> 4, sampling & 15) for name, sampling in zip(frame[::3], frame[1::3], strict=True)}
    chosen, blocks = _components(data, scan), []
    for name, tables in chosen.items():
        first, others = state.tables.get(tables >> 4), state.tables.get(0x10 | tables & 15)
        if name not in factors or first is None or others is None:
            raise ImageError("bad_entropy_data", f"a scan of the component {name} without its tables")
        across, down = factors[name]
        blocks += [(first, others)] * (across * down if len(chosen) > 1 else 1)
    if len(chosen) > 1:
        return header.blocks_across * header.blocks_down, blocks
    across, down = factors[next(iter(chosen))]  # of the largest factors: the component's share of the picture's size
    wide = -(-header.width_px * across // header.block_width_px)
    return wide * -(-header.height_px * down // header.block_height_px), blocks


def _follow(coded: bytes, blocks: list[_Block], units: int) -> None:
    """Follows the codes of MCUs, whose last byte is filled up."""
    buffer, bits, position, size_bits = 0, 0, 0, 8 * len(coded)
    for first, others in chain.from_iterable(repeat(blocks, units)):
        table, k = first, 0
        while k < _COEFFICIENTS:
            if bits < 2 * _LONGEST_BITS:
                refill = int.from_bytes(coded[position : position + _REFILL_BYTES].ljust(_REFILL_BYTES, b"\xff"))
                buffer = (buffer & (1 << bits) - 1) << 8 * _REFILL_BYTES | refill
                bits += 8 * _REFILL_BYTES
                position += _REFILL_BYTES
            entry = table[buffer >> bits - _LONGEST_BITS & 0xFFFF]
            run, size = entry >> 4 & 15, entry & 15
            bits -= (entry >> 8) + size
            if not entry or (k == 0 and run):
                raise _no_code(size_bits - (8 * position - bits))
            if k == 0:
                table, k = others, 1
            elif size or run == _ZERO_RUN:
                k += run + 1
            else:
                break
        if k > _COEFFICIENTS:
            raise ImageError("bad_entropy_data", f"a block of {k} coefficients")
        if 8 * position - bits > size_bits:
            raise ImageError("truncated", "the codes end before the last block")
    if left_bytes := (size_bits - (8 * position - bits)) // 8:
        raise ImageError("bad_entropy_data", f"{left_bytes} bytes behind the last block")


def _no_code(left_bits: int) -> ImageError:
    """Returns that the codes end, if no more than the fill of the last byte is left, or that they are damaged."""
    if left_bits < 8:
        return ImageError("truncated", "the codes end before the last block")
    return ImageError("bad_entropy_data", "a code stands for nothing")
