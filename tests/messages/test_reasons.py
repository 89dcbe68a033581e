"""The one closed enumeration, and the page that technicians read."""

from agent.messages.codec import decode, encode
from agent.messages.reasons import Reason
from agent.messages.reports import AnyReport, CommandOutcome
from tests.messages.reasons_page import PAGE, page


def test_the_page_is_current() -> None:
    assert PAGE.read_text("utf-8") == page()


def test_every_code_is_its_name_in_lower_case() -> None:
    assert [reason.value for reason in Reason] == [reason.name.lower() for reason in Reason]


def test_every_meaning_is_one_sentence_of_one_line() -> None:
    for reason in Reason:
        assert reason.meaning.endswith(".")
        assert "\n" not in reason.meaning
        assert len(reason.meaning) < 100


def test_a_reason_goes_over_the_wire_as_its_code() -> None:
    outcome = CommandOutcome("chair", "0123456789abcdef", "refused", Reason.EXPIRED)
    assert b'"reason":"expired"' in encode(outcome)
    assert decode(encode(outcome), AnyReport) == outcome  # type: ignore[arg-type] # a union is a type to msgspec
    assert Reason("expired") is Reason.EXPIRED
