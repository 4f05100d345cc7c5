"""What the environment says, and what holds where it says nothing."""

from __future__ import annotations

import socket

import pytest

from ovsdb.paths import controller_name


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("ctl1", "ctl1:6653"),
        ("ctl-1.example.org", "ctl-1.example.org:6653"),
        ("(none)", "none:6653"),  # what a kernel says whose host was never named
        ("-odd host_2", "oddhost_2:6653"),
        ("", "controller:6653"),
        ("中", "controller:6653"),
    ],
)
def test_a_controller_is_called_after_its_host_however_that_is_called(
    host: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OVERLAY_NAME", raising=False)
    monkeypatch.setattr(socket, "gethostname", lambda: host)
    assert controller_name("6653") == name


@pytest.mark.parametrize("said", ["(none)", "a b", "-a", "x" * 129])
def test_what_is_said_must_be_a_name(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVERLAY_NAME", said)
    with pytest.raises(ValueError, match="is no name: 1 to 128"):
        controller_name("6653")
