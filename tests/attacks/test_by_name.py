"""The attacks of the threat model, by the names that TUF and Uptane gave them: one test each, against the whole pole.

Real signatures and the pure core. docs/security.md lists them with what stops each. Where the clock's own memory
is what stops an attack (`before_memory`, orders that wait for the time), see the tests of the clock in tests/core.
"""

from agent.core.amplifier import AmplifierSettings
from agent.core.answers import MAX_REPORTED_REFUSALS
from agent.messages import effects as do
from agent.messages import events as ev
from agent.messages.memory import Memory, StoredAccepted, StoredItem
from agent.messages.reasons import Reason
from agent.messages.reports import CommandOutcome, Status
from agent.messages.trust import fingerprint
from agent.security import NodeKey
from tests.core.pole import Behaviour, Pole, make_pole
from tests.signing import CHAIR, NOW, OPERATOR, STRANGER, claims, compact_json, general, order, play
from tests.test_set_trust import A, B, change, payload, trust

ONE = trust(1, OPERATOR, CHAIR)
SIREN = play(kind="emergency", item="lu-lut", sources=[{"builtin": {"name": "siren"}}])


def pole(behaviour: Behaviour | None = None, document: object = None) -> Pole:
    before = ONE if document is None else document
    amplifier = AmplifierSettings(warm_up_ms=0, linger_ms=0)
    return make_pole(behaviour, before, main=amplifier).start().connect()  # type: ignore[arg-type]


def outcomes(listening: Pole) -> list[tuple[str, Reason | None]]:
    return [(each.outcome, each.reason) for each in listening.reports if isinstance(each, CommandOutcome)]


def has_sounded(listening: Pole) -> bool:
    listening.run(10.0)
    return bool(listening.of(do.Sound) or [on for _, on in listening.relay() if on])


def status(listening: Pole) -> Status:
    return [report for report in listening.reports if isinstance(report, Status)][-1]


def test_replay_a_recorded_order_sounds_once_however_often_it_comes() -> None:
    listening = pole()
    for _ in range(5):
        listening.hear(order(play()))
        listening.run(30.0)
    assert len(listening.records) == len(listening.of(do.Sound)) == 1
    assert (outcomes(listening), listening.state.refusals.counts) == ([("accepted", None)], {"replayed": 4})
    listening.run(3_600.0)
    listening.hear(order(play()))
    assert not listening.of(do.Sound)[1:], "also after its exp, when its jti may be forgotten"
    assert listening.state.refusals.counts == {"replayed": 5}


def test_freeze_a_pole_whose_news_are_withheld_says_what_it_believes_every_six_hours() -> None:
    listening = pole()
    listening.run(12 * 3_600 + 60.0)
    told = [report for report in listening.reports if isinstance(report, Status)]
    assert len(told) >= 3, "at start, and twice since"
    assert {(each.trust_version, each.trust_sha256) for each in told} == {(1, fingerprint(ONE))}
    listening.hear(order(play(), exp=NOW + 3_600))
    assert not has_sounded(listening), "what was withheld beyond its exp is over"


def test_rollback_an_older_document_does_not_bring_back_a_revoked_key() -> None:
    listening = pole()
    listening.hear(change(trust(2, CHAIR), A, jti="trust-version-two"))
    listening.run(1.0)
    listening.hear(change(ONE, A, jti="trust-version-one"))
    listening.hear(change(trust(2, OPERATOR, CHAIR), A, jti="trust-another-two"))
    listening.run(1.0)
    assert [reason for _, reason in outcomes(listening)] == [None, Reason.STALE_VERSION, Reason.STALE_VERSION]
    listening.hear(order(play()))
    assert not has_sounded(listening)


def test_fast_forward_neither_a_version_nor_a_date_far_ahead_locks_the_pole() -> None:
    listening = pole()
    listening.hear(change(trust(999_999_999, CHAIR), A, jti="trust-far-ahead-0"))
    listening.hear(order(play(), iat=NOW + 90 * 86_400, exp=NOW + 90 * 86_400 + 60))
    listening.run(1.0)
    assert [reason for _, reason in outcomes(listening)] == [Reason.STALE_VERSION, Reason.NOT_YET_VALID]
    listening.hear(change(trust(2, OPERATOR), A, jti="trust-version-two"))
    listening.run(1.0)
    listening.hear(order(play(), jti="an-honest-order-after"))
    assert has_sounded(listening)


def test_mix_and_match_signatures_of_two_drafts_make_no_document_and_two_orders_no_third() -> None:
    before = trust(1, OPERATOR, CHAIR, roots=(A, B), threshold=2)
    drafts = [general(payload(trust(2, key, roots=(A, B), threshold=2)), [A, B]) for key in (CHAIR, STRANGER)]
    signatures = [each["signatures"] for each in drafts]
    mixed = {**drafts[1], "signatures": [signatures[0][0], signatures[1][1]]}  # type: ignore[index]
    listening = pole(None, before)
    listening.hear(compact_json(mixed))
    quiet, siren = order(play(), CHAIR).split(b"."), order(SIREN, CHAIR).split(b".")
    listening.hear(b".".join((quiet[0], siren[1], quiet[2])))
    assert not has_sounded(listening)
    assert (outcomes(listening), listening.state.trust.document) == ([], before)


