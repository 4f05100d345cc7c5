"""A TCP stream from one namespace to another, as fast as it goes: wrong checksums and MTUs show in it."""

from __future__ import annotations

from pathlib import Path

from topologies import namespaces
from topologies.namespaces import CommandFailed
from topologies.probes import Tcp, read_iperf


def tcp(client: str, server: str, address: str, seconds: float, output: Path) -> Tcp:
    """Send from one namespace to the server's address in another; CommandFailed when nothing gets through."""
    serve = ["iperf3", "--server", "--one-off", "--forceflush"]
    send = ["iperf3", "--client", address, "--time", f"{seconds:g}", "--json", "--connect-timeout", "5000"]
    with namespaces.background(server, serve, output) as running:
        running.wait_for("Server listening")
        done = namespaces.run(client, send, check=False, timeout=seconds + 30)
    try:
        return read_iperf(done.stdout)
    except ValueError as wrong:
        raise CommandFailed(client, send, str(wrong), done.stdout + done.stderr) from None
