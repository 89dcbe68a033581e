"""Speech with the real espeak-ng: length and level, texts that would like to be more, cancelling, limits, full disks.

Piper is stood for by a small program with its command line; its models are too large to be here.
"""

import contextlib
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.messages.events import FileReady, SourceFailed
from agent.messages.reasons import Reason
from agent.messages.sources import Speech
from agent.speaking.sounds import Sounds, header
from agent.speaking.voices import SpeechError, Voice, choose, listed_voices, piper_voices
from agent.speech import WORDS_A_MINUTE, Limits
from tests.speaking import (
    NOTICE,
    Speaking,
    espeak_that,
    fake_piper,
    open_files,
    pids,
    piper_voice,
    rms_dbfs,
    runs,
    seconds,
    texts,
    wait_until,
)

HANGS = 'case "$text" in *treo*) sleep 1000 & wait;; esac; say "$@"'
"""Speaks, but hangs over a text with the word `treo`, in a process of its own."""


@contextlib.contextmanager
def disk_of(count: int) -> Iterator[None]:
    """No file of this process grows beyond: to the writer the same as a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# What is said ---------------------------------------------------------------------------------------------------------


def test_a_notice_takes_as_long_as_one_read_slowly_and_is_loud_enough(tmp_path: Path) -> None:
    with Speaking(tmp_path) as speaking:
        path = speaking.spoken(7, NOTICE)
        syllables_a_minute = 35 / seconds(path) * 60
        assert 150 < syllables_a_minute < 230
        assert -18 < rms_dbfs(path) < -13


def test_the_longest_text_is_spoken_to_its_end(tmp_path: Path) -> None:
    text = (f"{NOTICE} " * 20)[:2_000].strip()
    with Speaking(tmp_path) as speaking:
        assert 120 < seconds(speaking.spoken(1, text)) < 240


@pytest.mark.parametrize(
    "language", ["vi", "VI", "vi-VN", "vi-VN-x-south", "vi-Latn-VN", "en", "zh", "th", "km-no", "hak"]
)
def test_languages_are_tags_and_found_by_lookup(tmp_path: Path, language: str) -> None:
    with Speaking(tmp_path) as speaking:
        speaking.synthesiser.speak(1, Speech("Loa", language))
        news = speaking.news()
        if language == "km-no":
            assert isinstance(news, SourceFailed)
            assert news.reason is Reason.NO_VOICE
        else:
            assert isinstance(news, FileReady)
            assert seconds(Path(news.path)) > 0.1


@pytest.mark.parametrize("language", ["hmn", "tay", "--help", "x", "-v", "../vi"])
def test_a_language_that_nobody_speaks_is_refused_with_those_there_are(tmp_path: Path, language: str) -> None:
    with Speaking(tmp_path) as speaking:
        speaking.synthesiser.speak(1, Speech("Loa", language))
        reason, detail = speaking.failed(1)
        assert reason is Reason.NO_VOICE
        assert f"no voice here speaks {language}" in detail
        assert {"en", "vi", "th"} <= set(detail.partition("voices for: ")[2].split())


def test_a_voice_may_be_named_and_must_be_here_and_speak_the_language(tmp_path: Path) -> None:
    with Speaking(tmp_path) as speaking:
        for token, (language, voice) in enumerate([("vi", "vi-vn-x-south"), ("vi", "nobody"), ("vi", "en-gb")]):
            speaking.synthesiser.speak(token, Speech("Loa", language, voice))
        assert seconds(speaking.ready(0)) > 0.1
        absent = "no voice nobody is here; for vi there are: vi vi-vn-x-central vi-vn-x-south"
        assert speaking.failed(1) == (Reason.NO_VOICE, absent)
        assert speaking.failed(2) == (Reason.NO_VOICE, "voice en-gb does not speak vi; it speaks: en en-gb")


def test_a_text_spoken_before_is_not_spoken_again(tmp_path: Path) -> None:
    with Speaking(tmp_path, espeak=espeak_that(tmp_path, 'say "$@"')) as speaking:
        first = speaking.spoken(1, "Xin chào")
        assert speaking.spoken(2, "Xin chào") == first
        assert len(pids(tmp_path)) == 1
        assert speaking.spoken(3, "Xin chao") != first
    with Speaking(tmp_path, espeak=espeak_that(tmp_path, 'say "$@"')) as speaking:
        assert speaking.spoken(1, "Xin chào") == first
        assert len(pids(tmp_path)) == 2


# What would like to be more than a text -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "--help",
        "-w /tmp/evil.wav",
        "--stdout -q",
        "$(reboot); `reboot` & reboot | reboot",
        "%s%s%n ../../etc/passwd",
        "\u202e\u2028\ufeff nguoc",
        "🎉" * 500,
        "[[[[x]]]]",
        "<" * 2_000,
    ],
)
def test_no_text_is_an_order_to_the_voice(tmp_path: Path, text: str) -> None:
    work = tmp_path / "work"
    work.mkdir()
    with Speaking(work) as speaking:
        assert seconds(speaking.spoken(1, text)) >= 0
    assert [path.name for path in work.iterdir()] == ["speech"]
    assert len(list((work / "speech").iterdir())) == 1


def test_markup_is_read_out_and_not_obeyed(tmp_path: Path) -> None:
    with Speaking(tmp_path) as speaking:
        plain = seconds(speaking.spoken(1, "Xin chào"))
        assert seconds(speaking.spoken(2, '<audio src="/etc/passwd"/>Xin chào')) > plain + 1
        assert seconds(speaking.spoken(3, '<break time="60s"/>Xin chào')) < 30


def test_what_stands_in_brackets_is_no_phonemes(tmp_path: Path) -> None:
    piper = fake_piper(tmp_path)
    with Speaking(tmp_path, piper=piper, voices=piper_voice(tmp_path / "voices")) as speaking:
        speaking.spoken(1, "a [[x]] [[[y]]]")
    assert texts(tmp_path) == ["a [ [x]] [ [ [y]]]"]


def test_half_a_character_ends_nothing(tmp_path: Path) -> None:
    with Speaking(tmp_path) as speaking:
        assert seconds(speaking.spoken(1, "Xin \ud800 chào")) > 0.1


# The child ------------------------------------------------------------------------------------------------------------


def test_the_voice_yields_to_the_node_and_knows_nothing_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    waits = 'until [ "$(nice)" -ge 10 ] && [ "$(cat /proc/self/oom_score_adj)" -eq 900 ]; do :; done'
    with Speaking(tmp_path, espeak=espeak_that(tmp_path, f'{waits}; env >environment; say "$@"')) as speaking:
        speaking.spoken(1, "Xin chào")
    names = {line.partition("=")[0] for line in (tmp_path / "environment").read_text().splitlines()}
    assert names <= {"PATH", "LANG", "PWD", "OLDPWD", "SHLVL", "_"}


def test_cancelled_amid_speaking_it_is_killed_with_all_it_started_and_the_next_is_spoken(tmp_path: Path) -> None:
    with Speaking(tmp_path, espeak=espeak_that(tmp_path, f"ps -o pid= --ppid $$ >/dev/null; {HANGS}")) as speaking:
        speaking.synthesiser.speak(1, Speech("treo", "vi"))
        wait_until(lambda: bool(pids(tmp_path)), "the voice runs")
        (pid,) = pids(tmp_path)
        speaking.synthesiser.cancel(1)
        wait_until(lambda: not runs(pid), "the voice is killed")
        wait_until(lambda: not _group(pid), "and what it had started")
        assert seconds(speaking.spoken(2, "Xin chào")) > 0.1
        assert [path.suffix for path in speaking.folder.iterdir()] == [".wav"]


def _group(leader: int) -> list[int]:
    """The living processes of a session."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and runs(int(entry.name)):
            with contextlib.suppress(ProcessLookupError):
                if os.getsid(int(entry.name)) == leader:
                    found.append(int(entry.name))
    return found


