"""What phones store beside a photo in its file: a gain map, a depth map, a short film.

They belong to the pixels as they were taken, so they do not go with restored ones. What the XMP tells of them
must not either: viewers would look for data that is not there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_MARKS = {
    "its HDR gain map is not kept: it belongs to the pixels as they were": (
        b":GainMapMax",  # Ultra HDR has it beside the gain map, not beside the photo
        b"urn:iso:std:iso:ts:21496:-1",
        b"urn:com:apple:photo:2020:aux:hdrgainmap",
        b"\0\0tmap",  # the type of the item that ISO 21496-1 derives from photo and gain map
    ),
    "its depth map is not kept: it belongs to the pixels as they were": (
        b"GDepth:Data",
        b"urn:mpeg:mpegB:cicp:systems:auxiliary:depth",
        b"urn:mpeg:hevc:2015:auxid:2",
    ),
    "its short film is not kept: only the photo is": (b"ftypmp4", b"ftypisom", b"ftypqt  "),
}
"""What is said, and bytes of the file that show it, too long to occur by chance."""

_NAME = rb"[\w.-]+"
_CLAIMS = {
    b"http://ns.adobe.com/hdr-gain-map/": _NAME,
    b"http://ns.google.com/photos/1.0/container/": _NAME,  # the file's parts and their lengths
    b"http://ns.google.com/photos/1.0/camera/": rb"(?:MotionPhoto|MicroVideo)\w*",
    b"http://ns.google.com/photos/1.0/depthmap/": _NAME,
    b"http://ns.google.com/photos/1.0/image/": _NAME,  # the photo before its background was blurred
    b"http://ns.adobe.com/xmp/note/": b"HasExtendedXMP",  # where long packets go on, with such data in them
}
"""Namespaces of XMP and their properties that make sense only beside the data."""

_DECLARATION = re.compile(rb"\sxmlns:(%b)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')" % _NAME)
_ATTRIBUTE = re.compile(rb"\s(%b):(%b)\s*=\s*(?:\"[^\"]*\"|'[^']*')" % (_NAME, _NAME))
_OPENING = re.compile(rb"<(%b):(%b)(?=[\s/>])[^<>]*>" % (_NAME, _NAME))
_USE = re.compile(rb"[</\s](%b):" % _NAME)


def companions_of(data: bytes) -> tuple[str, ...]:
    """What a JPEG, AVIF or HEIC file holds beside its photo and will not be kept, a sentence each."""
    return tuple(said for said, marks in _MARKS.items() if any(mark in data for mark in marks))


def has_long_xmp(data: bytes) -> bool:
    """Whether the XMP of a JPEG file goes on in further segments, with companions or an editor's notes."""
    return b"http://ns.adobe.com/xmp/extension/\0" in data


def without_claims(xmp: bytes) -> bytes:
    """The packet without what it says about companions; the rest stays as it is, byte for byte."""
    claims = _claims_by_prefix(xmp)
    if not claims:
        return xmp
    xmp = b"".join(_outside_claims(xmp, claims))
    xmp = _ATTRIBUTE.sub(lambda found: b"" if _is_claim(found, claims) else found[0], xmp)
    unused = claims.keys() - set(_USE.findall(xmp))
    return _DECLARATION.sub(lambda found: b"" if found[1] in unused else found[0], xmp)


def _claims_by_prefix(xmp: bytes) -> dict[bytes, bytes]:
    """The pattern of the properties that are claims, by the prefix that the packet gives their namespace."""
    return {
        prefix: properties
        for prefix, *quoted in _DECLARATION.findall(xmp)
        for namespace, properties in _CLAIMS.items()
        if b"".join(quoted).startswith(namespace)
    }


def _is_claim(found: re.Match[bytes], claims: dict[bytes, bytes]) -> bool:
    return found[1] in claims and re.fullmatch(claims[found[1]], found[2]) is not None


def _outside_claims(xmp: bytes, claims: dict[bytes, bytes]) -> Iterator[bytes]:
    """What lies outside the elements that are claims; none of these holds another of the same name."""
    kept = position = 0
    while found := _OPENING.search(xmp, position):
        position = found.end()
        if not _is_claim(found, claims):
            continue
        if not found[0].endswith(b"/>"):
            closing = b"</%b:%b>" % (found[1], found[2])
            position = xmp.find(closing, position) + len(closing)
            if position < len(closing):
                break  # damaged: the element does not end
        yield xmp[kept : found.start()]
        kept = position
    yield xmp[kept:]
