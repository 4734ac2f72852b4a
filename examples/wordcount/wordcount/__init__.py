"""Counts the lines, words and characters of text."""
