"""Texts in which ways to cut text differ: blanks, digits, scripts, marks, code, controls."""

import random

_WRITTEN = (
    "", " ", "\n\n\n", "\t", "\r\n", "Hi  12\n 34", "12345678901", "1,234.56", "  7", "\t7", "\n7", "a1b2c3",
    "don't I'LL we'Re 'S", "Ünïcödé ñandú", "日本語のテキスト", "中文 字符123", "한국어 텍스트", "привет мир",
    "שלום עולם", "مرحبا ١٢٣",
    "👍🏽 👩‍👩‍👧‍👦", "e\u0301 o\u0308", "ﬁ ﬂ ①②③ ½ Ⅷ", "\u00a0nbsp\u00a0\u00a0x", "\u200bzero\u200d",
    "\u3000ideographic", "a\u2028b\u2029c", "\x01\x7f", "\ufeffbom", '{"city": "Zürich", "n": [1, 2.5e-3]}',
    "<tool_call>{}</tool_call>", "foo_bar.baz(qux)[0]", "    def f(x):\n\t\treturn x\n\n\n    # c", " " * 50 + "x",
    "!!??..,,;;::", "----====____", "$1,000.00 €20 £3", "https://a.b/c?d=e&f=g#h", "x=y+z*(1-2)/3^4%5", "'''\"\"\"```",
    "…—–‘’“”", "देवनागरी १२३", "ไทย ๑๒๓", "𝔘𝔫𝔦 𝟘𝟙", "ǅ ŉ ß ẞ İ ı", "trailing   ", "mixed \t \n \r\n  ws",
    "1 22 333 4444 55555", "v1.2.3-rc4+5", "２０２４年１月", "x²+y³", "HTTPServer iPhone XMLHttp",
)  # fmt: skip


def odd_texts(count=200, seed=0):
    """`count` texts: written ones first, then drawn ones."""
    draw = random.Random(seed)
    pool = [chr(code) for code in range(32, 127)] * 3 + list(" \t\n\r'0123456789") * 8
    for first, last, share in ((0xA0, 0x3000, 300), (0x3000, 0xD7FF, 60), (0x1F000, 0x1FA00, 30)):
        pool += [chr(draw.randrange(first, last)) for _ in range(share)]
    texts = list(_WRITTEN)
    while len(texts) < count:
        texts.append("".join(draw.choices(pool, k=draw.randrange(1, 40))))
    return texts[:count]
