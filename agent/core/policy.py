"""Quiet hours, days, caps and ceilings of the node: which rules hold, and what they allow (protocol sections 4 and 7).

The rules are `messages.rules`, what they allow is `messages.allowance`: pure, and below the core, because `loactl`
must say before an order is sent what the node will say at its time.
"""

from agent.messages.allowance import SESSION_GAP_S, Ledger, ceiling_percent, charge, cut_s, next_change_s, why_not
from agent.messages.rules import NO_RULES, Ceiling, Rules, rules_of, strictest

__all__ = [
    "NO_RULES",
    "SESSION_GAP_S",
    "Ceiling",
    "Ledger",
    "Rules",
    "ceiling_percent",
    "charge",
    "cut_s",
    "next_change_s",
    "rules_of",
    "strictest",
    "why_not",
]
