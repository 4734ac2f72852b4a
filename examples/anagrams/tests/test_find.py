"""What groups there are."""

import unittest

from anagrams.find import groups


class GroupsTest(unittest.TestCase):
    """Small lists."""

    def test_words_with_the_same_letters_are_together(self) -> None:
        self.assertEqual(groups(["tea", "pot", "eat", "top", "ate"]), [["tea", "eat", "ate"], ["pot", "top"]])

    def test_a_word_alone_is_no_group(self) -> None:
        self.assertEqual(groups(["one", "two"]), [])

    def test_a_word_that_stands_twice_counts_once(self) -> None:
        self.assertEqual(groups(["tea", "tea"]), [])
        self.assertEqual(groups(["tea", "eat", "tea"]), [["tea", "eat"]])

    def test_nothing_has_no_groups(self) -> None:
        self.assertEqual(groups([]), [])


if __name__ == "__main__":
    unittest.main()
