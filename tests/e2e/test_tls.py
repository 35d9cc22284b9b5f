"""TLS from the outside: curl and our own command line against a whole server, with certificates made by openssl."""

import json
import os
import pathlib
import socket
import ssl
import subprocess

import pytest

from conftest import API, BINARY, until


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class Authority:
    """A certificate authority in a folder."""

    def __init__(self, folder, name="test authority"):
        folder.mkdir(exist_ok=True)
        self.folder, self.certificate, self.key = folder, folder / "ca.pem", folder / "ca.key"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                "-addext", "basicConstraints=critical,CA:TRUE", "-keyout", self.key, "-out", self.certificate)

    def issue(self, name, subject="localhost", alternatives="DNS:localhost,IP:127.0.0.1"):
        """(certificate file, key file)"""
        certificate, key, request = (self.folder / f"{name}.{kind}" for kind in ("pem", "key", "csr"))
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={alternatives}\n")
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={subject}",
                "-keyout", key, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-days", "1", "-extfile", extensions,
                "-out", certificate)
        return certificate, key


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path / "authority")


@pytest.fixture
def pair(authority):
    return authority.issue("server")


def flags_of(pair):
    return ["--tls-cert", str(pair[0]), "--tls-key", str(pair[1])]


def curl(url, *arguments, ca=None):
    done = subprocess.run(["curl", "-sS", "--max-time", "20", "-w", "\n%{http_version} %{http_code}",
                           *(["--cacert", str(ca)] if ca else []), *map(str, arguments), url], capture_output=True, text=True)
    body, _, tail = done.stdout.rpartition("\n")
    version, code = tail.split()
    return done.returncode, version, int(code), body


def serial_served(url, ca):
    """The serial number of the certificate that a new connection is shown."""
    host, port = url.split("//")[1].split(":")
    context = ssl.create_default_context(cafile=ca)
    with socket.create_connection((host, int(port)), timeout=20) as raw, context.wrap_socket(raw, server_hostname=host) as secure:
        return int(secure.getpeercert()["serialNumber"], 16)


def serial_of(certificate):
    done = subprocess.run(["openssl", "x509", "-in", certificate, "-noout", "-serial"], capture_output=True, text=True, check=True)
    return int(done.stdout.strip().split("=")[1], 16)


def metric(server, ca, name):
    _, _, code, text = curl(server.urls["https"] + "/metrics", ca=ca)
    assert code == 200
    return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name + " ") or line.startswith(name + "{"))


def test_one_port_speaks_both_schemes_and_both_versions(make_server, authority, pair):
    server = make_server(*flags_of(pair)).start()
    assert server.urls["http"].rsplit(":", 1)[1] == server.urls["https"].rsplit(":", 1)[1]
    bearer = ["-H", "Authorization: Bearer admin-token"]
    for scheme, version, expected in (("https", "--http1.1", "1.1"), ("https", "--http2", "2"), ("http", "--http1.1", "1.1"),
                                      ("http", "--http2-prior-knowledge", "2")):
        answer = curl(f"{server.urls[scheme]}{API}/capacityclaims", version, *bearer, ca=authority.certificate)
        assert answer == (0, expected, 200, '{"capacityClaims":[]}'), (scheme, version, answer)
    # Endpoints are handed out with the scheme to prefer.
    gateway = server.create_gateway()
    server.wait_ready("gateways", gateway["spec"]["id"])
    (endpoint,) = server.get("gateways", gateway["spec"]["id"])["status"]["endpoints"]
    assert endpoint.startswith(server.urls["https"] + "/gateways/")
    # A client that does not trust the authority is the one to refuse.
    assert curl(server.urls["https"] + "/healthz")[0] == 60
    server.stop()


