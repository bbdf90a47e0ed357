"""Files from the field that were once told wrongly, each with three more of its kind."""

from __future__ import annotations

import gzip
import json
import zlib
from io import BytesIO
from pathlib import Path

import credentials
import numpy as np
import pytest
from credentials import SOURCES, Signer
from PIL import Image
from test_metadata import chunk, exif, picture, with_chunks, with_segment
from test_provenance import WEBUI, png_text, xmp

from fakeface.evidence import credentials as checks
from fakeface.evidence import provenance
from fakeface.evidence.manifest import summarise
from fakeface.types import Finding

CASES = Path(__file__).parent / "data" / "cases"
AI = SOURCES + "trainedAlgorithmicMedia"
OPENED = {"action": "c2pa.opened"}
CREATED = {"action": "c2pa.created", "digitalSourceType": SOURCES + "digitalCapture"}


@pytest.fixture(scope="module")
def signer() -> Signer:
    return credentials.signer()


@pytest.fixture(autouse=True)
def no_trust_list(monkeypatch):
    monkeypatch.delenv(provenance.TRUST_LIST, raising=False)


def case(name: str) -> tuple[Finding, ...]:
    return provenance.find((CASES / name).read_bytes())


def signed(signer: Signer, **options) -> Finding:
    """What is said of the picture itself by credentials that hold."""
    data = signer.sign(picture("JPEG"), "image/jpeg", **{"actions": [], **options})
    finding = provenance.find(data, trust_list=signer.root)[0]
    assert (finding.trust, finding.checked) == ("trusted", "holds")
    return finding


# A check that was not made is not one that failed


def test_who_the_creator_is_was_not_checked_and_the_picture_holds():
    of_picture, of_person = case("c2pa_cawg_unresolvable_did.jpg")
    assert (of_picture.trust, of_picture.checked) == ("valid", "holds")
    assert "unknown signer" in of_picture.title
    assert (of_person.trust, of_person.checked) == ("unsigned", "not_checked")
    assert "nothing is fetched" in of_person.detail
    assert "says nothing against the picture" in of_person.detail


IDENTITY = {"assertions": [{"label": "cawg.identity"}], "label": "x"}


@pytest.mark.parametrize(
    ("code", "checked"),
    [
        ("cawg.ica.untrusted_issuer", "not_checked"),
        ("cawg.identity.sig_type.unknown", "not_checked"),
        ("cawg.x509.credential.untrusted", "not_checked"),
        ("cawg.x509.algorithm.unsupported", "not_checked"),
        ("cawg.ica.did_unsupported_method", "not_checked"),
        ("cawg.x509.signature.mismatch", "does_not_hold"),
        ("cawg.identity.assertion.mismatch", "does_not_hold"),
    ],
)
def test_no_fault_of_a_statement_about_a_person_is_one_of_the_picture(code, checked):
    url = "self#jumbf=/c2pa/x/c2pa.assertions/"
    failures = [
        {"code": code, "url": url + "cawg.identity"},
        {"code": "signingCredential.untrusted", "url": url + "cawg.identity"},
    ]
    successes = [
        {"code": "claimSignature.validated", "url": "self#jumbf=/c2pa/x/c2pa.signature"},
        {"code": "assertion.dataHash.match", "url": url + "c2pa.hash.data"},
        {"code": "signingCredential.trusted", "url": "self#jumbf=/c2pa/x/c2pa.signature"},
    ]
    store = {
        "active_manifest": "x",
        "manifests": {"x": IDENTITY},
        "validation_state": "Invalid",
        "validation_results": {"activeManifest": {"failure": failures, "success": successes}},
    }
    of_picture, of_person = checks._judge(store, True)
    assert (of_picture.trust, of_picture.checked) == ("trusted", "holds")
    assert (of_person.trust, of_person.checked) == ("unsigned", checked)


