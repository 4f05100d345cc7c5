"""Values as the command line has them, made canonical or refused.

Pure. What `flows.model` checks is imported when it is needed: it costs a third of a short command.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from controller.cli.errors import CommandError
from controller.cli.text import escaped
from ovsdb import remotes

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
MAC = re.compile(r"[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}")
DIGITS = re.compile(r"-?[0-9]+")
ENCAPS = ("vxlan", "gre")
BRIDGE = re.compile(r"[A-Za-z0-9._-]{1,15}")
UNKNOWN_UNICAST = ("flood", "drop")
UNKNOWN_NEIGHBOR = ("auto", "flood", "gateway", "drop")
MULTICAST = ("flood", "drop")
MAY = ("dhcp-server", "router")
DATAPATHS = ("system", "netdev")
AUTO = "auto"
NONE = "none"
LONGEST = 1000
"""The most characters of a description."""

PAIRS = 1000
"""The most allowed pairs of a port: each takes some eight flows of its switch."""

Value = TypeVar("Value")


def checked(check: Callable[[str], Value], written: str) -> Value:
    """What `check` makes of it; its ValueError becomes the command's error."""
    try:
        return check(written)
    except ValueError as refusal:
        raise CommandError(str(refusal)) from None


def name(written: str, what: str) -> str:
    """The name of a chassis, network, tenant or port."""
    if not NAME.fullmatch(written):
        raise CommandError(
            f"{what} {written!r} is no name: 1 to 63 letters, digits, '.', '_' or '-', the first a letter or a digit"
        )
    return written


def description(written: str) -> str:
    """What a thing is for, in words: one line, and not a very long one."""
    if len(written) > LONGEST:
        raise CommandError(f"description {written[:20]!r}... has {len(written)} characters; at most {LONGEST} are kept")
    odd = next((letter for letter in written if escaped(letter) != letter), None)
    if odd is not None:
        raise CommandError(
            f"description {written[:60]!r} contains the control character {odd!r}; expected one line of text"
        )
    return written


def vni(written: str) -> int:
    """A VNI, 1..2^24-1."""
    from flows import model

    # int() alone also reads "1_000" and digits of other scripts.
    if not DIGITS.fullmatch(written):
        raise CommandError(f"VNI {written!r} is not a number")
    return checked(model.vni, written)


def mac(written: str) -> str:
    """A unicast MAC."""
    from flows import model

    # netaddr alone also reads fewer octets and other groupings: 02:00:00 would be 00:02:00:00:00:00.
    if not MAC.fullmatch(written):
        raise CommandError(f"MAC {written!r} is not of the form 02:00:00:00:00:01")
    return checked(model.mac, written)


def ip(written: str) -> str:
    """A unicast IP address, v4 or v6, as RFC 5952 and inet_ntop(3) spell it."""
    import socket

    family = socket.AF_INET6 if ":" in written else socket.AF_INET
    try:
        packed = socket.inet_pton(family, written)
    except (OSError, ValueError):
        kind = "IPv6 address such as 2001:db8::1" if ":" in written else "IPv4 address such as 10.0.0.1"
        raise CommandError(f"IP {written!r} is not an {kind}") from None
    spelled = socket.inet_ntop(family, packed)
    loopback = packed[0] == 127 if len(packed) == 4 else packed == bytes(15) + b"\x01"
    multicast = 224 <= packed[0] <= 239 if len(packed) == 4 else packed[0] == 255
    if loopback or multicast or not any(packed) or packed == b"\xff" * 4:
        raise CommandError(f"IP {spelled} is not a unicast address")
    return spelled


def vtep_ip(written: str) -> str:
    """The address of a VTEP: one that other hosts can send to."""
    from flows import model

    return checked(model.vtep_ip, ip(written))


def ip_order(written: str) -> tuple[int, bytes]:
    """A key that sorts addresses by value, IPv4 first; what is none comes last."""
    import socket

    family = socket.AF_INET6 if ":" in written else socket.AF_INET
    try:
        return family, socket.inet_pton(family, written)
    except OSError:
        return 1 << 8, written.encode()


