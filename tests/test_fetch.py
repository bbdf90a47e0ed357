"""Servers on this machine stand for the web; the check of addresses is put in as an argument."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fakeface.images.fetch import MAX_REDIRECTS, Network, fetch, is_public
from fakeface.types import AddressRefused, FetchError, FetchFailed, FetchTooLarge

BODY = bytes(range(256)) * 1000


def here(address: str) -> bool:
    """The real check, but for the one address where the test's servers are."""
    return address == "127.0.0.1" or is_public(address)


HERE = Network(allows=here, ports=None)


class Web(BaseHTTPRequestHandler):
    """A few good and bad pages."""

    asked: list[tuple[str, str]]

    def do_GET(self):
        self.asked.append((self.path, self.headers["Host"]))
        path, _, rest = self.path.partition("?to=")
        if path == "/redirect":
            self.answer(302, Location=rest)
        elif path == "/loop":
            self.answer(301, Location="/loop")
        elif path.startswith("/hop"):
            left = int(path[4:])
            self.answer(307, Location=f"/hop{left - 1}" if left else "/picture.jpg")
        elif path == "/packed":
            self.answer(200, b"x", Content_Encoding="gzip")
        elif path == "/echo":
            self.answer(200, str(self.headers).encode())
        elif path == "/short":
            self.answer(200, BODY[:10], Content_Length="1000")
        elif path == "/chunked":
            self.answer(
                200,
                b"".join(b"100\r\n%b\r\n" % (b"a" * 256) for _ in range(8)) + b"0\r\n\r\n",
                Transfer_Encoding="chunked",
            )
        elif path == "/endless":
            self.answer(200, Transfer_Encoding="chunked")
            with suppress(OSError):
                while True:
                    self.wfile.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")
        elif path == "/no-length":
            self.answer(200, BODY)
        elif "picture" in path:
            self.answer(200, BODY, Content_Length=str(len(BODY)))
        else:
            self.answer(404, b"nothing")

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_):
        pass


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[tuple[int, list[tuple[str, str]]]]:
    """A running server: its port, and what it was asked."""
    asked: list[tuple[str, str]] = []
    handler = type("Handler", (Web,), {"asked": asked})
    with Server(("127.0.0.1", 0), handler) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_port, asked
        server.shutdown()


@pytest.fixture
def web() -> Iterator[str]:
    with serving() as (port, _):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def raw(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that says anything at all, to one visitor."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def run() -> None:
            with suppress(OSError):
                visitor, _ = server.accept()
                with visitor:
                    talk(visitor)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
    thread.join(5)


def names(table: dict[str, list[list[str]]]) -> Callable[..., list]:
    """A look-up by a table: name -> the answers to the first question, to the second, ..."""

    def look_up(host, port, **_):
        if host not in table:
            return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        answers = table[host]
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            (socket.AF_INET6 if ":" in a else socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port))
            for a in addresses
        ]

    return look_up


# What comes back


def test_the_bytes_and_a_name(web):
    found = fetch(f"  {web}/some/picture.jpg?size=1#top ", network=HERE)
    assert found.data == BODY and found.name == "picture.jpg"


@pytest.mark.parametrize(
    ("path", "name"),
    [("/a%20picture.png/", "a picture.png"), ("/picture%0a%2e%2e%2fb", "picture..b")],
)
def test_names_are_plain(web, path, name):
    assert fetch(web + path, network=HERE).name == name


def test_without_a_length_and_in_chunks(web):
    assert fetch(f"{web}/no-length", network=HERE).data == BODY
    assert fetch(f"{web}/chunked", network=HERE).data == b"a" * 2048


def test_what_is_sent(web):
    headers = fetch(f"{web}/echo", network=HERE).data.decode().lower()
    assert "accept-encoding: identity" in headers
    assert "cookie" not in headers and "referer" not in headers


def test_redirects_are_followed_up_to_a_limit(web):
    found = fetch(f"{web}/hop{MAX_REDIRECTS - 1}", network=HERE)
    assert found.data == BODY and found.name == "picture.jpg"
    with pytest.raises(FetchFailed, match="redirect"):
        fetch(f"{web}/hop{MAX_REDIRECTS}", network=HERE)
    with pytest.raises(FetchFailed, match="redirect"):
        fetch(f"{web}/loop", network=HERE)


