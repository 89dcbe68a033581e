"""Addresses and allow-list entries: what each rule lets through, and the traps it closes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.messages.addresses import Address, SourceRules, is_public, parse_address, parse_entry


def covers(entry: str, uri: str) -> bool:
    return parse_entry(entry).covers(parse_address(uri))


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("https://radio.vov.example", Address("https", "radio.vov.example", 443, "/", "")),
        ("HTTP://Radio.VOV.example:8000/a%20b?x=1/2", Address("http", "radio.vov.example", 8000, "/a%20b", "?x=1/2")),
        ("http://192.168.1.10/x", Address("http", "192.168.1.10", 80, "/x", "")),
        ("https://[2001:DB8:0::1]:8443/", Address("https", "2001:db8::1", 8443, "/", "")),
        (
            "https://xn--i-vh-6la.example/l%C3%A0ng.mp3",
            Address("https", "xn--i-vh-6la.example", 443, "/l%C3%A0ng.mp3", ""),
        ),
        (
            "https://cdn.example/o/folder%2Ffile.mp3?alt=media",
            Address("https", "cdn.example", 443, "/o/folder%2Ffile.mp3", "?alt=media"),
        ),
        ("http://x.example?only=query", Address("http", "x.example", 80, "/", "?only=query")),
    ],
)
def test_an_address_is_taken_apart(uri: str, address: Address) -> None:
    assert parse_address(uri) == address


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "radio.example/live",
        "//radio.example/live",
        "ftp://radio.example/",
        "file:///etc/passwd",
        "https:/radio.example/",
        "https:///live",
        "https://user@radio.example/",
        "https://user:word@radio.example/",
        "https://allowed.example@evil.example/",
        "https://allowed.example\\@evil.example/",
        "https://allowed.example\\.evil.example/",
        "https://allowed.example/a\\b",
        "https://radio.example/a b",
        "https://radio.example/a\tb",
        "https://radio.example/a\r\nHost: evil.example",
        "https://radio.example/live\n",
        "\thttps://radio.example/",
        " https://radio.example/",
        "https://radio.example/\x00",
        "https://radio.example/#fragment",
        "https://radio.example#@evil.example/",
        "https://rádio.example/",
        "https://radio\u3002example/",
        "https://ⓡadio.example/",
        "https://radio.example/làng",
        "https://radio.example./",
        "https://.radio.example/",
        "https://radio..example/",
        "https://-radio.example/",
        "https://ra_dio.example/",
        "https://*.example.com/",
        "https://radio%2eexample/",
        "https://radio.example:/",
        "https://radio.example:0/",
        "https://radio.example:080/",
        "https://radio.example:65536/",
        "https://radio.example:+80/",
        "https://radio.example:٨٠/",
        "https://radio.example:80:80/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.0.0.1/",
        "http://0177.0.0.1/",
        "http://127.0.0.01/",
        "http://127.0.0.1.2/",
        "http://1.2.3.256/",
        "http://radio.0x/",
        "http://radio.5/",
        "http://[::1/",
        "http://::1/",
        "http://[::1]x/",
        "http://[fe80::1%25eth0]/",
        "http://[fe80::1%eth0]/",
        "http://[v1.x]/",
        "https://radio.example/live/../admin",
        "https://radio.example/live/%2e%2E/admin",
        "https://radio.example/live/..%2fadmin",
        "https://radio.example/live/..%5Cadmin",
        "https://radio.example/live/..;/admin",
        "https://radio.example/./live",
        "https://radio.example/%",
        "https://radio.example/%zz",
        "https://" + "a." * 126 + "example/",
        "https://" + "a" * 64 + ".example/",
        "https://radio.example/" + "a" * 2_048,
    ],
)
def test_what_could_be_read_in_two_ways_is_no_address(uri: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  each sentence is another; the type is the contract
        parse_address(uri)


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    for uri in (text, "http://" + text, "https://radio.example" + text):
        try:
            address = parse_address(uri)
        except ValueError:
            continue
        assert parse_address(address.uri) == address


@pytest.mark.parametrize(
    ("entry", "uri"),
    [
        ("https://radio.example", "https://radio.example/"),
        ("https://radio.example", "https://radio.example:443/live?x=1"),
        ("https://radio.example/", "https://radio.example/live"),
        ("https://radio.example:8443", "https://radio.example:8443/live"),
        ("https://radio.example:*", "https://radio.example:1/live"),
        ("http://radio.example:*/live", "http://radio.example:8000/live/vov1"),
        ("https://*.vov.example", "https://a.vov.example/"),
        ("https://*.vov.example", "https://b.a.vov.example/"),
        ("https://radio.example/live", "https://radio.example/live"),
        ("https://radio.example/live", "https://radio.example/live/vov1.mp3"),
        ("https://radio.example/live/", "https://radio.example/live/vov1.mp3"),
        ("http://192.168.1.10:8000", "http://192.168.1.10:8000/x"),
        ("http://[fd00::1]", "http://[FD00:0::1]/x"),
        ("http://localhost", "http://localhost/x"),
    ],
)
def test_an_entry_covers(entry: str, uri: str) -> None:
    assert covers(entry, uri)


@pytest.mark.parametrize(
    ("entry", "uri"),
    [
        ("https://radio.example", "http://radio.example/"),
        ("http://radio.example", "https://radio.example/"),
        ("http://radio.example", "http://radio.example:443/"),
        ("https://radio.example", "https://radio.example:8443/"),
        ("https://radio.example", "https://www.radio.example/"),
        ("https://radio.example", "https://radio.example.evil.example/"),
        ("https://*.vov.example", "https://vov.example/"),
        ("https://*.vov.example", "https://evilvov.example/"),
        ("https://*.vov.example", "https://a.vov.example.evil.example/"),
        ("https://*.vov.example", "http://a.vov.example/"),
        ("https://radio.example/live", "https://radio.example/"),
        ("https://radio.example/live", "https://radio.example/livestream"),
        ("https://radio.example/live", "https://radio.example/LIVE"),
        ("https://radio.example/live/", "https://radio.example/live"),
    ],
)
def test_an_entry_does_not_cover(entry: str, uri: str) -> None:
    assert not covers(entry, uri)


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "*",
        "radio.example",
        "ftp://radio.example",
        "HTTPS://radio.example",
        "https://",
        "https://*",
        "https://*.example",
        "https://*.",
        "https://*.*.vov.example",
        "https://a.*.vov.example",
        "https://a*.vov.example",
        "https://*vov.example",
        "https://*.1.2.3.4",
        "https://*.[::1]",
        "https://Radio.example",
        "https://rádio.example",
        "https://user@radio.example",
        "https://radio.example#x",
        "https://radio.example/live?x",
        "https://radio.example/live#x",
        "https://radio.example/a/../b",
        "https://radio.example/làng",
        "https://radio.example/a b",
        "https://radio.example:",
        "https://radio.example:0",
        "https://radio.example:99999",
        "https://radio.example:8*",
        "https://radio.example.",
        "https://127.1",
        "https://[::1",
        " https://radio.example",
        "https://radio.example\n",
    ],
)
def test_what_is_no_entry_is_refused_with_one_sentence(entry: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011  each sentence is another; the type is the contract
        parse_entry(entry)
    assert str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "ip",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "239.1.1.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "64:ff9b:1::1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "fe80::1%eth0",
        "ff02::1",
        "2001:0:1::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "fec0::1",
        "100::1",
    ],
)
def test_an_address_that_is_not_public(ip: str) -> None:
    assert not is_public(ip)


@pytest.mark.parametrize(
    "ip", ["8.8.8.8", "100.63.255.255", "100.128.0.1", "172.32.0.1", "223.255.255.255", "2400:cb00::1", "2a00::1"]
)
def test_a_public_address(ip: str) -> None:
    assert is_public(ip)


def permitted(rules: SourceRules, kind: str, uri: str) -> bool | None:
    """None: refused; else whether an address that is not public will do."""
    try:
        return rules.permit("relay" if kind == "relay" else "file", parse_address(uri))
    except ValueError:
        return None


def test_empty_means_no() -> None:
    rules = SourceRules((), ())
    assert permitted(rules, "relay", "https://radio.example/") is None
    assert permitted(rules, "file", "https://radio.example/") is None


def test_files_come_from_any_public_host_where_nothing_narrows_them() -> None:
    rules = SourceRules(("https://radio.example",), None)
    assert permitted(rules, "file", "http://anything.example/x.mp3") is False
    assert permitted(rules, "relay", "https://anything.example/x.mp3") is None


def test_files_are_narrowed_by_their_own_list_and_relays_by_theirs() -> None:
    rules = SourceRules(("https://radio.example",), ("https://*.files.example",))
    assert permitted(rules, "file", "https://a.files.example/x") is False
    assert permitted(rules, "file", "https://radio.example/x") is None
    assert permitted(rules, "relay", "https://a.files.example/x") is None


def test_only_an_entry_that_names_the_host_opens_addresses_that_are_not_public() -> None:
    rules = SourceRules(("http://192.168.1.10:8000/live", "https://*.vov.example", "https://radio.example"), None)
    assert permitted(rules, "relay", "http://192.168.1.10:8000/live") is True
    assert permitted(rules, "relay", "https://radio.example/") is True
    assert permitted(rules, "relay", "https://a.vov.example/") is False
    assert permitted(rules, "file", "http://192.168.1.10:8000/live/x.mp3") is True
    assert permitted(rules, "file", "http://192.168.1.10/reboot") is False
    assert permitted(rules, "file", "http://192.168.1.1/reboot") is False


def test_a_bad_entry_stops_the_rules_from_being_made() -> None:
    with pytest.raises(ValueError, match="at least two labels"):
        SourceRules(("https://*.example",), None)
