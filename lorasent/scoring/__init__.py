"""Texts to logits, from the top down.

evidence  a subject, live or recorded, and its answers to texts
cache     answers on disk, by the hash of their question
scorer    an adapter in memory: plans batches, chooses the precision
"""