# Addresses that are refused


@pytest.mark.parametrize(
    "url",
    [
        "",
        "picture.jpg",
        "file:///etc/passwd",
        "ftp://example.com/a.jpg",
        "gopher://example.com/",
        "data:image/png;base64,AAAA",
        "javascript:alert(1)",
        "//example.com/a.jpg",
        "http://",
        "http:///a.jpg",
        "http://user:password@example.com/",
        "http://user@example.com/",
        "http://example.com\\@127.0.0.1/",
        "http://example.com:22/",
        "http://example.com:8080/",
        "https://example.com:99999/",
        "http://exa mple.com/",
        "http://[::1",
        "http://ex%61mple.com/",
        "http://example.com/" + "a" * 5000,
        "http://127.0.0.1/",
        "http://10.0.0.8/",
        "http://172.16.0.1/",
        "http://192.168.1.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://168.63.129.16/",
        "http://100.100.100.200/",
        "http://0.0.0.0/",
        "http://255.255.255.255/",
        "http://192.0.0.9/",
        "http://192.0.0.10/",
        "http://192.0.0.170/",
        "http://192.88.99.1/",
        "http://[3fff::1]/",
        "http://[3fff:fff:ffff::1]/",
        "http://[::ffff:192.0.0.9]/",
        "http://[64:ff9b::c058:6301]/",
        "http://example.com:0/",
        "http://example.com:-1/",
        "http://224.0.0.1/",
        "http://[::1]/",
        "http://[::]/",
        "http://[fe80::1]/",
        "http://[fe80::1%25lo]/",
        "http://[fd00:ec2::254]/",
        "http://[fec0::1]/",
        "http://[ff02::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:a00:1]/",
        "http://[::127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[64:ff9b:1::7f00:1]/",
        "http://[2002:7f00:1::]/",
        "http://[2001:0:7f00:1::]/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.0.0.1/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://127.0.0.1./",
        "http://１２７.０.０.１/",
        "http://localhost/",
        "http://LOCALHOST/",
        "http://localhost./",
    ],
)
def test_what_is_not_of_the_public_web(url):
    begin = time.monotonic()
    with pytest.raises(AddressRefused) as refused:
        fetch(url, seconds=3)
    assert time.monotonic() - begin < 2
    assert str(refused.value).endswith(".") and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)
def test_public_addresses(address):
    assert is_public(address)


def test_the_server_is_not_asked_when_its_address_is_private():
    with serving() as (port, asked):
        for host in ("127.0.0.1", "localhost"):
            with pytest.raises(AddressRefused):
                fetch(f"http://{host}:{port}/picture", network=Network(ports=None))
        assert not asked


@pytest.mark.parametrize(
    "to",
    [
        "http://10.0.0.1/",
        "http://169.254.169.254/",
        "//192.168.0.1/a",
        "http://[::1]/",
        "file:///etc/passwd",
        "http://user:word@example.com/",
        "ftp://example.com/",
    ],
)
def test_redirects_to_what_is_refused(web, to):
    with pytest.raises(AddressRefused):
        fetch(f"{web}/redirect?to={to}", network=HERE)


def test_redirects_to_other_ports_are_refused():
    with serving() as (first, _), serving() as (second, asked):
        network = Network(allows=here, ports=(first,))
        to = f"http://127.0.0.1:{second}/picture"
        with pytest.raises(AddressRefused, match="port"):
            fetch(f"http://127.0.0.1:{first}/redirect?to={to}", network=network)
        assert not asked


def test_names_that_lead_to_private_addresses():
    with serving() as (port, asked):
        for addresses in (["127.0.0.1"], ["10.1.2.3"], ["8.8.8.8", "127.0.0.1"], ["::1"]):
            network = Network(ports=None, look_up=names({"inside.test": [addresses]}))
            with pytest.raises(AddressRefused, match="private network"):
                fetch(f"http://inside.test:{port}/picture", network=network)
        assert not asked


