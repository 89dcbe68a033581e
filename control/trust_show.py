"""A trust document told to a person, in Vietnamese and English; and what one version changes against another. Pure."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from agent.messages.trust import TrustDocument, TrustedKey, fingerprint
from control.plain import plain

WARNING = timedelta(days=60)
"""A key that ends sooner is told: as long ahead as nodes warn in their `state` (protocol section 6)."""


def shown(document: TrustDocument, now: datetime) -> str:
    """The whole document, and what a person should look at."""
    return "\n".join((*_lines(document), *warnings(document, now)))


def warnings(document: TrustDocument, now: datetime) -> tuple[str, ...]:
    """Keys that have ended, or end within 60 days, a line each; a retired key's end matters to nobody."""
    return tuple(
        f"! {key.kid}: {_ends(key, now)}"
        for key in document.keys
        if (key.may or key.kid in document.roots.kids) and key.valid_until - now < WARNING
    )


def differences(before: TrustDocument, after: TrustDocument) -> tuple[str, ...]:
    """What an officer signs by signing `after`, a line each."""
    return tuple(_differences(before, after))


def _lines(document: TrustDocument) -> Iterator[str]:
    roots = document.roots
    yield f"trust of / tài liệu tin cậy của: {document.site}"
    yield f"version / bản: {document.version}"
    yield f"SHA-256: {fingerprint(document)}"
    yield f"roots / khóa gốc: {', '.join(roots.kids)}"
    yield f"signatures for a change / số chữ ký để thay đổi: {roots.threshold}"
    asked = ", ".join(f"{name} {count}" for name, count in document.approvals.items())
    yield f"several signatures / cần nhiều chữ ký: {asked or 'none / không'}"
    for key in document.keys:
        yield ""
        yield f"{key.kid}  ({plain(key.authority)})"
        yield f"  public / công khai: {key.public}"
        yield f"  may / được phép: {_rights(key, document)}"
        if key.may:
            yield f"  volume at most / âm lượng tối đa: {key.max_volume_percent} %"
        yield f"  valid / hiệu lực: {_day(key.valid_from)} - {_day(key.valid_until)}"


def _rights(key: TrustedKey, document: TrustDocument) -> str:
    if key.may:
        return ", ".join(key.may)
    if key.kid in document.roots.kids:
        return "change this document / thay đổi tài liệu này"
    return "RETIRED: nothing new, what it ordered stays / THÔI DÙNG: không ra lệnh mới, lệnh cũ vẫn còn"


def _ends(key: TrustedKey, now: datetime) -> str:
    days = (key.valid_until - now).days
    if days < 0:
        return f"ended / đã hết hạn {_day(key.valid_until)}"
    return f"ends in {days} days / còn {days} ngày ({_day(key.valid_until)}): make a new key / hãy tạo khóa mới"


def _day(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%MZ}"


def _differences(before: TrustDocument, after: TrustDocument) -> Iterator[str]:
    old = {key.kid: key for key in before.keys}
    new = {key.kid: key for key in after.keys}
    for kid in (kid for kid in new if kid not in old):
        key = new[kid]
        yield f"+ new key / khóa mới {kid} ({plain(key.authority)}): {_rights(key, after)}"
    for kid in (kid for kid in old if kid not in new):
        yield f"- REVOKED, its orders end / THU HỒI, lệnh của nó bị hủy: {kid} ({plain(old[kid].authority)})"
    for kid in (kid for kid in old if kid in new):
        if old[kid].may and not new[kid].may:
            yield f"~ retired, its orders stay / thôi dùng, lệnh cũ vẫn còn: {kid}"
        elif old[kid] != new[kid]:
            yield f"~ changed / thay đổi: {kid}: {_told(old[kid])} -> {_told(new[kid])}"
    if before.roots != after.roots:
        yield f"~ roots / khóa gốc: {_voters(before)} -> {_voters(after)}"
    if before.approvals != after.approvals:
        yield f"~ several signatures / cần nhiều chữ ký: {dict(before.approvals)} -> {dict(after.approvals)}"


def _told(key: TrustedKey) -> str:
    window = f"{_day(key.valid_from)} - {_day(key.valid_until)}"
    return f"{plain(key.authority)}, {', '.join(key.may) or '-'}, {key.max_volume_percent} %, {window}"


def _voters(document: TrustDocument) -> str:
    return f"{document.roots.threshold} of / trong số {', '.join(document.roots.kids)}"
