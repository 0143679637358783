"""Claims about where a workflow can make Podium connect: not to itself, nor to its neighbours."""

import asyncio
import ipaddress
import random
import socket

import pytest

from streams.workers.outbound import CheckedResolver, OutboundPolicy, OutboundRefused, SystemLookup

PUBLIC_ONLY = OutboundPolicy()

# Spellings that are refused before any name is looked up.
REFUSED_URLS = [
    "http://127.0.0.1/",
    "http://127.0.0.1:8080/",
    "http://127.0.0.1./",
    "http://127.1/",
    "http://127.0.1/",
    "http://127.255.255.254/",
    "http://2130706433/",
    "http://017700000001/",
    "http://0177.0.0.1/",
    "http://0177.0.0.01/",
    "http://0x7f000001/",
    "http://0x7f.0x0.0x0.0x1/",
    "http://0x7f.1/",
    "http://0X7F.0.0.1/",
    "http://00000127.0.0.1/",
    "http://127.0.0.0x1/",
    "http://0/",
    "http://0.0.0.0/",
    "http://0x0/",
    "http://1.2.3.4.5/",
    "http://256.256.256.256/",
    "http://10.0.0.1/",
    "http://10.1/",
    "http://172.16.0.1/",
    "http://172.31.255.255/",
    "http://192.168.1.1/",
    "http://3232235777/",
    "http://100.64.0.1/",
    "http://100.127.255.255/",
    "http://169.254.169.254/latest/meta-data/",
    "http://169.254.170.2/v2/credentials",
    "http://2852039166/",
    "http://0xA9FEA9FE/",
    "http://0251.0376.0251.0376/",
    "http://100.100.100.200/",
    "http://168.63.129.16/",
    "http://192.0.0.192/",
    "http://192.0.2.1/",
    "http://198.18.0.1/",
    "http://198.51.100.1/",
    "http://203.0.113.1/",
    "http://224.0.0.1/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://[::]/",
    "http://[::1]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[0000::0001]:80/",
    "http://[::127.0.0.1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[0:0:0:0:0:ffff:127.0.0.1]/",
    "http://[::ffff:0:127.0.0.1]/",
    "http://[::ffff:8.8.8.8]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[64:ff9b::8.8.8.8]/",
    "http://[64:ff9b:1::1]/",
    "http://[2002:7f00:1::]/",
    "http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/",
    "http://[2001:db8::1]/",
    "http://[100::1]/",
    "http://[fe80::1]/",
    "http://[fe80::1%25eth0]/",
    "http://[fec0::1]/",
    "http://[fc00::1]/",
    "http://[fd00:ec2::254]/",
    "http://[fd20:ce::254]/",
    "http://[ff02::1]/",
    "http://[4000::1]/",
    "http://①②⑦.⓪.⓪.①/",
    "http://127。0。0。1/",
    "http://\uff11\uff12\uff17.0.0.1/",
    "http://%31%32%37.0.0.1/",
    "http://user@127.0.0.1/",
    "http://user:password@example.com/",
    "http://example.com@127.0.0.1/",
    "http://127.0.0.1@example.com/",
    "http://127.0.0.1%2f@example.com/",
    "http://example.com:80@127.0.0.1:8080/",
    "http://127.0.0.1#@example.com/",
    "http://127.0.0.1?@example.com/",
    "http://example.com\\@127.0.0.1/",
    "http://127.0.0.1\\.example.com/",
    "http://exa mple.com/",
    "http://example.com\r\nHost: evil/",
    "http://example.com/\r\nX-Evil: 1",
    "http://example.com/\x00",
    "http://example.com%00.evil/",
    "http://exam%0d%0aple.com/",
    "http://-/",
    "http://a..b/",
    "http://example.com../",
    "http:///etc/passwd",
    "http:/127.0.0.1/",
    "http:127.0.0.1/",
    "//127.0.0.1/",
    "127.0.0.1",
    "example.com",
    "",
    "http://",
    "http://:80/",
    "http://example.com:0/",
    "http://example.com:99999/",
    "http://example.com:80:80/",
    "http://[::1/",
    "http://[example.com]/",
    "file:///etc/passwd",
    "ftp://example.com/",
    "gopher://127.0.0.1:6379/_INFO",
    "dict://127.0.0.1:11211/",
    "unix:///var/run/docker.sock",
    "http+unix://%2Fvar%2Frun%2Fdocker.sock/",
    "ws://example.com/",
    "javascript:alert(1)",
    "data:text/plain,x",
    "http://example.com/" + "x" * 9_000,
]


