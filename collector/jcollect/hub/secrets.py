"""Patterns of secrets in captured strings: the defaults of `--redact-secrets`.

Each pattern keeps what its groups match. They match the begin of a secret too, because strings are truncated.
"""

from __future__ import annotations

# Names of values, matched as a whole: the entire string is replaced.
SECRET_NAMES = (
    r"(?i)(?:.*[_.\-])?(?:pass|passwords?|passwd|pwd|passphrase|secrets?|tokens?|credentials?|authorization|cookies?)",
    r"(?i).*(?:passwords?|passphrase|secrets?|apikey|api_key|(?:secret|access|private)_?key|tokens?|credentials?)",
)
_KEY = (
    r"(?i)((?:passwords?|passwd|\bpwd|\bpass|passphrase|secret|token"
    r"|(?:api|secret|access|private)[_-]?key)[\"']?\s*(?:[:=]|%3D)\s*"
)
SECRET_PATTERNS = (
    # password="x y", 'apiKey': 'x', secret: x. An unquoted one ends at a blank or at what ends a parameter.
    _KEY + r"\")(?:[^\"\\]|\\.)+",
    _KEY + r"')(?:[^'\\]|\\.)+",
    _KEY + r")[^\s\"';&)}\]]+",
    # <password>x</password>
    r"(?i)(<(?:\w+:)?(?:password|passwd|secret|token)\b[^<>]*>)[^<]+",
    # Cookie: a=x; b=y
    r"(?i)(\b(?:set-)?cookie:\s*).+",
    # Authorization: Bearer x
    r"(?i)\b((?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{8,}",
    # The user and password of a URL.
    r"(://[^/\s:@]*:)[^/\s@]+(?:@|$)",
    # JSON web tokens.
    r"\beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)*",
    # Keys of AWS, GitHub, Slack, Stripe and Google.
    r"\b(?:AKIA|ASIA)[0-9A-Z]{8,}",
    r"\bgh[pousr]_[A-Za-z0-9]{8,}",
    r"\bxox[abprs]-[A-Za-z0-9-]{8,}",
    r"\b[sr]k_(?:live|test)_[A-Za-z0-9]{8,}",
    r"\bAIza[A-Za-z0-9_-]{16,}",
    # Private keys in PEM.
    r"(?s)(-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----).*",
)
# Numbers of payment cards, if their check digit is right.
CARD_PATTERN = r"\b(?:[A-Za-z]{1,16})?[2-6](?:[ .\-]?[0-9]){12,18}\b"


def is_card(text: str) -> bool:
    """Returns true if the digits of a text have the check digit of a payment card (Luhn)."""
    digits = [int(character) for character in text if character.isdigit()]
    doubled = [2 * digit for digit in digits[-2::-2]]
    total = sum(digits[-1::-2]) + sum(digit - 9 if digit > 9 else digit for digit in doubled)
    return 13 <= len(digits) <= 19 and total % 10 == 0
