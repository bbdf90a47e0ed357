"""A web address -> the bytes behind it, without opening the way to the machine's own network.

Whoever pastes an address makes this machine ask it, and the machine may see what the visitor may
not: itself, its neighbours, the metadata service of its cloud. So only public addresses are asked.
A name is looked up once, every address it leads to is checked, and the connection goes to one of
those very addresses, so that a second answer for the same name is never used. Each redirect goes
through the same checks. Proxies that the environment names are not used, as they would look the
name up themselves.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

from fakeface.images import decoder as images
from fakeface.types import AddressRefused, FetchFailed, FetchTooLarge

MAX_REDIRECTS: Final = 4

_MAX_URL: Final = 4000
_MAX_TRIED: Final = 4  # addresses of one name
_PIECE: Final = 2**16
_HEADERS: Final = {
    "User-Agent": "fakeface",
    "Accept": "image/*, */*;q=0.5",
    "Accept-Encoding": "identity",  # so that a small answer cannot become a large one
    "Connection": "close",
}
_AZURE: Final = ipaddress.ip_address("168.63.129.16")  # public by number, inside by routing
_MALFORMED: Final = "This web address is not well formed; copy it again."
_PRIVATE: Final = (
    "This address leads into a private network, which is never opened; use one of the public web."
)
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
# Special by the IANA registries, in whole or in part, and yet global to `ipaddress` of some Python:
# protocol assignments (RFC 6890), 6to4 relays (RFC 7526), documentation (RFC 9637).
_SPECIAL: Final = tuple(
    ipaddress.ip_network(net) for net in ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20")
)


@dataclass(frozen=True, slots=True)
class Fetched:
    """The bytes of an address, and a name for them: the last part of the path, else the host."""

    data: bytes
    name: str


def is_public(address: str) -> bool:
    """Whether an IP address, such as 192.0.2.1 or 2001:db8::1, is one of the public internet."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner:
            return is_public(str(inner))
        if ip.sixtofour or ip.teredo or ip.is_site_local:  # tunnels to anywhere, long disused
            return False
    if ip == _AZURE or any(ip in net for net in _SPECIAL):
        return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


@dataclass(frozen=True, slots=True)
class Network:
    """What may be asked and how; tests put their own server in its place.

    Attributes:
        allows: whether an IP address may be asked.
        ports: that may be asked; None for all.
        look_up: as socket.getaddrinfo.
        tls: how certificates are checked; None for the system's way.
    """

    allows: Callable[[str], bool] = is_public
    ports: Collection[int] | None = (80, 443)
    look_up: Callable[..., Any] = socket.getaddrinfo
    tls: ssl.SSLContext | None = None


_INTERNET: Final = Network()


def fetch(
    url: str,
    *,
    max_bytes: int = images.MAX_BYTES,
    seconds: float = 10,
    network: Network = _INTERNET,
) -> Fetched:
    """Fetches a file of the public web.

    Args:
        url: an http or https address on port 80 or 443, without a password.
        max_bytes: the most that is read, whatever length the server announces.
        seconds: for everything together: names, connections, redirects and the file.
        network: the public internet.

    Returns:
        The bytes, whatever the server says that they are: the decoder finds out.

    Raises:
        AddressRefused: not an address of the public web, or it redirects to one that is not.
        FetchFailed: no answer, one that is too slow or broken off, or not the file.
        FetchTooLarge: more than max_bytes.
    """
    deadline = time.monotonic() + seconds
    url = url.strip()
    try:
        for _ in range(MAX_REDIRECTS + 1):
            parts = _check(url, network)
            found = _ask(parts, max_bytes, deadline, network)
            if isinstance(found, bytes):
                return Fetched(found, _name(parts))
            url = urljoin(url, found)
    except (AddressRefused, FetchFailed, FetchTooLarge):
        raise
    except TimeoutError:
        raise FetchFailed(
            f"The server did not deliver within {seconds:g} seconds; try again, or download the "
            "picture and choose the file."
        ) from None
    except ssl.SSLError:
        raise FetchFailed(
            "The server's certificate or encryption is not in order; download the picture and "
            "choose the file."
        ) from None
    except (OSError, http.client.HTTPException, ValueError):
        raise FetchFailed(
            "The server cannot be reached or broke off; check the address and try again."
        ) from None
    raise FetchFailed("The address leads from one redirect to the next; open it and copy the last.")


def _check(url: str, network: Network) -> SplitResult:
    """The parts of an address that may be asked, as far as its text tells."""
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname or ""
    except ValueError:
        raise AddressRefused(_MALFORMED) from None
    if parts.scheme not in ("http", "https"):
        raise AddressRefused("This is no web address; it has to begin with http:// or https://.")
    if parts.username is not None or parts.password is not None:
        raise AddressRefused("This address holds a name or password; use one without them.")
    if not host or len(url) > _MAX_URL or not _is_host(host):
        raise AddressRefused(_MALFORMED)
    if re.search(r"(^|\.)localhost\.?$", host):
        raise AddressRefused(_PRIVATE)
    asked = _port(parts) if port is None else port
    if asked == 0 or (network.ports is not None and asked not in network.ports):
        raise AddressRefused("Only the ordinary ports 80 and 443 are opened; use such an address.")
    return parts


