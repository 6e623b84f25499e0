"""Doors between the project's programs: the office's own on unix sockets, the stations' on TCP.

Only the owner of a socket may use it: the file system says who comes in, and nothing else does
(docs/threat-model.md).
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

import httpx

BACKLOG = 128


def listen(path: Path) -> socket.socket:
    """A socket at ``path``, mode 0600; once the path exists, it listens.

    A socket that a killed program left there is replaced.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        sock.bind(str(part))
    finally:
        os.umask(before)
    sock.listen(BACKLOG)
    part.replace(path)
    return sock


def client(path: Path, timeout_s: float) -> httpx.Client:
    """A client of what listens at ``path``; the host in its addresses says nothing."""
    return httpx.Client(transport=over(path), base_url="http://office", timeout=timeout_s)


def client_at(url: str) -> httpx.Client:
    """A client of the backend's door for stations; a TLS context only where TLS is spoken."""
    return httpx.Client(base_url=url, verify=not url.lower().startswith("http://"))


def over(path: Path) -> httpx.HTTPTransport:
    """Plain HTTP over the socket: nothing is verified, and a TLS context costs 40 ms."""
    return httpx.HTTPTransport(uds=str(path), verify=False)
