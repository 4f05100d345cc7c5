"""What `show` has collected, drawn for a person: at most 100 columns, what is wrong last. Of many it shows those that
are not well, and how many more there are.

Pure: values in, lines out.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

from controller.cli.tables import aligned, paint
from controller.cli.text import all_escaped

WIDTH: Final = 100
COLOUR_OF: Final = {
    "ready": "green",
    "leads": "green",
    "at work": "green",
    "gone": "red",
    "up": "green",
    "error": "red",
    "unreachable": "red",
    "problem": "red",
    "connecting": "yellow",
    "new": "yellow",
    "down": "yellow",
    "not plugged in": "yellow",
    "disabled": "yellow",
}
KEYS: Final = {
    "iface_id": "iface-id",
    "vni": "overlay-vni",
    "attached_mac": "attached-mac",
    "overlay_ip": "overlay-ip",
    "trunk": "overlay-trunk",
}
"""The external_ids of an interface, by the column of Binding that keeps each."""

MOST: Final = {"chassis": 16, "networks": 8, "ports": 16, "neighbors": 8}
"""How many a screen has room for: of all chassis and networks, and of the ports and neighbors of one network."""

Painter = Callable[[str, str], str]
Thing = TypeVar("Thing")


def draw(seen: dict[str, Any], colours: bool, everything: bool = False) -> Iterator[str]:
    """The lines of one screen; with `everything` of as many as it takes."""
    seen = all_escaped(seen)
    most = dict.fromkeys(MOST, sys.maxsize) if everything else MOST

    def painted(text: str, colour: str) -> str:
        return paint(text, colour, colours)

    if seen["alarm"]:
        yield from _wrapped("", f"ALARM: {seen['alarm']}", painted, "red")
        yield ""
    if len(seen["controllers"]) > 1:
        yield from _controllers(seen["controllers"], painted)
        yield ""
    yield painted("Chassis", "bold")
    shown, left = _most(seen["chassis"], lambda row: row["state"] != "ready", most["chassis"])
    yield from _chassis(shown, painted)
    yield from _more("  ", left, "overlayctl chassis-list")
    yield ""
    yield painted("Networks", "bold")
    networks, left = _most(seen["networks"], _unwell, most["networks"])
    yield from _networks(networks, most, painted)
    if left:
        yield ""
    yield from _more("  ", left, "overlayctl net-list")
    if seen["pending"]:
        yield ""
        yield painted("Chassis that ask to join", "bold")
        for pending in seen["pending"]:
            version = f", Open vSwitch {pending['ovs_version']}" if pending["ovs_version"] else ""
            yield f"  {painted(pending['name'], 'yellow')}  from {pending['address']}{version}"
            yield f"    overlayctl chassis-accept {pending['name']}"
    if seen["unresolved"]:
        yield ""
        yield painted("Interfaces in no network", "bold")
        yield from _table(
            [
                ["interface", "says", "status"],
                *([_where(place), _says(place), _status(place)] for place in seen["unresolved"]),
            ],
            "  ",
            painted,
        )
    if seen["configured"] > seen["installed"]:
        yield ""
        yield painted(
            f"Configuration {seen['configured']} is asked for, {seen['installed']} is installed everywhere.", "yellow"
        )
    if seen["problems"]:
        yield ""
        yield painted("Problems", "bold")
        for problem in seen["problems"]:
            yield from _wrapped("  ", f"{problem['where']}: {problem['what']}", painted, "red")
            if problem["advice"]:
                yield from _wrapped("    ", problem["advice"], painted)


def _controllers(rows: Sequence[dict[str, Any]], painted: Painter) -> Iterator[str]:
    yield painted("Controllers", "bold")
    lines = [
        [
            row["name"],
            row["openflow"] or "-",
            ",".join(row["chassis"][:8]) + (f" and {len(row['chassis']) - 8} more" if row["chassis"][8:] else "")
            or "-",
            ("leads" if row["leads"] else "at work") if row["lives"] else "gone",
        ]
        for row in rows
    ]
    yield from _table([["name", "openflow", "chassis", "state"], *lines], "  ", painted)


def _chassis(chassis: Sequence[dict[str, Any]], painted: Painter) -> Iterator[str]:
    if not chassis:
        yield "  none yet; overlayctl chassis-add NAME tcp:IP:6640 --vtep IP"
        return
    yield from _table(
        [
            ["name", "vtep", "encaps", "datapath", "ovsdb", "flows", "state"],
            *(line for row in chassis for line in _host(row)),
        ],
        "  ",
        painted,
    )


def _host(row: dict[str, Any]) -> Iterator[list[str]]:
    """The lines of a chassis: one for each of its VTEPs."""
    vteps = [[vtep["ip"], ",".join(vtep["encaps"])] for vtep in row["vteps"]] or [["-", "-"]]
    yield [row["name"], *vteps[0], row["datapath"], row["ovsdb"], str(row["flows"]), row["state"]]
    for vtep in vteps[1:]:
        yield ["", *vtep, "", "", "", ""]


def _most(things: Sequence[Thing], bad: Callable[[Thing], bool], most: int) -> tuple[list[Thing], int]:
    """As many as there is room for, in their order, first of all those that are not well; and how many are left."""
    if len(things) <= most:
        return list(things), 0
    places = sorted(range(len(things)), key=lambda place: not bad(things[place]))[:most]
    return [things[place] for place in sorted(places)], len(things) - most


def _more(indent: str, left: int, command: str) -> Iterator[str]:
    if left:
        yield f"{indent}and {left} more; {command}, or overlayctl show --all"


def _unwell(network: dict[str, Any]) -> bool:
    """Whether a network has a port that is not as it should be."""
    ports = any(port["status"] not in ("up", "disabled") for port in network["ports"])
    return ports or any(place["error"] or not place["up"] for place in network["undeclared"])


def _networks(networks: Sequence[dict[str, Any]], most: dict[str, int], painted: Painter) -> Iterator[str]:
    if not networks:
        yield "  none yet; overlayctl net-add NAME --tenant TENANT --vni VNI"
    for position, network in enumerate(networks):
        if position:
            yield ""
        yield (
            f"  {painted(network['name'], 'bold')}  tenant {network['tenant']}, VNI {network['vni']}, "
            f"{network['encap']}{_mtu(network, painted)}"
        )
        if network["physical"]:
            vlan = f", VLAN {network['physical_vlan']}" if network["physical_vlan"] else ""
            yield f"    goes on in physical network {network['physical']}{vlan}, at {network['gateway_chassis'] or '?'}"
        for subnet in network["subnets"]:
            router = f", gateway {subnet['gateway']}" if subnet["gateway"] else ""
            full = painted("full", "yellow") if not subnet["free"] else f"{_count(subnet['free'])} free"
            others = f", and {subnet['others']} outside the range" if subnet["others"] else ""
            yield f"    {subnet['subnet']}: {subnet['used']} used, {full}{others}{router}"
        rows = [["port", "mac", "ip", "where", "status"]]
        ports, left = _most(network["ports"], lambda port: port["status"] != "up", most["ports"])
        for port in ports:
            rows += _port(port)
        undeclared, beside = _most(network["undeclared"], lambda place: not place["up"], most["ports"])
        for place in undeclared:
            known = [place["attached_mac"] or "(learned)", place["overlay_ip"] or ""]
            rows.append(["(undeclared)", *known, _where(place), _status(place)])
        if len(rows) > 1:
            yield from _table(rows, "    ", painted)
            yield from _more("    ", left + beside, f"overlayctl port-list --net {network['name']}")
        else:
            yield f"    no ports yet; overlayctl port-add NAME --net {network['name']} --mac MAC --ip IP"
        neighbors, left = _most(network["neighbors"], lambda row: False, most["neighbors"])
        if neighbors:
            yield from _table(
                [["learned ip", "mac", "where"], *([row["ip"], row["mac"], _where(row)] for row in neighbors)],
                "    ",
                painted,
            )
        yield from _more("    ", left, "overlayctl neighbor-list")


def _mtu(network: dict[str, Any], painted: Painter) -> str:
    """What the ports of a network may send, and what its tunnels carry where that is not as much."""
    mtu, carries, least = network["mtu"], network["carries"], network["narrowest"]
    how = f" ({least['how']})" if least and not mtu and least["mtu"] == carries else ""
    said = f", MTU {mtu or carries}{how}" if mtu or carries else ""
    return said + (painted(f", its tunnels carry {carries}", "yellow") if mtu and carries and carries < mtu else "")


def _count(number: int) -> str:
    """A number that a person can read: those of IPv6 subnets are long."""
    return str(number) if number < 1_000_000 else f"{number:.1e}".replace("e+0", "e").replace("e+", "e")


def _port(port: dict[str, Any]) -> Iterator[list[str]]:
    """The lines of a port: one for each of its addresses or places, whichever are more."""
    places = [(_where(place), _status(place)) for place in port["places"]] or [("-", port["status"])]
    if port["status"] == "disabled":
        places = [(where, "disabled") for where, _ in places]
    ips = port["ips"] or ["-"]
    for line in range(max(len(places), len(ips))):
        name, mac = (port["name"], port["mac"]) if line == 0 else ("", "")
        ip = ips[line] if line < len(ips) else ""
        yield [name, mac, ip, *(places[line] if line < len(places) else ("", ""))]


def _where(place: dict[str, Any]) -> str:
    tag = place.get("tag")
    return f"{place['chassis']}/{place['interface']}" + (f" tag {tag}" if tag else "")


def _status(place: dict[str, Any]) -> str:
    status = "problem" if place["error"] else "up" if place["up"] else "down"
    return f"{status} (last known)" if place["stale"] else status


def _says(place: dict[str, Any]) -> str:
    """What the operator wrote on an interface, as it stands in its external_ids."""
    return " ".join(f"{key}={place[column]}" for column, key in KEYS.items() if place[column] is not None)


def _table(rows: Sequence[Sequence[str]], indent: str, painted: Painter) -> Iterator[str]:
    """A heading and rows whose last column is coloured by what it says."""
    rows = _fitted(rows, WIDTH - len(indent))
    heading, *lines = aligned([[column.upper() for column in rows[0]], *rows[1:]])
    yield indent + painted(heading, "dim")
    for line, row in zip(lines, rows[1:], strict=True):
        last = row[-1]
        colour = COLOUR_OF.get(last, "yellow" if last.endswith("(last known)") else None)
        yield indent + (line.removesuffix(last) + painted(last, colour) if colour else line)


def _fitted(rows: Sequence[Sequence[str]], width: int) -> Sequence[Sequence[str]]:
    """Rows whose lines fit, long cells of the widest columns losing their middle: a name's ends tell most."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    while sum(widths) + 2 * (len(widths) - 1) > width:
        widths[widths.index(max(widths))] -= 1
    return [[_elided(text, most) for text, most in zip(row, widths, strict=True)] for row in rows]


def _elided(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    tail = most // 2
    return f"{text[: most - 1 - tail]}…{text[len(text) - tail :]}"


def _wrapped(indent: str, text: str, painted: Painter, colour: str | None = None) -> Iterator[str]:
    for line in textwrap.wrap(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_on_hyphens=False,
        break_long_words=False,
    ):
        yield painted(line, colour) if colour else line
