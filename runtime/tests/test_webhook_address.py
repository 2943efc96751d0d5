"""Where a webhook may be: every way to write an address that is not public, and what operators may open."""

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from callbot.runtime.settings import WebhookHttp
from callbot.runtime.webhook_address import (
    NOT_A_URL,
    NOT_HTTPS,
    NOT_PUBLIC,
    NUMBERS,
    WITH_USER,
    WebhookAddresses,
)

STRICT = WebhookAddresses()
DEVELOPER = WebhookAddresses("loopback")

PUBLIC = [
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
    "128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0",
    "192.0.3.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "198.51.101.0",
    "203.0.114.0", "223.255.255.255", "2001:4860:4860::8888", "2606:4700::1111", "2a00::1", "2001:200::",
    "3ffe::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "64:ff9b::808:808",
]  # fmt: skip

NOT_PUBLIC_ONES = {
    "this network": ["0.0.0.0", "0.1.2.3", "0.255.255.255"],
    "loopback": ["127.0.0.1", "127.255.255.255", "127.1.2.3", "::1"],
    "private": ["10.0.0.0", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "fc00::1"],
    "unique local": ["fdff::1", "fc00::ffff"],
    "link-local": ["169.254.0.1", "169.254.255.255", "fe80::1", "febf::1", "fe80::1%eth0", "fec0::1"],
    "cgnat": ["100.64.0.0", "100.127.255.255"],
    "metadata": ["169.254.169.254", "169.254.170.2", "169.254.170.23", "fd00:ec2::254", "fd00:ec2::23"],
    "metadata elsewhere": ["168.63.129.16", "100.100.100.200", "192.0.0.192", "fd20:ce::254"],
    "multicast": ["224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1"],
    "reserved and broadcast": ["240.0.0.1", "255.255.255.254", "255.255.255.255"],
    "documentation": ["192.0.2.1", "198.51.100.1", "203.0.113.255", "2001:db8::1", "3fff::1"],
    "benchmarks and protocols": ["198.18.0.1", "198.19.255.255", "192.0.0.8", "192.88.99.1", "2001:2::1"],
    "unspecified": ["::", "100::1", "5f00::1"],
    "mapped": ["::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:10.0.0.1", "::ffff:169.254.169.254"],
    "compatible": ["::127.0.0.1", "::10.0.0.1", "::8.8.8.8", "::7f00:1"],
    "translated": ["::ffff:0:127.0.0.1", "::ffff:0:8.8.8.8"],
    "nat64": ["64:ff9b::127.0.0.1", "64:ff9b::a00:1", "64:ff9b::169.254.169.254"],
    "local nat64": ["64:ff9b:1::8.8.8.8", "64:ff9b:1:ffff::1", "64:ff9b:1::7f00:1"],
    "6to4": ["2002:7f00:1::1", "2002:a00:1::", "2002:808:808::1"],
    "teredo": ["2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001::1"],
    "zone of a public one": ["2606:4700::1111%1", "2606:4700::1111%eth0"],
}  # fmt: skip

