"""An HTTP server in a thread that can be told to misbehave, request by request."""

import gzip
import http.server
import json
import socket
import struct
import threading
import time
from dataclasses import dataclass, field


@dataclass
class Fault:
    """What to do instead of answering well. `when` picks requests; `times` is how many (None: until removed)."""

    kind: str  # late status half wrong_type huge drip reset hang
    when: object = lambda request: True
    times: int = None
    status: int = 500
    body: bytes = b"something went wrong"
    headers: dict = field(default_factory=dict)
    seconds: float = 0.0  # late: pause before the answer; drip: pause between pieces
    size: int = 0  # huge: bytes of the body
    hits: int = 0


@dataclass
class Request:
    method: str
    path: str
    query: str
    headers: dict
    body: bytes
    at: float
    status: int = 0


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    def date_time_string(self, timestamp=None):
        return super().date_time_string(self.server.owner.now() if timestamp is None else timestamp)

    def handle(self):
        try:
            super().handle()
        except (ConnectionError, TimeoutError, OSError):
            pass  # the client gave up, or a fault closed the connection

    def do_GET(self):
        owner = self.server.owner
        target = self.path
        if target.startswith("http://"):  # asked as a proxy
            target = "/" + target.removeprefix("http://").partition("/")[2]
            owner.proxied += 1
        path, _, query = target.partition("?")
        length = int(self.headers.get("Content-Length") or 0)
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, path, query, headers, self.rfile.read(length), time.time())
        fault = owner.take_fault(request)
        with owner.lock:
            owner.requests.append(request)
        owner.arrived.set()
        if fault is not None and fault.kind in ("reset", "hang", "status", "late", "huge", "wrong_type"):
            if self.fail(request, fault):
                return
        status, headers, body = owner.answer(request)
        request.status = status
        self.send(status, headers, body, fault)

    do_POST = do_PUT = do_HEAD = do_GET

    def fail(self, request, fault):
        """True when the request is over."""
        owner = self.server.owner
        if fault.kind == "late":
            owner.stopping.wait(fault.seconds)
            return False
        if fault.kind == "hang":
            owner.stopping.wait(fault.seconds or 60)
            self.close_connection = True
            return True
        if fault.kind == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
            return True
        if fault.kind == "huge":
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(fault.size))
            self.end_headers()
            self.wfile.write(b'{"traces":[],"series":[],"padding":"')
            piece = b"x" * 65536
            for _ in range(fault.size // len(piece)):
                self.wfile.write(piece)
            self.close_connection = True
            return True
        request.status = 200 if fault.kind == "wrong_type" else fault.status
        headers = {"Content-Type": "text/html" if fault.kind == "wrong_type" else "text/plain; charset=utf-8", **fault.headers}
        self.send(request.status, headers, fault.body, None)
        return True

    def send(self, status, headers, body, fault):
        headers = {"Content-Type": "application/json", **headers}
        if self.server.owner.compress and "gzip" in (self.headers.get("Accept-Encoding") or ""):
            body = gzip.compress(body, 1)
            headers["Content-Encoding"] = "gzip"
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if fault is not None and fault.kind == "half":
            self.chunk(body[: len(body) // 2])
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        size = 16 if fault is not None and fault.kind == "drip" else 32768
        for at in range(0, len(body), size):
            self.chunk(body[at : at + size])
            if size == 16 and self.server.owner.stopping.wait(fault.seconds):
                return
        self.wfile.write(b"0\r\n\r\n")

    def chunk(self, data):
        if data:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))


class Threaded(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass


class Server:
    """Base of the stand-ins. `answer(request)` gives (status, headers, body)."""

    def __init__(self, tls=None):
        self.tls = tls
        self.lock = threading.RLock()
        self.requests = []
        self.faults = []
        self.compress = False
        self.proxied = 0
        self.arrived = threading.Event()
        self.stopping = threading.Event()
        self.port = 0
        self.http = None
        self.connections = []
        self.start()

    def now(self):
        return time.time()

    def answer(self, request):
        raise NotImplementedError

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def start(self):
        self.stopping.clear()
        owner = self

        class Bound(Threaded):
            def get_request(self):
                connection, address = super().get_request()
                if owner.tls:
                    connection = owner.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
                with owner.lock:
                    owner.connections.append(connection)
                return connection, address

        self.http = Bound(("127.0.0.1", self.port), Handler)
        self.http.owner = self
        self.port = self.http.server_address[1]
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self):
        """Closes the port and every connection; start() opens the same port again."""
        if self.http is None:
            return
        self.stopping.set()
        self.http.shutdown()
        self.http.server_close()
        with self.lock:
            for connection in self.connections:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
            self.connections = []
        self.http = None

    # Faults.

    def fault(self, kind, **options):
        with self.lock:
            self.faults.append(Fault(kind, **options))
            return self.faults[-1]

    def heal(self):
        with self.lock:
            self.faults = []

    def take_fault(self, request):
        with self.lock:
            for fault in self.faults:
                if (fault.times is None or fault.times > 0) and fault.when(request):
                    fault.hits += 1
                    if fault.times is not None:
                        fault.times -= 1
                    return fault
        return None

    def seen(self):
        with self.lock:
            return list(self.requests)


def as_json(value):
    return json.dumps(value, separators=(",", ":")).encode()
