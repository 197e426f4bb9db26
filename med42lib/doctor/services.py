"""The store and MLflow, as every step of a run meets them: known by name, reachable, willing, and at the same time."""

from __future__ import annotations

import hashlib
import http.client
import os
import socket
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from med42lib.core.environment import proxy_of
from med42lib.core.redaction import redact
from med42lib.doctor.finding import Finding, findings_of, ok, problem, unknown, warning
from med42lib.store.address import open_store, s3_endpoint
from med42lib.store.base import S3_SCHEME
from med42lib.store.scratch import attempt_folder, machine_scratch
from med42lib.tracking.address import TRACKING_VARIABLE, check_tracking, is_server, tracking_address

_SECONDS = 5.0
_PROBE_BYTES = 1 << 20
_LARGE_SKEW, _NOTABLE_SKEW = 300.0, 30.0  # an S3 server refuses requests that are 15 minutes off
_PORTS = {"http": 80, "https": 443}


def check_store(address: str) -> Iterator[Finding]:
    """Look at the store: its name, its clock, whether it takes a file only once, and gives back what it got."""
    return findings_of("store", lambda: _check_store(address))


def _check_store(address: str) -> Iterator[Finding]:
    if address.startswith(S3_SCHEME):
        endpoint = s3_endpoint()
        yield from _check_name("store", endpoint)
        yield from _check_clock("store", endpoint)
    yield from _check_writing(address)


def _check_writing(address: str) -> Iterator[Finding]:
    store = open_store(address)
    store.check()
    yield ok("store", f"{address} takes a file only once (If-None-Match)")
    name = f".check/{uuid.uuid4().hex}"
    with attempt_folder(machine_scratch(), "doctor") as folder:
        sent = os.urandom(_PROBE_BYTES)
        (folder / "probe").write_bytes(sent)
        store.put(name, folder / "probe")
        try:
            back = store.read(name)
        finally:
            store.delete(name)
    if back is None or hashlib.sha256(back).digest() != hashlib.sha256(sent).digest():
        yield problem("store", f"{address} gives back other bytes than it got; use another store, or mend this one")
    else:
        yield ok("store", f"{address} gives back the bytes that it got, and lets them be removed")


def check_mlflow(store_address: str) -> Iterator[Finding]:
    """Look at MLflow: its name, whether it answers to it, and whether it takes our credentials."""
    return findings_of("mlflow", lambda: _check_mlflow(store_address))


def _check_mlflow(store_address: str) -> Iterator[Finding]:
    address = tracking_address()
    if is_server(address):
        yield from _check_name("mlflow", address)
    lets_us_in = check_tracking(store_address)
    if not is_server(address):
        yield ok("mlflow", f"runs are recorded in {redact(address)}; {TRACKING_VARIABLE} would name a server")
    elif lets_us_in:
        yield ok("mlflow", f"{redact(address)} answers by this name and lets us in")
    else:
        yield unknown(
            "mlflow", f"{redact(address)} answers by this name; whether it lets MLflow's client in is not known"
        )


def _check_name(about: str, url: str) -> Iterator[Finding]:
    """Look up a server's name, or that of the proxy which is asked in its place and may know more names."""
    parts = urlsplit(proxy_of(url) or url)
    host = parts.hostname or ""
    try:
        found = socket.getaddrinfo(host, parts.port or _PORTS.get(parts.scheme, 443), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        yield problem(
            about,
            f"the name {host} is not known to DNS ({error}); correct the address, or let pods reach DNS "
            "(NetworkPolicy med42-dns)",
        )
    else:
        address = found[0][4][0]
        yield ok(about, f"{host} needs no DNS" if address == host else f"the name {host} is known to DNS: {address}")


def _check_clock(about: str, url: str) -> Iterator[Finding]:
    """Compare our time with the one of a server's answer, whatever it answers."""
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS) as answer:
            when = answer.headers["Date"]
    except urllib.error.HTTPError as error:
        with error:
            when = error.headers["Date"]
    except (OSError, ValueError, http.client.HTTPException) as error:
        yield unknown(about, f"its clock could not be read, for {url} gave no answer: {error}")
        return
    if when is None:
        yield unknown(about, f"its clock could not be read, for {url} says no time")
    else:
        yield _clock_finding(about, time.time() - parsedate_to_datetime(when).timestamp())


def _clock_finding(about: str, skew: float) -> Finding:
    text = f"this machine's clock is {abs(skew):.0f} s {'before' if skew > 0 else 'behind'} the server's"
    if abs(skew) > _LARGE_SKEW:
        return problem(about, f"{text}, and signed requests will be refused; start a time service on the nodes")
    if abs(skew) > _NOTABLE_SKEW:
        return warning(about, f"{text}; start a time service on the nodes")
    return ok(about, text)