@pytest.mark.parametrize(
    ("code", "checked"),
    [
        ("assertion.dataHash.mismatch", "does_not_hold"),
        ("assertion.hashedURI.mismatch", "does_not_hold"),
        ("claimSignature.mismatch", "does_not_hold"),
        ("signingCredential.ocsp.revoked", "does_not_hold"),
        ("signingCredential.expired", "not_checked"),
        ("algorithm.unsupported", "not_checked"),
        ("algorithm.deprecated", "not_checked"),
        ("manifest.inaccessible", "not_checked"),
        ("signingCredential.untrusted", "holds"),
        ("timeStamp.untrusted", "holds"),
        ("assertion.action.malformed", "holds"),
    ],
)
def test_each_code_has_one_of_the_answers(code, checked):
    passed = [{"code": "claimSignature.validated"}, {"code": "assertion.dataHash.match"}]
    assert checks._check([{"code": code}], passed).checked == checked


def test_credentials_hold_only_if_signature_and_hash_were_seen_to_fit():
    assert checks._check([], [{"code": "claimSignature.validated"}]).checked == "not_checked"
    assert checks._check([], [{"code": "assertion.dataHash.match"}]).checked == "not_checked"


def test_a_claim_of_a_newer_standard_is_not_checked(signer):
    data = signer.sign(picture("JPEG"), "image/jpeg", actions=[CREATED])
    newer = data.replace(b"c2pa.claim.v2", b"c2pa.claim.v9")
    assert newer != data
    (finding,) = provenance.find(newer)
    assert (finding.says, finding.trust, finding.checked) == ("unknown", "unsigned", "not_checked")
    assert "too new or too old" in finding.detail


@pytest.mark.parametrize(
    "error", ["Other: prerelease content detected", "NotSupported: x", "Io: x", "Other: x"]
)
def test_errors_that_are_no_damage(error):
    assert not [f for f in checks._unreadable(error) if f.checked == "does_not_hold"] or (
        error == "Other: x"
    )


# Signed statements of AI are read wherever vendors put them


def test_the_older_assertion_of_adobe():
    (finding,) = case("c2pa_legacy_genai_assertion.jpg")
    assert (finding.says, finding.scope, finding.checked) == ("ai", "whole", "holds")
    assert "made by a generative model (Adobe Firefly)" in finding.title


def test_a_key_of_a_vendor_and_the_model_in_the_parameters():
    (finding,) = case("c2pa_partner_model.jpg")
    assert (finding.says, finding.scope) == ("ai", "part")
    assert "imagen-3.0-generate-002" in finding.detail


@pytest.mark.parametrize(
    "action",
    [
        {"softwareAgent": "DALL-E"},
        {"softwareAgent": {"name": "Adobe Firefly", "version": "3"}},
        {"softwareAgent": "Midjourney v6.1"},
        {"softwareAgentIndex": 0},
        {"parameters": {"com.vendor.digitalSourceType": AI}},
        {"parameters": {"vendor:digitalSourceType": AI}},
        {"parameters": {"x": {"digital_source_type": AI}}},
    ],
)
def test_agents_and_keys_of_the_creation(signer, action):
    created = {"action": "c2pa.created", **action}
    agents = ({"name": "Some Editor"},) if "softwareAgentIndex" not in action else ()
    finding = signed(signer, actions=[created], agents=agents or ({"name": "GPT-4o"},))
    assert (finding.says, finding.scope) == ("ai", "whole")
    assert "made by a generative model" in finding.title


@pytest.mark.parametrize(
    ("data", "scope"),
    [
        ({"actions": [{"action": "c2pa.created", "digitalSourceType": [AI]}]}, "whole"),
        ({"actions": [{"action": "c2pa.created", "x:digitalSourceType": {"@id": AI}}]}, "whole"),
        (
            {
                "actions": [{"action": "c2pa.created"}],
                "templates": [{"action": "c2pa.created", "digitalSourceType": AI}],
            },
            "whole",
        ),
        (
            {
                "actions": [{"action": "c2pa.opened"}, {"action": "c2pa.edited"}],
                "templates": [{"action": "c2pa.edited", "softwareAgent": "Adobe Firefly"}],
            },
            "part",
        ),
    ],
)
def test_other_spellings_of_the_same(data, scope):
    says, said, _ = summarise({"assertions": [{"label": "c2pa.actions.v2__1", "data": data}]})
    assert (says, said) == ("ai", scope)


