"""Texts to logits: the scorer, and evidence that is cached by content."""
