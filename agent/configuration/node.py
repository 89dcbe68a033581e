"""The tables of node.yaml: a row a key, with how it is read and what to write where it must be and is not.

How a row is read stands in `fields` and `values`; what holds between keys, in `rules`.
"""

from functools import partial

from agent.configuration.fields import Place, choice, described_as, flag, text, whole
from agent.configuration.problems import Mistake, Mistakes
from agent.configuration.rules import (
    brokers_are_reached_safely,
    keys_fit_the_factory,
    piper_has_voices,
    some_hour_is_not_quiet,
)
from agent.configuration.sections import Field, distinct, items, named, position_of, section
from agent.configuration.values import (
    broker,
    certificate,
    device,
    entry,
    folder,
    path,
    private_key,
    quiet_hours,
    readable,
    timezone,
    volume_hours,
)
from agent.configuration.words import Audio, Clock, Config, Gpio, Mqtt, Policy, Sources, Speech, Storage, Zone
from agent.configuration.yaml_text import Mapping, Value
from agent.messages.documents import MAX_QUIET_HOURS, MINUTES_OF_DAY, Day
from agent.messages.sentences import Sentence
from agent.messages.words import Kind

MAX_GROUPS = 32
"""Groups of one node: each is a subscription that every reconnection makes again."""
MAX_BROKERS = 8
"""Brokers tried in turn: with more, a dead list would take half an hour."""
MAX_ZONES = 16
"""Zones of one node: as many as a `play` may name."""
MAX_ALLOW_ENTRIES = 200
"""Entries of an allow-list: each is compared at every redirect and segment."""
MAX_VOLUME_HOURS = 16
"""Ceilings by hour: as many as spans of quiet hours."""
LAST_GPIO = 27
"""GPIO 0 to 27 are on the Raspberry Pi's 40-pin header."""
MAX_CHIP = 63
"""Highest gpiochip number: a Pi 5 has 14, a simulator adds a few."""
KEEPALIVE_S = (5, 600)
"""Below 5 s a slow 4G cell looks dead; a half-open link is noticed after twice the keepalive, 20 min at most."""
WARM_UP_MS = (0, 3_000)
"""Amplifiers settle within 3 s; more would let an emergency wait."""
START_OFFSET_MS = (-1_000, 1_000)
"""Within a second sound goes 340 m: no hearer stands between two poles farther apart."""
LINGER_MS = (0, 60_000)
"""Hum is heard by night: no more than a minute of it after an item."""
MAX_ON_S = (1, 14_400)
"""At most the longest sounding that the protocol allows."""
MIN_OFF_MS = (0, 60_000)
"""Rest between two closings of the relay: a minute suffices for any supply's inrush limiter to cool."""
CACHE_MAX_MB = (1, 65_536)
"""Above 64 GB there is no card."""
HEARTBEAT_S = (1, 3_600)
"""More seldom nobody notices a dead pole within the hour."""
MAX_SESSION_MIN = (1, MINUTES_OF_DAY)
SESSIONS_PER_DAY = (0, 48)
"""A session with its gaps takes half an hour; 0: no normal sound at all."""
MINUTES_PER_DAY = (0, MINUTES_OF_DAY)

CLOCK_CHIPS = ("rtc0", "rtc1", "rtc2", "rtc3")
"""As the kernel names them; a Pi has one at most, a Pi 5 its own and one more."""

_NAME = text(
    Sentence("a name of a to z, 0 to 9 and -, 40 at most, such as {example}", example="hoang-dao"),
    r"[a-z0-9][a-z0-9-]{0,39}",
)
_PERCENT = whole(0, 100)
_LGPIO_OR_MOCK = Sentence("{example}, or mock where there is no hardware", example="factory: lgpio")
_OTHER_AUTHORITY = Sentence(
    "the path of the certificate of one more authority, such as {example}", example="sources-ca.pem"
)
_VOICES = Sentence("the path of the folder with Piper's voices, such as {example}", example="/usr/share/loa/voices")
_A_DAY = choice(*(day.value for day in Day))


