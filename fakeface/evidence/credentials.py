"""Signed content credentials (C2PA): do they hold, who signed them, and what do they say.

There are four answers, which are never mixed. They hold: the signature and the hashes fit. They do
not hold: one of these failed. They were not checked: nothing is fetched from a network, and some
are in a form that is too new or too old. And there are none, which is no finding at all. Who the
signer is, is another question; and what they say about a person says nothing about the picture.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from fakeface.evidence.containers import has_too_many_parts
from fakeface.evidence.fields import MAX_PARTS
from fakeface.evidence.known import Scope
from fakeface.evidence.manifest import PARTS_BY_AI, programs, summarise
from fakeface.evidence.text import clean, quote
from fakeface.types import Finding

TRUST_LIST: Final = "FAKEFACE_C2PA_TRUST"  # names a PEM file of the certificates to trust

Checked: TypeAlias = Literal["holds", "does_not_hold", "not_checked"]
_Statuses: TypeAlias = list[Mapping[str, Any]]

# A file with credentials holds boxes of this kind, or the address of credentials in XMP.
_SIGNS: Final = re.compile(rb"jumb|provenance")
_MOST_EARLIER: Final = 50  # manifests of earlier pictures that are looked at


def read_trust_list() -> str:
    """The certificates that the environment names; empty without any."""
    path = os.environ.get(TRUST_LIST)
    try:
        return Path(path).read_text() if path else ""
    except (OSError, ValueError):
        return ""


def read_credentials(data: bytes, anchors: str) -> Iterator[Finding]:
    """What the credentials of a file say; nothing where it has none.

    It raises nothing but MemoryError.

    Args:
        data: the whole file.
        anchors: certificates in PEM that vouch for signers and for time stamps; may be empty.
    """
    if not _SIGNS.search(data):  # so that most files need not wait for the library
        return
    if has_too_many_parts(data):
        yield _report_unchecked(
            "Content credentials were not checked",
            f"The file has more than {MAX_PARTS} parts, too many to check it in good time. This is "
            "a limit of fakeface and no sign of damage.",
        )
        return
    try:
        import c2pa  # here, since it loads a library of 23 MB
    except (ImportError, OSError, RuntimeError):
        yield _report_unchecked(
            "Content credentials were not checked",
            "The package c2pa-python cannot be loaded here; install it to check signatures.",
        )
        return
    settings: dict[str, Any] = {
        "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_trust": True},
        "core": {"allowed_network_hosts": []},
    }
    try:
        if anchors:
            settings["trust"] = {"trust_anchors": anchors}
        try:
            context = c2pa.Context.from_dict(settings)
        except c2pa.C2paError:  # a trust list that cannot be read vouches for nobody
            del settings["trust"]
            anchors = ""
            context = c2pa.Context.from_dict(settings)
        with context, c2pa.Reader(None, BytesIO(data), context=context) as reader:
            store = json.loads(reader.json())
        yield from list(_judge(store, bool(anchors)))
    except c2pa.C2paError as error:
        yield from _unreadable(str(error))
    except MemoryError:
        raise
    except Exception:  # no assertion is to stop a check, whatever odd values it holds
        yield _report_unchecked(
            "Content credentials were not checked",
            "They are in a form that is not understood here.",
        )


def _report_unchecked(title: str, detail: str) -> Finding:
    return Finding("c2pa", title, detail, "unknown", "unsigned", checked="not_checked")


def _unreadable(error: str) -> Iterator[Finding]:
    """What an error of the library means; nothing where it means that there are no credentials."""
    if error.startswith("Remote"):
        yield _report_unchecked(
            "Content credentials are kept elsewhere",
            "The file names an address for them. Nothing is fetched from there, so they were not "
            "checked.",
        )
    elif error.startswith("NotSupported"):
        return  # the file itself is of a format that holds none
    elif re.search(r"(?i)too (new|old)|pre-?release|not supported|unsupported|version", error):
        yield _report_unchecked(
            "Content credentials in a form that is not read here",
            "The file holds credentials of a version of the standard that is too new or too old, "
            "so they were not checked.",
        )
    elif re.match(
        r"Assertion|Decoding|Encoding|Json|Manifest:|Signature|Verify|Other: (?!asset could)", error
    ) and not re.search("not found in XMP", error):
        yield Finding(
            "c2pa",
            "Content credentials are damaged",
            "The file holds credentials that cannot be read, so they vouch for nothing.",
            "unknown",
            "invalid",
            checked="does_not_hold",
        )


# Do they hold?

# A hash or a signature failed.
_FAILED: Final = (
    (
        r"assertion\.(data|bmff|boxes|collection)Hash\.",
        "the picture was changed after it was signed, or they were copied from another file",
    ),
    (
        r"assertion\.(hashedURI|missing|undeclared|notRedacted|outsideManifest)|hashedURI\.",
        "they were changed after they were signed",
    ),
    (r"claimSignature\.(mismatch|missing)", "the signature does not fit them"),
    (r"claim\.(missing|multiple|hardBindings)", "nothing ties them to the picture"),
    (r"ingredient\.(manifest|claimSignature)\.(mismatch|missing)", "an earlier part was changed"),
    (
        r"signingCredential\.(invalid|.*revoked)",
        "the certificate is not one that may sign them",
    ),
)
# A check could not be made.
_UNDECIDED: Final = (
    (
        r"signingCredential\.expired|claimSignature\.outside",
        "the certificate has expired, and no trusted time stamp shows that they are older",
    ),
    (r"algorithm\.", "they use a method that is too new or too old to be checked here"),
    (r".*inaccessible", "a part of them is kept elsewhere, and nothing is fetched from there"),
)
_SIGNED: Final = "claimSignature.validated"
_BOUND: Final = r"assertion\.(data|bmff|boxes|collection)Hash\.match"
# About the person who made the picture, or about who the signer is: no fault of the picture.
_OTHER: Final = (
    r"cawg\.|signingCredential\.(untrusted|ocsp\.(skipped|unknown|inaccessible))|timeStamp"
)


class _Check(NamedTuple):
    """An answer, the reason where it is not "holds", and what is odd where it is."""

    checked: Checked
    reason: str = ""


def _check(failures: _Statuses, successes: _Statuses | None = None) -> _Check:
    """The answer that the codes of a validation give.

    Args:
        failures: the statuses that failed.
        successes: those that did not; None where they need not be told: of an earlier picture.
    """
    codes = [str(f.get("code")) for f in failures if not _is_personal(f)]
    codes = [code for code in codes if not re.match(_OTHER, code)]
    for pattern, words in _FAILED:
        if any(re.match(pattern, code) for code in codes):
            return _Check("does_not_hold", words)
    for pattern, words in _UNDECIDED:
        if any(re.match(pattern, code) for code in codes):
            return _Check("not_checked", words)
    odd = clean(", ".join(dict.fromkeys(codes)))
    if successes is not None:
        passed = [str(status.get("code")) for status in successes if not _is_personal(status)]
        if _SIGNED not in passed or not any(re.match(_BOUND, code) for code in passed):
            return _Check("not_checked", "they are in a form that is not understood here")
    return _Check("holds", odd)


def _is_personal(status: Mapping[str, Any]) -> bool:
    """Whether a status is of a statement about a person, and not of the picture."""
    code, url = str(status.get("code")), str(status.get("url"))
    return code.startswith("cawg.") or (
        "/c2pa.assertions/cawg." in url and not code.startswith("assertion.")
    )


def _statuses(results: object, kind: str) -> _Statuses:
    found = results.get(kind) if isinstance(results, Mapping) else None
    return [status for status in found or [] if isinstance(status, Mapping)]


# What do they say?


def _judge(store: Mapping[str, Any], any_anchors: bool) -> Iterator[Finding]:
    """The findings of a manifest store that was read."""
    active = store["active_manifest"]
    manifest = store["manifests"][active]
    results = (store.get("validation_results") or {}).get("activeManifest") or {}
    failures, successes = _statuses(results, "failure"), _statuses(results, "success")
    check = _check(failures, successes)
    yield _of_picture(manifest, check, _signer(active, successes), any_anchors)
    yield from _of_person(manifest, failures, successes)
    yield from _history(store, check.checked)


def _signer(active: str, successes: _Statuses) -> bool:
    """Whether the signer of the picture's own credentials is on the trust list."""
    return any(
        status.get("code") == "signingCredential.trusted"
        and str(status.get("url")).endswith(f"/{active}/c2pa.signature")
        for status in successes
    )


