"""The table of known keys and names is well formed, and names are matched whole."""

from __future__ import annotations

import re
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakeface.evidence.fields import Field
from fakeface.evidence.known import TABLE, load_known, name_in
from fakeface.evidence.traces import generator

ROWS = tomllib.loads(TABLE.read_text(encoding="utf-8"))
LISTS = ("source_types", "ai_assertions", "generators", "sentences", "settings", "editors")
KEYS = {
    "source_types": {"name", "says", "scope", "words", "source"},
    "ai_assertions": {"label", "source"},
    "generators": {"name", "names", "signed_names", "devices", "source"},
    "sentences": {"maker", "scope", "texts", "source"},
    "settings": {"name", "fields", "patterns", "source"},
    "editors": {"name", "names", "source"},
}
PLACES = {"png", "exif", "xmp", "iptc", "comment", "pixels"}


@pytest.mark.parametrize("table", LISTS)
def test_every_row_has_a_source_and_no_key_that_nobody_reads(table):
    for row in ROWS[table]:
        assert row["source"].strip(), row
        assert set(row) <= KEYS[table], row
        assert row.get("says", "ai") in ("ai", "camera", "edited", "unknown")
        assert row.get("scope", "part") in ("whole", "part")


def test_fields_are_places_with_names():
    fields = [field for row in ROWS["settings"] for field in row["fields"]]
    for field in fields + ROWS["fields"]["programs"] + ROWS["fields"]["sentences"]:
        place, _, name = field.partition(".")
        assert place in PLACES and name, field


def test_no_field_of_programs_is_one_of_free_text():
    free = re.compile(r"(?i)credit|caption|description|title|author|artist|creator$|copyright|by")
    assert not [field for field in ROWS["fields"]["programs"] if free.search(field)]


def test_every_name_finds_itself_and_none_names_an_editor_and_a_generator():
    table = load_known()
    for name, whom in table.generators.items():
        assert name_in(table.generators, name) == whom
        assert name_in(table.generators, f"{name} 2.1") == whom
    assert not set(table.signed_generators) & set(table.editors)


@given(st.sampled_from(sorted(load_known().generators)), st.text("ghijklmnopqrstu", min_size=1))
def test_a_name_with_letters_before_or_behind_it_is_another(name, letters):
    for text in (name + letters, letters + name, f"{letters} {name}", f"{name} q{letters}"):
        assert name_in({name: "x"}, text) is None


@given(st.text(max_size=400))
def test_any_text_may_be_looked_up(text):
    assert name_in(load_known().generators, text) in {None, *load_known().generators.values()}
    assert load_known().source(text) is None or text


def test_a_row_that_a_stranger_adds_is_read(tmp_path, monkeypatch):
    path = tmp_path / "known.toml"
    row = '\n[[generators]]\nname = "Dreamer"\nnames = ["Dreamer Pro"]\nsource = "a page"\n'
    path.write_text(TABLE.read_text(encoding="utf-8") + row, encoding="utf-8")
    monkeypatch.setattr("fakeface.evidence.known.TABLE", path)
    load_known.cache_clear()
    try:
        assert generator([Field("exif", "Software", "Dreamer Pro 3.1")]) == "Dreamer"
    finally:
        load_known.cache_clear()