def test_cancelled_while_it_waits_it_is_never_spoken(tmp_path: Path) -> None:
    with Speaking(tmp_path, espeak=espeak_that(tmp_path, HANGS)) as speaking:
        speaking.synthesiser.speak(1, Speech("treo", "vi"))
        wait_until(lambda: bool(pids(tmp_path)), "the voice runs")
        speaking.synthesiser.speak(2, Speech("hai", "vi"))
        speaking.synthesiser.speak(3, Speech("ba", "vi"))
        speaking.synthesiser.cancel(2)
        speaking.synthesiser.cancel(1)
        speaking.synthesiser.cancel(99)
        speaking.ready(3)
        assert len(pids(tmp_path)) == 2


def test_a_voice_that_is_killed_is_told_and_the_next_text_is_spoken(tmp_path: Path) -> None:
    with Speaking(tmp_path, espeak=espeak_that(tmp_path, HANGS)) as speaking:
        speaking.synthesiser.speak(1, Speech("treo", "vi"))
        wait_until(lambda: bool(pids(tmp_path)), "the voice runs")
        os.kill(pids(tmp_path)[0], signal.SIGKILL)
        for sleeper in _group(pids(tmp_path)[0]):
            os.kill(sleeper, signal.SIGKILL)
        assert speaking.failed(1) == (Reason.SPEECH_FAILED, "espeak-ng was killed (signal 9)")
        assert seconds(speaking.spoken(2, "Xin chào")) > 0.1


