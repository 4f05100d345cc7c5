"""Any document that a declarative file can hold, for property tests."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from controller.cli.declarative.document import (
    ENCAPS,
    Chassis,
    Connection,
    Document,
    Network,
    Port,
    Tenant,
    Vtep,
    encaps,
    ordered,
)

AWKWARD = ("no", "null", "1e3", "0x1f", "1.5", "2001-01-01", "y", "Off", "a.b", "a-b", "007", "1_0")
"""Names that YAML takes for something else."""
NAMES = st.sampled_from(AWKWARD) | st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,8}", fullmatch=True)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
PAIRS = st.dictionaries(TEXT | st.just("k" * 1100), TEXT, max_size=3).map(lambda pairs: dict(sorted(pairs.items())))
TRUTHS = st.sampled_from((None, True, False))
MACS = st.integers(0, 1 << 16).map(lambda number: f"52:54:00:12:{number >> 8 & 255:02x}:{number & 255:02x}")
MTUS = st.none() | st.integers(576, 65535)
KINDS = st.sets(st.sampled_from(ENCAPS)).map(encaps)


@st.composite
def networks(draw: st.DrawFn, name: str, vni: int, tenants: list[str], hosts: list[str]) -> Network:
    subnets = [f"10.{vni}.0.0/16", "2001:db8::/64"][: draw(st.integers(0, 2))]
    return Network(
        name,
        draw(st.sampled_from(tenants)),
        vni,
        draw(st.sampled_from(ENCAPS)),
        ordered(subnets),
        ordered([f"10.{vni}.0.1", "2001:db8::1"][: draw(st.integers(0, len(subnets)))]),
        (f"10.{vni}.1.0-10.{vni}.2.0",) if subnets and draw(st.booleans()) else (),
        ordered([f"10.{vni}.1.7", f"10.{vni}.1.9-10.{vni}.1.11"]) if subnets and draw(st.booleans()) else (),
        draw(st.none() | st.integers(68, 65535)),
        draw(st.sampled_from((None, "flood", "drop"))),
        draw(st.sampled_from((None, "auto", "flood", "gateway", "drop"))),
        draw(st.sampled_from((None, "flood", "drop"))),
        draw(TRUTHS),
        *draw(
            st.sampled_from([(None, None, None), *((physical, vni, host) for physical in AWKWARD for host in hosts)])
        ),
        draw(TEXT),
        draw(PAIRS),
    )


@st.composite
def ports(draw: st.DrawFn, name: str, network: Network, mac: str, number: int) -> Port:
    ips = [f"10.{network.vni}.0.{number + 10}", f"2001:db8::{number + 16:x}"]
    return Port(
        name,
        network.name,
        mac,
        ordered([f"{mac}".replace("52:54", f"5{n}:54") for n in (4, 6)][: draw(st.integers(0, 2))]),
        ordered(ips[: draw(st.integers(0, len(network.subnets) or 2))]),
        ordered(draw(st.sets(st.sampled_from((f"{mac} 10.0.0.0/8", "2001:db8::/64", "192.0.2.1", "::/0"))))),
        draw(TRUTHS),
        draw(TRUTHS),
        ordered(draw(st.sets(st.sampled_from(("dhcp-server", "router"))))),
        draw(st.none() | st.integers(0, 999_999_999)),
        description=draw(TEXT),
        external_ids=draw(PAIRS),
    )


@st.composite
def trunks(draw: st.DrawFn, network: str, members: dict[str, Port]) -> list[Port]:
    """A port with a name of its own, and those of the network that are behind it."""
    inside = [port for port in members.values() if port.network == network]
    chosen = [port for port in inside if draw(st.booleans())]
    parent = f"trunk-of-{network}"
    tags = draw(st.permutations(range(1, len(chosen) + 1)))
    behind = [
        replace(port, parent=parent, tag=tag, service_tag=draw(TRUTHS)) for port, tag in zip(chosen, tags, strict=True)
    ]
    return [Port(parent, network, "52:54:00:ff:ff:ff"), *behind] if behind else []


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """A document with every section, of few names: two of them have much in common, and much that differs."""
    tenants = draw(st.lists(NAMES, max_size=3, unique=True))
    names = draw(st.lists(NAMES, max_size=3, unique=True)) if tenants else []
    vnis = draw(st.permutations(range(1, len(names) + 1)))
    machines = draw(st.lists(NAMES, max_size=3, unique=True))
    domains = {name: draw(networks(name, vni, tenants, machines)) for name, vni in zip(names, vnis, strict=True)}
    members = {}
    if domains:
        taken: set[tuple[str, str]] = set()
        for number, name in enumerate(draw(st.lists(NAMES, max_size=6, unique=True))):
            network, mac = domains[draw(st.sampled_from(names))], draw(MACS)
            if (network.name, mac) not in taken:
                taken.add((network.name, mac))
                members[name] = draw(ports(name, network, mac, draw(st.permutations(range(6)))[0] * 10 + number))
    members |= {port.name: port for name in domains for port in draw(trunks(name, members))}
    hosts = {}
    for number, name in enumerate(machines):
        ends = [Vtep(ip, draw(KINDS), draw(MTUS)) for ip in (f"192.0.2.{number + 1}", f"2001:db8::{number + 1}")]
        hosts[name] = Chassis(
            name,
            draw(st.sampled_from((f"tcp:192.0.2.{number}:6640", f"unix:/run/{number}", f"dial-in:{name}"))),
            tuple(ends[: draw(st.integers(1, 2))]),
            draw(st.sampled_from((None, "system", "netdev"))),
            draw(st.sampled_from((None, "tcp:192.0.2.9:6653"))),
            dict(sorted(draw(st.dictionaries(st.sampled_from(AWKWARD), st.sampled_from(AWKWARD), max_size=2)).items())),
            draw(TEXT),
            draw(PAIRS),
        )
    targets = draw(st.sets(st.sampled_from(("ptcp:6642:127.0.0.1", "pssl:6643:0.0.0.0", "ptcp:6644:[2001:db8::1]"))))
    connections = {
        target: Connection(
            target,
            draw(TEXT),
            draw(TRUTHS),
            draw(st.none() | st.integers(0, 1 << 40)),
            draw(st.none() | st.integers(1000, 1 << 40)),
        )
        for target in targets
    }
    owners = {name: Tenant(name, draw(TEXT), draw(PAIRS)) for name in tenants}
    return Document(owners, domains, members, frozenset(domains), hosts, connections, draw(PAIRS), draw(PAIRS))


@st.composite
def parts(draw: st.DrawFn, of: Document) -> Document:
    """A document without some of its sections, and without the ports of some of its networks."""
    stated = frozenset(name for name in of.stated if draw(st.booleans()))
    part = replace(of, stated=stated, ports={name: port for name, port in of.ports.items() if port.network in stated})
    # A gateway chassis is in the file, or in the database.
    connected = any(network.gateway_chassis for network in (of.networks or {}).values())
    for section in ("chassis", "connections", "options", "external_ids")[connected:]:
        if draw(st.booleans()):
            part = replace(part, **{section: None})
    return part