def test_a_name_is_looked_up_once_for_each_connection():
    with serving() as (port, asked):
        table = {"rebinds.test": [["127.0.0.1"], ["10.0.0.1"]]}
        network = Network(allows=here, ports=None, look_up=names(table))
        url = f"http://rebinds.test:{port}/picture"
        # The second answer, which would be private, is not asked for: what was checked is used.
        assert fetch(url, network=network).data == BODY
        assert asked == [("/picture", f"rebinds.test:{port}")]
        assert table == {"rebinds.test": [["10.0.0.1"]]}
        with pytest.raises(AddressRefused):
            fetch(url, network=network)


def test_a_name_that_changes_between_redirects():
    with serving() as (port, asked):
        table = {"rebinds.test": [["127.0.0.1"], ["192.168.0.1"]]}
        network = Network(allows=here, ports=None, look_up=names(table))
        with pytest.raises(AddressRefused):
            fetch(f"http://rebinds.test:{port}/loop", network=network)
        assert len(asked) == 1


def test_the_address_really_connected_to_is_checked(web):
    answers = iter([True, False])  # as the name says, and as the connection says
    with pytest.raises(AddressRefused):
        fetch(f"{web}/picture", network=Network(allows=lambda _: next(answers), ports=None))


def test_proxies_of_the_environment_are_not_used(web, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert fetch(f"{web}/picture", network=HERE).data == BODY


def test_the_next_address_of_a_name_is_tried(web):
    port = int(web.rpartition(":")[2])
    network = Network(
        allows=lambda _: True, ports=None, look_up=names({"two.test": [["127.0.0.2", "127.0.0.1"]]})
    )
    assert fetch(f"http://two.test:{port}/picture", network=network).data == BODY


# Servers that do not deliver


def test_too_large(web):
    with pytest.raises(FetchTooLarge, match="larger than 1000 bytes"):
        fetch(f"{web}/picture", max_bytes=1000, network=HERE)
    assert fetch(f"{web}/picture", max_bytes=len(BODY), network=HERE).data == BODY
    for path in ("/picture", "/no-length"):
        with pytest.raises(FetchTooLarge):
            fetch(web + path, max_bytes=len(BODY) - 1, network=HERE)
    with pytest.raises(FetchTooLarge, match="2 MiB"):
        fetch(f"{web}/endless", max_bytes=2 << 20, network=HERE)


def test_a_large_announcement_is_refused_before_it_is_read():
    def talk(visitor):
        visitor.recv(9999)
        visitor.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
        visitor.recv(1)  # wait for the visitor to leave

    with raw(talk) as url, pytest.raises(FetchTooLarge):
        fetch(url, seconds=3, network=HERE)


def test_errors_of_the_server(web):
    with pytest.raises(FetchFailed, match=r"404 \(Not Found\)"):
        fetch(f"{web}/nowhere", network=HERE)
    with pytest.raises(FetchFailed, match="packed"):
        fetch(f"{web}/packed", network=HERE)
    with pytest.raises(FetchFailed, match="broke off"):
        fetch(f"{web}/short", network=HERE)


@pytest.mark.parametrize("length", ["-5", "", "+5", "1e3", "0x10", "5, 5", "9" * 5000, "\u0665"])
def test_a_length_that_makes_no_sense(length):
    def talk(visitor):
        visitor.recv(9999)
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\nabcde"
        visitor.sendall(head.encode("latin-1", "replace"))

    with raw(talk) as url, pytest.raises(FetchFailed, match="no sensible length"):
        fetch(url, seconds=3, network=HERE)


def test_port_0_is_never_opened():
    with pytest.raises(AddressRefused, match="port"):
        fetch("http://127.0.0.1:0/", seconds=3, network=HERE)


def test_a_name_is_looked_up_anew_for_each_redirect(web):
    port = web.rpartition(":")[2]
    table = {"first.test": [["127.0.0.1"], ["10.0.0.1"]]}  # another answer the second time
    network = Network(allows=here, ports=None, look_up=names(table))
    to = f"http://first.test:{port}/picture"
    with pytest.raises(AddressRefused, match="private network"):
        fetch(f"http://first.test:{port}/redirect?to={to}", network=network)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 5000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 302 Found\r\nLocation: http://[bad\r\n\r\n",
        b"HTTP/1.1 302 Found\r\n\r\n",
        b"HTTP/1.1 200 " + b"x" * 100_000,
    ],
)
def test_answers_that_are_no_http(answer):
    def talk(visitor):
        visitor.recv(9999)
        visitor.sendall(answer)

    with raw(talk) as url, pytest.raises(FetchError) as failed:
        fetch(url, seconds=3, network=HERE)
    assert str(failed.value).endswith(".")