@pytest.mark.parametrize(
    ("does", "detail"),
    [
        ("exit 3", "espeak-ng failed (3)"),
        ("echo no such phoneme >&2; exit 1", "espeak-ng failed (1): no such phoneme"),
        ("yes complaint | head -c 9000000 >&2; exit 1", "espeak-ng failed (1): complaint"),
        ("true", "no sound came of the text"),
        ("echo this is a web page, and not the beginning of a WAV", "what comes is no WAV of 16-bit samples"),
        ('say "$@" | head -c 44', "no sound came of the text"),
        ('say "$@"; cat /dev/zero', "the text takes longer than"),
        ("sleep 1000", "espeak-ng takes too long over this text"),
        ("exec >&-; exec 2>&-; sleep 1000", "espeak-ng does not end"),
    ],
)
def test_a_voice_that_fails_is_told_and_leaves_nothing(tmp_path: Path, does: str, detail: str) -> None:
    limits = Limits(espeak_s=3.0) if "too long" in detail else Limits()
    with Speaking(tmp_path, espeak=espeak_that(tmp_path, does), limits=limits) as speaking:
        speaking.synthesiser.speak(1, Speech("Xin chào", "vi"))
        reason, told = speaking.failed(1)
        assert (reason, told[: len(detail)]) == (Reason.SPEECH_FAILED, detail)
        assert list(speaking.folder.iterdir()) == []
        wait_until(lambda: not any(map(runs, pids(tmp_path))), "the voice is gone")


def test_without_espeak_texts_are_refused_until_it_is_installed(tmp_path: Path) -> None:
    with Speaking(tmp_path, espeak=str(tmp_path / "espeak-ng")) as speaking:
        speaking.synthesiser.speak(1, Speech("Xin chào", "vi"))
        told = "no voice here speaks vi; there are voices for: no language; espeak-ng is not installed"
        assert speaking.failed(1) == (Reason.NO_VOICE, told)
        espeak_that(tmp_path, 'say "$@"')
        assert seconds(speaking.spoken(2, "Xin chào")) > 0.1