def test_a_model_streams_over_tls(make_server, authority, pair):
    server = make_server(*flags_of(pair)).start()
    gateway = server.create_gateway()
    deployment = server.create_deployment(gateway["spec"]["id"])
    server.wait_ready("deployments", deployment["spec"]["id"])
    body = json.dumps({"model": "meta/llama", "stream": True, "max_tokens": 50, "messages": [{"role": "user", "content": "Hi"}]})
    for version in ("--http1.1", "--http2"):
        code, _, status, text = curl(gateway["status"]["endpoints"][0] + "/v1/chat/completions", version, "-N", "-d", body,
                                     "-H", "Authorization: Bearer admin-token", "-H", "Content-Type: application/json",
                                     ca=authority.certificate)
        assert (code, status) == (0, 200) and text.rstrip().endswith("data: [DONE]")


def test_two_ports(make_server, authority, pair):
    server = make_server(*flags_of(pair), "--tls-listen", "127.0.0.1:0").start()
    assert server.urls["http"].rsplit(":", 1)[1] != server.urls["https"].rsplit(":", 1)[1]
    assert curl(server.urls["http"] + "/healthz")[2] == 200
    assert curl(server.urls["https"] + "/healthz", "--http2", ca=authority.certificate)[1:3] == ("2", 200)
    _, _, code, body = curl(server.urls["https"].replace("https", "http") + "/healthz")
    assert code == 400 and "https://" in body
    assert curl(server.urls["http"].replace("http", "https") + "/healthz", "-k")[0] == 35
    server.stop()


def test_no_cleartext(make_server, authority, pair):
    server = make_server(*flags_of(pair), "--no-cleartext").start()
    assert list(server.urls) == ["https"]
    assert curl(server.url + "/healthz", ca=authority.certificate)[2] == 200
    assert curl(server.url.replace("https", "http") + "/healthz")[2] == 400


