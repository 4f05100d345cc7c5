"""The part of a chassis' Open_vSwitch database that is read and written, as a schema for the IDL.

Only these columns are monitored (ovs-vswitchd.conf.db(5)); a newer or older Open vSwitch that has more or
fewer others serves as well.
"""

from __future__ import annotations

from typing import Any, Final

_MAP: Final = {"key": "string", "value": "string", "min": 0, "max": "unlimited"}
_STRINGS: Final = {"key": "string", "min": 0, "max": "unlimited"}
_STRING: Final = {"key": "string", "min": 0, "max": 1}
_INTEGER: Final = {"key": "integer", "min": 0, "max": 1}
_INTEGERS: Final = {"key": "integer", "min": 0, "max": "unlimited"}
_BOOLEAN: Final = {"key": "boolean", "min": 0, "max": 1}
_UUID: Final = {"key": "uuid", "min": 0, "max": 1}
"""A reference to a row of which nothing but its being there is of concern."""


def _references(table: str) -> dict[str, Any]:
    return {"key": {"type": "uuid", "refTable": table}, "min": 0, "max": "unlimited"}


_TABLES: Final[dict[str, dict[str, Any]]] = {
    "Open_vSwitch": {
        "bridges": _references("Bridge"),
        "external_ids": _MAP,
        "ovs_version": _STRING,
        "next_cfg": "integer",
        "cur_cfg": "integer",
    },
    "Bridge": {
        "name": "string",
        "ports": _references("Port"),
        "controller": _references("Controller"),
        "datapath_type": "string",
        "datapath_id": _STRING,
        "fail_mode": _STRING,
        "protocols": _STRINGS,
        "flow_tables": {
            "key": "integer",
            "value": {"type": "uuid", "refTable": "Flow_Table"},
            "min": 0,
            "max": "unlimited",
        },
        "mirrors": _references("Mirror"),
        "auto_attach": _UUID,
        "flood_vlans": _INTEGERS,
        "mcast_snooping_enable": "boolean",
        "rstp_enable": "boolean",
        "stp_enable": "boolean",
        "other_config": _MAP,
        "external_ids": _MAP,
    },
    "Port": {
        "name": "string",
        "interfaces": _references("Interface"),
        "bond_downdelay": "integer",
        "bond_fake_iface": "boolean",
        "bond_mode": _STRING,
        "bond_updelay": "integer",
        "cvlans": _INTEGERS,
        "fake_bridge": "boolean",
        "lacp": _STRING,
        "mac": _STRING,
        "other_config": _MAP,
        "protected": "boolean",
        "qos": _UUID,
        "tag": _INTEGER,
        "trunks": _INTEGERS,
        "vlan_mode": _STRING,
        "external_ids": _MAP,
    },
    "Interface": {
        "name": "string",
        "type": "string",
        "options": _MAP,
        "ofport": _INTEGER,
        "ofport_request": _INTEGER,
        "mtu_request": _INTEGER,
        "bfd": _MAP,
        "cfm_mpid": _INTEGER,
        "ingress_policing_burst": "integer",
        "ingress_policing_kpkts_burst": "integer",
        "ingress_policing_kpkts_rate": "integer",
        "ingress_policing_rate": "integer",
        "lldp": _MAP,
        "mac": _STRING,
        "other_config": _MAP,
        "error": _STRING,
        "external_ids": _MAP,
    },
    "Controller": {
        "target": "string",
        "connection_mode": _STRING,
        "max_backoff": _INTEGER,
        "controller_rate_limit": _INTEGER,
        "controller_burst_limit": _INTEGER,
        "controller_queue_size": _INTEGER,
        "enable_async_messages": _BOOLEAN,
        "inactivity_probe": _INTEGER,
        "local_gateway": _STRING,
        "local_ip": _STRING,
        "local_netmask": _STRING,
        "other_config": _MAP,
        "type": _STRING,
        "is_connected": "boolean",
        "status": _MAP,
        "external_ids": _MAP,
    },
    "Flow_Table": {
        "flow_limit": _INTEGER,
        "overflow_policy": _STRING,
        "groups": _STRINGS,
    },
    "Mirror": {"name": "string"},
}

_ROOTS: Final = ("Open_vSwitch",)

SCHEMA: Final[dict[str, Any]] = {
    "name": "Open_vSwitch",
    "version": "8.0.0",
    "tables": {
        table: {
            "columns": {column: {"type": type_} for column, type_ in columns.items()},
            "isRoot": table in _ROOTS,
        }
        for table, columns in _TABLES.items()
    },
}
"""What `ovs.db.idl.SchemaHelper` is given."""
