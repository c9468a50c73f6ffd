"""An adapter on disk and in memory, from the top down.

writing        writes an adapter's directory
directory      loads and proves one
bare           reads one without a manifest, which plain PEFT wrote
classifier     base + head + LoRA in memory
encoding       texts -> token ids
tokenizer      a directory's tokenizer, opened within bounds
base           finds the base and pins it by hash
configuration  a base's config.json: what is used, what differs
manifest       lorasent.json
snapshot       a private copy of an adapter's directory
architectures  the table of architectures
untrusted      JSON and other files that somebody else wrote
weights        the header of safetensors files
"""