def test_endless_data_a_flood_of_junk_leaves_nothing_behind_and_a_good_order_sounds() -> None:
    listening = pole()
    junk = (b"{" * 200_000, b"A" * (256 * 1024 + 1), b'{"payload":' + b"9" * 100_000 + b"}", order(play(), STRANGER))
    unsupported = [order({"type": "live", "n": number}, jti=f"unsupported-{number:06}") for number in range(200)]
    for envelope in (*junk * 20, *unsupported):
        listening.hear(envelope)
    listening.run(1.0)
    state = listening.state
    assert len(outcomes(listening)) == MAX_REPORTED_REFUSALS
    assert (len(state.accepted), len(state.stops), len(state.trust.held)) == (0, 0, 0)
    assert sum(state.refusals.counts.values()) == len(junk) * 20 + len(unsupported) == len(listening.acknowledged)
    listening.hear(order(play()))
    assert has_sounded(listening)


def test_key_compromise_a_revoked_key_falls_silent_at_once_and_for_good() -> None:
    listening = pole(Behaviour(sound_length_s=60.0))
    listening.hear(order(play(max_duration_s=60)))
    listening.run(5.0)
    assert listening.amplifier_on
    listening.hear(change(trust(2, CHAIR), A, jti="trust-version-two"))
    listening.run(1.0)
    assert [(record.result, record.reason) for record in listening.records] == [("stopped", Reason.REVOKED)]
    assert not listening.amplifier_on
    sounds = len(listening.of(do.Sound))
    listening.hear(order(play(item="tin-2"), jti="the-thief-goes-on-1"))
    listening.run(10.0)
    assert len(listening.of(do.Sound)) == sounds
    assert listening.state.refusals.counts == {"unknown_key": 1}


def test_stolen_node_its_own_key_signs_reports_and_no_orders() -> None:
    """What its certificate may do at the broker: tests/attacks/test_broker_access.py."""
    stolen = NodeKey.generate()
    listening = pole()
    listening.hear(stolen.seal(compact_json(claims(play()))))
    spelt = stolen.seal(compact_json(claims(play()))).split(b".")
    head = OPERATOR.compact(b"{}").split(b".")[0]
    listening.hear(b".".join((head, spelt[1], spelt[2])))
    assert not has_sounded(listening)
    assert listening.state.refusals.counts == {"wrong_typ": 1, "bad_signature": 1}


def test_cloned_sd_card_an_old_card_put_back_plays_nothing_that_is_over() -> None:
    """And obeys no copy that it remembers. What a clone has never seen: see the tests of the clock."""
    old = order(SIREN, CHAIR, iat=NOW - 9_000, exp=NOW - 5_400)
    heard = order(play(item="da-nghe"), jti="heard-before-the-copy")
    remembered = (StoredAccepted("commune operator", "heard-before-the-copy", NOW + 3_600),)
    clone = make_pole(trust=ONE)
    memory = Memory(1, 0, remembered, (), (StoredItem(old, NOW - 9_000, None),), ())
    clone.start(clone.judge.restored(memory)).connect()
    clone.hear(heard)
    assert not has_sounded(clone)
    assert [record.reason for record in clone.records] == [Reason.NOT_AFTER]
    assert clone.state.refusals.counts == {"replayed": 1}


def test_hostile_broker_keeps_bends_doubles_and_misdirects_and_nothing_sounds() -> None:
    listening = pole()
    good = order(play())
    delivery = ev.Delivery(listening.state.connection.number, 900)
    listening._happen(ev.MessageArrived(delivery, "topic", good, retained=True))
    listening.hear(order(play(), aud=["site:xa-khac"]))
    listening.hear(order(play(), aud=["node:hoang-dao/hd-04"]))
    listening.hear(good[:-4] + b"AAAA")
    listening.hear(order({"type": "time", "nonce": "ab" * 16}, A))
    assert not has_sounded(listening)
    counts = listening.state.refusals.counts
    assert (counts["retained"], counts["wrong_audience"], counts["bad_signature"]) == (1, 2, 1)


def test_hostile_operator_raises_no_alarm_ends_none_and_goes_no_louder_than_the_key() -> None:
    listening = pole(Behaviour(sound_length_s=30.0))
    listening.hear(order(SIREN, jti="operator-raises-alarm"))
    listening.run(1.0)
    assert outcomes(listening) == [("refused", Reason.NOT_PERMITTED)]
    assert not listening.of(do.Sound)
    listening.hear(order(SIREN, CHAIR, jti="the-chair-raises-alarm"))
    listening.run(1.0)
    stop_all = {"type": "stop", "all": True, "reason": "im"}
    listening.hear(order(stop_all, jti="operator-stops-it-all"))
    listening.hear(order({"type": "set_volume", "percent": 100}, jti="operator-turns-it-up"))
    listening.hear(change(trust(2, OPERATOR), OPERATOR, jti="operator-takes-the-keys"))
    listening.run(60.0)
    assert [(record.item, record.result) for record in listening.records] == [("lu-lut", "played")]
    listening.hear(order(play(volume_percent=100), jti="operator-plays-loud"))
    listening.run(60.0)
    assert listening.records[-1].volume_percent == OPERATOR.max_volume_percent
    assert listening.state.trust.document == ONE
