"""The table of keys, values and names that mean something: `known.toml`, read once.

A name is matched whole, ignoring case, and may be followed by a version: "Adobe Firefly 3" is the
generator Adobe Firefly; "Firefly 8SE", a camera, is not, nor is a sentence that mentions one.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

Says: TypeAlias = Literal["ai", "camera", "edited", "unknown"]
Scope: TypeAlias = Literal["whole", "part"]

TABLE: Final = Path(__file__).with_name("known.toml")

_MOST: Final = 200  # characters of a name that is looked up; no program has a longer one
_VERSION: Final = re.compile(
    r"[/_-]?v?\d[\w.+-]*|[0-9a-f]{8}|alpha|beta|preview|windows|win|macintosh|mac|macos|linux|"
    r"android|ios|iphone|ipad"
)
_MOST_VERSIONS: Final = 5


@dataclass(frozen=True, slots=True)
class Source:
    """A digital source type: what it says, of which part of a picture, and in words."""

    says: Says
    scope: Scope
    words: str


@dataclass(frozen=True, slots=True)
class Sentence:
    """A fixed sentence that a maker's programs write, and what it says."""

    maker: str
    scope: Scope | None


@dataclass(frozen=True, slots=True)
class Settings:
    """What a generator leaves: in these fields, text that has all of these patterns.

    Attributes:
        name: of the generator.
        fields: each as "place.name".
        patterns: every one of them must be found; without any, the field is enough.
    """

    name: str
    fields: frozenset[str]
    patterns: tuple[re.Pattern[str], ...]

    def match(self, where: str, text: str) -> bool:
        """Whether a field is such a trace."""
        return where in self.fields and all(pattern.search(text) for pattern in self.patterns)


@dataclass(frozen=True, slots=True)
class Known:
    """The whole table; see the remarks in known.toml."""

    sources: Mapping[str, Source]
    generators: Mapping[str, str]
    signed_generators: Mapping[str, str]
    devices: Mapping[str, str]
    editors: Mapping[str, str]
    sentences: Mapping[str, Sentence]
    settings: Sequence[Settings]
    program_fields: frozenset[str]
    sentence_fields: frozenset[str]
    ai_assertions: frozenset[str]
    source_keys: frozenset[str]
    model_keys: frozenset[str]

    def source(self, address: object) -> Source | None:
        """The digital source type that an address, or the end of one, names."""
        if not isinstance(address, str):
            return None
        return self.sources.get(re.split(r"[/:#]", address.strip()[:_MOST])[-1].lower())


@cache
def load_known() -> Known:
    """The table of this installation."""
    table = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    return Known(
        sources={
            row["name"].lower(): Source(row["says"], row["scope"], row["words"])
            for row in table["source_types"]
        },
        generators=_names(table["generators"], "names"),
        signed_generators=_names(table["generators"], "names", "signed_names"),
        devices=_names(table["generators"], "devices"),
        editors=_names(table["editors"], "names"),
        sentences={
            plain(text): Sentence(row["maker"], row.get("scope"))
            for row in table["sentences"]
            for text in row["texts"]
        },
        settings=[
            Settings(
                row["name"],
                frozenset(row["fields"]),
                tuple(re.compile(pattern) for pattern in row.get("patterns", ())),
            )
            for row in table["settings"]
        ],
        program_fields=frozenset(table["fields"]["programs"]),
        sentence_fields=frozenset(table["fields"]["sentences"]),
        ai_assertions=frozenset(row["label"] for row in table["ai_assertions"]),
        source_keys=frozenset(table["keys"]["source_type"]),
        model_keys=frozenset(table["keys"]["model"]),
    )


def _names(rows: Iterable[Mapping[str, Any]], *keys: str) -> dict[str, str]:
    """Names as they are compared -> whom they name, long ones first."""
    names = {plain(name): row["name"] for row in rows for key in keys for name in row.get(key, ())}
    return dict(sorted(names.items(), key=lambda item: -len(item[0])))


def plain(text: str) -> str:
    """A name as it is compared: small letters, with single spaces, and no underlines."""
    text = unicodedata.normalize("NFKC", text[:_MOST]).casefold().replace("_", " ")
    return " ".join(text.split())


def name_in(table: Mapping[str, str], text: str) -> str | None:
    """Whom a text names, if it is a name of the table and nothing more than a version after it.

    Args:
        table: names as `plain` gives them -> whom they name.
        text: the whole value of a field.
    """
    if len(text) > _MOST:
        return None
    text = plain(text)
    for name, whom in table.items():
        if text.startswith(name) and _is_version(text[len(name) :]):
            return whom
    return None


def _is_version(rest: str) -> bool:
    """Whether this is empty, or a version and perhaps a system: " 26.0 (Windows)"."""
    if rest[:1].isalpha() and not re.match(r"v\d", rest):  # "Canvas" is no version of Canva
        return False
    tokens = re.sub(r"\([^()]*\)", " ", rest).split()
    return len(tokens) <= _MOST_VERSIONS and all(_VERSION.fullmatch(token) for token in tokens)