def test_nothing_stays_open(tmp_path: Path) -> None:
    with Speaking(tmp_path) as warm:
        warm.spoken(1, "Xin chào")
    before = open_files()
    with Speaking(tmp_path, espeak=espeak_that(tmp_path, HANGS)) as speaking:
        for token, text in enumerate(("một", "hai", "treo")):
            speaking.synthesiser.speak(token, Speech(text, "vi"))
        speaking.ready(0)
        speaking.ready(1)
        wait_until(lambda: len(pids(tmp_path)) == 3, "the last is being spoken")
    assert open_files() == before
    assert not any(map(runs, pids(tmp_path)))
    speaking.synthesiser.close()


# How much -------------------------------------------------------------------------------------------------------------


def test_of_fifty_texts_at_once_sixteen_are_spoken_in_order_and_the_rest_refused(tmp_path: Path) -> None:
    with Speaking(tmp_path, espeak=espeak_that(tmp_path, HANGS)) as speaking:
        for token in range(50):
            speaking.synthesiser.speak(token, Speech("treo" if token == 0 else f"số {token}", "vi"))
        for token in range(16, 50):
            assert speaking.failed(token) == (Reason.QUEUE_FULL, "16 texts wait to be spoken already")
        speaking.synthesiser.cancel(0)
        for token in range(1, 16):
            speaking.ready(token)
        assert seconds(speaking.spoken(50, "lại được")) > 0.1


# Emergencies ----------------------------------------------------------------------------------------------------------


def test_an_emergencys_text_interrupts_what_is_spoken_which_is_spoken_anew_after_it(tmp_path: Path) -> None:
    """The lesser one hangs for as long as it may; the second time it does not."""
    once = '[ -e hung ] || case "$text" in *treo*) touch hung; sleep 1000 & wait;; esac; say "$@"'
    with Speaking(tmp_path, espeak=espeak_that(tmp_path, once)) as speaking:
        for token, text in enumerate(("treo", "hai", "ba")):
            speaking.synthesiser.speak(token, Speech(text, "vi"))
        wait_until((tmp_path / "hung").exists, "the voice hangs")
        (hanging,) = pids(tmp_path)
        for token, text in ((50, "Vỡ đập"), (51, "Lũ về")):
            speaking.synthesiser.speak(token, Speech(text, "vi"), urgent=True)
        for token in (50, 51, 0, 1, 2):
            assert seconds(speaking.ready(token)) > 0.1
        assert not runs(hanging)
        assert len(pids(tmp_path)) == 6


def test_one_does_not_interrupt_another(tmp_path: Path) -> None:
    with Speaking(tmp_path, espeak=espeak_that(tmp_path, HANGS)) as speaking:
        speaking.synthesiser.speak(1, Speech("treo", "vi"), urgent=True)
        wait_until(lambda: bool(pids(tmp_path)), "the voice runs")
        speaking.synthesiser.speak(2, Speech("hai", "vi"), urgent=True)
        speaking.synthesiser.cancel(1)
        speaking.ready(2)
        assert len(pids(tmp_path)) == 2


def test_it_finds_room_beside_as_many_as_may_wait(tmp_path: Path) -> None:
    with Speaking(tmp_path, espeak=espeak_that(tmp_path, HANGS)) as speaking:
        for token in range(16):
            speaking.synthesiser.speak(token, Speech("treo", "vi"))
        speaking.synthesiser.speak(50, Speech("Vỡ đập", "vi"), urgent=True)
        speaking.ready(50)


def test_it_does_not_wait_for_a_better_voice_for_long(tmp_path: Path) -> None:
    piper, voices = fake_piper(tmp_path, "import signal; signal.pause()"), piper_voice(tmp_path / "voices")
    limits = Limits(piper_s=1_000, urgent_piper_s=1.0)
    with Speaking(tmp_path, piper=piper, voices=voices, limits=limits) as speaking:
        speaking.synthesiser.speak(1, Speech(NOTICE, "vi"), urgent=True)
        assert seconds(speaking.ready(1)) > 8


