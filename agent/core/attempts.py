"""The attempt at hand: opening its source, ending it, falling back to the next, and its record.

Every change of the current attempt and of the amplifiers goes through here; `playout` decides when.
"""

from dataclasses import replace
from typing import Final

from agent.core import amplifier as amp
from agent.core import programme as prog
from agent.core.amplifier import Cue, Switch
from agent.core.programme import Attempt, Item, Outcome, Stage
from agent.core.records import gain_percent, play_record, zones_of
from agent.core.state import Turn
from agent.messages import effects as do
from agent.messages.reasons import Reason
from agent.messages.sources import Builtin, File, Relay

_NO_SOURCE_HELPS: Final = {Reason.AMPLIFIER_FAULT, Reason.AMPLIFIER_MAX_ON, Reason.SOUND_CARD}
"""Of these another source would die as well."""


def drop(turn: Turn, name: str, outcome: Outcome) -> None:
    """End the item of this name, whether it waits or sounds; silence first, the record follows."""
    current = turn.state.programme.current
    if current is not None and current.item.play.item == name:
        end(turn, current, outcome)
        return
    item = prog.find(turn.state.programme, name)
    if item is not None:
        turn.state = replace(turn.state, programme=prog.without(turn.state.programme, name))
        record(turn, item, outcome, None)


def end(turn: Turn, attempt: Attempt, outcome: Outcome) -> None:
    """End the current item for good: what sounds is silenced and its record waits for the card's last word."""
    if attempt.stage is Stage.ENDING:
        set_attempt(turn, replace(attempt, ending=outcome))
    elif attempt.stage is Stage.SOUNDING:
        turn.do(do.Silence(attempt.token))
        set_attempt(turn, replace(prog.at_stage(attempt, Stage.ENDING, turn.now.mono_s), ending=outcome))
    else:
        finish(turn, attempt, outcome)


def record(turn: Turn, item: Item, outcome: Outcome, attempt: Attempt | None) -> None:
    """Store the one play record of this item, and forget its order in the same transaction."""
    report = turn.report(play_record(turn, item, outcome, attempt))
    turn.commit(report, do.ForgetItem(item.play.item))
    reason = "" if outcome.reason is None else f" ({outcome.reason})"
    detail = f": {outcome.detail}" if outcome.detail else ""
    turn.log(f"item {item.play.item}: {outcome.result}{reason}{detail}")


def set_gain(turn: Turn) -> None:
    """Volume or mute has changed: the sounding item follows."""
    current = turn.state.programme.current
    if current is not None and current.stage is Stage.SOUNDING:
        turn.do(do.SetGain(current.token, gain_percent(turn.state, current.item)))


def attempt_of(turn: Turn, token: int) -> Attempt | None:
    """The current attempt if this news concerns it; stale news changes nothing."""
    current = turn.state.programme.current
    return current if current is not None and current.token == token else None


def set_attempt(turn: Turn, attempt: Attempt | None) -> None:
    """The current attempt is now this."""
    turn.state = replace(turn.state, programme=replace(turn.state.programme, current=attempt))


def is_resting(turn: Turn, zone: str) -> bool:
    """Whether the zone's minimum off time, or a fault, forbids wanting it."""
    return amp.is_resting(turn.state.amplifiers[zone], turn.state.settings.zones[zone], turn.now.mono_s)


def cue(turn: Turn, zone: str, given: Cue) -> None:
    """Give a zone's amplifier its cue, and tell the relay what follows."""
    amplifier, switch = amp.take(turn.state.amplifiers[zone], given, turn.now.mono_s)
    turn.state = replace(turn.state, amplifiers={**turn.state.amplifiers, zone: amplifier})
    if switch is not Switch.KEEP:
        turn.do(do.SwitchRelay(zone, switch is Switch.ON))
    turn.log(f"amplifier {zone}: {amplifier.mode} ({given})")


def cut(turn: Turn, item: Item) -> None:
    """Open the relays of an item that was silenced, also if another waits: who orders silence hears it at once."""
    for zone in zones_of(turn.state, item):
        if amp.takes(turn.state.amplifiers[zone], Cue.CUT):
            cue(turn, zone, Cue.CUT)


