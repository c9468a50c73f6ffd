"""What an adapter gets right and wrong, from the top down.

figures       an adapter and reviews, or logits and labels -> figures: the public function `evaluate`
console       the result of `lorasent evaluate`, as JSON and for a terminal
mistakes      what it gets wrong: by slice, with what confidence, because of which words
label_errors  labels that are probably wrong: confident learning
occlusion     which words carried a decision
"""
