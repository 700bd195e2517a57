# SPDX-License-Identifier: Apache-2.0
"""A second implementation of the protocol on fn/NAME.sock, written from its description alone.

It shares no code and no tables with libthaw, so the two agree only if both agree with the document.
It is not thread-safe: use one connection for each thread.
"""
import collections
import itertools
import json
import select
import socket
import struct
import time

VERSION = 1
PAYLOAD_MAX = 61440
REQUEST_MAX = 64 << 20
IN_FLIGHT_MAX = 256

REQUEST, REQUEST_DATA, CANCEL, CONTROL = 1, 2, 3, 4
RESPONSE, RESPONSE_DATA, CONTROL_REPLY, GOAWAY, PROTOCOL_ERROR = 65, 66, 67, 68, 69
MORE = 1

FRAME = struct.Struct("=BBHIQ")
REQUEST_HEAD = struct.Struct("=QQ")
RESPONSE_HEAD = struct.Struct("=IIiIQQQQII")

STATUSES = ["ran", "busy", "too_large", "unavailable", "refused", "failed"]
OUTCOMES = ["finished", "exited", "crashed", "aborted", "violation", "too_much", "deadline", "cancelled", "lost"]
STARTS = ["none", "pool", "made"]


class WireError(Exception):
    """The peer broke the protocol, or said that this client did."""


class GoAway(Exception):
    """The worker serves no more on this connection, and has run no unanswered request."""


class Closed(Exception):
    """The connection ended."""


class Response:
    def __init__(self, frame_id, head, message):
        (status, outcome, self.exit_code, start, self.length, self.queued_ns, self.run_ns, self.total_ns,
         _, reserved) = head
        if status >= len(STATUSES) or outcome >= len(OUTCOMES) or start >= len(STARTS) or reserved:
            raise WireError(f"response head out of range: {head}")
        self.id = frame_id
        self.status = STATUSES[status]
        self.outcome = OUTCOMES[outcome] if self.status == "ran" else None
        self.start = STARTS[start]
        self.message = message.decode()
        self.body = b""

    def __repr__(self):
        return (f"<{self.status}/{self.outcome} exit {self.exit_code} start {self.start} "
                f"{self.length} bytes {self.message!r}>")


def frame(kind, frame_id, payload=b"", flags=0, version=VERSION, length=None):
    return FRAME.pack(version, kind, flags, len(payload) if length is None else length, frame_id) + payload


