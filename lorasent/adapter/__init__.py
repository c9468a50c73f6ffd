"""An adapter on disk and in memory, from the top down.

pushing        pushes an adapter's directory to the hub
sealing        manifests for adapters that another script trained
writing        writes an adapter's directory
card           the model card: the hub's metadata, figures, limits
directory      loads an adapter's directory and verifies it
bare           loads an adapter that plain PEFT wrote, without a manifest
classifier     base + head + LoRA in memory
encoding       texts -> token ids: a tokenizer opened within bounds, truncation, padding
base           finds the base and pins it by hash
configuration  a base's config.json: refused keys, comparison
manifest       lorasent.json
snapshot       a private copy of an adapter's directory: which files it may contain
architectures  the table of architectures
untrusted      bounds for files that somebody else wrote: size, JSON
weights        the header of safetensors files
"""
