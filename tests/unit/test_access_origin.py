"""Where the API is reached from outside, as it may be configured."""

import pytest

from infra.access.origin import Origin

PUBLIC = "https://twins.example.org"


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        (PUBLIC, PUBLIC),
        ("https://Twins.Example.org:443/", PUBLIC),
        ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
        ("https://[2001:DB8:0:0::1]", "https://[2001:db8::1]"),
        ("https://[::ffff:192.0.2.1]", "https://[::ffff:c000:201]"),
        ("https://192.0.2.1", "https://192.0.2.1"),
        ("https://1.example", "https://1.example"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("http://localhost:8081", "http://localhost:8081"),
        ("http://[::1]:8081", "http://[::1]:8081"),
    ],
)
def test_a_public_url_is_the_origin_that_browsers_tell(url: str, origin: str) -> None:
    assert str(Origin.of_url(url)) == origin
    assert Origin.parse(origin) == Origin.of_url(url)


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("twins.example.org", "https://"),
        ("ftp://twins.example.org", "https://"),
        ("http://twins.example.org", "https:// is needed"),
        ("http://192.168.1.2:8080", "https:// is needed"),
        ("http://127.0.0.1.example", "https:// is needed"),
        ("https://twins.example.org/plant", "no path"),
        ("https://twins.example.org/?a", "no path"),
        ("https://twins.example.org#a", "no path"),
        ("https://twins.example.org?", "no path"),
        ("https://", "name a host"),
        ("https://10.1", "name a host"),
        ("https://192.0.2.256", "name a host"),
        ("https://192.0.02.1", "name a host"),
        ("https://192.0.2.1.", "name a host"),
        ("https://0x7f.1", "name a host"),
        ("https://twins.0x1", "name a host"),
        ("https://[2001:db8::1::2]", "name a host"),
        ("https://[192.0.2.1]", "name a host"),
        ("https://a@twins.example.org", "no user"),
        ("https://twins.example.org:0", "a port"),
        ("https://twins.example.org:99999", "a port"),
        ("https://twins.example.org:x", "a port"),
        ("https://a, https://b", "without spaces"),
        ("https://zwillinge-m\xfcnchen.example", "ASCII"),
    ],
)
def test_what_is_no_origin_is_no_public_url(url: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        Origin.of_url(url)
