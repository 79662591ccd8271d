"""How phrases are written down: between bars, over as many lines as they take."""


def phrases(text: str) -> tuple[str, ...]:
    return tuple(" ".join(phrase.split()) for phrase in text.split("|") if phrase.strip())