def test_an_assertion_of_a_vendor_on_a_picture_that_was_opened():
    vendor = {"label": "com.vendor.edits", "data": {"com.vendor.digitalSourceType": AI}}
    opened = {"label": "c2pa.actions", "data": {"actions": [OPENED]}}
    metadata = {"label": "cawg.metadata", "data": {"Iptc4xmpExt:DigitalSourceType": AI}}
    assert summarise({"assertions": [vendor]})[1] == "whole"
    assert summarise({"assertions": [opened, vendor]})[1] == "part"
    assert summarise({"assertions": [opened, metadata]})[1] == "whole"


def test_a_watermark_is_no_edit(signer):
    marked = {"action": "c2pa.watermarked.unbound"}
    assert signed(signer, actions=[CREATED, marked]).says == "camera"


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    "program",
    ["Adobe_Firefly", "OpenAI-API", "ChatGPT", "Midjourney/7", "Adobe Firefly/1.0 c2pa-rs/0.33"],
)
def test_a_generator_that_wrote_the_claim(signer, program, version):
    options = {"program": program, "version": version}
    made = signed(signer, actions=[{"action": "c2pa.created"}], **options)
    assert (made.says, made.scope) == ("ai", "whole")
    filled = signed(signer, actions=[OPENED, {"action": "c2pa.edited"}], **options)
    assert (filled.says, filled.scope) == ("ai", "part")
    passed_on = signed(signer, actions=[OPENED, {"action": "c2pa.converted"}], **options)
    assert (passed_on.says, passed_on.scope) == ("unknown", None)
    photograph = signed(signer, actions=[CREATED], **options)
    assert photograph.says == "camera"


@pytest.mark.parametrize(
    "program", ["Firefly fan club", "Canvas", "A camera by OpenAI's neighbour", "Midjourney museum"]
)
def test_names_that_only_hold_a_generators_name(signer, program):
    created = {"action": "c2pa.created", "softwareAgent": program}
    assert signed(signer, actions=[created], program=program).says == "unknown"


def test_the_older_assertion_on_a_picture_that_was_opened(signer):
    generative = {
        "label": "com.adobe.generative-ai",
        "data": {"description": "Adobe Firefly", "version": "0.9"},
    }
    actions = [OPENED, {"action": "c2pa.edited"}]
    finding = signed(signer, actions=actions, assertions=(generative,), version=1)
    assert (finding.says, finding.scope) == ("ai", "part")


@pytest.mark.parametrize(
    ("relationship", "scope"), [("componentOf", "part"), ("inputTo", "part"), ("parentOf", "whole")]
)
def test_source_types_of_ingredients(signer, relationship, scope):
    said = {"title": "x", "relationship": relationship, "digital_source_type": AI}
    actions = [OPENED] if relationship == "parentOf" else [CREATED]
    finding = signed(signer, actions=actions, ingredients=((said, picture("JPEG")),))
    assert (finding.says, finding.scope) == ("ai", scope)


def test_an_ingredient_by_a_camera_makes_no_photograph(signer):
    said = {"title": "x", "relationship": "componentOf"}
    said["digital_source_type"] = SOURCES + "digitalCapture"
    actions = [{"action": "c2pa.created", "digitalSourceType": SOURCES + "digitalCreation"}]
    finding = signed(signer, actions=actions, ingredients=((said, picture("JPEG")),))
    assert (finding.says, finding.scope) == ("unknown", None)


# What is said of a part is not told of the whole


def test_generative_fill_on_a_photograph():
    (finding,) = case("c2pa_generative_fill_on_photo.jpg")
    assert (finding.says, finding.scope) == ("ai", "part")
    assert "parts of it were made with a generative model" in finding.title
    assert "made by" not in finding.title + finding.detail


