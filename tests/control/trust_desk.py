"""An officer's desk: keys in files, a folder of trust versions, and `loactl trust` as it is typed."""

import json
from collections.abc import Sequence
from pathlib import Path

from joserfc import jws
from joserfc.jwk import OKPKey
from joserfc.jws import GeneralJSONSerialization
from typer.testing import CliRunner, Result

from agent.messages.trust import Roots, TrustDocument
from control import keys, trust_yaml
from control.__main__ import app
from control.keys import SigningKey
from tests.signing import OPERATOR, SITE, Key, document

ROOT_A, ROOT_B, ROOT_C = (Key(f"hd-root-{name}", "root") for name in "abc")


def site_of(*roots: Key, threshold: int = 1, others: Sequence[Key] = (OPERATOR,)) -> TrustDocument:
    return document(*others, *roots, roots=Roots(threshold=threshold, kids=tuple(key.kid for key in roots)))


class Desk:
    """One officer's machine."""

    def __init__(self, path: Path, first: TrustDocument | None = None) -> None:
        self.path = path
        self.folder = path / "trust"
        self.folder.mkdir(parents=True)
        if first is not None:
            (self.folder / f"{first.version:04}.yaml").write_text(trust_yaml.written(first, draft=False))

    def types(self, *arguments: str | Path) -> Result:
        command, *rest = map(str, arguments)
        environment = {"HOME": str(self.path), "COLUMNS": "200"}
        result = CliRunner().invoke(app, ["trust", command, "--folder", str(self.folder), *rest], env=environment)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    def does(self, *arguments: str | Path) -> str:
        result = self.types(*arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    def refuses(self, *arguments: str | Path) -> str:
        """The one sentence; nothing in the folder has changed."""
        before = self.files
        result = self.types(*arguments)
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1), result.output
        assert self.files == before
        return result.stderr

    def pem(self, key: Key) -> Path:
        path = self.path / f"{key.kid}.pem"
        if not path.exists():
            keys.store(SigningKey(key.kid, key.private), path)
        return path

    def signs(self, key: Key, *others: Path) -> Result:
        return self.types("sign", *others, "--signing-key", self.pem(key))

    @property
    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.folder.iterdir()}


def verified_by_joserfc(envelope: bytes, *signers: Key) -> dict[str, object]:
    """The claims, once an independent library has found the signature of each of these good, and no other there."""
    if not envelope.startswith(b"{"):
        (signer,) = signers
        payload = jws.deserialize_compact(envelope, _jwk(signer), algorithms=["Ed25519"]).payload
    else:
        value = json.loads(envelope)
        assert len(value["signatures"]) == len(signers)
        for signer, part in zip(sorted(signers, key=lambda key: key.kid), value["signatures"], strict=True):
            alone: GeneralJSONSerialization = {"payload": value["payload"], "signatures": [part]}
            payload = jws.deserialize_json(alone, _jwk(signer), algorithms=["Ed25519"]).payload
    claims: dict[str, object] = json.loads(payload)
    return claims


def _jwk(key: Key) -> OKPKey:
    return OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": key.public, "kid": key.kid})


__all__ = ["OPERATOR", "ROOT_A", "ROOT_B", "ROOT_C", "SITE", "Desk", "site_of", "verified_by_joserfc"]
