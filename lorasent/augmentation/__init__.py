"""Training reviews in other words: the ways (ways), English words and sentences (english), whether labels hold (preservation)."""