@pytest.mark.parametrize(
    "edit",
    [
        {"action": "c2pa.edited", "digitalSourceType": AI},
        {"action": "c2pa.placed", "digitalSourceType": AI},
        {"action": "com.vendor.expanded", "parameters": {"com.vendor.digitalSourceType": AI}},
        {"action": "c2pa.edited", "softwareAgent": "Adobe Firefly"},
    ],
)
def test_an_edit_by_ai_of_a_photograph(signer, edit):
    finding = signed(signer, actions=[CREATED, edit])
    assert (finding.says, finding.scope) == ("ai", "part")
    assert "parts of it were made with a generative model" in finding.title
    assert "taken with a digital camera" in finding.detail


def test_an_edit_of_a_made_picture_leaves_it_made(signer):
    created = {"action": "c2pa.created", "digitalSourceType": AI}
    edit = {"action": "c2pa.edited", "digitalSourceType": AI}
    assert signed(signer, actions=[created, edit]).scope == "whole"


@pytest.mark.parametrize("source", ["compositeWithTrainedAlgorithmicMedia", "compositeSynthetic"])
def test_source_types_that_speak_of_parts(signer, source):
    created = {"action": "c2pa.created", "digitalSourceType": SOURCES + source}
    assert signed(signer, actions=[created]).scope == "part"
    (finding,) = provenance.find(xmp(f'Iptc4xmpExt:DigitalSourceType="{SOURCES}{source}"'))
    assert finding.scope == "part" and "parts of it" in finding.title


def test_a_made_picture_that_was_placed_in_another(signer):
    part = signer.sign(
        picture("JPEG"), "image/jpeg", actions=[{"action": "c2pa.created", "digitalSourceType": AI}]
    )
    said = {"title": "x", "relationship": "componentOf"}
    data = signer.sign(
        picture("JPEG"), "image/jpeg", actions=[CREATED], ingredients=((said, part),)
    )
    of_picture, of_part = provenance.find(data)
    assert of_picture.says == "camera"
    assert (of_part.says, of_part.scope) == ("ai", "part")
    assert "parts of it were made with a generative model" in of_part.title


# Words in free text are no signature of a program


def test_a_credit_names_who_supplies_a_picture():
    assert case("credit_openai_handout.jpg") == ()


def iptc(number: int, text: bytes) -> bytes:
    record = b"\x1c\x02" + bytes([number]) + len(text).to_bytes(2, "big") + text
    return b"Photoshop 3.0\x008BIM\x04\x04\0\0" + len(record).to_bytes(4, "big") + record


@pytest.mark.parametrize(
    "data",
    [
        xmp('photoshop:Credit="OpenAI"'),
        xmp('photoshop:Credit="Midjourney"'),
        xmp('photoshop:Credit="Made with Google AI Studio by Reuters"'),
        with_segment(0xED, iptc(110, b"Stability AI")),
        with_segment(0xED, iptc(80, b"Midjourney")),
        with_segment(0xED, iptc(120, b"Midjourney")),
        png_text(Author="NovelAI", Copyright="OpenAI", Description="DALL-E 3"),
        picture("JPEG", exif=exif(ImageDescription="Midjourney")),
        picture("JPEG", exif=exif(ImageDescription=WEBUI)),
        png_text(Software="A comparison of Midjourney and DALL-E"),
    ],
)
def test_nobody_is_named_by_free_text(data):
    assert provenance.find(data) == ()


def test_a_camera_that_is_called_like_a_generator():
    (finding,) = case("camera_firefly.jpg")
    assert (finding.says, finding.scope) == ("camera", "whole")
    assert "Firefly 8SE" in finding.title


@pytest.mark.parametrize(
    "tags",
    [
        {"Make": "Hawkeye", "Model": "Firefly Q6"},
        {"Make": "Flux Instruments", "Model": "Flux 2"},
        {"Make": "Gemini", "Model": "Gemini 4K"},
        {"Make": "Leonardo", "Model": "Leonardo.Ai-cam"},
    ],
)
def test_other_cameras(tags):
    assert [f.says for f in provenance.find(picture("JPEG", exif=exif(**tags)))] == ["camera"]


