"""What a file says of where it comes from: signed content credentials, and unsigned metadata.

Nothing here changes a score. Most pictures carry no such evidence, since most sites strip it, and
its absence proves nothing. Signed credentials (C2PA) are checked without a network; everything
else is text that anybody can write, copy or remove.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from fakeface.images import metadata
from fakeface.images.metadata import Field
from fakeface.types import Finding

Says: TypeAlias = Literal["ai", "camera", "edited", "unknown"]
Trust: TypeAlias = Literal["trusted", "valid", "invalid", "unsigned"]

TRUST_LIST: Final = "FAKEFACE_C2PA_TRUST"  # names a PEM file of the certificates to trust

_UNSIGNED: Final = "It is not signed: anybody can write, copy or remove it."


def find(data: bytes, *, trust_list: str | None = None) -> tuple[Finding, ...]:
    """Looks for evidence of where a file comes from.

    Args:
        data: the bytes of the file, unchanged.
        trust_list: certificates in PEM that vouch for signers and for time stamps; None for
            those in the file that the environment variable FAKEFACE_C2PA_TRUST names. Without
            any, no signer is trusted.

    Returns:
        Signed evidence first; empty where there is none. It never raises: damaged metadata is
        passed over, and damaged credentials are a finding of their own.
    """
    fields = metadata.read(data)
    found = [
        *_credentials(data, _trust_list() if trust_list is None else trust_list),
        *_declared(fields),
        *_traces(fields),
    ]
    return tuple(dict.fromkeys(found))


# Digital source types of the IPTC, by the last part of their address in lower case.
_SOURCES: Final[Mapping[str, tuple[Says, str]]] = {
    "trainedalgorithmicmedia": ("ai", "made by a generative model"),
    "compositewithtrainedalgorithmicmedia": ("ai", "edited with a generative model"),
    "compositesynthetic": ("ai", "put together from parts, some of them synthetic"),
    "algorithmicmedia": ("unknown", "computed by an algorithm without training data"),
    "digitalcapture": ("camera", "taken with a digital camera"),
    "computationalcapture": ("camera", "taken with a digital camera and merged by it"),
    "negativefilm": ("camera", "scanned from film"),
    "positivefilm": ("camera", "scanned from film"),
    "print": ("camera", "scanned from a print"),
    "humanedits": ("edited", "edited by a person"),
    "minorhumanedits": ("edited", "edited by a person"),
    "algorithmicallyenhanced": ("edited", "enhanced by software"),
    "composite": ("edited", "put together from several pictures"),
    "compositecapture": ("edited", "put together from several photographs"),
    "screencapture": ("unknown", "a picture of a screen"),
    "digitalcreation": ("unknown", "drawn by a person with software"),
    "digitalart": ("unknown", "drawn by a person with software"),
    "softwareimage": ("unknown", "made with software"),
    "datadrivenmedia": ("unknown", "computed from data"),
    "virtualrecording": ("unknown", "recorded in a virtual scene"),
}
_STRENGTH: Final[Sequence[Says]] = ("ai", "edited", "camera", "unknown")


def _source(address: object) -> tuple[Says, str] | None:
    """What a digital source type says, and the same in words."""
    if not isinstance(address, str):
        return None
    return _SOURCES.get(re.split(r"[/:#]", address.strip()[:200])[-1].lower())


# Content credentials


def _trust_list() -> str:
    path = os.environ.get(TRUST_LIST)
    try:
        return Path(path).read_text() if path else ""
    except (OSError, ValueError):
        return ""


def _credentials(data: bytes, trust_list: str) -> Iterator[Finding]:
    try:
        import c2pa  # here, since it loads a library of 23 MB
    except (ImportError, OSError, RuntimeError):
        yield Finding(
            "c2pa",
            "Content credentials were not checked",
            "The package c2pa-python cannot be loaded here; install it to check signatures.",
            "unknown",
            "unsigned",
        )
        return
    settings: dict[str, Any] = {
        "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_trust": True},
        "core": {"allowed_network_hosts": []},
    }
    try:
        if trust_list:
            settings["trust"] = {"trust_anchors": trust_list}
        try:
            context = c2pa.Context.from_dict(settings)
        except c2pa.C2paError:  # a trust list that cannot be read vouches for nobody
            del settings["trust"]
            trust_list = ""
            context = c2pa.Context.from_dict(settings)
        with context, c2pa.Reader(None, BytesIO(data), context=context) as reader:
            store = json.loads(reader.json())
        yield from list(_judge(store, bool(trust_list)))
    except c2pa.C2paError as error:
        yield from _unreadable(str(error))
    except Exception:  # no assertion is to stop a check, whatever odd values it holds
        yield from _unreadable("Verify")


def _unreadable(error: str) -> Iterator[Finding]:
    if error.startswith("Remote"):
        yield Finding(
            "c2pa",
            "Content credentials are kept elsewhere",
            "The file names an address for them. Nothing is fetched from there, so they were not "
            "checked.",
            "unknown",
            "unsigned",
        )
    elif re.match(
        r"Assertion|Decoding|Encoding|Json|Manifest:|Signature|Verify|Other: (?!asset could)", error
    ):
        yield Finding(
            "c2pa",
            "Content credentials are damaged",
            "The file holds credentials that cannot be read, so they vouch for nothing.",
            "unknown",
            "invalid",
        )


_FAILURES: Final = (
    (
        r"assertion\.(data|bmff|boxes|collection)Hash",
        "the picture was changed after it was signed, or they were copied from another file",
    ),
    (r"assertion\.(hashedURI|missing|inaccessible)", "they were changed after they were signed"),
    (r"claimSignature\.(mismatch|missing)", "the signature does not fit them"),
    (
        r"signingCredential\.expired|claimSignature\.outside",
        "the certificate has expired, and no trusted time stamp shows that they are older",
    ),
    (r"signingCredential\.", "the certificate is not one that may sign them"),
)


def _judge(store: Mapping[str, Any], any_trust: bool) -> Iterator[Finding]:
    """The findings of a manifest store that was read and checked."""
    active = store["active_manifest"]
    manifest = store["manifests"][active]
    trust: Trust = {"Trusted": "trusted", "Valid": "valid"}.get(  # type: ignore[assignment]
        store["validation_state"], "invalid"
    )
    says, words = _claim(manifest)
    claim = f"It says: {words}." if words else "It does not say how the picture was made."
    who = _who(manifest)
    if trust == "trusted":
        title = "Content credentials by a trusted signer"
        reason = "The signature fits the file, and the signer is on the trust list."
    elif trust == "valid":
        title = "Content credentials by an unknown signer"
        reason = "The signature fits the file, but " + (
            "the signer is not on the trust list: anybody may have signed it."
            if any_trust
            else "no trust list is set up here to say who the signer is: it may be anybody."
        )
    else:
        title = "Content credentials that do not hold"
        reason = f"They vouch for nothing: {_failure(store)}."
        claim = claim.replace("It says", "They claim")
        says = "unknown"
    if trust != "invalid" and words:
        title += f": {words.partition(';')[0]}"
    yield Finding("c2pa", title, " ".join(filter(None, (claim, who, reason))), says, trust)
    yield from _history(store, trust)


def _history(store: Mapping[str, Any], trust: Trust) -> Iterator[Finding]:
    """Credentials of the pictures that this one was made from, if they speak of AI.

    They are signed by others and were checked without their pictures, so the active signer's
    trust is not theirs; what they say of cameras is left out, for it is of another picture.
    """
    for label, manifest in islice(store["manifests"].items(), 50):
        says, words = _claim(manifest)
        if label == store["active_manifest"] or says != "ai":
            continue
        good = trust != "invalid" and not _failed(store, label)
        yield Finding(
            "c2pa",
            f"Content credentials of an earlier picture: {words.partition(';')[0]}",
            f"This picture was made from another, whose own credentials say: {words}. "
            + _who(manifest)
            + (" Its signature fits." if good else " They could not be confirmed."),
            "ai" if good else "unknown",
            "valid" if good else "invalid",
        )


def _failed(store: Mapping[str, Any], label: str) -> bool:
    """Whether a check of an earlier picture's credentials failed, but for the signer's trust.

    They were checked twice: now, and with their picture, when this one was made from it.
    """
    results = [
        ingredient.get("validation_results", {}).get("activeManifest", {})
        for manifest in store["manifests"].values()
        for ingredient in manifest.get("ingredients", [])
        if ingredient.get("active_manifest") == label
    ]
    now = store["validation_results"].get("ingredientDeltas") or []
    results += [delta["validationDeltas"] for delta in now]
    failures = [failure for result in results for failure in result.get("failure", [])]
    return any(failure.get("code") != "signingCredential.untrusted" for failure in failures)


def _failure(store: Mapping[str, Any]) -> str:
    codes = [str(status.get("code")) for status in store.get("validation_status") or []]
    codes = [code for code in codes if code != "signingCredential.untrusted"]
    for pattern, words in _FAILURES:
        if any(re.match(pattern, code) for code in codes):
            return words
    return f"the check failed ({_clean(', '.join(codes)) or 'no reason given'})"


_HARMLESS: Final = {
    *("created", "opened", "placed", "published", "converted", "transcoded", "repackaged"),
    *("resized", "orientation", "watermarked", "unknown"),
}


def _claim(manifest: Mapping[str, Any]) -> tuple[Says, str]:
    """What the actions and the metadata of one manifest say of how the picture was made."""
    assertions = manifest.get("assertions") or []
    sources = [source for value in _values(assertions) if (source := _source(value))]
    sources.sort(key=lambda source: _STRENGTH.index(source[0]))
    words = list(dict.fromkeys(text for _, text in sources))[:3]
    edits = {
        action.removeprefix("c2pa.")
        for action in _values(assertions, "action")
        if isinstance(action, str) and action.startswith("c2pa.")
    } - _HARMLESS
    says = sources[0][0] if sources else "unknown"
    if edits:
        words.append("edited with " + _clean(_tools(assertions) or "software"))
        says = says if says == "ai" else "edited"
    return says, "; ".join(words)


def _values(node: Any, name: str = "digitalSourceType", depth: int = 12) -> Iterator[Any]:
    """The values under a key, which may have a prefix, anywhere in the assertions."""
    if depth and isinstance(node, Mapping):
        for key, value in node.items():
            if str(key).rpartition(":")[2].lower() == name.lower():
                yield value
            else:
                yield from _values(value, name, depth - 1)
    elif depth and isinstance(node, list):
        for value in islice(node, 1000):
            yield from _values(value, name, depth - 1)


def _tools(assertions: Any) -> str:
    names = (
        agent["name"] if isinstance(agent, Mapping) and "name" in agent else agent
        for agent in _values(assertions, "softwareAgent")
    )
    return ", ".join(dict.fromkeys(name for name in names if isinstance(name, str)))


def _who(manifest: Mapping[str, Any]) -> str:
    """Who signed a manifest, and with which program it was made."""
    signature = manifest.get("signature_info") or {}
    info = manifest.get("claim_generator_info") or [{}]
    program = info[0].get("name") or manifest.get("claim_generator")
    signer = signature.get("issuer") or signature.get("common_name") or "nobody named"
    text = f"Signed by {_quote(signer)}"
    if time := signature.get("time"):
        text += f" on {_clean(str(time))[:10]}"
    return text + (f" with {_quote(program)}." if program else ".")


# Unsigned metadata


def _declared(fields: Iterable[Field]) -> Iterator[Finding]:
    """The digital source type in XMP."""
    for field in fields:
        if field.place == "xmp" and field.name == "DigitalSourceType":
            says, words = _source(field.text) or ("unknown", "of a source that is not known here")
            yield Finding(
                "iptc",
                f"Declared in the metadata: {words}",
                f"The digital source type is {_quote(field.text)}. {_UNSIGNED}",
                says,
                "unsigned",
            )


class _Trace(NamedTuple):
    """What a generator leaves: fields, as place and name, and patterns that must all be there."""

    name: str
    where: str
    patterns: tuple[str, ...] = ()


_COMMENTS: Final = r"png\.parameters|(exif|xmp)\.UserComment|exif\.XPComment|comment\.Comment"
_CAPTIONS: Final = (
    r"png\.Description|xmp\.description|(exif|xmp)\.ImageDescription|iptc\.Caption|exif\.XPComment"
)
# Fields that name a program. Captions and authors are free text: a photograph of a Midjourney
# office is no picture by Midjourney.
_PROGRAMS: Final = (
    r"png\.(Software|Source|Generator)|exif\.(Software|Make|Model)|iptc\.(OriginatingProgram|Credit)"
    r"|xmp\.(CreatorTool|softwareAgent|AISystemUsed|Credit|Software|Make|Model)"
)

_TRACES: Final = (
    _Trace("SwarmUI", _COMMENTS, (r'"sui_image_params"',)),
    _Trace("Fooocus", _COMMENTS, (r"\bFooocus v\d",)),
    _Trace("Fooocus", r"png\.fooocus_scheme"),
    _Trace(
        "Stable Diffusion WebUI or a relative of it",
        f"{_COMMENTS}|exif\\.ImageDescription",
        (r"\bSteps: \d", r"\b(Sampler|CFG scale|Seed): "),
    ),
    _Trace(
        "ComfyUI",
        r"png\.(prompt|workflow)|exif\.(Make|Model|UserComment|ImageDescription)",
        (r"\A\s*(?:(?:prompt|workflow):?\s*)?\{", r'"class_type"|"last_node_id"|"nodes"'),
    ),
    _Trace("InvokeAI", r"png\.(invokeai_\w+|sd-metadata)"),
    _Trace("InvokeAI", r"png\.Dream", (r" -[sSCA]\s?\w",)),
    _Trace("Easy Diffusion", r"png\.use_stable_diffusion_model"),
    _Trace("Midjourney", _CAPTIONS, (r"\bJob ID: [0-9a-f]{8}-[0-9a-f]{4}-",)),
    _Trace("the label for AI-generated content", r"(png|xmp)\.AIGC", (r"\bLabel\b",)),
    _Trace("the label for AI-generated content", r"exif\.UserComment", (r'"AIGC"\s*:',)),
    _Trace("Midjourney", _PROGRAMS, (r"(?i)midjourney|nijijourney",)),
    _Trace("DALL·E", _PROGRAMS, (r"(?i)\bdall[-·. ]?e\b",)),
    _Trace("OpenAI", _PROGRAMS, (r"(?i)chatgpt|gpt-?4o|gpt-image|openai",)),
    _Trace("Adobe Firefly", _PROGRAMS, (r"(?i)firefly",)),
    _Trace("NovelAI", _PROGRAMS, (r"(?i)novelai",)),
    _Trace("ComfyUI", _PROGRAMS, (r"(?i)comfyui",)),
    _Trace("InvokeAI", _PROGRAMS, (r"(?i)invokeai",)),
    _Trace("Fooocus", _PROGRAMS, (r"(?i)fooocus",)),
    _Trace("SwarmUI", _PROGRAMS, (r"(?i)swarmui",)),
    _Trace("Draw Things", _PROGRAMS, (r"(?i)draw things",)),
    _Trace("Stable Diffusion", _PROGRAMS, (r"(?i)stable ?diffusion|stability ?ai|sd\.next|sdxl",)),
    _Trace("FLUX", _PROGRAMS, (r"(?i)black forest labs|\bflux[.-]?\d",)),
    _Trace("Google AI", _PROGRAMS, (r"(?i)made with google ai|google (ai|gemini|imagen)",)),
    _Trace("Bing Image Creator", _PROGRAMS, (r"(?i)image creator|microsoft designer",)),
    _Trace("Leonardo.Ai", _PROGRAMS, (r"(?i)leonardo\.?ai",)),
    _Trace("Ideogram", _PROGRAMS, (r"(?i)\bideogram",)),
    _Trace("a generative model", _PROGRAMS, (r"(?i)\bai[- ]generated\b",)),
    _Trace("a generative model", r"xmp\.(AISystemUsed|AIPromptInformation)", (r"\w",)),
)
_EDITORS: Final = (
    r"(?i)photoshop|lightroom|camera raw|\bgimp\b|affinity|capture one|snapseed|picsart|facetune"
    r"|faceapp|meitu|beautyplus|youcam|remini|canva|pixelmator|paint\.net|luminar|vsco|darktable"
    r"|rawtherapee|krita|photopea|topaz|photoscape|pixlr|polarr|lensa"
)
_PLACES: Final = {
    "png": "PNG text",
    "exif": "EXIF field",
    "xmp": "XMP field",
    "iptc": "IPTC field",
    "comment": "comment",
}


def _traces(fields: Sequence[Field]) -> Iterator[Finding]:
    """Generators, editors and cameras that fields name, at most one finding for each of them."""
    named: dict[str, Field] = {}
    left: list[Field] = []
    for field in fields:
        if name := _generator(field):
            named.setdefault(name, field)
        else:
            left.append(field)
    for name, field in named.items():
        yield Finding(
            field.place,
            f"Trace of {name}",
            f"The {_PLACES[field.place]} {field.name} is of the kind that it leaves: "
            f"{_quote(field.text)}. {_UNSIGNED}",
            "ai",
            "unsigned",
        )
    for field in left:
        tool = re.fullmatch(_PROGRAMS, f"{field.place}.{field.name}") or field.place == "comment"
        if tool and (match := re.search(_EDITORS, field.text[:500])):
            yield Finding(
                field.place,
                f"Saved by an image editor: {match[0]}",
                f"The {_PLACES[field.place]} {field.name} is {_quote(field.text)}. {_UNSIGNED}",
                "edited",
                "unsigned",
            )
            break
    if not any(field.name in ("Make", "Model") for field in named.values()):
        yield from _camera(left)


def _generator(field: Field) -> str | None:
    where = f"{field.place}.{field.name}"
    for trace in _TRACES:
        # Names of programs are short; settings stand after a prompt, which may be long.
        text = field.text[: 500 if trace.where == _PROGRAMS else 100_000]
        if re.fullmatch(trace.where, where) and all(re.search(p, text) for p in trace.patterns):
            return trace.name
    return None


def _camera(fields: Iterable[Field]) -> Iterator[Finding]:
    exif = {field.name: _clean(field.text) for field in fields if field.place == "exif"}
    make, model = exif.get("Make", ""), exif.get("Model", "")
    name = model if model.lower().startswith(make.lower()) else f"{make} {model}".strip()
    if name:
        lens = f" and the lens {_quote(exif['LensModel'])}" if exif.get("LensModel") else ""
        yield Finding(
            "exif",
            f"Names a camera or scanner: {name}",
            f"EXIF fields name the device {_quote(name)}{lens}. This is weak evidence. {_UNSIGNED}",
            "camera",
            "unsigned",
        )


def _clean(text: str, most: int = 80) -> str:
    """One line without control characters or marks that turn the writing round, cut short."""
    text = "".join(c if c.isprintable() else " " for c in text[: 4 * most])
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _quote(text: object) -> str:
    return f'"{_clean(str(text)).replace(chr(34), chr(39))}"'
