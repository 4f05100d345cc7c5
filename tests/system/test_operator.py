"""The operator beside us: `ovs-vsctl` alone attaches, moves and removes ports; what is theirs survives."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.system.steps import (
    chassis_error,
    eventually,
    flows,
    learned,
    problems,
    running,
    settle,
    watching_flows,
    where,
)
from topologies import three_chassis
from topologies.lab import Lab

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with running(three_chassis.TOPOLOGY, before=what_was_there) as built:
        yield built


def what_was_there(lab: Lab) -> None:
    """What an operator had on h1 before us: a bridge, a port in it, a flow, and a note of their own."""
    for line in (
        f"ovs-vsctl add-br br-mine -- set bridge br-mine datapath_type={lab.datapath}",
        "ovs-vsctl add-port br-mine mine0 -- set interface mine0 type=internal",
        "ovs-ofctl add-flow br-mine cookie=0x77,priority=7,ip,actions=drop",
        "ovs-vsctl set open_vswitch . external_ids:mine=yes",
    ):
        lab.run("h1", *line.split())


def vsctl(lab: Lab, chassis: str, *argv: str) -> str:
    return lab.run(chassis, "ovs-vsctl", "--timeout=10", *argv).stdout.strip()


def reaches(lab: Lab, source: str, target: str, expected: bool = True) -> bool:
    eventually(lambda: (lab.ping(source, target, count=1).lost == 0) == expected, 15, f"{source} -> {target}")
    return True


def test_provisioned_as_documented_and_idempotent(lab: Lab) -> None:
    assert vsctl(lab, "h1", "get-fail-mode", "br-int") == "secure"
    assert vsctl(lab, "h1", "get", "bridge", "br-int", "other_config:disable-in-band") == '"true"'
    assert vsctl(lab, "h1", "get", "bridge", "br-int", "external_ids:overlay-managed") == '"true"'
    assert vsctl(lab, "h1", "get-controller", "br-int") == "tcp:198.51.100.254:6653"
    for port, ofport in (("overlay-vxlan", "65001"), ("overlay-gre", "65002")):
        assert vsctl(lab, "h1", "get", "interface", port, "ofport") == ofport
        options = vsctl(lab, "h1", "get", "interface", port, "options")
        assert set(re.findall(r"[a-z_]+=flow", options)) == {"key=flow", "local_ip=flow", "remote_ip=flow"}
    ids = {vsctl(lab, name, "get", "bridge", "br-int", "datapath_id") for name in ("h1", "h2", "h3")}
    assert len(ids) == 3
    before = vsctl(lab, "h1", "get", "open_vswitch", ".", "next_cfg")
    lab.stop_controller()
    lab.start_controller()
    settle(lab)
    assert vsctl(lab, "h1", "get", "open_vswitch", ".", "next_cfg") == before


def test_unplug_and_plug_with_ovs_vsctl(lab: Lab) -> None:
    assert reaches(lab, "web1", "web2")
    lab.unplug("web2")
    eventually(lambda: where(lab, "web2") == (None, False), what="web2 not plugged in")
    assert lab.ping("web1", "web2", count=2).received == 0
    # It is not there, so nobody answers for it, and no chassis keeps a flow that leads to it.
    lab.run("web1", "ip", "neigh", "flush", "all")
    assert lab.arping("web1", "web2").macs == ()
    # What it sent last may have been learned when its declared place was gone (table 60): that leads to where it was.
    leading = [line for line in flows(lab, "h1") if "02:00:00:00:00:02" in line and "metadata=0x64" in line]
    assert not [line for line in leading if "table=60" not in line]
    lab.plug("web2")
    assert reaches(lab, "web1", "web2")
    assert where(lab, "web2") == ("h2", True)


def test_move_to_another_chassis_with_ovs_vsctl(lab: Lab) -> None:
    """A declared and an undeclared VM move from h2 to h3 and back; their neighbors' caches stay."""
    for vm in ("web2", "web9"):
        assert reaches(lab, "web1", vm)
        lab.move(vm, "h3")
        if vm == "web9":
            lab.run(vm, "arping", "-U", "-c", "1", "-I", "eth0", lab.address(vm), check=False)
        assert reaches(lab, "web1", vm)
        assert reaches(lab, vm, "web3")
        lab.move(vm, "h2")
        if vm == "web9":
            lab.run(vm, "arping", "-U", "-c", "1", "-I", "eth0", lab.address(vm), check=False)
        assert reaches(lab, "web1", vm)


