"""Files as phones write them: a photo, and beside it a gain map, a depth map or a short film.

Made from the published descriptions: Ultra HDR Image Format 1.1 and Motion Photo format 1.0 (Android),
CIPA DC-007 (multi-picture JPEG), ISO/IEC 23008-12 (HEIC), and ISO 21496-1 (gain maps).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image

APPLE_GAIN_MAP = "urn:com:apple:photo:2020:aux:hdrgainmap"
DEPTH_MAP = "urn:mpeg:mpegB:cicp:systems:auxiliary:depth"

PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 5.1.2">
  <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
    <rdf:Description rdf:about=""
      xmlns:xmp="http://ns.adobe.com/xap/1.0/"
      xmlns:dc="http://purl.org/dc/elements/1.1/"
      xmlns:Container="http://ns.google.com/photos/1.0/container/"
      xmlns:Item="http://ns.google.com/photos/1.0/container/item/"
      xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"
      xmlns:GCamera="http://ns.google.com/photos/1.0/camera/"
      xmlns:xmpNote="http://ns.adobe.com/xmp/note/"
      xmp:Rating="5"{attributes}>
      <dc:creator><rdf:Seq><rdf:li>Zoë</rdf:li></rdf:Seq></dc:creator>{elements}
    </rdf:Description>
  </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""


def packet(attributes: str = "", elements: str = "") -> bytes:
    """An XMP packet with a rating and an author, and what else is asked for."""
    return PACKET.format(attributes=attributes and "\n      " + attributes, elements=elements).encode()


def directory(*items: str) -> str:
    """The list of what lies in a phone's file."""
    rows = "".join(f'<rdf:li rdf:parseType="Resource"><Container:Item {item}/></rdf:li>' for item in items)
    return f"<Container:Directory><rdf:Seq>{rows}</rdf:Seq></Container:Directory>"


PRIMARY = 'Item:Semantic="Primary" Item:Mime="image/jpeg"'
GAIN_MAP_XMP = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 5.1.2">
  <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
    <rdf:Description xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"
      hdrgm:Version="1.0" hdrgm:GainMapMin="0" hdrgm:GainMapMax="2.3" hdrgm:Gamma="1"
      hdrgm:OffsetSDR="0.015625" hdrgm:OffsetHDR="0.015625"
      hdrgm:HDRCapacityMin="0" hdrgm:HDRCapacityMax="2.3" hdrgm:BaseRenditionIsHDR="False"/>
  </rdf:RDF>
</x:xmpmeta>"""
APPLE_GAIN_MAP_XMP = f"""<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 6.0.0">
  <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
    <rdf:Description rdf:about=""
      xmlns:apdi="http://ns.apple.com/pixeldatainfo/1.0/"
      xmlns:HDRGainMap="http://ns.apple.com/HDRGainMap/1.0/">
      <apdi:AuxiliaryImageType>{APPLE_GAIN_MAP}</apdi:AuxiliaryImageType>
      <HDRGainMap:HDRGainMapVersion>65536</HDRGainMap:HDRGainMapVersion>
    </rdf:Description>
  </rdf:RDF>
</x:xmpmeta>""".encode()
ISO_MARK = b"urn:iso:std:iso:ts:21496:-1\0"
ISO_METADATA = struct.pack(">HHB", 0, 0, 0x40) + struct.pack(">4I", 0, 1, 23, 10) + struct.pack(
    ">10I", 0, 1, 23, 10, 1, 1, 1, 64, 1, 64
)  # fmt: skip
"""Versions, flags, headrooms, and of the one channel: minimum, maximum, gamma and both offsets."""


def segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def gain_map_of(photo: np.ndarray) -> Image.Image:
    """How much brighter each second pixel becomes: a grey image of half the size."""
    return Image.fromarray(photo[::2, ::2].max(axis=2) // 2 + 64)


def ultra_hdr(photo: np.ndarray, *, xmp: bool = True, iso: bool = False, **options: object) -> bytes:
    """A JPEG of Android's: described in XMP, by ISO 21496-1, or both."""
    own = {"xmp": GAIN_MAP_XMP} if xmp else {}
    gain_map = jpeg(gain_map_of(photo), segment(0xE2, ISO_MARK + ISO_METADATA) if iso else b"", **own)
    item = f'Item:Semantic="GainMap" Item:Mime="image/jpeg" Item:Length="{len(gain_map)}"'
    claims = packet('hdrgm:Version="1.0"', directory(PRIMARY, item)) if xmp else packet()
    version_only = segment(0xE2, ISO_MARK + bytes(4)) if iso else b""
    primary = jpeg(Image.fromarray(photo), version_only, xmp=claims, **options)
    return multi_picture(primary, gain_map)