def _is_host(host: str) -> bool:
    """Whether this is a name, or an IP address in its usual form and no other, such as 0x7f.1."""
    try:
        ipaddress.ip_address(host)
        return "%" not in host  # which would name a network card
    except ValueError:
        return bool(re.fullmatch(r"[\w.-]+", host)) and not re.search(
            r"(^|\.)(\d+|0x[0-9a-f]*)\.?$", host, re.IGNORECASE
        )


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def _ask(parts: SplitResult, max_bytes: int, deadline: float, network: Network) -> bytes | str:
    """The bytes behind one address, or where it redirects to."""
    host, port = parts.hostname or "", _port(parts)
    host = host if host.isascii() else host.encode("idna").decode()
    sock = _connect(host, port, deadline, network)
    connection = http.client.HTTPConnection(host, port)
    try:
        if parts.scheme == "https":
            tls = network.tls or ssl.create_default_context()
            sock.settimeout(_left(deadline))
            sock = tls.wrap_socket(sock, server_hostname=host)
        connection.sock = _Timed(sock, deadline)
        path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
        query = "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~-._?") if parts.query else ""
        name = f"[{host}]" if ":" in host else host
        headers = {"Host": f"{name}:{parts.port}" if parts.port else name}
        connection.request("GET", path + query, headers=_HEADERS | headers)
        return _answer(connection.getresponse(), max_bytes)
    finally:
        connection.close()
        sock.close()


def _answer(response: http.client.HTTPResponse, max_bytes: int) -> bytes | str:
    if response.status in (301, 302, 303, 307, 308) and (to := response.getheader("Location")):
        return to
    if response.status != 200:
        reason = http.client.responses.get(response.status, "no usual answer")
        raise FetchFailed(
            f"The server answers with {response.status} ({reason}) and no picture; check the "
            "address."
        )
    if response.getheader("Content-Encoding", "identity").strip().lower() != "identity":
        raise FetchFailed(
            "The server sends the file packed, though it was asked not to; download the picture "
            "and choose the file."
        )
    data = bytearray()
    too_large = FetchTooLarge(
        f"The file at this address is larger than {_size(max_bytes)}; use a smaller copy."
    )
    announced = response.getheader("Content-Length")  # http.client takes a senseless one for none
    if announced is not None and not re.fullmatch(r"[0-9]{1,19}", announced.strip()):
        raise FetchFailed("The server announces no sensible length; download the picture instead.")
    if announced is not None and int(announced) > max_bytes:
        raise too_large
    # One byte more than allowed tells a file that is too large from one that just fits.
    while piece := response.read(min(_PIECE, max_bytes + 1 - len(data))):
        data += piece
        if len(data) > max_bytes:
            raise too_large
    if response.length:  # of what was announced, this much did not come
        raise http.client.IncompleteRead(b"", response.length)
    return bytes(data)


def _size(count: int) -> str:
    return f"{count >> 20} MiB" if count >= 2**20 else f"{count} bytes"


def _connect(host: str, port: int, deadline: float, network: Network) -> socket.socket:
    """A connection to one of the addresses that a name leads to, if all of them are allowed."""
    addresses = _look_up(host, port, deadline, network)
    if not all(network.allows(where[0]) for _, where in addresses):
        raise AddressRefused(_PRIVATE)
    problem: OSError = OSError("no address")
    addresses = addresses[:_MAX_TRIED]
    for i, (family, where) in enumerate(addresses):
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(_left(deadline) / (len(addresses) - i))  # one may lead nowhere
            sock.connect(where)
            if not network.allows(sock.getpeername()[0]):
                raise AddressRefused(_PRIVATE)
            return sock
        except OSError as error:
            problem = error
            sock.close()
        except BaseException:
            sock.close()
            raise
    raise problem


def _look_up(
    host: str, port: int, deadline: float, network: Network
) -> list[tuple[socket.AddressFamily, tuple[Any, ...]]]:
    """The addresses of a name; in a thread, since a look-up cannot be told to give up."""
    found: list[tuple[socket.AddressFamily, tuple[Any, ...]]] = []
    problems: list[Exception] = []

    def look_up() -> None:
        try:
            for family, _, _, _, where in network.look_up(host, port, type=socket.SOCK_STREAM):
                found.append((family, where))
        except Exception as error:
            problems.append(error)

    thread = threading.Thread(target=look_up, daemon=True, name="look up a host")
    thread.start()
    thread.join(_left(deadline))
    if thread.is_alive():
        raise TimeoutError
    if problems or not found:
        raise FetchFailed("There is no server of this name; check the address for mistakes.")
    return found


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


class _Timed(io.RawIOBase):
    """A socket as http.client uses it, whose every wait ends at one deadline.

    A socket's own timeout begins anew with each byte, and a server may send one a second.
    """

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock, self._deadline = sock, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(_left(self._deadline))
        return self._sock.recv_into(buffer)

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(_left(self._deadline))
        self._sock.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        # Another object, since http.client closes this one as soon as it has the headers.
        return io.BufferedReader(_Timed(self._sock, self._deadline))


def _name(parts: SplitResult) -> str:
    last = unquote(parts.path.rstrip("/").rpartition("/")[2]) or parts.hostname or ""
    return "".join(c for c in last if c.isprintable() and c not in "/\\")[:100]
