"""What an AVIF or HEIC file says about its photo in its boxes (ISO/IEC 23008-12), where decoders do not tell.

A file may hold further images, such as a gain map with its own colours; only the primary one counts here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

HDR = {16: "PQ", 18: "HLG"}
"""Transfer characteristics of ITU-T H.273 under which white is not the brightest colour."""

DISPLAY_P3 = 12
SRGB = (1, 2)
"""Colour primaries of ITU-T H.273: those of BT.709, or unspecified."""


def primary_properties(data: bytes) -> dict[bytes, bytes]:
    """The primary image's properties by box type, ``colr`` by its subtype; empty if the boxes are damaged."""
    try:
        meta = dict(_boxes(data))[b"meta"]
        inside = dict(_boxes(meta, 4))
        pitm, iprp = inside[b"pitm"], dict(_boxes(inside[b"iprp"]))
        (primary,) = struct.unpack_from(">H" if pitm[0] == 0 else ">I", pitm, 4)
        properties = list(_boxes(iprp[b"ipco"]))
        chosen = [properties[index - 1] for index in _associated(iprp[b"ipma"], primary) if index]
        decoders = {kind: payload for kind, payload in properties[::-1] if kind in (b"hvcC", b"av1C")}
        own = {payload[:4] if kind == b"colr" else kind: payload for kind, payload in chosen}
        return decoders | own  # a photo put together from tiles has no decoder of its own
    except (KeyError, IndexError, struct.error):
        return {}


def bits_per_channel(properties: dict[bytes, bytes]) -> int:
    """8, 10 or 12, by the box for it or, where that is missing, by the decoder's settings; else 8."""
    if pixi := properties.get(b"pixi", b"")[5:]:
        return max(pixi)
    if len(hevc := properties.get(b"hvcC", b"")) > 17:
        return 8 + (hevc[17] & 7)
    av1 = properties.get(b"av1C", bytes(3)).ljust(3, b"\0")[2]
    return 8 + (2 if av1 & 0x40 else 0) + (2 if av1 & 0x20 else 0)


def with_long_head(data: bytes, length: int) -> bytes:
    """The same file with so many bytes more of brands at its beginning, a multiple of four.

    Raises:
        KeyError, IndexError, OverflowError: its boxes are damaged.
    """
    ftyp = dict(_boxes(data))[b"ftyp"]
    iloc = dict(_boxes(dict(_boxes(data))[b"meta"], 4))[b"iloc"]
    head = struct.pack(">I4s", 8 + len(ftyp) + length, b"ftyp") + ftyp + ftyp[:4] * (length // 4)
    return head + data[8 + len(ftyp) :].replace(iloc, _moved(iloc, length), 1)


def _moved(iloc: bytes, distance: int) -> bytes:
    """The box of all images' places in the file, ``distance`` bytes on (ISO/IEC 14496-12, section 8.11.3)."""
    version, (offset_size, length_size, base_size, index_size) = iloc[0], _halves(iloc[4:6])
    wide, moved, position = 4 if version == 2 else 2, bytearray(iloc), 6

    def take(size: int, add: int = 0) -> int:
        nonlocal position
        field = slice(position, position + size)
        if field.stop > len(moved):
            raise IndexError("a box ends too early")
        value = int.from_bytes(moved[field], "big")
        if add:
            moved[field] = (value + add).to_bytes(size, "big")
        position += size
        return value

    for _ in range(take(wide)):
        take(wide)
        in_file = not version or take(2) & 15 == 0
        take(2)
        take(base_size, distance if in_file and base_size else 0)
        for _ in range(take(2)):
            take(index_size if version else 0)
            take(offset_size, distance if in_file and not base_size else 0)
            take(length_size)
    return bytes(moved)


def _halves(data: bytes) -> list[int]:
    """The upper and the lower four bits of each byte."""
    return [half for byte in data for half in (byte >> 4, byte & 15)]


def named_colours(properties: dict[bytes, bytes]) -> tuple[int, int]:
    """Colour primaries and transfer characteristics by their numbers in ITU-T H.273; 2 is unspecified."""
    colour = properties.get(b"nclx", b"")
    if len(colour) < 8:
        return 2, 2
    primaries, transfer = struct.unpack_from(">HH", colour, 4)
    return int(primaries), int(transfer)


def _boxes(data: bytes, position: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """Type and content of one box after the other."""
    while position + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        header = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, position + 8)
            header = 16
        end = position + size if size else len(data)
        if end < position + header:
            return
        yield kind, data[position + header : end]
        position = end


def _associated(ipma: bytes, item: int) -> list[int]:
    """Numbers of the properties of ``item``, counted from one."""
    wide_item, wide_index = ipma[0] > 0, ipma[3] & 1
    (entries,) = struct.unpack_from(">I", ipma, 4)
    position = 8
    for _ in range(entries):
        (number,) = struct.unpack_from(">I" if wide_item else ">H", ipma, position)
        position += 4 if wide_item else 2
        count = ipma[position]
        indices = struct.unpack_from(f">{count}{'H' if wide_index else 'B'}", ipma, position + 1)
        if number == item:
            return [index & (0x7FFF if wide_index else 0x7F) for index in indices]
        position += 1 + count * (2 if wide_index else 1)
    return []