def _of_picture(
    manifest: Mapping[str, Any], check: _Check, trusted: bool, any_anchors: bool
) -> Finding:
    says, scope, words = summarise(manifest)
    told = "; ".join(words)
    claim = f"It says: {told}." if words else "It does not say how the picture was made."
    who = _who(manifest)
    if check.checked != "holds":
        claim = claim.replace("It says", "They claim")
        holds_not = check.checked == "does_not_hold"
        return Finding(
            "c2pa",
            "Content credentials that do not hold"
            if holds_not
            else "Content credentials that could not be checked",
            f"{claim} {who} "
            + ("They vouch for nothing: " if holds_not else "Nobody knows if they hold: ")
            + f"{check.reason}.",
            "unknown",
            "invalid" if holds_not else "unsigned",
            checked=check.checked,
        )
    if trusted:
        reason = "The signature fits the file, and the signer is on the trust list."
    else:
        reason = "The signature fits the file, but " + (
            "the signer is not on the trust list: anybody may have signed it."
            if any_anchors
            else "no trust list is set up here to say who the signer is: it may be anybody."
        )
    if check.reason:
        reason += f" Something in them is not as the standard asks ({check.reason})."
    title = f"Content credentials by {'a trusted' if trusted else 'an unknown'} signer"
    return Finding(
        "c2pa",
        f"{title}: {words[0]}" if words else title,
        f"{claim} {who} {reason}",
        says,
        "trusted" if trusted else "valid",
        checked="holds",
        scope=scope,
    )


