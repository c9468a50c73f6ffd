"""An adapter on disk and in memory: its files, its manifest, the base under it, its tokenizer."""
