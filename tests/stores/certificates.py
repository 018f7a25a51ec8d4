"""
Certificates for tests, good ones and bad ones.
"""

from __future__ import annotations

import datetime
import ipaddress
import os

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Authority:
    """
    Issues certificates.

    @ivar file: Its own, in PEM form.
    """

    def __init__(self, folder: str, name: str = "authority") -> None:
        """
        @param folder: Where files are written.
        """
        self.folder = folder
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.file = self.issue(name, own=True)[0]

    def issue(
        self, name: str, host: str = "localhost", days: int = 30, own: bool = False
    ) -> tuple[str, str]:
        """
        Issue a certificate.

        @param name: What its files are called.
        @param days: When it expires, in days from now.
        @param own: Whether it is signed by itself.
        @return: The files of the certificate and its key.
        """
        key = self.key if own else ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.datetime.now(datetime.timezone.utc)
        try:
            there = x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            there = x509.DNSName(host)
        until = now + datetime.timedelta(days=days)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if own else self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(now, until) - datetime.timedelta(days=1))
            .not_valid_after(until)
            .add_extension(x509.SubjectAlternativeName([there]), critical=False)
            .add_extension(x509.BasicConstraints(ca=own, path_length=None), True)
            .sign(self.key, hashes.SHA256())
        )
        paths = [os.path.join(self.folder, f"{name}.{end}") for end in ("crt", "key")]
        secret = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        for path, pem in zip(
            paths,
            (certificate.public_bytes(serialization.Encoding.PEM), secret),
            strict=True,
        ):
            with open(path, "wb") as file:
                file.write(pem)
        return paths[0], paths[1]


__all__ = ["Authority"]
