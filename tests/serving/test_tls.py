"""TLS: spoken, and with a certificate that may be renewed."""

import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

import skewless as sl
from skewless.testing.servers import program
from tests.serving.calling import serving, wait_for


def certify(certificate: Path, key: Path, name: str = "IP:127.0.0.1") -> None:
    openssl = program("openssl", install="on Debian: apt-get install openssl")
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-keyout", str(key), "-out", str(certificate), "-days", "2", "-subj", "/CN=localhost",
         "-addext", f"subjectAltName={name}"],
        check=True, capture_output=True,
    )  # fmt: skip


def renew(source: Path, target: Path) -> None:
    """Put a file in the place of another at once: half a file is refused for another reason."""
    whole = target.with_suffix(".new")
    shutil.copy(source, whole)
    whole.replace(target)


def test_a_certificate_is_renewed_without_a_restart(repo: Path, tmp_path: Path) -> None:
    """New connections get the new one, with a name (SNI) or without, once both files are there."""
    certificate, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    certify(certificate, key)
    options = ["--tls-cert", str(certificate), "--tls-key", str(key), "--workers", "2"]
    with serving(repo, tmp_path, *options) as server:

        def shown(name: str | None) -> bytes | None:
            trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
            with socket.create_connection(server.address, 10) as plain:
                with trust.wrap_socket(plain, server_hostname=name) as secret:
                    return secret.getpeercert(binary_form=True)

        def said(event: str) -> int:
            return sum(each["event"] == event for each in server.events())

        def all_show(file: Path) -> bool:
            wanted = ssl.PEM_cert_to_DER_cert(file.read_text())
            return all(shown(name) == wanted for name in ("localhost", None) for _ in range(8))

        # A worker that starts while the files do not fit would have none: both are waited for.
        wait_for(lambda: said("ready") == 4, "two workers, the writer and what reads much")
        wait_for(lambda: all_show(certificate), "the first certificate")
        trust = ssl.create_default_context(cafile=str(certificate))
        with socket.create_connection(server.address, 10) as plain:
            with trust.wrap_socket(plain, server_hostname="127.0.0.1") as before:
                certify(tmp_path / "new.pem", tmp_path / "new-key.pem")
                shutil.copy(certificate, tmp_path / "old.pem")
                renew(tmp_path / "new.pem", certificate)  # its key is not there yet
                wait_for(lambda: said("certificate refused") == 2, "both workers having looked")
                assert all_show(tmp_path / "old.pem")
                renew(tmp_path / "new-key.pem", key)
                wait_for(lambda: all_show(tmp_path / "new.pem"), "the new certificate")
                before.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
                assert before.recv(64).startswith(b"HTTP/1.1 200")
    assert said("certificate refused") == 2, "said once by each"


def test_tls_is_spoken(repo: Path, tmp_path: Path) -> None:
    certificate, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    certify(certificate, key)
    options = ["--tls-cert", str(certificate), "--tls-key", str(key)]
    with serving(repo, tmp_path, *options) as server:
        with sl.Client(server.url, ca_file=str(certificate), timeout=20) as client:
            wait_for(client.is_ready, "readiness")
            found = client.get_online_features(["Newest:amount"], [{"card_id": "c1"}])
            assert found.values == [[2.5]]
        with sl.Client(server.url, timeout=5) as distrustful, pytest.raises(sl.StoreUnavailable):
            distrustful.get_online_features(["Newest:amount"], [{"card_id": "c1"}])