def test_a_full_disk_is_told_and_spoils_nothing_else(tmp_path: Path) -> None:
    with Speaking(tmp_path, espeak=espeak_that(tmp_path, 'say "$@"')) as speaking:
        with disk_of(20_000):
            speaking.synthesiser.speak(1, Speech("Xin chào", "vi"))
            reason, detail = speaking.failed(1)
        assert reason is Reason.STORAGE, detail
        assert "the folder of spoken sounds" in detail
        assert list(speaking.folder.iterdir()) == []
        assert seconds(speaking.spoken(2, "Xin chào")) > 0.1


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "speech").write_text("a file")
    with Speaking(tmp_path) as speaking:
        speaking.synthesiser.speak(1, Speech("Xin chào", "vi"))
        assert speaking.failed(1)[0] is Reason.STORAGE


def test_the_folder_keeps_its_bound_and_what_was_used_last(tmp_path: Path) -> None:
    limits = Limits(sound_bytes=150_000, kept_bytes=300_000)
    with Speaking(tmp_path, limits=limits) as speaking:
        paths = [speaking.spoken(token, f"số {token}") for token in range(3)]
        for token in range(3, 12):
            assert speaking.spoken(token, "số 0") == paths[0]
            paths.append(speaking.spoken(token, f"thông báo {token}"))
            assert paths[0].exists()
            assert paths[-1].exists()
            assert sum(path.stat().st_size for path in speaking.folder.iterdir()) <= 300_000
        assert not paths[1].exists()


