"""The check that an adapter is sound: its files, tensors, tokenizer, manifest and answers."""
