from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.text import speakable, spoken

READINGS = [
    # money
    ("$45.20", "forty-five dollars and twenty cents"),
    ("€3", "three euros"),
    ("€3,50", "three euros and fifty cents"),
    ("$1,250.50", "one thousand two hundred fifty dollars and fifty cents"),
    ("$1 and $0.99 and £2.01", "one dollar and ninety-nine cents and two pounds and one penny"),
    ("-$20", "minus twenty dollars"),
    ("$4.5 million, $10k", "four point five million dollars, ten thousand dollars"),
    ("US$5, USD 45.20", "five dollars, forty-five dollars and twenty cents"),
    ("45 EUR, 20$", "forty-five euros, twenty dollars"),
    ("¥500", "five hundred yen"),
    (
        "1.234,56 €, 20 000 EUR",
        "one thousand two hundred thirty-four euros and fifty-six cents, twenty thousand euros",
    ),
    ("$5/month", "five dollars per month"),
    # numbers
    ("1,250", "one thousand two hundred fifty"),
    ("1000000 people", "one million people"),
    ("3.14 and -5 and 007", "three point one four and minus five and zero zero seven"),
    ("10k, 3x", "ten thousand, three times"),
    ("45%, 3.5 %", "forty-five percent, three point five percent"),
    ("1st 2nd 23rd 101st", "first second twenty-third one hundred first"),
    ("9-11, 10–15%, $10-$20", "nine to eleven, ten to fifteen percent, ten dollars to twenty dollars"),
    ("pages 3 – 9", "pages three to nine"),
    ("1/2, 3/4, 2 1/2, 2½", "one half, three quarters, two and a half, two and a half"),
    ("24/7", "twenty-four seven"),
    ("20 000 people, ~20, 3 * 4", "twenty thousand people, about twenty, three times four"),
    ("1 000 000 calls, 0,5 and 2,5 kg", "one million calls, zero point five and two point five kilograms"),
    ("4x4, 10^6, 7 >= 3", "four by four, ten to the power of six, seven is at least three"),
    ("Press 1,2 or 3", "Press one,two or three"),
    ("9/11, 3/11", "nine eleven, three elevenths"),
    ("Louis XIV, George V, Elizabeth II", "Louis the fourteenth, George the fifth, Elizabeth the second"),
    ("World War II. Chapter IV, Part I.", "World War two. Chapter four, Part one."),
    ("Rocky III, the Part I want, an IV drip", "Rocky three, the Part I want, an IV drip"),
    ("3:1", "three to one"),
    # dates and times
    ("2026-11-21", "November twenty-first, twenty twenty-six"),
    ("11/21/2026", "November twenty-first, twenty twenty-six"),
    ("21/11/26", "November twenty-first, twenty twenty-six"),
    ("21.11.2026", "November twenty-first, twenty twenty-six"),
    ("on 11/21", "on November twenty-first"),
    ("May 3rd", "May third"),
    ("Sat 5 Oct, Mon, Jan 5", "Saturday the fifth of October, Monday, January fifth"),
    ("I sat on 5 May", "I sat on the fifth of May"),
    ("Sept. 9, 1999", "September ninth, nineteen ninety-nine"),
    ("the 5th of June 2024", "the fifth of June, twenty twenty-four"),
    ("March 2005", "March two thousand five"),
    ("2026-11-21T14:30:00Z", "November twenty-first, twenty twenty-six at fourteen thirty"),
    ("14:30, 12:00, 18:00, 9:05 a.m.", "fourteen thirty, twelve o'clock, eighteen hundred, nine oh five AM"),
    ("00:00 to 0:05", "midnight to zero oh five"),
    ("mid-2024", "mid-twenty twenty-four"),
    ("3pm to 5 PM", "three PM to five PM"),
    ("9am-5pm", "nine AM to five PM"),
    ("1905, 2005, 2026", "nineteen oh five, two thousand five, twenty twenty-six"),
    ("1990s and '80s", "nineteen nineties and eighties"),
    # telephone numbers, codes
    ("1-800-555-0199", "one, eight zero zero, five five five, zero one nine nine"),
    ("+49 30 1234567", "plus four nine, three zero, one two three, four five six seven"),
    ("(212) 555-0142 ext. 42", "two one two, five five five, zero one four two extension four two"),
    ("555 0199", "five five five, zero one nine nine"),
    ("555-0199 x12", "five five five, zero one nine nine extension one two"),
    ("555-0199", "five five five, zero one nine nine"),
    ("1-800-FLOWERS", "one, eight zero zero, flowers"),
    ("12345678", "one two three four, five six seven eight"),
    ("4111 1111 1111 1111", "four one one one" + ", one one one one" * 3),
    ("A-4492, 7F3K", "A., four four nine two, seven F three K"),
    ("PIN 0042", "PIN zero zero four two"),
    (
        "IBAN DE89 3704 0044 0532 0130 00.",
        "IBAN D E eight nine, three seven zero four, zero zero four four, zero five three two, "
        "zero one three zero, zero zero.",
    ),
    (
        "GB29NWBK60161331926819",
        "G B two nine, N W B K, six zero one six, one three three one, nine two six eight, one nine",
    ),
    ("ext. 204", "extension two zero four"),
    ("your code is 4921", "your code is four nine two one"),
    ("order number 88213", "order number eight eight two, one three"),
    ("room 402", "room four zero two"),
    ("COVID-19, MP3, 24-hour", "COVID nineteen, M P three, twenty-four hour"),
    ("v3.11.4", "version three point eleven point four"),
    ("192.168.1.1", "one nine two dot one six eight dot one dot one"),
    ("call 911. Dial 112 now", "call nine one one. Dial one one two now"),
    ("Text HELP to 12345.", "Text HELP to one two three, four five."),
    ("I call 300 people", "I call three hundred people"),
    ("Gate B12, 221B, 4K, 1-on-1", "Gate B twelve, two two one B, four K, one on one"),
    ("OTP: 482913", "OTP: four eight two, nine one three"),
    ("Mon-Fri 9–5, 9:00 a.m. – 5:00 p.m.", "Monday to Friday nine to five, nine AM to five PM"),
    ("10/10, 50/50, 1999/2000", "ten out of ten, fifty fifty, nineteen ninety-nine two thousand"),
    ("1,000s of C++ and C# users", "thousands of C plus plus and C sharp users"),
    ("5'10\", 5>3", "five foot ten, five is greater than three"),
    # measures
    ("72°F/22°C", "seventy-two degrees Fahrenheit twenty-two degrees Celsius"),
    ("5 GB/month", "five gigabytes per month"),
    ("5kg, 1 lb, 20°C", "five kilograms, one pound, twenty degrees Celsius"),
    ("80 m², x², 5 m³", "eighty square meters, x squared, five cubic meters"),
    ("5 ft 3 in tall", "five feet three inches tall"),
    ("100 Mbit/s", "one hundred megabits per second"),
    ("60 mph, 100 Mbps", "sixty miles per hour, one hundred megabits per second"),
    # addresses
    ("jo.smith42@example.co.uk", "jo dot smith four two at example dot co dot U K"),
    ("https://www.example.com/help?x=1", "example dot com slash help"),
    ("Go to example.com.", "Go to example dot com."),
    # words
    ("Dr. Smith, 12 Elm St.", "Doctor Smith, twelve Elm Street"),
    ("St. Paul", "Saint Paul"),
    ("I.e. that", "That is that"),
    ("AT&T, e.g. this, w/o fees", "AT and T, for example this, without fees"),
    ("press * or #, or *9", "press star or pound, or star nine"),
    ("No. 5, #7", "number five, number seven"),
    # marks for the eye
    ("**Bold** and _it_, `code`", "Bold and it, code"),
    ("[a link](http://x.y/z) <b>here</b> &amp; there", "a link here and there"),
    ("# Heading", "Heading"),
    ("- item", "item"),
    ("1. Open", "one. Open"),
    ("Hello 👋, there :-) 😀!", "Hello, there!"),
    ("Wait... what?!", "Wait… what?!"),
    ("café naïve", "café naïve"),
    ("٣ ② Ⅳ", "three two four"),
]