def test_a_program_whose_name_begins_like_an_editors():
    (finding,) = case("software_canvas.jpg")
    assert finding.says == "camera"


@pytest.mark.parametrize(
    "name",
    ["Canvas 2", "reminiscent 1.0", "Premini", "VSCOde", "GIMPel", "lensation", "Midjourneys"],
)
def test_names_inside_other_words(name):
    assert provenance.find(picture("JPEG", exif=exif(Software=name))) == ()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Canva", "edited"),
        ("Canva (Renderer)", "edited"),
        ("Adobe Photoshop CS6 (Windows)", "edited"),
        ("Adobe Photoshop 25.5 (20240118.m.2453 fee4d69)  (Windows)", "edited"),
        ("Capture One 23 Macintosh", "edited"),
        ("Midjourney v6", "ai"),
        ("midjourney 6.1 alpha", "ai"),
        ("dall-e-3", "ai"),
        ("Adobe_Firefly", "ai"),
        ("NovelAI Diffusion V4.5 4BDE2A90", "ai"),
        ("gpt-image-1", "ai"),
    ],
)
def test_names_with_their_versions(name, says):
    (finding,) = provenance.find(picture("JPEG", exif=exif(Software=name)))
    assert finding.says == says


@pytest.mark.parametrize(
    ("sentence", "scope"),
    [
        ("Made with Google AI", "whole"),
        ("Edited with Google AI", "part"),
        ("Apple Photos Clean Up", "part"),
        ("AI-generated content", None),
        ("Made with Adobe Firefly", "whole"),
    ],
)
def test_fixed_sentences_of_makers(sentence, scope):
    for data in (
        xmp(f'photoshop:Credit="{sentence}"'),
        with_segment(0xED, iptc(110, sentence.encode())),
        picture("JPEG", exif=exif(Software=sentence)),
    ):
        (finding,) = provenance.find(data)
        assert (finding.says, finding.scope) == ("ai", scope)
    assert provenance.find(xmp(f'photoshop:Credit="{sentence}!"')) == ()


def test_ambiguous_names_count_in_signed_credentials_only(signer):
    for name in ("Firefly", "Imagen", "Gemini 3", "Runway"):
        assert provenance.find(picture("JPEG", exif=exif(Software=name))) == ()
        created = {"action": "c2pa.created", "softwareAgent": name}
        assert signed(signer, actions=[created]).says == "ai"


# PNG's raw profiles


def test_settings_in_a_raw_profile_of_exif():
    (finding,) = case("imagemagick_rawprofile_exif.png")
    assert (finding.kind, finding.says) == ("exif", "ai")
    assert "Stable Diffusion" in finding.title


def raw(kind: str, body: bytes) -> bytes:
    """As ImageMagick writes it: lines of 72 hexadecimal digits."""
    digits = body.hex()
    lines = "\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
    return f"\n{kind}\n{len(body):8}\n{lines}\n".encode()


COMMENT = exif(UserComment=b"ASCII\0\0\0" + WEBUI.encode()).tobytes()
DECLARED = xmp(f'Iptc4xmpExt:DigitalSourceType="{AI}"')
PACKET = DECLARED[DECLARED.index(b"<x:xmpmeta") : DECLARED.index(b"</x:xmpmeta>") + 12]
MADE = iptc(110, b"Made with Google AI")


