"""The pages about the tables show what a real switch has; `pytest --golden` writes them anew."""

from __future__ import annotations

import pytest

from flows.tables import TOLD_TABLE
from tests.pipeline_pages import PAGES, pages
from tests.system.steps import eventually, running, settle
from topologies import three_chassis
from topologies.lab import Lab

pytestmark = pytest.mark.system

INTRO = """
Every flow of ours has a place in one of these tables, a kind that says what it is for (it stands in its cookie:
`overlayctl drops` counts by it), and, behind the first table, the VNI of its network in `metadata`. The pages show each
table as it is on chassis h2 of a lab of three chassis and two tenants (`./lab up three_chassis`), after these commands:

```console
$ overlayctl port-set web1 --ip 10.0.0.1 --ip fd00::1
$ overlayctl port-set web2 --ip 10.0.0.2 --ip fd00::2 --allow 00:00:5e:00:01:07=10.0.0.100
$ overlayctl net-add voice --tenant acme --vni 300
$ overlayctl port-add phone2 --net voice --mac 02:00:00:00:03:02 --ip 10.3.0.2 --parent web2 --tag 30 --may dhcp-server
$ ovs-ofctl -O OpenFlow14 --no-names --no-stats dump-flows br-int
```

web1, web2, web3 (and phone2, behind web2) are declared ports, web9 on h2 is not: its MAC is learned.
"""


DUMP = ("ovs-ofctl", "-O", "OpenFlow14", "--no-names", "--no-stats", "dump-flows", "br-int")


def test_the_pages_show_what_a_switch_has(request: pytest.FixtureRequest) -> None:
    with running(three_chassis.TOPOLOGY) as lab:
        for line in INTRO.splitlines():
            if line.startswith("$ overlayctl "):
                lab.overlayctl(*line.removeprefix("$ overlayctl ").split())
        settle(lab)
        told = told_of_web9(lab)
        eventually(lambda: "arp_tpa=10.0.0.9" in asked(lab), what="web9 is a known neighbor")
        found = pages(INTRO, "h2", f"{lab.run('h2', *DUMP).stdout}{told}")
    if request.config.getoption("--golden"):
        for name, text in found.items():
            (PAGES / name).write_text(text)
    assert {path.name: path.read_text() for path in PAGES.iterdir()} == found


def told_of_web9(lab: Lab) -> str:
    """What table told has after web9's first ARP request: once the controller has heard it, it is taken away."""
    lab.stop_controller()
    asked(lab)
    told = lab.run("h2", *DUMP, f"table={TOLD_TABLE.id}").stdout
    lab.start_controller()
    settle(lab)
    return told


def asked(lab: Lab) -> str:
    """What h2 has after web9 has asked who has web1's address."""
    lab.run("web9", "ip", "neighbor", "flush", "all")
    assert lab.ping("web9", "web1", count=1).lost == 0
    return lab.run("h2", *DUMP).stdout
