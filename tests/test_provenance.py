"""What is found in real files: signed by certificates made here, or written by Pillow."""

from __future__ import annotations

import http.server
import random
import sys
import threading
import time
import zlib
from io import BytesIO

import c2pa
import credentials
import pytest
from credentials import SOURCES, Signer
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from test_metadata import chunk, exif, picture, with_chunks, with_segment

from fakeface.evidence import provenance
from fakeface.types import Finding

MADE = [
    {
        "action": "c2pa.created",
        "digitalSourceType": SOURCES + "trainedAlgorithmicMedia",
        "softwareAgent": {"name": "Some Model"},
    }
]
PHOTOGRAPHED = [{"action": "c2pa.created", "digitalSourceType": SOURCES + "digitalCapture"}]
EDITED = [{"action": "c2pa.edited", "softwareAgent": {"name": "Some Editor"}}]

FORMATS = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "TIFF": "image/tiff",
    "GIF": "image/gif",
    "AVIF": "image/avif",
}


@pytest.fixture(scope="module")
def camera() -> Signer:
    return credentials.signer("Camera Company")


@pytest.fixture(scope="module")
def editor() -> Signer:
    return credentials.signer("Editor Company")


@pytest.fixture(autouse=True)
def quiet(monkeypatch, capfd, caplog):
    """No test may print or log, and none depends on the machine's trust list."""
    monkeypatch.delenv(provenance.TRUST_LIST, raising=False)
    yield
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def one(data: bytes, **options) -> Finding:
    (finding,) = provenance.find(data, **options)
    return finding


def signed(signer: Signer, fmt: str = "JPEG", **options) -> bytes:
    return signer.sign(picture(fmt), FORMATS[fmt], **{"actions": MADE, **options})


# Content credentials


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_valid_signature_by_somebody_unknown(fmt, camera):
    finding = one(signed(camera, fmt, program="Some Program"))
    assert (finding.kind, finding.says, finding.trust) == ("c2pa", "ai", "valid")
    assert "made by a generative model" in finding.title
    assert "no trust list is set up" in finding.detail
    assert '"Camera Company" with "Some Program"' in finding.detail


def test_a_signer_on_the_trust_list_and_one_who_is_not(camera, editor):
    data = signed(camera)
    assert one(data, trust_list=camera.root).trust == "trusted"
    assert one(data, trust_list=editor.root + camera.root).trust == "trusted"
    other = one(data, trust_list=editor.root)
    assert other.trust == "valid" and "not on the trust list" in other.detail


def test_the_trust_list_may_be_named_by_the_environment(camera, tmp_path, monkeypatch):
    path = tmp_path / "anchors.pem"
    path.write_text(camera.root)
    monkeypatch.setenv(provenance.TRUST_LIST, str(path))
    assert one(signed(camera)).trust == "trusted"
    monkeypatch.setenv(provenance.TRUST_LIST, str(tmp_path / "missing.pem"))
    assert one(signed(camera)).trust == "valid"


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_changed_picture_is_invalid_whoever_signed_it(fmt, camera):
    data = bytearray(signed(camera, fmt, actions=PHOTOGRAPHED))
    at = data.index(picture(fmt)[-24:-8])  # among the pixels, which come last
    data[at] ^= 0x10
    finding = one(bytes(data), trust_list=camera.root)
    assert (finding.says, finding.trust) == ("unknown", "invalid")
    assert "the picture was changed after it was signed" in finding.detail
    assert "taken with a digital camera" in finding.detail  # what they claim is told


def test_credentials_of_another_picture_are_invalid(camera):
    data = signed(camera, actions=PHOTOGRAPHED)
    start = data.index(b"\xff\xeb")
    length = int.from_bytes(data[start + 2 : start + 4], "big") + 2
    other = BytesIO()
    Image.new("RGB", (48, 32), "blue").save(other, "JPEG")
    jpeg = other.getvalue()
    stolen = jpeg[:20] + data[start : start + length] + jpeg[20:]
    assert one(stolen, trust_list=camera.root).trust == "invalid"