def _list_such_as(example: str) -> Sentence:
    return Sentence("a list such as {example}", example=example)


def _list_or_none(example: str) -> Sentence:
    return Sentence("a list such as {example}, or [] for none", example=example)


_MQTT = section(
    Mqtt,
    Field(
        "brokers",
        distinct(items(broker, MAX_BROKERS, _list_such_as('["mqtts://mqtt.example.vn:8883"]'), at_least=1)),
        required='brokers: ["mqtts://mqtt.example.vn:8883"]',
    ),
    Field("ca", certificate(Sentence("the path of the authority's certificate, such as {example}", example="ca.pem"))),
    Field(
        "certificate",
        certificate(Sentence("the path of the node's certificate, such as {example}", example="node.crt")),
    ),
    Field("key", private_key(Sentence("the path of the node's private key, such as {example}", example="node.key"))),
    Field("insecure", flag),
    Field("version", choice("5", "3.1.1")),
    Field("keepalive_s", whole(*KEEPALIVE_S)),
    rules=(brokers_are_reached_safely,),
    also={
        "if": {"properties": {"brokers": {"contains": {"pattern": "^mqtts:"}}}},
        "then": {"required": ["brokers", "ca", "certificate", "key"]},
    },
)
_AUDIO = section(
    Audio,
    Field(
        "device",
        device,
        required=Sentence("{example}, with a NAME that `aplay -l` shows", example='device: "plughw:CARD=NAME"'),
    ),
    Field("volume_percent", _PERCENT),
    Field("emergency_volume_percent", _PERCENT),
    Field("start_offset_ms", whole(*START_OFFSET_MS)),
)
_GPIO = section(
    Gpio,
    Field("factory", choice("lgpio", "mock"), required=_LGPIO_OR_MOCK),
    Field("chip", whole(0, MAX_CHIP)),
    Field("trace", path(Sentence("the path of a file to write levels to"))),
    rules=(keys_fit_the_factory,),
    also={
        "if": {"properties": {"factory": {"const": "mock"}}},
        "then": {"not": {"required": ["chip"]}},
        "else": {"not": {"required": ["trace"]}},
    },
)
_ZONE = (
    Field(
        "gpio",
        whole(0, LAST_GPIO, Sentence("the Broadcom number")),
        required=Sentence("gpio: 17, the Broadcom number of the line"),
    ),
    Field(
        "active",
        choice("high", "low"),
        required=Sentence("active: high or active: low, the level that closes the relay"),
    ),
    Field("warm_up_ms", whole(*WARM_UP_MS)),
    Field("linger_ms", whole(*LINGER_MS)),
    Field("max_on_s", whole(*MAX_ON_S)),
    Field("min_off_ms", whole(*MIN_OFF_MS)),
)
_ZONES = named(
    _NAME,
    lambda name: section(partial(Zone, name=name), *_ZONE),
    MAX_ZONES,
    Sentence("one to {at_most} zones, such as {example}", at_most=MAX_ZONES, example="main: {gpio: 17, active: high}"),
    at_least=1,
)


@described_as(_ZONES)
def _zones(value: Value, place: Place) -> tuple[Zone, ...]:
    """One zone or more, no line in two of them."""
    zones = tuple(_ZONES(value, place).values())
    assert isinstance(value, Mapping)
    users: dict[int, str] = {}
    twice = []
    for zone, (_, keys) in zip(zones, value.entries, strict=True):
        assert isinstance(keys, Mapping)
        if zone.gpio in users:
            told = Sentence(
                "{name} is {gpio}, which {zone} has already: write the number of another line",
                name=place.under(zone.name).under("gpio").name,
                gpio=zone.gpio,
                zone=users[zone.gpio],
            )
            twice.append(Mistake(position_of(keys, "gpio"), told))
        users.setdefault(zone.gpio, zone.name)
    if twice:
        raise Mistakes(*twice)
    return zones


