"""What a chassis remembers of the overlay database, and what can be read of it again."""

from __future__ import annotations

import json

from flows.model import Binding, Chassis, Encap, Network, Port, Vtep
from ovsdb.marks import memory, remembered, vnis_of
from ovsdb.snapshot import ChassisRow, Declared

REMOTE = "tcp:198.51.100.1:6640"
DECLARED = Declared(
    {
        "h1": ChassisRow(
            Chassis("h1", (Vtep("192.0.2.1"),)), "tcp:198.51.100.1:6640", details='{"ovsdb":"tcp:198.51.100.1:6640"}'
        )
    },
    {
        "red": Network("red", "acme", 100, Encap.GRE, True, '{"subnets":["10.0.0.0/24"]}'),
        "blue": Network("blue", "umbra", 200),
    },
    {
        "web1": Port(
            "web1", "red", "02:00:00:00:00:01", ("10.0.0.1",), ("02:00:00:00:00:11",), True, '{"security":false}'
        ),
        "web2": Port("web2", "red", "02:00:00:00:00:02", enabled=False),
    },
    nb_cfg=7,
    database_id="one",
    epoch=2,
)


def test_a_chassis_remembers_what_is_bound_there_and_no_more() -> None:
    bindings = (
        Binding("h1", "vm1", 1, "red", "web1", "02:00:00:00:00:01"),
        Binding("h2", "vm2", 1, "blue"),
    )
    told = remembered({**memory(DECLARED, "h1", bindings), "overlay-mark": "one 2 7", "other": "thing"})
    assert (told.mark.database_id, told.mark.epoch, told.mark.nb_cfg) == ("one", 2, 7)
    assert told.chassis == {"name": "h1", "ovsdb": "tcp:198.51.100.1:6640"}
    assert told.networks == {
        "red": {"tenant": "acme", "vni": 100, "encap": "gre", "unknown_unicast": "drop", "subnets": ["10.0.0.0/24"]}
    }
    assert told.ports == {
        "web1": {
            "network": "red",
            "mac": "02:00:00:00:00:01",
            "ips": ["10.0.0.1"],
            "extra_macs": ["02:00:00:00:00:11"],
            "security": False,
        }
    }
    assert told.faults == ()


def test_the_network_of_an_undeclared_port_is_remembered() -> None:
    told = remembered(memory(DECLARED, "h1", (Binding("h1", "vm9", 9, "blue"),)))
    assert set(told.networks) == {"blue"}
    assert told.ports == {}


def test_the_vnis_on_an_interface_are_those_of_its_tags_too() -> None:
    ids = {"overlay-vni": "100", "overlay-trunk": "7=5001, 8=5002,nonsense"}
    assert dict(vnis_of("eth1", ids)) == {"eth1": "100", "eth1:7": "5001", "eth1:8": "5002"}
    assert dict(vnis_of("eth2", {"iface-id": "web1"})) == {}


def test_what_somebody_else_wrote_there_is_named_and_left_out() -> None:
    good = memory(DECLARED, "h1", (Binding("h1", "vm9", 9, "blue"),))
    told = remembered({**good, "overlay-network/green": "{", "overlay-port/x": json.dumps([1])})
    assert set(told.networks) == {"blue"}
    assert told.ports == {}
    assert len(told.faults) == 1
    assert "overlay-network/green" in told.faults[0]
