"""Where the API is reached from outside: the origin of web pages that are ours."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from infra.access.loopback import is_loopback

_DEFAULT_PORTS = {"http": "80", "https": "443"}
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::([0-9]{1,5}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port, by which browsers tell pages of one site from those of another.

    Attributes:
        scheme: Such as `https`.
        host: In lower case; an IPv6 address in brackets.
        port: In digits, also where it is the scheme's own; `""` of a scheme that has none.
    """

    scheme: str
    host: str
    port: str

    @classmethod
    def of(cls, scheme: str, host: str, port: str = "") -> Self:
        """With the scheme's own port where none is given."""
        return cls(scheme, host, port or _DEFAULT_PORTS.get(scheme, ""))

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """What a header `Origin` names; None when that is no origin, as `null` is none."""
        scheme, delimiter, rest = text.lower().partition("://")
        named = host_and_port(rest)
        return cls.of(scheme, *named) if delimiter and named else None

    @classmethod
    def of_url(cls, url: str) -> Self:
        """The origin that a configured URL names.

        Raises:
            ValueError: saying what is wrong with it.
        """
        if any(character.isspace() or not character.isascii() for character in url):
            message = "it must be ASCII without spaces; write a host name with other letters as xn--…"
            raise ValueError(message)
        no_host = "it must name a host, or an address in full, with a port from 1 to 65535 or none, and no user"
        try:
            parts = urlsplit(url)
        except ValueError:  # of what stands in brackets
            raise ValueError(no_host) from None
        if parts.scheme not in _DEFAULT_PORTS:
            message = "it must begin with https:// (or on loopback http://)"
            raise ValueError(message)
        if parts.path.strip("/") or parts.query or parts.fragment or "?" in url or "#" in url:
            message = "it must have no path: give twinstream a host name, or a port, of its own"
            raise ValueError(message)
        named = host_and_port(parts.netloc.lower())
        if named is None or int(named[1] or "1") not in range(1, 65536):
            raise ValueError(no_host)
        origin = cls.of(parts.scheme, named[0], named[1].lstrip("0"))
        if not (origin.is_https or is_loopback(origin.host)):
            message = "https:// is needed: over http:// whoever is on the way could read tokens and session cookies"
            raise ValueError(message)
        return origin

    @property
    def is_https(self) -> bool:
        """Whether nobody on the way can read or change what is sent."""
        return self.scheme == "https"

    @property
    def owns_host(self) -> bool:
        """Whether it is the usual place on its host, so that nothing else there is to be expected under that name."""
        return self.port == _DEFAULT_PORTS.get(self.scheme)

    def __str__(self) -> str:
        """As browsers write it."""
        return f"{self.scheme}://{self.host}" + ("" if self.owns_host or not self.port else f":{self.port}")


def host_and_port(text: str) -> tuple[str, str] | None:
    """Host as browsers write it and port (`""` for none) of a header `Host`; None when it is malformed."""
    match = _HOST.fullmatch(text.lower())
    host = host_as_written(match[1]) if match else None
    return (host, match[2] or "") if match and host else None


def host_as_written(host: str) -> str | None:
    """A host as browsers write it: in lower case, an IPv6 address shortened; None of an address that is none.

    What ends in a number is an IPv4 address to browsers, and `10.1` is another one than it looks like (WHATWG URL
    Standard, "ends in a number"), so that only four numbers are taken.
    """
    host = host.lower()
    try:
        if host.startswith("["):
            address = ipaddress.IPv6Address(host[1:-1])
            # Python writes the end of these with dots from 3.13 on.
            low = int(address) & 0xFFFFFFFF
            return f"[::ffff:{low >> 16:x}:{low & 0xFFFF:x}]" if address.ipv4_mapped else f"[{address}]"
        if _NUMBER.fullmatch(host.removesuffix(".").rpartition(".")[2]):
            return str(ipaddress.IPv4Address(host))
    except ValueError:
        return None
    return host
