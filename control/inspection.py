"""What a file holds, told to a person: a node's report or an order, header, claims, and what is proven. Pure."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from agent.messages.codec import WordError, convert, decode, parse_json
from agent.messages.commands import Claims, SetTrust
from agent.messages.reports import ReportClaims
from agent.messages.trust import TrustedKey
from control.envelope import ALGORITHMS, COMMAND_TYP, REPORT_TYP, Envelope, EnvelopeError, Signature, opened
from control.keys import verifies
from control.orders import COMMANDS, command
from control.plain import REPLACEMENT
from control.problems import EXIT_BAD_INPUT, EXIT_DONE, EXIT_FAILED, InputError
from control.trust_yaml import key_lines

MAX_LINE = 400


@dataclass(frozen=True, slots=True)
class Inspection:
    """The text to show, and the exit code that a script sees."""

    text: str
    exit_code: int


def inspected(data: bytes, publics: Mapping[str, str]) -> Inspection:
    """What `data` is and says. `publics`: kid to public key, the empty kid for any.

    Exit codes: 0 good, or an order shown without being asked to verify; 1 not verified; 2 no envelope.
    """
    try:
        envelope = opened(data)
    except EnvelopeError as error:
        return Inspection(f"neither a report nor an order: {error}", EXIT_BAD_INPUT)
    typs = {signature.header.get("typ") for signature in envelope.signatures}
    if typs == {REPORT_TYP} and len(envelope.signatures) == 1:
        return _report(envelope, publics)
    if typs == {COMMAND_TYP}:
        return _command(envelope, publics)
    return Inspection(
        f"a JWS, but neither {REPORT_TYP} nor {COMMAND_TYP}: typ {_shown(sorted(map(str, typs)))}", EXIT_BAD_INPUT
    )


def trust_lines(entry: TrustedKey) -> str:
    """What brings the key into the document, and the entry itself."""
    may = f" --may {','.join(entry.may)}" if entry.may else ""
    authority = shlex.quote(entry.authority)
    return "\n".join(
        (
            "# next / tiếp theo:",
            f"# loactl trust add {entry.kid} --public={entry.public} --authority {authority}{may}",
            "# Or by hand, on each pole: paste this under `keys:` in trust.yaml, and raise its version.",
            "# Hoặc sửa tay trên từng cụm loa: dán vào dưới `keys:` trong trust.yaml, rồi tăng số version.",
            key_lines(entry, remark="" if entry.may else "  # nothing yet / chưa có quyền nào"),
        )
    )


def _report(envelope: Envelope, publics: Mapping[str, str]) -> Inspection:
    signature = envelope.signatures[0]
    lines = ["REPORT of a node", f"header: {_shown(signature.header)}", f"claims: {_body(envelope.payload)}"]
    try:
        decode(envelope.payload, ReportClaims)
    except WordError as error:
        lines.append(f"words: not those of this version: {_plain(error.detail)}")
    verdict, good = _verdict(signature, publics)
    return Inspection("\n".join((*lines, verdict)), EXIT_DONE if good else EXIT_FAILED)


def _command(envelope: Envelope, publics: Mapping[str, str]) -> Inspection:
    form = "General JSON" if len(envelope.signatures) > 1 else "compact"
    lines = [f"ORDER for nodes, {form}, {len(envelope.signatures)} signature(s)"]
    lines += [f"header: {_shown(signature.header)}" for signature in envelope.signatures]
    lines += [f"claims: {_body(envelope.payload)}", f"words: {_words(envelope.payload)}"]
    if not publics:
        lines.append("SHOWN ONLY: no --public was given, no signature was checked; `loa-agent verify` asks the node")
        return Inspection("\n".join(lines), EXIT_DONE)
    verdicts = [_verdict(signature, publics) for signature in envelope.signatures]
    lines += [verdict for verdict, _ in verdicts]
    return Inspection("\n".join(lines), EXIT_DONE if all(good for _, good in verdicts) else EXIT_FAILED)


def _verdict(signature: Signature, publics: Mapping[str, str]) -> tuple[str, bool]:
    kid = str(signature.header.get("kid", ""))
    name = f"signature{f' of {_plain(kid)}' if kid else ''}"
    if signature.header.get("alg") not in ALGORITHMS:
        return f"{name}: NOT VERIFIED, alg is neither Ed25519 nor EdDSA", False
    public = publics.get(kid) or publics.get("")
    if public is None:
        return f"{name}: NOT VERIFIED, give its key with --public", False
    good = verifies(public, signature.value, signature.signed)
    return f"{name}: {'VERIFIED' if good else 'BAD: not made with this key, or changed since'}", good


def _words(payload: bytes) -> str:
    try:
        members = dict(convert(parse_json(payload), Claims).command)
        type = str(members.pop("type", ""))
        if type == "set_trust":
            convert({"type": type, **members}, SetTrust)
            return "right"
        if type not in COMMANDS:
            return f"{_plain(type)!r} is no command of this version"
        command(type, **members)
    except (WordError, InputError) as error:
        return f"a node would refuse them: {_plain(str(error))}"
    return "right"


def _body(payload: bytes) -> str:
    try:
        return _shown(json.loads(payload))
    except ValueError:
        return f"not JSON: {_plain(payload[:MAX_LINE].decode(errors='replace'))}"


def _shown(value: object) -> str:
    return "\n".join(map(_plain, json.dumps(value, ensure_ascii=False, indent=2).split("\n")))


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else REPLACEMENT for c in text)