def test_a_change_touches_only_what_it_concerns(lab: Lab) -> None:
    """A port of blue comes and goes: not one flow of red is added, changed or deleted."""
    settle(lab)
    with watching_flows(lab, "h1") as events:
        lab.unplug("db2")
        eventually(lambda: where(lab, "db2") == (None, False))
        lab.plug("db2")
        eventually(lambda: where(lab, "db2") == ("h2", True))
    assert events.of_ours()
    assert [line for line in events.of_ours() if "metadata=0x64" in line or "tun_id=0x64" in line] == []


def test_an_undeclared_port_is_learned_and_forgotten(lab: Lab) -> None:
    assert reaches(lab, "web1", "web9")
    rows = [line for line in flows(lab, "h1") if "table=60" in line and "02:00:00:00:00:09" in line]
    assert len([line for line in rows if "metadata=0x64" in line]) == 1
    assert "10.0.0.9" in learned(lab, "red")
    lab.unplug("web9")
    # Its place gone, the switch itself takes what it learned there; the controller forgets the neighbor.
    eventually(lambda: not [line for line in flows(lab, "h1") if "02:00:00:00:00:09" in line and "=0x64" in line])
    eventually(lambda: learned(lab, "red") == [])
    lab.plug("web9")
    assert reaches(lab, "web1", "web9")


def test_hints_on_an_undeclared_port(lab: Lab) -> None:
    """With attached-mac and overlay-ip a port is answered for before it sends anything."""
    lab.unplug("web9")
    vsctl(
        lab, "h2", "add-port", "br-int", "web9", "--", "set", "interface", "web9",
        "external_ids:overlay-vni=100", "external_ids:attached-mac=02:00:00:00:00:09",
        "external_ids:overlay-ip=10.0.0.9",
    )  # fmt: skip
    eventually(lambda: lab.arping("web1", "web9").macs == ("02:00:00:00:00:09",))
    lab.unplug("web9")
    lab.plug("web9")


def test_what_is_the_operators_survives(lab: Lab) -> None:
    """Their bridge, port and flow; their flow and port on br-int; across changes and a restart of ours."""
    lab.run("h1", "ovs-ofctl", "add-flow", "br-int", "cookie=0x99,table=0,priority=9,udp,tp_dst=9,actions=drop")
    vsctl(lab, "h1", "add-port", "br-int", "theirs", "--", "set", "interface", "theirs", "type=internal")
    lab.unplug("web1")
    lab.plug("web1")
    assert reaches(lab, "web1", "web2")
    lab.stop_controller()
    lab.start_controller()
    settle(lab)
    assert [line for line in flows(lab, "h1") if line.startswith("cookie=0x99")]
    assert "cookie=0x77" in lab.run("h1", "ovs-ofctl", "dump-flows", "br-mine").stdout
    assert vsctl(lab, "h1", "list-ports", "br-mine") == "mine0"
    assert "theirs" in vsctl(lab, "h1", "list-ports", "br-int").split()
    assert vsctl(lab, "h1", "get", "open_vswitch", ".", "external_ids:mine") == "yes"
    vsctl(lab, "h1", "del-port", "br-int", "theirs")


def test_changes_of_a_declaration_take_effect(lab: Lab) -> None:
    """A network's encap and VNI, a port's address, while traffic goes."""
    lab.overlayctl("--wait", "net-set", "red", "--encap", "gre")
    with lab.capture("h1", "host 192.0.2.2") as seen:
        assert lab.ping("web1", "web2", count=2).lost == 0
    assert len(seen.having("key=0x64", "echo request")) == 2
    lab.overlayctl("--wait", "net-set", "red", "--encap", "vxlan", "--vni", "300")
    with lab.capture("h1", "host 192.0.2.2") as seen:
        assert lab.ping("web1", "web2", count=2).lost == 0
    assert len(seen.having("vni 300", "echo request")) == 2
    lab.overlayctl("--wait", "net-set", "red", "--vni", "100")
    lab.overlayctl("--wait", "port-set", "web2", "--ip", "10.0.0.22")
    assert lab.arping("web1", "10.0.0.22").macs == ("02:00:00:00:00:02",)
    lab.overlayctl("--wait", "port-set", "web2", "--ip", "10.0.0.2")
    assert reaches(lab, "web1", "web2")