def test_a_forged_signature_is_invalid(camera):
    data = signed(camera)
    forged = data.replace(b"Some Model", b"Same Model")
    assert forged != data
    finding = one(forged, trust_list=camera.root)
    assert (finding.says, finding.trust) == ("unknown", "invalid")
    assert "they were changed after they were signed" in finding.detail


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("trainedAlgorithmicMedia", "ai"),
        ("compositeWithTrainedAlgorithmicMedia", "ai"),
        ("compositeSynthetic", "ai"),
        ("digitalCapture", "camera"),
        ("computationalCapture", "camera"),
        ("humanEdits", "edited"),
        ("digitalCreation", "unknown"),
        ("somethingNew", "unknown"),
    ],
)
def test_source_types_of_actions(source, says, camera):
    actions = [{"action": "c2pa.created", "digitalSourceType": SOURCES + source}]
    assert one(signed(camera, actions=actions)).says == says


def test_a_photograph_that_was_edited_is_no_plain_photograph(camera):
    finding = one(signed(camera, actions=PHOTOGRAPHED + EDITED), trust_list=camera.root)
    assert finding.says == "edited"
    assert "edited with Some Editor; taken with a digital camera" in finding.detail


def test_a_source_type_in_signed_metadata(camera):
    extra = {
        "label": "stds.iptc",
        "data": {
            "@context": {"Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"},
            "Iptc4xmpExt:DigitalSourceType": SOURCES + "trainedAlgorithmicMedia",
        },
    }
    finding = one(signed(camera, actions=PHOTOGRAPHED, assertions=(extra,)))
    assert finding.says == "ai"


def test_an_edited_picture_tells_that_it_began_as_a_generated_one(camera, editor):
    parent = signed(camera)
    data = signed(editor, actions=EDITED, parent=parent)
    active, earlier = provenance.find(data, trust_list=editor.root)
    assert (active.says, active.trust) == ("edited", "trusted")
    assert (earlier.says, earlier.trust) == ("ai", "valid")  # the editor's trust is not its own
    assert "earlier picture" in earlier.title and "Camera Company" in earlier.detail


def test_an_earlier_picture_that_was_tampered_with_is_not_believed(camera, editor):
    parent = bytearray(signed(camera))
    parent[-20] ^= 0x10
    data = signed(editor, actions=EDITED, parent=bytes(parent))
    active, earlier = provenance.find(data, trust_list=editor.root)
    assert active.trust == "trusted"
    assert (earlier.says, earlier.trust) == ("unknown", "invalid")


def test_an_earlier_photograph_lends_no_credit(camera, editor):
    parent = signed(camera, actions=PHOTOGRAPHED)
    finding = one(signed(editor, actions=EDITED, parent=parent), trust_list=editor.root)
    assert finding.says == "edited" and "camera" not in finding.detail


def test_credentials_on_a_server_are_not_fetched(camera):
    asked = []

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        data = signed(camera, address=f"http://127.0.0.1:{server.server_port}/credentials")
        finding = one(data)
        assert not asked
        with pytest.raises(c2pa.C2paError):  # as the library does if it may
            c2pa.Reader(None, BytesIO(data))
        assert asked == ["/credentials"]
        server.shutdown()
    assert "kept elsewhere" in finding.title
    assert (finding.says, finding.trust) == ("unknown", "unsigned")


def test_damaged_credentials_are_a_finding(camera):
    data = signed(camera)
    at = data.index(b"c2cs")  # the box that holds the signature
    finding = one(data[:at] + b"xxxx" + data[at + 4 :])
    assert finding.trust == "invalid" and "damaged" in finding.title


def test_a_trust_list_that_is_no_list_vouches_for_nobody(camera):
    assert one(signed(camera), trust_list="no certificate").trust == "valid"


def test_without_the_package_it_is_said_that_nothing_was_checked(camera, monkeypatch):
    data = signed(camera)
    monkeypatch.setitem(sys.modules, "c2pa", None)
    assert "not checked" in one(data).title


def test_any_damage_to_signed_files_is_survived(camera):
    rng = random.Random(6)
    data = signed(camera)
    for _ in range(200):
        broken = bytearray(data[: rng.randrange(len(data))] if rng.random() < 0.2 else data)
        for _ in range(rng.choice((1, 1, 4))):
            if broken:
                broken[rng.randrange(len(broken))] = rng.randrange(256)
        found = provenance.find(bytes(broken), trust_list=camera.root)
        if bytes(broken) == data:
            continue
        assert all(isinstance(finding, Finding) for finding in found)


# Generators


def png_text(**texts: str) -> bytes:
    info = PngInfo()
    for name, text in texts.items():
        info.add_itxt(name.replace("_dash_", "-"), text)
    return picture("PNG", pnginfo=info)


