"""The folder of a site's trust documents: every version as it was signed, so that a pole that was away takes all.

    0001.yaml               the first version, which reaches nodes by hand
    0002.jws                each later one, as signed
    0003.draft.yaml         the next one, while it is being changed
    0003.hd-root.part.jws   one root's signature on it

Reads and writes files; everything read is verified, from the first version on, before anything of it is used.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.messages.trust import TrustDocument, names_used
from control import files, trust_signatures, trust_yaml
from control.envelope import MAX_ENVELOPE_BYTES, Envelope, Signature, joined
from control.problems import InputError, WorldError
from control.trust_changes import checked, following
from control.trust_signatures import Change, lacking, together
from control.yaml_nodes import text_of

_FIRST = re.compile(r"([0-9]{4,10})\.yaml")
_SIGNED = re.compile(r"([0-9]{4,10})\.jws")


@dataclass(frozen=True, slots=True)
class History:
    """All versions from the first one in the folder on, each verified against the one before; `changes` as signed."""

    documents: tuple[TrustDocument, ...]
    changes: tuple[Change, ...]

    @property
    def last(self) -> TrustDocument:
        """The version in force, as far as this folder knows."""
        return self.documents[-1]

    @property
    def used(self) -> dict[str, str]:
        """Every kid there ever was, and its public key."""
        return names_used(self.documents)

    def check(self, document: TrustDocument) -> TrustDocument:
        """The document, if it may come next.

        Raises:
            InputError: bad_trust, and why.
        """
        return following(document, self.last, self.used)

    def with_change(self, change: Change) -> "History":
        """One version longer.

        Raises:
            InputError: it may not come next, or signatures are bad or missing.
        """
        self.check(change.document)
        if missing := lacking(change, self.last):
            raise InputError(f"version {change.document.version} still needs {'; '.join(missing)}")
        return History((*self.documents, change.document), (*self.changes, change))


@dataclass(frozen=True, slots=True)
class Folder:
    """The files of one site."""

    path: Path

    def signed(self, version: int) -> Path:
        """Where a version lies once it is signed."""
        return self.path / f"{version:04}.jws"

    def draft(self, version: int) -> Path:
        """Where a version lies while it is changed."""
        return self.path / f"{version:04}.draft.yaml"

    def parts(self, version: int) -> list[Path]:
        """The signatures of single roots on a version."""
        return sorted(self.path.glob(f"{version:04}.*.part.jws"))

    def begin(self, document: TrustDocument) -> Path:
        """Write the first version.

        Raises:
            InputError: the folder has one.
            WorldError: the disk refuses.
        """
        self.require_empty()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WorldError(f"cannot make {self.path}: {error.strerror}") from None
        path = self.path / f"{document.version:04}.yaml"
        files.write_new(path, trust_yaml.written(document, draft=False).encode())
        return path

    def require_empty(self) -> None:
        """Nothing.

        Raises:
            InputError: the folder has trust documents.
        """
        if found := [*self._numbered(_FIRST).values(), *self._numbered(_SIGNED).values()]:
            raise InputError(f"{found[0]} is there: change it with `loactl trust add`, or name another --folder")

    def history(self) -> History:
        """All versions, verified in turn.

        Raises:
            InputError: none, one missing in between, or one that must not be believed.
        """
        firsts, later = self._numbered(_FIRST), self._numbered(_SIGNED)
        if len(firsts) != 1:
            what = "has no first version" if not firsts else "has more than one .yaml version"
            raise InputError(
                f"{self.path} {what}: begin with `loactl trust new`, or copy trust.yaml there as 0001.yaml"
            )
        ((first, place),) = firsts.items()
        document = checked(read_document(place))
        if document.version != first:
            raise InputError(f"{place} says version {document.version}: name it {document.version:04}.yaml")
        history = History((document,), ())
        for version in sorted(later):
            if version != history.last.version + 1:
                raise InputError(f"{self.path}: {history.last.version + 1:04}.jws is missing, or {version:04} too many")
            history = history.with_change(read_change(later[version]))
        return history

    def next_document(self, history: History) -> TrustDocument | None:
        """The draft of the next version, if there is one.

        Raises:
            InputError: it may not come next.
        """
        path = self.draft(history.last.version + 1)
        return history.check(read_document(path)) if path.exists() else None

    def write_draft(self, document: TrustDocument) -> Path:
        """Write the draft in place of an earlier one.

        Raises:
            InputError: the version is being signed already.
            WorldError: the disk refuses.
        """
        if parts := self.parts(document.version):
            raise InputError(
                f"{parts[0]} has signed version {document.version}: move it away to change the draft again"
            )
        path = self.draft(document.version)
        files.write_over(path, trust_yaml.written(document, draft=True).encode())
        return path

    def gather(self, changes: Sequence[Change], history: History) -> tuple[Change, tuple[str, ...]]:
        """Keep each signature as a part, and all together as the signed version once nothing is missing.

        Returns what is joined, and what it lacks.

        Raises:
            InputError: they are not over one payload, a signature is bad, or the document may not come next.
        """
        whole = together(changes)
        history.check(whole.document)
        missing = lacking(whole, history.last)
        for part in whole.envelope.signatures:
            self._keep(part, whole)
        if not missing:
            files.write_new(self.signed(whole.document.version), whole.data)
        return whole, missing

    def _keep(self, signature: Signature, whole: Change) -> None:
        path = self.path / f"{whole.document.version:04}.{signature.header['kid']}.part.jws"
        if not path.exists():
            files.write_new(path, joined([Envelope(whole.envelope.payload, (signature,))]))

    def _numbered(self, pattern: re.Pattern[str]) -> dict[int, Path]:
        try:
            names = sorted(self.path.iterdir())
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise InputError(f"cannot read the folder {self.path}: {error.strerror}") from None
        return {int(found[1]): path for path in names if (found := pattern.fullmatch(path.name))}


def read_document(path: Path) -> TrustDocument:
    """A document in YAML.

    Raises:
        InputError: with the place of the mistake.
    """
    try:
        return trust_yaml.parsed(text_of(path), path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None


def read_change(path: Path) -> Change:
    """A document with one signature or more, not yet verified.

    Raises:
        InputError: it is none.
    """
    return trust_signatures.read(files.read(path, MAX_ENVELOPE_BYTES), str(path))
