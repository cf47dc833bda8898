"""The Python client of Toxiproxy drives a proxy. Arguments: host and port of the API."""

import socket
import sys
import threading
import time

from toxiproxy import Toxiproxy
from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists

HOST, PORT = sys.argv[1], int(sys.argv[2])


def echo():
    """A server that sends back what it gets, and where it listens."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection):
        with connection:
            while data := connection.recv(4096):
                connection.sendall(data)

    def accept():
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return "127.0.0.1:%d" % listener.getsockname()[1]


def connect(proxy):
    host, port = proxy.listen.rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=20)


def said_back(connection, data):
    begun = time.monotonic()
    connection.sendall(data)
    got = b""
    while len(got) < len(data):
        more = connection.recv(len(data) - len(got))
        assert more, "the connection ended after %r" % got
        got += more
    assert got == data, got
    return time.monotonic() - begun


def refused(kind, call):
    try:
        call()
    except kind:
        return
    raise AssertionError("it was not refused with %s" % kind.__name__)


server = Toxiproxy()
server.update_api_consumer(HOST, PORT)
assert server.running()
assert b"2.12" in server.version(), server.version()
assert server.proxies() == {}

upstream = echo()
proxy = server.create(upstream=upstream, name="echo")
assert proxy.enabled and not proxy.listen.endswith(":0")
assert list(server.proxies()) == ["echo"]
refused(ProxyExists, lambda: server.create(upstream=upstream, name="echo"))

connection = connect(proxy)
said_back(connection, b"hello")

proxy.add_toxic(type="latency", attributes={"latency": 200, "jitter": 0})
assert said_back(connection, b"slow") >= 0.2
toxic = proxy.get_toxic("latency_downstream")
assert (toxic.type, toxic.stream, toxic.toxicity) == ("latency", "downstream", 1.0)
assert toxic.attributes == {"latency": 200, "jitter": 0}
refused(ProxyExists, lambda: proxy.add_toxic(type="latency"))
refused(InvalidToxic, lambda: proxy.add_toxic(type="gremlin"))
refused(InvalidToxic, lambda: proxy.add_toxic(type="latency", name="other", stream="sideways"))
assert proxy.destroy_toxic("latency_downstream")
assert proxy.toxics() == {}
refused(NotFound, lambda: proxy.destroy_toxic("latency_downstream"))

proxy.add_toxic(type="limit_data", stream="upstream", attributes={"bytes": 2})
limited = connect(proxy)
limited.sendall(b"four")
got = limited.recv(10)
assert got in (b"fo", b""), got
assert server.reset()
assert proxy.toxics() == {}

with proxy.down():
    assert connection.recv(1) == b"", "open connections are closed"
    refused(ConnectionRefusedError, lambda: connect(proxy))
said_back(connect(proxy), b"again")

made = server.populate([
    {"name": "one", "listen": "127.0.0.1:0", "upstream": upstream},
    {"name": "two", "listen": "127.0.0.1:0", "upstream": upstream, "enabled": False},
])
assert [(made.name, made.enabled) for made in made] == [("one", True), ("two", False)]
said_back(connect(made[0]), b"populated")

assert server.destroy(proxy)
refused(NotFound, lambda: server.destroy(proxy))
server.destroy_all()
assert server.proxies() == {}
print("toxiproxy-python: every operation")