WEBUI = "a portrait\nNegative prompt: blurry\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("Stable Diffusion WebUI", png_text(parameters=WEBUI)),
        (
            "Stable Diffusion WebUI",
            picture("JPEG", exif=exif(UserComment=b"UNICODE\0" + WEBUI.encode("utf-16-be"))),
        ),
        (
            "Stable Diffusion WebUI",
            picture("WEBP", exif=exif(UserComment=b"UNICODE\0" + WEBUI.encode("utf-16-le"))),
        ),
        ("ComfyUI", png_text(prompt='{"3": {"class_type": "KSampler", "inputs": {}}}')),
        ("ComfyUI", png_text(workflow='{"last_node_id": 9, "nodes": []}')),
        ("ComfyUI", picture("WEBP", exif=exif(Make='workflow:{"nodes": []}'))),
        ("InvokeAI", png_text(invokeai_metadata='{"positive_prompt": "a"}')),
        ("InvokeAI", png_text(sd_dash_metadata='{"image": {}}')),
        ("InvokeAI", png_text(Dream='"a face" -s 50 -S 1 -W 512')),
        ("NovelAI", png_text(Software="NovelAI", Comment='{"steps": 28}')),
        ("SwarmUI", png_text(parameters='{"sui_image_params": {"prompt": "a"}}')),
        ("Fooocus", png_text(parameters='{"version": "Fooocus v2.5.5"}')),
        (
            "Midjourney",
            png_text(Description="face --v 6 Job ID: 0a1b2c3d-0000-4000-8000-0123456789ab"),
        ),
        ("Midjourney", picture("JPEG", exif=exif(Software="Midjourney"))),
        ("DALL·E", picture("JPEG", exif=exif(Software="DALL-E 3"))),
        ("Adobe Firefly", picture("JPEG", exif=exif(Software="Adobe Firefly 3"))),
        ("FLUX", picture("JPEG", exif=exif(Make="Black Forest Labs", Model="flux-dev"))),
        ("AI-generated content", png_text(AIGC='{"Label":"1","ContentProducer":"x"}')),
    ],
)
def test_generators_by_what_they_leave(name, data):
    (finding, *more) = provenance.find(data)
    assert not more, "one finding for one generator"
    assert name in finding.title
    assert (finding.says, finding.trust) == ("ai", "unsigned")
    assert "anybody can write" in finding.detail


