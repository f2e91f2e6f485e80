"""A signature over a folder's list of digests, so that whoever holds the public key knows who exported it."""

from __future__ import annotations

from pathlib import Path

from seglab.errors import ConfigError, DataError
from seglab.export.folder import SIGNATURE, SUMS
from seglab.inference.backends import check_installed


def sign(folder: Path, private_key: Path) -> None:
    """Write `SHA256SUMS.sig`, 64 bytes of Ed25519; raises `ConfigError` for a key that is none."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(private_key.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise _no_key("key", private_key, error) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _no_key("key", private_key, ValueError("another kind of key"))
    (folder / SIGNATURE).write_bytes(key.sign((folder / SUMS).read_bytes()))


def check_signature(folder: Path, public_key: Path) -> None:
    """See that a folder's list of digests was signed by the owner of a key.

    Raises:
        ConfigError: no such key.
        DataError: no signature, or another's.
    """
    check_installed("cryptography", "cryptography", "public_key")
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(public_key.read_bytes())
    except (OSError, ValueError) as error:
        raise _no_key("public_key", public_key, error) from error
    if not isinstance(key, Ed25519PublicKey):
        raise _no_key("public_key", public_key, ValueError("another kind of key"))
    file = folder / SIGNATURE
    if not file.is_file():
        raise DataError(
            "an exported folder that nobody signed",
            where=str(file),
            found="no such file",
            remedy="ask whoever exported it to sign it: seglab export key=<private key>",
        )
    try:
        key.verify(file.read_bytes(), (folder / SUMS).read_bytes())
    except InvalidSignature as error:
        raise DataError(
            "a signature that is not of this key, or a list of digests that was altered",
            where=str(file),
            expected=f"the signature of {public_key}'s owner",
            remedy="do not use it; ask whoever exported it",
        ) from error


def _no_key(where: str, file: Path, error: Exception) -> ConfigError:
    return ConfigError(
        "no Ed25519 key",
        where=f"{where}={file}",
        found=str(error).splitlines()[0] if str(error) else type(error).__name__,
        expected="a key in PEM, without a password",
        remedy="make one: openssl genpkey -algorithm ed25519 -out key.pem; openssl pkey -in key.pem -pubout",
    )