def _who(manifest: Mapping[str, Any]) -> str:
    """Who signed a manifest, and with which program it was made."""
    signature = manifest.get("signature_info") or {}
    signer = signature.get("issuer") or signature.get("common_name") or "nobody named"
    text = f"Signed by {quote(signer)}"
    if time := signature.get("time"):
        text += f" on {clean(str(time))[:10]}"
    program = next(iter(programs(manifest)), "")
    return text + (f" with {quote(program)}." if program else ".")


def _of_person(
    manifest: Mapping[str, Any], failures: _Statuses, successes: _Statuses
) -> Iterator[Finding]:
    """A statement about who made the picture, unless it holds; it says nothing of the picture."""
    assertions = manifest.get("assertions") or []
    if not any(str(a.get("label")).startswith("cawg.identity") for a in assertions):
        return
    failed = [str(status.get("code")) for status in failures if _is_personal(status)]
    if not failed and any(_is_personal(status) for status in successes):
        return
    wrong = any(re.search(r"mismatch|\.invalid|duplicate|outside", code) for code in failed)
    reason = clean(", ".join(dict.fromkeys(failed))) or "no reason given"
    yield Finding(
        "c2pa",
        "A statement about who made it " + ("does not hold" if wrong else "was not checked"),
        "The credentials also hold a statement about a person or an organisation. "
        + ("It does not fit" if wrong else "It was not checked, since nothing is fetched")
        + f" ({reason}). That says nothing against the picture.",
        "unknown",
        "unsigned",
        checked="does_not_hold" if wrong else "not_checked",
    )


def _history(store: Mapping[str, Any], active: Checked) -> Iterator[Finding]:
    """Credentials of the pictures that this one was made from, if they speak of AI.

    They are signed by others and were checked without their pictures, so the active signer's
    trust is not theirs; what they say of cameras is left out, for it is of another picture.
    """
    for label, relation, statuses in _earlier(store):
        says, scope, words = summarise(store["manifests"][label])
        if says != "ai":
            continue
        check = _check(statuses)
        checked = check.checked if active == "holds" else "not_checked"
        good = checked == "holds"
        part = relation == "part"
        said = PARTS_BY_AI if part else words[0]
        yield Finding(
            "c2pa",
            f"Content credentials of {'a picture in it' if part else 'an earlier picture'}: {said}",
            f"This picture was made from another, whose own credentials say: {'; '.join(words)}. "
            + _who(store["manifests"][label])
            + (" Its signature fits." if good else " They could not be confirmed."),
            "ai" if good else "unknown",
            {"holds": "valid", "does_not_hold": "invalid", "not_checked": "unsigned"}[checked],  # type: ignore[arg-type]
            checked=checked,
            scope=("part" if part else scope) if good else None,
        )


def _earlier(store: Mapping[str, Any]) -> Iterator[tuple[str, Scope, _Statuses]]:
    """Earlier manifests, whether the picture as a whole comes from theirs, and what failed.

    They were checked twice: now, and with their picture, when this one was made from it.
    """
    manifests, active = store["manifests"], store["active_manifest"]
    now = (store.get("validation_results") or {}).get("ingredientDeltas") or []
    seen: set[str] = set()
    todo: list[tuple[str, Scope, _Statuses]] = [(active, "whole", [])]
    while todo and len(seen) < _MOST_EARLIER:
        todo.sort(key=lambda entry: entry[1] == "part")  # what is a parent too is told as one
        label, scope, failed = todo.pop(0)
        if label in seen:
            continue
        seen.add(label)
        if label != active:
            yield label, scope, failed
        for ingredient in (manifests[label].get("ingredients") or [])[:_MOST_EARLIER]:
            earlier = ingredient.get("active_manifest")
            if earlier not in manifests:
                continue
            parent = ingredient.get("relationship") == "parentOf"
            then = (ingredient.get("validation_results") or {}).get("activeManifest")
            failed = _statuses(then, "failure")
            uri = f"{label}/c2pa.assertions/{ingredient.get('label')}"
            for delta in now:
                if str(delta.get("ingredientAssertionURI")).endswith(uri):
                    failed = failed + _statuses(delta.get("validationDeltas"), "failure")
            todo.append((earlier, scope if parent else "part", failed))
