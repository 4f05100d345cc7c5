"""`check`: how full the subnets are, and whatever is wrong: what stopped the controller, what `show` lists under
Problems, addresses that are in no subnet, and those that one port has and another one is allowed. Ports that are
nowhere are told as well, and are no fault.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from typing import Any, Final

from controller.cli import networks, ports
from controller.cli.draft import Draft
from controller.cli.errors import CommandError, UsageError
from controller.cli.show import overview
from controller.cli.tables import as_json, print_rows
from controller.cli.text import escaped
from ovsdb import entries

COLUMNS = ("network", "subnet", "used", "free", "others")
WRONG: Final = 1
"""The exit code when anything is."""
MOST: Final = 20
"""How many ports that are nowhere are named."""


def check(draft: Draft, args: Namespace) -> None:
    """`check`, and `check mtu`."""
    if args.what == "mtu":
        from controller.cli import check_mtu

        check_mtu.check(draft, args)
        return
    if args.net is not None:
        raise UsageError("--net is for check mtu")
    seen = overview(draft)
    uses = [{"network": network["name"], **use} for network in seen["networks"] for use in network["subnets"]]
    findings = [*_wrong(seen), *_options(draft), *_strays(draft, seen), *_lent(draft, seen)]
    unplugged = sorted(
        port["name"] for network in seen["networks"] for port in network["ports"] if port["status"] == "not plugged in"
    )
    draft.code = WRONG if findings else 0
    if args.format == "json":
        subnets = [{column: use[column] for column in COLUMNS} for use in uses]
        draft.say(as_json({"subnets": subnets, "findings": findings, "unplugged": unplugged}))
        return
    print_rows(draft, COLUMNS, uses, args)
    draft.lines += map(escaped, findings or ["nothing is wrong"])
    draft.lines += [
        f"port {escaped(name)!r} is not plugged in; if nobody needs it: overlayctl port-del {escaped(name)}"
        for name in unplugged[:MOST]
    ]
    if len(unplugged) > MOST:
        draft.say(f"and {len(unplugged) - MOST} more ports that are not plugged in; overlayctl show --all")


def _wrong(seen: dict[str, Any]) -> Iterator[str]:
    """What `show` says is wrong."""
    if seen["alarm"]:
        yield f"ALARM: {seen['alarm']}"
    for problem in seen["problems"]:
        advice = f"; {problem['advice']}" if problem["advice"] else ""
        yield f"{problem['where']}: {problem['what']}{advice}"


def _options(draft: Draft) -> Iterator[str]:
    """Options that mean nothing, however they came there."""
    for row in draft.read("Overlay_Global").values():
        yield from filter(None, (entries.fault(key, value) for key, value in sorted(row["options"][1])))


def _lent(draft: Draft, seen: dict[str, Any]) -> Iterator[str]:
    """Addresses that are allowed to a port and declared for another one that is plugged in."""
    owners = {
        (network["name"], ip): port["name"] for network in seen["networks"] for port in network["ports"]
        for ip in port["ips"] if port["places"]
    }  # fmt: skip
    for port in ports.listed(draft):
        for ip in ports.allowed_ips(port["allowed_pairs"]):
            owner = owners.get((port["network"], ip), port["name"])
            if owner != port["name"]:
                yield ports.lent(port["name"], ip, owner)


def _strays(draft: Draft, seen: dict[str, Any]) -> Iterator[str]:
    """Addresses that are in no subnet of their network."""
    from flows import ipam

    holders = {
        (network["name"], ip): port["name"] for network in seen["networks"] for port in network["ports"]
        for ip in port["ips"]
    }  # fmt: skip
    held: dict[str, list[str]] = {}
    for address in draft.read("Address").values():
        held.setdefault(address["network"][1], []).append(address["ip"])
    for uuid, network in sorted(draft.read("Network").items(), key=lambda item: item[1]["name"]):
        try:
            plan = networks.plan(network)
        except CommandError:
            continue  # it contradicts itself, which is a problem of its own
        for ip in ipam.outside(plan, held.get(uuid, [])):
            holder = holders.get((network["name"], ip), "?")
            yield (
                f"address {ip} of port {holder!r}: in no subnet of network {network['name']!r}; "
                f"overlayctl port-set {holder} --ip IP"
            )