def apple_jpeg(photo: np.ndarray) -> bytes:
    """A JPEG of an iPhone: only the second image says what it is."""
    primary = jpeg(Image.fromarray(photo), xmp=packet())
    return multi_picture(primary, jpeg(gain_map_of(photo), xmp=APPLE_GAIN_MAP_XMP))


def motion_photo(photo: np.ndarray) -> bytes:
    """A JPEG of Android's with a film behind it."""
    film = struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"mp42", 0, b"isom", b"mp42") + bytes(400)
    item = f'Item:Semantic="MotionPhoto" Item:Mime="video/mp4" Item:Length="{len(film)}"'
    flags = 'GCamera:MotionPhoto="1" GCamera:MotionPhotoVersion="1" GCamera:SpecialTypeID="7"'
    return jpeg(Image.fromarray(photo), xmp=packet(flags, directory(PRIMARY, item))) + film


def portrait(photo: np.ndarray) -> bytes:
    """A JPEG of Android's with a depth map, in the part of the XMP that one segment cannot hold."""
    guid = "0123456789ABCDEF0123456789ABCDEF"
    depth = 'xmlns:GDepth="http://ns.google.com/photos/1.0/depthmap/"'
    rest = packet(f'{depth} GDepth:Data="{"iVBORw0KGgo" * 50}"')
    head = b"http://ns.adobe.com/xmp/extension/\0" + guid.encode() + struct.pack(">II", len(rest), 0)
    said = f'{depth} GDepth:Format="RangeInverse" GDepth:Near="0.2" xmpNote:HasExtendedXMP="{guid}"'
    return jpeg(Image.fromarray(photo), segment(0xE1, head + rest), xmp=packet(said))


def jpeg(image: Image.Image, segments: bytes = b"", **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=95, extra=segments, **options)
    return buffer.getvalue()


def multi_picture(first: bytes, second: bytes) -> bytes:
    """Two JPEG files, with their list (MPF): the main image, and one of undefined type, as phones say."""
    place = first.index(b"\xff\xdb")  # behind all other segments of metadata
    tags_end = 8 + 2 + 3 * 12 + 4
    length = 2 + 2 + 4 + tags_end + 2 * 16
    # Offsets count from the list's own header, eight bytes into its segment.
    entries = struct.pack(">IIIHH", 0x030000, len(first) + length, 0, 0, 0)
    entries += struct.pack(">IIIHH", 0, len(second), len(first) + length - place - 8, 0, 0)
    tags = struct.pack(">HHI4s", 0xB000, 7, 4, b"0100") + struct.pack(">HHII", 0xB001, 4, 1, 2)
    tags += struct.pack(">HHII", 0xB002, 7, len(entries), tags_end)
    listed = segment(0xE2, b"MPF\0MM\0*" + struct.pack(">IH", 8, 3) + tags + bytes(4) + entries)
    return first[:place] + listed + first[place:] + second


@dataclass
class Item:
    """One image in a HEIC or AVIF file: its type, its property boxes, and its coded bytes."""

    kind: bytes
    properties: list[bytes]
    coded: bytes


def auxiliary(data: bytes, other: bytes, urn: str) -> bytes:
    """The photo of the HEIC or AVIF file ``data``, and that of ``other`` as what ``urn`` names."""
    photo, second = _item(data), _item(other)
    second.properties.append(_box(b"auxC", bytes(4) + urn.encode() + b"\0"))
    return _file(data, [photo, second], _box(b"auxl", struct.pack(">3H", 2, 1, 1)))


def tone_mapped(data: bytes, other: bytes) -> bytes:
    """The photo of ``data`` with that of ``other`` as its gain map by ISO 21496-1."""
    photo, second = _item(data), _item(other)
    tone_map = Item(b"tmap", [p for p in photo.properties if p[4:8] == b"ispe"], b"\0" + ISO_METADATA)
    return _file(data, [photo, second, tone_map], _box(b"dimg", struct.pack(">4H", 3, 2, 1, 2)), b"tmap")


def tiled(left: bytes, right: bytes, width: int, height: int) -> bytes:
    """A photo put together from those of two HEIC or AVIF files and cropped, as iPhones store theirs."""
    tiles = [_item(left), _item(right)]
    size = _box(b"ispe", bytes(4) + struct.pack(">II", width, height))
    shared = [prop for prop in tiles[0].properties if prop[4:8] in (b"colr", b"pixi")]
    grid = Item(b"grid", [size, *shared], struct.pack(">4BHH", 0, 0, 0, 1, width, height))
    return _file(left, [grid, *tiles], _box(b"dimg", struct.pack(">4H", 1, 2, 2, 3)))


