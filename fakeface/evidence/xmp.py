"""XMP: the properties that matter, from a packet of XML that may be hostile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from xml.parsers import expat

from fakeface.evidence.fields import MAX_TEXT, Field, Trouble

_MAX_ELEMENTS: Final = 20_000  # of one packet
_MAX_ATTRIBUTES: Final = 20_000
_MAX_DEPTH: Final = 64

# Properties that matter, by their namespace; others are passed over.
_NAMES: Final = {
    "http://iptc.org/std/Iptc4xmpExt/2008-02-29/": {
        "DigitalSourceType",
        "AISystemUsed",
        "AISystemVersionUsed",
        "AIPromptInformation",
    },
    "http://ns.adobe.com/xap/1.0/": {"CreatorTool"},
    "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#": {"softwareAgent"},
    "http://ns.adobe.com/photoshop/1.0/": {"Credit"},
    "http://ns.adobe.com/tiff/1.0/": {"Make", "Model", "Software"},
    "http://ns.adobe.com/exif/1.0/": {"UserComment"},
    "http://www.tc260.org.cn/ns/AIGC/1.0/": {"AIGC"},
}
_RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"


class _Refused(ValueError):
    """A limit, or a construct that no XMP needs."""


def read_xmp(packet: bytes) -> list[Field | Trouble]:
    """The properties of interest, whether written as elements, attributes or resources."""
    found: list[Field | Trouble] = []
    if len(packet) > MAX_TEXT:
        return [Trouble("xmp", f"they are larger than {MAX_TEXT >> 20} MiB", limit=True)]
    if packet.count(b"=") > _MAX_ATTRIBUTES:  # which the parser would hold all at once
        return [Trouble("xmp", f"they have more than {_MAX_ATTRIBUTES} attributes", limit=True)]
    elements = 0
    path: list[str | None] = []  # for each open element, the property that its text belongs to
    texts: list[list[str]] = []

    def start(name: str, attributes: Mapping[str, str]) -> None:
        nonlocal elements
        elements += 1
        if elements > _MAX_ELEMENTS:
            raise _Refused(f"they have more than {_MAX_ELEMENTS} elements")
        if len(path) >= _MAX_DEPTH:
            raise _Refused(f"their elements are more than {_MAX_DEPTH} deep")
        space, _, local = name.rpartition(" ")
        inherited = path[-1] if path and space == _RDF else None
        path.append(local if local in _NAMES.get(space, ()) else inherited)
        texts.append([])
        for key, value in attributes.items():
            space, _, local = key.rpartition(" ")
            if local in _NAMES.get(space, ()):
                found.append(Field("xmp", local, value))
            elif key == f"{_RDF} resource" and (prop := path[-1]):
                found.append(Field("xmp", prop, value))

    def words(text: str) -> None:
        if texts and path[-1]:
            texts[-1].append(text)

    def end(_: str) -> None:
        prop, text = path.pop(), "".join(texts.pop()).strip()
        if prop and text:
            found.append(Field("xmp", prop, text))

    def doctype(*_: object) -> None:
        raise _Refused("they have a document type, whose entities could grow without end")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = words
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(packet.strip(b"\0 \r\n\t"), True)
    except _Refused as error:
        found.append(Trouble("xmp", str(error), limit=True))
    except (expat.ExpatError, ValueError):
        found.append(Trouble("xmp", "they are not well-formed XML"))
    return found
