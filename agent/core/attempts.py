"""Attempts: opening a source, giving it back, going back into the queue. When, is decided in `playout`."""

from dataclasses import replace

from agent.core import policing, stages, zones
from agent.core import programme as prog
from agent.core.records import gain_percent
from agent.core.stages import Attempt, Stage
from agent.core.state import Turn
from agent.messages import effects as do
from agent.messages.sources import Builtin, File, Relay, Speech


def attempt_of(turn: Turn, token: int) -> Attempt | None:
    """The attempt that this news concerns; stale news changes nothing."""
    return next((each for each in prog.attempts(turn.state.programme) if each.token == token), None)


def set_attempt(turn: Turn, attempt: Attempt) -> None:
    """The attempt at this item is now this one."""
    turn.state = replace(turn.state, programme=prog.put(turn.state.programme, attempt))


def is_on_air(turn: Turn, attempt: Attempt) -> bool:
    """Whether it sounds, or is about to."""
    current = turn.state.programme.current
    return current is not None and current.token == attempt.token


def open_source(turn: Turn, attempt: Attempt) -> None:
    """Ask for the present source's bytes, and for the card, which takes its time."""
    want_card(turn)
    match attempt.item.play.sources[attempt.item.source].only:
        case File() as file:
            turn.do(do.FetchFile(attempt.token, file))
        case Relay() as relay:
            turn.do(do.OpenStream(attempt.token, relay))
        case Speech() as speech:
            turn.do(do.Speak(attempt.token, speech))
        case Builtin(name=name):
            fetched = stages.at_stage(attempt, Stage.FETCHED, turn.now.mono_s)
            set_attempt(turn, replace(fetched, media=do.MediaBuiltin(name)))


def want_card(turn: Turn) -> None:
    """Let the card run silence."""
    if not turn.state.card_wanted:
        turn.do(do.OpenCard())
        turn.state = replace(turn.state, card_wanted=True)


def release(turn: Turn, attempt: Attempt) -> None:
    """Give back what it holds of decoder and source."""
    if attempt.stage in {Stage.DECODING, Stage.READY, Stage.HOLDING, Stage.HELD}:
        turn.do(do.Silence(attempt.token))
    turn.do(do.EndDecoding(attempt.token), do.CancelFetch(attempt.token))
    if attempt.stage is Stage.FETCHED and isinstance(attempt.media, do.MediaPipe):
        turn.do(do.ClosePipe(attempt.media.fd))


def try_source(turn: Turn, attempt: Attempt, source: int) -> None:
    """A fresh attempt at this source, in the place of the last."""
    programme, fresh = prog.again(turn.state.programme, attempt, source, turn.now.mono_s)
    turn.state = replace(turn.state, programme=programme)
    open_source(turn, fresh)


def put_back(turn: Turn, attempt: Attempt) -> None:
    """Into the queue, ahead of its kind, its source given back: it will be begun anew where it was."""
    release(turn, attempt)
    item = attempt.item
    start_s = None if item.used else item.start_s
    back = replace(item, pre_empted=True, start_s=start_s)
    turn.state = replace(turn.state, programme=prog.enqueue(prog.remove(turn.state.programme, attempt), back))


def give_back(turn: Turn, attempt: Attempt) -> None:
    """Off the air, and into the queue."""
    put_back(turn, off_air(turn, attempt))


def off_air(turn: Turn, attempt: Attempt) -> Attempt:
    """The same with what the amplifier was on for it; off the air already, nothing changes."""
    if not is_on_air(turn, attempt):
        return attempt
    on_s = attempt.item.amplifier_on_s + zones.energised_s(turn, attempt.item) - attempt.amplifier_base_s
    item = replace(attempt.item, amplifier_on_s=on_s, off_air_s=turn.now.mono_s)
    return replace(attempt, item=item, amplifier_base_s=zones.energised_s(turn, item))


def set_gain(turn: Turn) -> None:
    """Volume, mute or a ceiling has changed: the sounding item follows."""
    current = turn.state.programme.current
    if current is not None and current.stage is Stage.SOUNDING:
        gain = gain_percent(turn.state, current.item, policing.begins_s(turn, current.item))
        if gain != current.gain_percent:
            turn.do(do.SetGain(current.token, gain))
            set_attempt(turn, stages.at_gain(current, gain))