def span(written: str) -> str:
    """One address, or the first and the last of several: `A-B`."""
    first, dash, last = written.partition("-")
    return f"{ip(first.strip())}-{ip(last.strip())}" if dash else ip(written)


def subnet(written: str) -> str:
    """A subnet in CIDR."""
    from flows import ipam

    return checked(lambda text: str(ipam.subnet(text)), written)


def pair(written: str) -> str:
    """What a port may send from besides its own: `IP[/LENGTH]`, or that from one more MAC, `MAC=IP[/LENGTH]`.

    The database has a space for the `=`, which is understood here as well.
    """
    first, mark, rest = written.replace(" ", "=").partition("=")
    owner, addresses = (f"{mac(first)} ", rest) if mark else ("", first)
    if "/" in addresses:
        from flows import ipam

        return owner + checked(lambda text: str(ipam.prefix(text)), addresses)
    return owner + ip(addresses)


def too_many_pairs(count: int) -> str | None:
    """What is wrong with a port that has so many allowed pairs; None: nothing."""
    if count <= PAIRS:
        return None
    return (
        f"{count} allowed pairs are too many; a port has {PAIRS} at the most: allow a prefix (IP/LENGTH), "
        "or switch its guard off (security)"
    )


def several(options: Sequence[str], made: Callable[[str], Value]) -> list[Value]:
    """The values of a repeated option, each one or several with commas; `none` alone is no value."""
    parts = _parts(options)
    return [] if parts == [NONE] else list(dict.fromkeys(made(part) for part in parts))


def one_of(what: str, written: str, known: Sequence[str]) -> str:
    """One of a few words."""
    if written not in known:
        raise CommandError(f"{what} {written!r} is unknown; there are: {', '.join(known)}")
    return written


def mtu(written: str) -> list[int]:
    """An MTU, or no element when it is left open."""
    if written in (AUTO, NONE):
        return []
    if not DIGITS.fullmatch(written) or not 68 <= int(written) <= 65535:
        raise CommandError(f"MTU {written!r} is neither a number in 68..65535 nor auto")
    return [int(written)]


def physical(written: str) -> tuple[str, list[int]]:
    """A physical network, and the VLAN there, or no element where packets have no tag: `NAME[:VLAN]`."""
    network, colon, vlan = written.partition(":")
    if colon and (not DIGITS.fullmatch(vlan) or not 0 <= int(vlan) <= 4094):
        raise CommandError(f"physical {written!r}: VLAN {vlan!r} is not in 0..4094; expected NAME[:VLAN]")
    return name(network, "physical network"), [int(vlan)] if colon and int(vlan) else []


def bridges(options: Sequence[str]) -> dict[str, str]:
    """The bridges of repeated `--bridge`, each one or several with commas, by the physical network they are in."""
    found: dict[str, str] = {}
    parts = _parts(options)
    for part in parts if parts != [NONE] else ():
        network, equals, bridge = part.partition("=")
        if not equals:
            raise CommandError(f"bridge {part!r} is not of the form PHYSICAL=BRIDGE")
        if found.setdefault(name(network, "physical network"), bridge_name(bridge)) != bridge:
            raise CommandError(f"physical network {network!r} has two bridges, {found[network]} and {bridge}; name one")
    return found


def bridge_name(written: str) -> str:
    """The name of a bridge; that of the overlay itself is refused."""
    if not BRIDGE.fullmatch(written):
        raise CommandError(f"bridge {written!r} is no name: 1 to 15 letters, digits, '.', '_' or '-'")
    if written == "br-int":
        raise CommandError("bridge 'br-int' is the overlay's own; name the one that has the physical interface")
    return written