def test_a_removed_declaration_is_gone_everywhere(lab: Lab) -> None:
    lab.overlayctl("--wait", "port-del", "web3")
    assert lab.ping("web1", "web3", count=2).received == 0
    assert "'web3' is no declared port" in problems(lab)["h3/web3"]
    lab.overlayctl("--wait", "port-add", "web3", "--net", "red", "--mac", "02:00:00:00:00:03", "--ip", "10.0.0.3")
    assert reaches(lab, "web1", "web3")


def test_names_that_are_taken_are_left_alone_and_named(lab: Lab) -> None:
    """h3 leaves, comes back with the tunnel's name taken, then with br-int taken; h1 and h2 never notice."""
    lab.overlayctl("chassis-del", "h3")
    eventually(lambda: vsctl(lab, "h3", "get-controller", "br-int") == "")
    assert "overlay-vxlan" not in vsctl(lab, "h3", "list-ports", "br-int").split()
    assert {"web3", "db3"} <= set(vsctl(lab, "h3", "list-ports", "br-int").split())
    eventually(lambda: lab.ping("web1", "web3", count=1).received == 0)
    for line in (
        f"add-br br-theirs -- set bridge br-theirs datapath_type={lab.datapath}",
        "add-port br-theirs overlay-vxlan -- set interface overlay-vxlan type=internal",
    ):
        vsctl(lab, "h3", *line.split())
    add = ("chassis-add", "h3", "tcp:198.51.100.3:6640", "--vtep", "192.0.2.3")
    lab.overlayctl(*add)
    eventually(lambda: "overlay-vxlan is the name of a port that is not ours" in chassis_error(lab, "h3"))
    assert "overlay-vxlan" in vsctl(lab, "h3", "list-ports", "br-theirs")
    vsctl(lab, "h3", "del-port", "br-theirs", "overlay-vxlan")
    eventually(lambda: chassis_error(lab, "h3") == "")
    assert reaches(lab, "web1", "web3")
    lab.overlayctl("chassis-del", "h3")
    eventually(lambda: vsctl(lab, "h3", "get-controller", "br-int") == "")
    vsctl(lab, "h3", "remove", "bridge", "br-int", "external_ids", "overlay-managed")
    lab.overlayctl(*add)
    eventually(lambda: "bridge br-int is there already and is not ours" in chassis_error(lab, "h3"))
    assert vsctl(lab, "h3", "get-controller", "br-int") == ""
    assert reaches(lab, "web1", "web2")
    vsctl(lab, "h3", "set", "bridge", "br-int", "external_ids:overlay-managed=true")
    assert reaches(lab, "web1", "web3")


def test_a_port_that_is_declared_with_another_mac(lab: Lab) -> None:
    """The VM's own is :77: nothing reaches it, and `show` says why, and what to type."""
    vm = next(vm for vm in lab.topology.vms if vm.name == "web2")
    lab.run(vm.name, "ip", "link", "set", "dev", "eth0", "address", "02:00:00:00:00:77")
    lab.arping(vm.name, "10.0.0.200")
    said = eventually(lambda: problems(lab).get(f"{vm.chassis}/{vm.name}"))
    assert f"sends from MAC 02:00:00:00:00:77, but port '{vm.name}' is declared with {vm.mac}" in said
    lab.run(vm.name, "ip", "link", "set", "dev", "eth0", "address", vm.mac)
    lab.unplug(vm.name)
    eventually(lambda: where(lab, vm.name) == (None, False))
    lab.plug(vm.name)
    eventually(lambda: where(lab, vm.name) == (vm.chassis, True))


def test_the_tunnel_ports_of_an_earlier_version_change_when_the_flows_have(lab: Lab) -> None:
    """Those had the VTEP's address themselves, and flows that did not say it."""
    with lab.pinging("web1", "web2", 0.01) as there:
        lab.stop_controller()
        for port in ("overlay-vxlan", "overlay-gre"):
            vsctl(lab, "h1", "set", "interface", port, "options:local_ip=192.0.2.1")
        lab.start_controller()
        eventually(lambda: "local_ip=flow" in vsctl(lab, "h1", "get", "interface", "overlay-gre", "options"))
        settle(lab)
    assert there().lost == 0