@pytest.mark.parametrize(("written", "said"), READINGS)
def test_it_is_read_as_on_a_phone(written: str, said: str) -> None:
    assert speakable(written) == said


@pytest.mark.parametrize("text", ["", "   ", "😀👍", "...", "---", "**", "日本語", ":-)", "​\x00", "«»"])
def test_what_cannot_be_spoken_is_silence_not_an_error(text: str) -> None:
    assert spoken(text) == ()


def test_every_reading_belongs_to_the_words_as_written() -> None:
    words = spoken("Hello 👋, you owe $45.20  by May 3rd, 2026 - ok?")
    assert [(w.written, w.spoken) for w in words] == [
        ("Hello 👋,", "Hello,"),
        ("you", "you"),
        ("owe", "owe"),
        ("$45.20", "forty-five dollars and twenty cents"),
        ("by", "by"),
        ("May 3rd, 2026 -", "May third, twenty twenty-six,"),
        ("ok?", "ok?"),
    ]


def test_a_word_that_never_ends_is_capped() -> None:
    assert len(speakable("a" * 3000)) <= 40
    assert len(speakable("7F3K" * 500).split()) <= 60


TOKENS = st.lists(
    st.sampled_from(
        "$45.20 €3 1,250 2026-11-21 11/21 3pm 14:30 1-800-555-0199 +49 A-4492 7F3K 45% 5kg 1/2 2½ ² x@y.com "
        "www.a.b/c **x** <b> [a](b) # * ## Dr. St. May 3rd 2nd 1990s - – … 99999999999999999999 1e10 0x1F "
        "3-4 5:6".split()
    )
    | st.text(max_size=6),
    max_size=15,
).map(" ".join)


@settings(max_examples=300, deadline=None)
@given(TOKENS | st.text(max_size=80))
def test_any_text_is_read_without_digits_marks_or_loss(text: str) -> None:
    words = spoken(text)
    said = " ".join(w.spoken for w in words)
    assert not any(c.isnumeric() for c in said)
    assert all(c.isalpha() or c in " .,;:!?…'-" for c in said), said
    assert all(any(c.isalpha() for c in w.spoken) and w.spoken == w.spoken.strip() for w in words)
    if words:
        assert " ".join(w.written for w in words) == " ".join(text.split())
    if any(c.isascii() and c.isdigit() for c in text.split("://")[0].split("@")[0][:20]) and "](" not in text:
        assert words
