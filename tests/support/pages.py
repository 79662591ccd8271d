"""A page as a reader's program takes it apart."""

from html.parser import HTMLParser

VOID = {"meta", "input"}


class Page(HTMLParser):
    """Which elements there are, what they hold, and whether every one is closed where it must be."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.attributes, self.words, self.faults, self._open = [], [], [], [], []
        self.feed(text)
        self.close()
        self.faults += [f"{element} is not closed" for element in self._open]

    def handle_starttag(self, element, attributes):
        self.elements.append(element)
        self.attributes += [(element, name, value) for name, value in attributes]
        if element not in VOID:
            self._open.append(element)

    def handle_startendtag(self, element, attributes):
        self.elements.append(element)
        self.attributes += [(element, name, value) for name, value in attributes]

    def handle_endtag(self, element):
        if not self._open or self._open.pop() != element:
            self.faults.append(f"{element} is closed where it is not open, at {self.getpos()}")

    def handle_data(self, data):
        if not self._open or self._open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self):
        return "".join(self.words)


def check_safe(page, *, figures=False):
    """Nothing in a page runs or loads anything; `figures` may style themselves and use their own marks."""
    assert not page.faults
    assert not {"script", "img", "iframe", "link", "object", "embed", "base", "form", "a"} & {*page.elements}
    for element, name, value in page.attributes:
        told = (element, name, value)
        assert not name.startswith("on"), told
        assert name not in ("src", "href", "srcset", "data", "action"), told
        assert name not in ("style", "xlink:href") or figures, told
        assert name != "xlink:href" or value.startswith("#"), told
        assert "://" not in (value or ""), told
        assert "url(" not in (value or "").replace("url(#", ""), told
