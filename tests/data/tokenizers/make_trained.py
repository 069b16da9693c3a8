"""Makes trained.json: the merges that Hugging Face's trainer finds in trained.txt, in order, and what it then makes of that text.

Run by hand with `tokenizers` installed: python3 tests/data/tokenizers/make_trained.py
"""
import json, os
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

here = os.path.dirname(os.path.abspath(__file__))
text = open(os.path.join(here, "trained.txt"), encoding="utf-8", newline="").read()
t = Tokenizer(models.BPE())
t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
t.decoder = decoders.ByteLevel()
t.train_from_iterator([text], trainers.BpeTrainer(vocab_size=4000, min_frequency=2, show_progress=False,
                                                  special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
                                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
model = json.loads(t.to_str())["model"]
with open(os.path.join(here, "trained.json"), "w", encoding="utf-8") as f:
    json.dump({"size": len(model["vocab"]), "merges": [" ".join(m) for m in model["merges"]], "ids": t.encode(text).ids}, f,
              ensure_ascii=False, indent=0)