NO_ADDRESSES = [
    "", "localhost", "example.com", "127.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1", "127.0.0.1.",
    " 127.0.0.1", "127.0.0.1\n", "[::1]", "1.2.3", "256.1.1.1", "::1::", "1.1.1.1/32", "１.1.1.1",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_called(address: str) -> None:
    assert STRICT.refusal_of_address(address) == ""
    host = f"[{address}]" if ":" in address else address
    assert STRICT.refusal_of_url(f"https://{host}/hook") == ""


@pytest.mark.parametrize("address", [a for group in NOT_PUBLIC_ONES.values() for a in group])
def test_other_addresses_are_not(address: str) -> None:
    assert STRICT.refusal_of_address(address) == NOT_PUBLIC
    host = f"[{address.replace('%', '%25')}]" if ":" in address else address
    assert STRICT.refusal_of_url(f"https://{host}/hook") == NOT_PUBLIC
    assert STRICT.refusal_of_url(f"https://{host}:8443/hook") == NOT_PUBLIC


@pytest.mark.parametrize("text", NO_ADDRESSES)
def test_what_is_no_address_is_refused(text: str) -> None:
    assert STRICT.refusal_of_address(text) == "not an IP address"


URLS = {
    "https://example.com": "",
    "https://example.com/hook?a=b": "",
    "HTTPS://EXAMPLE.COM./": "",
    "https://example.com:65535/": "",
    "https://example.com:/": "",
    "https://my_host.example-1.com/": "",
    "https://bücher.example/": "",
    "https://例え.jp/": "",
    "https://xn--bcher-kva.example/": "",
    "https://1.example.com/": "",
    "https://127.0.0.1.example.com/": "",
    "http://example.com/": NOT_HTTPS,
    "http://127.0.0.1/": NOT_HTTPS,
    "ftp://example.com/": NOT_HTTPS,
    "file://example.com/etc/passwd": NOT_HTTPS,
    "gopher://example.com/": NOT_HTTPS,
    "": NOT_A_URL,
    "example.com": NOT_A_URL,
    "https://": NOT_A_URL,
    "https:///path": NOT_A_URL,
    "https:example.com": NOT_A_URL,
    "https://[::1/": NOT_A_URL,
    "https://example.com:0/": NOT_A_URL,
    "https://example.com:65536/": NOT_A_URL,
    "https://example.com:http/": NOT_A_URL,
    "https://exa mple.com/": NOT_A_URL,
    "https://example.com\n.evil.test/": NOT_A_URL,
    "https://example.com\x00/": NOT_A_URL,
    "https://example.com\\@evil.test/": NOT_A_URL,
    "https://exam%70le.com/": NOT_A_URL,
    "https://%31%32%37.0.0.1/": NUMBERS,
    "https://a..example.com/": NOT_A_URL,
    "https://127.0.0.1../": NOT_A_URL,
    "https://.example.com/": NOT_A_URL,
    "https://-a.example.com/": NOT_A_URL,
    "https://ex!ample.com/": NOT_A_URL,
    "https://a\u2215b.example/": NOT_A_URL,
    f"https://{'a' * 64}.example.com/": NOT_A_URL,
    f"https://{'a.' * 127}com/": NOT_A_URL,
    "https://user@example.com/": WITH_USER,
    "https://user:pass@example.com/": WITH_USER,
    "https://example.com@127.0.0.1/": WITH_USER,
    "https://localhost/": NOT_PUBLIC,
    "https://LOCALHOST./": NOT_PUBLIC,
    "https://a.localhost/": NOT_PUBLIC,
    "https://127.0.0.1./": NOT_PUBLIC,
    "https://[::ffff:127.0.0.1]:443/": NOT_PUBLIC,
    "https://[fe80::1%25eth0]/": NOT_PUBLIC,
    "https://[0:0:0:0:0:ffff:a9fe:a9fe]/": NOT_PUBLIC,
    "https://①②⑦.⓪.⓪.①/": NOT_PUBLIC,
    "https://１２７.０.０.１/": NOT_PUBLIC,
    "https://127。0．0｡1/": NOT_PUBLIC,
    "https://ⓛocalhost/": NOT_PUBLIC,
    "https://2130706433/": NUMBERS,
    "https://017700000001/": NUMBERS,
    "https://0x7f000001/": NUMBERS,
    "https://0X7F000001./": NUMBERS,
    "https://0177.0.0.1/": NUMBERS,
    "https://0x7f.0.0.1/": NUMBERS,
    "https://0x7f.1/": NUMBERS,
    "https://127.1/": NUMBERS,
    "https://127.0.1/": NUMBERS,
    "https://1.2.3.0x/": NUMBERS,
    "https://127.0.0.01/": NUMBERS,
    "https://134744072/": NUMBERS,
    "https://1.2.3.4.5/": NUMBERS,
    "https://256.1.1.1/": NOT_A_URL,
}  # fmt: skip


@pytest.mark.parametrize(("url", "refusal"), URLS.items())
def test_what_an_address_may_look_like(url: str, refusal: str) -> None:
    assert STRICT.refusal_of_url(url) == refusal


@pytest.mark.parametrize(
    ("http", "url", "allowed"),
    [
        ("loopback", "http://127.0.0.1:9000/", True),
        ("loopback", "http://127.9.9.9/", True),
        ("loopback", "http://localhost:9000/bot", True),
        ("loopback", "http://localhost.:9000/bot", True),
        ("loopback", "http://[::1]:9000/", True),
        ("loopback", "https://[::1]:9000/", True),
        ("loopback", "https://localhost/", True),
        ("loopback", "https://example.com/", True),
        ("loopback", "http://example.com/", False),
        ("loopback", "http://127.0.0.1.example.com/", False),
        ("loopback", "http://a.localhost/", False),
        ("loopback", "http://10.0.0.1/", False),
        ("loopback", "https://10.0.0.1/", False),
        ("loopback", "http://127.1/", False),
        ("loopback", "http://0.0.0.0/", False),
        ("loopback", "ftp://127.0.0.1/", False),
        ("allowed", "http://example.com/", True),
        ("allowed", "http://8.8.8.8:8080/", True),
        ("allowed", "http://127.0.0.1/", False),
        ("allowed", "http://localhost/", False),
        ("allowed", "http://[::1]/", False),
        ("allowed", "http://10.0.0.1/", False),
        ("allowed", "ws://example.com/", False),
    ],
)
def test_where_http_is_called(http: WebhookHttp, url: str, allowed: bool) -> None:
    assert (WebhookAddresses(http).refusal_of_url(url) == "") is allowed


def test_loopback_is_open_to_whoever_develops_there() -> None:
    for address in ("127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"):
        assert DEVELOPER.refusal_of_address(address) == ""
    for address in ("10.0.0.1", "0.0.0.0", "::", "169.254.169.254", "fd00:ec2::254"):
        assert DEVELOPER.refusal_of_address(address) == NOT_PUBLIC


@pytest.mark.parametrize(
    ("ranges", "address", "allowed"),
    [
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "::ffff:10.1.2.3", True),
        ("10.0.0.0/8", "64:ff9b::10.1.2.3", True),
        ("10.0.0.0/8", "2002:a01:203::1", False),
        ("10.0.0.0/8", "::10.1.2.3", False),
        ("10.0.0.0/8", "11.0.0.1", True),
        ("10.0.0.0/8", "192.168.0.1", False),
        ("10.0.0.0/8 fd00::/8", "fd12::1", True),
        ("fd00::/8", "10.0.0.1", False),
        ("127.0.0.0/8", "127.0.0.1", True),
        ("127.0.0.0/8", "::1", False),
        ("169.254.0.0/16", "169.254.1.1", True),
        ("169.254.0.0/16", "169.254.169.254", False),
        ("169.254.0.0/16", "::ffff:169.254.169.254", False),
        ("0.0.0.0/0 ::/0", "169.254.169.254", False),
        ("0.0.0.0/0 ::/0", "168.63.129.16", False),
        ("fd00::/8", "fd00:ec2::254", False),
        ("169.254.169.254/32", "169.254.169.254", True),
        ("fd00:ec2::254/128", "fd00:ec2::254", True),
        ("fe80::/10", "fe80::1", True),
        ("fe80::/10", "fe80::1%eth0", False),
    ],
)
def test_what_the_operator_opens(ranges: str, address: str, allowed: bool) -> None:
    addresses = WebhookAddresses(allowed=tuple(map(ip_network, ranges.split())))
    assert (addresses.refusal_of_address(address) == "") is allowed
    host = f"[{address.replace('%', '%25')}]" if ":" in address else address
    assert (addresses.refusal_of_url(f"https://{host}/") == "") is allowed
    assert addresses.refusal_of_url(f"http://{host}/") == NOT_HTTPS


