"""Every reason a node gives, in one closed enumeration (protocol section 5).

A reason is part of the protocol: control servers count them and technicians look them up. Add here, never inline; the
page docs/protocol/reasons.md is made of it.
"""

from enum import StrEnum
from typing import Self


class Shown(StrEnum):
    """Where a reason is met."""

    COUNTED = "counted"
    """In the heartbeat's `refused` alone: no sender is proven."""
    REPORTED = "outcome"
    """In a signed `command_outcome`, and counted."""
    RECORDED = "record"
    """In the item's signed `play_record`."""
    BOTH = "outcome, record"


class Reason(StrEnum):
    """Why a command was refused, or why an item ended as it did. The value is what goes on the wire."""

    meaning: str
    shown: Shown

    def __new__(cls, value: str, shown: Shown = Shown.COUNTED, meaning: str = "") -> Self:
        """A reason's code, where it is met, and what it means in one line."""
        reason = str.__new__(cls, value)
        reason._value_ = value
        reason.shown = shown
        reason.meaning = meaning
        return reason

    # The envelope: counted, never reported, because its sender is not proven.
    RETAINED = "retained", Shown.COUNTED, "The broker kept the command and sent it later; commands are never retained."
    TOO_LARGE = (
        "too_large",
        Shown.REPORTED,
        "The envelope is larger than 256 KiB, or than 16 KiB for a command that is no document.",
    )
    BAD_ENVELOPE = "bad_envelope", Shown.COUNTED, "The bytes are no JWS, or spelt in a way that has two readings."
    BAD_HEADER = "bad_header", Shown.COUNTED, "The protected header is not exactly `alg`, `kid` and `typ`."
    WRONG_ALG = "wrong_alg", Shown.COUNTED, "`alg` is neither `Ed25519` nor `EdDSA`."
    WRONG_TYP = "wrong_typ", Shown.COUNTED, "`typ` says that this JWS was made for something else."
    UNKNOWN_KEY = "unknown_key", Shown.COUNTED, "No key that signed is in this node's trust document."
    BAD_SIGNATURE = (
        "bad_signature",
        Shown.COUNTED,
        "The signature of a known key does not fit: forged, or altered on the way.",
    )
    KEY_NOT_VALID = "key_not_valid", Shown.COUNTED, "No key that signed is in force, at the order's date and now."
    # The claims: the signature is good from here on.
    MALFORMED_JSON = "malformed_json", Shown.COUNTED, "The payload is not JSON in UTF-8."
    DUPLICATE_MEMBER = "duplicate_member", Shown.COUNTED, "A member stands twice in one object."
    UNKNOWN_MEMBER = "unknown_member", Shown.REPORTED, "A member that this protocol does not have."
    MISSING_MEMBER = "missing_member", Shown.REPORTED, "A member that must be there is not."
    BAD_VALUE = "bad_value", Shown.REPORTED, "A value of the wrong type, or outside its bounds."
    WRONG_ISSUER = (
        "wrong_issuer",
        Shown.REPORTED,
        "`iss` is not the authority of a key that signed; reported under the authority that is.",
    )
    WRONG_AUDIENCE = "wrong_audience", Shown.COUNTED, "The order is for other nodes."
    # The command: reported, because sender and addressee are known.
    UNKNOWN_COMMAND = "unknown_command", Shown.REPORTED, "No command has this name."
    NOT_SUPPORTED = "not_supported", Shown.BOTH, "A word of the protocol that this version does not obey yet."
    NOT_PERMITTED = "not_permitted", Shown.REPORTED, "No key that signed may order this."
    NOT_ENOUGH_SIGNATURES = "not_enough_signatures", Shown.REPORTED, "The trust document asks more signatures for this."
    LIFETIME_TOO_LONG = "lifetime_too_long", Shown.REPORTED, "`exp` is later after `iat` than this command allows."
    EXPIRED = "expired", Shown.REPORTED, "`exp` has passed."
    NOT_YET_VALID = "not_yet_valid", Shown.REPORTED, "`iat` is more than 300 s ahead of the node's time."
    CLOCK_UNTRUSTED = (
        "clock_untrusted",
        Shown.REPORTED,
        "The node does not know the time yet, and more commands wait for it than fit.",
    )
    REPLAYED = "replayed", Shown.COUNTED, "A command with this `jti` was accepted before; it has its outcome already."
    REPLAY_TABLE_FULL = (
        "replay_table_full",
        Shown.REPORTED,
        "More live commands are remembered than fit; none of them is forgotten for a new one.",
    )
    BEFORE_MEMORY = (
        "before_memory",
        Shown.REPORTED,
        "It was issued before the node's store began: nobody can tell whether it was obeyed already.",
    )
    BAD_NONCE = "bad_nonce", Shown.REPORTED, "The `nonce` is not one that this node has just published."
    BAD_TRUST = (
        "bad_trust",
        Shown.REPORTED,
        "The trust document is unfit, or may not follow the one in force.",
    )
    STALE_VERSION = (
        "stale_version",
        Shown.REPORTED,
        "The document's version does not follow the one in force, which the detail names with its SHA-256.",
    )
    SUPERSEDED = "superseded", Shown.BOTH, "A setting or schedule issued later is in force."
    DUPLICATE_ITEM = "duplicate_item", Shown.BOTH, "An item of this name waits or plays."
    QUEUE_FULL = (
        "queue_full",
        Shown.BOTH,
        "As many wait, or are remembered, as may; or an emergency took its place in a full queue.",
    )
    UNKNOWN_ITEM = "unknown_item", Shown.REPORTED, "No item of this name is here."
    UNKNOWN_ZONE = "unknown_zone", Shown.BOTH, "The node has no zone of this name."
    # The rules of node.yaml and of the authorities' policies: the detail has the figures. Never an emergency.
    POLICY_QUIET_HOURS = "policy_quiet_hours", Shown.BOTH, "A policy's quiet hours hold."
    POLICY_DAYS = "policy_days", Shown.BOTH, "A policy lets nothing sound on this day of the week."
    POLICY_MINUTES = "policy_minutes", Shown.BOTH, "As many minutes have sounded today as a policy allows."
    POLICY_SESSIONS = "policy_sessions", Shown.BOTH, "As many sessions have begun today as a policy allows."
    POLICY_SESSION_MINUTES = "policy_session_minutes", Shown.BOTH, "The session is as long as a policy allows."
    # The item: why it ended, or did not begin.
    STOPPED = "stopped", Shown.BOTH, "A `stop` ended it, or came before it."
    REVOKED = "revoked", Shown.BOTH, "The trust document in force no longer bears the order's signatures."
    PRE_EMPTED = "pre_empted", Shown.RECORDED, "An emergency took the air, and the order said `resume: false`."
    REPLACED = "replaced", Shown.RECORDED, "An item that replaces it took its place."
    TOO_LATE = "too_late", Shown.RECORDED, "When it could begin, nothing of it was left at the right offset."
    MAX_DURATION = "max_duration", Shown.RECORDED, "It sounded for its `max_duration_s`."
    NOT_AFTER = "not_after", Shown.RECORDED, "Its `not_after` came."
    RESTART = "restart", Shown.RECORDED, "The node went down while it sounded, and it could not go on."
    CRASH = "crash", Shown.RECORDED, "The agent crashed twice when it was to sound: it is not tried again."
    MUTED = "muted", Shown.RECORDED, "It played while the node was muted."
    SILENT = "silent", Shown.RECORDED, "All that it played was digital silence."
    NO_ANSWER = "no_answer", Shown.RECORDED, "The source's server did not answer in time."
    HTTP_ERROR = "http_error", Shown.RECORDED, "The source's server answered with an error."
    TLS_ERROR = "tls_error", Shown.RECORDED, "The source's server did not prove its name."
    NOT_ALLOWED = "not_allowed", Shown.RECORDED, "The source, or where it redirects to, is not on the allow-list."
    HASH_MISMATCH = "hash_mismatch", Shown.RECORDED, "The file is not the one that was ordered."
    SIZE_MISMATCH = "size_mismatch", Shown.RECORDED, "The file has another size than the order says."
    CACHE_FULL = "cache_full", Shown.RECORDED, "The file does not fit into the cache."
    STORAGE = "storage", Shown.BOTH, "The node's own disk failed."
    STALLED = "stalled", Shown.RECORDED, "The source was there, but no sound came, or no more."
    UNSUPPORTED_FORMAT = "unsupported_format", Shown.RECORDED, "The bytes are of a kind that the node does not decode."
    UNDECODABLE = "undecodable", Shown.RECORDED, "The bytes gave no sound."
    NO_VOICE = (
        "no_voice",
        Shown.RECORDED,
        "No voice here speaks this language, or bears the name ordered; the detail says which there are.",
    )
    SPEECH_FAILED = (
        "speech_failed",
        Shown.RECORDED,
        "The voice died, took too long, or gave no sound or too much of it.",
    )
    STREAM_ENDED = (
        "stream_ended",
        Shown.RECORDED,
        "The server of the relay closed the stream, and no other source was left.",
    )
    SOUND_CARD = "sound_card", Shown.RECORDED, "The sound card was not there, or failed."
    AMPLIFIER_FAULT = "amplifier_fault", Shown.RECORDED, "The amplifier's relay could not be switched."
    AMPLIFIER_MAX_ON = "amplifier_max_on", Shown.RECORDED, "The amplifier reached its longest time on."
