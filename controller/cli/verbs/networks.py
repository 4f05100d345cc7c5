"""Verbs of tenants, networks and ports."""

from __future__ import annotations

from typing import Final

from controller.cli.verbs.verb import DATABASE, DESCRIPTION, IF_EXISTS, MAY_EXIST, Argument, Verb, arg, several

TENANT: Final = arg("name", metavar="TENANT", complete="Tenant")
NETWORK: Final = arg("name", metavar="NETWORK", complete="Network")
PORT: Final = arg("name", metavar="PORT", help="the interface's external_ids:iface-id", complete="Port")

IN_NETWORK: Final = arg("--net", metavar="NETWORK", help="only those of this network", complete="Network")

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
    Verb("tenant-show", "show a tenant and its networks", "tenants:show_one", (TENANT,), ("tenant-show acme",)),
)


def _network(needed: bool) -> tuple[Argument, ...]:
    replaces = "" if needed else "; replaces all; none: no such"
    return (
        arg("--tenant", metavar="TENANT", required=needed, help="who owns it; made if need be", complete="Tenant"),
        arg("--vni", metavar="VNI", required=needed, help="its number, 1..16777215"),
        arg(
            "--encap",
            metavar="ENCAP",
            help="vxlan or gre: the tunnel its chassis use where both ends offer it"
            + (" (default: vxlan)" if needed else ""),
        ),
        several("--subnet", "CIDR", "a subnet its ports have addresses of, v4 or v6" + replaces),
        several("--gateway", "IP", "a router's address, which is not given out; one of each family" + replaces),
        several("--range", "A-B", "addresses that are given out by --ip auto, if not the whole subnets" + replaces),
        several("--exclude", "A[-B]", "addresses that are not given out" + replaces),
        arg("--mtu", metavar="BYTES", help="the MTU of its ports, or auto: what its tunnels carry"),
        arg("--unknown-unicast", metavar="WHAT", help="a frame to an unknown MAC: flood (default) or drop it"),
        arg(
            "--unknown-neighbor",
            metavar="WHAT",
            help="a request (ARP, neighbor solicitation) for an address nobody is known to have: flood it, send it to "
            "the gateway alone (while nobody has its address: drop it), drop it, or auto: flood it where somebody "
            "might have it (default)",
        ),
        arg(
            "--multicast",
            metavar="WHAT",
            help="multicast but for that of the links themselves: flood (default) or drop",
        ),
        arg(
            "--vlan-transparent",
            metavar="on|off",
            help="whether what its ports send may carry VLAN tags (default: off)",
        ),
        arg(
            "--physical",
            metavar="NAME[:VLAN]",
            help="the physical network, and the VLAN there, where it goes on outside of the overlay; none: nowhere",
        ),
        arg(
            "--gateway-chassis",
            metavar="CHASSIS",
            help="the one chassis that connects it there, by its --bridge",
            complete="Chassis",
        ),
        DESCRIPTION,
    )


NETWORKS: Final = (
    Verb(
        "net-add",
        "add a network: a tenant's layer-2 domain",
        "networks:add",
        (NETWORK, *_network(True), MAY_EXIST),
        (
            "net-add red --tenant acme --vni 100",
            "net-add web --tenant acme --vni 101 --subnet 10.0.0.0/24,2001:db8::/64 --gateway 10.0.0.1",
            "net-add db --tenant acme --vni 102 --subnet 10.1.0.0/16 --range 10.1.4.0-10.1.7.255 --exclude 10.1.4.9",
            "net-add blue --tenant umbra --vni 200 --encap gre",
            "net-add lan --tenant acme --vni 103 --physical office:42 --gateway-chassis h1",
        ),
    ),
    Verb(
        "net-set",
        "change a network",
        "networks:change",
        (NETWORK, *_network(False)),
        ("net-set red --encap gre", "net-set web --subnet 10.0.0.0/23 --exclude none", "net-set lan --physical none"),
        alters=True,
    ),
    Verb(
        "net-del",
        "remove a network that has no ports",
        "networks:delete",
        (NETWORK, arg("--cascade", action="store_true", help="its ports as well"), IF_EXISTS),
        ("net-del red", "net-del red --cascade"),
    ),
    Verb(
        "net-list",
        "list the networks",
        "networks:show_list",
        (),
        ("net-list", "net-list --columns name,vni,subnets --format csv"),
    ),
    Verb(
        "net-show", "show a network, and how full its subnets are", "networks:show_one", (NETWORK,), ("net-show red",)
    ),
)


