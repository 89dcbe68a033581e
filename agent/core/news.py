"""What fetch, player, sound card and relay say, made into facts of the current attempt.

News of an attempt that is over (a stale token) changes nothing.
"""

from dataclasses import replace

from agent.core import card, policing, prefetching, stages, windows, zones
from agent.core.amplifier import Cue
from agent.core.attempts import attempt_of, put_back, set_attempt
from agent.core.endings import conclude, end, end_source, finish, nothing_left, sounding_over
from agent.core.items import Outcome
from agent.core.leaving import held
from agent.core.records import zones_of
from agent.core.stages import Attempt, Stage
from agent.core.state import Turn
from agent.core.zones import cue
from agent.messages import effects as do
from agent.messages import events as ev
from agent.messages.reasons import Reason
from agent.messages.sources import Relay


def on_source(turn: Turn, event: ev.FileReady | ev.StreamReady) -> None:
    """The bytes are there: keep them until the amplifier may be wanted."""
    attempt = attempt_of(turn, event.token)
    if attempt is None and prefetching.on_news(turn, event):
        return
    if attempt is None or attempt.stage is not Stage.FETCHING:
        if isinstance(event, ev.StreamReady):
            turn.do(do.ClosePipe(event.fd))
        return
    media: stages.Media
    media = do.MediaFile(event.path) if isinstance(event, ev.FileReady) else do.MediaPipe(event.fd, event.head)
    set_attempt(turn, replace(stages.at_stage(attempt, Stage.FETCHED, turn.now.mono_s), media=media))


def on_failure(turn: Turn, event: ev.SourceFailed | ev.DecodingFailed) -> None:
    """The source gives nothing (more). What a stream gave is heard first; then the next source, or the end."""
    attempt = attempt_of(turn, event.token)
    if attempt is None:
        prefetching.on_news(turn, event)
        return
    if attempt.stage in {Stage.ENDING, Stage.HOLDING}:
        return
    if attempt.stage is Stage.HELD:
        put_back(turn, attempt)
        return
    outcome = Outcome("failed", event.reason, event.detail)
    if isinstance(event, ev.DecodingFailed) and _is_over_by_now(attempt, event):
        nothing_left(turn, attempt, "joining late, nothing of it was left", event.length_s)
        return
    ended_early = event.reason is Reason.STREAM_ENDED and attempt.stage in {Stage.FETCHED, Stage.DECODING}
    ran_dry = event.reason in {Reason.STREAM_ENDED, Reason.STALLED} and attempt.stage in {Stage.READY, Stage.SOUNDING}
    if (ended_early or ran_dry) and attempt.starved_s is None:
        set_attempt(turn, replace(attempt, broken=outcome))
    else:
        end_source(turn, attempt, outcome)


def _is_over_by_now(attempt: Attempt, event: ev.DecodingFailed) -> bool:
    """It was sent behind its end, since that is where the others are."""
    late = attempt.item.from_s > 0 and attempt.item.used == 0
    return late and event.reason is Reason.UNDECODABLE and _has_an_end(attempt)


def _has_an_end(attempt: Attempt) -> bool:
    """No sound in it may mean none at so late an instant; of a stream it means that the stream is broken."""
    return not isinstance(attempt.media, do.MediaPipe)


def on_decoded(turn: Turn, event: ev.SamplesDecoded) -> None:
    """It could sound now; but for the longest duration it may be too late."""
    attempt = attempt_of(turn, event.token)
    if attempt is None or attempt.stage is not Stage.DECODING:
        return
    if attempt.item.samples_left <= 0:
        nothing_left(turn, attempt, "joining late, nothing of it was left", float(attempt.item.play.max_duration_s))
    else:
        set_attempt(turn, stages.at_stage(attempt, Stage.READY, turn.now.mono_s))


def on_started(turn: Turn, event: ev.SoundStarted) -> None:
    """The first sample sounds: note when, so that a restart can say so."""
    attempt = attempt_of(turn, event.token)
    if attempt is None:
        return
    item = attempt.item
    at_s = round(turn.wall_s + event.at_mono_s - turn.now.mono_s, 3)
    started_at = at_s if item.started_at is None else item.started_at
    round_at = at_s if item.start_s is None else item.start_s  # joined late, it began before it was heard here
    sounding = replace(item, started_at=started_at, begun=True, interrupted=False, hindered=0)
    set_attempt(turn, replace(attempt, item=sounding, moved_s=event.at_mono_s))
    if not item.begun:
        turn.commit(do.MarkStarted(item.play.item, started_at, item.round, round_at))
        turn.log(f"item {item.play.item}: sounding")


def on_flow(turn: Turn, event: ev.SoundAdvanced | ev.SoundStarved | ev.SoundFlowed) -> None:
    """The item sounds on; or the village hears silence inside it, or no longer does."""
    attempt = attempt_of(turn, event.token)
    if attempt is None:
        return
    if isinstance(event, ev.SoundAdvanced):
        _advance(turn, attempt, event)
        return
    if isinstance(event, ev.SoundFlowed):
        set_attempt(turn, stages.flowing(attempt, turn.now.mono_s))
        return
    set_attempt(turn, stages.starving(attempt, event.at_mono_s))
    if attempt.broken is not None and attempt.stage is Stage.SOUNDING:
        end_source(turn, attempt, attempt.broken)