class Connection:
    def __init__(self, run, name, timeout=60.0):
        self.timeout = timeout
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        try:
            self.socket.settimeout(timeout)
            self.socket.connect(f"{run}/fn/{name}.sock")
            self.socket.setblocking(False)
        except BaseException:
            self.socket.close()
            raise
        self.ids = itertools.count(1)
        self.outgoing = collections.deque()
        self.partial = {}  # id -> (Response, pieces)
        self.done = collections.deque()
        self.replies = {}  # control id -> pieces

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    # ---- sending ----

    def queue_request(self, body=b"", timeout_ns=0, frame_id=None):
        """Queues a request and returns its id; the next pump() sends it."""
        frame_id = next(self.ids) if frame_id is None else frame_id
        view = memoryview(body)
        room = PAYLOAD_MAX - REQUEST_HEAD.size
        more = MORE if len(view) > room else 0
        self.outgoing.append(
            frame(REQUEST, frame_id, REQUEST_HEAD.pack(len(view), timeout_ns) + bytes(view[:room]), more))
        for at in range(room, len(view), PAYLOAD_MAX):
            piece = bytes(view[at:at + PAYLOAD_MAX])
            more = MORE if at + PAYLOAD_MAX < len(view) else 0
            self.outgoing.append(frame(REQUEST_DATA, frame_id, piece, more))
        return frame_id

    def submit(self, body=b"", timeout_ns=0, frame_id=None):
        frame_id = self.queue_request(body, timeout_ns, frame_id)
        self.flush()
        return frame_id

    def cancel(self, frame_id):
        self.outgoing.append(frame(CANCEL, frame_id))
        self.flush()

    def send_raw(self, message):
        self.outgoing.append(bytes(message))
        self.flush()

    def flush(self):
        deadline = time.monotonic() + self.timeout
        while self.outgoing:
            self.pump(deadline)

    # ---- receiving ----

    def receive(self, timeout=None):
        """The next complete response, in the order of arrival."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while not self.done:
            self.pump(deadline)
        return self.done.popleft()

    def invoke(self, body=b"", timeout_ns=0):
        frame_id = self.queue_request(body, timeout_ns)
        response = self.receive()
        if response.id != frame_id:
            raise WireError(f"answer to {response.id}, asked {frame_id}")
        return response

    def control(self, operation):
        return self.control_text(json.dumps(operation).encode())

    def control_text(self, text):
        frame_id = next(self.ids)
        self.outgoing.append(frame(CONTROL, frame_id, text))
        deadline = time.monotonic() + self.timeout
        self.replies[frame_id] = [False, []]
        while not self.replies[frame_id][0]:
            self.pump(deadline)
        return json.loads(b"".join(self.replies.pop(frame_id)[1]))

    def pump(self, deadline):
        """Waits until the socket can send or receive, and does both: otherwise two full socket buffers
        could block each other."""
        poller = select.poll()
        poller.register(self.socket, select.POLLIN | (select.POLLOUT if self.outgoing else 0))
        events = poller.poll(max(0.0, deadline - time.monotonic()) * 1000)
        if not events:
            raise TimeoutError("the worker does not answer")
        happened = events[0][1]
        if happened & (select.POLLIN | select.POLLHUP | select.POLLERR):
            self.take()
        if self.outgoing and happened & select.POLLOUT:
            try:
                self.socket.send(self.outgoing[0], socket.MSG_NOSIGNAL)
                self.outgoing.popleft()
            except BlockingIOError:
                pass
            except (BrokenPipeError, ConnectionResetError):
                while True:  # frames that are still there to read, a goaway above all, say more than errno
                    self.take()

    def take(self):
        try:
            message = self.socket.recv(FRAME.size + PAYLOAD_MAX + 1)
        except BlockingIOError:
            return
        except ConnectionResetError as error:
            raise Closed(str(error)) from error
        if not message:
            raise Closed("the worker closed the connection")
        if len(message) < FRAME.size:
            raise WireError(f"a message of {len(message)} bytes")
        version, kind, flags, length, frame_id = FRAME.unpack_from(message)
        payload = message[FRAME.size:]
        if version != VERSION or length != len(payload) or length > PAYLOAD_MAX or flags & ~MORE:
            raise WireError(f"bad frame head: version {version} length {length} flags {flags}")
        if kind == RESPONSE:
            self.take_response(frame_id, flags, payload)
        elif kind == RESPONSE_DATA:
            self.take_piece(frame_id, flags, payload)
        elif kind == CONTROL_REPLY:
            self.replies[frame_id][1].append(payload)
            self.replies[frame_id][0] = not flags & MORE
        elif kind == GOAWAY:
            raise GoAway()
        elif kind == PROTOCOL_ERROR:
            raise WireError(payload.decode())
        else:
            raise WireError(f"frame of unknown type {kind}")

    def take_response(self, frame_id, flags, payload):
        if len(payload) < RESPONSE_HEAD.size:
            raise WireError("short response head")
        head = RESPONSE_HEAD.unpack_from(payload)
        text_end = RESPONSE_HEAD.size + head[8]
        if text_end > len(payload):
            raise WireError("message longer than its frame")
        response = Response(frame_id, head, payload[RESPONSE_HEAD.size:text_end])
        if frame_id in self.partial:
            raise WireError(f"two answers to request {frame_id}")
        self.partial[frame_id] = (response, [])
        self.take_piece(frame_id, flags, payload[text_end:])

    def take_piece(self, frame_id, flags, payload):
        if frame_id not in self.partial:
            raise WireError(f"a piece of an answer to {frame_id} that did not begin")
        response, pieces = self.partial[frame_id]
        pieces.append(payload)
        if flags & MORE:
            return
        response.body = b"".join(pieces)
        if len(response.body) != response.length:
            raise WireError(f"{len(response.body)} bytes came, {response.length} were announced")
        del self.partial[frame_id]
        self.done.append(response)
