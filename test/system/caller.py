"""Calls a sidecar the way a Python program does, with nothing but the standard library. Prints one JSON line a call."""
import hashlib
import http.client
import io
import json
import sys
import urllib.parse
import urllib.request

base, counted, transfer = sys.argv[1:4]


def report(call, status, body, **more):
    text = body.decode("utf-8", "replace") if len(body) < 10_000 else ""
    digest = hashlib.sha256(body).hexdigest()
    print(json.dumps({"call": call, "status": status, "text": text, "bytes": len(body), "sha256": digest, **more}))


def fetch(call, path, **options):
    request = urllib.request.Request(base + path, **options)
    with urllib.request.urlopen(request, timeout=15) as answer:
        report(call, answer.status, answer.read(), length=answer.headers.get("Content-Length"))


fetch("get", "/banking/accounts")
fetch("post", "/banking/payments/credit-transfer", data=transfer.encode(), headers={"Content-Type": "application/json"})
# A file object without a length is sent in chunks.
upload = (bytes([number % 251]) * 65536 for number in range(80))
fetch("upload", "/echo/up", data=upload, method="PUT", headers={"Content-Type": "application/octet-stream"})
fetch("download", "/echo/bytes/20971520")
fetch("head", "/echo/bytes/1000", method="HEAD")

connection = http.client.HTTPConnection(urllib.parse.urlsplit(counted).netloc, timeout=15)
for _ in range(2):
    connection.request("GET", "/banking/accounts")
    answer = connection.getresponse()
    report("kept", answer.status, answer.read())

connection = http.client.HTTPConnection(urllib.parse.urlsplit(base).netloc, timeout=15)
connection._http_vsn, connection._http_vsn_str = 10, "HTTP/1.0"
connection.request("GET", "/echo/bytes/100000?chunked=1")
answer = connection.getresponse()
coding = answer.getheader("Transfer-Encoding")
report("http10", answer.status, answer.read(), coding=coding)