@pytest.mark.parametrize("form", ["tEXt", "zTXt", "iTXt"])
@pytest.mark.parametrize(
    ("kind", "body", "found"),
    [
        ("exif", COMMENT, "exif"),
        ("exif", COMMENT.removeprefix(b"Exif\0\0"), "exif"),
        ("APP1", COMMENT, "exif"),
        ("APP1", b"http://ns.adobe.com/xap/1.0/\0" + PACKET, "iptc"),
        ("xmp", PACKET, "iptc"),
        ("iptc", MADE, "iptc"),
        ("iptc", MADE[MADE.index(b"\x1c") :], "iptc"),
        ("8bim", MADE.removeprefix(b"Photoshop 3.0\0"), "iptc"),
    ],
)
def test_every_raw_profile_in_every_kind_of_text(form, kind, body, found):
    text = raw(kind.lower(), body)
    packed = zlib.compress(text)
    keyword = f"Raw profile type {kind}".encode() + b"\0"
    chunks = {
        "tEXt": keyword + text,
        "zTXt": keyword + b"\0" + packed,
        "iTXt": keyword + b"\1\0\0\0" + packed,
    }
    (finding,) = provenance.find(with_chunks(chunk(form.encode(), chunks[form])))
    assert (finding.kind, finding.says) == (found, "ai")


# Marks in the pixels


def test_settings_in_the_alpha_plane():
    (finding,) = case("stealth_novelai.png")
    assert (finding.kind, finding.says, finding.trust) == ("pixels", "ai", "unsigned")
    assert "NovelAI" in finding.title and "alpha plane (stealth_pngcomp)" in finding.title


NOVEL = json.dumps({"Software": "NovelAI", "Comment": json.dumps({"steps": 28})})


def stealth(signature: str, text: str, size: tuple[int, int] = (90, 130), **options) -> bytes:
    """Noise with a text in its lowest bits, as the extension of the WebUI writes it."""
    body = text.encode()
    if signature.endswith("comp"):
        body = gzip.compress(body)
    length = options.pop("length", 8 * len(body))
    data = signature.encode() + length.to_bytes(4, "big") + body
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 4), np.uint8)
    pixels[..., 3] |= 0xF0
    rgb = signature.startswith("stealth_rgb")
    columns = (pixels[..., :3] if rgb else pixels[..., 3:]).transpose(1, 0, 2).copy()
    flat = columns.reshape(-1)
    flat[: len(bits)] = flat[: len(bits)] & 0xFE | bits
    pixels[..., slice(3) if rgb else slice(3, 4)] = columns.transpose(1, 0, 2)
    file = BytesIO()
    if options.pop("opaque", False):
        pixels = np.ascontiguousarray(pixels[..., :3])
    Image.fromarray(pixels).save(file, **{"format": "PNG", **options})
    return file.getvalue()


@pytest.mark.parametrize("size", [(90, 130), (300, 90), (40, 500), (2000, 11)])
@pytest.mark.parametrize("kind", ["pnginfo", "pngcomp", "rgbinfo", "rgbcomp"])
@pytest.mark.parametrize(("text", "name"), [(NOVEL, "NovelAI"), (WEBUI, "Stable Diffusion WebUI")])
def test_the_four_kinds_of_mark(kind, text, name, size):
    (finding,) = provenance.find(stealth(f"stealth_{kind}", text, size))
    assert (finding.kind, finding.says, finding.checked) == ("pixels", "ai", None)
    assert name in finding.title and f"stealth_{kind}" in finding.title


def test_marks_in_pictures_without_alpha_and_in_webp():
    (finding,) = provenance.find(stealth("stealth_rgbcomp", NOVEL, opaque=True))
    assert "NovelAI in the colours" in finding.title
    for kind in ("pngcomp", "rgbinfo"):
        options = {"format": "WEBP", "lossless": True, "exact": True}
        (finding,) = provenance.find(stealth(f"stealth_{kind}", NOVEL, **options))
        assert "NovelAI" in finding.title


def test_a_mark_is_found_beside_trouble_in_the_text_and_the_profile():
    data = stealth("stealth_pngcomp", NOVEL)
    at = data.index(b"IDAT") - 4
    bomb = chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(5 << 20)))
    text = chunk(b"zTXt", b"a\0\0" + b"no zlib")
    mark, trouble = provenance.find(data[:at] + bomb + text + data[at:])
    assert mark.kind == "pixels" and "could not be read" in trouble.title


