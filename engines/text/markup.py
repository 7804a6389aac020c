"""What is written for the eye only: Markdown, HTML, emoticons. Voices keep the words and drop the marks."""

from __future__ import annotations

import html
import re

from engines.text.claims import Rule, paired, rule


def _entity(match: re.Match[str]) -> str:
    char = html.unescape(match.group())
    if char == "&":
        return " and "
    return char if char.isalpha() or char in ",.;:!?'" else " "


RULES: tuple[Rule, ...] = (
    rule(r"```[\w+-]*\n?|`+", ""),
    rule(r"</?[A-Za-z][^<>\n]{0,300}>|<!--.{0,300}?-->", " ", flags=re.DOTALL),
    rule(r"&(?:[A-Za-z]{2,8}|#\d{2,6}|#x[0-9A-Fa-f]{2,6});", _entity),
    paired(r"(!?\[)[^\[\]\n]{0,300}(\]\((?:[^()\s]|\([^()\s]*\))*(?:\s\"[^\"\n]*\")?\))", groups=(1, 2)),
    rule(r"^[ \t]{0,8}(?:[-*_=][ \t]?){3,}$", "", flags=re.MULTILINE),
    rule(r"^\|?[ \t]*:?-{2,}[-| :\t]*$", "", flags=re.MULTILINE),
    rule(r"^[ \t]*(?:#{1,6}|>+|[-*+•‣◦▪])(?=[ \t]+\S)", "", flags=re.MULTILINE),
    paired(r"(?<![\w*])(\*{1,3})(?=[^\s*])[^*\n]{1,300}?(?<=[^\s*])(\*{1,3})(?![\w*])", groups=(1, 2)),
    paired(r"(?<!\w)(_{1,3})(?=[^\s_])[^\n]{1,300}?(?<=[^\s_])(_{1,3})(?!\w)", groups=(1, 2)),
    rule(r"\*{2,}|_{2,}|~~", ""),
    rule(r"(?<!\S)(?:[:;=]['-]?[)(DPpO/|]+|<3|[xX]D)(?=$|[\s.,!?])", ""),
)
"""In the order in which they claim."""
