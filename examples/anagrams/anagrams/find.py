"""Which words are anagrams of one another."""


def groups(words: list[str]) -> list[list[str]]:
    """The groups of at least two words with the same letters, in the order in which they begin."""
    found: list[list[str]] = []
    for first in words:
        group: list[str] = []
        for second in words:
            if sorted(first) == sorted(second) and second not in group:
                group.append(second)
        if len(group) > 1 and group not in found:
            found.append(group)
    return found
