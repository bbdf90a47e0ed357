"""What unsigned metadata says: digital source types, generators, editors and cameras.

A name counts only as the whole value of a field that names a program. What people write about a
picture (captions, credits, authors, copyright) is about anything: a photograph of a Midjourney
office is no picture by Midjourney.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from fakeface.evidence.fields import Field, Trouble
from fakeface.evidence.known import Known, Scope, load_known, name_in, plain
from fakeface.evidence.text import clean, quote
from fakeface.types import Finding

_UNSIGNED: Final = "It is not signed: anybody can write, copy or remove it."
_MOST_SETTINGS: Final = 100_000  # characters that are searched: settings stand after a long prompt
_MOST_TROUBLES: Final = 8
_PLACES: Final = {
    "png": "PNG text",
    "exif": "EXIF field",
    "xmp": "XMP field",
    "iptc": "IPTC field",
    "comment": "comment",
    "pixels": "field in the lowest bits of the pixels",
}
_PARTS: Final = {
    "png": "Texts of the PNG",
    "exif": "EXIF data",
    "xmp": "XMP data",
    "iptc": "IPTC records",
    "pixels": "Data in the lowest bits of the pixels",
    "file": "Some of the metadata",
}


class _Trace(NamedTuple):
    """Whom a field names, the title of the finding, and of which part that is said."""

    name: str
    title: str
    scope: Scope | None = None


def find_source_types(fields: Iterable[Field]) -> Iterator[Finding]:
    """The digital source type in XMP."""
    for field in fields:
        if field.place != "xmp" or field.name != "DigitalSourceType":
            continue
        source = load_known().source(field.text)
        words = source.words if source else "of a source that is not known here"
        yield Finding(
            "iptc",
            f"Declared in the metadata: {words}",
            f"The digital source type is {quote(field.text)}. {_UNSIGNED}",
            source.says if source else "unknown",
            "unsigned",
            scope=source.scope if source and source.says != "unknown" else None,
        )


def traces(fields: Sequence[Field]) -> Iterator[Finding]:
    """Generators, editors and cameras that fields name, at most one finding for each of them."""
    table = load_known()
    named: dict[_Trace, Field] = {}
    left: list[Field] = []
    for field in fields:
        if trace := _trace(table, field):
            named.setdefault(trace, field)
        else:
            left.append(field)
    for trace, field in named.items():
        yield Finding(
            field.place,
            trace.title,
            f"The {_PLACES[field.place]} {clean(field.name)} is of the kind that it leaves: "
            f"{quote(field.text)}. {_UNSIGNED}",
            "ai",
            "unsigned",
            scope=trace.scope,
        )
    yield from _editor(table, left)
    if not any(field.name in ("Make", "Model") for field in named.values()):
        yield from _camera(left)


def generator(fields: Iterable[Field]) -> str | None:
    """The first generator that any of these fields names."""
    found = (_trace(load_known(), field) for field in fields)
    return next((trace.name for trace in found if trace), None)


def _trace(table: Known, field: Field) -> _Trace | None:
    where = f"{field.place}.{field.name}"
    text = field.text[:_MOST_SETTINGS]
    for settings in table.settings:
        if settings.match(where, text):
            return _Trace(settings.name, f"Trace of {settings.name}")
    names_program = where in table.program_fields
    if names_program or where in table.sentence_fields:
        sentence = table.sentences.get(plain(field.text)) if len(field.text) < 200 else None
        if sentence:
            made = "parts of it were made" if sentence.scope == "part" else "made"
            title = f"Declared in the metadata: {made} with {sentence.maker} AI"
            return _Trace(f"{sentence.maker} AI", title, sentence.scope)
    devices = where in ("exif.Make", "exif.Model", "xmp.Make", "xmp.Model")
    names = table.devices if devices else table.generators if names_program else {}
    if name := name_in(names, field.text):
        return _Trace(name, f"Trace of {name}")
    return None


def _editor(table: Known, fields: Iterable[Field]) -> Iterator[Finding]:
    """The first editor that is named: of several, each was used on the same picture."""
    for field in fields:
        tool = f"{field.place}.{field.name}" in table.program_fields or field.place == "comment"
        name = name_in(table.editors, field.text) if tool else None
        if name:
            yield Finding(
                field.place,
                f"Saved by an image editor: {name}",
                f"The {_PLACES[field.place]} {field.name} is {quote(field.text)}. {_UNSIGNED}",
                "edited",
                "unsigned",
            )
            return


def _camera(fields: Iterable[Field]) -> Iterator[Finding]:
    exif = {field.name: clean(field.text) for field in fields if field.place == "exif"}
    make, model = exif.get("Make", ""), exif.get("Model", "")
    name = model if model.lower().startswith(make.lower()) else f"{make} {model}".strip()
    if name:
        lens = f" and the lens {quote(exif['LensModel'])}" if exif.get("LensModel") else ""
        yield Finding(
            "exif",
            f"Names a camera or scanner: {name}",
            f"EXIF fields name the device {quote(name)}{lens}. This is weak evidence. {_UNSIGNED}",
            "camera",
            "unsigned",
            scope="whole",
        )


def report_troubles(troubles: Sequence[Trouble]) -> Iterator[Finding]:
    """What could not be read, and why; the picture is judged all the same."""
    for trouble in troubles[:_MOST_TROUBLES]:
        part = _PARTS[trouble.place]
        reason = f"They could not be read, because {trouble.reason}."
        if trouble.limit:
            reason += " This is a limit of fakeface and no sign of damage."
        yield Finding(
            trouble.place,
            f"{part}: not read in full" if trouble.limit else f"{part}: could not be read",
            f"{reason} The picture is judged all the same.",
            "unknown",
            "unsigned",
            checked="not_checked",
        )
