"""What is held of rows of ours besides what we need of them: each setting that Open vSwitch heeds, at its default.

Data alone, which `ovsdb.provision` writes where a row has something else. Whatever stands in other columns, and in
`external_ids`, is left as it is: docs/reliability.md has all of them, and why.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ("BRIDGE", "CONTROLLER", "INTERFACE", "LOCAL", "PORT")

BRIDGE: Final[dict[str, Any]] = {
    "auto_attach": [],
    "flood_vlans": [],
    "mcast_snooping_enable": False,
    "rstp_enable": False,
    "stp_enable": False,
}
"""Columns of br-int: spanning trees block ports whatever flows say."""
_SWITCHING: Final = ("forward-bpdu", "in-band-queue", "mac-aging-time", "mac-table-size")
_SWITCHING_PREFIXES: Final = ("mcast-snooping-", "rstp-", "stp-")
PORT: Final[dict[str, Any]] = {
    "bond_downdelay": 0,
    "bond_fake_iface": False,
    "bond_mode": [],
    "bond_updelay": 0,
    "cvlans": [],
    "fake_bridge": False,
    "lacp": [],
    "mac": [],
    "other_config": {},
    "protected": False,
    "qos": [],
    "tag": [],
    "trunks": [],
    "vlan_mode": [],
}
"""Columns of our ports, br-int's own among them."""
LOCAL: Final[dict[str, Any]] = {
    "bfd": {},
    "cfm_mpid": [],
    "ingress_policing_burst": 0,
    "ingress_policing_kpkts_burst": 0,
    "ingress_policing_kpkts_rate": 0,
    "ingress_policing_rate": 0,
    "lldp": {},
    "other_config": {},
}
"""Columns of the interface of br-int's own port, which is a device of the host with a MAC and an MTU."""
INTERFACE: Final[dict[str, Any]] = {**LOCAL, "mac": [], "mtu_request": []}
"""Columns of our interfaces."""
CONTROLLER: Final[dict[str, Any]] = {
    "controller_queue_size": [],
    "enable_async_messages": [],
    "inactivity_probe": [],
    "local_gateway": [],
    "local_ip": [],
    "local_netmask": [],
    "other_config": {},
    "type": [],
}
"""Columns of our controllers: without asynchronous messages a switch tells of nothing."""


def other_config(now: Mapping[str, str]) -> dict[str, str]:
    """The entries of br-int's other_config without those about how it would switch by itself."""
    return {
        key: value for key, value in now.items() if key not in _SWITCHING and not key.startswith(_SWITCHING_PREFIXES)
    }


def flow_tables(now: Mapping[int, Any]) -> dict[int, Any]:
    """The rows about flow tables that limit none: a table that is full takes no flow, or loses one.

    The rows themselves may be other bridges' as well, and are not written.
    """
    return {table: row for table, row in now.items() if not (row.flow_limit or row.overflow_policy or row.groups)}