def test_H21_a_new_pair_is_taken_up_and_a_bad_one_is_not(make_server, authority, pair):
    server = make_server(*flags_of(pair)).start()
    url, ca = server.urls["https"], str(authority.certificate)
    first = serial_of(pair[0])
    assert serial_served(url, ca) == first
    context = ssl.create_default_context(cafile=ca)
    old = context.wrap_socket(socket.create_connection(("127.0.0.1", server.port), timeout=20), server_hostname="localhost")
    old.sendall(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
    assert old.recv(12) == b"HTTP/1.1 200"

    # A certificate whose key does not come is refused, once; the old one stays in force.
    next_pair = authority.issue("next")
    os.replace(next_pair[0], pair[0])
    until(lambda: b"the changed TLS files are refused" in server.log, "the refusal")
    assert serial_served(url, ca) == first
    assert str(pair[1]) in server.log.decode() and server.log.count(b"are refused") == 1
    assert metric(server, ca, 'staithe_tls_reloads_total{outcome="failure"}') == 1

    # With its key it is taken up. So is one that comes by a link.
    os.replace(next_pair[1], pair[1])
    until(lambda: serial_served(url, ca) != first, "the new certificate")
    assert metric(server, ca, 'staithe_tls_reloads_total{outcome="success"}') == 1
    assert metric(server, ca, "staithe_tls_certificate_expiry_timestamp_seconds") > 1_700_000_000
    third = authority.issue("third")
    for file, link in zip(third, pair):
        pathlib.Path(link).unlink()
        os.symlink(file, link)
    until(lambda: serial_served(url, ca) == serial_of(third[0]), "the linked certificate")

    old.sendall(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
    assert b"HTTP/1.1 200" in old.recv(4096) + old.recv(4096), "an old connection goes on"
    old.close()
    server.stop()


def test_client_certificates(make_server, authority, pair, tmp_path):
    clients = Authority(tmp_path / "clients", "client authority")
    certificate, key = clients.issue("client", "ci")
    shown = ["--cert", certificate, "--key", key]
    server = make_server(*flags_of(pair), "--tls-client-ca", str(clients.certificate), "--tls-client-auth", "required").start()
    url = server.urls["https"] + "/healthz"
    assert curl(url, *shown, ca=authority.certificate)[2] == 200
    assert curl(url, ca=authority.certificate)[2] == 0
    server.stop()
    server = make_server(*flags_of(pair), "--tls-client-ca", str(clients.certificate), name="optional").start()
    url = server.urls["https"] + "/healthz"
    assert curl(url, *shown, ca=authority.certificate)[2] == 200
    assert curl(url, ca=authority.certificate)[2] == 200
    stranger = ["--cert", pair[0], "--key", pair[1]]
    assert curl(url, *stranger, ca=authority.certificate)[2] == 0


def test_bad_settings_end_the_start_with_one_line(authority, pair, tmp_path):
    certificate, key = map(str, pair)
    other_key = str(authority.issue("other")[1])
    locked = str(tmp_path / "locked.key")
    openssl("pkey", "-in", key, "-aes128", "-passout", "pass:secret", "-out", locked)
    for flags, needles in (
            (["--tls-cert", certificate], ["--tls-key"]),
            (["--tls-key", key], ["--tls-cert"]),
            (["--no-cleartext"], ["--no-cleartext", "--tls-cert"]),
            (["--tls-listen", "127.0.0.1:0"], ["--tls-listen", "--tls-cert"]),
            (["--tls-cert", certificate, "--tls-key", key, "--no-cleartext", "--tls-listen", "127.0.0.1:0"], ["--tls-listen"]),
            (["--tls-cert", certificate, "--tls-key", key, "--tls-client-auth", "required"], ["--tls-client-ca"]),
            (["--tls-cert", certificate, "--tls-key", key, "--tls-client-auth", "maybe"], ["none, optional or required"]),
            (["--tls-cert", str(tmp_path / "none.pem"), "--tls-key", key], [str(tmp_path / "none.pem"), "No such file"]),
            (["--tls-cert", certificate, "--tls-key", certificate], [certificate, "no private key"]),
            (["--tls-cert", key, "--tls-key", key], [key, "no certificate"]),
            (["--tls-cert", certificate, "--tls-key", other_key], [other_key, "does not belong", certificate]),
            (["--tls-cert", certificate, "--tls-key", locked], [locked, "passphrase"]),
            (["--tls-cert", certificate, "--tls-key", key, "--tls-client-ca", key], [key, "no certificate"])):
        done = subprocess.run([BINARY, "serve", "--emulate", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "data"), *flags],
                              capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL)
        assert done.returncode == 2, (flags, done.stderr)
        assert len(done.stderr.splitlines()) == 1 and all(needle in done.stderr for needle in needles), (flags, done.stderr)
        assert done.stdout == ""


def test_the_command_line_over_https(make_server, authority, pair):
    server = make_server(*flags_of(pair), "--no-cleartext").start()

    def staithe(*arguments, url=server.url.replace("127.0.0.1", "localhost"), ca=authority.certificate, code=0):
        environment = {**os.environ, "STAITHE_SERVER": url, "STAITHE_TOKEN": "admin-token"}
        if ca:
            environment["STAITHE_CA_FILE"] = str(ca)
        done = subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=60, env=environment)
        assert done.returncode == code, f"exit code {done.returncode}: {done.stdout}{done.stderr}"
        return done.stderr if code else done.stdout

    staithe("gateway", "create", "--name", "edge")
    assert "READY" in staithe("gateway", "wait", "edge", url=server.url)
    assert "edge" in staithe("gateway", "list", "--ca-file", str(authority.certificate), ca=None)
    assert "--ca-file" in staithe("gateway", "list", ca=None, code=1)
    assert "/nowhere" in staithe("gateway", "list", ca="/nowhere/ca.pem", code=2)
    assert "https://" in staithe("gateway", "list", url=server.url.replace("https", "http"), code=1)


def test_the_command_line_refuses_a_certificate_of_another_host(make_server, authority):
    server = make_server(*flags_of(authority.issue("elsewhere", "example.org", "DNS:example.org"))).start()
    done = subprocess.run([BINARY, "gateway", "list", "--ca-file", str(authority.certificate), "--token", "admin-token",
                           "--server", server.urls["https"].replace("127.0.0.1", "localhost")], capture_output=True, text=True)
    assert done.returncode == 1 and "hostname mismatch" in done.stderr.lower(), done.stderr
