"""Verbs of chassis."""

from __future__ import annotations

from typing import Final

from controller.cli.verbs.verb import DESCRIPTION, IF_EXISTS, MAY_EXIST, Argument, Verb, arg, several

CHASSIS_NAME: Final = arg("name", metavar="CHASSIS", complete="Chassis")


def _chassis(needed: bool) -> tuple[Argument, ...]:
    return (
        several(
            "--vtep",
            "IP[=ENCAP[+ENCAP]]",
            "an address its tunnels end at, v4 or v6, and what it offers there if less than --encap says"
            + ("" if needed else "; replaces all"),
            required=needed,
        ),
        several(
            "--encap",
            "ENCAP",
            "a kind of tunnel that its VTEPs offer, vxlan or gre" + (" (default: both)" if needed else ""),
        ),
        several(
            "--vtep-mtu",
            "[IP=]N",
            "the MTU of the underlay at its VTEPs, or at one, or auto: 1500" + (" (default)" if needed else ""),
        ),
        several(
            "--bridge",
            "PHYSICAL=BRIDGE",
            "its bridge in a physical network, for networks that go on there (net-set --physical)"
            + ("" if needed else "; replaces all; none: no such"),
        ),
        arg(
            "--datapath",
            metavar="TYPE",
            help="system (kernel), netdev (userspace), or auto: what the host can" + (" (default)" if needed else ""),
        ),
        arg(
            "--controller",
            metavar="tcp:IP:PORT|ssl:IP:PORT",
            help="the controller's address as this chassis sees it, or auto: the one it connects from",
        ),
        DESCRIPTION,
    )


CHASSIS: Final = (
    Verb(
        "chassis-add",
        "add a host that runs OVS",
        "chassis:add",
        (
            CHASSIS_NAME,
            arg(
                "ovsdb",
                metavar="OVSDB",
                help="its OVSDB server: tcp:IP[:PORT] ('ovs-vsctl set-manager ptcp:6640' on the host opens it), "
                "ssl:IP[:PORT] (pssl:6640), unix:/path on this host, or dial-in where it connects to the controller",
            ),
            *_chassis(True),
            MAY_EXIST,
        ),
        (
            "chassis-add h1 tcp:192.0.2.1:6640 --vtep 192.0.2.1",
            "chassis-add h2 tcp:192.0.2.2:6640 --vtep 192.0.2.2 --encap gre --datapath netdev",
            "chassis-add h3 tcp:192.0.2.3:6640 --vtep 192.0.2.3 --vtep 2001:db8::3=gre",
            "chassis-add h4 tcp:192.0.2.4:6640 --vtep 192.0.2.4 --vtep-mtu 9000 --bridge office=br-office",
        ),
    ),
    Verb(
        "chassis-set",
        "change a chassis",
        "chassis:change",
        (
            CHASSIS_NAME,
            arg(
                "--ovsdb", metavar="OVSDB", help="its OVSDB server: tcp:IP[:PORT], ssl:IP[:PORT], unix:/path or dial-in"
            ),
            *_chassis(False),
            several(
                "--openflow-from",
                "IP",
                "a further address its switch may connect from, where that is none of its OVSDB server's or VTEPs'; "
                "replaces all; none: no further one",
            ),
            arg("--take-over", action="store_true", default=None, help="take it even from another overlay database"),
        ),
        ("chassis-set h1 --vtep 192.0.2.11", "chassis-set h1 --encap vxlan,gre --datapath auto"),
        alters=True,
    ),
    Verb(
        "chassis-del",
        "remove a chassis from the overlay",
        "chassis:delete",
        (CHASSIS_NAME, IF_EXISTS),
        ("chassis-del h1",),
    ),
    Verb(
        "chassis-accept",
        "make a chassis that connects to the controller (pending-list) a member",
        "chassis:accept",
        (arg("name", metavar="CHASSIS", complete="Pending"), *_chassis(False), MAY_EXIST),
        ("chassis-accept h4", "chassis-accept h4 --vtep 192.0.2.4 --encap vxlan"),
        fixed={"ovsdb": None},
    ),
    Verb(
        "chassis-show",
        "show a chassis, and what is plugged in there",
        "chassis:show_one",
        (CHASSIS_NAME,),
        ("chassis-show h1",),
    ),
    Verb("chassis-list", "list the chassis", "chassis:show_list", (), ("chassis-list", "chassis-list --format json")),
    Verb(
        "pending-list",
        "list the chassis that connect to the controller, and are no members",
        "lists:show_table",
        (),
        ("pending-list",),
        fixed={"table": "Pending"},
    ),
    Verb(
        "controller-list",
        "list the controllers of the overlay, at work or not",
        "lists:show_table",
        (),
        ("controller-list",),
        fixed={"table": "Controller"},
    ),
    Verb(
        "controller-del",
        "forget a controller that has ended for good",
        "lists:controller_del",
        (
            arg("name", metavar="CONTROLLER", complete="Controller"),
            arg("--force", action="store_true", help="also if it seems to be at work"),
            IF_EXISTS,
        ),
        ("controller-del c3",),
    ),
)


def _connection() -> tuple[Argument, ...]:
    return (
        arg("--role", metavar="ROLE", help="the RBAC role of who connects there, such as chassis; none: no limits"),
        arg("--read-only", action="store_const", const=True, help="who connects there can only read"),
        arg("--read-write", action="store_const", const=False, dest="read_only", help="and write (default)"),
        arg("--inactivity-probe", metavar="MS", help="milliseconds between probes, 0 for none, or auto"),
    )


TARGET: Final = arg(
    "target",
    metavar="TARGET",
    help="pssl:PORT[:IP] or ptcp:PORT[:IP]; without IP only this host is listened to",
    complete="Connection",
)
CONNECTIONS: Final = (
    Verb(
        "connection-add",
        "let the overlay database's server listen somewhere",
        "connections:add",
        (TARGET, *_connection(), MAY_EXIST),
        ("connection-add pssl:6642:192.0.2.254 --role chassis", "connection-add ptcp:6643 --read-only"),
    ),
    Verb(
        "connection-set",
        "change what may be done there",
        "connections:change",
        (TARGET, *_connection()),
        ("connection-set pssl:6642:192.0.2.254 --role none",),
        alters=True,
    ),
    Verb(
        "connection-del",
        "let the server no longer listen there",
        "connections:delete",
        (TARGET, IF_EXISTS),
        ("connection-del ptcp:6643",),
    ),
    Verb(
        "connection-list",
        "list where the server listens",
        "connections:show_list",
        (),
        ("connection-list",),
    ),
)