_SOURCES = section(
    Sources,
    Field("allow", items(entry, MAX_ALLOW_ENTRIES, _list_or_none('["https://stream.example.vn"]'))),
    Field("files", items(entry, MAX_ALLOW_ENTRIES, _list_or_none('["https://files.example.vn"]'))),
    Field("ca", certificate(_OTHER_AUTHORITY)),
)
_SPEECH = section(
    Speech,
    Field("piper", path(Sentence("the path of the program, such as {example}", example="/usr/bin/piper"))),
    Field("voices", folder(_VOICES)),
    rules=(piper_has_voices,),
    also={"dependentRequired": {"piper": ["voices"], "voices": ["piper"]}},
)
_STORAGE = section(
    Storage,
    Field("state", folder(Sentence("the path of a folder on the card, such as {example}", example="/var/lib/loa"))),
    Field("cache_max_mb", whole(*CACHE_MAX_MB)),
    Field("runtime", folder(Sentence("the path of a folder in memory, such as {example}", example="/run/loa"))),
)
_CEILINGS = named(
    choice(Kind.NORMAL.value, Kind.PRIORITY.value),
    lambda _: _PERCENT,
    len(Kind),
    Sentence("normal, priority or both with a percent, such as {example}", example="{normal: 80}"),
)


@described_as(_CEILINGS)
def _volume_ceilings(value: Value, place: Place) -> tuple[tuple[Kind, int], ...]:
    """By kind, all day; none for emergencies, which no policy touches."""
    return tuple((Kind(name), percent) for name, percent in _CEILINGS(value, place).items())


@described_as(_A_DAY)
def _day(value: Value, place: Place) -> Day:
    return Day(_A_DAY(value, place))


_POLICY = section(
    Policy,
    Field("quiet_hours", items(quiet_hours, MAX_QUIET_HOURS, _list_such_as('["21:00-04:45"]'))),
    Field("days", distinct(items(_day, len(Day), _list_or_none("[mon, wed, fri]")))),
    Field("max_session_min", whole(*MAX_SESSION_MIN)),
    Field("max_sessions_per_day", whole(*SESSIONS_PER_DAY)),
    Field("max_minutes_per_day", whole(*MINUTES_PER_DAY)),
    Field("volume_ceilings", _volume_ceilings),
    Field("volume_by_hour", items(volume_hours, MAX_VOLUME_HOURS, _list_such_as('["20:00-21:00 normal 50"]'))),
    rules=(some_hour_is_not_quiet,),
)
NODE = section(
    Config,
    Field("node", _NAME, required=Sentence("node: hd-03, the name of this node")),
    Field("site", _NAME, required=Sentence("site: hoang-dao, the name of the commune")),
    Field("groups", distinct(items(_NAME, MAX_GROUPS, _list_or_none("[thon-2]")))),
    Field("mqtt", _MQTT, required=Sentence("mqtt: with at least brokers in it")),
    Field(
        "trust",
        readable(Sentence("the path of the trust document, such as {example}", example="trust.yaml")),
        required="trust: trust.yaml",
    ),
    Field("audio", _AUDIO, required='audio: {device: "plughw:CARD=NAME"}'),
    Field(
        "gpio",
        _GPIO,
        required=Sentence("{example}, or mock where there is no hardware", example="gpio: {factory: lgpio}"),
    ),
    Field("amplifier", _zones, required="amplifier: {main: {gpio: 17, active: high}}"),
    Field("sources", _SOURCES),
    Field("speech", _SPEECH),
    Field("storage", _STORAGE),
    Field("clock", section(Clock, Field("trust", choice("kernel", "always")), Field("rtc", choice(*CLOCK_CHIPS)))),
    Field("heartbeat_s", whole(*HEARTBEAT_S)),
    Field("policy", _POLICY),
    Field("timezone", timezone),
)
