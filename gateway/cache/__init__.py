"""Answers that are given again: which ones are the same, where they rest sealed, and who waits for whom."""
