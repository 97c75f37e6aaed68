import pytest
from hypothesis import given
from hypothesis import strategies as st

from cretonode.config.addresses import Address, canonical_host, parse, parse_host_port
from cretonode.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9001", Address("127.0.0.1", 9001)),
        ("0.0.0.0:1", Address("0.0.0.0", 1)),
        ("[::1]:65535", Address("::1", 65535)),
        ("[2001:DB8:0:0::1]:9001", Address("2001:db8::1", 9001)),
        ("node-1.example.org:9001", Address("node-1.example.org", 9001)),
        ("Creto_Node-0:9001", Address("creto_node-0", 9001)),
        ("/ip4/172.21.0.11/udp/9001/quic", Address("172.21.0.11", 9001)),
        ("/ip4/172.21.0.11/udp/9001/quic-v1", Address("172.21.0.11", 9001)),
        ("/ip6/::1/udp/9001/quic", Address("::1", 9001)),
        ("/dns/example.org/udp/9001/quic", Address("example.org", 9001)),
        ("/dns4/example.org/udp/9001/quic", Address("example.org", 9001)),
        ("/dns6/example.org/udp/9001/quic", Address("example.org", 9001)),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else "",
)
def test_both_forms_of_an_address_are_read(text: str, address: Address) -> None:
    """SPEC N4."""
    assert parse(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "host",
        "host:",
        ":9001",
        "host:0",
        "host:65536",
        "host:999999999999",
        "host:09001",
        "host:+1",
        "host:-1",
        "host:٣",
        "host: 9001",
        " host:9001",
        "host:9001\n",
        "::1:9001",
        "[127.0.0.1]:9001",
        "[::1]",
        "[::1:9001",
        "[fe80::1%eth0]:9001",
        "256.0.0.1:9001",
        "1.2.3:9001",
        "01.2.3.4:9001",
        "-host:9001",
        "host-:9001",
        "ho st:9001",
        "höst:9001",
        "a..b:9001",
        "a.:9001",
        f"{'a' * 64}:9001",
        f"{'a.' * 127}b:9001",
        "http://host:9001",
        "/",
        "/ip4/172.21.0.11",
        "/ip4/172.21.0.11/tcp/9001/quic",
        "/ip4/172.21.0.11/udp/9001",
        "/ip4/172.21.0.11/udp/9001/http",
        "/ip4/172.21.0.11/udp/9001/quic/",
        "/ip4/172.21.0.11/udp/9001/quic/p2p/x",
        "/ip4/::1/udp/9001/quic",
        "/ip4/example.org/udp/9001/quic",
        "/ip6/127.0.0.1/udp/9001/quic",
        "/dns/127.0.0.1/udp/9001/quic",
        "/ip/127.0.0.1/udp/9001/quic",
        "x" * 10_000,
    ],
)
def test_a_bad_address_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^'.*' is no address; expected \"host:port\""):
        parse(text)


def test_where_only_host_and_port_belong_a_multiaddr_is_refused() -> None:
    with pytest.raises(ConfigError, match=r'expected "host:port"$'):
        parse_host_port("/ip4/172.21.0.11/udp/9001/quic")


def test_what_nobody_can_dial_is_known() -> None:
    assert Address("0.0.0.0", 1).is_unspecified
    assert Address("::", 1).is_unspecified
    assert not Address("0.0.0.1", 1).is_unspecified
    assert not Address("::1", 1).is_unspecified
    assert not Address("zero", 1).is_unspecified


_addresses = st.builds(
    Address,
    st.one_of(
        st.ip_addresses(v=4).map(str),
        st.ip_addresses(v=6).map(str),
        st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z]{2,5})?", fullmatch=True).filter(
            lambda host: canonical_host(host) == host
        ),
    ),
    st.integers(1, 65_535),
)


@given(_addresses)
def test_an_address_reads_back_from_either_of_its_texts(address: Address) -> None:
    assert parse(str(address)) == parse(address.multiaddr) == address


@given(st.text() | st.from_regex(r"[/\[]?[a-z0-9:.%/\[\]]*:[0-9]{1,5}"))
def test_any_text_is_an_address_with_one_canonical_text_or_a_config_error(text: str) -> None:
    try:
        address = parse(text)
    except ConfigError:
        return
    assert parse(str(address)) == address
