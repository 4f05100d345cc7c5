"""Verbs of tenants, networks and ports."""

from __future__ import annotations

from typing import Final

from controller.cli.verbs.verb import DATABASE, DESCRIPTION, IF_EXISTS, MAY_EXIST, Argument, Verb, arg, several

TENANT: Final = arg("name", metavar="TENANT", complete="Tenant")
NETWORK: Final = arg("name", metavar="NETWORK", complete="Network")
PORT: Final = arg("name", metavar="PORT", help="the interface's external_ids:iface-id", complete="Port")

TENANTS: Final = (
    Verb(
        "tenant-add",
        "add a tenant: who owns networks (net-add adds it as well)",
        "tenants:add",
        (TENANT, DESCRIPTION, MAY_EXIST),
        ("tenant-add acme --description 'ACME Ltd, contract 7'",),
    ),
    Verb(
        "tenant-set",
        "change a tenant",
        "tenants:change",
        (TENANT, DESCRIPTION),
        ("tenant-set acme --description 'ACME Ltd, contract 8'",),
        alters=True,
    ),
    Verb(
        "tenant-del",
        "remove a tenant that has no networks",
        "tenants:delete",
        (TENANT, arg("--cascade", action="store_true", help="its networks and their ports as well"), IF_EXISTS),
        ("tenant-del acme", "tenant-del acme --cascade"),
    ),
    Verb("tenant-list", "list the tenants", "tenants:show_list", (), ("tenant-list",)),
)


def _network(needed: bool) -> tuple[Argument, ...]:
    return (
        arg("--tenant", metavar="TENANT", required=needed, help="who owns it; made if need be", complete="Tenant"),
        arg("--vni", metavar="VNI", required=needed, help="its number, 1..16777215"),
        arg(
            "--encap",
            metavar="ENCAP",
            help="vxlan or gre: the tunnel its chassis use where both ends offer it"
            + (" (default: vxlan)" if needed else ""),
        ),
    )


NETWORKS: Final = (
    Verb(
        "net-add",
        "add a network: a tenant's layer-2 domain",
        "networks:add",
        (NETWORK, *_network(True), MAY_EXIST),
        ("net-add red --tenant acme --vni 100", "net-add blue --tenant umbra --vni 200 --encap gre"),
    ),
    Verb(
        "net-set",
        "change a network",
        "networks:change",
        (NETWORK, *_network(False)),
        ("net-set red --encap gre",),
        alters=True,
    ),
    Verb(
        "net-del",
        "remove a network that has no ports",
        "networks:delete",
        (NETWORK, arg("--cascade", action="store_true", help="its ports as well"), IF_EXISTS),
        ("net-del red", "net-del red --cascade"),
    ),
    Verb("net-list", "list the networks", "networks:show_list", (), ("net-list", "net-list --format json")),
)


def _port(needed: bool) -> tuple[Argument, ...]:
    return (
        arg("--mac", metavar="MAC", required=needed, help="its MAC, unique in the network"),
        several("--ip", "IP", "an address, unique in the network" + ("" if needed else "; replaces all; none: no IP")),
    )


PORTS: Final = (
    Verb(
        "port-add",
        "add a port: a place where a VM or container plugs in",
        "ports:add",
        (
            PORT,
            arg("--net", metavar="NETWORK", required=True, help="the network it is in", complete="Network"),
            *_port(True),
            MAY_EXIST,
        ),
        (
            "port-add web1 --net red --mac 02:00:00:00:00:01 --ip 10.0.0.1",
            "--wait port-add web2 --net red --mac 02:00:00:00:00:02 --ip 10.0.0.2,10.0.0.3",
        ),
    ),
    Verb(
        "port-set",
        "change a port",
        "ports:change",
        (PORT, *_port(False)),
        ("port-set web1 --ip 10.0.0.7", "port-set web1 --ip none"),
        alters=True,
    ),
    Verb("port-del", "remove a port, and with it its addresses", "ports:delete", (PORT, IF_EXISTS), ("port-del web1",)),
    Verb(
        "port-list",
        "list the ports",
        "ports:show_list",
        (arg("--net", metavar="NETWORK", help="only those of this network", complete="Network"),),
        ("port-list", "port-list --net red --format json"),
    ),
    Verb(
        "port-wait",
        "wait until a port is plugged in and up",
        "waiting:wait_port",
        (arg("name", metavar="PORT", help="a port, or CHASSIS/INTERFACE for an undeclared one", complete="Port"),),
        ("port-wait web1 --timeout 10", "port-wait h1/vm9"),
        kind=DATABASE,
    ),
)
