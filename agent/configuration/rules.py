"""What holds between keys of node.yaml: each rule yields its mistakes, at the key that would have to change."""

from collections.abc import Iterator

from agent.configuration.fields import Place
from agent.configuration.problems import Mistake
from agent.configuration.sections import position_of
from agent.configuration.words import Gpio, Mqtt, Policy, Speech
from agent.configuration.yaml_text import Mapping, Sequence
from agent.messages.documents import MINUTES_OF_DAY
from agent.messages.sentences import Sentence


def brokers_are_reached_safely(mqtt: Mqtt, keys: Mapping, place: Place) -> Iterator[Mistake]:
    """TLS to every broker that is not on this machine, and the files it takes."""
    listed = keys.get("brokers")
    assert isinstance(listed, Sequence)
    for index, (one, value) in enumerate(zip(mqtt.brokers, listed.values, strict=True)):
        if not one.tls and not one.loopback and not mqtt.insecure:
            told = Sentence(
                "{name} is {url}, in the clear: write mqtts://, or insecure: true beside brokers",
                name=place.under("brokers").entry(index).name,
                url=one.url,
            )
            yield Mistake(value.position, told)
    if any(one.tls for one in mqtt.brokers):
        for name, file in (("ca", "ca.pem"), ("certificate", "node.crt"), ("key", "node.key")):
            if keys.get(name) is None:
                told = Sentence(
                    "{name} is missing, and a mqtts:// broker needs it: write {write}",
                    name=place.under(name).name,
                    write=f"{name}: {file}",
                )
                yield Mistake(keys.position, told)


def keys_fit_the_factory(gpio: Gpio, keys: Mapping, place: Place) -> Iterator[Mistake]:
    """No chip for a simulated line, no trace of a real one."""
    name, other = ("chip", "lgpio") if gpio.factory == "mock" else ("trace", "mock")
    if keys.get(name) is not None:
        told = Sentence(
            "{name} has no meaning with factory {factory}: remove it, or write factory: {other}",
            name=place.under(name).name,
            factory=gpio.factory,
            other=other,
        )
        yield Mistake(position_of(keys, name), told)


def piper_has_voices(speech: Speech, keys: Mapping, place: Place) -> Iterator[Mistake]:
    """Piper's program and its voices, or neither."""
    for name, example in (("piper", "/usr/bin/piper"), ("voices", "/usr/share/loa/voices")):
        if getattr(speech, name) is None and (speech.piper or speech.voices):
            told = Sentence(
                "{name} is missing, and one needs the other: write {write}",
                name=place.under(name).name,
                write=f"{name}: {example}",
            )
            yield Mistake(keys.position, told)


def some_hour_is_not_quiet(policy: Policy, keys: Mapping, place: Place) -> Iterator[Mistake]:
    """Quiet hours leave some of the day."""
    if (
        policy.quiet_hours
        and len(frozenset().union(*(hours.minutes() for hours in policy.quiet_hours))) == MINUTES_OF_DAY
    ):
        told = Sentence(
            "{name} cover the whole day: leave some hours in which the village may hear",
            name=place.under("quiet_hours").name,
        )
        yield Mistake(position_of(keys, "quiet_hours"), told)