def _port(needed: bool) -> tuple[Argument, ...]:
    replaces = "" if needed else "; replaces all; none: no such"
    return (
        arg(
            "--mac",
            metavar="MAC",
            help="its MAC, unique in the network, or auto: one is chosen" + (" (default)" if needed else ""),
        ),
        several(
            "--ip",
            "IP",
            "an address, unique in the network; auto: a free one of every family that has a subnet; auto4, auto6: of "
            "that family" + replaces,
        ),
        several("--extra-mac", "MAC", "a MAC it may have besides" + replaces),
        several("--allow", "[MAC=]IP[/LENGTH]", "what it may send from besides its own addresses" + replaces),
        arg(
            "--security",
            metavar="on|off",
            help="whether it may send from its own MACs and addresses alone" + (" (default: on)" if needed else ""),
        ),
        several(
            "--may",
            "WHAT",
            "what it may send that others may not: dhcp-server, router (advertisements, redirects)" + replaces,
        ),
        arg(
            "--flood-rate",
            metavar="N",
            help="how many broadcast, unknown unicast and multicast packets it may send per second: a number, "
            "unlimited, or default (5000)",
        ),
        arg(
            "--parent",
            metavar="PORT",
            help="the port behind which it is, wherever that is plugged in; none: none",
            complete="Port",
        ),
        arg("--tag", metavar="N", help="the VLAN tag, 1..4094, that its packets carry there"),
        arg("--service-tag", metavar="on|off", help="whether that is a tag of 802.1ad (default: off, 802.1Q)"),
        arg("--enable", action="store_const", const=True, dest="enabled", help="let it send and receive"),
        arg("--disable", action="store_const", const=False, dest="enabled", help="cut it off"),
        DESCRIPTION,
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
            "port-add web2 --net web --ip auto",
            "port-add fw1 --net red --ip 10.0.0.254 --allow 10.9.0.0/16,02:00:00:00:00:fe=10.0.0.253",
            "port-add dhcp1 --net red --ip 10.0.0.2 --may dhcp-server",
            "port-add db1 --net blue --parent fw1 --tag 200",
            "--wait port-add web3 --net red --mac 02:00:00:00:00:03 --ip 10.0.0.3,10.0.0.4",
        ),
    ),
    Verb(
        "port-set",
        "change a port",
        "ports:change",
        (PORT, *_port(False)),
        (
            "port-set web1 --ip 10.0.0.7",
            "port-set web1 --ip none",
            "port-set web1 --disable",
            "port-set db1 --parent none",
        ),
        alters=True,
    ),
    Verb("port-del", "remove a port, and with it its addresses", "ports:delete", (PORT, IF_EXISTS), ("port-del web1",)),
    Verb(
        "port-list",
        "list the ports",
        "ports:show_list",
        (IN_NETWORK,),
        ("port-list", "port-list --net red --format json"),
    ),
    Verb("port-show", "show a port, and where it is", "ports:show_one", (PORT,), ("port-show web1",)),
    Verb(
        "port-wait",
        "wait until a port is plugged in and up",
        "waiting:wait_port",
        (arg("name", metavar="PORT", help="a port, or CHASSIS/INTERFACE for an undeclared one", complete="Port"),),
        ("port-wait web1 --timeout 10", "port-wait h1/vm9"),
        kind=DATABASE,
    ),
    Verb(
        "address-list",
        "list addresses and the ports that have them",
        "lists:addresses",
        (IN_NETWORK,),
        ("address-list --net red",),
    ),
    Verb(
        "binding-list",
        "list what is plugged in, and where",
        "lists:show_table",
        (IN_NETWORK, arg("--chassis", metavar="CHASSIS", help="only those of this chassis", complete="Chassis")),
        ("binding-list --chassis h1",),
        fixed={"table": "Binding"},
    ),
    Verb(
        "neighbor-list",
        "list learned addresses",
        "lists:show_table",
        (IN_NETWORK,),
        ("neighbor-list --net red",),
        fixed={"table": "Neighbor"},
    ),
)
