"""A lab in which nothing is spoken without TLS: chassis databases, OpenFlow, the overlay database for `overlayctl`."""

from __future__ import annotations

from pathlib import Path

from tests.certificates import Authority
from topologies import chassis, controller
from topologies.lab import Lab
from topologies.topology import CONTROLLER

DATABASE = "ssl:127.0.0.1:6642"


class SecureLab(Lab):
    """The same lab, with certificates; `authority` made them."""

    authority: Authority
    _who = "controller"
    _database = ""

    def build(self) -> None:
        """Chassis that run, each with its key, and listen with TLS alone."""
        super().build()
        try:
            names = [each.name for each in self.topology.chassis]
            self.authority = Authority(self.directory / "pki")
            self.authority.issue("controller", "operator", *names)
            for name in names:
                self.certify(name, self.authority.directory / name)
                self.run(name, "ovs-vsctl", "set-manager", "pssl:6640")
        except BaseException:
            self.down()
            raise

    def certify(self, name: str, home: Path) -> None:
        """Have a chassis use the key and certificates of a directory, for connections made from now on."""
        files = [str(home / file) for file in ("key.pem", "cert.pem", "cacert.pem")]
        self.run(name, "ovs-vsctl", "--no-wait", "set-ssl", *files)

    def reconnect(self, name: str) -> None:
        """End the connections to a chassis' database."""
        self.run(name, "ovs-vsctl", "--no-wait", "del-manager")
        self.run(name, "sleep", "3")  # ovsdb-server looks at its managers every few seconds
        self.run(name, "ovs-vsctl", "--no-wait", "set-manager", "pssl:6640")

    def environment(self, where: str) -> dict[str, str]:
        """The controller's own while it starts, an operator's afterwards."""
        found = super().environment(where)
        if where == CONTROLLER:
            found["OVERLAY_PKI"] = str(self.directory / "pki" / self._who)
            if self._database:
                found["OVERLAY_DB"] = self._database
        return found

    def start_controller(self, *options: str, patience: float = 60.0) -> None:
        """Start it, and have its database listen for `overlayctl` on the loopback."""
        self._who, self._database = "controller", ""
        super().start_controller(*options, patience=patience)
        self.overlayctl("connection-add", "pssl:6642", "--may-exist")
        self._who, self._database = "operator", DATABASE

    def declare(self) -> None:
        """As any lab; the chassis' databases are reached with TLS."""
        for argv in controller.declarations(self.topology, chassis.unusual(self.datapath)):
            self.overlayctl(*(word.replace("tcp:", "ssl:") for word in argv))
