"""A way to a store that can be slow, or away for a while: it stands between a client and the real S3 server."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

_BLOCK_BYTES = 1 << 16


class UnsteadyWay:
    """Passes TCP connections on to a server.

    `bytes_per_second` is what it lets through towards the server, all connections together; 0 is no limit.
    """

    def __init__(self, endpoint: str) -> None:
        address = urlsplit(endpoint)
        assert address.hostname is not None
        self._server = address.hostname, address.port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._is_away, self._connections = False, set[socket.socket]()
        self.bytes_per_second = 0.0
        self.bytes_passed = 0
        self._lock, self._free_at = threading.Lock(), 0.0
        threading.Thread(target=self._accept, daemon=True).start()

    def go_away(self) -> None:
        """Break all connections, and take none until `come_back`."""
        self._is_away = True
        for connection in list(self._connections):
            _shut(connection)

    def come_back(self) -> None:
        """Take connections again."""
        self._is_away = False

    def close(self) -> None:
        """End."""
        self.go_away()
        _shut(self._listening)
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listening.accept()
                if self._is_away:
                    client.close()
                    continue
                server = socket.create_connection(self._server)
                self._connections |= {client, server}
                for source, sink, slow in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._pass, args=(source, sink, slow), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, slow: bool) -> None:
        with suppress(OSError):
            while not self._is_away and (block := source.recv(_BLOCK_BYTES)):
                if slow:
                    self._wait_for(len(block))
                sink.sendall(block)
        for end in (source, sink):
            _shut(end)
        self._connections.discard(source)
        source.close()

    def _wait_for(self, num_bytes: int) -> None:
        """Wait until this many bytes may pass."""
        with self._lock:
            self.bytes_passed += num_bytes
            if not self.bytes_per_second:
                return
            begin = max(time.monotonic(), self._free_at)
            self._free_at = begin + num_bytes / self.bytes_per_second
        time.sleep(max(0.0, begin - time.monotonic()))


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def unsteady_way(endpoint: str) -> Iterator[UnsteadyWay]:
    """Make a way to a server, which is closed at the end of the block."""
    way = UnsteadyWay(endpoint)
    try:
        yield way
    finally:
        way.close()