def _advance(turn: Turn, attempt: Attempt, event: ev.SoundAdvanced) -> None:
    on_s = zones.energised_s(turn, attempt.item) - attempt.amplifier_base_s
    moved = stages.moving(attempt, turn.now.mono_s)
    moved = replace(moved, so_far=event.loudness, so_far_used=event.used)
    moved = replace(moved, so_far_at_s=turn.trusted_s, so_far_on_s=on_s)
    set_attempt(turn, moved)
    if stages.is_silent(moved, event.silent_s):
        end_source(turn, moved, Outcome("failed", Reason.SILENT, f"digital silence for {event.silent_s:.0f} s"))


def on_ending(turn: Turn, event: ev.SoundEnding) -> None:
    """The rest of it is in the card: what follows on its heels may be given to the card as well."""
    attempt = attempt_of(turn, event.token)
    if attempt is not None and attempt.stage is Stage.SOUNDING:
        set_attempt(turn, replace(attempt, ends_s=event.at_mono_s))


def on_ended(turn: Turn, event: ev.SoundEnded) -> None:
    """The last sample has left the card."""
    attempt = attempt_of(turn, event.token)
    if attempt is None:
        return
    unheard = attempt.item.used == 0 and event.loudness.samples == 0
    attempt = _count(turn, attempt, event)
    if attempt.ending is not None:
        conclude(turn, attempt, attempt.ending)
    elif event.end is ev.End.CUT and attempt.stage is Stage.HOLDING:
        put_back(turn, attempt)  # asked to sound, it had not yet begun
    elif event.end is ev.End.CUT and attempt.stage is not Stage.ENDING:  # what was let end has ended, be it early
        _cut(turn, attempt)
    elif event.end is ev.End.UNTIL:
        finish(turn, attempt, windows.sounded_until(attempt.item))
    elif event.end is ev.End.COMPLETE and unheard and attempt.item.start_s is not None and _has_an_end(attempt):
        nothing_left(turn, attempt, "joining late, nothing of it was left", attempt.item.lane_s)
    elif event.end is ev.End.COMPLETE and attempt.broken is not None and not _is_a_proper_end(attempt, attempt.broken):
        conclude(turn, attempt, attempt.broken)
    else:
        sounding_over(turn, attempt, Outcome("played", _reason_of_end(attempt, event.end)))


def _cut(turn: Turn, attempt: Attempt) -> None:
    """The card has given it back unasked: one that fails is waited for."""
    if turn.state.card_fault:
        card.lost(turn, attempt)
    else:
        finish(turn, attempt, Outcome("failed", Reason.SOUND_CARD, "it gave the item back"))


def _is_a_proper_end(attempt: Attempt, broken: Outcome) -> bool:
    """A stream that its server closed has been played, if it was heard and no source is there for the time left."""
    return broken.reason is Reason.STREAM_ENDED and attempt.item.begun and not stages.has_next(attempt)


def on_held(turn: Turn, event: ev.SoundHeld) -> None:
    """It is silent, and keeps the rest."""
    attempt = attempt_of(turn, event.token)
    if attempt is not None and attempt.stage is Stage.HOLDING:
        held(turn, _count(turn, attempt, event))


def _count(turn: Turn, attempt: Attempt, event: ev.SoundEnded | ev.SoundHeld) -> Attempt:
    """So much of it has left the card: for its record, its bounds and the caps, by the instants that the card tells."""
    ended_s = turn.now.mono_s if attempt.ends_s is None else min(turn.now.mono_s, attempt.ends_s)
    policing.book(turn, attempt.item, event.loudness.samples - attempt.booked, ended_s)
    attempt = stages.heard(attempt, event.loudness, event.used)
    set_attempt(turn, attempt)
    return attempt


def on_relay_failed(turn: Turn, event: ev.RelayFailed) -> None:
    """The line cannot be switched: what sounds in that zone ends, and the zone rests."""
    turn.warn(f"amplifier {event.zone}: {event.detail}")
    cue(turn, event.zone, Cue.FAILED)
    current = turn.state.programme.current
    if current is None or current.stage is Stage.ENDING or event.zone not in zones_of(turn.state, current.item):
        return
    outcome = Outcome("failed", Reason.AMPLIFIER_FAULT, event.detail)
    if not current.item.is_emergency:
        end(turn, current, outcome)
    elif zones.is_faulty(turn, current.item):  # otherwise it sounds where it can
        end_source(turn, current, outcome)


def _reason_of_end(attempt: Attempt, end: ev.End) -> Reason | None:
    if all(part.peak_dbfs is None for part in attempt.item.heard):
        return Reason.SILENT if attempt.item.loudest_percent else Reason.MUTED
    if end is ev.End.LIMIT:
        return Reason.MAX_DURATION
    relayed = isinstance(attempt.item.play.sources[attempt.item.source].only, Relay)
    return Reason.STREAM_ENDED if relayed else None