def cut_all(turn: Turn) -> None:
    """Open every relay that is closed."""
    for zone, amplifier in turn.state.amplifiers.items():
        if amp.takes(amplifier, Cue.CUT):
            cue(turn, zone, Cue.CUT)


def open_source(turn: Turn) -> None:
    """Ask for the current source's bytes, and for the card, which takes its time."""
    attempt = turn.state.programme.current
    assert attempt is not None
    if not turn.state.card_wanted:
        turn.do(do.OpenCard())
        turn.state = replace(turn.state, card_wanted=True)
    match attempt.item.play.sources[attempt.source].only:
        case File() as file:
            turn.do(do.FetchFile(attempt.token, file))
        case Relay() as relay:
            turn.do(do.OpenStream(attempt.token, relay))
        case Builtin(name=name):
            set_attempt(turn, replace(attempt, stage=Stage.FETCHED, media=do.MediaBuiltin(name)))
        case _:
            end_source(turn, attempt, Outcome("failed", Reason.NOT_SUPPORTED, "speech is not supported yet"))


def _release_source(turn: Turn, attempt: Attempt) -> None:
    turn.do(do.EndDecoding(attempt.token), do.CancelFetch(attempt.token))
    if attempt.stage is Stage.FETCHED and isinstance(attempt.media, do.MediaPipe):
        turn.do(do.ClosePipe(attempt.media.fd))


def wait_undecoded(turn: Turn, attempt: Attempt) -> None:
    """Disk or card are slow: give the lane back before it overflows, and decode anew."""
    waited_s = turn.now.mono_s - attempt.began_s
    if not turn.state.card_open and waited_s >= prog.CARD_WAIT_S:
        finish(turn, attempt, Outcome("failed", Reason.SOUND_CARD, turn.state.card_fault or "it does not open"))
        return
    turn.do(do.Silence(attempt.token))
    _release_source(turn, attempt)
    turn.state = replace(
        turn.state, programme=prog.again(turn.state.programme, attempt, attempt.source, turn.now.mono_s)
    )
    open_source(turn)


def end_source(turn: Turn, attempt: Attempt, outcome: Outcome) -> None:
    """This source has failed: silence what sounds of it, then the next source, or the item's end."""
    if attempt.stage is Stage.SOUNDING:
        turn.do(do.Silence(attempt.token))
        set_attempt(
            turn, replace(prog.at_stage(attempt, Stage.ENDING, turn.now.mono_s), ending=outcome, relay_cut=True)
        )
    else:
        conclude(turn, attempt, outcome)


def give_up_card(turn: Turn, attempt: Attempt) -> None:
    """The card says nothing any more: open all relays, end the item, and ask for the card anew when it is needed."""
    end(turn, attempt, Outcome("failed", Reason.SOUND_CARD, f"the card has not moved for {prog.FIRST_SOUND_S} s"))
    cut_all(turn)
    turn.do(do.CloseCard())
    turn.state = replace(turn.state, card_wanted=False, card_open=False, card_fault="it hangs")


def conclude(turn: Turn, attempt: Attempt, outcome: Outcome) -> None:
    """After a failure the next source, if there is one and time for it; otherwise the item ends."""
    following = attempt.source + 1
    fallback = outcome.result == "failed" and outcome.reason not in _NO_SOURCE_HELPS
    if not fallback or following >= len(attempt.item.play.sources) or attempt.item.samples_left <= 0:
        finish(turn, attempt, outcome)
        return
    turn.warn(f"item {attempt.item.play.item}: source {following} failed ({outcome.reason}): {outcome.detail}")
    turn.do(do.Silence(attempt.token))
    _release_source(turn, attempt)
    turn.state = replace(turn.state, programme=prog.again(turn.state.programme, attempt, following, turn.now.mono_s))
    open_source(turn)


def finish(turn: Turn, attempt: Attempt, outcome: Outcome) -> None:
    """The item is over: its lane and source are given back, its record is stored."""
    if attempt.stage in {Stage.DECODING, Stage.READY}:
        turn.do(do.Silence(attempt.token))
    _release_source(turn, attempt)
    if outcome.result == "stopped":
        cut(turn, attempt.item)
    set_attempt(turn, None)
    record(turn, attempt.item, outcome, attempt)