def rotation(quarters: int) -> bytes:
    """So many quarter turns against the clock, in HEIC's and AVIF's own words."""
    return _box(b"irot", bytes([quarters]))


def with_exif(data: bytes, exif: bytes, *properties: bytes) -> bytes:
    """The photo of a HEIC or AVIF file with EXIF behind the pixels, where libheif puts it."""
    photo = _item(data)
    photo.properties += properties
    described = Item(b"Exif", [], bytes(4) + exif.removeprefix(b"Exif\0\0"))
    return _file(data, [photo, described], _box(b"cdsc", struct.pack(">3H", 2, 1, 1)))


def with_gap(data: bytes, length: int) -> bytes:
    """The photo of a HEIC or AVIF file with unused bytes near its beginning."""
    return _file(data, [_item(data)], b"", gap=length)


def without_property(data: bytes, kind: bytes) -> bytes:
    """The photo of a HEIC or AVIF file that does not say all about itself."""
    photo = _item(data)
    photo.properties = [prop for prop in photo.properties if prop[4:8] != kind]
    return _file(data, [photo], b"")


def _item(data: bytes) -> Item:
    """The only image of a file."""
    inside = dict(_boxes(dict(_boxes(data))[b"meta"], 4))
    iprp = dict(_boxes(inside[b"iprp"]))
    properties = [_box(kind, payload) for kind, payload in _boxes(iprp[b"ipco"])]
    count = iprp[b"ipma"][10]
    chosen = [properties[(index & 0x7F) - 1] for index in iprp[b"ipma"][11 : 11 + count]]
    [(_, entry)] = _boxes(inside[b"iinf"], 6)
    *_, base, _, offset, length = struct.unpack(">HHIHII", inside[b"iloc"][8:].rjust(18, b"\0"))
    if inside[b"iloc"][5] >> 4 == 0:  # offsets have no common base
        base = 0
    return Item(entry[8:12], chosen, data[base + offset : base + offset + length])


def _file(source: bytes, items: list[Item], references: bytes, *brands: bytes, gap: int = 8) -> bytes:
    """A file of ``items``, the first of which is the photo, and the others hidden."""
    every = [prop for item in items for prop in item.properties]
    turns = (b"irot", b"imir")  # which a reader must understand
    numbers = iter(number | 0x80 * (prop[4:8] in turns) for number, prop in enumerate(every, 1))
    used = b"".join(
        struct.pack(">HB", number, len(item.properties)) + bytes(next(numbers) for _ in item.properties)
        for number, item in enumerate(items, 1)
    )
    hidden = [number > 0 and item.kind != b"tmap" for number, item in enumerate(items)]
    names = b"".join(
        _box(b"infe", struct.pack(">BxxBHH4sB", 2, hidden[number - 1], number, 0, item.kind, 0))
        for number, item in enumerate(items, 1)
    )
    count = struct.pack(">I", len(items))
    ftyp = _box(b"ftyp", dict(_boxes(source))[b"ftyp"] + b"".join(brands)) + _box(b"free", bytes(gap - 8))

    def head(start: int) -> bytes:
        places = b""
        for number, item in enumerate(items, 1):
            places += struct.pack(">HHHII", number, 0, 1, start, len(item.coded))
            start += len(item.coded)
        meta = [
            _box(b"hdlr", bytes(8) + b"pict" + bytes(13)),
            _box(b"pitm", bytes(4) + struct.pack(">H", 1)),
            _box(b"iinf", bytes(4) + struct.pack(">H", len(items)) + names),
            _box(b"iref", bytes(4) + references),
            _box(b"iprp", _box(b"ipco", b"".join(every)) + _box(b"ipma", bytes(4) + count + used)),
            _box(b"iloc", struct.pack(">4xBBH", 0x44, 0, len(items)) + places),
        ]  # fmt: skip
        return ftyp + _box(b"meta", bytes(4) + b"".join(meta))

    return head(len(head(0)) + 8) + _box(b"mdat", b"".join(item.coded for item in items))


def _box(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I4s", len(payload) + 8, kind) + payload


def _boxes(data: bytes, position: int = 0) -> Iterator[tuple[bytes, bytes]]:
    while position < len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        yield kind, data[position + 8 : position + size]
        position += size
