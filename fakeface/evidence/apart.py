"""Evidence read in a process of its own, where there can be one: see `fakeface.workers`.

Parsers and the library that checks signatures read what strangers wrote. Whatever becomes of them
over a file, its pixels are judged, and the evidence says why it is missing.
"""

from __future__ import annotations

from dataclasses import asdict
from io import FileIO
from typing import Any, Final, get_args, get_type_hints

from fakeface.evidence import provenance
from fakeface.evidence.credentials import read_trust_list
from fakeface.types import Finding
from fakeface.workers import pool
from fakeface.workers.process import HEADER, Bound

_WHY: Final[dict[type[pool.Fault], str]] = {
    pool.TooSlow: "reading it takes too long",
    pool.TooMuchMemory: "reading it takes too much memory",
    pool.Crashed: "its reader failed over this file",
    pool.NoRoom: "this computer has no room for it just now",
}


def read_evidence(data: bytes) -> tuple[Finding, ...]:
    """`provenance.find` in another process, where there can be one.

    Returns:
        As from there. Where the process was stopped or crashed, one finding that says so.
    """
    anchors = read_trust_list()
    try:
        return pool.call(__name__, data, _read, anchors=anchors)
    except pool.NoProcesses:
        return provenance.find(data, trust_list=anchors)
    except pool.Fault as fault:
        return (_unchecked(_WHY[type(fault)]),)


def answer(data: bytes, bound: Bound, *, anchors: str) -> tuple[dict[str, Any], bytes]:
    """The other process's part: the words of an answer, and no pixels."""
    bound(HEADER)
    return {"findings": [asdict(one) for one in provenance.find(data, trust_list=anchors)]}, b""


def _read(said: dict[str, Any], _: FileIO, __: int) -> tuple[Finding, ...]:
    """What an answer means.

    Raises:
        ValueError, KeyError, TypeError: it is none that an intact process gives.
    """
    return tuple(_finding(fields) for fields in said["findings"])


def _finding(fields: dict[str, Any]) -> Finding:
    for name, kind in get_type_hints(Finding).items():
        allowed = [value for part in get_args(kind) or [kind] for value in get_args(part) or [part]]
        value = fields[name]
        if value not in allowed and type(value) not in allowed:
            raise ValueError(f"{name} is {value!r}")
    return Finding(**fields)


def _unchecked(why: str) -> Finding:
    return Finding(
        "file",
        "The evidence in this file was not checked",
        f"Nothing that the file says of its origin was read, because {why}. The picture is judged "
        "all the same.",
        "unknown",
        "unsigned",
        checked="not_checked",
    )
