"""What a file says of where it comes from: signed content credentials, and unsigned metadata.

Nothing here changes a score. Most pictures carry no such evidence, since most sites strip it, and
its absence proves nothing. Signed credentials (C2PA) are checked without a network; everything
else is text that anybody can write, copy or remove.
"""

from __future__ import annotations

from fakeface.evidence import metadata, stealth, traces
from fakeface.evidence.credentials import TRUST_LIST, read_credentials, read_trust_list
from fakeface.types import Finding

__all__ = ["TRUST_LIST", "find"]


def find(data: bytes, *, trust_list: str | None = None) -> tuple[Finding, ...]:
    """Looks for evidence of where a file comes from.

    Args:
        data: the bytes of the file, unchanged.
        trust_list: certificates in PEM that vouch for signers and for time stamps; None for
            those in the file that the environment variable FAKEFACE_C2PA_TRUST names. Without
            any, no signer is trusted.

    Returns:
        Signed evidence first, and what could not be read last; empty where there is nothing. It
        raises nothing but MemoryError.
    """
    anchors = read_trust_list() if trust_list is None else trust_list
    found = metadata.read(data)
    marks, troubles = stealth.read_marks(data)
    findings = [
        *read_credentials(data, anchors),
        *traces.find_source_types(found.fields),
        *(stealth.make_finding(mark, traces.generator(stealth.fields(mark))) for mark in marks),
        *traces.traces(found.fields),
        *traces.report_troubles([*found.troubles, *troubles]),
    ]
    return tuple(dict.fromkeys(findings))