@settings(deadline=None)
@given(cuts=st.lists(st.integers(1, 60), max_size=8), data=st.binary(max_size=200))
def test_a_sound_is_the_same_however_it_comes(
    cuts: list[int], data: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    sounds = Sounds(tmp_path_factory.mktemp("sounds"), sound_bytes=1_000, kept_bytes=2_000)
    whole = data[: len(data) // 2 * 2]
    stream = header(22_050, 0x7FFF_F000) + data
    try:
        with sounds.recording("a", None) as recording:
            for cut in [*cuts, len(stream)]:
                recording.write(stream[:cut])
                stream = stream[cut:]
    except SpeechError:
        assert not whole
    else:
        assert recording.path.read_bytes() == header(22_050, len(whole)) + whole


# Piper ----------------------------------------------------------------------------------------------------------------


def test_piper_speaks_where_it_has_a_voice_and_espeak_everything_else(tmp_path: Path) -> None:
    piper, voices = fake_piper(tmp_path), piper_voice(tmp_path / "voices")
    with Speaking(tmp_path, piper=piper, voices=voices) as speaking:
        for token, language in enumerate(("vi", "vi-VN", "vi-VN-x-south")):
            assert seconds(speaking.spoken(token, f"{token} hai ba", language)) == pytest.approx(0.08)
        assert seconds(speaking.spoken(9, "loudspeaker", "en")) > 0.3
        speaking.synthesiser.speak(10, Speech("gọi tên", "vi", "vi_VN-test-medium"))
        assert seconds(speaking.ready(10)) == pytest.approx(0.07)
        speaking.synthesiser.speak(11, Speech("gọi tên", "vi", "vi"))
        assert seconds(speaking.ready(11)) > 0.1
    assert texts(tmp_path) == ["0 hai ba", "1 hai ba", "2 hai ba", "gọi tên"]


@pytest.mark.parametrize("does", ["sys.exit(1)", "import signal; signal.pause()"])
def test_where_piper_fails_espeak_speaks_but_not_in_place_of_a_voice_that_was_named(tmp_path: Path, does: str) -> None:
    piper, voices = fake_piper(tmp_path, does), piper_voice(tmp_path / "voices")
    with Speaking(tmp_path, piper=piper, voices=voices, limits=Limits(piper_s=2.0)) as speaking:
        assert seconds(speaking.spoken(1, NOTICE)) > 8
        speaking.synthesiser.speak(2, Speech(NOTICE, "vi", "vi_VN-test-medium"))
        assert speaking.failed(2)[0] is Reason.SPEECH_FAILED


def test_where_the_program_of_piper_is_missing_espeak_speaks(tmp_path: Path) -> None:
    with Speaking(tmp_path, piper=tmp_path / "no", voices=piper_voice(tmp_path / "voices")) as speaking:
        assert seconds(speaking.spoken(1, NOTICE)) > 8


@pytest.mark.parametrize("rate", [0, 1_000_000, '"fast"', "null", "true", "16000.0", "[}"])
def test_a_voice_that_is_badly_described_is_not_used(tmp_path: Path, rate: str) -> None:
    piper, voices = fake_piper(tmp_path), piper_voice(tmp_path / "voices", rate=rate)
    with Speaking(tmp_path, piper=piper, voices=voices) as speaking:
        assert seconds(speaking.spoken(1, NOTICE)) > 8
        speaking.synthesiser.speak(2, Speech("a", "vi", "vi_VN-test-medium"))
        reason, detail = speaking.failed(2)
        assert (reason, "vi_VN-test-medium.onnx.json" in detail) == (Reason.NO_VOICE, True)


# Voices ---------------------------------------------------------------------------------------------------------------

TABLE = """\
Pty Language       Age/Gender VoiceName          File                 Other Languages
 5  cmn             --/M      Chinese_(Mandarin,_latin_as_English) sit/cmn              (zh-cmn 5)(zh 5)
 2  en-gb           --/M      English_(Great_Britain) gmw/en               (en 2)
 2  en-us           --/M      English_(America)  gmw/en-US            (en 3)
 5  vi              --/M      Vietnamese_(Northern) aav/vi
 5  vi-vn-x-south   --/M      Vietnamese_(Southern) aav/vi-VN-x-south
"""


def test_the_table_of_espeak_is_read() -> None:
    voices = listed_voices(TABLE)
    assert [voice.name for voice in voices] == ["cmn", "en-gb", "en-us", "vi", "vi-vn-x-south"]
    assert voices[0].speaks == {"cmn": 0, "zh-cmn": 5, "zh": 5}


@given(st.text())
def test_no_table_ends_the_node(table: str) -> None:
    assert all(voice.name for voice in listed_voices(table))


@pytest.mark.parametrize(
    ("language", "names"),
    [
        ("vi", ["vi"]),
        ("vi-VN", ["vi"]),
        ("vi-VN-x-south", ["vi-vn-x-south"]),
        ("vi-x-north", ["vi"]),
        ("en", ["en-gb"]),
        ("en-US", ["en-us"]),
        ("en-AU", ["en-gb"]),
        ("zh-CN", ["cmn"]),
        ("de", ["de_DE-a", "no"]),
    ],
)
def test_the_best_voice_is_chosen(language: str, names: list[str]) -> None:
    german = (Voice("de_DE-b", {"de-de": 0, "de": 1}, Path("b")), Voice("de_DE-a", {"de-de": 0, "de": 0}, Path("a")))
    voices = (*listed_voices(TABLE), *german, Voice("no", {"de": 7}))
    assert [voice.name for voice in choose(voices, Speech("a", language))] == names


def test_a_folder_without_voices_has_none(tmp_path: Path) -> None:
    assert piper_voices(tmp_path / "no") == ()
    piper_voice(tmp_path, "vi_VN-a-low")
    for name in ("vi_VN-alone.onnx", "readme.onnx", "readme.onnx.json", "vi_VN-x.bin"):
        (tmp_path / name).write_bytes(b"")
    assert [voice.name for voice in piper_voices(tmp_path)] == ["vi_VN-a-low"]


def test_announcements_are_slower_than_reading() -> None:
    assert WORDS_A_MINUTE < 175
