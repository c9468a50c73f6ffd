"""BERT's family computed without padding on the CPU, from the top down.

inference  the forward pass: token ids -> logits
training   the forward pass with gradients for what is trained
parts      which of the model's modules does what
products   linear layers with frozen weights, packed for oneDNN
"""
