"""`check`: how full the subnets are, and what is declared but looks forgotten or wrong."""

from __future__ import annotations

from argparse import Namespace

from controller.cli import networks, ports
from controller.cli.draft import Draft
from controller.cli.errors import CommandError
from controller.cli.tables import as_json, print_rows
from controller.cli.text import escaped
from ovsdb.rpc import Row, elements

COLUMNS = ("network", "subnet", "used", "free", "others")


def check(draft: Draft, args: Namespace) -> None:
    """`check`."""
    from flows import ipam

    draft.load("Tenant", "Network", "Port", "Address", "Binding")
    uses: list[Row] = []
    findings: list[str] = []
    held: dict[str, list[str]] = {}
    of_port = {(port["network"], ip): port["name"] for port in ports.listed(draft) for ip in port["ips"]}
    for address in draft.read("Address").values():
        held.setdefault(address["network"][1], []).append(address["ip"])
    for uuid, network in sorted(draft.read("Network").items(), key=lambda item: item[1]["name"]):
        ips = held.get(uuid, [])
        try:
            plan = networks.plan(network)
        except CommandError as wrong:
            findings.append(f"{wrong}; overlayctl net-set {network['name']}")
            continue
        uses += [
            {"network": network["name"], "subnet": use.subnet, "used": use.used, "free": use.free, "others": use.others}
            for use in ipam.use(plan, ips)
        ]
        findings += [
            f"address {ip} of port {holder!r}: in no subnet of network {network['name']!r}; "
            f"overlayctl port-set {holder} --ip IP"
            for ip in ipam.outside(plan, ips)
            for holder in [of_port.get((network["name"], ip), "?")]
        ]
    plugged = {name for row in draft.read("Binding").values() for name in elements(row["port"])}
    findings += [
        f"port {name!r} is not plugged in; if nobody needs it: overlayctl port-del {name}"
        for name in sorted(row["name"] for row in draft.read("Port").values())
        if name not in plugged
    ]
    if args.format == "json":
        draft.say(as_json({"subnets": uses, "findings": findings}))
        return
    print_rows(draft, COLUMNS, uses, args)
    draft.lines += list(map(escaped, findings)) or ["nothing is wrong"]