def xmp(properties: str) -> bytes:
    packet = f"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
    xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"
    xmlns:TC260="http://www.tc260.org.cn/ns/AIGC/1.0/"
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"><rdf:Description rdf:about="" {properties}/>
    </rdf:RDF></x:xmpmeta>"""
    return picture("JPEG", xmp=packet.encode())


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (SOURCES + "trainedAlgorithmicMedia", "ai"),
        (SOURCES + "compositeWithTrainedAlgorithmicMedia", "ai"),
        (SOURCES.replace("http:", "https:") + "digitalCapture", "camera"),
        ("digsrctype:humanEdits", "edited"),
        ("http://example.com/other", "unknown"),
    ],
)
def test_the_digital_source_type_in_xmp(value, says):
    finding = one(xmp(f'Iptc4xmpExt:DigitalSourceType="{value}"'))
    assert (finding.kind, finding.says, finding.trust) == ("iptc", says, "unsigned")


@pytest.mark.parametrize(
    ("properties", "name"),
    [
        ('photoshop:Credit="Made with Google AI"', "Google AI"),
        ('Iptc4xmpExt:AISystemUsed="A model of tomorrow"', "a generative model"),
        ('TC260:AIGC="{&quot;Label&quot;:&quot;1&quot;}"', "AI-generated content"),
        ('xmp:CreatorTool="Draw Things"', "Draw Things"),
    ],
)
def test_generators_in_xmp(properties, name):
    finding = one(xmp(properties))
    assert name in finding.title
    assert (finding.kind, finding.says, finding.trust) == ("xmp", "ai", "unsigned")


def test_google_in_the_older_records():
    record = b"\x1c\x02\x6e\0\x13Made with Google AI"
    body = b"Photoshop 3.0\x008BIM\x04\x04\0\0" + len(record).to_bytes(4, "big") + record
    assert one(with_segment(0xED, body)).kind == "iptc"


# What is no trace of a generator


@pytest.mark.parametrize(
    "data",
    [
        picture("JPEG"),
        picture("PNG"),
        picture("JPEG") + b"Midjourney Steps: 20, Sampler: Euler, Seed: 1",
        picture("PNG") + chunk(b"tEXt", b"parameters\0" + WEBUI.encode()),
        picture("JPEG", exif=exif(ImageDescription="The office of Midjourney, and OpenAI's")),
        png_text(Description="A talk on Stable Diffusion and DALL-E"),
        png_text(Title="Midjourney", Author="Midjourney"),
        png_text(parameters="width and height", prompt="Smile, please", workflow="scan, crop"),
        with_segment(0xFE, b"Steps: 12 of the stairs"),
        b"",
        b"no picture",
    ],
)
def test_nothing_is_found(data):
    assert provenance.find(data) == ()


def test_words_in_the_pixels_are_not_found():
    words = b"Midjourney " + WEBUI.encode()
    file = BytesIO()
    Image.frombytes("L", (len(words), 1), words).save(file, "TIFF")
    assert words in file.getvalue()
    assert provenance.find(file.getvalue()) == ()


def test_files_from_elsewhere_have_no_findings(portrait):
    assert [f.says for f in provenance.find(portrait) if f.says == "ai"] == []


# Cameras and editors


def test_camera_fields_are_weak_evidence():
    finding = one(picture("JPEG", exif=exif(Make="Canon", Model="Canon EOS R6", LensModel="RF 50")))
    assert finding.title == "Names a camera or scanner: Canon EOS R6"
    assert (finding.kind, finding.says, finding.trust) == ("exif", "camera", "unsigned")
    assert "weak evidence" in finding.detail and "RF 50" in finding.detail


def test_make_and_model_are_joined():
    assert "FUJIFILM X-T5" in one(picture("PNG", exif=exif(Make="FUJIFILM", Model="X-T5"))).title


@pytest.mark.parametrize(
    "data",
    [
        picture("JPEG", exif=exif(Software="Adobe Photoshop 26.0 (Windows)")),
        png_text(Software="gimp 3.0"),
        with_segment(0xFE, b"Created with GIMP"),
        xmp('xmp:CreatorTool="Adobe Photoshop Lightroom Classic 14.0"'),
    ],
)
def test_editors(data):
    assert (one(data).says, one(data).trust) == ("edited", "unsigned")


def test_an_editor_is_named_once_and_stands_beside_the_camera():
    data = picture("JPEG", exif=exif(Make="Canon", Model="EOS", Software="Adobe Photoshop"))
    assert [f.says for f in provenance.find(data)] == ["edited", "camera"]


# What is shown


def test_words_of_the_file_are_cut_short_and_cleaned():
    text = "\x1b[31m\u202e\n<script>alert(1)</script> " + WEBUI + "x" * 10_000
    finding = one(png_text(parameters=text))
    assert finding.detail.isprintable() and finding.title.isprintable()
    assert len(finding.detail) < 400
    assert "<script>" in finding.detail  # escaping is the page's work
    camera = one(picture("JPEG", exif=exif(Make="C\x07anon\u202e", Model="y" * 10_000)))
    assert camera.title.isprintable() and len(camera.title) < 200


def test_names_in_credentials_are_cut_short_and_cleaned():
    loud = credentials.signer("Ev\u202eil \x07" + "o" * 40)
    finding = one(signed(loud, program="p\u202er\x1b" + "q" * 5000))
    assert finding.detail.isprintable() and len(finding.detail) < 500


def test_many_fields_give_few_findings():
    texts = [chunk(b"tEXt", b"parameters\0" + WEBUI.encode()) for _ in range(500)]
    trace, limit = provenance.find(with_chunks(*texts))
    assert trace.says == "ai" and "limit of fakeface" in limit.detail


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Software", "google dall stable flux " * 4000),
        ("parameters", "Steps: 1 Fooocus vv " * 50_000),
        ("XML:com.adobe.xmp", "<a " + " ".join(f"a{i}='1'" for i in range(90_000)) + "/>"),
    ],
)
def test_hostile_text_costs_little_time(name, text):
    body = name.encode() + b"\0\1\0\0\0" + zlib.compress(text.encode())
    data = with_chunks(*[chunk(b"iTXt", body)] * 256)
    begin = time.thread_time()
    found = provenance.find(data)
    assert time.thread_time() - begin < 3
    assert found and all("limit of fakeface" in finding.detail for finding in found)


def test_the_library_reads_the_formats_that_this_file_signs():
    assert set(FORMATS.values()) <= set(c2pa.Reader.get_supported_mime_types())
