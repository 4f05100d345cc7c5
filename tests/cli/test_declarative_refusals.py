"""Wrong declarative files: each fault by line, column, path, value and what was expected; all at once; nothing done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.cli.declarative import yaml_nodes
from controller.cli.declarative.read import WrongFileError, read
from ovsdb.rpc import Connection
from tests.cli.words import call, everything
from tests.overlay_database import needs_ovsdb

NETWORK = "version: 1\nnetworks:\n  red:\n    tenant: acme\n    vni: 100\n"
PORTS = f"{NETWORK}    subnets: [10.0.0.0/24]\n    ports:\n"
CHASSIS = "version: 1\nchassis:\n"
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{here}: &{here} [{', '.join([f'*{before}'] * 9)}]\n" for before, here in zip("abcdefgh", "bcdefghi", strict=True)
)


MANY = ", ".join(f"10.0.{number >> 8}.{number & 255}" for number in range(1001))


def faults(text: str | bytes) -> Iterator[str]:
    with pytest.raises(WrongFileError) as refused:
        read(text if isinstance(text, bytes) else text.encode())
    for fault in refused.value.faults:
        yield f"{fault.line}:{fault.column}: {fault.path}: {fault.text}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        # No YAML, or none for us.
        ("a: [1", "2:1: : not YAML: did not find expected ','"),
        ("version: 1\nnetworks:\n\tred: {}", "3:1: : a tab; expected spaces"),
        ("version: 1\na: b: c", "2:5: : not YAML: mapping values are not allowed"),
        ("version: 1\nx: [2001:db8::, a]", "2:14: : not YAML: found unexpected ':'; an address that ends with ':' is"),
        (b"version: 1\nx: \xff", "2:4: : byte 0xff is not UTF-8"),
        ("version: 1\nx: \x01", "2:4: : character U+0001; expected text without it"),
        ("version: 1\nx: ö\x01", "2:5: : character U+0001"),
        ("version: 1\n---\nversion: 1", "2:1: : a second document; expected one in a file"),
        ("version: 1\n? [a]\n: b", "2:3: : a list or mapping as a key; expected a word"),
        ("version: 1\nx: *nobody", "2:4: : *nobody stands for nothing before it"),
        ("version: 1\nx: &x [*x]", "2:8: : *x stands for nothing before it"),
        ("version: 1\nx: " + "[" * 100, "2:35: : nested more than 32 deep"),
        (LAUGHS, "more than 4000000 values, aliases resolved"),
        ("version: 1\ntenants:\n  a: {description: !!python/name:os.system ''}", "3:20: : tag !!python/name:os.system"),
        ("version: 1\ntenants:\n  a: {description: !secret x}", "3:20: : tag !secret is none that is read here"),
        # The whole.
        ("", "1:1: : no version; expected version: 1"),
        ("tenants:", "1:1: : no version; expected version: 1"),
        ("version: 2\nfuture: x", "1:10: version: version '2' is unknown; this overlayctl reads version 1"),
        ("[a]", "1:1: : a list; expected a mapping"),
        ("version: 1\ntenant: {}", "2:1: tenant: unknown key 'tenant'; did you mean 'tenants'?"),
        ("version: 1\nfoo: {}", "2:1: foo: unknown key 'foo'; known: "),
        ("version: 1\nnetworks: [a]", "2:11: networks: a list; expected a mapping"),
        ("version: 1\nnetworks: red", "2:11: networks: the single value 'red'; expected a mapping"),
        ("version: 1\ntenants:\n  a:\n  b:\n  a:", "5:3: tenants.a: key 'a' stands in line 3 already"),
        ("version: 1\ntenants:\n  a/b:", "3:3: tenants.\"a/b\": tenant 'a/b' is no name"),
        (
            "version: 1\ntenants:\n  a: {description: [x]}",
            "3:20: tenants.a.description: a list; expected a single value",
        ),
        ("version: 1\ntenants:\n  a: {description: }", "3:20: tenants.a.description: nothing is written here"),
        ("version: 1\ntenants:\n  a: {description: null}", "3:20: tenants.a.description: nothing is written here"),
        ('version: 1\ntenants:\n  a: {description: "\\0"}', "3:20: tenants.a.description: '\\x00' contains U+0000"),
        ("version: 1\ntenants:\n  a: {external-ids: [x]}", "3:21: tenants.a.external-ids: a list; expected a mapping"),
        ("version: 1\ntenants:\n  a: {external-ids: {k: ~}}", "3:25: tenants.a.external-ids.k: nothing is written"),
        ("version: 1\noptions: {a: [b]}", "2:14: options.a: a list; expected a single value"),
        ("version: 1\nchassis:", "2:9: chassis: nothing is written here; if there shall be none: chassis: {}"),
        (
            NETWORK + "    ports: ~",
            "6:12: networks.red.ports: nothing is written here; if there shall be none: ports: {}",
        ),
        # Networks.
        ("version: 1\nnetworks:\n  red:", "3:3: networks.red: no tenant; expected tenant: NAME"),
        ("version: 1\nnetworks:\n  red: {tenant: a}", "3:3: networks.red: no vni; expected vni: NUMBER, 1..16777215"),
        (
            "version: 1\ntenants: {acem: }\n" + NETWORK[11:],
            "5:13: networks.red.tenant: no tenant 'acme' in tenants; did",
        ),
        (
            "version: 1\ntenants: {}\n" + NETWORK[11:],
            "5:13: networks.red.tenant: no tenant 'acme' in tenants; there is",
        ),
        (NETWORK.replace("100", "0"), "5:10: networks.red.vni: VNI 0 is not in 1..16777215"),
        (NETWORK.replace("100", "1_0"), "5:10: networks.red.vni: VNI '1_0' is not a number"),
        (NETWORK.replace("100", "0x64"), "5:10: networks.red.vni: VNI '0x64' is not a number"),
        (NETWORK + "    vnl: 3", "6:5: networks.red.vnl: unknown key 'vnl'; did you mean 'vni'?"),
        (
            NETWORK + "    Unknown_Unicast: drop",
            "6:5: networks.red.Unknown_Unicast: unknown key 'Unknown_Unicast'; did",
        ),
        (NETWORK + "    <<: {}", '6:5: networks.red."<<": merge keys are not read'),
        (NETWORK + "    encap: geneve", "6:12: networks.red.encap: encap 'geneve' is unknown; there are: vxlan, gre"),
        (NETWORK + "    unknown-unicast: no", "6:22: networks.red.unknown-unicast: unknown-unicast 'no' is unknown"),
        (NETWORK + "    mtu: 67", "6:10: networks.red.mtu: MTU 67 is not in 68..65535"),
        (NETWORK + "    mtu: 1.5k", "6:10: networks.red.mtu: MTU '1.5k' is not a number; expected 68..65535"),
        (
            NETWORK + "  blue: {tenant: a, vni: 100}",
            "6:26: networks.blue.vni: VNI 100 is that of network 'red' (line 5)",
        ),
        (
            NETWORK + "    subnets: 10.0.0.0/24",
            "6:14: networks.red.subnets: the single value '10.0.0.0/24'; expected a list",
        ),
        (
            NETWORK + "    subnets: [10.0.0.1/24]",
            "6:15: networks.red.subnets[0]: subnet '10.0.0.1/24' has bits of a host",
        ),
        (NETWORK + "    subnets: [10.0.0.0]", "6:15: networks.red.subnets[0]: subnet '10.0.0.0' is not of the form"),
        (
            NETWORK + "    subnets: [10.0.0.0/8, 10.0.0.0/8]",
            "6:27: networks.red.subnets[1]: 10.0.0.0/8 stands in this list",
        ),
        (
            NETWORK + "    subnets: [10.0.0.0/8, 10.1.0.0/16]",
            "6:27: networks.red.subnets[1]: subnets 10.0.0.0/8 and 10.1",
        ),
        (NETWORK + "    gateways: [10.0.0.1]", "6:16: networks.red.gateways[0]: gateway 10.0.0.1 is in no subnet"),
        (
            PORTS[:-11] + "    gateways: [10.0.0.1, 10.0.0.2]",
            "7:26: networks.red.gateways[1]: gateways 10.0.0.1, 10.0.0.2",
        ),
        (
            PORTS[:-11] + "    ranges: [10.0.0.9-10.0.0.1]",
            "7:14: networks.red.ranges[0]: range '10.0.0.9-10.0.0.1' begins",
        ),
        (
            PORTS[:-11] + "    ranges: [10.0.0.9-10.0.1.1]",
            "7:14: networks.red.ranges[0]: range '10.0.0.9-10.0.1.1' lies in",
        ),
        (
            PORTS[:-11] + "    excludes: [10.0.1.1]",
            "7:16: networks.red.excludes[0]: exclude '10.0.1.1' lies in no subnet",
        ),
        # Ports.
        (PORTS + "      w:", "8:7: networks.red.ports.w: no mac; expected mac: MAC, or auto"),
        (PORTS + "      w: {mac: 02:00:00}", "8:16: networks.red.ports.w.mac: MAC '02:00:00' is not of the form"),
        (
            PORTS + "      w: {mac: 03:00:00:00:00:01}",
            "8:16: networks.red.ports.w.mac: MAC 03:00:00:00:00:01 is a group",
        ),
        (PORTS + "      w.1: {mac: 1}", "8:18: networks.red.ports.\"w.1\".mac: MAC '1' is not of the form"),
        (
            PORTS + "      w: {mac: auto, ip: [10.0.0.1]}",
            "8:22: networks.red.ports.w.ip: unknown key 'ip'; did you mean 'ips'?",
        ),
        (PORTS + "      w: {mac: auto, ips: 10.0.0.1}", "8:27: networks.red.ports.w.ips: the single value '10.0.0.1'"),
        (
            PORTS + "      w: {mac: auto, ips: [10.0.1.1]}",
            "8:28: networks.red.ports.w.ips[0]: IP 10.0.1.1 is in no subnet",
        ),
        (
            PORTS + "      w: {mac: auto, ips: [10.0.0.0]}",
            "8:28: networks.red.ports.w.ips[0]: IP 10.0.0.0 is the address of",
        ),
        (
            PORTS + "      w: {mac: auto, ips: [10.0.0]}",
            "8:28: networks.red.ports.w.ips[0]: IP '10.0.0' is not an IPv4",
        ),
        (
            PORTS + "      w: {mac: auto, enabled: yes}",
            "8:31: networks.red.ports.w.enabled: 'yes' is neither true nor false",
        ),
        (
            PORTS + "      w: {mac: auto, security: 1}",
            "8:32: networks.red.ports.w.security: '1' is neither true nor false",
        ),
        (
            PORTS + f"      w: {{mac: auto, allowed-pairs: [{MANY}]}}",
            "ports.w.allowed-pairs[1000]: 1001 allowed pairs",
        ),
        (PORTS + "      w: {mac: auto, allowed-pairs: [a b c]}", "8:38: networks.red.ports.w.allowed-pairs[0]: "),
        (
            NETWORK + "    ports: {w: {mac: auto, ips: [auto]}}",
            "6:34: networks.red.ports.w.ips[0]: network 'red' has no subnets to take an address from",
        ),
        (
            PORTS + "      w: {mac: 02:00:00:00:00:01}\n      v: {mac: '02-00-00-00-00-01'}",
            "9:16: networks.red.ports.v.mac: MAC 02:00:00:00:00:01 is that of port 'w' (line 8) already",
        ),
        (
            PORTS + "      w: {mac: 02:00:00:00:00:01}\n      v: {mac: auto, extra-macs: [02:00:00:00:00:01]}",
            "9:35: networks.red.ports.v.extra-macs[0]: MAC 02:00:00:00:00:01 is that of port 'w' (line 8) already",
        ),
        (
            PORTS + "      w: {mac: auto, ips: [10.0.0.1]}\n      v: {mac: auto, ips: [10.0.0.1]}",
            "9:28: networks.red.ports.v.ips[0]: IP 10.0.0.1 is that of port 'w' (line 8) already",
        ),
        (
            PORTS + "      w: {mac: auto}\n  blue:\n    tenant: a\n    vni: 2\n    ports:\n      w: {mac: auto}",
            "13:7: networks.blue.ports.w: the name w is that of a port of network 'red' (line 8) already",
        ),
        # Chassis and connections.
        (
            CHASSIS + "  h1:",
            "3:3: chassis.h1: no ovsdb; expected ovsdb: tcp:IP:PORT, ssl:IP:PORT, unix:/PATH or dial-in",
        ),
        (CHASSIS + "  h1: {ovsdb: dial-in}", "3:3: chassis.h1: no vteps; expected a list of at least one"),
        (CHASSIS + "  h1: {ovsdb: dial-in, vteps: []}", "3:31: chassis.h1.vteps: no vteps; expected a list"),
        (
            CHASSIS + "  h1: {ovsdb: dial-in, vteps: 1.1.1.1}",
            "3:31: chassis.h1.vteps: the single value '1.1.1.1'; expected",
        ),
        (
            CHASSIS + "  h1: {ovsdb: dial-in, vteps: ['fe80::1']}",
            "3:32: chassis.h1.vteps[0]: VTEP fe80::1 is link-local",
        ),
        (
            CHASSIS + "  h1: {ovsdb: dial-in, vteps: [{ip: '::ffff:1.1.1.1'}]}",
            "3:37: chassis.h1.vteps[0].ip: VTEP ::ffff:1.1.1.1 is an IPv4 address in IPv6 spelling; write 1.1.1.1",
        ),
        (CHASSIS + "  h1: {ovsdb: dial-in, vteps: [x]}", "3:32: chassis.h1.vteps[0]: IP 'x' is not an IPv4 address"),
        (CHASSIS + "  h1: {ovsdb: dial-in, vteps: [{}]}", "3:32: chassis.h1.vteps[0]: no ip; expected ip: IP"),
        (CHASSIS + "  h1: {ovsdb: host, vteps: [1.1.1.1]}", "3:15: chassis.h1.ovsdb: 'host' is neither"),
        (
            CHASSIS + "  h1: {ovsdb: dial-in, vteps: [1.1.1.1], datapath: dpdk}",
            "3:52: chassis.h1.datapath: datapath 'dpdk' is unknown",
        ),
        (
            CHASSIS + "  h1: {ovsdb: dial-in, vteps: [{ip: 1.1.1.1, encaps: []}]}",
            "3:54: chassis.h1.vteps[0].encaps: no encap; expected one, or no such key for all of them",
        ),
        (
            CHASSIS + "  h1: {ovsdb: tcp:1.1.1.1, vteps: [1.1.1.1]}\n  h2: {ovsdb: tcp:1.1.1.1:6640, vteps: [1.1.1.2]}",
            "4:15: chassis.h2.ovsdb: the server tcp:1.1.1.1:6640 is that of chassis 'h1' (line 3) already",
        ),
        (
            CHASSIS + "  h1: {ovsdb: dial-in, vteps: [1.1.1.1]}\n  h2: {ovsdb: dial-in, vteps: [{ip: 1.1.1.1}]}",
            "4:37: chassis.h2.vteps[0].ip: VTEP 1.1.1.1 is that of chassis 'h1' (line 3) already",
        ),
        (
            CHASSIS + "  h1: {ovsdb: dial-in, vteps: [{ip: 1.1.1.1, mtu: 575}]}",
            "3:51: chassis.h1.vteps[0].mtu: MTU 575 is not in 576..65535",
        ),
        (
            CHASSIS + "  h1: {ovsdb: dial-in, vteps: [1.1.1.1], bridges: {a/b: br0}}",
            "3:52: chassis.h1.bridges.\"a/b\": physical network 'a/b' is no name",
        ),
        (
            CHASSIS + "  h1: {ovsdb: dial-in, vteps: [1.1.1.1], bridges: {lan: br-int}}",
            "3:57: chassis.h1.bridges.lan: bridge 'br-int' is the overlay's own",
        ),
        # Neighbors, guard, trunks, physical networks.
        (
            f"{NETWORK}    unknown-neighbor: ask",
            "6:23: networks.red.unknown-neighbor: unknown-neighbor 'ask' is unknown; there are: auto, flood, gateway",
        ),
        (
            f"{NETWORK}    multicast: some",
            "6:16: networks.red.multicast: multicast 'some' is unknown; there are: flood",
        ),
        (f"{NETWORK}    vlan-transparent: on", "6:23: networks.red.vlan-transparent: 'on' is neither true nor false"),
        (f"{NETWORK}    physical: lan", "6:15: networks.red: no gateway-chassis; expected one beside physical"),
        (f"{NETWORK}    physical-vlan: 5", "6:20: networks.red: no physical; expected one beside physical-vlan"),
        (f"{NETWORK}    gateway-chassis: h1", "6:22: networks.red: no physical; expected one beside gateway-chassis"),
        (
            f"{NETWORK}    physical: lan\n    gateway-chassis: h1\n    physical-vlan: 4095",
            "physical-vlan 4095 is not in 0..4094",
        ),
        (
            f"{NETWORK}    physical: lan\n    gateway-chassis: h2\nchassis: {{}}",
            "7:22: networks.red.gateway-chassis: no chassis 'h2' in chassis; ",
        ),
        (
            f"{NETWORK}    physical: lan\n    gateway-chassis: h1\n"
            "  blue: {tenant: acme, vni: 2, physical: lan, physical-vlan: 0, gateway-chassis: h2}",
            "8:42: networks.blue.physical: VLAN 0 of lan is that of network 'red' (line 6) already; expected another",
        ),
        (f"{PORTS}      w: {{mac: auto, may: [fly]}}", "8:28: networks.red.ports.w.may[0]: may 'fly' is unknown"),
        (f"{PORTS}      w: {{mac: auto, flood-rate: x}}", "flood-rate 'x' is not a number; expected 0..999999999"),
        (f"{PORTS}      w: {{mac: auto, parent: v}}", "8:30: networks.red.ports.w: no tag; expected one beside parent"),
        (f"{PORTS}      w: {{mac: auto, tag: 5}}", "8:27: networks.red.ports.w: no parent; expected one beside tag"),
        (f"{PORTS}      w: {{mac: auto, service-tag: true}}", "no parent; expected one beside service-tag"),
        (f"{PORTS}      w: {{mac: auto, parent: v, tag: 4095}}", "8:38: networks.red.ports.w.tag: tag 4095 is not in"),
        (
            f"{PORTS}      w: {{mac: auto, parent: w, tag: 5}}",
            "8:30: networks.red.ports.w.parent: a port can't be behind itself",
        ),
        (
            f"{PORTS}      u: {{mac: auto}}\n      v: {{mac: auto, parent: u, tag: 5}}\n"
            "      w: {mac: auto, parent: v, tag: 5}",
            "10:30: networks.red.ports.w.parent: port 'v' is itself behind 'u'; expected one that is behind none",
        ),
        (
            f"{PORTS}      u: {{mac: auto}}\n      v: {{mac: auto, parent: u, tag: 5}}\n"
            "      w: {mac: auto, parent: u, tag: 5}",
            "10:30: networks.red.ports.w.parent: tag 5 behind 'u' is that of port 'v' already; expected another",
        ),
        (
            "version: 1\nconnections: {ptcp:1: , 'ptcp:1:127.0.0.1': }",
            '2:25: connections."ptcp:1:127.0.0.1": ptcp:1:127.0.',
        ),
        ("version: 1\nconnections: {6640: }", "2:15: connections.6640: '6640' is not of the form pssl:PORT"),
        (
            "version: 1\nconnections: {ptcp:1: {max-backoff: 9}}",
            'connections."ptcp:1:127.0.0.1".max-backoff: max-backoff 9: expect',
        ),
    ],
)
def test_a_fault_is_told_with_its_place(text: str | bytes, said: str) -> None:
    assert said in next(faults(text)), list(faults(text))


def test_all_faults_are_told_at_once_in_order() -> None:
    text = (
        "version: 1\nnetworks:\n  red: {tenant: acme, vni: x, mtu: 1, ports: {w: {mac: y, ips: [z]}}}\n"
        "chassis:\n  h1: {vteps: [1.1.1.1, 1.1.1.1]}\n"
    )
    places = [line.split(": ")[:2] for line in faults(text)]
    assert places == [
        ["3:28", "networks.red.vni"],
        ["3:36", "networks.red.mtu"],
        ["3:56", "networks.red.ports.w.mac"],
        ["3:65", "networks.red.ports.w.ips[0]"],
        ["5:3", "chassis.h1"],
        ["5:25", "chassis.h1.vteps[1]"],
    ]


def test_what_follows_from_a_fault_is_no_fault() -> None:
    text = (
        NETWORK + "    subnets: [10.0.0.0/33]\n    gateways: [10.0.0.1]\n    ports: {w: {mac: auto, ips: [10.0.0.1]}}"
    )
    assert len(list(faults(text))) == 1


def test_a_file_that_is_too_large_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_nodes, "MOST_BYTES", 1 << 20)
    assert "more than 1 MiB" in next(faults(b"version: 1 # " + b"x" * (1 << 20)))


@pytest.mark.parametrize(
    "mac", ["52:54:00:12:34:56", "'52:54:00:12:34:56'", "!!str 52:54:00:12:34:56", "52-54-00-12-34-56"]
)
def test_scalars_are_read_as_they_are_written(mac: str) -> None:
    """To YAML 1.1 the first is a number to the base of 60, `no` is false and 010 is eight."""
    text = f"version: 1\nnetworks:\n  no: {{tenant: 010, vni: 0100, ports: {{1e3: {{mac: {mac}}}}}}}"
    document = read(text.encode()).document
    assert document.ports["1e3"].mac == "52:54:00:12:34:56"
    assert (document.networks or {})["no"].tenant == "010"


def test_aliases_are_read() -> None:
    text = f"{PORTS}      w: {{mac: auto, external-ids: &x {{a: b}}}}\n      v: {{mac: auto, external-ids: *x}}"
    assert {port.external_ids["a"] for port in read(text.encode()).document.ports.values()} == {"b"}


@needs_ovsdb
@pytest.mark.parametrize(("verb", "code"), [("apply", 1), ("diff", 2)])
@pytest.mark.usefixtures("session")
def test_a_wrong_file_changes_nothing(
    database: Connection, tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str, code: int
) -> None:
    before = everything(database)
    file = tmp_path / "net.yaml"
    file.write_text(PORTS + "      w: {mac: auto, ips: [10.0.0.1]}\n      v: {mac: x, ips: [10.0.0.1]}\n")
    assert call(f"{verb} -f {file}") == code
    printed = capsys.readouterr()
    assert printed.out == ""
    heading, *lines = printed.err.splitlines()
    assert heading == f"overlayctl: {file} has 2 faults; nothing was changed"
    assert [line.partition(": ")[0] for line in lines] == [f"{file}:9:16", f"{file}:9:25"]
    assert everything(database) == before


@needs_ovsdb
@pytest.mark.usefixtures("session")
def test_what_is_neither_in_the_file_nor_in_what_it_leaves_alone(
    database: Connection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call("port-add sub1 --net blue --parent web1 --tag 5")
    capsys.readouterr()
    before = everything(database)
    file = tmp_path / "net.yaml"
    tenants = "tenants: {acme: {}, umbra: {}}\n"
    for text, said in (
        (
            f"{NETWORK}    physical: lan\n    gateway-chassis: h9\n  blue: {{tenant: acme, vni: 200}}\n{tenants}",
            ":7:22: networks.red.gateway-chassis: no chassis 'h9' in the database, and the file has no section chassis",
        ),
        (
            f"{PORTS}      w: {{mac: auto, parent: web9, tag: 5}}\n",
            ":8:30: networks.red.ports.w.parent: no port 'web9' in the file, or in what it leaves alone",
        ),
        (
            f"{NETWORK}  blue: {{tenant: umbra, vni: 200, ports: {{w: {{mac: auto, parent: sub1, tag: 5}}}}}}\n",
            ":6:66: networks.blue.ports.w.parent: no port 'sub1' in the file, or in what it leaves alone",
        ),
        (
            f"{PORTS}      w: {{mac: auto}}\n  blue: {{tenant: umbra, vni: 200}}\n",
            "port 'sub1' of network 'blue', which the file leaves alone, would have no place: no port 'web1' in",
        ),
    ):
        file.write_text(text)
        assert call(f"apply -f {file}") == 1
        assert said in capsys.readouterr().err
        assert everything(database) == before
