"""What a switch is set to: what we send is what Ryu would, what comes is read, ours is set back and others' is told."""

from __future__ import annotations

from struct import pack
from typing import Any

import pytest
from ryu.ofproto import ofproto_protocol, ofproto_v1_4
from ryu.ofproto import ofproto_v1_4_parser as parser

from controller import settings as settings_module
from controller import settings_bytes
from controller.settings import LASTING_S, Settings
from controller.settings_bytes import NO_FWD, NO_PACKET_IN, NO_RECV, PORT_DOWN, PortSettings

DATAPATH = ofproto_protocol.ProtocolDesc(version=ofproto_v1_4.OFP_VERSION)
TUNNEL = PortSettings(65001, bytes.fromhex("0e0000000001"), "overlay-vxlan", 0)
WEB1 = PortSettings(1, bytes.fromhex("0e0000000002"), "web1", 0)


def _as_ryu(message: Any, xid: int) -> bytes:
    message.set_xid(xid)
    message.serialize()
    return bytes(message.buf)


def test_messages_are_ryu_s() -> None:
    mod = parser.OFPPortMod(DATAPATH, TUNNEL.number, TUNNEL.mac.hex(":"), 0, sum(settings_bytes.SETTINGS), [])
    assert settings_bytes.port_mod(TUNNEL, 9) == _as_ryu(mod, 9)
    assert settings_bytes.ports_request(9) == _as_ryu(parser.OFPPortDescStatsRequest(DATAPATH, 0), 9)
    assert settings_bytes.config_request(9) == _as_ryu(parser.OFPGetConfigRequest(DATAPATH), 9)
    assert settings_bytes.set_config(9) == _as_ryu(parser.OFPSetConfig(DATAPATH, 0, 128), 9)


def _entry(port: PortSettings, length: int = 72) -> bytes:
    head = pack("!IH2x6s2x16sII", port.number, length, port.mac, port.name.encode(), port.config, 4)
    return head + bytes(32)


def test_ports_are_read() -> None:
    ports = [TUNNEL._replace(config=NO_FWD | NO_RECV), WEB1]
    assert settings_bytes.parse_ports(b"".join(map(_entry, ports))) == ports
    assert ports[0].words() == "no-receive, no-forward"
    for wrong in (_entry(WEB1, 0), _entry(WEB1, 80), _entry(WEB1)[:30]):
        with pytest.raises(ValueError, match="port"):
            settings_bytes.parse_ports(wrong)


class _Switch:
    """The part of a channel that settings need."""

    def __init__(self, *ports: PortSettings, fragments: int = 0) -> None:
        self.now, self.handled = {port.number: port for port in ports}, fragments

    def ports(self) -> list[PortSettings]:
        return list(self.now.values())

    def fragments(self) -> int:
        return self.handled

    def set_back(self, ports: list[PortSettings], fragments: bool) -> None:
        self.now |= {port.number: port._replace(config=0) for port in ports}
        self.handled = 0 if fragments else self.handled


def test_ours_is_set_back_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    switch = _Switch(TUNNEL._replace(config=NO_PACKET_IN), WEB1._replace(config=PORT_DOWN), fragments=1)
    settings = Settings("h1", switch)  # type: ignore[arg-type]
    for _ in range(3):
        settings.look({65001})
    assert (switch.now[65001].config, switch.now[1].config, switch.handled) == (0, PORT_DOWN, 0)
    assert caplog.messages == [
        "h1: set back what somebody else changed while nobody was there: "
        "port overlay-vxlan was set to no-packet-in; fragments were handled as drop"
    ]


def test_another_port_is_told_of_when_it_is_shut_for_some_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(settings_module, "monotonic", lambda: clock[0])
    switch = _Switch(TUNNEL, WEB1._replace(config=PORT_DOWN | NO_RECV))
    settings = Settings("h1", switch)  # type: ignore[arg-type]
    settings.look({65001})
    assert settings.shut == {}
    assert settings.due() == clock[0] + LASTING_S
    clock[0] = settings.due()
    settings.look({65001})
    assert settings.shut == {
        1: "the device is down, so nothing passes; on the host: ip link set web1 up; "
        "it is set to no-receive; on the host: ovs-ofctl mod-port br-int web1 receive"
    }
    switch.now[1] = WEB1
    settings.suspect()
    settings.look({65001})
    assert settings.shut == {}