@pytest.mark.parametrize("length", [0, 8, 64])
def test_a_mark_whose_text_is_damaged(length):
    (finding,) = provenance.find(stealth("stealth_pngcomp", NOVEL, length=length))
    assert finding.says == "ai" and "could not be read" in finding.detail


@pytest.mark.parametrize("length", [8 * 60, 1 << 31, (1 << 32) - 1])
@pytest.mark.parametrize("kind", ["pnginfo", "pngcomp", "rgbinfo"])
def test_a_mark_whose_length_is_wrong_is_read_as_far_as_it_goes(kind, length):
    (finding,) = provenance.find(stealth(f"stealth_{kind}", NOVEL, length=length))
    assert finding.says == "ai" and "NovelAI" in finding.title


def test_large_pictures_are_not_searched_for_marks(monkeypatch):
    monkeypatch.setattr("fakeface.evidence.stealth.MAX_PIXELS", 90 * 130 - 1)
    (finding,) = provenance.find(stealth("stealth_pngcomp", NOVEL))
    assert (finding.kind, finding.checked) == ("pixels", "not_checked")
    assert "limit of fakeface" in finding.detail
    assert provenance.find(picture("PNG", exif=exif(Make="Canon")))[0].says == "camera"


def test_noise_has_no_mark():
    assert provenance.find(stealth("stealth_nothing", NOVEL)) == ()
    assert provenance.find(stealth("stealth_rgbinfo", NOVEL).replace(b"IDAT", b"IDAX")) == ()


# What follows a JPEG


def test_a_trailer_and_a_gain_map_do_no_harm(signer):
    jpeg = picture("JPEG", exif=exif(Make="Google", Model="Pixel 9"))
    gain_map = picture("JPEG", exif=exif(Software="Midjourney"))
    index = b"MPF\0II*\0\x08\0\0\0\0\0"
    at = 2
    ultra = jpeg[:at] + b"\xff\xe2" + (len(index) + 2).to_bytes(2, "big") + index + jpeg[at:]
    trailer = b"SEFH" + chunk(b"tEXt", b"parameters\0" + WEBUI.encode()) + b"SEFT"
    for data in (jpeg + trailer, ultra + gain_map, ultra + gain_map + trailer):
        assert [f.says for f in provenance.find(data)] == ["camera"]
    data = signer.sign(ultra + gain_map, "image/jpeg", actions=[CREATED])
    finding = provenance.find(data)[0]
    assert (finding.says, finding.checked) == ("camera", "holds")


# Trouble beside the pixels


@pytest.mark.parametrize(
    ("data", "kind", "limit"),
    [
        (with_chunks(chunk(b"zTXt", b"a\0\0no zlib")), "png", False),
        (with_chunks(chunk(b"tEXt", b"Software\0X")[:-1] + b"!"), "png", False),
        (with_chunks(chunk(b"eXIf", b"II*\0\xff\xff\0\0")), "exif", False),
        (with_segment(0xE1, b"Exif\0\0nonsense"), "exif", False),
        (with_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<a><b>"), "xmp", False),
        (with_segment(0xED, b"Photoshop 3.0\x008BIM\x04\x04\0"), "iptc", False),
        (with_chunks(chunk(b"tEXt", b"Raw profile type exif\0\nexif\n 9\nxyz")), "exif", False),
        (with_chunks(chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2 << 20)))), "png", True),
        (with_chunks(*[chunk(b"tEXt", b"a\0b")] * 300), "png", True),
        (with_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + b"<a>" * 100), "xmp", True),
    ],
)
def test_what_cannot_be_read_is_told_and_a_limit_as_a_limit(data, kind, limit):
    finding = provenance.find(data)[-1]
    assert (finding.kind, finding.says, finding.checked) == (kind, "unknown", "not_checked")
    assert ("limit of fakeface" in finding.detail) == limit
    assert ("could not be read" in finding.title) != limit
    assert "The picture is judged all the same." in finding.detail
