"""A server whose certificate is not in order: what is wrong is said once, with what to do, and nothing is sent."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from test_client import OK, Clock, Server, ask, client, refused

from assets.http.secret import Secret
from pipelines.alerts import send_alert
from pipelines.cli import main
from pipelines.settings import Alerts
from tollbook_errors import SecurityError

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


class Authority:
    """An authority in ``folder``, which signs what it is asked to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "An authority")])
        own = self._builder(self.name, self.key, NOW - 9 * DAY, NOW + 9 * DAY)
        own = own.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        own = own.add_extension(usage, critical=True)
        identifier = x509.SubjectKeyIdentifier.from_public_key(self.key.public_key())
        certificate = own.add_extension(identifier, critical=False).sign(self.key, hashes.SHA256())
        self.bundle = folder / "authority.pem"
        self.bundle.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def server(
        self,
        name: str = "127.0.0.1",
        first: datetime = NOW - DAY,
        last: datetime = NOW + DAY,
        *,
        signs_itself: bool = False,
    ) -> Server:
        """A server with such a certificate, listening on 127.0.0.1."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "A server")])
        made = self._builder(subject, key, first, last, issuer=subject if signs_itself else self.name)
        alternative = x509.IPAddress(ip_address(name)) if name[0].isdigit() else x509.DNSName(name)
        made = made.add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        issuer = key if signs_itself else self.key
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())
        certificate = made.add_extension(identifier, critical=False).sign(issuer, hashes.SHA256())
        path = self.folder / "server.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        server = Server(context)
        server.steps = [OK]
        return server

    def _builder(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        first: datetime,
        last: datetime,
        issuer: x509.Name | None = None,
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer or self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(first)
            .not_valid_after(last)
        )


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def test_a_certificate_in_order_is_taken(authority: Authority) -> None:
    server = authority.server()
    assert ask(client(server, ca_bundle=authority.bundle)).data == {"ok": True}
    assert "authorization" in server.seen[0].headers
    server.close()


WRONG: dict[str, tuple[dict[str, object], bool, str, str]] = {
    "expired": ({"first": NOW - 5 * DAY, "last": NOW - DAY}, True, "has expired", "renew"),
    "to come": ({"first": NOW + DAY, "last": NOW + 2 * DAY}, True, "is not valid yet", "clock"),
    "signed by itself": ({"signs_itself": True}, True, "was signed by the server itself", "ca_bundle"),
    "of an authority that is not known": ({}, False, "was signed by an authority that is not known here", "ca_bundle"),
    "of another name": ({"name": "pbx.example.com"}, True, "is for another host", "url"),
    "of another address": ({"name": "127.0.0.2"}, True, "is for another host", "url"),
}


@pytest.mark.parametrize(("how", "trusted", "what", "todo"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_with_a_certificate_is_said_once_and_nothing_is_sent(
    authority: Authority, how: dict[str, object], trusted: bool, what: str, todo: str
) -> None:
    """Trying again would not help, and what is sent to whoever answers there could be read by him."""
    server, clock = authority.server(**how), Clock()  # type: ignore[arg-type]
    mine = client(server, clock, ca_bundle=authority.bundle if trusted else None)
    error = refused(SecurityError, mine)
    assert f"the server's certificate {what}; nothing was sent" in str(error)
    assert todo in error.hint
    assert (server.seen, server.connections, mine.retries, clock.time) == ([], 0, 0, 0)
    server.close()


def test_a_check_says_it_in_its_line(authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "planted-key")
    server = authority.server(last=NOW - timedelta(hours=1))
    (tmp_path / "tollbook.toml").write_text(
        f'[[connections]]\nname = "hq"\nvendor = "pbxware"\nurl = "{server.url}"\napi_key = "env:KEY"\n'
        f'ca_bundle = "{authority.bundle}"\n'
    )
    told = CliRunner().invoke(main, ["--config", str(tmp_path / "tollbook.toml"), "check"])
    server.close()
    assert told.exit_code == 1
    (line,) = (line for line in told.output.splitlines() if line.startswith("hq"))
    assert "SecurityError: hq" in line
    assert "certificate has expired" in line
    assert server.seen == []


def test_an_alert_goes_to_nobody_who_cannot_be_verified(authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    server = authority.server()
    assert not send_alert(Alerts(webhook=Secret(f"{server.url}T0ken", "alerts.webhook")), "the load failed")
    server.close()
    assert server.seen == []
    assert "certificate was signed by an authority that is not known here" in caplog.text
    assert "T0ken" not in caplog.text
