"""What the counts are."""

import unittest

from wordcount.count import Counts, count, count_words


class CountTest(unittest.TestCase):
    """Counting small texts."""

    def test_words_between_single_spaces(self) -> None:
        self.assertEqual(count_words("one two three"), 3)

    def test_one_line(self) -> None:
        self.assertEqual(count("to be or not to be"), Counts(lines=1, words=6, characters=18))


if __name__ == "__main__":
    unittest.main()