def drip(visitor: socket.socket, first: bytes, drops: bytes) -> None:
    visitor.recv(9999)
    visitor.sendall(first)
    while True:  # a byte now and then, for ever, until the visitor is gone
        visitor.sendall(drops)
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("first", "drops"),
    [
        (b"", b"H"),
        (b"HTTP/1.1 200 OK\r\n", b"A"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["status", "headers", "body", "chunks", "continue"],
)
def test_servers_that_drip(first, drops):
    begin = time.monotonic()
    with (
        raw(lambda visitor: drip(visitor, first, drops)) as url,
        pytest.raises(FetchFailed, match=r"within 0\.2 seconds"),
    ):
        fetch(url, seconds=0.2, network=HERE)
    assert 0.15 < time.monotonic() - begin < 1.5


def test_redirects_share_the_time(monkeypatch):
    monkeypatch.setattr(Web, "answer", slowly(Web.answer))
    with serving() as (port, _):
        begin = time.monotonic()
        with pytest.raises(FetchFailed, match="within"):
            fetch(f"http://127.0.0.1:{port}/hop3", seconds=0.5, network=HERE)
        assert time.monotonic() - begin < 1.5


def slowly(function: Callable) -> Callable:
    def slow(*args, **options):
        time.sleep(0.2)
        return function(*args, **options)

    return slow


def test_a_look_up_that_hangs():
    done = threading.Event()
    network = Network(look_up=lambda *_, **__: done.wait(5))
    begin = time.monotonic()
    with pytest.raises(FetchFailed, match="within"):
        fetch("http://example.com/", seconds=0.3, network=network)
    assert time.monotonic() - begin < 1
    done.set()


def test_names_that_do_not_exist():
    def nowhere(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    with pytest.raises(FetchFailed, match="no server of this name"):
        fetch("http://example.com/", network=Network(look_up=nowhere))


def test_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(FetchFailed, match="cannot be reached"):
        fetch(f"http://127.0.0.1:{port}/", network=HERE)


# Encryption


def certificate(*hosts: str) -> tuple[bytes, bytes]:
    """A certificate for these names that signs itself, and its key, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(True, None), True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    return made.public_bytes(pem), key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def test_https_names_the_host_and_checks_its_certificate(tmp_path):
    cert, key = certificate("good.test", "xn--bcher-kva.test")
    file = tmp_path / "server.pem"
    file.write_bytes(cert + key)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    asked_for = []
    server.sni_callback = lambda _sock, name, _context: asked_for.append(name)
    trusting = ssl.create_default_context(cadata=cert.decode())
    hosts = ("good.test", "other.test", "xn--bcher-kva.test")
    look_up = names({host: [["127.0.0.1"]] for host in hosts})

    with serving(server) as (port, asked):
        network = Network(allows=here, ports=None, look_up=look_up, tls=trusting)
        assert fetch(f"https://good.test:{port}/picture", network=network).data == BODY
        assert fetch(f"https://bücher.test:{port}/picture", network=network).data == BODY
        assert asked_for == ["good.test", "xn--bcher-kva.test"]
        assert asked[0][1] == f"good.test:{port}"
        with pytest.raises(FetchFailed, match="certificate"):  # it is for another name
            fetch(f"https://other.test:{port}/picture", network=network)
        network = Network(allows=here, ports=None, look_up=look_up)
        with pytest.raises(FetchFailed, match="certificate"):  # and nobody vouches for it
            fetch(f"https://good.test:{port}/picture", network=network)
        assert len(asked) == 2


def test_the_check_covers_all_private_networks_that_python_knows():
    for network in ("10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "fc00::/7"):
        block = ipaddress.ip_network(network)
        assert not is_public(str(block[1])) and not is_public(str(block[-1]))


def test_production_uses_the_strict_network():
    assert fetch.__kwdefaults__["network"] == Network()
    assert Network().allows is is_public and Network().ports == (80, 443)