def test_an_open_loopback_has_its_name() -> None:
    opened = WebhookAddresses(allowed=(ip_network("127.0.0.0/8"),))
    assert opened.refusal_of_url("https://localhost:9000/") == ""


@given(st.ip_addresses(v=4))
@example(IPv4Address("100.64.0.1"))
def test_nothing_but_global_unicast(ip: IPv4Address) -> None:
    """Against the table of the standard library, which is of another author."""
    refused = bool(STRICT.refusal_of_address(str(ip)))
    assert refused or (ip.is_global and not ip.is_multicast)
    assert bool(STRICT.refusal_of_address(f"::ffff:{ip}")) is refused
    assert bool(STRICT.refusal_of_address(f"64:ff9b::{ip}")) is refused
    assert bool(STRICT.refusal_of_url(f"https://{ip}/")) is refused


@given(st.ip_addresses(v=6))
def test_nothing_but_global_unicast_of_ipv6(ip: IPv6Address) -> None:
    assert STRICT.refusal_of_address(str(ip)) or (ip.is_global and not ip.is_multicast)


@given(
    st.one_of(st.text(), st.text("htps:/@[]%.:0123456789abcdefx\\ ☃①。", max_size=40).map("https://".__add__))
)
def test_any_text_is_answered(text: str) -> None:
    assert isinstance(STRICT.refusal_of_url(text), str)
    assert isinstance(STRICT.refusal_of_address(text), str)
