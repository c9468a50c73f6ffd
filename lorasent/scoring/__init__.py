"""Texts to logits, from the top down.

predictions  predictions of another system, by id: who made them, and their answers to reviews
evidence  a subject, live or recorded, and its answers to texts
forms     a file of predictions -> ids and logits, a batch at a time
cache     answers on disk, by the hash of their question
scorer    an adapter in memory, on a device, in a precision
plans     which reviews share a matrix, or a padded batch
progress  the stage of long work, and how much of it is done, for whoever shows it
"""