@pytest.mark.parametrize("url", REFUSED_URLS, ids=[f"{n}-{url[:40]!r}" for n, url in enumerate(REFUSED_URLS)])
def test_url_that_is_not_public_in_any_spelling_is_refused(url: str) -> None:
    """No connection, no look-up: the text alone is enough."""
    with pytest.raises(OutboundRefused):
        PUBLIC_ONLY.check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "https://EXAMPLE.com:8443/path?query=1#fragment",
        "http://example.com./",
        "http://my_service.example.com/",
        "http://xn--bcher-kva.example/",
        "http://bücher.example/ü?q=ä",
        "http://8.8.8.8/",
        "http://[2606:4700:4700::1111]/",
        "http://1.example.com/",
        "http://example.com/a@b:c",
        "http://@example.com/",
        "http://0x7f.example.com/",
    ],
)
def test_public_url_is_taken_without_its_fragment(url: str) -> None:
    """Ordinary URLs pass; names are judged when they are looked up."""
    assert PUBLIC_ONLY.check_url(url).raw_fragment == ""


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("127.0.0.1", "loopback"),
        ("10.9.8.7", "private"),
        ("100.64.1.1", "carrier"),
        ("169.254.1.1", "link-local"),
        ("169.254.169.254", "metadata"),
        ("168.63.129.16", "metadata"),
        ("224.0.0.251", "multicast"),
        ("0.0.0.7", "unspecified"),
        ("250.0.0.1", "reserved"),
        ("::1", "loopback"),
        ("::", "unspecified"),
        ("::ffff:8.8.8.8", "written as IPv6"),
        ("64:ff9b::808:808", "NAT64"),
        ("2002:808:808::1", "tunnel"),
        ("fe80::1%eth0", "link-local"),
        ("fd00::1", "private"),
        ("ff05::2", "multicast"),
        ("3fff::1", "reserved"),
        ("not an address", "no address"),
    ],
)
def test_address_that_is_not_public_is_refused_with_its_kind(address: str, reason: str) -> None:
    """The message says why, so that the operator can decide to allow the host."""
    with pytest.raises(OutboundRefused, match=reason):
        PUBLIC_ONLY.check_address("host.example", address)


def test_whatever_the_standard_library_calls_not_global_is_refused() -> None:
    """An independent table of special addresses: this one is nowhere more lenient."""
    numbers = random.Random(7)
    for _ in range(20_000):
        four = ipaddress.IPv4Address(numbers.getrandbits(32))
        six = ipaddress.IPv6Address(numbers.getrandbits(128) >> numbers.choice([0, 3, 96, 100]))
        for address in (four, six):
            if not address.is_global or address.is_multicast:
                with pytest.raises(OutboundRefused):
                    PUBLIC_ONLY.check_address("host.example", str(address))


def test_private_addresses_can_be_allowed_but_metadata_services_stay_refused() -> None:
    """An intranet is no reason to hand out the machine's credentials."""
    intranet = OutboundPolicy(allow_private=True)
    for allowed in ("127.0.0.1", "10.0.0.1", "192.168.0.1", "100.64.0.1", "::1", "fd00::1", "8.8.8.8"):
        intranet.check_address("host.example", allowed)
    for refused in ("169.254.169.254", "100.100.100.200", "fd00:ec2::254", "0.0.0.9", "::ffff:10.0.0.1", "fe80::1"):
        with pytest.raises(OutboundRefused):
            intranet.check_address("host.example", refused)


def test_allowed_host_may_have_any_address_and_others_may_not() -> None:
    """A name is allowed as it stands in URLs, in any case, with or without the dot at its end."""
    policy = OutboundPolicy(allowed_hosts=frozenset({"intranet.example", "127.0.0.1"}))

    policy.check_url("http://127.0.0.1:8080/x")
    policy.check_address("intranet.example", "10.0.0.1")
    policy.check_address("Intranet.Example.", "10.0.0.1")
    with pytest.raises(OutboundRefused):
        policy.check_address("other.example", "10.0.0.1")
    with pytest.raises(OutboundRefused):
        policy.check_url("http://127.0.0.2/")


class Answers:
    """A name server that gives one list of addresses after the other."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def __call__(self, host: str, port: int, family: int) -> list[str]:
        """Return the next answer."""
        self.asked += 1
        return self.answers.pop(0)


async def test_one_bad_answer_among_good_ones_refuses_the_host() -> None:
    """A connector tries all addresses, so all of them must be allowed."""
    resolver = CheckedResolver(PUBLIC_ONLY, Answers(["8.8.8.8", "127.0.0.1"]))
    with pytest.raises(OutboundRefused, match=r"127\.0\.0\.1"):
        await resolver.resolve("mixed.example", 80)


async def test_the_checked_address_is_the_one_handed_to_the_connector() -> None:
    """There is no second look-up that could answer otherwise."""
    names = Answers(["8.8.8.8", "2606:4700:4700::1111"], ["127.0.0.1"])
    resolver = CheckedResolver(PUBLIC_ONLY, names)

    found = await resolver.resolve("rebinding.example", 443)

    assert [(one["host"], one["port"], one["family"]) for one in found] == [
        ("8.8.8.8", 443, socket.AF_INET),
        ("2606:4700:4700::1111", 443, socket.AF_INET6),
    ]
    assert all(one["flags"] & socket.AI_NUMERICHOST for one in found)
    assert names.asked == 1


async def test_host_without_addresses_is_an_error_of_the_network() -> None:
    """No answer is not a refusal: it may be tried again."""
    with pytest.raises(OSError, match="has no address"):
        await CheckedResolver(PUBLIC_ONLY, Answers([])).resolve("empty.example", 80)


@pytest.mark.parametrize("host", ["localhost", "localhost.", "LOCALHOST"])
async def test_names_of_this_machine_lead_nowhere(host: str) -> None:
    """The system's own resolver says where these lead, or does not know them at all."""
    lookup = SystemLookup()
    try:
        async with asyncio.timeout(10):
            with pytest.raises((OutboundRefused, socket.gaierror)):
                await CheckedResolver(PUBLIC_ONLY, lookup).resolve(host, 80, socket.AF_UNSPEC)
    finally:
        lookup.close()
