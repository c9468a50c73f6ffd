"""BERT-like classifiers computed without padding, on the CPU: inference, training, and the parts that both share."""
