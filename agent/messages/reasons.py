"""Every reason a node gives, in one closed enumeration (protocol section 5).

A reason is part of the protocol: control servers count them and technicians look them up. Add here, never inline.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why a command was refused, or why an item ended as it did. The value is what goes on the wire."""

    # The envelope: counted, never reported, because its sender is not proven.
    RETAINED = "retained"
    TOO_LARGE = "too_large"
    BAD_ENVELOPE = "bad_envelope"
    BAD_HEADER = "bad_header"
    WRONG_ALG = "wrong_alg"
    WRONG_TYP = "wrong_typ"
    UNKNOWN_KEY = "unknown_key"
    BAD_SIGNATURE = "bad_signature"
    KEY_NOT_VALID = "key_not_valid"
    # The claims: the signature is good from here on.
    MALFORMED_JSON = "malformed_json"
    DUPLICATE_MEMBER = "duplicate_member"
    UNKNOWN_MEMBER = "unknown_member"
    MISSING_MEMBER = "missing_member"
    BAD_VALUE = "bad_value"
    WRONG_ISSUER = "wrong_issuer"
    WRONG_AUDIENCE = "wrong_audience"
    # The command: reported, because sender and addressee are known.
    UNKNOWN_COMMAND = "unknown_command"
    NOT_SUPPORTED = "not_supported"
    NOT_PERMITTED = "not_permitted"
    NOT_ENOUGH_SIGNATURES = "not_enough_signatures"
    LIFETIME_TOO_LONG = "lifetime_too_long"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    CLOCK_UNTRUSTED = "clock_untrusted"
    REPLAYED = "replayed"
    REPLAY_TABLE_FULL = "replay_table_full"
    BAD_NONCE = "bad_nonce"
    SUPERSEDED = "superseded"
    DUPLICATE_ITEM = "duplicate_item"
    QUEUE_FULL = "queue_full"
    UNKNOWN_ITEM = "unknown_item"
    UNKNOWN_ZONE = "unknown_zone"
    # The item: why it ended, or did not begin.
    STOPPED = "stopped"
    MAX_DURATION = "max_duration"
    NOT_AFTER = "not_after"
    RESTART = "restart"
    MUTED = "muted"
    SILENT = "silent"
    NO_ANSWER = "no_answer"
    HTTP_ERROR = "http_error"
    TLS_ERROR = "tls_error"
    NOT_ALLOWED = "not_allowed"
    HASH_MISMATCH = "hash_mismatch"
    SIZE_MISMATCH = "size_mismatch"
    CACHE_FULL = "cache_full"
    STORAGE = "storage"
    STALLED = "stalled"
    UNSUPPORTED_FORMAT = "unsupported_format"
    UNDECODABLE = "undecodable"
    STREAM_ENDED = "stream_ended"
    SOUND_CARD = "sound_card"
    AMPLIFIER_FAULT = "amplifier_fault"
    AMPLIFIER_MAX_ON = "amplifier_max_on"
