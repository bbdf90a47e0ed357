"""Signs pictures with content credentials, under certificates that are made on the spot."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import c2pa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SOURCES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
_PEM = serialization.Encoding.PEM


@dataclass(frozen=True)
class Signer:
    """A signer with a certificate below a root of its own, both in PEM."""

    chain: bytes
    key: bytes
    root: str

    def sign(
        self,
        picture: bytes,
        mime: str,
        *,
        actions: list[dict[str, Any]],
        parent: bytes | None = None,
        address: str | None = None,
        assertions: tuple[dict[str, Any], ...] = (),
        agents: tuple[dict[str, Any], ...] = (),
        ingredients: tuple[tuple[dict[str, Any], bytes], ...] = (),
        version: int = 2,
        program: str = "Test Camera",
    ) -> bytes:
        """`picture` with credentials inside, or only with the address of credentials.

        Args:
            picture, mime: what is signed.
            actions: of the assertion of actions; without any, there is none.
            parent: a picture that this one was made from.
            address: where the credentials are said to be; then there are none inside.
            assertions: more of them.
            agents: that actions name by their number.
            ingredients: what is said of other pictures, and their files.
            version: of the claim, 1 or 2.
            program: that wrote the claim.
        """
        settings = {
            "verify": {"verify_after_sign": False, "remote_manifest_fetch": False},
            "builder": {"thumbnail": {"enabled": False}} | ({"intent": "edit"} if parent else {}),
        }
        done: dict[str, Any] = {"label": "c2pa.actions.v2", "data": {"actions": actions}}
        if agents:
            done["data"]["softwareAgents"] = [*agents]
        manifest: dict[str, Any] = {
            "claim_generator_info": [{"name": program}],
            "assertions": [*([done] if actions else []), *assertions],
        }
        if version == 1:
            manifest |= {"claim_version": 1, "claim_generator": program}
        signed = BytesIO()
        info = c2pa.C2paSignerInfo(b"es256", self.chain, self.key, None)
        with (
            c2pa.Context.from_dict(settings) as context,
            c2pa.Builder(manifest, context=context) as builder,
            c2pa.Signer.from_info(info) as signer,
        ):
            if parent:
                relation = {"title": "parent", "relationship": "parentOf"}
                builder.add_ingredient(relation, mime, BytesIO(parent))
            for said, file in ingredients:
                builder.add_ingredient(said, mime, BytesIO(file))
            if address:
                builder.set_no_embed()
                builder.set_remote_url(address)
            builder.sign(signer, mime, BytesIO(picture), signed)
        return signed.getvalue()


def signer(organisation: str = "Test Org", days: tuple[float, float] = (-1, 30)) -> Signer:
    """A new signer whose certificates are in force between these days from now."""
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root_name, name = (_name(organisation, common) for common in ("Test Root", "Test Signer"))
    root = (
        _certificate(root_name, root_name, root_key, (-1000, 1000))
        .add_extension(x509.BasicConstraints(True, None), True)
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), True)
        .sign(root_key, hashes.SHA256())
    )
    leaf = (
        _certificate(name, root_name, key, days)
        .add_extension(x509.BasicConstraints(False, None), True)
        .add_extension(_usage(digital_signature=True), True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), False
        )
        .sign(root_key, hashes.SHA256())
    )
    return Signer(
        leaf.public_bytes(_PEM) + root.public_bytes(_PEM),
        key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        root.public_bytes(_PEM).decode(),
    )


def _name(organisation: str, common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    days: tuple[float, float],
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=days[0]))
        .not_valid_after(now + datetime.timedelta(days=days[1]))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    )


def _usage(**used: bool) -> x509.KeyUsage:
    names = "digital_signature content_commitment key_encipherment data_encipherment key_agreement "
    names += "key_cert_sign crl_sign encipher_only decipher_only"
    return x509.KeyUsage(**{name: used.get(name, False) for name in names.split()})