def mtus(options: Sequence[str], vteps: Sequence[str]) -> dict[str, list[int]]:
    """The underlay MTU of each of these VTEPs that repeated `--vtep-mtu` names: `N` for all, `IP=N` for one."""
    found: dict[str, list[int]] = {}
    for part in sorted(_parts(options), key=lambda part: "=" in part):
        address, equals, number = part.rpartition("=")
        if equals and ip(address) not in vteps:
            raise CommandError(f"{ip(address)} is none of its VTEPs, which are {', '.join(vteps)}")
        for vtep in [ip(address)] if equals else vteps:
            found[vtep] = underlay_mtu(number)
    return found


def underlay_mtu(written: str) -> list[int]:
    """The MTU of an underlay, or no element where it is the usual one."""
    if written in (AUTO, NONE):
        return []
    if not DIGITS.fullmatch(written) or not 576 <= int(written) <= 65535:
        raise CommandError(f"VTEP MTU {written!r} is neither a number in 576..65535 nor auto")
    return [int(written)]


def may(written: str) -> str:
    """What a port may send that others may not."""
    return one_of("may", written, MAY)


def flood_rate(written: str) -> list[int]:
    """Packets per second, or no element for the usual number. The database has 0 for any number."""
    if written == "unlimited":
        return [0]
    if written in ("default", NONE):
        return []
    if re.fullmatch("0+", written):
        raise CommandError("flood rate 0 could mean none or any; write unlimited for any number, or 1 for next to none")
    if not re.fullmatch("[0-9]{1,9}", written):
        raise CommandError(f"flood rate {written!r} is neither a number of packets per second, unlimited nor default")
    return [int(written)]


def tag(written: str) -> int:
    """A VLAN tag."""
    if not DIGITS.fullmatch(written) or not 1 <= int(written) <= 4094:
        raise CommandError(f"tag {written!r} is not in 1..4094")
    return int(written)


def switch(what: str, written: str) -> bool:
    """`on` or `off`."""
    return one_of(what, written, ("on", "off")) == "on"


def vteps(options: Sequence[str]) -> dict[str, list[str]]:
    """The addresses of repeated `--vtep`, each one or several with commas, and the encaps that `IP=vxlan+gre` names."""
    found: dict[str, list[str]] = {}
    for part in _parts(options):
        address, named, kinds = part.partition("=")
        found[vtep_ip(address)] = encaps(kinds.split("+")) if named else []
    return found


def encap(written: str) -> str:
    """One kind of tunnel."""
    return one_of("encap", written, ENCAPS)


def encaps(options: Sequence[str]) -> list[str]:
    """The kinds of tunnel of repeated `--encap`, each one or several with commas, in their usual order."""
    offered = {encap(part) for part in _parts(options)}
    return [kind for kind in ENCAPS if kind in offered]


def datapath(written: str) -> list[str]:
    """The datapath type, or no element when the controller shall choose."""
    if written == AUTO:
        return []
    return [one_of("datapath", written, (*DATAPATHS, AUTO))]


def ovsdb(written: str, chassis: str) -> str:
    """Where a chassis' OVSDB server listens; `dial-in` where it connects to the controller."""
    if written in ("dial-in", f"dial-in:{chassis}"):
        return f"dial-in:{chassis}"
    return str(checked(remotes.remote, written))


def listener(written: str) -> str:
    """Where the overlay database's server listens: `pssl:PORT[:IP]` or `ptcp:PORT[:IP]`, on loopback without IP."""
    return checked(remotes.listen, written)


def milliseconds(written: str) -> list[int]:
    """A time between probes in milliseconds, 0 for none, or no element where the server shall choose."""
    if written == AUTO:
        return []
    if not re.fullmatch("[0-9]{1,9}", written):
        raise CommandError(f"inactivity probe {written!r} is neither a number of milliseconds nor auto")
    return [int(written)]


def controller(written: str) -> list[str]:
    """The OpenFlow address a chassis is given, or no element when the controller shall find its own."""
    if written == AUTO:
        return []
    return [str(checked(lambda text: remotes.inet(text, remotes.OPENFLOW_PORT), written))]


def _parts(options: Sequence[str]) -> list[str]:
    return [part.strip() for option in options for part in option.split(",")]
