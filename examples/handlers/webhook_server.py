#!/usr/bin/env python3
"""A server that does jobs, and checks who asks: standard library only.

    GOODJOB_SECRET=whsec_... python3 webhook_server.py [port]

The address it listens on is printed once it is ready; port 0 takes a free one.
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOLERANCE = 5 * 60  # seconds; an old request may be a replay


def keys() -> list[bytes]:
    """One secret, or several while one replaces another."""
    secrets = os.environ["GOODJOB_SECRET"].split()
    return [
        base64.b64decode(s.removeprefix("whsec_")) if s.startswith("whsec_") else s.encode()
        for s in secrets
    ]


def is_genuine(headers, body: bytes) -> bool:
    identity, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not timestamp.isdigit() or abs(time.time() - int(timestamp)) > TOLERANCE:
        return False
    # The bytes as they came: JSON that was read and written again is not the same text.
    signed = f"{identity}.{timestamp}.".encode() + body
    given = [s.removeprefix("v1,") for s in headers.get("webhook-signature", "").split()]
    wanted = [base64.b64encode(hmac.digest(k, signed, hashlib.sha256)).decode() for k in keys()]
    return any(hmac.compare_digest(w.encode(), g.encode()) for w in wanted for g in given)


def perform(job: dict) -> tuple[int, dict]:
    amount = job["kwargs"].get("amount")
    if not isinstance(amount, int):
        return 422, {"error": {"class": "BadAmount", "message": f"amount is {amount!r}"}}
    return 200, {"billed": amount}


class Server(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if is_genuine(self.headers, body):
            status, answer = perform(json.loads(body))
        else:
            status, answer = 401, {"error": {"class": "BadSignature", "message": "who are you?"}}
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_) -> None:
        pass


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8787
    with ThreadingHTTPServer(("127.0.0.1", port), Server) as server:
        print("http://127.0.0.1:%d/jobs" % server.server_address[1], flush=True)
        server.serve_forever()
